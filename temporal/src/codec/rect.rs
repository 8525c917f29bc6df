//! Rectangles: a segment of valid time and how long it was believed.
//!
//! Both kinds are short: times are said by how far they are from each other, which is little or
//! nothing most of the time.
//!
//! ```text
//! live value                                  past value
//! kind (1 value, 2 absence) | 4 valid_to      kind (1 value, 2 absence) | 4 valid_to
//! tx of the event     - valid_from            tx of the event     - tx_from
//! tx_from             - tx of the event       valid_from          - tx of the event
//! valid_to (if 4)     - tx_from               valid_to (if 4)     - tx_from
//! op of the event                             tx_to               - tx_from
//!                                             op of the event
//! ```
//!
//! Without flag 4 valid_to is infinity. Kind and flags are a byte, differences signed varints, the
//! op a varint (`codec::delta`). The key of `live` carries valid_from, that of `past` fork and
//! tx_from.

use super::delta::{unzigzag, varint, zigzag};
use super::fork::fork;
use super::key::{EncodedKey, KeyBuf, decode_live, decode_past};
use super::take::Take;
use crate::{EventId, Interval, Result, TreeName, TxTime, ValidTime};

const VALUE: u8 = 1;
const ABSENCE: u8 = 2;
const VALID_TO: u8 = 4;

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
    pub(crate) fn encode_live(&self, key: &EncodedKey) -> (KeyBuf, Vec<u8>) {
        assert!(self.tx_to == TxTime::INFINITY, "what lives is not closed");
        let mut value = self.flags();
        ahead(self.event.tx.0, self.valid.from().0, &mut value);
        ahead(self.tx_from.0, self.event.tx.0, &mut value);
        self.valid_to(&mut value);
        varint(u64::from(self.event.op), &mut value);
        (key.live(self.valid.from()), value)
    }

    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt)
    pub(crate) fn decode_live(suffix: &[u8], value: &[u8]) -> Result<Self> {
        let from = decode_live(suffix)?;
        let mut take = Take::new(TreeName::Live, value);
        let (absence, ends) = flags(&mut take)?;
        let tx = back(from.0, &mut take)?;
        let tx_from = back(tx, &mut take)?;
        let to = if ends { ValidTime(back(tx_from, &mut take)?) } else { ValidTime::INFINITY };
        let valid = take.check_interval(from, to)?;
        let event = EventId { tx: TxTime(tx), op: op(&mut take)? };
        take.end()?;
        let tx_from = TxTime(tx_from);
        Ok(Self { valid, tx_from, tx_to: TxTime::INFINITY, event, absence })
    }

    /// The key and the value of a closed rectangle.
    pub(crate) fn encode_past(&self, key: &EncodedKey) -> (KeyBuf, Vec<u8>) {
        assert!(self.tx_from < self.tx_to, "a rectangle was believed for some time");
        let mut value = self.flags();
        ahead(self.event.tx.0, self.tx_from.0, &mut value);
        ahead(self.valid.from().0, self.event.tx.0, &mut value);
        self.valid_to(&mut value);
        ahead(self.tx_to.0, self.tx_from.0, &mut value);
        varint(u64::from(self.event.op), &mut value);
        (key.past(fork(self.valid), self.tx_from), value)
    }

    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt)
    pub(crate) fn decode_past(suffix: &[u8], value: &[u8]) -> Result<Self> {
        let (at, tx_from) = decode_past(suffix)?;
        let mut take = Take::new(TreeName::Past, value);
        let (absence, ends) = flags(&mut take)?;
        let tx = back(tx_from.0, &mut take)?;
        let from = ValidTime(back(tx, &mut take)?);
        let to = if ends { ValidTime(back(tx_from.0, &mut take)?) } else { ValidTime::INFINITY };
        let valid = take.check_interval(from, to)?;
        let tx_to = TxTime(back(tx_from.0, &mut take)?);
        let event = EventId { tx: TxTime(tx), op: op(&mut take)? };
        if fork(valid) != at {
            return Err(take.corrupt("its interval does not fork where it hangs"));
        }
        if tx_from >= tx_to {
            return Err(take.corrupt("it was never believed"));
        }
        take.end()?;
        Ok(Self { valid, tx_from, tx_to, event, absence })
    }

    /// The first byte of a value, with room for the rest.
    fn flags(&self) -> Vec<u8> {
        let kind = if self.absence { ABSENCE } else { VALUE };
        let ends = self.valid.to() < ValidTime::INFINITY;
        let mut value = Vec::with_capacity(24);
        value.push(kind | if ends { VALID_TO } else { 0 });
        value
    }

    fn valid_to(&self, value: &mut Vec<u8>) {
        if self.valid.to() < ValidTime::INFINITY {
            ahead(self.valid.to().0, self.tx_from.0, value);
        }
    }
}

