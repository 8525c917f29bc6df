//! Events: the interval as it was written, and the value, or how it differs from another's.
//!
//! ```text
//! offset size field
//! 0      1    kind (1 value, 2 absence) | 4 valid_from follows | 8 valid_to follows
//! 1      1    codec of the value: 0 plain, 1 delta; others are unknown
//! 2      8    valid_from   flag 4; else the tx of its key
//!        8    valid_to     flag 8; else infinity
//!             codec 0: the value, for kind 1
//!             codec 1: the base: tx, as what it is ahead, signed varint; op, varint; the delta
//! ```

use super::delta::{self, unzigzag, varint, zigzag};
use super::take::Take;
use crate::{Error, EventId, Interval, Result, TreeName, TxTime, ValidTime};

const VALUE: u8 = 1;
const ABSENCE: u8 = 2;
const KIND: u8 = 3;
const VALID_FROM: u8 = 4;
const VALID_TO: u8 = 8;

const PLAIN: u8 = 0;
const DELTA: u8 = 1;

/// Values shorter than this are not worth a search.
const CODED_MIN: usize = 32;

/// An event without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// As written: what later operations of its own transaction took away is part of it.
    pub(crate) valid: Interval,
    pub(crate) absence: bool,
}

/// How the value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// As it is, from this offset on; empty for an absence.
    Plain(usize),
    /// As its delta against the value of another event of the key, from this offset on.
    Delta(EventId, usize),
}

impl Event {
    /// Appends the entry; `value` is empty for an absence.
    pub(crate) fn encode(&self, id: EventId, value: &[u8], out: &mut Vec<u8>) {
        self.encode_header(id, PLAIN, out);
        out.extend_from_slice(value);
    }

    /// Appends the entry with the value coded against that of `base`, if that saves a quarter.
    /// Else nothing is appended.
    pub(crate) fn encode_against(
        &self,
        id: EventId,
        value: &[u8],
        base: (EventId, &[u8]),
        out: &mut Vec<u8>,
    ) -> bool {
        if self.absence || value.len() < CODED_MIN {
            return false;
        }
        let start = out.len();
        self.encode_header(id, DELTA, out);
        let header = out.len();
        let (base, base_value) = base;
        varint(zigzag((base.tx.0 as u64).wrapping_sub(id.tx.0 as u64)), out);
        varint(u64::from(base.op), out);
        let bytes_max = (value.len() - value.len() / 4).saturating_sub(out.len() - header);
        let coded = delta::encode(base_value, value, bytes_max, out);
        if !coded {
            out.truncate(start);
        }
        coded
    }

    fn encode_header(&self, id: EventId, codec: u8, out: &mut Vec<u8>) {
        let (from, to) = (self.valid.from(), self.valid.to());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let from_follows = from != id.tx.as_valid();
        let to_follows = to != ValidTime::INFINITY;
        let kind = if self.absence { ABSENCE } else { VALUE };
        out.push(kind | flag(from_follows, VALID_FROM) | flag(to_follows, VALID_TO));
        out.push(codec);
        if from_follows {
            out.extend_from_slice(&from.0.to_le_bytes());
        }
        if to_follows {
            out.extend_from_slice(&to.0.to_le_bytes());
        }
    }

