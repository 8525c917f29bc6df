//! Where the tour is shown: headings, words, commands and what they answer.

use crate::args::Cli;
use crate::commands::{Question, question};
use crate::error::{Error, Result};
use crate::exec::answer::Answer;
use crate::exec::request::Request;
use crate::exec::session::Session;
use crate::show::show;
use crate::table::{Screen, printable};
use clap::Parser;
use llmdb::{Db, TxTime};
use std::io::Write;
use std::path::PathBuf;

/// Columns of the tour, on any screen.
pub const WIDTH: usize = 80;
/// The margin of commands and their output.
const MARGIN: &str = "  ";
/// Lines of output that are shown of one command; of more, the beginning and the end.
const LINES_MAX: usize = 18;
const LINES_HEAD: usize = 6;

/// Where the tour is shown.
#[derive(Debug)]
pub struct Stage<W> {
    out: W,
    styled: bool,
    chapter: u32,
}

impl<W: Write> Stage<W> {
    /// Plain, unless `styled`.
    pub fn new(out: W, styled: bool) -> Self {
        Self { out, styled, chapter: 0 }
    }

    /// The title of all of it.
    ///
    /// # Errors
    /// [`Error::Write`], as for all that follows.
    pub fn title(&mut self, title: &str) -> Result<()> {
        let title = self.bold(title);
        self.line(&title)
    }

    /// Begins a chapter.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn chapter(&mut self, title: &str, words: &str) -> Result<()> {
        self.chapter += 1;
        let heading = format!("{}. {title}", self.chapter);
        let rule = "─".repeat(WIDTH.saturating_sub(heading.chars().count() + 1));
        let heading = format!("{} {}", self.bold(&heading), self.dim(&rule));
        self.line("")?;
        self.line(&heading)?;
        self.words(words)
    }

    /// A paragraph.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn words(&mut self, words: &str) -> Result<()> {
        wrap(words, WIDTH).iter().try_for_each(|line| self.line(line))
    }

    /// A line within the margin.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn row(&mut self, row: &str) -> Result<()> {
        self.line(cut_line(&format!("{MARGIN}{row}"), WIDTH).trim_end())
    }

    /// An empty line.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn blank(&mut self) -> Result<()> {
        self.line("")
    }

    /// Shows what was written so far: something follows that takes its time.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        flushed.map_err(|cause| Error::Write { path: PathBuf::from("stdout"), cause })
    }

    /// Shows a command, and its output.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn command(&mut self, words: &[&str], output: &str) -> Result<()> {
        self.line("")?;
        let typed = phrases(words);
        let mut lines = wrap_with(&typed, WIDTH - MARGIN.len() - 4).into_iter().peekable();
        let mut prompt = "$ ";
        while let Some(line) = lines.next() {
            let more = if lines.peek().is_some() { " \\" } else { "" };
            let typed = cut_line(&format!("{prompt}{line}{more}"), WIDTH - MARGIN.len());
            let typed = self.bold(&typed);
            self.line(&format!("{MARGIN}{typed}"))?;
            prompt = "    ";
        }
        for line in cut(output) {
            self.line(format!("{MARGIN}{line}").trim_end())?;
        }
        Ok(())
    }

    /// Runs a command as it would be typed, shows both, and tells the transaction that a write
    /// made.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&mut self, db: &Db, words: &[&str]) -> Result<Option<TxTime>> {
        let answer = answer(db, words)?;
        let tx = if let Answer::Committed(tx) = answer { tx } else { None };
        let screen = Screen { width: Some((WIDTH - MARGIN.len()) as u16) };
        let text = match answer {
            Answer::Fact(None) => "(nothing)\n".to_owned(),
            answer => show(answer, screen),
        };
        self.command(words, &text)?;
        Ok(tx)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let written = writeln!(self.out, "{line}");
        written.map_err(|cause| Error::Write { path: PathBuf::from("stdout"), cause })
    }

    fn bold(&self, text: &str) -> String {
        if self.styled { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(&self, text: &str) -> String {
        if self.styled { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The answer to a command, as if it had been typed.
fn answer(db: &Db, words: &[&str]) -> Result<Answer> {
    let command = Cli::try_parse_from(words).expect("the tour types commands as they are").command;
    let Question { op, .. } = question(&command)?.expect("the tour runs imports itself");
    Session::new(db).execute(Request { txn: None, op })
}

/// The words of a command, quoted; an option and its value stay together.
fn phrases(words: &[&str]) -> Vec<String> {
    let mut phrases: Vec<String> = Vec::new();
    let mut after_option = false;
    for word in words {
        match phrases.last_mut().filter(|_| after_option) {
            Some(option) => *option = format!("{option} {}", quote(word)),
            None => phrases.push(quote(word)),
        }
        // Options of the tour all have values.
        after_option = !after_option && word.starts_with('-');
    }
    phrases
}

/// A word as a shell takes it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", printable(word).replace('\'', r"'\''"))
}

/// Lines of at most `width` columns, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    wrap_with(&words, width)
}

fn wrap_with(words: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.clone());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// The lines of an output, cut in length and number.
fn cut(output: &str) -> Vec<String> {
    let width = WIDTH - MARGIN.len();
    let lines: Vec<String> = output.lines().map(|line| cut_line(line, width)).collect();
    if lines.len() <= LINES_MAX {
        return lines;
    }
    let tail = LINES_MAX - LINES_HEAD - 1;
    let hidden = format!(" … {} lines …", lines.len() - LINES_HEAD - tail);
    let (head, end) = (&lines[..LINES_HEAD], &lines[lines.len() - tail..]);
    [head, &[hidden], end].concat()
}

fn cut_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quote("agent.llmdb"), "agent.llmdb");
        assert_eq!(quote(r#"{"a":1}"#), r#"'{"a":1}'"#);
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn an_option_and_its_value_stay_together() {
        let phrases = phrases(&["llmdb", "get", "--valid", "-5", "--tx", "it's"]);
        assert_eq!(phrases, ["llmdb", "get", "--valid -5", r"--tx 'it'\''s'"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let output: String = (0..50).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
        let lines = cut(&output);
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH - MARGIN.len()));
        assert_eq!(lines[LINES_HEAD], " … 33 lines …");
        assert!(lines[LINES_MAX - 1].starts_with("49 "));
    }

    #[test]
    fn commands_break_into_lines_that_can_be_typed() {
        let mut stage = Stage::new(Vec::new(), false);
        let words = ["llmdb", "put", "db", "key", &"v".repeat(50), "--note", &"n".repeat(50)];
        stage.command(&words, "tx 1\n").unwrap();
        let text = String::from_utf8(stage.out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains(" \\\n"), "{text}");
    }
}
