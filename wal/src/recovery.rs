//! Reading a log after a crash, and going on from it.

mod chain;
mod scan;
#[cfg(test)]
mod tests;
mod window;

use llmdb_vfs::planted;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use llmdb_vfs::Vfs;

use crate::frame::{FrameHeader, Kind, Origin};
use crate::store::{Spare, Store, offset_of};
use crate::{Log, LogConfig, Lsn, ReplayError, Result};

use chain::Chain;
use scan::{Next, Scan};

/// How much of a copied tail is gathered for one write.
const COPY_CHUNK: usize = 1 << 20;

/// A log as a crash left it. Opening and replaying it changes nothing; [`resume`](Recovery::resume)
/// does.
#[derive(Debug)]
pub struct Recovery {
    vfs: Arc<dyn Vfs>,
    config: LogConfig,
    incarnation: u32,
    from: Lsn,
    chain: Chain,
    /// What comes from here on counts as torn: see [`Recovery::cut_before`].
    cut: Option<Lsn>,
    found: Option<Found>,
}

/// A commit read from the log.
#[derive(Clone, Copy)]
pub struct Commit<'a> {
    /// Its number.
    pub seq: u64,
    /// What was appended, in one piece.
    pub payload: &'a [u8],
    /// The position of its first frame.
    pub start: Lsn,
    /// The position just past it.
    pub end: Lsn,
}

impl std::fmt::Debug for Commit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit")
            .field("seq", &self.seq)
            .field("payload_len", &self.payload.len())
            .field("end", &self.end)
            .finish()
    }
}

/// A commit as a bounded replay hands it out.
#[derive(Debug)]
pub enum Replayed<'a, 'c> {
    /// In one piece.
    Whole(Commit<'a>),
    /// In many.
    Large(LargeCommit<'c>),
}

/// A commit that is larger than the memory of the replay. It is known to be complete.
pub struct LargeCommit<'c> {
    /// Its number.
    pub seq: u64,
    /// The position of its first frame.
    pub start: Lsn,
    /// The position just past it.
    pub end: Lsn,
    scan: Scan<'c>,
    piece: Vec<u8>,
}

impl LargeCommit<'_> {
    /// The next piece of what was appended; `None` after the last.
    ///
    /// # Errors
    /// A failed read.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>> {
        let at = self.scan.at();
        if at >= self.end {
            return Ok(None);
        }
        let Next::Frame(_, payload) = self.scan.next()? else {
            // It was there a moment ago.
            return Err(self.scan.corrupt_at(at));
        };
        self.piece.clear();
        self.piece.extend_from_slice(payload);
        Ok(Some(&self.piece))
    }
}

impl std::fmt::Debug for LargeCommit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LargeCommit").field("seq", &self.seq).field("end", &self.end).finish()
    }
}

/// What a replay found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Just past the last commit.
    pub end: Lsn,
    /// Everything before it was durable before the crash: at least where the replay began.
    pub proven: Lsn,
    /// The number of the last commit, if there was one.
    pub last_seq: Option<u64>,
    /// How many commits there were.
    pub commits: u64,
    /// What was seen beyond the end and is cut.
    pub torn: Option<Torn>,
}

/// Traces of commits that were being written and never acknowledged when the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// The first position that cannot be read.
    pub at: Lsn,
}

/// What `resume` needs to know of the outcome.
#[derive(Clone, Copy, Debug)]
struct Found {
    outcome: Outcome,
    /// Where the first commit begins that is not wholly proven durable; the end, if all are.
    boundary: Lsn,
}

