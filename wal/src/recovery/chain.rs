//! Which files of the directory make up the log.
//!
//! A recovery begins a new segment, of the next incarnation, where the proven part of the log
//! ends; older segments from there on are *superseded*. So, with incarnation 2 recorded:
//!
//! ```text
//! position      0         1000        1400   2000       3000
//! incarnation 1 |---------|-----------|------|----------|--       from 1400 on superseded
//! incarnation 2                       |--------------|-------     the log from 1400 on
//! incarnation 3                                          |--      left over from an interrupted
//!                                                                 recovery, or proof that 2 is
//!                                                                 out of date
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmdb_vfs::{File, OpenMode, Vfs};

use super::window::Window;
use crate::frame::{FrameHeader, Origin, Place};
use crate::segment::{self, SegmentHeader, SegmentName, is_spare_name};
use crate::store::{Segment, Store};
use crate::{Error, Lsn, Result};

/// The segments that hold the log from a position on, and what else is in the directory.
#[derive(Debug)]
pub(super) struct Chain {
    dir: PathBuf,
    /// Wholly before the position; their headers were not looked at.
    earlier: Vec<(SegmentName, PathBuf)>,
    /// Oldest first, never empty. The position lies in the first.
    links: Vec<Link>,
    /// Superseded segments, segments of interrupted recoveries, and spares.
    leftovers: Vec<PathBuf>,
}

/// A segment of the log, open for reading.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) header: SegmentHeader,
    /// Just past the last position that the segment holds: the start of the next one, or its own
    /// capacity.
    pub(super) end: Lsn,
}

impl Chain {
    pub(super) fn find(
        vfs: &dyn Vfs,
        dir: &Path,
        uuid: [u8; 16],
        incarnation: u32,
        from: Lsn,
    ) -> Result<Chain> {
        if vfs.kind(dir)?.is_none() {
            return Err(Error::MissingLog { dir: dir.to_path_buf() });
        }
        let missing = || Error::MissingSegment { dir: dir.to_path_buf(), from, incarnation };
        let mut segments = Vec::new();
        let mut leftovers = Vec::new();
        for name in vfs.read_dir(dir)? {
            let path = dir.join(&name);
            if let Some(name) = SegmentName::parse(&name) {
                segments.push((name, path));
            } else if is_spare_name(&name) {
                leftovers.push(path);
            }
        }
        let (newer, known): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|(name, _)| name.incarnation > incarnation);
        for (name, path) in newer {
            if was_in_use(vfs, &path, name, uuid)? {
                let found = name.incarnation;
                return Err(Error::StaleIncarnation { path, given: incarnation, found });
            }
            leftovers.push(path);
        }
        let (current, superseded) = without_superseded(known);
        leftovers.extend(superseded.into_iter().map(|(_, path)| path));
        // Every incarnation has a segment from its recovery on.
        if current.last().is_none_or(|(name, _)| name.incarnation != incarnation) {
            return Err(missing());
        }
        let holder =
            current.iter().rposition(|(name, _)| name.start <= from).ok_or_else(missing)?;
        let mut earlier = current;
        let links = open_links(vfs, earlier.split_off(holder), uuid)?;
        if links[0].end < from {
            return Err(missing());
        }
        Ok(Chain { dir: dir.to_path_buf(), earlier, links, leftovers })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The length of the last segment's file.
    pub(super) fn file_bytes_last(&self) -> u64 {
        self.links.last().expect("never empty").file_bytes()
    }

    /// Removes, durably, what is not part of the log.
    pub(super) fn remove_leftovers(&self, store: &Store) -> Result<()> {
        if self.leftovers.is_empty() {
            return Ok(());
        }
        for path in &self.leftovers {
            store.remove(path)?;
        }
        Ok(store.vfs.sync_dir(&store.dir)?)
    }

