//! MessagePack, byte by byte: one whole document, its lengths and counts within it. What its
//! strings and extensions hold is not asked.

use super::Judged;

/// How deep containers may be nested: what reads them back bounds its recursion.
const DEPTH_MAX: usize = 1000;

/// How far the document is read.
pub(crate) struct MessagePackBytes {
    /// Elements that must still follow, of each container that is open and of the document.
    left: Vec<u64>,
    /// Bytes of the element in hand that are still to be passed over.
    skip: u64,
    /// A length or a count that is being read.
    length: Option<Length>,
}

struct Length {
    of: Of,
    bytes_left: u8,
    value: u64,
}

/// What a length is of.
#[derive(Clone, Copy)]
enum Of {
    /// So many bytes, and these more.
    Bytes(u64),
    Array,
    Map,
}

impl Default for MessagePackBytes {
    fn default() -> Self {
        Self { left: vec![1], skip: 0, length: None }
    }
}

impl MessagePackBytes {
    /// Takes more of the document.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Judged {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let now = self.skip.min(bytes.len() as u64);
                self.skip -= now;
                bytes = &bytes[now as usize..];
                if self.skip == 0 {
                    self.ended();
                }
                continue;
            }
            bytes = rest;
            match self.length.take() {
                Some(Length { of, bytes_left, value }) => {
                    self.length(of, bytes_left - 1, value << 8 | u64::from(byte))?;
                }
                None if self.left.is_empty() => return Err("there is more behind its end"),
                None => self.marker(byte)?,
            }
        }
        Ok(())
    }

    /// Whether the document may end here.
    pub(super) fn finish(&self) -> Judged {
        if self.left.is_empty() { Ok(()) } else { Err("it is no MessagePack: it is cut short") }
    }

    fn marker(&mut self, marker: u8) -> Judged {
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => {
                self.ended();
                Ok(())
            }
            0x80..=0x8f => self.length(Of::Map, 0, u64::from(marker & 0x0f)),
            0x90..=0x9f => self.length(Of::Array, 0, u64::from(marker & 0x0f)),
            0xa0..=0xbf => self.length(Of::Bytes(0), 0, u64::from(marker & 0x1f)),
            0xc1 => Err("it is no MessagePack: a marker is unknown"),
            0xc4..=0xc6 => self.length(Of::Bytes(0), 1 << (marker - 0xc4), 0),
            // The type of an extension is a byte.
            0xc7..=0xc9 => self.length(Of::Bytes(1), 1 << (marker - 0xc7), 0),
            0xca => self.length(Of::Bytes(4), 0, 0),
            0xcb => self.length(Of::Bytes(8), 0, 0),
            0xcc..=0xcf => self.length(Of::Bytes(1 << (marker - 0xcc)), 0, 0),
            0xd0..=0xd3 => self.length(Of::Bytes(1 << (marker - 0xd0)), 0, 0),
            0xd4..=0xd8 => self.length(Of::Bytes(1 + (1 << (marker - 0xd4))), 0, 0),
            0xd9..=0xdb => self.length(Of::Bytes(0), 1 << (marker - 0xd9), 0),
            0xdc | 0xdd => self.length(Of::Array, 2 << (marker - 0xdc), 0),
            0xde | 0xdf => self.length(Of::Map, 2 << (marker - 0xde), 0),
        }
    }

    /// A length of which `bytes_left` bytes are still to come.
    fn length(&mut self, of: Of, bytes_left: u8, value: u64) -> Judged {
        if bytes_left > 0 {
            self.length = Some(Length { of, bytes_left, value });
            return Ok(());
        }
        let elements = match of {
            Of::Bytes(more) => {
                self.skip = value + more;
                if self.skip == 0 {
                    self.ended();
                }
                return Ok(());
            }
            Of::Array => value,
            Of::Map => 2 * value,
        };
        if elements == 0 {
            self.ended();
        } else if self.left.len() > DEPTH_MAX {
            return Err("it is nested more than 1000 deep");
        } else {
            self.left.push(elements);
        }
        Ok(())
    }

    /// An element has ended, and with it perhaps what is around it.
    fn ended(&mut self) {
        while let Some(left) = self.left.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.left.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::IgnoredAny;

    fn accepts(bytes: &[u8], len: usize) -> bool {
        let mut check = MessagePackBytes::default();
        bytes.chunks(len.max(1)).all(|piece| check.push(piece).is_ok()) && check.finish().is_ok()
    }

    /// What reads it back, up to its very end.
    fn parses(bytes: &[u8]) -> bool {
        let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
        IgnoredAny::deserialize(&mut reader).is_ok() && reader.position() == bytes.len() as u64
    }

    #[test]
    fn every_marker_takes_what_belongs_to_it() {
        for marker in 0..=255u8 {
            for zeros in 0..40 {
                let bytes = [&[marker][..], &vec![0; zeros]].concat();
                assert_eq!(accepts(&bytes, 1), parses(&bytes), "{marker:#x} and {zeros} zeros");
                let small = [&[marker][..], &[0, 0, 0, 3], &vec![1; zeros]].concat();
                assert_eq!(accepts(&small, 3), parses(&small), "{marker:#x}, 3, {zeros} ones");
            }
        }
    }

    #[test]
    fn what_claims_to_be_long_takes_no_memory() {
        let mut check = MessagePackBytes::default();
        assert!(check.push(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_ok());
        assert!(check.push(&[0xdb, 0xff, 0xff, 0xff, 0xff]).is_ok());
        assert!(check.push(&[0; 1000]).is_ok() && check.finish().is_err());
        assert!(!accepts(&[0x91; 2000], 9), "nested too deep");
        assert!(accepts(&[&[0x91; 900][..], &[0]].concat(), 9));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn it_is_accepted_exactly_where_it_is_read_back(
            bytes in proptest::collection::vec(
                prop_oneof![0x80u8..=0xdf, 0u8..4, any::<u8>()], 0..40),
            len in 1usize..9,
        ) {
            prop_assert_eq!(accepts(&bytes, len), parses(&bytes));
            // A beginning of any bytes that are one.
            for end in 0..bytes.len() {
                if parses(&bytes[..end]) {
                    prop_assert!(accepts(&bytes[..end], len));
                }
            }
        }
    }
}
