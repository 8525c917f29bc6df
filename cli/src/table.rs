//! Tables for people: aligned columns under a thin line, wrapped to the width of the screen.

use comfy_table::{ContentArrangement, LineStyle, Row, Table, TableStyle};
use std::io::{self, IsTerminal};

/// What a table is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns to wrap to; `None` wraps nothing.
    pub width: Option<u16>,
}

/// Lines that one row may take on a screen; files take all.
const ROW_LINES_MAX: usize = 8;

const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

impl Screen {
    /// Standard output: a terminal as it is, else a file or a pipe.
    pub fn stdout() -> Self {
        let width = if io::stdout().is_terminal() { Table::new().width() } else { None };
        Self { width }
    }

    /// A table of `rows` under `header`, each cell of one or more lines.
    pub fn table<const N: usize>(
        self,
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
                row.max_height(ROW_LINES_MAX);
            }
            table.add_row(row);
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
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
        let text = Screen { width: Some(80) }.table(["key", "value"], rows());
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let text = Screen { width: None }.table(["key", "value"], rows());
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