    /// The segments that stay, and the files that go, once a new segment begins at `boundary`.
    pub(super) fn into_parts(self, boundary: Lsn) -> (Vec<Segment>, Vec<PathBuf>) {
        let before = self.earlier.into_iter().map(|(name, path)| (name.start, path, 0));
        let links = self.links.into_iter();
        let links = links.map(|link| (link.header.start, link.file_bytes(), link.path));
        let all = before.chain(links.map(|(start, file_bytes, path)| (start, path, file_bytes)));
        let (mut segments, mut obsolete) = (Vec::new(), Vec::new());
        for (start, path, file_bytes) in all {
            if start < boundary {
                segments.push(Segment { start, path, file_bytes, file: None, dirty: false });
            } else {
                obsolete.push(path);
            }
        }
        (segments, obsolete)
    }
}

impl Link {
    fn file_bytes(&self) -> u64 {
        segment::HEADER_BYTES as u64 + self.header.capacity
    }

    /// What a frame at this position must say of itself.
    pub(super) fn place(&self, lsn: Lsn) -> Place {
        Place {
            uuid: self.header.uuid,
            incarnation: self.header.incarnation,
            lsn,
            room: self.end.since(lsn),
        }
    }
}

type Named = (SegmentName, PathBuf);

/// Sorts segments by where they begin, and splits off those that one of a later incarnation, at or
/// before their start, has replaced. Incarnations rise along what remains.
fn without_superseded(mut segments: Vec<Named>) -> (Vec<Named>, Vec<Named>) {
    segments.sort_by_key(|(name, _)| (name.start, std::cmp::Reverse(name.incarnation)));
    let mut newest = 0;
    segments.into_iter().partition(|(name, _)| {
        let stands = name.incarnation >= newest;
        newest = newest.max(name.incarnation);
        stands
    })
}

fn open_links(vfs: &dyn Vfs, segments: Vec<Named>, uuid: [u8; 16]) -> Result<Vec<Link>> {
    let mut links: Vec<Link> = Vec::with_capacity(segments.len());
    for (name, path) in segments {
        let (file, header) = open_segment(vfs, &path, name, uuid)?;
        let end = header.start.advance(header.capacity);
        if let Some(before) = links.last_mut() {
            before.end = before.end.min(header.start);
        }
        links.push(Link { path, file, header, end });
    }
    Ok(links)
}

fn open_segment(
    vfs: &dyn Vfs,
    path: &Path,
    name: SegmentName,
    uuid: [u8; 16],
) -> Result<(Arc<dyn File>, SegmentHeader)> {
    let file = vfs.open(path, OpenMode::Read)?;
    let mut bytes = [0; segment::HEADER_BYTES];
    // A header was durable before the file got its name: one that is cut off is damage like any
    // other, and its checksum says so.
    file.read_at(&mut bytes, 0)?;
    let header = SegmentHeader::decode(&bytes, path, name, uuid)?;
    Ok((file, header))
}

/// Whether something was appended to a segment of a later incarnation than the recorded one. A
/// recovery that was interrupted leaves nothing but copied frames.
fn was_in_use(vfs: &dyn Vfs, path: &Path, name: SegmentName, uuid: [u8; 16]) -> Result<bool> {
    let (file, header) = match open_segment(vfs, path, name, uuid) {
        Ok(opened) => opened,
        // It proves nothing, and nobody needs it.
        Err(Error::Corrupt { .. }) => return Ok(false),
        Err(e) => return Err(e),
    };
    let end = header.start.advance(header.capacity);
    let mut window = Window::new();
    let mut lsn = header.start;
    // Ends: each round goes on by a frame within the segment.
    loop {
        let room = end.since(lsn);
        let place = Place { uuid, incarnation: header.incarnation, lsn, room };
        let Some(bytes) = window.header_at(&*file, header.start, lsn)? else { return Ok(false) };
        match FrameHeader::decode(bytes, &place) {
            None => return Ok(false),
            Some(frame) if frame.origin == Origin::Appended => return Ok(true),
            Some(frame) => lsn = lsn.advance(frame.frame_bytes()),
        }
    }
}
