//! Rectangles: a segment of valid time and how long it was believed.
//!
//! ```text
//! live value                               past value
//! offset size field                        offset size field
//! 0      1    kind: 1 value, 2 absence     0      1    kind: 1 value, 2 absence
//! 1      8    valid_to                     1      8    valid_from
//! 9      8    tx_from                      9      8    valid_to
//! 17     8    tx of the event              17     8    tx_to
//! 25     4    op of the event              25     8    tx of the event
//! 29                                       33     4    op of the event
//!                                          37
//! ```
//!
//! The key of `live` carries valid_from, that of `past` fork and tx_from.

use super::fork::fork;
use super::key::{EncodedKey, KeyBuf, decode_live, decode_past};
use super::take::Take;
use crate::{EventId, Interval, Result, TreeName, TxTime};

const VALUE: u8 = 1;
const ABSENCE: u8 = 2;
const LIVE_SIZE: usize = 29;
const PAST_SIZE: usize = 37;
const _: () = assert!(LIVE_SIZE == 1 + 8 + 8 + 8 + 4);
const _: () = assert!(PAST_SIZE == 1 + 8 + 8 + 8 + 8 + 4);

/// `[valid.from, valid.to) x [tx_from, tx_to)`, over which one event answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) valid: Interval,
    pub(crate) tx_from: TxTime,
    /// Infinity while it is believed.
    pub(crate) tx_to: TxTime,
    pub(crate) event: EventId,
    pub(crate) absence: bool,
}

impl Rect {
    /// The key and the value of an open rectangle.
    pub(crate) fn encode_live(&self, key: &EncodedKey) -> (KeyBuf, [u8; LIVE_SIZE]) {
        assert!(self.tx_to == TxTime::INFINITY, "what lives is not closed");
        let mut value = [0; LIVE_SIZE];
        value[0] = self.kind();
        value[1..9].copy_from_slice(&self.valid.to().0.to_le_bytes());
        value[9..17].copy_from_slice(&self.tx_from.0.to_le_bytes());
        value[17..25].copy_from_slice(&self.event.tx.0.to_le_bytes());
        value[25..].copy_from_slice(&self.event.op.to_le_bytes());
        (key.live(self.valid.from()), value)
    }

    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt)
    pub(crate) fn decode_live(suffix: &[u8], value: &[u8]) -> Result<Self> {
        let from = decode_live(suffix)?;
        let mut take = Take::new(TreeName::Live, value);
        let absence = absence(&mut take)?;
        let to = take.valid()?;
        let valid = take.check_interval(from, to)?;
        let tx_from = take.tx()?;
        let event = EventId { tx: take.tx()?, op: take.u32()? };
        take.end()?;
        Ok(Self { valid, tx_from, tx_to: TxTime::INFINITY, event, absence })
    }

    /// The key and the value of a closed rectangle.
    pub(crate) fn encode_past(&self, key: &EncodedKey) -> (KeyBuf, [u8; PAST_SIZE]) {
        assert!(self.tx_from < self.tx_to, "a rectangle was believed for some time");
        let mut value = [0; PAST_SIZE];
        value[0] = self.kind();
        value[1..9].copy_from_slice(&self.valid.from().0.to_le_bytes());
        value[9..17].copy_from_slice(&self.valid.to().0.to_le_bytes());
        value[17..25].copy_from_slice(&self.tx_to.0.to_le_bytes());
        value[25..33].copy_from_slice(&self.event.tx.0.to_le_bytes());
        value[33..].copy_from_slice(&self.event.op.to_le_bytes());
        (key.past(fork(self.valid), self.tx_from), value)
    }

    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt)
    pub(crate) fn decode_past(suffix: &[u8], value: &[u8]) -> Result<Self> {
        let (at, tx_from) = decode_past(suffix)?;
        let mut take = Take::new(TreeName::Past, value);
        let absence = absence(&mut take)?;
        let valid = take.interval()?;
        let tx_to = take.tx()?;
        let event = EventId { tx: take.tx()?, op: take.u32()? };
        if fork(valid) != at {
            return Err(take.corrupt("its interval does not fork where it hangs"));
        }
        if tx_from >= tx_to {
            return Err(take.corrupt("it was never believed"));
        }
        take.end()?;
        Ok(Self { valid, tx_from, tx_to, event, absence })
    }

    fn kind(&self) -> u8 {
        if self.absence { ABSENCE } else { VALUE }
    }
}

fn absence(take: &mut Take<'_>) -> Result<bool> {
    match take.u8()? {
        VALUE => Ok(false),
        ABSENCE => Ok(true),
        _ => Err(take.corrupt("its kind is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PartitionId, ValidTime};

    fn rect(tx_to: TxTime) -> Rect {
        Rect {
            valid: Interval::new(ValidTime(10), ValidTime(20)).unwrap(),
            tx_from: TxTime(3),
            tx_to,
            event: EventId { tx: TxTime(2), op: 1 },
            absence: false,
        }
    }

    #[test]
    fn golden_bytes_of_live() {
        let key = EncodedKey::new(PartitionId(0), b"k").unwrap();
        let rect = rect(TxTime::INFINITY);
        let (at, value) = rect.encode_live(&key);
        let mut expected = vec![1];
        for field in [20u64, 3, 2] {
            expected.extend_from_slice(&field.to_le_bytes());
        }
        expected.extend_from_slice(&1u32.to_le_bytes());
        assert_eq!(value[..], expected);
        let suffix = key.suffix_of(at.bytes()).unwrap();
        assert_eq!(Rect::decode_live(suffix, &value).unwrap(), rect);
        assert!(Rect::decode_live(suffix, &value[..28]).is_err());
        assert!(Rect::decode_live(&suffix[1..], &value).is_err());
    }

    #[test]
    fn golden_bytes_of_past() {
        let key = EncodedKey::new(PartitionId(0), b"k").unwrap();
        let rect = rect(TxTime(5));
        let (at, value) = rect.encode_past(&key);
        let mut expected = vec![1];
        for field in [10u64, 20, 5, 2] {
            expected.extend_from_slice(&field.to_le_bytes());
        }
        expected.extend_from_slice(&1u32.to_le_bytes());
        assert_eq!(value[..], expected);
        let suffix = key.suffix_of(at.bytes()).unwrap();
        assert_eq!(suffix[..8], ((1u64 << 63) + 16).to_be_bytes());
        assert_eq!(Rect::decode_past(suffix, &value).unwrap(), rect);
    }

    #[test]
    fn mangled_rectangles_are_refused() {
        let key = EncodedKey::new(PartitionId(0), b"k").unwrap();
        let (at, value) = rect(TxTime(5)).encode_past(&key);
        let suffix = key.suffix_of(at.bytes()).unwrap();
        let mangled = |offset: usize, byte: u8| {
            let mut value = value;
            value[offset] = byte;
            Rect::decode_past(suffix, &value).is_err()
        };
        assert!(mangled(0, 0) && mangled(0, 3), "kind");
        assert!(mangled(1, 20), "an empty interval");
        assert!(mangled(1, 17), "another fork");
        assert!(mangled(17, 3), "never believed");
        assert!(Rect::decode_past(suffix, &[&value[..], &[0]].concat()).is_err());
    }
}
