//! The archive: committed records, copied out of the log before the log lets go of them.
//!
//! ```text
//! file := header | record ...                 LINEAGE-FIRST-LAST.archive, in 16 hex digits each
//!
//! header, 96 bytes                            little-endian
//! offset size  field
//!      0   16  magic      "LLMDB\0archiv\r\n\x1a\n"
//!     16    4  format     1
//!     20    4  zero
//!     24   16  uuid       of the database
//!     40    8  lineage
//!     48    8  first      number of the first commit
//!     56    8  last       number of the last: all between are there
//!     64    8  end        the position in the log just past the last
//!     72    8  bytes      of the records
//!     80   12  zero
//!     92    4  checksum   CRC-32 of bytes 0..92
//!
//! record := seq u64 | len u64 | checksum u32 | zero u32 | payload
//!           checksum: CRC-32 of bytes 24..48 of the header | seq | len | payload
//! ```
//!
//! A record is that of the log, but for long values, which it holds where the log names their places.
//! A file has its name only once it is durable, so that copying goes on behind the last name after
//! any crash. Within a lineage a commit has one number for good, so no file is ever written twice.

use crate::engine::whole_max;
use crate::record::Record;
use crate::{Error, Result};
use llmdb_storage::Pager;
use llmdb_vfs::{File, OpenMode, Vfs};
use llmdb_wal::{LogConfig, Lsn, Recovery, ReplayError, Replayed};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 16] = *b"LLMDB\0archiv\r\n\x1a\n";
const FORMAT: u32 = 1;
const HEADER: usize = 96;
const IDENTITY: std::ops::Range<usize> = 24..48;
const RECORD: usize = 24;
/// A file ends with the record that makes it so long.
const FILE_BYTES: u64 = 64 << 20;
/// Records are gathered for writes of so many bytes.
const WRITE_BYTES: usize = 1 << 20;

/// The header of an archive file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    uuid: [u8; 16],
    lineage: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    end: u64,
    bytes: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&[0; 4]);
        put(&self.uuid);
        for field in [self.lineage, self.first, self.last, self.end, self.bytes] {
            put(&field.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn read(file: &dyn File) -> Result<Header> {
        let bad = |what: &str| damaged(file.path(), what);
        let mut bytes = [0; HEADER];
        let got = file.read_at(&mut bytes, 0)?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        if got < HEADER || bytes[..16] != MAGIC {
            return Err(bad("it is no file of an archive"));
        }
        if crc32fast::hash(&bytes[..HEADER - 4]) != u32_at(HEADER - 4) || u32_at(16) != FORMAT {
            return Err(bad("its header is damaged, or of another format"));
        }
        let header = Header {
            uuid: bytes[24..40].try_into().expect("sixteen bytes"),
            lineage: u64_at(40),
            first: u64_at(48),
            last: u64_at(56),
            end: u64_at(64),
            bytes: u64_at(72),
        };
        if header.encode() != bytes || file.len()? != HEADER as u64 + header.bytes {
            return Err(bad("its header contradicts itself, or it was cut"));
        }
        Ok(header)
    }

    /// The checksum of a record whose payload of `len` bytes has checksum `payload`.
    fn checksum(&self, seq: u64, len: u64, payload: &crc32fast::Hasher) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.encode()[IDENTITY]);
        crc.update(&seq.to_le_bytes());
        crc.update(&len.to_le_bytes());
        crc.combine(payload);
        crc.finalize()
    }

    fn name(&self) -> String {
        format!("{:016x}-{:016x}-{:016x}.archive", self.lineage, self.first, self.last)
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::CorruptArchive { path: path.to_owned(), what: what.to_owned() }
}

/// The files of one lineage in `dir`, by their first commits.
fn files_of(vfs: &dyn Vfs, dir: &Path, lineage: u64) -> Result<Vec<(u64, u64, PathBuf)>> {
    let mut files = Vec::new();
    for name in vfs.read_dir(dir)? {
        let Some(text) = name.to_str().and_then(|name| name.strip_suffix(".archive")) else {
            continue;
        };
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16).ok());
        if let (Some(Some(of)), Some(Some(first)), Some(Some(last)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
            && of == lineage
        {
            files.push((first, last, dir.join(&name)));
        }
    }
    files.sort();
    Ok(files)
}

/// Whose records are archived, and where they are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) pager: Arc<Pager>,
    pub(crate) log_dir: PathBuf,
    pub(crate) uuid: [u8; 16],
    pub(crate) lineage: u64,
    pub(crate) incarnation: u32,
    /// Where the log surely begins: the older retained meta page needs it from there.
    pub(crate) keep_from: Lsn,
    /// Everything before it is durable.
    pub(crate) durable: Lsn,
}

