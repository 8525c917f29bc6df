//! JSON text (RFC 8259), byte by byte. What is accepted here is what the parser accepts that reads
//! it back: UTF-8, no half of a surrogate pair, nested as deep as other JSON may be.
//!
//! ```text
//!            { -> KeyOrEnd --"--> String(key) -> Colon --:--> Value
//! Value --+  [ -> ValueOrEnd
//!         |  "..", 12, true -> After -- , --> Key or Value
//!         +--------------------> After -- } or ] --> After of what is around it
//! ```

use super::Judged;
use crate::value::json::{DEPTH_MAX, NUMBER_KEY};

/// How far the text is read.
#[derive(Default)]
pub(crate) struct JsonText {
    state: State,
    /// What is open, outermost first; `true` for an object.
    open: Vec<bool>,
    utf8: Utf8,
    /// How much of the reserved key the first key of an object spells; `None` where it differs.
    reserved: Option<usize>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    After,
    String(Text),
    Literal(&'static [u8]),
    Number(Digits),
}

/// Where in a string it is, and whether that is a key.
#[derive(Clone, Copy)]
struct Text {
    is_key: bool,
    at: InText,
}

#[derive(Clone, Copy)]
enum InText {
    Plain,
    /// Behind a backslash.
    Escape,
    /// In `\u0000`: digits so far, and how many; with the first half of a pair, if there was one.
    Hex {
        unit: u16,
        count: u8,
        high: bool,
    },
    /// The other half must follow: a backslash...
    LowEscape,
    /// ...and a `u`.
    LowHex,
}

#[derive(Clone, Copy, PartialEq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

/// Bytes that must still follow of a character, and within which bounds the next one is.
#[derive(Clone, Copy, Default)]
struct Utf8 {
    left: u8,
    from: u8,
    to: u8,
}

const UNEXPECTED: &str = "it is no JSON: a character is out of place";
const CUT: &str = "it is no JSON: it is cut short";

impl JsonText {
    /// Takes more of the text.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Judged {
        bytes.iter().try_for_each(|&byte| self.step(byte))
    }

    /// Whether the text may end here.
    pub(super) fn finish(&self) -> Judged {
        let ends = match self.state {
            State::After => true,
            State::Number(digits) => digits.may_end(),
            _ => false,
        };
        if ends && self.open.is_empty() { Ok(()) } else { Err(CUT) }
    }