    /// The event, and how its value is stored.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownCodec`]
    pub(crate) fn decode(id: EventId, bytes: &[u8]) -> Result<(Self, Stored)> {
        let mut take = Take::new(TreeName::Events, bytes);
        let (flags, codec) = (take.u8()?, take.u8()?);
        if codec > DELTA {
            return Err(Error::UnknownCodec { tree: TreeName::Events, codec });
        }
        if flags & !(KIND | VALID_FROM | VALID_TO) != 0 {
            return Err(take.corrupt("its flags are unknown"));
        }
        let from = if flags & VALID_FROM != 0 { take.valid()? } else { id.tx.as_valid() };
        let to = if flags & VALID_TO != 0 { take.valid()? } else { ValidTime::INFINITY };
        let valid = take.check_interval(from, to)?;
        let absence = match flags & KIND {
            VALUE => false,
            ABSENCE if take.len() == 0 && codec == PLAIN => true,
            ABSENCE => return Err(take.corrupt("a value where there is none")),
            _ => return Err(take.corrupt("its kind is unknown")),
        };
        let base = if codec == DELTA {
            let tx = (id.tx.0 as u64).wrapping_add(unzigzag(take.varint()?));
            let op = u32::try_from(take.varint()?);
            let op = op.map_err(|_| take.corrupt("its base is no event"))?;
            Some(EventId { tx: TxTime(tx as i64), op })
        } else {
            None
        };
        let start = bytes.len() - take.len();
        let stored = base.map_or(Stored::Plain(start), |base| Stored::Delta(base, start));
        Ok((Self { valid, absence }, stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: EventId = EventId { tx: TxTime(7), op: 0 };

    fn event(from: i64, to: i64) -> Event {
        let valid = Interval::new(ValidTime(from), ValidTime(to)).unwrap();
        Event { valid, absence: false }
    }

    #[test]
    fn golden_bytes() {
        let mut bytes = Vec::new();
        event(7, i64::MAX).encode(ID, b"v", &mut bytes);
        assert_eq!(bytes, [1, 0, b'v']);
        bytes.clear();
        event(-1, 2).encode(ID, b"v", &mut bytes);
        let mut expected = vec![1 | 4 | 8, 0];
        expected.extend_from_slice(&(-1i64).to_le_bytes());
        expected.extend_from_slice(&2i64.to_le_bytes());
        expected.push(b'v');
        assert_eq!(bytes, expected);
        assert_eq!(Event::decode(ID, &bytes).unwrap(), (event(-1, 2), Stored::Plain(18)));
        bytes.clear();
        let base = EventId { tx: TxTime(70), op: 200 };
        let value = [b'v'; 40];
        assert!(event(7, i64::MAX).encode_against(ID, &value, (base, &value), &mut bytes));
        assert_eq!(bytes, [1, 1, 126, 200, 1, 40, 81, 0]);
        let stored = Stored::Delta(base, 5);
        assert_eq!(Event::decode(ID, &bytes).unwrap(), (event(7, i64::MAX), stored));
    }

    #[test]
    fn what_saves_too_little_is_not_coded() {
        let coded = |value: &[u8], base: &[u8]| {
            let mut bytes = b"kept".to_vec();
            let coded = event(7, 8).encode_against(ID, value, (ID, base), &mut bytes);
            assert_eq!(coded, bytes != b"kept");
            coded
        };
        let value: Vec<u8> = (0..100).collect();
        assert!(coded(&value, &value[30..]));
        assert!(!coded(&value, &value[80..]), "less than a quarter");
        assert!(!coded(&value[..31], &value[..31]), "too short");
        assert!(!coded(&vec![0; delta::LEN_MAX + 1], &[0; 100]), "too long");
    }

    #[test]
    fn mangled_events_are_refused() {
        let mut bytes = Vec::new();
        Event { absence: true, ..event(1, 2) }.encode(ID, b"", &mut bytes);
        for cut in 0..bytes.len() {
            assert!(Event::decode(ID, &bytes[..cut]).is_err());
        }
        let mangled = |offset: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[offset] = byte;
            Event::decode(ID, &bytes)
        };
        assert!(matches!(mangled(0, 12), Err(Error::Corrupt { .. })));
        assert!(matches!(mangled(0, 2 | 12 | 16), Err(Error::Corrupt { .. })));
        assert!(matches!(mangled(1, 9), Err(Error::UnknownCodec { codec: 9, .. })));
        assert!(matches!(mangled(1, 1), Err(Error::Corrupt { .. })));
        assert!(matches!(mangled(2, 2), Err(Error::Corrupt { .. })));
        bytes.push(0);
        assert!(matches!(Event::decode(ID, &bytes), Err(Error::Corrupt { .. })));
    }

    proptest! {
        #[test]
        fn bases_read_back(tx in any::<i64>(), base in any::<(i64, u32)>()) {
            let id = EventId { tx: TxTime(tx), op: 1 };
            let base = EventId { tx: TxTime(base.0), op: base.1 };
            let mut bytes = Vec::new();
            let coded = event(1, 2).encode_against(id, &[1; 90], (base, &[1; 90]), &mut bytes);
            prop_assert!(coded);
            let (read, stored) = Event::decode(id, &bytes).unwrap();
            prop_assert_eq!(read, event(1, 2));
            prop_assert!(matches!(stored, Stored::Delta(found, _) if found == base));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Event::decode(ID, &bytes);
        }
    }
}
