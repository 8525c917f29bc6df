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
}
