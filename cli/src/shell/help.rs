//! What `.help` says.

use super::commands::{self, COMMANDS, Command, DOTS};
use crate::width::wrap;

/// Columns from which a command and what it does are on one line.
const WIDE: usize = 72;
/// Columns that a usage takes there.
const USAGE: usize = 26;

/// Subjects besides the commands.
const SUBJECTS: [(&str, &str); 5] = [
    (
        "keys",
        "A key is a bare word, or a quoted one: 'a b', \"a\\tb\"; '' in single quotes is a quote. \
         b64:/wA= is a key of bytes. A word that begins with { or [ is quoted. Keys are those of \
         partition 0, of the one that `.partition` sets, or of the one behind `in`: a number or a \
         name.",
    ),
    (
        "values",
        "A value is JSON: 12, true, null, {\"a\": 1}, [1, 2], \"text\". A bare word that is no JSON \
         is a string, and so is all between single quotes: '12' is text. An open bracket or quote \
         goes on in the next line, and so does a line that ends with a backslash.",
    ),
    (
        "times",
        "V is valid time: when something is true. T is transaction time: when it was known. Both \
         are 2024-03-01 (midnight UTC), 2024-03-01T12:00:00Z, now, now-7d, now+1h30m (us ms s m h \
         d w), microseconds since 1970, or inf. A point of both is V, V/T or /T. `from` is part of \
         a stretch, `to` is not.",
    ),
    (
        "protocol",
        "A line that begins with { is a request of the batch protocol, with all that it has: \
         {\"op\": \"get\", \"key\": \"user:1\"}. The answer is one line of JSON.",
    ),
    (
        "editing",
        "Tab completes commands, keys, partitions and names. Up and Down walk through the history, \
         Ctrl-R searches it, Right takes the hint. Ctrl-C drops the line, or cancels what runs; \
         twice it ends the shell at once. Ctrl-D leaves. A line that begins with a space is not \
         kept.",
    ),
];

/// All that `.help` has something about.
pub fn topics() -> Vec<&'static str> {
    commands::names().chain(SUBJECTS.iter().map(|(name, _)| *name)).collect()
}

/// What there is to say about a topic, or the list of all; `None` for what is no topic.
pub fn help(topic: Option<&str>, width: usize) -> Option<String> {
    let Some(topic) = topic else { return Some(overview(width)) };
    if let Some((_, text)) = SUBJECTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(topic)) {
        return Some(paragraph(text, "", width));
    }
    let dotted = format!(".{topic}");
    let command = commands::find(topic).or_else(|| commands::find(&dotted))?;
    let mut text = paragraph(&command.usage(), "", width);
    text.push_str(&paragraph(command.about, "  ", width));
    for example in command.examples {
        text.push_str(&format!("  > {example}\n"));
    }
    Some(text)
}

fn overview(width: usize) -> String {
    let mut text = String::new();
    for (heading, commands) in [("Commands", COMMANDS), ("The shell's own", DOTS)] {
        text.push_str(&format!("{heading}\n"));
        for command in commands {
            text.push_str(&entry(command, width));
        }
    }
    let subjects: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
    let more = format!("More: .help get, or one of {}.", subjects.join(", "));
    text.push_str(&paragraph(&more, "", width));
    text
}

/// What a command takes, and what it does.
fn entry(command: &Command, width: usize) -> String {
    let mut usage = command.name.to_owned();
    for place in command.places {
        usage = usage + " " + place.name;
    }
    if width < WIDE {
        return format!("  {usage}\n{}", paragraph(command.about, "    ", width));
    }
    let about = wrap(command.about, width - USAGE - 2);
    let mut text = String::new();
    for (at, line) in about.iter().enumerate() {
        let usage = if at == 0 { usage.as_str() } else { "" };
        text.push_str(&format!("  {usage:<USAGE$}{line}\n"));
    }
    text
}

fn paragraph(text: &str, margin: &str, width: usize) -> String {
    let lines = wrap(text, width.saturating_sub(margin.len()).max(16));
    lines.iter().map(|line| format!("{margin}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::width::columns;

    #[test]
    fn help_fits_any_screen_and_knows_every_command() {
        for width in [40, 80, 200] {
            let mut all = vec![help(None, width).unwrap()];
            all.extend(SUBJECTS.iter().map(|(name, _)| help(Some(name), width).unwrap()));
            for text in &all {
                for line in text.lines() {
                    assert!(columns(line) <= width, "{width}: {line}");
                }
            }
            for name in commands::names() {
                assert!(all[0].contains(name), "{name}");
                assert!(help(Some(name), width).is_some(), "{name}");
            }
        }
        assert!(help(Some("timer"), 80).unwrap().starts_with(".timer"));
        assert!(help(Some("nothing"), 80).is_none());
    }

    #[test]
    fn usages_fit_their_column() {
        for command in commands::all() {
            let width: usize = command.places.iter().map(|p| p.name.len() + 1).sum();
            assert!(command.name.len() + width < USAGE, "{}", command.name);
        }
    }
}
