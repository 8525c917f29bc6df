//! The end of the log, where commits are appended in memory.

use std::collections::VecDeque;

use crate::frame::{FrameHeader, Kind, Origin, Step, frame_bytes, step};
use crate::store::{Segment, Spare, Store, offset_of};
use crate::{Error, Lsn, Result};

/// A buffer that grew beyond this for one large commit is given back.
const BUFFER_KEEP: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Tail {
    batch: Batch,
    /// The bytes left in the segment that `batch.end()` lies in.
    room: u64,
    /// Where that segment begins.
    segment_start: Lsn,
    /// The files that come after that segment, in this order.
    spares: VecDeque<Spare>,
    /// The length of the file that was last given a place or made ready.
    file_bytes_last: u64,
    commits: u64,
    bytes_appended: u64,
}

/// The commit that frames belong to, and the number of the next.
#[derive(Debug)]
pub(super) struct At {
    pub(super) uuid: [u8; 16],
    pub(super) incarnation: u32,
    pub(super) seq: u64,
    pub(super) part: u32,
}

/// Whether more of a commit follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    More,
    Last,
}

/// Frames that are not written yet, and where the log changes files.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) start: Lsn,
    pub(super) bytes: Vec<u8>,
    /// The segments that begin within, or at the end of, the bytes.
    pub(super) segments: Vec<(Lsn, Spare)>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn end(&self) -> Lsn {
        self.start.advance(self.bytes.len() as u64)
    }
}

impl Tail {
    /// The tail of a log that ends at `end`, in its last segment.
    pub(super) fn at(end: Lsn, segment: &Segment) -> Tail {
        let room = segment.file_bytes - offset_of(segment.start, end);
        Tail {
            batch: Batch { start: end, bytes: Vec::new(), segments: Vec::new() },
            room,
            segment_start: segment.start,
            spares: VecDeque::new(),
            file_bytes_last: segment.file_bytes,
            commits: 0,
            bytes_appended: 0,
        }
    }

    /// Whether a payload of `payload_len` bytes fits into the segment and the spares, if it comes
    /// in pieces of `piece_len`.
    pub(super) fn has_room(&self, payload_len: usize, piece_len: usize) -> bool {
        let mut room = self.room;
        let mut spares = self.spares.iter();
        let mut rest = payload_len;
        let mut left = rest.min(piece_len);
        loop {
            match step(room, left) {
                Step::NextSegment => match spares.next() {
                    Some(spare) => room = spare.capacity(),
                    None => return false,
                },
                Step::Frame { payload_len } => {
                    (left, rest) = (left - payload_len, rest - payload_len);
                    room -= frame_bytes(payload_len);
                    if rest == 0 {
                        return true;
                    }
                    if left == 0 {
                        left = rest.min(piece_len);
                    }
                }
            }
        }
    }

    /// Appends a piece of a commit: its frames are numbered from `at.part` on, which moves on.
    pub(super) fn append(
        &mut self,
        at: &mut At,
        durable: Lsn,
        payload: &[&[u8]],
        piece: Piece,
    ) -> Result<Lsn> {
        let mut left: usize = payload.iter().map(|slice| slice.len()).sum();
        if !self.has_room(left, left) {
            return Err(Error::Unreserved { wanted: left });
        }
        let begin = self.end();
        let mut source = Source { slices: payload, first: 0, offset: 0 };
        let At { uuid, incarnation, seq, .. } = *at;
        loop {
            let part = at.part;
            at.part += 1;
            let payload_len = self.next_frame(left);
            left -= payload_len;
            let mut header = FrameHeader {
                payload_len: payload_len as u32,
                uuid,
                incarnation,
                kind: if left == 0 && piece == Piece::Last { Kind::Commit } else { Kind::Part },
                origin: Origin::Appended,
                lsn: self.end(),
                seq,
                durable,
                payload_crc: 0,
                part,
            };
            let bytes = &mut self.batch.bytes;
            let header_at = bytes.len();
            bytes.resize(header_at + crate::frame::HEADER_BYTES, 0);
            let payload_at = bytes.len();
            source.copy(payload_len, bytes);
            header.payload_crc = crc32fast::hash(&bytes[payload_at..]);
            bytes[header_at..payload_at].copy_from_slice(&header.encode());
            bytes.resize(header_at + header.frame_bytes() as usize, 0);
            self.room -= header.frame_bytes();
            if left == 0 {
                break;
            }
        }
        debug_assert!(self.end().is_aligned());
        self.commits += u64::from(piece == Piece::Last);
        self.bytes_appended += self.end().since(begin);
        Ok(self.end())
    }

