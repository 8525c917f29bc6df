//! A value as its differences from another: copies from that one, and bytes of its own.
//!
//! ```text
//! delta := len varint | token ...          len: of the value, at most `LEN_MAX`
//! token := 2n     varint | n bytes         these bytes; n > 0
//!        | 2n + 1 varint | skip varint     n bytes of the base; n > 0
//! varint: 7 bits a byte, low ones first; bit 7 set on all but the last
//! ```
//!
//! A copy begins `skip` behind where the last one ended, signed (0, -1, 1, -2, ... are written 0, 1,
//! 2, 3, ...): after an edit in place it is 0.
//!
//! Values that are edited share a beginning and an end most of the time: those are found by
//! comparing. What lies between is looked for by its eight-byte blocks, as rsync (Tridgell, 1999)
//! and xdelta (MacDonald, 2000) do: every fourth block of the base is in a small table.

use super::take::Take;
use crate::Result;

/// The longest value that is coded, and the longest base: longer ones are stored as they are.
pub(crate) const LEN_MAX: usize = 64 << 10;

/// What the table is asked for.
const BLOCK: usize = 8;
/// Positions of the base that are in the table.
const STRIDE: usize = 4;
/// A shorter copy costs about what it saves.
const COPY_MIN: usize = 6;

/// Appends the delta of `value` against `base` to `out`, unless it is longer than `bytes_max` or a
/// value is too long; then `out` is as it was.
pub(crate) fn encode(base: &[u8], value: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    if base.len() > LEN_MAX || value.len() > LEN_MAX {
        return false;
    }
    let start = out.len();
    varint(value.len() as u64, out);
    let mut tokens = Tokens { value, out, limit: start + bytes_max, from: 0, behind: 0 };
    let fits = tokens.write(base);
    if !fits {
        out.truncate(start);
    }
    fits
}

/// The value that `take` holds the delta of. Takes memory for `LEN_MAX` bytes at most.
///
/// # Errors
/// [`Corrupt`](crate::Error::Corrupt)
pub(crate) fn decode(base: &[u8], mut take: Take<'_>) -> Result<Vec<u8>> {
    let len = take.varint()? as usize;
    if len > LEN_MAX {
        return Err(take.corrupt("a coded value is too long"));
    }
    let mut value = Vec::with_capacity(len);
    let mut behind = 0u64;
    while take.len() > 0 {
        let token = take.varint()?;
        let n = token >> 1;
        if n == 0 || n > (len - value.len()) as u64 {
            return Err(take.corrupt("a coded value has another length than it says"));
        }
        if token & 1 == 0 {
            value.extend_from_slice(take.slice(n as usize)?);
            continue;
        }
        let skip = take.varint()?;
        let from = behind.wrapping_add(unzigzag(skip));
        let copied = from.checked_add(n).filter(|to| *to <= base.len() as u64);
        let Some(to) = copied else {
            return Err(take.corrupt("a coded value copies what its base does not have"));
        };
        value.extend_from_slice(&base[from as usize..to as usize]);
        behind = to;
    }
    if value.len() != len {
        return Err(take.corrupt("a coded value has another length than it says"));
    }
    Ok(value)
}

/// A delta being written.
struct Tokens<'t> {
    value: &'t [u8],
    out: &'t mut Vec<u8>,
    /// How long `out` may be.
    limit: usize,
    /// The first byte of the value that no token says yet.
    from: usize,
    /// Where the last copy ended in the base.
    behind: usize,
}

