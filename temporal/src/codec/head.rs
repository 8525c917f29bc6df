//! Heads: what holds now for a key, with its value, in one entry.
//!
//! ```text
//! offset size field
//! 0      1    kind (0 gap, 1 value, 2 absence) | 4 whole | 8 stored | 16 long
//! 1      1    which optional fields follow
//! 2      1    bits 0..2: run, how many deltas at most hang on the value one behind the other;
//!             bits 3..7: codec of the value, 0 plain
//! 3      8    tx: of the event; of the newest write for a gap
//! 11     8    valid_from   bit 0; else tx
//!        8    valid_to     bit 1; else infinity
//!        8    tx_from      bit 2; else tx
//!        8    last_tx      bit 3; else tx
//!        4    op           bit 4; else 0
//!             value, for kind 1
//! ```
//!
//! A key that was put once, from now on, costs 11 bytes beside its value.

use super::rect::Rect;
use super::take::Take;
use crate::{Error, EventId, Interval, Result, TreeName, TxTime, ValidTime};

const KIND: u8 = 0b0011;
const WHOLE: u8 = 0b0100;
const STORED: u8 = 0b1000;
const LONG: u8 = 0b1_0000;

const RUN: u8 = 0b111;
const _: () = assert!(crate::events::RUN_MAX == RUN);

const VALID_FROM: u8 = 1;
const VALID_TO: u8 = 2;
const TX_FROM: u8 = 4;
const LAST_TX: u8 = 8;
const OP: u8 = 16;

/// What is known around now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing was ever said.
    Gap = 0,
    /// A value.
    Value = 1,
    /// A recorded absence.
    Absence = 2,
}

/// What holds around the key's newest write, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// The segment, or the gap.
    pub(crate) valid: Interval,
    /// Since when it is believed; `last_tx` for a gap.
    pub(crate) tx_from: TxTime,
    /// Its event; (`last_tx`, 0) for a gap.
    pub(crate) event: EventId,
    /// The newest transaction that wrote to the key.
    pub(crate) last_tx: TxTime,
    /// It is the only rectangle that the key ever had.
    pub(crate) whole: bool,
    /// Its event is in `events` too. If not, the head is the event's only rectangle, and is
    /// exactly the event's own interval.
    pub(crate) stored: bool,
    /// The value is long: it is in `events` alone, from the start, and never moves.
    pub(crate) long: bool,
    /// How many coded events at most hang on its event, one behind the other, where that is not
    /// stored: see [`events`](crate::events).
    pub(crate) run: u8,
}

impl Head {
    /// The rectangle; a gap has none.
    pub(crate) fn rect(&self) -> Option<Rect> {
        (self.kind != Kind::Gap).then_some(Rect {
            valid: self.valid,
            tx_from: self.tx_from,
            tx_to: TxTime::INFINITY,
            event: self.event,
            absence: self.kind == Kind::Absence,
        })
    }

    /// Whether the value of `event` is to be had here.
    pub(crate) fn has_value_of(&self, event: EventId) -> bool {
        self.kind == Kind::Value && self.event == event && !self.long
    }

