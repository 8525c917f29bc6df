//! Commands of the shell's own: how it is set, and what it draws.

use super::commands::Command;
use super::grammar::{self, count, key, one_of};
use super::help::help;
use super::syntax::Syntax;
use super::token::Token;
use super::{Failure, Flow, Shell};
use crate::commands::partition;
use crate::draw;
use crate::error::Error;
use crate::exec::answer::Answer;
use crate::exec::request::{Op, Partition, Point, Target};
use crate::render::Mode;
use crate::table::printable;
use clap::ValueEnum;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Lines that `.history` lists, unless told otherwise.
const LINES: usize = 20;

type Done<T = ()> = std::result::Result<T, Failure>;

impl Shell<'_> {
    /// Runs a command whose name begins with a dot.
    pub(super) fn dot(&mut self, command: &Command, words: &[Token]) -> Done<Flow> {
        let word = words.first();
        match command.name {
            ".quit" => return Ok(Flow::Quit),
            ".read" => {
                let path = PathBuf::from(&words[0].text);
                return self.read_file(&path);
            }
            ".help" => self.help(word)?,
            ".asof" => self.as_of(words)?,
            ".timeline" => self.draw_timeline(&words[0])?,
            ".beliefs" => self.draw_beliefs(&words[0])?,
            ".tables" => self.tables()?,
            ".stats" => {
                self.op(Op::Stats)?;
                self.op(Op::Metrics)?;
            }
            ".partition" => self.partition(word)?,
            ".mode" => self.mode(word)?,
            ".limit" => self.settings.limit = word.map(count).transpose()?,
            ".width" => self.settings.width = word.map(columns).transpose()?,
            ".timer" => self.settings.timer = switch(word, self.settings.timer)?,
            ".bail" => self.settings.bail = switch(word, self.settings.bail)?,
            ".output" => self.output(word)?,
            ".history" => self.history(word)?,
            _ => self.show_settings()?,
        }
        Ok(Flow::Next)
    }

    fn help(&mut self, topic: Option<&Token>) -> Done {
        let width = self.settings.pen().width;
        let text = match topic {
            None => help(None, width),
            Some(topic) => help(Some(&topic.text), width),
        };
        match (text, topic) {
            (Some(text), _) => Ok(self.settings.print(&text)?),
            (None, Some(topic)) => Err(one_of(topic, &super::help::topics()).into()),
            (None, None) => Ok(()),
        }
    }

    fn as_of(&mut self, words: &[Token]) -> Done {
        let now = self.db.read().now().valid;
        let valid = words.first().map(|word| grammar::time(word, now)).transpose()?;
        let tx = words.get(1).map(|word| grammar::time(word, now)).transpose()?;
        self.settings.at = Point { valid: valid.flatten(), tx: tx.flatten() };
        Ok(())
    }

    fn target(&self, word: &Token) -> Done<Target> {
        Ok(Target { partition: self.settings.partition.clone(), key: key(word)? })
    }

    fn draw_timeline(&mut self, word: &Token) -> Done {
        let target = self.target(word)?;
        let answer = self.ask(Op::Timeline(target, self.settings.at.tx.clone()))?;
        let Answer::Segments(facts) = answer else { return Ok(()) };
        let now = self.settings.at.valid.unwrap_or(self.db.read().now().valid);
        let drawn = draw::timeline(&facts, now, self.settings.pen());
        Ok(self.settings.print(&drawn)?)
    }

    fn draw_beliefs(&mut self, word: &Token) -> Done {
        let target = self.target(word)?;
        let answer = self.ask(Op::History(target))?;
        let Answer::Rectangles(rectangles) = answer else { return Ok(()) };
        let now = self.settings.at.valid.unwrap_or(self.db.read().now().valid);
        let drawn = draw::history(&rectangles, now, self.settings.pen());
        Ok(self.settings.print(&drawn)?)
    }

    fn partition(&mut self, word: Option<&Token>) -> Done {
        let set = word.map_or_else(Partition::default, |word| partition(&word.text));
        if let Partition::Name(name) = &set
            && !self.db.partitions()?.iter().any(|(known, _)| known == name)
        {
            let text = format!("a new partition: its first write makes `{}`\n", printable(name));
            self.settings.say(&text)?;
        }
        self.settings.partition = set;
        Ok(())
    }

    fn mode(&mut self, word: Option<&Token>) -> Done {
        let Some(word) = word else {
            let text = format!("{}\n", name_of(self.settings.mode));
            return Ok(self.settings.print(&text)?);
        };
        let mode = Mode::from_str(&word.text, true);
        self.settings.mode = mode.map_err(|_| one_of(word, &modes()))?;
        Ok(())
    }

    /// A file that is there already is not written over.
    fn output(&mut self, word: Option<&Token>) -> Done {
        self.settings.output = None;
        if let Some(word) = word {
            let path = PathBuf::from(&word.text);
            let file = File::create_new(&path);
            let file = file.map_err(|cause| Error::Write { path: path.clone(), cause })?;
            self.settings.output = Some((path, file));
        }
        Ok(())
    }

    fn history(&mut self, word: Option<&Token>) -> Done {
        let wanted = word.map(count).transpose()?.unwrap_or(LINES);
        let from = self.lines.len().saturating_sub(wanted);
        let numbered = self.lines.iter().enumerate().skip(from);
        let line = |(at, line): (usize, &String)| format!("{:>4}  {}\n", at + 1, printable(line));
        let text: String = numbered.map(line).collect();
        Ok(self.settings.print(&text)?)
    }

    fn show_settings(&mut self) -> Done {
        let settings = &self.settings;
        let number = |set: Option<usize>| set.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
        let output = settings.output.as_ref().map_or(Path::new("-"), |(path, _)| path);
        let rows = [
            ("asof", settings.at_text()),
            ("bail", switch(settings.bail)),
            ("limit", number(settings.limit)),
            ("mode", name_of(settings.mode)),
            ("output", printable(&output.to_string_lossy())),
            ("partition", printable(&settings.partition_text())),
            ("timer", switch(settings.timer)),
            ("width", number(settings.width.map(usize::from))),
        ];
        let text: String =
            rows.into_iter().map(|(name, set)| format!("{name:<10} {set}\n")).collect();
        Ok(self.settings.print(&text)?)
    }
}

fn columns(word: &Token) -> Done<u16> {
    u16::try_from(count(word)?).map_err(|_| {
        let message = "this is wider than any screen";
        Syntax::new(word.span.clone(), message).into()
    })
}

/// What a switch is set to; without a word the other way round.
fn switch(word: Option<&Token>, is: bool) -> Done<bool> {
    Ok(word.map_or(Ok(!is), switch_of)?)
}

/// `on` or `off`.
///
/// # Errors
/// Any other word.
pub fn switch_of(word: &Token) -> Result<bool, Syntax> {
    match word.text.to_lowercase().as_str() {
        "on" | "yes" | "1" | "true" => Ok(true),
        "off" | "no" | "0" | "false" => Ok(false),
        _ => Err(one_of(word, &["on", "off"])),
    }
}

/// The names of all forms of output.
pub fn modes() -> Vec<&'static str> {
    vec!["table", "json", "ndjson", "csv", "markdown"]
}

fn name_of(mode: Mode) -> String {
    mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_that_there_are() {
        let names: Vec<String> = Mode::value_variants().iter().map(|mode| name_of(*mode)).collect();
        assert_eq!(names, modes());
    }
}