/// How far the archive of an open database has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archived {
    lineage: u64,
    /// The last commit in it, and the position in the log just past it.
    last: u64,
    end: Lsn,
}

/// Copies what the log holds beyond `done` and has made durable to the archive in `dir`.
///
/// # Errors
/// Damage to log or archive, the file system's. What was archived before stays; nothing is lost as
/// long as the log is not let go of.
pub(crate) fn bring_up(dir: &Path, source: &Source, done: &mut Option<Archived>) -> Result<()> {
    let vfs = &source.vfs;
    if vfs.kind(dir)?.is_none() {
        vfs.create_dir(dir)?;
        vfs.sync_dir(dir.parent().unwrap_or(dir))?;
    }
    if done.is_none_or(|done| done.lineage != source.lineage) {
        *done = match files_of(&**vfs, dir, source.lineage)?.last() {
            Some((_, last, path)) => {
                let header = Header::read(&*vfs.open(path, OpenMode::Read)?)?;
                let (lineage, end) = (source.lineage, Lsn::new(header.end));
                Some(Archived { lineage, last: *last, end })
            }
            None => None,
        };
    }
    let config = LogConfig::new(source.uuid);
    let open =
        |from| Recovery::open(vfs.clone(), &source.log_dir, config, source.incarnation, from);
    use llmdb_wal::Error::{MissingLog, MissingSegment};
    let from = done.map_or(source.keep_from, |done| done.end);
    let mut log = match open(from) {
        // The archive was not kept for a while: there is a gap, which whoever restores will meet.
        Err(MissingLog { .. } | MissingSegment { .. }) if from != source.keep_from => {
            open(source.keep_from)?
        }
        opened => opened?,
    };
    let after = done.map_or(0, |done| done.last);
    let mut files = Files { dir, source, open: None, done };
    let pager = &source.pager;
    let read = log.replay_bounded(whole_max(pager), |replayed| -> Result<(), Stop> {
        let (seq, end) = match &replayed {
            Replayed::Whole(commit) => (commit.seq, commit.end),
            Replayed::Large(commit) => (commit.seq, commit.end),
        };
        if end > source.durable {
            return Err(Stop::Durable);
        }
        if seq > after {
            let pushed = files.push(seq, end, |give| match replayed {
                Replayed::Whole(commit) => {
                    let whole = Record::with_values(commit.payload, pager)?;
                    give(whole.as_deref().unwrap_or(commit.payload))
                }
                Replayed::Large(commit) => Record::each_piece_with_values(commit, pager, give),
            });
            pushed.map_err(Stop::Failed)?;
        }
        // Beyond this the log is being written.
        if end == source.durable { Err(Stop::Durable) } else { Ok(()) }
    });
    match read {
        Ok(_) | Err(ReplayError::Apply(Stop::Durable)) => files.finish(),
        Err(ReplayError::Apply(Stop::Failed(error))) => Err(error),
        Err(ReplayError::Log(error)) => Err(error.into()),
    }
}

enum Stop {
    Durable,
    Failed(Error),
}

/// The file that records go to.
struct Files<'a> {
    dir: &'a Path,
    source: &'a Source,
    open: Option<Open>,
    done: &'a mut Option<Archived>,
}

struct Open {
    file: Arc<dyn File>,
    header: Header,
    buffer: Vec<u8>,
}

impl Files<'_> {
    fn temporary(&self) -> PathBuf {
        self.dir.join(format!("{:016x}.new", self.source.lineage))
    }

    /// Adds the record of commit `seq`, which ends at `end` in the log; `payload` gives its bytes.
    fn push(
        &mut self,
        seq: u64,
        end: Lsn,
        payload: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        // Commits that were not logged leave a gap in their numbers: another file, another run.
        if self.open.as_ref().is_some_and(|open| open.header.last + 1 != seq) {
            self.finish()?;
        }
        if self.open.is_none() {
            let file = self.source.vfs.open(&self.temporary(), OpenMode::CreateOrTruncate)?;
            let Source { uuid, lineage, .. } = *self.source;
            let header = Header { uuid, lineage, first: seq, last: seq, end: end.get(), bytes: 0 };
            self.open = Some(Open { file, header, buffer: Vec::new() });
        }
        let open = self.open.as_mut().expect("opened just now");
        open.add(seq, payload)?;
        (open.header.last, open.header.end) = (seq, end.get());
        if open.header.bytes >= FILE_BYTES { self.finish() } else { Ok(()) }
    }

    /// Makes the file durable under its name.
    fn finish(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.write()?;
        open.file.write_all_at(&[IoSlice::new(&open.header.encode())], 0)?;
        open.file.sync_all()?;
        let vfs = &self.source.vfs;
        vfs.rename(&self.temporary(), &self.dir.join(open.header.name()))?;
        vfs.sync_dir(self.dir)?;
        let Header { lineage, last, end, .. } = open.header;
        *self.done = Some(Archived { lineage, last, end: Lsn::new(end) });
        Ok(())
    }
}

