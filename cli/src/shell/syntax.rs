//! What is wrong with a line, where, and what was probably meant.

use crate::table::printable;
use crate::width;
use std::fmt::Write;
use std::ops::Range;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    span: Range<usize>,
    message: String,
    help: Option<String>,
    unfinished: bool,
}

impl Syntax {
    /// Something is wrong at `span`, in bytes of the line.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None, unfinished: false }
    }

    /// The line ends too early; what is open was opened at `at`.
    pub fn unfinished(at: usize, message: &str) -> Self {
        let message = message.to_owned();
        Self { span: at..at + 1, message, help: None, unfinished: true }
    }

    /// With advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether more input may make it right.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Where.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The error for people: what, the line with the place marked, advice. Of a long line the part
    /// around the place is shown.
    pub fn show(&self, line: &str, width_max: usize) -> String {
        let mut out = format!("error: {}\n", printable(&self.message));
        let start = floor(line, self.span.start);
        let end = floor(line, self.span.end).max(start);
        let begin = line[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &line[start..];
        let stop = rest.find('\n').map_or(line.len(), |len| start + len);
        let room = width_max.saturating_sub(4).max(16);
        let before = printable(&line[begin..start]);
        let marked = printable(&line[start..end.min(stop)]);
        let behind = printable(&line[end.min(stop)..stop]);
        // What comes before is cut at its beginning: the place must be seen.
        let before = cut_front(&before, room / 2);
        let indent = width::columns(&before);
        let text = width::cut(&format!("{before}{marked}{behind}"), room, '…');
        let under = width::columns(&marked).clamp(1, room.saturating_sub(indent).max(1));
        let _ = writeln!(out, "  {text}");
        let _ = writeln!(out, "  {}{}", " ".repeat(indent), "^".repeat(under));
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{help}");
        }
        out
    }
}

/// The beginning of the character at `at`, or the end.
fn floor(line: &str, at: usize) -> usize {
    (0..=at.min(line.len())).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0)
}

fn cut_front(text: &str, columns_max: usize) -> String {
    if width::columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut start = text.len();
    for (at, _) in text.char_indices().rev() {
        if width::columns(&text[at..]) > columns_max - 1 {
            break;
        }
        start = at;
    }
    format!("…{}", &text[start..])
}

/// What of `names` was probably meant by `word`: one that begins with it, or differs little.
pub fn meant<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let far = |name: &str| {
        if word.len() >= 2 && name.starts_with(&word) { 1 } else { distance(&word, name) }
    };
    let near = names.map(|name| (far(name), name)).min_by_key(|(far, _)| *far);
    // Of short words one letter may differ, of longer ones more.
    let far_max = (word.chars().count() / 3).max(1);
    near.filter(|(far, _)| *far <= far_max).map(|(_, name)| name)
}

/// How many letters must be put in, left out, changed or swapped with the next (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_not() {
        let names = ["get", "put", "history", "timeline", "scan"];
        let meant = |word| meant(word, names.into_iter());
        assert_eq!(meant("gte"), Some("get"));
        assert_eq!(meant("histroy"), Some("history"));
        assert_eq!(meant("time"), Some("timeline"));
        assert_eq!(meant("SCAN"), Some("scan"));
        assert_eq!(meant("frobnicate"), None);
    }

    #[test]
    fn the_place_is_marked_on_any_line() {
        let line = format!("put 名前 {} {{]", "x".repeat(300));
        let error = Syntax::new(line.len() - 1..line.len(), "wrong \u{1b}[2J").help("try");
        for width in [20, 40, 80] {
            let text = error.show(&line, width);
            let lines: Vec<&str> = text.lines().collect();
            assert!(!text.contains('\u{1b}'));
            assert_eq!(lines.len(), 4, "{text}");
            let caret = lines[2].find('^').unwrap();
            assert_eq!(lines[1].chars().nth(caret), Some(']'), "{text}");
            assert!(lines[1].chars().count() <= width, "{text}");
        }
        let two = Syntax::new(6..9, "x").show("put a\nbcd e\nf", 80);
        assert_eq!(two, "error: x\n  bcd e\n  ^^^\n");
        // A place behind the end, or within a character.
        assert!(Syntax::new(99..100, "x").show("ab", 80).contains("  ab\n    ^"));
        assert!(Syntax::new(1..2, "x").show("ö", 80).contains("  ö\n  ^"));
    }
}