    fn step(&mut self, byte: u8) -> Judged {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::String(text) => return self.text(text, byte),
            State::Literal([next, rest @ ..]) => {
                if byte != *next {
                    return Err(UNEXPECTED);
                }
                self.state = if rest.is_empty() { State::After } else { State::Literal(rest) };
                return Ok(());
            }
            State::Number(digits) => match digits.next(byte) {
                Some(digits) => {
                    self.state = State::Number(digits);
                    return Ok(());
                }
                None if digits.may_end() => self.state = State::After,
                None => return Err("it is no JSON: a number is cut short"),
            },
            _ => {}
        }
        if is_space {
            return Ok(());
        }
        match (self.state, byte) {
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => self.close(byte),
            (State::Value | State::ValueOrEnd, _) => self.value(byte),
            (State::Key | State::KeyOrEnd, b'"') => {
                let is_first = matches!(self.state, State::KeyOrEnd);
                self.reserved = is_first.then_some(0);
                self.state = State::String(Text { is_key: true, at: InText::Plain });
                Ok(())
            }
            (State::Colon, b':') => {
                self.state = State::Value;
                Ok(())
            }
            (State::After, b',') => {
                let in_object = *self.open.last().ok_or(UNEXPECTED)?;
                self.state = if in_object { State::Key } else { State::Value };
                Ok(())
            }
            (State::After, b']' | b'}') => self.close(byte),
            _ => Err(UNEXPECTED),
        }
    }

    fn value(&mut self, byte: u8) -> Judged {
        if self.open.len() > DEPTH_MAX {
            return Err("it is nested more than 126 deep");
        }
        self.state = match byte {
            b'{' | b'[' => {
                self.open.push(byte == b'{');
                if byte == b'{' { State::KeyOrEnd } else { State::ValueOrEnd }
            }
            b'"' => State::String(Text { is_key: false, at: InText::Plain }),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            _ => return Err(UNEXPECTED),
        };
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Judged {
        if self.open.pop() != Some(byte == b'}') {
            return Err(UNEXPECTED);
        }
        self.state = State::After;
        Ok(())
    }

    fn text(&mut self, Text { is_key, at }: Text, byte: u8) -> Judged {
        let next = match (at, byte) {
            (InText::Plain, _) if self.utf8.left > 0 => {
                self.utf8.follow(byte)?;
                InText::Plain
            }
            (InText::Plain, b'"') => {
                if is_key && self.reserved.take() == Some(NUMBER_KEY.len()) {
                    return Err("it has a key that is reserved");
                }
                self.state = if is_key { State::Colon } else { State::After };
                return Ok(());
            }
            (InText::Plain, b'\\') => InText::Escape,
            (InText::Plain, 0..=0x1f) => {
                return Err("it is no JSON: a control character is not escaped");
            }
            (InText::Plain, _) => {
                self.utf8.begin(byte)?;
                self.spell(u16::from(byte));
                InText::Plain
            }
            (InText::Escape, b'u') => InText::Hex { unit: 0, count: 0, high: false },
            (InText::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                // None of what the letters stand for is in the reserved key.
                self.spell(if byte.is_ascii_lowercase() { 0 } else { u16::from(byte) });
                InText::Plain
            }
            (InText::Hex { unit, count, high }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(UNEXPECTED)? as u16;
                let unit = unit << 4 | digit;
                if count < 3 {
                    InText::Hex { unit, count: count + 1, high }
                } else {
                    self.spell(unit);
                    match (high, unit) {
                        (false, 0xd800..=0xdbff) => InText::LowEscape,
                        (true, 0xdc00..=0xdfff) => InText::Plain,
                        (true, _) | (false, 0xdc00..=0xdfff) => {
                            return Err("it is no JSON: half of a surrogate pair");
                        }
                        (false, _) => InText::Plain,
                    }
                }
            }
            (InText::LowEscape, b'\\') => InText::LowHex,
            (InText::LowHex, b'u') => InText::Hex { unit: 0, count: 0, high: true },
            (InText::LowEscape | InText::LowHex, _) => {
                return Err("it is no JSON: half of a surrogate pair");
            }
            (InText::Escape, _) => return Err("it is no JSON: an escape is unknown"),
        };
        self.state = State::String(Text { is_key, at: next });
        Ok(())
    }

    /// The next character of a key that may be the reserved one.
    fn spell(&mut self, unit: u16) {
        self.reserved = match self.reserved {
            Some(at) if NUMBER_KEY.as_bytes().get(at).map(|&b| u16::from(b)) == Some(unit) => {
                Some(at + 1)
            }
            _ => None,
        };
    }
}

impl Digits {
    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }

    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }
}

impl Utf8 {
    /// The first byte of a character (Unicode 16, table 3-7).
    fn begin(&mut self, byte: u8) -> Judged {
        let (left, from, to) = match byte {
            0..=0x7f => (0, 0, 0),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return Err("it is no JSON: its text is not UTF-8"),
        };
        *self = Self { left, from, to };
        Ok(())
    }