impl Open {
    /// Adds a record; how long it is, is known at its end.
    fn add(
        &mut self,
        seq: u64,
        payload: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let at = self.header.bytes + self.buffer.len() as u64;
        self.buffer.extend_from_slice(&[0; RECORD]);
        let (mut len, mut crc) = (0, crc32fast::Hasher::new());
        payload(&mut |piece| {
            len += piece.len() as u64;
            crc.update(piece);
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
        })?;
        let mut head = [0; RECORD];
        head[..8].copy_from_slice(&seq.to_le_bytes());
        head[8..16].copy_from_slice(&len.to_le_bytes());
        head[16..20].copy_from_slice(&self.header.checksum(seq, len, &crc).to_le_bytes());
        match at.checked_sub(self.header.bytes) {
            Some(at) => self.buffer[at as usize..][..RECORD].copy_from_slice(&head),
            None => self.file.write_all_at(&[IoSlice::new(&head)], HEADER as u64 + at)?,
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let at = HEADER as u64 + self.header.bytes;
        self.file.write_all_at(&[IoSlice::new(&self.buffer)], at)?;
        self.header.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Gives every archived record after commit `after`, in order and checked, to `take`, until that
/// says that it has enough.
///
/// # Errors
/// [`Error::ArchiveGap`] where a commit is missing; damage; the file system's; what `take` answers.
pub(crate) fn read_records(
    vfs: &dyn Vfs,
    dir: &Path,
    (uuid, lineage): ([u8; 16], u64),
    after: u64,
    mut take: impl FnMut(u64, &[u8]) -> Result<Next>,
) -> Result<()> {
    let mut reached = after;
    for (_, last, path) in files_of(vfs, dir, lineage)? {
        if last <= reached {
            continue;
        }
        let file = vfs.open(&path, OpenMode::Read)?;
        let header = Header::read(&*file)?;
        if header.uuid != uuid || header.name().as_str() != file_name(&path) {
            return Err(damaged(&path, "it is of another database, or has another's name"));
        }
        let (mut at, end) = (HEADER as u64, HEADER as u64 + header.bytes);
        let mut payload = Vec::new();
        while at < end {
            let mut head = [0; RECORD];
            file.read_exact_at(&mut head, at)?;
            let seq = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
            let len = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
            let sum = u32::from_le_bytes(head[16..20].try_into().expect("four bytes"));
            if len > (end - at).saturating_sub(RECORD as u64) || head[20..] != [0; 4] {
                return Err(damaged(&path, "a record is longer than its file"));
            }
            payload.resize(len as usize, 0);
            file.read_exact_at(&mut payload, at + RECORD as u64)?;
            let mut crc = crc32fast::Hasher::new();
            crc.update(&payload);
            if header.checksum(seq, len, &crc) != sum {
                return Err(damaged(&path, "a record is damaged"));
            }
            at += RECORD as u64 + len;
            if seq <= reached {
                continue;
            }
            if seq != reached + 1 {
                return Err(Error::ArchiveGap { after: reached, next: seq });
            }
            match take(seq, &payload)? {
                Next::More => reached = seq,
                Next::Enough => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Whether more records are wanted.
pub(crate) enum Next {
    More,
    Enough,
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headers_bytes_are_where_the_format_says() {
        let header = Header { uuid: [0xab; 16], lineage: 2, first: 3, last: 4, end: 5, bytes: 6 };
        let bytes = header.encode();
        assert_eq!(bytes[..16], *b"LLMDB\0archiv\r\n\x1a\n");
        assert_eq!(bytes[16..24], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..40], [0xab; 16]);
        let fields = [40, 48, 56, 64, 72]
            .map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
        assert_eq!(fields, [2, 3, 4, 5, 6]);
        assert_eq!(bytes[80..92], [0; 12]);
        assert_eq!(header.name(), "0000000000000002-0000000000000003-0000000000000004.archive");
    }
}