impl Tokens<'_> {
    /// Writes all tokens; answers whether they fit.
    fn write(&mut self, base: &[u8]) -> bool {
        let value = self.value;
        let prefix = common(base, value);
        let suffix = common_end(&base[prefix..], &value[prefix..]);
        let (base_end, value_end) = (base.len() - suffix, value.len() - suffix);
        if prefix >= COPY_MIN {
            self.copy(0, 0, prefix);
        }
        self.search(base, prefix..base_end, prefix..value_end);
        if suffix >= COPY_MIN {
            self.copy(base_end, value_end, suffix);
        }
        self.own(value.len());
        self.out.len() <= self.limit
    }

    /// Copies what `of` has in common with the stretch `base_in` of the base.
    fn search(&mut self, base: &[u8], base_in: std::ops::Range<usize>, of: std::ops::Range<usize>) {
        if base_in.len() < 2 * BLOCK || of.len() < 2 * BLOCK {
            return;
        }
        let bits = (base_in.len() / STRIDE).next_power_of_two().trailing_zeros().clamp(6, 14);
        // Positions in `base_in`, by block; the last of those that share a place. 0 is none.
        let mut table = vec![0u16; 1 << bits];
        for at in (base_in.start..=base_in.end - BLOCK).step_by(STRIDE) {
            table[slot(base, at, bits)] = (at - base_in.start + 1) as u16;
        }
        let (mut at, mut misses) = (of.start, 0);
        while at + BLOCK <= of.end && self.out.len() + (at - self.from) <= self.limit + BLOCK {
            let candidate = usize::from(table[slot(self.value, at, bits)]);
            let found = candidate.checked_sub(1).map(|found| base_in.start + found);
            let found = found
                .map(|found| (found, common(&base[found..base_in.end], &self.value[at..of.end])));
            match found.filter(|(_, len)| *len >= BLOCK) {
                Some((found, len)) => {
                    // What lies before the block may match as well.
                    let (before_base, before) =
                        (&base[base_in.start..found], &self.value[self.from.max(of.start)..at]);
                    let more = common_end(before_base, before);
                    self.copy(found - more, at - more, more + len);
                    (at, misses) = (at + len, 0);
                }
                None => {
                    // The longer nothing matches, the less closely it is looked.
                    misses += 1;
                    at += 1 + misses / 64;
                }
            }
        }
    }

    /// Says the value up to `at` by its own bytes, then `len` bytes of it by those of the base.
    fn copy(&mut self, base_at: usize, at: usize, len: usize) {
        self.own(at);
        varint(len as u64 * 2 + 1, self.out);
        varint(zigzag((base_at as u64).wrapping_sub(self.behind as u64)), self.out);
        self.behind = base_at + len;
        self.from = at + len;
    }

    fn own(&mut self, to: usize) {
        let own = &self.value[self.from..to];
        // What is too long anyway need not be copied.
        if !own.is_empty() && self.out.len() + own.len() <= self.limit {
            varint(own.len() as u64 * 2, self.out);
            self.out.extend_from_slice(own);
        } else if !own.is_empty() {
            self.limit = 0;
        }
        self.from = to;
    }
}

/// How many bytes two slices have in common at their beginnings.
fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.chunks_exact(8).zip(b.chunks_exact(8));
    let start = words.take_while(|(a, b)| a == b).count() * 8;
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes two slices have in common at their ends.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let words = a.rchunks_exact(8).zip(b.rchunks_exact(8));
    let end = words.take_while(|(a, b)| a == b).count() * 8;
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    end + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

fn slot(bytes: &[u8], at: usize, bits: u32) -> usize {
    let block = bytes[at..at + BLOCK].try_into().expect("a block has its length");
    let mixed = u64::from_le_bytes(block).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (64 - bits)) as usize
}

/// Appends a number, seven bits a byte.
pub(crate) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A signed number, in wrapping arithmetic, such that small ones of either sign are small.
pub(crate) fn zigzag(number: u64) -> u64 {
    (number << 1) ^ ((number as i64 >> 63) as u64)
}

