//! Records that an erasure happened.
//!
//! ```text
//! key: tx u64 BE, biased
//! offset size field
//! 0      16   id, random
//! 16     8    count: events that were erased
//! 24     1    state: 0 its bytes may be in some file still, 1 they are in none
//! ```

use super::key::{decode_note, note};
use super::take::Take;
use crate::{Erased, Result, TreeName, TxTime};

const SIZE: usize = 16 + 8 + 1;

/// The key and the value of a record.
pub(crate) fn encode(erased: &Erased) -> ([u8; 8], [u8; SIZE]) {
    let mut value = [0; SIZE];
    value[..16].copy_from_slice(&erased.id);
    value[16..24].copy_from_slice(&erased.count.to_le_bytes());
    value[24] = u8::from(erased.complete);
    (note(erased.tx), value)
}

/// Reads both back.
///
/// # Errors
/// [`Corrupt`](crate::Error::Corrupt)
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Erased> {
    let TxTime(tx) = decode_note(key)?;
    let mut take = Take::new(TreeName::Erased, value);
    let (id, count) = (take.bytes()?, u64::from_le_bytes(take.bytes()?));
    let complete = match take.u8()? {
        0 => false,
        1 => true,
        _ => return Err(take.corrupt("its state is unknown")),
    };
    take.end()?;
    Ok(Erased { tx: TxTime(tx), id, count, complete })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let erased = Erased { tx: TxTime(7), id: [9; 16], count: 0x0102, complete: true };
        let (key, value) = encode(&erased);
        assert_eq!(key, [0x80, 0, 0, 0, 0, 0, 0, 7]);
        let mut expected = vec![9; 16];
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(value[..], expected);
        assert_eq!(decode(&key, &value).unwrap(), erased);
        assert!(decode(&key, &value[1..]).is_err());
        let mut mangled = value;
        mangled[24] = 2;
        assert!(decode(&key, &mangled).is_err());
    }
}
