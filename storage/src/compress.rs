//! Making pages and values smaller, tree by tree.
//!
//! ```text
//! packed value:  algorithm u8 | raw length u32 | compressed bytes       (algorithm 1 LZ4, 2 Zstandard)
//! ```
//!
//! Compressed bytes come from the file and are untrusted: nothing they say makes more memory be
//! taken than the raw length does, which is bounded by where they are found.

use crate::{Error, PageId, Result, extent};

/// How bytes are made smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Compression {
    /// LZ4: fast both ways. Of the feature `lz4`.
    Lz4,
    /// Zstandard, level 3: smaller, slower to write. Of the feature `zstd`.
    Zstd,
}

/// What a tree does with what is written to it from now on; what was written stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TreeOptions {
    /// Leaves are compressed when they are written to the file, each if that saves at least one
    /// block of 4 KiB: of any use with pages of 8 KiB and more. What it saves becomes a hole in the
    /// file. Such leaves are read through the page cache, with either page source.
    pub pages: Option<Compression>,
    /// Values are compressed, each if that saves at least an eighth. Reading one makes a copy.
    pub values: Option<Compression>,
}

impl TreeOptions {
    /// Bytes that options take in the catalog and in the log.
    pub const BYTES: usize = 2;

    /// One byte for pages, one for values: 0 for none, else the algorithm.
    pub fn encode(self) -> [u8; Self::BYTES] {
        [self.pages, self.values].map(|how| how.map_or(0, Compression::code))
    }

    /// What [`TreeOptions::encode`] made; `None` for anything else.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let how = |code| match code {
            0 => Some(None),
            code => Compression::of_code(code).map(Some),
        };
        Some(TreeOptions { pages: how(bytes[0])?, values: how(bytes[1])? })
    }
}

#[cfg(feature = "zstd")]
const LEVEL: i32 = 3;
const VALUE_HEADER: usize = 5;
/// Shorter values are not tried.
const VALUE_MIN: usize = 64;
/// A value is stored compressed if that saves this part of it.
const VALUE_SAVING: usize = 8;
/// Up to this length memory is taken as the raw length says; beyond it as bytes come.
#[cfg(feature = "zstd")]
const TRUSTED_BYTES_MAX: usize = 1 << 20;

impl Compression {
    /// All of them.
    pub const ALL: &'static [Compression] = &[Compression::Lz4, Compression::Zstd];

    /// The number that stands for it in the file.
    pub(crate) fn code(self) -> u8 {
        match self {
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        // One that is missing from the list is never read.
        Self::ALL.iter().copied().find(|how| how.code() == code)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// Whether this build has it.
    pub fn is_built_in(self) -> bool {
        match self {
            Compression::Lz4 => cfg!(feature = "lz4"),
            Compression::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The bytes, compressed; `None` where this build cannot.
    #[cfg_attr(
        not(any(feature = "lz4", feature = "zstd")),
        allow(unused_variables, reason = "nothing can be compressed")
    )]
    pub(crate) fn pack(self, raw: &[u8]) -> Option<Vec<u8>> {
        match self {
            #[cfg(feature = "lz4")]
            Compression::Lz4 => Some(lz4_flex::block::compress(raw)),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd_codec::pack(raw),
            #[cfg(not(all(feature = "lz4", feature = "zstd")))]
            _ => None,
        }
    }

    /// Fills `to` with the bytes that `packed` stands for, which must be as many.
    #[cfg_attr(
        not(any(feature = "lz4", feature = "zstd")),
        allow(unreachable_code, unused_variables, reason = "nothing can be decompressed")
    )]
    pub(crate) fn unpack_into(self, packed: &[u8], to: &mut [u8], at: PageId) -> Result<()> {
        let len: Option<usize> = match self {
            #[cfg(feature = "lz4")]
            Compression::Lz4 => lz4_flex::block::decompress_into(packed, to).ok(),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd_codec::unpack_into(packed, to),
            #[cfg(not(all(feature = "lz4", feature = "zstd")))]
            _ => return Err(Error::NoCodec { name: self.name() }),
        };
        match len {
            Some(len) if len == to.len() => Ok(()),
            _ => Err(Error::corrupt(at, "its compressed bytes are damaged")),
        }
    }

    /// The `len` bytes that `packed` stands for.
    fn unpack(self, packed: &[u8], len: usize, at: PageId) -> Result<Vec<u8>> {
        // LZ4 makes at most 255 bytes of one.
        let believable = self != Compression::Lz4 || len / 256 <= packed.len();
        if !believable {
            return Err(Error::corrupt(at, "a compressed value claims an impossible length"));
        }
        #[cfg(feature = "zstd")]
        if self == Compression::Zstd && len > TRUSTED_BYTES_MAX {
            let bytes = zstd_codec::unpack_growing(packed, len);
            let bytes = bytes.filter(|bytes| bytes.len() == len);
            return bytes.ok_or_else(|| Error::corrupt(at, "its compressed bytes are damaged"));
        }
        let mut bytes = vec![0; len];
        self.unpack_into(packed, &mut bytes, at)?;
        Ok(bytes)
    }
}

