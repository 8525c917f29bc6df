//! A commit that is appended piece by piece, because it does not fit in memory.
//!
//! Its frames are parts until the last one closes it. Whatever stops it before leaves parts that
//! belong to nothing: the next commit begins with a part 0 of its own, and a replay passes over
//! what was not closed.

use super::{At, Log, Piece};
use crate::{Lsn, Result};

/// Pieces are gathered up to this: one frame each.
const PIECE_BYTES: usize = 64 << 10;

/// A commit that is being appended. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "a commit counts once it is finished"]
pub struct Appending<'l> {
    log: &'l Log,
    at: At,
    piece: Vec<u8>,
    buffered_max: usize,
}

impl Log {
    /// As [`Log::reserve`], for a payload that is appended by [`Log::append_pieces`].
    ///
    /// # Errors
    /// As [`Log::reserve`].
    pub fn reserve_pieces(&self, payload_len: usize) -> Result<()> {
        self.reserve_room(payload_len, PIECE_BYTES)
    }

    /// Begins to append commit `seq`, whose whole payload was [reserved](Log::reserve_pieces).
    /// When more than about `buffered_max` bytes are buffered they are handed to the operating
    /// system. One thread at a time appends, and nothing else until this is finished or dropped.
    pub fn append_pieces(&self, seq: u64, buffered_max: usize) -> Appending<'_> {
        Appending { log: self, at: self.first(seq), piece: Vec::new(), buffered_max }
    }
}

impl Appending<'_> {
    /// Appends more of the payload.
    ///
    /// # Errors
    /// As [`Log::append`]; [`Error::Poisoned`](crate::Error::Poisoned) also where writing out fails.
    pub fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let now = bytes.len().min(PIECE_BYTES - self.piece.len());
            self.piece.extend_from_slice(&bytes[..now]);
            bytes = &bytes[now..];
            if self.piece.len() == PIECE_BYTES {
                self.append(Piece::More)?;
                if self.log.buffered_bytes() > self.buffered_max {
                    self.log.write_out()?;
                }
            }
        }
        Ok(())
    }

    /// Closes the commit and returns the position just past it.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn finish(mut self) -> Result<Lsn> {
        self.append(Piece::Last)
    }

    fn append(&mut self, piece: Piece) -> Result<Lsn> {
        self.log.healthy()?;
        let durable = self.log.durable();
        let end = self.log.tail.lock().append(&mut self.at, durable, &[&self.piece], piece)?;
        self.piece.clear();
        Ok(end)
    }
}