    fn follow(&mut self, byte: u8) -> Judged {
        if !(self.from..=self.to).contains(&byte) {
            return Err("it is no JSON: its text is not UTF-8");
        }
        *self = Self { left: self.left - 1, from: 0x80, to: 0xbf };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::json;
    use proptest::prelude::*;

    /// Judged in pieces of `len`.
    fn accepts(text: &[u8], len: usize) -> bool {
        let mut check = JsonText::default();
        text.chunks(len.max(1)).all(|piece| check.push(piece).is_ok()) && check.finish().is_ok()
    }

    /// What reads it back.
    fn parses(text: &[u8]) -> bool {
        serde_json::from_slice(text).is_ok_and(|value| json::check(&value).is_ok())
    }

    #[test]
    fn the_corners_of_the_grammar_are_those_of_the_parser() {
        let deep = |depth: usize, inner: &str| {
            format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
        };
        let mut texts: Vec<Vec<u8>> = [
            "",
            " ",
            "0",
            "-0",
            "00",
            "01",
            "-",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+",
            "1e+5",
            "1E400",
            "1.e1",
            "- 1",
            "1 2",
            "true",
            "tru",
            "truee",
            "nul",
            "null ",
            "\u{feff}1",
            "[]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "]",
            "[[]",
            "\"",
            "\"a",
            "\"\t\"",
            "\"\\t\\/\\b\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ud83d\\n\"",
            "\"\\ude00\"",
            "\"\\ud83d\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\\"\"",
            "{\"a\":{\"b\":[null,false]}} \r\n\t",
            "{\"a\":1,\"a\":2}",
            "[1]]",
            "\u{b}1",
            "1,",
            "\"é名😀\"",
            "NaN",
            "Infinity",
            "+1",
            "'a'",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
        texts.extend([
            deep(126, "1"),
            deep(127, ""),
            deep(127, "1"),
            deep(128, ""),
            deep(126, "{}"),
        ]);
        for bytes in [
            &b"\"\xff\""[..],
            b"\"\xc0\x80\"",
            b"\"\xed\xa0\x80\"",
            b"\"\xf4\x90\x80\x80\"",
            b"\"\xe2\x82\"",
            b"\"\xe2\"\xac\"",
            b"\"\xf0\x8f\xbf\xbf\"",
            b"\"\xf4\x8f\xbf\xbf\"",
            b"\xc3\xa9",
            b"\"\x80\"",
        ] {
            texts.push(bytes.to_vec());
        }
        for text in &texts {
            let expected = parses(text);
            for len in [1, 2, 3, 1000] {
                let shown = String::from_utf8_lossy(text);
                assert_eq!(accepts(text, len), expected, "{shown:.60} in pieces of {len}");
            }
        }
        assert!(texts.iter().filter(|text| parses(text)).count() >= 15);
    }

    #[test]
    fn the_key_of_numbers_is_refused_where_it_would_be_read_as_one() {
        let key = "$serde_json::private::Number";
        for (text, expected) in [
            (format!("{{\"{key}\":\"1\"}}"), false),
            (format!("{{\"\\u0024{}\":\"1\"}}", &key[1..]), false),
            (format!("[{{\"a\":{{ \"{key}\":1}}}}]"), false),
            (format!("{{\"a\":1,\"{key}\":\"1\"}}"), true),
            (format!("{{\"{key}s\":\"1\"}}"), true),
            (format!("{{\"{}\":\"1\"}}", &key[..27]), true),
            (format!("{{\"x{key}\":1,\"y\":\"{key}\"}}"), true),
        ] {
            assert_eq!(accepts(text.as_bytes(), 7), expected, "{text}");
        }
    }

    fn document() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f32>()
                .prop_filter("JSON has no others", |f| f.is_finite())
                .prop_map(|f| f.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            "\"(\\\\u[0-9a-fA-F]{4}|[a-z]|\\\\[nrt/]){0,6}\"",
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let members = proptest::collection::vec((any::<String>(), inner.clone()), 0..5);
            prop_oneof![
                proptest::collection::vec(inner, 0..6)
                    .prop_map(|items| format!("[ {}]", items.join(" ,"))),
                members.prop_map(|members| {
                    let member = |(key, value): &(String, String)| {
                        format!("{} :{value}", serde_json::to_string(key).unwrap())
                    };
                    let members: Vec<String> = members.iter().map(member).collect();
                    format!("{{{}\n}}", members.join(", "))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A document, and the same with a few bytes changed, left out or doubled.
        #[test]
        fn it_is_accepted_exactly_where_it_is_read_back(
            text in document(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..3, any::<u8>()), 0..3),
            len in 1usize..9,
        ) {
            let mut bytes = text.into_bytes();
            for (at, how, byte) in changes {
                if bytes.is_empty() { break; }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\"\\{}[],:0e-u \xc3\xa9"[usize::from(byte) % 15]),
                }
            }
            prop_assert_eq!(accepts(&bytes, len), parses(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