    /// Appends the entry.
    pub(crate) fn encode(&self, value: &[u8], out: &mut Vec<u8>) {
        let tx = self.event.tx;
        let mut fields = 0;
        let mut optional = Vec::with_capacity(36);
        let mut time = |bit: u8, time: i64, default: i64| {
            if time != default {
                fields |= bit;
                optional.extend_from_slice(&time.to_le_bytes());
            }
        };
        time(VALID_FROM, self.valid.from().0, tx.0);
        time(VALID_TO, self.valid.to().0, i64::MAX);
        time(TX_FROM, self.tx_from.0, tx.0);
        time(LAST_TX, self.last_tx.0, tx.0);
        if self.event.op != 0 {
            fields |= OP;
            optional.extend_from_slice(&self.event.op.to_le_bytes());
        }
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.whole, WHOLE) | flag(self.stored, STORED) | flag(self.long, LONG);
        out.push(self.kind as u8 | flags);
        debug_assert!(self.run <= RUN, "a run has three bits");
        out.extend_from_slice(&[fields, self.run]);
        out.extend_from_slice(&tx.0.to_le_bytes());
        out.extend_from_slice(&optional);
        out.extend_from_slice(value);
    }

    /// The head, and where its value starts.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownCodec`]
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut take = Take::new(TreeName::Heads, bytes);
        let (flags, fields, codec) = (take.u8()?, take.u8()?, take.u8()?);
        let (run, codec) = (codec & RUN, codec >> 3);
        if codec != 0 {
            return Err(Error::UnknownCodec { tree: TreeName::Heads, codec });
        }
        if flags & !(KIND | WHOLE | STORED | LONG) != 0 || fields & !0b1_1111 != 0 {
            return Err(take.corrupt("its flags are unknown"));
        }
        let kind = match flags & KIND {
            0 => Kind::Gap,
            1 => Kind::Value,
            2 => Kind::Absence,
            _ => return Err(take.corrupt("its kind is unknown")),
        };
        let tx = take.tx()?;
        let has = |bit: u8| fields & bit != 0;
        let from = if has(VALID_FROM) { take.valid()? } else { tx.as_valid() };
        let to = if has(VALID_TO) { take.valid()? } else { ValidTime::INFINITY };
        let valid = take.check_interval(from, to)?;
        let tx_from = if has(TX_FROM) { take.tx()? } else { tx };
        let last_tx = if has(LAST_TX) { take.tx()? } else { tx };
        let op = if has(OP) { take.u32()? } else { 0 };
        let (stored, long) = (flags & STORED != 0, flags & LONG != 0);
        if long && (kind != Kind::Value || !stored) {
            return Err(take.corrupt("a long value that is nowhere"));
        }
        if (kind != Kind::Value || long) && take.len() > 0 {
            return Err(take.corrupt("a value where there is none"));
        }
        let head = Self {
            kind,
            valid,
            tx_from,
            event: EventId { tx, op },
            last_tx,
            whole: flags & WHOLE != 0,
            stored,
            long,
            run,
        };
        Ok((head, bytes.len() - take.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(head: &Head, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        head.encode(value, &mut bytes);
        bytes
    }

    fn fresh() -> Head {
        Head {
            kind: Kind::Value,
            valid: Interval::new(ValidTime(7), ValidTime::INFINITY).unwrap(),
            tx_from: TxTime(7),
            event: EventId { tx: TxTime(7), op: 0 },
            last_tx: TxTime(7),
            whole: true,
            stored: false,
            long: false,
            run: 0,
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(encode(&fresh(), b"v"), [5, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, b'v']);
        let head = Head {
            kind: Kind::Absence,
            valid: Interval::new(ValidTime(1), ValidTime(2)).unwrap(),
            tx_from: TxTime(8),
            event: EventId { tx: TxTime(7), op: 3 },
            last_tx: TxTime(9),
            whole: false,
            stored: true,
            long: false,
            run: 5,
        };
        let mut expected = vec![2 | 8, 31, 5];
        for field in [7u64, 1, 2, 8, 9] {
            expected.extend_from_slice(&field.to_le_bytes());
        }
        expected.extend_from_slice(&3u32.to_le_bytes());
        assert_eq!(encode(&head, b""), expected);
    }

    #[test]
    fn mangled_heads_are_refused() {
        let bytes = encode(&fresh(), b"");
        for cut in 0..bytes.len() {
            assert!(Head::decode(&bytes[..cut]).is_err());
        }
        for (offset, byte) in [(0, 3), (0, 1 | 16), (0, 32), (1, 32)] {
            let mut bytes = bytes.clone();
            bytes[offset] = byte;
            assert!(matches!(Head::decode(&bytes), Err(Error::Corrupt { .. })));
        }
        let mut coded = bytes.clone();
        coded[2] = 8;
        assert!(matches!(Head::decode(&coded), Err(Error::UnknownCodec { codec: 1, .. })));
        let absent = Head { kind: Kind::Absence, ..fresh() };
        assert!(Head::decode(&encode(&absent, b"x")).is_err());
    }

    proptest! {
        #[test]
        fn heads_read_back(
            kind in prop_oneof![Just(Kind::Gap), Just(Kind::Value), Just(Kind::Absence)],
            (from, to) in (-3i64..3, 3i64..6), tx in -2i64..3, more in (0i64..3, 0i64..3),
            op in 0u32..3, run in 0u8..8, flags in any::<(bool, bool, bool)>(), value in "[a-z]{0,4}",
        ) {
            let head = Head {
                kind,
                valid: Interval::new(ValidTime(from), ValidTime(to)).unwrap(),
                tx_from: TxTime(tx + more.0),
                event: EventId { tx: TxTime(tx), op },
                last_tx: TxTime(tx + more.1),
                whole: flags.0,
                stored: flags.1,
                long: flags.1 && flags.2 && kind == Kind::Value,
                run,
            };
            let has_value = kind == Kind::Value && !head.long;
            let value = if has_value { value.as_bytes() } else { b"" };
            let bytes = encode(&head, value);
            let (read, start) = Head::decode(&bytes).unwrap();
            prop_assert_eq!(read, head);
            prop_assert_eq!(&bytes[start..], value);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Head::decode(&bytes);
            let _ = Rect::decode_live(&bytes, &bytes);
            let _ = Rect::decode_past(&bytes, &bytes);
        }
    }
}