/// Appends how far `time` is ahead of `of`.
fn ahead(time: i64, of: i64, out: &mut Vec<u8>) {
    varint(zigzag((time as u64).wrapping_sub(of as u64)), out);
}

/// The time that is ahead of `of` by what comes next.
fn back(of: i64, take: &mut Take<'_>) -> Result<i64> {
    Ok((of as u64).wrapping_add(unzigzag(take.varint()?)) as i64)
}

fn op(take: &mut Take<'_>) -> Result<u32> {
    u32::try_from(take.varint()?).map_err(|_| take.corrupt("its event has no place"))
}

/// Whether it is an absence, and whether it says where it ends.
fn flags(take: &mut Take<'_>) -> Result<(bool, bool)> {
    let flags = take.u8()?;
    match flags & !VALID_TO {
        VALUE => Ok((false, flags & VALID_TO != 0)),
        ABSENCE => Ok((true, flags & VALID_TO != 0)),
        _ => Err(take.corrupt("its kind is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionId;
    use proptest::prelude::*;

    fn rect(tx_to: TxTime) -> Rect {
        Rect {
            valid: Interval::new(ValidTime(10), ValidTime(20)).unwrap(),
            tx_from: TxTime(3),
            tx_to,
            event: EventId { tx: TxTime(2), op: 1 },
            absence: false,
        }
    }

    fn key() -> EncodedKey {
        EncodedKey::new(PartitionId(0), b"k").unwrap()
    }

    #[test]
    fn golden_bytes_of_live() {
        let rect = rect(TxTime::INFINITY);
        let (at, value) = rect.encode_live(&key());
        assert_eq!(value, [1 | 4, 15, 2, 34, 1]);
        let key = key();
        let suffix = key.suffix_of(at.bytes()).unwrap();
        assert_eq!(Rect::decode_live(suffix, &value).unwrap(), rect);
        assert!(Rect::decode_live(suffix, &value[..4]).is_err());
        assert!(Rect::decode_live(&suffix[1..], &value).is_err());
        let endless = Interval::new(ValidTime(2), ValidTime::INFINITY).unwrap();
        let endless = Rect { valid: endless, absence: true, ..rect };
        assert_eq!(endless.encode_live(&key).1, [2, 0, 2, 1]);
    }

    #[test]
    fn golden_bytes_of_past() {
        let rect = rect(TxTime(5));
        let (at, value) = rect.encode_past(&key());
        assert_eq!(value, [1 | 4, 1, 16, 34, 4, 1]);
        let key = key();
        let suffix = key.suffix_of(at.bytes()).unwrap();
        assert_eq!(suffix[..8], ((1u64 << 63) + 16).to_be_bytes());
        assert_eq!(Rect::decode_past(suffix, &value).unwrap(), rect);
    }

    #[test]
    fn mangled_rectangles_are_refused() {
        let key = key();
        let (at, value) = rect(TxTime(5)).encode_past(&key);
        let suffix = key.suffix_of(at.bytes()).unwrap();
        let mangled = |offset: usize, byte: u8| {
            let mut value = value.clone();
            value[offset] = byte;
            Rect::decode_past(suffix, &value).is_err()
        };
        assert!(mangled(0, 4) && mangled(0, 7) && mangled(0, 9), "kind");
        assert!(mangled(2, 36), "an empty interval");
        assert!(mangled(2, 30), "another fork");
        assert!(mangled(4, 0), "never believed");
        assert!(mangled(5, 0x80), "cut");
        assert!(Rect::decode_past(suffix, &[&value[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn rectangles_of_all_times_read_back(
            valid in any::<(i64, i64)>(), tx in any::<(i64, i64)>(), event in any::<(i64, u32)>(),
            absence in any::<bool>(),
        ) {
            let (from, to) = (valid.0.min(valid.1), valid.0.max(valid.1));
            let (tx_from, tx_to) = (tx.0.min(tx.1), tx.0.max(tx.1));
            prop_assume!(from < to && tx_from < tx_to);
            let key = key();
            let past = Rect {
                valid: Interval::new(ValidTime(from), ValidTime(to)).unwrap(),
                tx_from: TxTime(tx_from),
                tx_to: TxTime(tx_to),
                event: EventId { tx: TxTime(event.0), op: event.1 },
                absence,
            };
            let (at, value) = past.encode_past(&key);
            prop_assert_eq!(Rect::decode_past(key.suffix_of(at.bytes()).unwrap(), &value).unwrap(), past);
            let live = Rect { tx_to: TxTime::INFINITY, ..past };
            let (at, value) = live.encode_live(&key);
            prop_assert_eq!(Rect::decode_live(key.suffix_of(at.bytes()).unwrap(), &value).unwrap(), live);
        }
    }
}
