//! The frames of a log, by the documented format alone.

use super::layout::{Layout, Root, Use, crc, u32_at, u64_at};
use std::ops::Range;

const SEGMENT_HEADER: usize = 64;
const FRAME_HEADER: usize = 64;

/// A segment file.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) incarnation: u32,
    /// The position in the log of its first frame.
    pub(super) start: u64,
    /// Everything before this position was durable when it was made.
    pub(super) durable: u64,
    /// Its frames, one after the other from the first.
    pub(super) frames: Vec<Frame>,
}

/// A frame where it belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Its offset in the file.
    pub(super) at: u64,
    /// Its bytes, with those that fill the last eight.
    pub(super) len: u64,
    pub(super) lsn: u64,
    /// Everything before this position was durable when it was made.
    pub(super) durable: u64,
}

impl Frame {
    pub(super) fn range(&self) -> Range<u64> {
        self.at..self.at + self.len
    }
}

/// Length of the frame that begins here, if one does: of the log's database, wherever it belongs.
fn frame_len(bytes: &[u8], uuid: &[u8; 16]) -> Option<u64> {
    let header = bytes.get(..FRAME_HEADER)?;
    let len = u32_at(header, 0) as usize;
    let good = header[8..24] == *uuid && u32_at(header, 4) == crc(&[&header[..4], &header[8..]]);
    let payload = bytes.get(FRAME_HEADER..).filter(|_| good)?.get(..len)?;
    (u32_at(header, 56) == crc(&[payload]))
        .then_some((FRAME_HEADER + len).next_multiple_of(8) as u64)
}

/// Reads a file of a log's directory; none if it is no segment.
pub(super) fn segment(bytes: &[u8], uuid: &[u8; 16]) -> Option<Segment> {
    let header = bytes.get(..SEGMENT_HEADER)?;
    let good = header[..8] == *b"LLMDBWAL" && u32_at(header, 60) == crc(&[&header[..60]]);
    if !good || header[16..32] != *uuid {
        return None;
    }
    let (incarnation, start) = (u32_at(header, 12), u64_at(header, 32));
    let mut frames = Vec::new();
    let (mut at, mut lsn) = (SEGMENT_HEADER, start);
    while let Some(len) = frame_len(&bytes[at.min(bytes.len())..], uuid)
        && u64_at(bytes, at + 32) == lsn
        && u32_at(bytes, at + 24) == incarnation
    {
        frames.push(Frame { at: at as u64, len, lsn, durable: u64_at(bytes, at + 48) });
        (at, lsn) = (at + len as usize, lsn + len);
    }
    Some(Segment { incarnation, start, durable: u64_at(header, 48), frames })
}

/// What a file of a log's directory is made of, where so much of the log is needed of it.
pub(super) fn layout(bytes: &[u8], segment: Option<&Segment>, needed: Range<u64>) -> Layout {
    let mut layout = Layout::default();
    if let Some(segment) = segment {
        let end = segment.frames.last().map_or(segment.start, |frame| frame.lsn + frame.len);
        let is_needed = segment.start.max(needed.start) < end.min(needed.end);
        layout.push(64, if is_needed { Use::SegmentHeader } else { Use::Free });
        for frame in &segment.frames {
            let end = frame.at + FRAME_HEADER as u64 + u64::from(u32_at(bytes, frame.at as usize));
            let is_needed = needed.contains(&frame.lsn);
            layout.push(end, if is_needed { Use::Frame } else { Use::Free });
            layout.push(frame.at + frame.len, Use::Padding);
        }
    }
    layout.push(bytes.len() as u64, Use::Free);
    layout
}

/// All frames that a file holds anywhere, of this and earlier lives of it.
pub(super) fn any_frames(bytes: &[u8], root: &Root) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + FRAME_HEADER <= bytes.len() {
        // The cheap test first.
        let len =
            (bytes[at + 8..at + 24] == root.uuid).then(|| frame_len(&bytes[at..], &root.uuid));
        match len.flatten() {
            Some(len) => {
                found.push(at..at + len as usize);
                at += len as usize;
            }
            None => at += 8,
        }
    }
    found
}
