//! The bits of one region, and a summary that skips its full words.
//!
//! On disk a region is its words, little-endian, in order: bit `i` of the region is bit `i % 8` of
//! byte `i / 8`.

const WORD_BITS: u64 = 64;

/// A fixed number of bits, counted from the start of the region.
#[derive(Clone)]
pub(super) struct Region {
    words: Box<[u64]>,
    /// One bit a word, set when the word is full. Bits past the last word stay clear.
    full: Box<[u64]>,
}

impl Region {
    pub(super) fn new(bits: u64) -> Self {
        let words = usize::try_from(bits / WORD_BITS).expect("a region fits in memory");
        Region { words: vec![0; words].into(), full: vec![0; words.div_ceil(64)].into() }
    }

    /// `bytes` must be exactly the region's size.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "a region is whole words");
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Region::from_words(words)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Combines two regions of one size, word by word.
    pub(super) fn zip_with(&self, other: &Region, combine: impl Fn(u64, u64) -> u64) -> Self {
        assert_eq!(self.words.len(), other.words.len());
        let pairs = self.words.iter().zip(&other.words);
        Region::from_words(pairs.map(|(a, b)| combine(*a, *b)).collect())
    }

    fn from_words(words: Vec<u64>) -> Self {
        let full = words
            .chunks(64)
            .map(|chunk| {
                (chunk.iter().enumerate())
                    .fold(0, |bits, (i, word)| bits | u64::from(*word == u64::MAX) << i)
            })
            .collect();
        Region { words: words.into(), full }
    }

    pub(super) fn same_bits(&self, other: &Region) -> bool {
        self.words == other.words
    }

    pub(super) fn count_ones(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(super) fn test(&self, bit: u64) -> bool {
        self.words[index(bit)] >> (bit % WORD_BITS) & 1 == 1
    }

    /// Sets the bits `from..to` and returns how many were clear.
    pub(super) fn set_range(&mut self, from: u64, to: u64) -> u64 {
        let mut changed = 0;
        for (word, mask) in masks(from, to) {
            changed += u64::from((mask & !self.words[word]).count_ones());
            self.words[word] |= mask;
            let is_full = u64::from(self.words[word] == u64::MAX);
            self.full[word / 64] |= is_full << (word % 64);
        }
        changed
    }

    /// Clears the bits `from..to` and returns how many were set.
    pub(super) fn clear_range(&mut self, from: u64, to: u64) -> u64 {
        let mut changed = 0;
        for (word, mask) in masks(from, to) {
            changed += u64::from((mask & self.words[word]).count_ones());
            self.words[word] &= !mask;
            self.full[word / 64] &= !(1 << (word % 64));
        }
        changed
    }

    /// The first clear bit at or after `from`. Reads two words and the summary.
    pub(super) fn first_zero_from(&self, from: u64) -> Option<u64> {
        let word = index(from);
        let open = !self.words[word] & (u64::MAX << (from % WORD_BITS));
        if open != 0 {
            return Some(bit_at(word, open));
        }
        let next = word + 1;
        let mut mask = u64::MAX << (next % 64);
        for (i, full) in self.full.iter().enumerate().skip(next / 64) {
            let open = !full & mask;
            if open != 0 {
                let word = i * 64 + open.trailing_zeros() as usize;
                let bits = *self.words.get(word)?;
                return Some(bit_at(word, !bits));
            }
            mask = u64::MAX;
        }
        None
    }

    /// The first set bit of `from..to`.
    pub(super) fn first_one_in(&self, from: u64, to: u64) -> Option<u64> {
        masks(from, to).find_map(|(word, mask)| {
            let bits = self.words[word] & mask;
            (bits != 0).then(|| bit_at(word, bits))
        })
    }

    pub(super) fn last_one(&self) -> Option<u64> {
        let word = self.words.iter().rposition(|bits| *bits != 0)?;
        let top = WORD_BITS - 1 - u64::from(self.words[word].leading_zeros());
        Some(word as u64 * WORD_BITS + top)
    }
}

fn index(bit: u64) -> usize {
    (bit / WORD_BITS) as usize
}

/// The position of the lowest bit of `bits`, which is the content of `word` or a part of it.
fn bit_at(word: usize, bits: u64) -> u64 {
    debug_assert_ne!(bits, 0);
    word as u64 * WORD_BITS + u64::from(bits.trailing_zeros())
}

/// The words that `from..to` touches, each with the bits that lie in the range.
fn masks(from: u64, to: u64) -> impl Iterator<Item = (usize, u64)> {
    debug_assert!(from < to);
    let (first, last) = (index(from), index(to - 1));
    (first..=last).map(move |word| {
        let mut mask = u64::MAX;
        if word == first {
            mask &= u64::MAX << (from % WORD_BITS);
        }
        if word == last {
            mask &= u64::MAX >> (WORD_BITS - 1 - (to - 1) % WORD_BITS);
        }
        (word, mask)
    })
}
