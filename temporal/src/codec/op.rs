//! Operations that a transaction spills: never in a database, and never read by another process.
//!
//! ```text
//! key   := encoded key
//! value := kind u8 | when u8 | a i64 | b i64 | value        little-endian
//!          kind  0 a value, 1 one that was written ahead and is known by its number, 2 an absence
//!          when  0 from now; 1 from now to a; 2 from now for a; 3 from a; 4 from a to b
//! ```

use super::key::decode as decode_key;
use super::take::Take;
use crate::{Op, OpKind, Result, TreeName, When};
use llmdb_storage::Reference;

/// Appends an operation, without its key.
pub(crate) fn encode(op: &Op, to: &mut Vec<u8>) {
    to.push(match op.kind {
        OpKind::Put { .. } => 0,
        OpKind::PutLong { .. } => 1,
        OpKind::Absent => 2,
    });
    let (when, a, b) = match op.when {
        When::FromNow => (0, 0, 0),
        When::FromNowTo(to) => (1, to.0, 0),
        When::FromNowFor(ttl) => (2, ttl, 0),
        When::From(from) => (3, from.0, 0),
        When::Range(from, to) => (4, from.0, to.0),
    };
    to.push(when);
    to.extend_from_slice(&a.to_le_bytes());
    to.extend_from_slice(&b.to_le_bytes());
    to.extend_from_slice(op.value());
}

/// The operation again; `long` is what it names, if that was written ahead.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt) where the bytes are none.
pub(crate) fn decode(key: &[u8], bytes: &[u8], long: Option<&Reference>) -> Result<Op> {
    let (partition, user_key) = decode_key(TreeName::Heads, key)?;
    let mut take = Take::new(TreeName::Heads, bytes);
    let (kind, when) = (take.u8()?, take.u8()?);
    let (a, b) = (take.valid()?, take.valid()?);
    let when = match when {
        0 => When::FromNow,
        1 => When::FromNowTo(a),
        2 => When::FromNowFor(a.0),
        3 => When::From(a),
        4 => When::Range(a, b),
        _ => return Err(take.corrupt("a spilled operation holds at no known time")),
    };
    let kind = match (kind, long) {
        (0, None) => OpKind::Put { value: take.rest().to_vec() },
        (1, Some(value)) => OpKind::PutLong { value: value.clone() },
        (2, None) => OpKind::Absent,
        _ => return Err(take.corrupt("a spilled operation is of no known kind")),
    };
    Ok(Op { partition, key: user_key.into_owned(), kind, when })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PartitionId, ValidTime};

    #[test]
    fn golden_bytes() {
        let op = Op::put(PartitionId(1), b"k", b"value", When::Range(ValidTime(-2), ValidTime(3)));
        let mut bytes = Vec::new();
        encode(&op, &mut bytes);
        assert_eq!(bytes, b"\0\x04\xfe\xff\xff\xff\xff\xff\xff\xff\x03\0\0\0\0\0\0\0value");
    }

    #[test]
    fn every_operation_comes_back_and_other_bytes_do_not() {
        let (a, b) = (ValidTime(5), ValidTime::INFINITY);
        let whens = [
            When::FromNow,
            When::FromNowTo(a),
            When::FromNowFor(7),
            When::From(a),
            When::Range(a, b),
        ];
        for when in whens {
            for op in [
                Op::put(PartitionId(9), b"k\0", b"v", when),
                Op::absent(PartitionId(0), b"k", when),
            ] {
                let mut bytes = Vec::new();
                encode(&op, &mut bytes);
                let key = op.head_key().unwrap();
                assert!(decode(&key, &bytes, None).unwrap() == op);
                assert!(decode(&key, &bytes[..17], None).is_err());
                bytes[1] = 5;
                assert!(decode(&key, &bytes, None).is_err());
                (bytes[0], bytes[1]) = (1, 0);
                assert!(decode(&key, &bytes, None).is_err(), "nobody knows its value");
            }
        }
    }
}