impl Recovery {
    /// Finds the segments from position `from` on, the caller's last checkpoint. `incarnation` is
    /// the one that the caller has durably recorded: segments of later ones are left over from
    /// recoveries that were interrupted.
    ///
    /// # Errors
    /// [`Error::MissingLog`](crate::Error::MissingLog) and [`Error::MissingSegment`](crate::Error::MissingSegment) if there is nothing to recover from
    /// there; [`Error::StaleIncarnation`](crate::Error::StaleIncarnation) if a later incarnation has been in use;
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Foreign`](crate::Error::Foreign) and [`Error::Version`](crate::Error::Version) for segment headers that
    /// cannot be read; those of the file system.
    ///
    /// # Panics
    /// If the sizes in `config` make no sense.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: LogConfig,
        incarnation: u32,
        from: Lsn,
    ) -> Result<Recovery> {
        config.check();
        let chain = Chain::find(&*vfs, dir, config.uuid, incarnation, from)?;
        Ok(Recovery { vfs, config, incarnation, from, chain, cut: None, found: None })
    }

    /// Lets the log end before the commit that begins at `start`, whatever follows: for one that
    /// was not proven durable and that names bytes elsewhere which are not all there. Of such a
    /// commit the frames came through a crash and the rest did not.
    ///
    /// # Panics
    /// If the commit was proven durable: then that is damage.
    pub fn cut_before(&mut self, start: Lsn) {
        let found = self.found.take().expect("what is cut was read before");
        assert!(start >= found.boundary, "what is proven durable is not cut");
        self.cut = Some(start);
    }

    /// Gives every commit from where the recovery begins to `apply`, in order, and says where the
    /// log ends. Memory is bounded by the largest commit.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where something cannot be read that was durable once; commits before it
    /// have been given out by then. Any failed read. Whatever `apply` returns.
    pub fn replay<E>(
        &mut self,
        mut apply: impl FnMut(Commit<'_>) -> Result<(), E>,
    ) -> Result<Outcome, ReplayError<E>> {
        self.replay_bounded(usize::MAX, |replayed| match replayed {
            Replayed::Whole(commit) => apply(commit),
            Replayed::Large(_) => unreachable!("no commit is larger than memory can be"),
        })
    }

    /// As [`replay`](Recovery::replay), with memory bounded by `whole_max`: commits with a larger
    /// payload are read twice, the second time piece by piece.
    ///
    /// # Errors
    /// As [`replay`](Recovery::replay).
    pub fn replay_bounded<E>(
        &mut self,
        whole_max: usize,
        mut apply: impl FnMut(Replayed<'_, '_>) -> Result<(), E>,
    ) -> Result<Outcome, ReplayError<E>> {
        let mut scan = Scan::new(&self.chain, self.config.uuid, self.from);
        let mut open = OpenCommit::none(self.from);
        // Commits that are not proven durable yet: where they begin and end.
        let mut unproven: VecDeque<(Lsn, Lsn)> = VecDeque::new();
        let mut outcome =
            Outcome { end: self.from, proven: self.from, last_seq: None, commits: 0, torn: None };
        loop {
            let (header, payload) = match scan.next()? {
                Next::Frame(header, payload) => (header, payload),
                Next::End => {
                    if !open.is_none() {
                        outcome.torn = Some(Torn { at: open.end });
                    }
                    break;
                }
                Next::Torn(at) => {
                    outcome.torn = Some(Torn { at });
                    break;
                }
            };
            if self.cut.is_some_and(|cut| header.lsn >= cut) {
                outcome.torn = Some(Torn { at: header.lsn });
                break;
            }
            outcome.proven = outcome.proven.max(header.durable);
            if header.part == 0 {
                // What came before and was not closed was given up.
                open.close();
            }
            if !open.continues_with(&header) {
                return Err(scan.corrupt_at(header.lsn).into());
            }
            let end = header.lsn.advance(header.frame_bytes());
            let start = if open.is_none() { header.lsn } else { open.start };
            if let Some(payload) = open.add(&header, payload, whole_max) {
                let seq = header.seq;
                match payload {
                    Some(payload) => apply(Replayed::Whole(Commit { seq, payload, start, end })),
                    None => {
                        let scan = Scan::new(&self.chain, self.config.uuid, start);
                        let piece = Vec::new();
                        apply(Replayed::Large(LargeCommit { seq, start, end, scan, piece }))
                    }
                }
                .map_err(ReplayError::Apply)?;
                unproven.push_back((start, end));
                outcome.end = end;
                outcome.last_seq = Some(header.seq);
                outcome.commits += 1;
                open.close();
            }
            while unproven.front().is_some_and(|(_, end)| *end <= outcome.proven) {
                unproven.pop_front();
            }
        }
        outcome.proven = outcome.proven.max(scan.durable_by_headers()).min(outcome.end);
        while unproven.front().is_some_and(|(_, end)| *end <= outcome.proven) {
            unproven.pop_front();
        }
        let boundary = unproven.front().map_or(outcome.end, |(start, _)| *start);
        self.found = Some(Found { outcome, boundary });
        Ok(outcome)
    }

    /// Makes the log ready for appending, in an incarnation later than the recorded one. What was
    /// read but not proven durable is copied to a new segment, and the rest of the log is left as
    /// it is: until the caller has durably recorded `incarnation`, a crash leaves the same log to
    /// recover. Nothing may be appended to the returned log, and [`Log::recycle`] not be called,
    /// before that. Replays first if that was not done yet.
    ///
    /// # Errors
    /// As [`replay`](Recovery::replay); [`Error::NoSpace`](crate::Error::NoSpace) and others of the file system. The old
    /// log stays as it is.
    ///
    /// # Panics
    /// If `incarnation` is not later than the recorded one.
    pub fn resume(mut self, incarnation: u32) -> Result<Log> {
        assert!(incarnation > self.incarnation, "a recovery begins a later incarnation");
        let found = match self.found {
            Some(found) => found,
            None => {
                match self.replay(|_| Ok::<(), Infallible>(())) {
                    Ok(_) => {}
                    Err(ReplayError::Log(e)) => return Err(e),
                    Err(ReplayError::Apply(never)) => match never {},
                }
                self.found.expect("a replay that ends finds something")
            }
        };
        let store = Store::new(Arc::clone(&self.vfs), self.chain.dir(), self.config, incarnation);
        self.chain.remove_leftovers(&store)?;
        let Found { outcome, boundary } = found;
        let tail_bytes = outcome.end.since(boundary);
        let file_bytes = offset_of(Lsn::ZERO, Lsn::new(tail_bytes))
            .next_multiple_of(4096)
            .max(store.config.next_bytes(self.chain.file_bytes_last() / 2));
        let spare = store.create_spare(file_bytes)?;
        if !planted!("recovered_end_not_copied") {
            self.copy_tail(&store, &spare, boundary, outcome.end)?;
        }
        // Its one sync makes the copied frames durable too.
        let segment = store.activate(spare, boundary, boundary)?;
        let (mut segments, obsolete) = self.chain.into_parts(boundary);
        segments.push(segment);
        Ok(Log::over(store, segments, obsolete, outcome.end))
    }

    /// Copies the frames from `boundary` to `end`, at the same positions, as those of the store's
    /// incarnation.
    fn copy_tail(&self, store: &Store, to: &Spare, boundary: Lsn, end: Lsn) -> Result<()> {
        let mut scan = Scan::new(&self.chain, self.config.uuid, boundary);
        let mut chunk = Vec::new();
        let mut at = boundary;
        while scan.at() < end {
            let next = scan.at();
            let Next::Frame(header, payload) = scan.next()? else {
                // It was there a moment ago.
                return Err(scan.corrupt_at(next));
            };
            let copy = FrameHeader {
                incarnation: store.incarnation,
                origin: Origin::Copied,
                durable: boundary,
                ..header
            };
            chunk.extend_from_slice(&copy.encode());
            chunk.extend_from_slice(payload);
            chunk.resize(chunk.len().next_multiple_of(8), 0);
            if chunk.len() >= COPY_CHUNK || scan.at() >= end {
                to.file.write_all_at(&[IoSlice::new(&chunk)], offset_of(boundary, at))?;
                at = at.advance(chunk.len() as u64);
                chunk.clear();
            }
        }
        assert!(at == end && chunk.is_empty(), "frames end where commits do");
        Ok(())
    }
}

/// The frames of a commit whose last one was not read yet.
struct OpenCommit {
    seq: u64,
    parts: u32,
    start: Lsn,
    end: Lsn,
    payload: Vec<u8>,
    /// The payload is more than is kept: it is read again.
    large: bool,
}

impl OpenCommit {
    fn none(at: Lsn) -> OpenCommit {
        OpenCommit { seq: 0, parts: 0, start: at, end: at, payload: Vec::new(), large: false }
    }

    fn is_none(&self) -> bool {
        self.parts == 0
    }

    /// Whether a frame can come next: all frames of a commit follow one another.
    fn continues_with(&self, header: &FrameHeader) -> bool {
        header.part == self.parts && (self.is_none() || header.seq == self.seq)
    }

    /// Adds a frame. If it was the last one, answers the payload, or `None` where it is larger than
    /// `whole_max`.
    fn add<'a>(
        &'a mut self,
        header: &FrameHeader,
        payload: &'a [u8],
        whole_max: usize,
    ) -> Option<Option<&'a [u8]>> {
        self.seq = header.seq;
        self.end = header.lsn.advance(header.frame_bytes());
        if self.is_none() {
            self.start = header.lsn;
            if header.kind == Kind::Commit {
                // The common case: in one piece already.
                return Some(Some(payload));
            }
        }
        self.parts += 1;
        if self.large || self.payload.len() + payload.len() > whole_max {
            self.large = true;
            self.payload = Vec::new();
        } else {
            self.payload.extend_from_slice(payload);
        }
        let whole = (!self.large).then_some(self.payload.as_slice());
        let is_whole = header.kind == Kind::Commit || planted!("half_a_commit_replayed");
        is_whole.then_some(whole)
    }

    fn close(&mut self) {
        self.parts = 0;
        self.large = false;
        self.payload.clear();
    }
}
