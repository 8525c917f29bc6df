//! Lines of the transaction-time index.
//!
//! ```text
//! offset size field
//! 0      1    kind: 1 put, 2 end, 3 delete
//! 1      8    valid_from
//! 9      8    valid_to
//! 17          encoded key
//! ```

use super::take::Take;
use crate::{ChangeKind, Interval, Result, TreeName};

/// One line: what was written to which key, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'b> {
    pub(crate) kind: ChangeKind,
    pub(crate) valid: Interval,
    /// Encoded, and not yet checked to be a key.
    pub(crate) key: &'b [u8],
}

impl<'b> Line<'b> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            ChangeKind::Put => 1,
            ChangeKind::End => 2,
            ChangeKind::Delete => 3,
        });
        out.extend_from_slice(&self.valid.from().0.to_le_bytes());
        out.extend_from_slice(&self.valid.to().0.to_le_bytes());
        out.extend_from_slice(self.key);
    }

    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt)
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self> {
        let mut take = Take::new(TreeName::Changes, bytes);
        let kind = match take.u8()? {
            1 => ChangeKind::Put,
            2 => ChangeKind::End,
            3 => ChangeKind::Delete,
            _ => return Err(take.corrupt("its kind is unknown")),
        };
        let valid = take.interval()?;
        Ok(Self { kind, valid, key: take.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValidTime;

    #[test]
    fn golden_bytes() {
        let valid = Interval::new(ValidTime(1), ValidTime::INFINITY).unwrap();
        let line = Line { kind: ChangeKind::End, valid, key: b"key" };
        let mut bytes = Vec::new();
        line.encode(&mut bytes);
        let mut expected = vec![2];
        expected.extend_from_slice(&1i64.to_le_bytes());
        expected.extend_from_slice(&i64::MAX.to_le_bytes());
        expected.extend_from_slice(b"key");
        assert_eq!(bytes, expected);
        assert_eq!(Line::decode(&bytes).unwrap(), line);
        assert!(Line::decode(&bytes[..16]).is_err());
        bytes[0] = 0;
        assert!(Line::decode(&bytes).is_err());
    }
}