pub(crate) fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreeName;
    use proptest::prelude::*;

    fn delta(base: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![9];
        assert!(encode(base, value, usize::MAX / 2, &mut out));
        out.split_off(1)
    }

    fn read(base: &[u8], delta: &[u8]) -> Result<Vec<u8>> {
        decode(base, Take::new(TreeName::Events, delta))
    }

    #[test]
    fn golden_bytes() {
        let base = b"the quick brown fox jumps over the lazy dog";
        let value = b"the quick brown cat jumps over the lazy dog";
        let expected = [&[43, 33, 0, 6][..], b"cat", &[49, 6]].concat();
        assert_eq!(delta(base, value), expected);
        assert_eq!(read(base, &expected).unwrap(), value);
        assert_eq!(delta(b"", b"ab"), [2, 4, b'a', b'b']);
        assert_eq!(delta(b"ab", b""), [0]);
    }

    #[test]
    fn edits_in_several_places_cost_what_they_change() {
        let base: Vec<u8> =
            (0..200).flat_map(|i| format!("{{\"id\":{i},\"n\":0}},").into_bytes()).collect();
        let mut value = base.clone();
        for at in [100, 1_000, 1_700, 2_500] {
            value.splice(at..at + 3, *b"edited");
        }
        let delta = delta(&base, &value);
        assert!(delta.len() < 4 * 30, "{} bytes", delta.len());
        assert_eq!(read(&base, &delta).unwrap(), value);
    }

    #[test]
    fn what_would_be_too_long_is_not_written() {
        let (base, value) = (vec![1; 500], (0..=255).collect::<Vec<u8>>());
        let mut out = b"kept".to_vec();
        assert!(!encode(&base, &value, 192, &mut out));
        assert!(!encode(&vec![0; LEN_MAX + 1], &value, 1_000, &mut out));
        assert!(!encode(&base, &vec![0; LEN_MAX + 1], usize::MAX / 2, &mut out));
        assert_eq!(out, b"kept");
        assert!(encode(&vec![0; LEN_MAX], &vec![0; LEN_MAX], 192, &mut out));
    }

    #[test]
    fn mangled_deltas_are_refused() {
        let base = b"0123456789";
        let refused = |bytes: &[u8]| assert!(read(base, bytes).is_err(), "{bytes:?}");
        refused(&[]);
        refused(&[2, 4, b'a']); // cut
        refused(&[2]); // shorter than it says
        refused(&[1, 4, b'a', b'b']); // longer
        refused(&[3, 0, 6, 1, 2, 3]); // an empty token
        refused(&[2, 5, 18]); // two bytes from 9 on
        refused(&[2, 5, 1]); // from -1 on
        refused(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]); // no number
        let mut long = Vec::new();
        varint(LEN_MAX as u64 + 1, &mut long);
        refused(&long);
        assert_eq!(read(base, &[2, 5, 16]).unwrap(), b"89");
    }

    /// Text with repetitions, and an edited form of it.
    fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let base = proptest::collection::vec(prop_oneof!["[ab]{1,9}", "[a-z]{1,30}"], 0..60);
        let edits = proptest::collection::vec(
            (any::<prop::sample::Index>(), 0usize..40, "[a-c]{0,20}"),
            0..6,
        );
        (base, edits).prop_map(|(words, edits)| {
            let base = words.concat().into_bytes();
            let mut value = base.clone();
            for (at, cut, text) in edits {
                let at = at.index(value.len() + 1);
                let to = (at + cut).min(value.len());
                value.splice(at..to, text.bytes());
            }
            (base, value)
        })
    }

    proptest! {
        #[test]
        fn deltas_read_back((base, value) in pair(), other in "[a-d]{0,200}") {
            prop_assert_eq!(read(&base, &delta(&base, &value)).unwrap(), value);
            prop_assert_eq!(read(&base, &delta(&base, other.as_bytes())).unwrap(), other.as_bytes());
        }

        #[test]
        fn the_limit_is_kept((base, value) in pair(), bytes_max in 0usize..300) {
            let mut out = Vec::new();
            if encode(&base, &value, bytes_max, &mut out) {
                prop_assert!(out.len() <= bytes_max);
                prop_assert_eq!(read(&base, &out).unwrap(), value);
            } else {
                prop_assert!(out.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            base in proptest::collection::vec(any::<u8>(), 0..40),
            bytes in proptest::collection::vec(prop_oneof![0u8..40, any::<u8>()], 0..60),
        ) {
            let _ = read(&base, &bytes);
        }

        #[test]
        fn signs_come_back(number in any::<u64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }
    }
}