/// A value as it is stored compressed, if that saves enough.
pub(crate) fn pack_value(how: Compression, raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() < VALUE_MIN {
        return None;
    }
    let packed = how.pack(raw)?;
    let saves = VALUE_HEADER + packed.len() + raw.len() / VALUE_SAVING <= raw.len();
    saves.then(|| {
        let len = u32::try_from(raw.len()).expect("values are shorter than 2 GiB");
        [&[how.code()], &len.to_le_bytes()[..], &packed].concat()
    })
}

/// The value that was stored compressed in or below the leaf `at`.
pub(crate) fn unpack_value(stored: &[u8], at: PageId) -> Result<Vec<u8>> {
    let bad = |what| Err(Error::corrupt(at, what));
    let Some((header, packed)) = stored.split_at_checked(VALUE_HEADER) else {
        return bad("a compressed value is cut");
    };
    let Some(how) = Compression::of_code(header[0]) else {
        return bad("a value is compressed by an unknown algorithm");
    };
    let len = u32::from_le_bytes(header[1..].try_into().expect("four bytes")) as usize;
    if len > extent::VALUE_MAX {
        return bad("a compressed value claims an impossible length");
    }
    how.unpack(packed, len, at)
}

#[cfg(feature = "zstd")]
mod zstd_codec {
    use std::cell::RefCell;
    use std::io::Read;
    use zstd::bulk::{Compressor, Decompressor};

    // Making either takes longer than most pages do.
    thread_local! {
        static PACK: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
        static UNPACK: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }

    /// A frame may not ask for a larger window: level 3 never does.
    const WINDOW_LOG_MAX: u32 = 21;

    pub(super) fn pack(raw: &[u8]) -> Option<Vec<u8>> {
        PACK.with_borrow_mut(|codec| {
            if codec.is_none() {
                *codec = Compressor::new(super::LEVEL).ok();
            }
            codec.as_mut()?.compress(raw).ok()
        })
    }

    pub(super) fn unpack_into(packed: &[u8], to: &mut [u8]) -> Option<usize> {
        UNPACK.with_borrow_mut(|codec| {
            if codec.is_none() {
                *codec = Decompressor::new().ok();
            }
            codec.as_mut()?.decompress_to_buffer(packed, to).ok()
        })
    }

    /// At most one byte more than `len`.
    pub(super) fn unpack_growing(packed: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut codec = zstd::stream::read::Decoder::new(packed).ok()?;
        codec.window_log_max(WINDOW_LOG_MAX).ok()?;
        let mut bytes = Vec::new();
        codec.take(len as u64 + 1).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

    fn text(len: usize) -> Vec<u8> {
        let words = (0..).map(|i: u64| format!("{{\"id\":{},\"name\":\"user\"}},", i * i % 9973));
        words.flat_map(String::into_bytes).take(len).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut z = 1u64;
        let mut next = || {
            z = z.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (z >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_is_packed_is_smaller_and_comes_back() {
        for how in BOTH {
            for len in [64, 100, 5_000, 70_000, TRUSTED_BYTES_MAX + 7] {
                let stored = pack_value(how, &text(len)).unwrap();
                assert!(stored.len() + len / 8 <= len, "{how:?}: {len} became {}", stored.len());
                assert_eq!(unpack_value(&stored, PageId(1)).unwrap(), text(len));
                assert_eq!(pack_value(how, &noise(len)), None, "noise stays as it is");
            }
            assert_eq!(pack_value(how, &[7; VALUE_MIN - 1]), None);
        }
    }

    #[test]
    fn a_packed_values_bytes_are_where_the_format_says() {
        for how in BOTH {
            let stored = pack_value(how, &[7; 300]).unwrap();
            assert_eq!(stored[..5], [how.code(), 0x2c, 1, 0, 0]);
            assert_eq!(how.unpack(&stored[5..], 300, PageId(1)).unwrap(), [7; 300]);
        }
        assert_eq!(BOTH.map(Compression::code), [1, 2]);
    }

    /// Every byte changed, every cut, and lengths that are made up: an error or other bytes of the
    /// length that was claimed (a checksum lies around all of this), and never much memory.
    #[test]
    fn forged_values_are_refused_or_as_long_as_they_say() {
        for how in BOTH {
            let stored = pack_value(how, &text(2_000)).unwrap();
            for at in 0..stored.len() {
                for bit in [1, 0x40, 0x80] {
                    let mut forged = stored.clone();
                    forged[at] ^= bit;
                    if let Ok(bytes) = unpack_value(&forged, PageId(1)) {
                        let len = u32::from_le_bytes(forged[1..5].try_into().unwrap());
                        assert_eq!(bytes.len(), len as usize);
                    }
                }
                assert!(unpack_value(&stored[..at], PageId(1)).is_err(), "cut at {at}");
            }
            for len in [0u32, 1, 1_999, 2_001, 1 << 20, (1 << 31) - 1, u32::MAX] {
                let mut forged = stored.clone();
                forged[1..5].copy_from_slice(&len.to_le_bytes());
                let error = unpack_value(&forged, PageId(1)).unwrap_err();
                // Refused before anything is decompressed.
                let at_once = error.to_string().contains("impossible length");
                assert!(at_once || len != u32::MAX, "{how:?} {len}: {error}");
            }
        }
    }
}