    /// The payload of the next frame; goes on to the next segment if it must.
    fn next_frame(&mut self, left: usize) -> usize {
        loop {
            match step(self.room, left) {
                Step::Frame { payload_len } => return payload_len,
                Step::NextSegment => self.next_segment(),
            }
        }
    }

    fn next_segment(&mut self) {
        let spare = self.spares.pop_front().expect("room was there for all of it");
        self.room = spare.capacity();
        self.segment_start = self.batch.end();
        self.batch.segments.push((self.batch.end(), spare));
    }

    /// Lets what is appended next begin a segment of its own. A spare must be there.
    pub(super) fn turn(&mut self) {
        // Two segments never begin at one place.
        if self.segment_start != self.batch.end() {
            self.next_segment();
        }
    }

    /// Takes the files that have no place in the log, all but `keep`.
    pub(super) fn take_spares(&mut self, keep: usize) -> Vec<Spare> {
        self.spares.split_off(keep.min(self.spares.len())).into()
    }

    /// Everything that is to be written, for an empty buffer to go on with.
    pub(super) fn take(&mut self, mut buffer: Vec<u8>) -> Batch {
        buffer.clear();
        if buffer.capacity() > BUFFER_KEEP {
            buffer.shrink_to(BUFFER_KEEP);
        }
        let next = Batch { start: self.batch.end(), bytes: buffer, segments: Vec::new() };
        std::mem::replace(&mut self.batch, next)
    }

    pub(super) fn add_spare(&mut self, spare: Spare) {
        self.file_bytes_last = self.file_bytes_last.max(spare.file_bytes);
        self.spares.push_back(spare);
    }

    pub(super) fn remove_spares(self, store: &Store) -> Result<(), llmdb_vfs::Error> {
        let buffered = self.batch.segments.iter().map(|(_, spare)| spare);
        buffered.chain(&self.spares).try_for_each(|spare| store.remove_spare(spare))
    }

    pub(super) fn end(&self) -> Lsn {
        self.batch.end()
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn file_bytes_last(&self) -> u64 {
        self.file_bytes_last
    }

    pub(super) fn spares(&self) -> usize {
        self.spares.len()
    }

    pub(super) fn segments_buffered(&self) -> usize {
        self.batch.segments.len()
    }

    /// The length of the files that have no segment yet.
    pub(super) fn file_bytes(&self) -> u64 {
        let buffered = self.batch.segments.iter().map(|(_, spare)| spare);
        buffered.chain(&self.spares).map(|spare| spare.file_bytes).sum()
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    pub(super) fn bytes_appended(&self) -> u64 {
        self.bytes_appended
    }
}

/// Reads slices as if they were one.
struct Source<'a> {
    slices: &'a [&'a [u8]],
    first: usize,
    offset: usize,
}

impl Source<'_> {
    fn copy(&mut self, mut len: usize, to: &mut Vec<u8>) {
        while len > 0 {
            let rest = &self.slices[self.first][self.offset..];
            let n = rest.len().min(len);
            to.extend_from_slice(&rest[..n]);
            len -= n;
            self.offset += n;
            if n == rest.len() {
                self.first += 1;
                self.offset = 0;
            }
        }
    }
}
