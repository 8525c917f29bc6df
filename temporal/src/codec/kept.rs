//! Stretches of transaction time that are still answered, where not all of them are.
//!
//! ```text
//! key:   partition u32 BE | from u64 BE, biased
//! value: to i64
//! ```

use super::take::Take;
use crate::{PartitionId, Result, TreeName, TxTime};

/// The key of a stretch.
pub(crate) fn key(partition: PartitionId, from: TxTime) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.0.to_be_bytes());
    key[4..].copy_from_slice(&from.sortable().to_be_bytes());
    key
}

/// The value of a stretch.
pub(crate) fn value(to: TxTime) -> [u8; 8] {
    to.0.to_le_bytes()
}

/// Reads both back: partition, beginning and end.
///
/// # Errors
/// [`Corrupt`](crate::Error::Corrupt)
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(PartitionId, TxTime, TxTime)> {
    let mut take = Take::new(TreeName::Kept, key);
    let (partition, from) = (PartitionId(take.u32_be()?), TxTime::from_sortable(take.u64_be()?));
    take.end()?;
    let mut take = Take::new(TreeName::Kept, value);
    let to = take.tx()?;
    if from >= to {
        return Err(take.corrupt("a stretch holds nothing"));
    }
    take.end()?;
    Ok((partition, from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let at = key(PartitionId(7), TxTime(2));
        assert_eq!(at, [0, 0, 0, 7, 0x80, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(value(TxTime(-2)), [0xFE, 255, 255, 255, 255, 255, 255, 255]);
        let read = decode(&at, &value(TxTime(5))).unwrap();
        assert_eq!(read, (PartitionId(7), TxTime(2), TxTime(5)));
        assert!(decode(&at[1..], &value(TxTime(5))).is_err());
        assert!(decode(&at, &value(TxTime(5))[1..]).is_err());
        assert!(decode(&at, &value(TxTime(2))).is_err());
    }
}
