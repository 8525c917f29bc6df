//! Events: the interval as it was written, and the value.
//!
//! ```text
//! offset size field
//! 0      1    kind: 1 value, 2 absence
//! 1      1    codec of the value; 0 plain, the rest is reserved for delta coding
//! 2      8    valid_from
//! 10     8    valid_to
//! 18          value, for kind 1
//! ```

use super::take::Take;
use crate::{Error, Interval, Result, TreeName};

const VALUE: u8 = 1;
const ABSENCE: u8 = 2;
const HEADER: usize = 18;
const _: () = assert!(HEADER == 1 + 1 + 8 + 8);

/// An event without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// As written: what later operations of its own transaction took away is part of it.
    pub(crate) valid: Interval,
    pub(crate) absence: bool,
}

impl Event {
    /// Appends the entry; `value` is empty for an absence.
    pub(crate) fn encode(&self, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&[if self.absence { ABSENCE } else { VALUE }, 0]);
        out.extend_from_slice(&self.valid.from().0.to_le_bytes());
        out.extend_from_slice(&self.valid.to().0.to_le_bytes());
        out.extend_from_slice(value);
    }

    /// The event, and where its value starts.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownCodec`]
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut take = Take::new(TreeName::Events, bytes);
        let (kind, codec) = (take.u8()?, take.u8()?);
        if codec != 0 {
            return Err(Error::UnknownCodec { tree: TreeName::Events, codec });
        }
        let valid = take.interval()?;
        match kind {
            VALUE => Ok((Self { valid, absence: false }, HEADER)),
            ABSENCE if take.len() == 0 => Ok((Self { valid, absence: true }, HEADER)),
            ABSENCE => Err(take.corrupt("a value where there is none")),
            _ => Err(take.corrupt("its kind is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValidTime;

    #[test]
    fn golden_bytes() {
        let valid = Interval::new(ValidTime(-1), ValidTime(2)).unwrap();
        let mut bytes = Vec::new();
        Event { valid, absence: false }.encode(b"v", &mut bytes);
        let mut expected = vec![1, 0];
        expected.extend_from_slice(&(-1i64).to_le_bytes());
        expected.extend_from_slice(&2i64.to_le_bytes());
        expected.push(b'v');
        assert_eq!(bytes, expected);
        assert_eq!(Event::decode(&bytes).unwrap(), (Event { valid, absence: false }, 18));
    }

    #[test]
    fn mangled_events_are_refused() {
        let valid = Interval::new(ValidTime(1), ValidTime(2)).unwrap();
        let mut bytes = Vec::new();
        Event { valid, absence: true }.encode(b"", &mut bytes);
        for cut in 0..bytes.len() {
            assert!(Event::decode(&bytes[..cut]).is_err());
        }
        let mangled = |offset: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[offset] = byte;
            Event::decode(&bytes)
        };
        assert!(matches!(mangled(0, 3), Err(Error::Corrupt { .. })));
        assert!(matches!(mangled(1, 9), Err(Error::UnknownCodec { codec: 9, .. })));
        assert!(matches!(mangled(2, 2), Err(Error::Corrupt { .. })));
        bytes.push(0);
        assert!(matches!(Event::decode(&bytes), Err(Error::Corrupt { .. })));
    }
}
