//! Protobuf: messages as they are on the wire, and the name of their type.
//!
//! ```text
//! value := name_len varint | name, UTF-8 | message
//! ```
//!
//! `name_len` is 0 where no name is known. A message does not say what it is; its name does, as in
//! `google.protobuf.Any`: `package.Type`, without the URL before it.

use crate::{Error, Result};

/// Names are identifiers with dots between them: longer ones are none.
const NAME_BYTES_MAX: usize = 1024;

/// How deep groups may be nested, as in other parsers of Protobuf.
const DEPTH_MAX: usize = 100;

/// A message of Protobuf.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    name: Option<String>,
    bytes: Vec<u8>,
}

impl Message {
    /// A message, as it is on the wire, and the full name of its type if that is known.
    ///
    /// # Errors
    /// [`Error::BadValue`] for bytes that are no message and for names that are no names.
    pub fn new(name: Option<&str>, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        if let Some(name) = name {
            check_name(name)?;
        }
        check_wire(&bytes).map_err(|why| Error::BadValue { why: why.to_owned() })?;
        Ok(Self { name: name.map(str::to_owned), bytes })
    }

    /// The full name of its type.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The message on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is stored as, behind its tag.
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.name.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(2 + name.len() + self.bytes.len());
        let mut len = name.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads back what [`Message::encode`] made.
    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let mut rest = stored;
        let len = usize::try_from(varint(&mut rest)?).ok()?;
        let (name, bytes) = rest.split_at_checked(len)?;
        let name = std::str::from_utf8(name).ok()?;
        if !name.is_empty() && check_name(name).is_err() {
            return None;
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Some(Self { name, bytes: bytes.to_vec() })
    }
}

impl std::fmt::Debug for Message {
    /// Name and length: contents are the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name.as_deref().unwrap_or("?");
        write!(f, "Message({name}, {} bytes)", self.bytes.len())
    }
}

fn check_name(name: &str) -> Result<()> {
    let word = |word: &str| {
        let mut letters = word.bytes();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
    };
    if name.len() <= NAME_BYTES_MAX && name.split('.').all(word) {
        return Ok(());
    }
    Err(Error::BadValue { why: "the name of its message type is no name".to_owned() })
}

/// Whether bytes are a sequence of whole fields: tags with a number and a known wire type, lengths
/// within the message, groups closed as they were opened. What the fields mean is not asked.
fn check_wire(bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "it is no message: a field is cut short";
    let mut rest = bytes;
    let mut groups = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest).ok_or(CUT)?;
        let (number, wire_type) = (tag >> 3, tag & 7);
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err("it is no message: a field has no number");
        }
        let len = match wire_type {
            0 => {
                varint(&mut rest).ok_or(CUT)?;
                0
            }
            1 => 8,
            2 => varint(&mut rest).ok_or(CUT)?,
            3 if groups.len() >= DEPTH_MAX => return Err("its groups are nested too deep"),
            3 => {
                groups.push(number);
                0
            }
            4 if groups.pop() != Some(number) => {
                return Err("it is no message: a group ends that did not begin");
            }
            4 => 0,
            5 => 4,
            _ => return Err("it is no message: a wire type is unknown"),
        };
        let len = usize::try_from(len).ok();
        rest = len.and_then(|len| rest.get(len..)).ok_or(CUT)?;
    }
    if groups.is_empty() { Ok(()) } else { Err("it is no message: a group does not end") }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let message = Message::new(Some("a.B"), [0x08, 0x96, 0x01]).unwrap();
        assert_eq!(message.encode(), [3, b'a', b'.', b'B', 0x08, 0x96, 0x01]);
        assert_eq!(Message::new(None, []).unwrap().encode(), [0]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let whole: [&[u8]; 6] = [
            &[],
            &[0x08, 0x01],
            &[0x12, 0x02, 1, 2, 0x1d, 1, 2, 3, 4],
            &[0x09, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x0b, 0x08, 0x01, 0x0c],
            &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0],
        ];
        for bytes in whole {
            assert!(Message::new(None, bytes).is_ok(), "{bytes:?}");
        }
        let broken: [&[u8]; 9] = [
            &[0x08],
            &[0x00, 0x01],
            &[0x12, 0x03, 1, 2],
            &[0x1d, 1, 2, 3],
            &[0x0b, 0x08, 0x01],
            &[0x0b, 0x14],
            &[0x0e],
            &[0x80, 0x80, 0x80, 0x80, 0x10, 0],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ];
        for bytes in broken {
            assert!(matches!(Message::new(None, bytes), Err(Error::BadValue { .. })), "{bytes:?}");
        }
        assert!(Message::new(None, vec![0x0b; 101]).is_err());
        for name in ["", ".", "a.", "1a", "a b", "ä", &"a".repeat(1025)] {
            assert!(Message::new(Some(name), []).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn messages_read_back(
            name in proptest::option::of("[A-Za-z_][a-z0-9_]{0,150}(\\.[A-Z][a-z]{0,9}){0,3}"),
            fields in proptest::collection::vec((1u8..16, any::<u8>()), 0..20),
        ) {
            let bytes: Vec<u8> = fields.iter().flat_map(|(n, v)| [n << 3, v & 0x7F]).collect();
            let message = Message::new(name.as_deref(), bytes).unwrap();
            prop_assert_eq!(Message::decode(&message.encode()), Some(message));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Message::decode(&bytes);
            let _ = Message::new(None, bytes);
        }
    }
}
