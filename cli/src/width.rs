//! How many columns of a terminal a text takes, and cutting it to fewer.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that `text` takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// The beginning of `text` that takes at most `columns_max`, marked where something is cut off.
pub fn cut(text: &str, columns_max: usize, mark: char) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    if columns_max == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if taken + width > columns_max - 1 {
            break;
        }
        taken += width;
        out.push(c);
    }
    out.push(mark);
    out
}

/// `text`, filled with `fill` to `columns_min`.
pub fn pad(mut text: String, columns_min: usize, fill: char) -> String {
    for _ in columns(&text)..columns_min {
        text.push(fill);
    }
    text
}

/// Text cut to lines of `columns_max`, at spaces where there are any.
pub fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= columns_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, columns_max, '…')),
        }
    }
    lines
}

/// The lines of a text, each cut likewise where it is longer; lines that begin with a space, which mark
/// a place in another one, are left as they are. `None` cuts nothing.
pub fn wrap_lines(text: &str, columns_max: Option<usize>) -> String {
    let Some(columns_max) = columns_max else { return text.to_owned() };
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(' ') || columns(line) <= columns_max {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        for part in wrap(line, columns_max) {
            out.push_str(&part);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(columns("名a"), 3);
        assert_eq!(cut("名前は", 4, '…'), "名…");
        assert_eq!(cut("名前は", 6, '…'), "名前は");
        assert_eq!(cut("abc", 2, '~'), "a~");
        assert_eq!(cut("abc", 0, '~'), "");
        assert_eq!(pad("名".to_owned(), 4, '-'), "名--");
    }

    #[test]
    fn text_wraps_at_spaces() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaa b", 4), ["aaa…", "b"]);
    }

    #[test]
    fn long_lines_wrap_and_marks_stay() {
        let text = "aa bb cc\n  aa bb cc\nd\n";
        assert_eq!(wrap_lines(text, Some(5)), "aa bb\ncc\n  aa bb cc\nd\n");
        assert_eq!(wrap_lines(text, None), text);
    }
}
