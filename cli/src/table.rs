//! Tables for people: aligned columns under a thin line, wrapped to the width of the screen.

use crate::width;
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Row, Table, TableStyle, Width};
use std::io::{self, IsTerminal};

/// What a table is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns to wrap to; `None` wraps nothing.
    pub width: Option<u16>,
}

const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

impl Screen {
    /// Standard output: a terminal as it is, else a file or a pipe.
    pub fn stdout() -> Self {
        Self { width: if io::stdout().is_terminal() { columns() } else { None } }
    }

    /// Standard error, likewise.
    pub fn stderr() -> Self {
        Self { width: if io::stderr().is_terminal() { columns() } else { None } }
    }

    /// The beginning of a long text; files take all of it.
    pub fn cut(self, text: String, columns_max: usize) -> String {
        if self.width.is_none() { text } else { width::cut(&text, columns_max, '…') }
    }

    /// Lines of text; on a screen they wrap at spaces.
    pub fn wrap(self, text: &str) -> String {
        width::wrap_lines(text, self.width.map(usize::from))
    }

    /// Whether times have lines of their own beside what they are.
    pub fn is_narrow(self) -> bool {
        self.width.is_some_and(|width| width < 60)
    }

    /// A table of `rows` under `header`, each cell of one or more lines. What takes more than
    /// `lines_max` is cut on a screen; files take all.
    pub fn table<const N: usize>(
        self,
        lines_max: usize,
        header: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        let mut table = Table::new();
        table.load_style(STYLE).force_no_tty().set_header(header);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        for row in rows {
            let mut row = Row::from(row);
            if self.width.is_some() {
                row.max_height(lines_max);
            }
            table.add_row(row);
        }
        if let Some(width) = self.width {
            // On a narrow screen a time takes more than half of it, and is not to be broken either.
            let most = if width < 60 { width * 3 / 5 } else { width / 2 };
            keep_whole(&mut table, most);
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
}

/// Columns of the terminal; one that does not know its size says 0.
fn columns() -> Option<u16> {
    Table::new().width().filter(|&width| width > 0)
}

/// Keeps the first column, the names of the others, from being broken up to `width_max`.
fn keep_whole(table: &mut Table, width_max: u16) {
    let widths = table.column_max_content_widths();
    if let (Some(column), Some(&content)) = (table.column_mut(0), widths.first()) {
        let width = (content + column.padding_width()).min(width_max);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
}

/// Whether standard output is a terminal that wants colours.
pub fn is_coloured() -> bool {
    io::stdout().is_terminal() && wants_colours()
}

/// Whether standard error is.
pub fn is_coloured_error() -> bool {
    io::stderr().is_terminal() && wants_colours()
}

/// As <https://no-color.org> has it.
fn wants_colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Text without what a terminal would obey.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A key as people read it: text, and what is none of it escaped.
pub fn printable_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => printable(text),
        Err(_) => key.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(printable("plain, ö, 名"), "plain, ö, 名");
        assert_eq!(printable("\x1b[2J\r\n\u{9b}m\0"), "\\u{1b}[2J\\r\\n\\u{9b}m\\u{0}");
        assert_eq!(printable("\\n"), "\\\\n");
        assert_eq!(printable_key(b"a\xffb"), "a\\xffb");
    }

    #[test]
    fn a_table_wraps_to_its_screen() {
        let rows = || [["user:1".to_owned(), "word ".repeat(40)]];
        let text = Screen { width: Some(80) }.table(8, ["key", "value"], rows());
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let text = Screen { width: None }.table(8, ["key", "value"], rows());
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
