//! Walks the frames of a log and tells a torn end from damage.
//!
//! At the first position that holds no valid frame the log ends, unless something later says that
//! it went on and was durable:
//!
//! ```text
//!   frame   frame   ??????   ...   frame, durable LSN beyond the ??????:   damage
//!   frame   frame   ??????   ...   frames, none with such a durable LSN:   torn, the log ends here
//!   frame   frame   ??????   ...   no frames:                              the log ends here
//! ```

use super::chain::{Chain, Link};
use super::window::Window;
use crate::frame::{FrameHeader, HEADER_BYTES};
use crate::store::offset_of;
use crate::{Error, Lsn, Result};
use llmdb_vfs::planted;

pub(super) struct Scan<'a> {
    links: &'a [Link],
    uuid: [u8; 16],
    /// The link that `at` lies in, or ends.
    link: usize,
    at: Lsn,
    window: Window,
}

/// What comes next in the log.
pub(super) enum Next<'a> {
    /// A frame and its payload, both checked.
    Frame(FrameHeader, &'a [u8]),
    /// Nothing.
    End,
    /// Nothing that can be read, though something was written from this position on.
    Torn(Lsn),
}

impl<'a> Scan<'a> {
    /// Begins at `at`, which the chain holds.
    pub(super) fn new(chain: &'a Chain, uuid: [u8; 16], at: Lsn) -> Scan<'a> {
        let links = chain.links();
        let link =
            links.iter().rposition(|link| link.header.start <= at).expect("the chain holds it");
        Scan { links, uuid, link, at, window: Window::new() }
    }

    pub(super) fn at(&self) -> Lsn {
        self.at
    }

    /// The next frame. After anything else the walk is over.
    pub(super) fn next(&mut self) -> Result<Next<'_>> {
        // A segment takes over where the one before ends. Bounded: starts rise.
        while let Some(next) = self.links.get(self.link + 1)
            && self.at == next.header.start
            && !planted!("rest_of_log_dropped")
        {
            self.link += 1;
            self.window = Window::new();
        }
        match self.frame_here()? {
            Some(header) => {
                let at = self.at;
                self.at = at.advance(header.frame_bytes());
                let link = &self.links[self.link];
                let offset = offset_of(link.header.start, at) + HEADER_BYTES as u64;
                let payload = self
                    .window
                    .bytes_at(&*link.file, offset, header.payload_len as usize)?
                    .expect("the payload was there to be checked");
                Ok(Next::Frame(header, payload))
            }
            None => self.end(),
        }
    }

    /// That the log is damaged at a position.
    pub(super) fn corrupt_at(&self, lsn: Lsn) -> Error {
        let link = self.links.iter().rfind(|link| link.header.start <= lsn);
        let link = link.unwrap_or(&self.links[0]);
        Error::corrupt(&link.path, offset_of(link.header.start, lsn), lsn)
    }

    /// What the headers of the segments up to here say is durable.
    pub(super) fn durable_by_headers(&self) -> Lsn {
        let links = self.links[..=self.link].iter();
        links.map(|link| link.header.durable).max().expect("the link itself")
    }

    /// The frame at `at`, if there is a valid one.
    fn frame_here(&mut self) -> Result<Option<FrameHeader>> {
        let link = &self.links[self.link];
        if self.at > link.end {
            return Ok(None);
        }
        let place = link.place(self.at);
        let bytes = self.window.header_at(&*link.file, link.header.start, self.at)?;
        let Some(header) = bytes.and_then(|bytes| FrameHeader::decode(bytes, &place)) else {
            return Ok(None);
        };
        debug_assert_eq!(header.uuid, self.uuid);
        // Header and payload in one piece, so that the read after this finds it in the window. The
        // header has been held to the largest payload and to the room in the segment.
        let offset = offset_of(link.header.start, self.at);
        let len = HEADER_BYTES + header.payload_len as usize;
        let frame = self.window.bytes_at(&*link.file, offset, len)?;
        let good = frame
            .is_some_and(|frame| crc32fast::hash(&frame[HEADER_BYTES..]) == header.payload_crc)
            || planted!("payload_checksum_ignored");
        Ok(good.then_some(header))
    }

    /// There is no valid frame at `at`: says whether there should be.
    fn end(&mut self) -> Result<Next<'_>> {
        let at = self.at;
        let mut more = false;
        for index in self.link..self.links.len() {
            let link = &self.links[index];
            // Even an empty segment says what was durable when it was begun.
            if link.header.durable > at {
                return Err(self.corrupt_at(at));
            }
            more |= index > self.link;
            let mut window = Window::new();
            let mut lsn = link.header.start.max(at);
            while lsn < link.end {
                let Some(bytes) = window.header_at(&*link.file, link.header.start, lsn)? else {
                    break;
                };
                if let Some(header) = FrameHeader::decode(bytes, &link.place(lsn)) {
                    if header.durable > at && !planted!("damage_taken_for_torn_end") {
                        return Err(self.corrupt_at(at));
                    }
                    more = true;
                }
                lsn = lsn.advance(8);
            }
        }
        if more && planted!("torn_end_refused") {
            return Err(self.corrupt_at(at));
        }
        Ok(if more { Next::Torn(at) } else { Next::End })
    }
}
