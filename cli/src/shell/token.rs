//! A line as words, each with its place.
//!
//! | word | begins with | ends at | means |
//! |---|---|---|---|
//! | bare | anything else | white space | itself |
//! | double-quoted | `"` | the next `"` that is not escaped | a JSON string |
//! | single-quoted | `'` | the next `'` | itself, without the quotes; `''` is a quote |
//! | JSON | `{` or `[` | the bracket that closes it | itself |
//!
//! White space parts words. A backslash at the end of a line is white space too, and lets the
//! command go on in the next line, as an open quote or bracket does.

use super::syntax::Syntax;
use std::ops::Range;

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it means.
    pub text: String,
    /// How it was written.
    pub kind: Kind,
    /// Where, in bytes of the line.
    pub span: Range<usize>,
}

/// How a word was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Bare,
    /// Between quotes.
    Quoted,
    /// Between brackets.
    Json,
}

/// Cuts a line into words.
///
/// # Errors
/// Where it is no line; [`Syntax::is_unfinished`] where more of it would make it one.
pub fn tokens(line: &str) -> Result<Vec<Token>, Syntax> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(start) = next_word(line, at)? {
        let token = match line.as_bytes()[start] {
            b'"' => double_quoted(line, start)?,
            b'\'' => single_quoted(line, start)?,
            b'{' | b'[' => json(line, start)?,
            _ => bare(line, start),
        };
        at = token.span.end;
        if token.kind != Kind::Bare
            && let Some(next) = line[at..].chars().next()
            && !next.is_whitespace()
            && !line[at..].starts_with("\\\n")
        {
            let what = if token.kind == Kind::Json { "bracket" } else { "quote" };
            let message = format!("a space must follow the closing {what}");
            return Err(Syntax::new(at..at + next.len_utf8(), message));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// Where the next word begins.
fn next_word(line: &str, mut at: usize) -> Result<Option<usize>, Syntax> {
    loop {
        let rest = &line[at..];
        at += rest.len() - rest.trim_start().len();
        match line[at..].strip_prefix('\\') {
            Some("") => return Err(Syntax::unfinished(at, "the command goes on in the next line")),
            Some(rest) if rest.starts_with('\n') => at += 2,
            Some(rest) if rest.starts_with("\r\n") => at += 3,
            _ => return Ok((at < line.len()).then_some(at)),
        }
    }
}

fn bare(line: &str, start: usize) -> Token {
    let rest = &line[start..];
    let mut end = rest.find(char::is_whitespace).map_or(line.len(), |len| start + len);
    // The backslash that lets the command go on is no part of the word before it.
    let word = &line[start..end];
    if word.len() > 1
        && word.ends_with('\\')
        && matches!(line[end..].chars().next(), None | Some('\n'))
    {
        end -= 1;
    }
    Token { text: line[start..end].to_owned(), kind: Kind::Bare, span: start..end }
}

fn double_quoted(line: &str, start: usize) -> Result<Token, Syntax> {
    let Some(end) = string_end(line, start) else {
        return Err(Syntax::unfinished(start, "this quote is not closed"));
    };
    // JSON has no ends of lines within strings; people do.
    let json = line[start..end].replace('\r', "").replace('\n', "\\n").replace('\t', "\\t");
    let text = serde_json::from_str(&json)
        .map_err(|cause| Syntax::new(start..end, format!("no string of JSON: {cause}")))?;
    Ok(Token { text, kind: Kind::Quoted, span: start..end })
}

/// Behind the quote that closes the one at `start`.
fn string_end(line: &str, start: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn single_quoted(line: &str, start: usize) -> Result<Token, Syntax> {
    let mut text = String::new();
    let mut at = start + 1;
    while let Some(len) = line[at..].find('\'') {
        text.push_str(&line[at..at + len]);
        at += len + 1;
        if !line[at..].starts_with('\'') {
            return Ok(Token { text, kind: Kind::Quoted, span: start..at });
        }
        text.push('\'');
        at += 1;
    }
    Err(Syntax::unfinished(start, "this quote is not closed"))
}

fn json(line: &str, start: usize) -> Result<Token, Syntax> {
    let mut open = Vec::new();
    let mut at = start;
    while at < line.len() {
        match line.as_bytes()[at] {
            b'"' => {
                let end = string_end(line, at);
                at = end.ok_or_else(|| Syntax::unfinished(at, "this quote is not closed"))?;
                continue;
            }
            b @ (b'{' | b'[') => open.push((at, b)),
            b @ (b'}' | b']') => match open.pop() {
                // In ASCII what closes a bracket comes two behind it.
                Some((_, opened)) if b == opened + 2 => {}
                _ => {
                    let message = "this bracket closes none that is open".to_owned();
                    return Err(Syntax::new(at..at + 1, message));
                }
            },
            _ => {}
        }
        at += 1;
        if open.is_empty() {
            let text = line[start..at].to_owned();
            return Ok(Token { text, kind: Kind::Json, span: start..at });
        }
    }
    let (at, _) = open.last().copied().unwrap_or((start, b'{'));
    Err(Syntax::unfinished(at, "this bracket is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        tokens(line).unwrap().into_iter().map(|token| token.text).collect()
    }

    fn unfinished(line: &str) -> bool {
        tokens(line).unwrap_err().is_unfinished()
    }

    #[test]
    fn words_are_parted_by_space_quotes_and_brackets() {
        assert_eq!(words("  get user:1 "), ["get", "user:1"]);
        assert_eq!(words(r#"put "a \"b\" ö" 'it''s'"#), ["put", "a \"b\" ö", "it's"]);
        assert_eq!(words(r#"put k {"a": [1, "}"]} x"#), ["put", "k", r#"{"a": [1, "}"]}"#, "x"]);
        assert_eq!(words("put k don't C:\\dir"), ["put", "k", "don't", "C:\\dir"]);
        assert_eq!(words("put k 'a\nb' \"c\nd\""), ["put", "k", "a\nb", "c\nd"]);
        assert_eq!(words("put \\\n k\\\n v"), ["put", "k", "v"]);
        assert!(words("").is_empty() && words(" \n ").is_empty());
    }

    #[test]
    fn what_is_open_waits_for_more() {
        for line in ["put k {", "put k [1,", "put \"k", "put 'k''", "put k \\", "a\\", "x {\"a"] {
            assert!(unfinished(line), "{line}");
        }
    }

    #[test]
    fn what_can_never_be_a_line_is_refused_at_its_place() {
        for (line, at) in [("put {]", 5), ("a 'b'c", 5), ("a {}x", 4), ("a \"\\q\"", 2)] {
            let error = tokens(line).unwrap_err();
            assert!(!error.is_unfinished(), "{line}");
            assert_eq!(error.span().start, at, "{line}");
        }
    }
}
