//! The log while the database runs: reserve, append, sync, recycle.
//!
//! Three locks, taken in this order: `growing` (one thread at a time makes files), `writer` (one
//! thread at a time writes, syncs or recycles), `tail` (the buffer; held for memory work only).
//!
//! ```text
//! sequencer                      leader                          follower
//! reserve: makes files
//! append:  copies into buffer A
//!                                sync: locks writer
//!                                  swaps buffer A for B
//! append:  copies into buffer B    writes A                      sync: waits for writer
//! append:  copies into buffer B    what the frames of A name is made durable; fdatasync
//!                                  durable := end of A
//!                                  unlocks writer                  finds itself durable, or leads:
//!                                                                  swaps buffer B for A ...
//! ```

mod appending;
mod tail;
mod writer;

use llmdb_vfs::planted;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use llmdb_vfs::{EntryKind, Vfs};
use parking_lot::Mutex;

use crate::segment::{SegmentName, is_spare_name};
use crate::store::{Segment, Spare, Store};
use crate::{Error, LogConfig, Lsn, Result};

pub use appending::Appending;
use tail::{At, Piece, Tail};
use writer::Writer;

/// How many retired files are kept to be used again.
const SPARES_MAX: usize = 2;

/// Files that waited to be used, taken out of a log.
#[derive(Debug)]
#[must_use = "they are to be wiped or removed"]
pub struct Spares(Vec<Spare>);

/// A log that is open for appending.
///
/// Dropping it neither writes nor syncs anything: what was not synced may be lost, as in a crash.
#[derive(Debug)]
pub struct Log {
    store: Store,
    growing: Mutex<()>,
    writer: Mutex<Writer>,
    tail: Mutex<Tail>,
    /// Everything before it is durable. Stored with Release by `Log::sync` after the files were
    /// synced; pairs with the Acquire in `Log::durable`.
    durable: AtomicU64,
    /// What has to be durable before the log is: see [`Log::with_prerequisite`].
    prerequisite: Prerequisite,
    /// The first failed write or sync.
    poison: OnceLock<Arc<llmdb_vfs::Error>>,
    /// Relaxed: only counted, for `stats`.
    syncs: AtomicU64,
    bytes_written: AtomicU64,
}

/// What a log is made of and has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Segments with a place in the log.
    pub segments: usize,
    /// Files that wait to become segments.
    pub spares: usize,
    /// The length of all these files together.
    pub file_bytes: u64,
    /// Bytes appended that were not handed to the operating system yet.
    pub buffered_bytes: u64,
    /// Commits appended.
    pub commits: u64,
    /// Bytes appended, with headers and padding.
    pub bytes_appended: u64,
    /// Bytes of frames handed to the operating system.
    pub bytes_written: u64,
    /// Times the log was synced.
    pub syncs: u64,
}

/// What runs before each sync.
struct Prerequisite(Box<dyn Fn() -> Result<(), llmdb_vfs::Error> + Send + Sync>);

impl std::fmt::Debug for Prerequisite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prerequisite")
    }
}

impl Log {
    /// Creates the directory and the first segment, durably. The log begins at `start`.
    ///
    /// # Errors
    /// [`Error::Exists`] if the directory holds segments; see [`Log::discard`].
    ///
    /// # Panics
    /// If `start` is not a multiple of 8, or the sizes in `config` make no sense.
    pub fn create(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: LogConfig,
        incarnation: u32,
        start: Lsn,
    ) -> Result<Log> {
        config.check();
        assert!(start.is_aligned(), "a log begins at a multiple of 8");
        match vfs.kind(dir)? {
            None => vfs.create_dir(dir)?,
            Some(_) => {
                for name in vfs.read_dir(dir)? {
                    if SegmentName::parse(&name).is_some() {
                        return Err(Error::Exists { dir: dir.to_path_buf() });
                    }
                    // Left by a creation that was interrupted.
                    if is_spare_name(&name) {
                        vfs.remove_file(&dir.join(name))?;
                    }
                }
            }
        }
        sync_parent(&*vfs, dir)?;
        let store = Store::new(vfs, dir, config, incarnation);
        let spare = store.create_spare(config.segment_bytes_first)?;
        let segment = store.activate(spare, start, start)?;
        Ok(Log::over(store, vec![segment], Vec::new(), start))
    }

    /// Removes whatever a log left at `dir`, for a database that needs none of it: one that was
    /// closed cleanly, where only the removal of the log was interrupted.
    pub fn discard(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
        if vfs.kind(dir)? != Some(EntryKind::Directory) {
            return Ok(());
        }
        for name in vfs.read_dir(dir)? {
            if SegmentName::parse(&name).is_some() || is_spare_name(&name) {
                vfs.remove_file(&dir.join(name))?;
            }
        }
        vfs.sync_dir(dir)?;
        remove_emptied(vfs, dir)
    }

    /// A log over these segments, oldest first; everything before `end` is durable. The last
    /// segment is of the store's incarnation and takes what is appended. `obsolete` files are
    /// removed when the log is first recycled.
    pub(crate) fn over(
        store: Store,
        segments: Vec<Segment>,
        obsolete: Vec<std::path::PathBuf>,
        end: Lsn,
    ) -> Log {
        let last = segments.last().expect("a log has a segment");
        let tail = Tail::at(end, last);
        Log {
            store,
            growing: Mutex::new(()),
            tail: Mutex::new(tail),
            writer: Mutex::new(Writer::over(segments, obsolete)),
            durable: AtomicU64::new(end.get()),
            prerequisite: Prerequisite(Box::new(|| Ok(()))),
            poison: OnceLock::new(),
            syncs: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
        }
    }

    /// Lets `make_durable` run before each sync of the log, after what the sync covers was
    /// appended: for payloads that name bytes elsewhere. Should it fail, the log has failed.
    #[must_use]
    pub fn with_prerequisite(
        mut self,
        make_durable: impl Fn() -> Result<(), llmdb_vfs::Error> + Send + Sync + 'static,
    ) -> Log {
        self.prerequisite = Prerequisite(Box::new(make_durable));
        self
    }

    /// Makes sure that a payload of `payload_len` bytes can be appended without asking the file
    /// system for anything. Only the next [`append`](Log::append) may rely on it.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and others leave the log as it was: the call may be repeated.
    /// [`Error::Poisoned`] once the log has failed.
    pub fn reserve(&self, payload_len: usize) -> Result<()> {
        self.reserve_room(payload_len, usize::MAX)
    }

    fn reserve_room(&self, payload_len: usize, piece_len: usize) -> Result<()> {
        self.healthy()?;
        if self.tail.lock().has_room(payload_len, piece_len) {
            return Ok(());
        }
        let _alone = self.growing.lock();
        // Ends: each round adds a segment, and a segment takes some of the payload.
        loop {
            let file_bytes = {
                let tail = self.tail.lock();
                if tail.has_room(payload_len, piece_len) {
                    return Ok(());
                }
                self.store.config.next_bytes(tail.file_bytes_last())
            };
            let spare = self.store.create_spare(file_bytes)?;
            self.tail.lock().add_spare(spare);
        }
    }

    /// Appends a commit whose payload is these slices, one after the other, and returns the
    /// position just past it. Copies into memory; calls nothing. One thread at a time appends, and
    /// it has [reserved](Log::reserve) the room.
    ///
    /// # Errors
    /// [`Error::Unreserved`] if it has not. [`Error::Poisoned`] once the log has failed. Nothing
    /// is appended then.
    pub fn append(&self, seq: u64, payload: &[&[u8]]) -> Result<Lsn> {
        self.healthy()?;
        let durable = if planted!("frames_claim_too_much") { self.end() } else { self.durable() };
        self.tail.lock().append(&mut self.first(seq), durable, payload, Piece::Last)
    }

    /// Where the frames of commit `seq` begin.
    fn first(&self, seq: u64) -> At {
        let (uuid, incarnation) = (self.store.config.uuid, self.store.incarnation);
        At { uuid, incarnation, seq, part: 0 }
    }

    /// Hands everything appended so far to the operating system.
    ///
    /// # Errors
    /// [`Error::Poisoned`]: the log has failed, now or before.
    pub fn write_out(&self) -> Result<()> {
        self.write_buffer(&mut self.writer.lock()).map(|_| ())
    }

    /// Makes everything before `upto` durable, and whatever else was appended by the time it
    /// comes to it. Any number of threads may ask: one of them works for all that wait. Returns up
    /// to where the log is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`]: the log has failed, now or before, and `upto` is not known to be
    /// durable.
    ///
    /// # Panics
    /// If nothing was appended up to `upto`.
    pub fn sync(&self, upto: Lsn) -> Result<Lsn> {
        let durable = self.durable();
        if durable >= upto {
            return Ok(durable);
        }
        assert!(upto <= self.end(), "only what was appended can be durable");
        let mut writer = self.writer.lock();
        // Whoever held the lock may have done it for us.
        let durable = self.durable();
        if durable >= upto {
            return Ok(durable);
        }
        let written = self.write_buffer(&mut writer)?;
        if !planted!("values_not_synced_before_the_log") {
            (self.prerequisite.0)().map_err(|e| self.fail(e))?;
        }
        let synced = match writer.sync() {
            Err(_) if planted!("failed_sync_repeated") => writer.sync(),
            synced => synced,
        };
        synced.map_err(|e| self.fail(e))?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        assert!(written >= upto && written >= durable, "the buffer reached that far");
        self.durable.store(written.get(), Ordering::Release);
        Ok(written)
    }

    /// Everything before this position is durable.
    pub fn durable(&self) -> Lsn {
        // Pairs with the Release in `sync`.
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// Where the next commit will begin.
    pub fn end(&self) -> Lsn {
        self.tail.lock().end()
    }

    /// Bytes appended that were not handed to the operating system yet.
    pub fn buffered_bytes(&self) -> usize {
        self.tail.lock().buffered_bytes()
    }

    /// Whether a write or a sync has failed, so that the log takes nothing more.
    pub fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// The incarnation of what is appended.
    pub fn incarnation(&self) -> u32 {
        self.store.incarnation
    }

    /// Gives up what lies before `keep_from`: segments wholly below it are kept as spares, at most
    /// a couple, or removed. After a recovery, call this only once the new incarnation is durably
    /// recorded: what the recovery replaced goes too.
    ///
    /// # Errors
    /// Those of the file system. The log stays in order; what was not done is done next time.
    ///
    /// # Panics
    /// If `keep_from` is beyond what is durable.
    pub fn recycle(&self, keep_from: Lsn) -> Result<()> {
        assert!(keep_from <= self.durable(), "what is not durable is still needed");
        self.healthy()?;
        let mut writer = self.writer.lock();
        if !writer.has_garbage(keep_from) {
            return Ok(());
        }
        let (wanted, file_bytes_min) = {
            let tail = self.tail.lock();
            (SPARES_MAX.saturating_sub(tail.spares()), tail.file_bytes_last())
        };
        let mut spares = Vec::new();
        let done = writer.recycle(&self.store, keep_from, wanted, file_bytes_min, &mut spares);
        let mut tail = self.tail.lock();
        for spare in spares {
            tail.add_spare(spare);
        }
        Ok(done?)
    }

    /// Ends the segment that is being written: what is appended from now on lies in another, so that
    /// all that was appended can be given up once it is needed no more. Not while anybody relies on
    /// [`reserve`](Log::reserve).
    ///
    /// # Errors
    /// As [`Log::reserve`]; [`Error::Poisoned`] where the log fails on the way.
    pub fn turn(&self) -> Result<()> {
        self.healthy()?;
        let _alone = self.growing.lock();
        if self.tail.lock().spares() == 0 {
            let file_bytes = self.store.config.next_bytes(self.tail.lock().file_bytes_last());
            let spare = self.store.create_spare(file_bytes)?;
            self.tail.lock().add_spare(spare);
        }
        self.tail.lock().turn();
        self.write_out()
    }

    /// Takes all files out that wait to be used, for [`wipe`](Log::wipe). Not while anybody relies on
    /// [`reserve`](Log::reserve).
    pub fn take_spares(&self) -> Spares {
        Spares(self.tail.lock().take_spares(0))
    }

    /// Takes those out that are more than wait for long: room was made for a commit that did not
    /// come. Not while anybody relies on [`reserve`](Log::reserve).
    pub fn take_surplus(&self) -> Spares {
        Spares(self.tail.lock().take_spares(SPARES_MAX))
    }

    /// Removes files that were taken out.
    pub fn remove_spares(&self, spares: Spares) {
        for spare in spares.0 {
            // Where this fails, the next recovery or the clean close sees to it.
            let _ = self.store.remove_spare(&spare);
        }
    }

    /// Gives up what lies before `keep_from` like [`recycle`](Log::recycle), and overwrites it with
    /// zeros, as well as files that were taken out.
    ///
    /// # Errors
    /// Those of the file system. The log stays in order; what was not done is done next time.
    ///
    /// # Panics
    /// If `keep_from` is beyond what is durable.
    pub fn wipe(&self, keep_from: Lsn, spares: Spares) -> Result<()> {
        assert!(keep_from <= self.durable(), "what is not durable is still needed");
        self.healthy()?;
        let _alone = self.growing.lock();
        let mut writer = self.writer.lock();
        let mut spares = spares.0;
        let given_up = writer.recycle(&self.store, keep_from, usize::MAX, 0, &mut spares);
        let wiped = given_up.and_then(|()| {
            spares.iter().try_for_each(|spare| self.store.zero(&*spare.file, spare.file_bytes))
        });
        let mut tail = self.tail.lock();
        for (i, spare) in spares.into_iter().enumerate() {
            if wiped.is_ok() && i < SPARES_MAX {
                tail.add_spare(spare);
            } else {
                // Where this fails too, the next recovery or the clean close sees to it.
                let _ = self.store.remove_spare(&spare);
            }
        }
        Ok(wiped?)
    }

    /// Removes the log, for a clean close: the caller has made everything durable elsewhere.
    /// Interrupted, it leaves a part of the log, which [`Log::discard`] removes.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the log has failed, and then nothing is removed. Those of the file
    /// system.
    pub fn remove(self) -> Result<()> {
        self.healthy()?;
        let Log { store, writer, tail, .. } = self;
        writer.into_inner().remove(&store)?;
        tail.into_inner().remove_spares(&store)?;
        store.vfs.sync_dir(&store.dir)?;
        remove_emptied(&*store.vfs, &store.dir)
    }

    /// Counts and sizes.
    pub fn stats(&self) -> LogStats {
        let writer = self.writer.lock();
        let tail = self.tail.lock();
        LogStats {
            segments: writer.segments() + tail.segments_buffered(),
            spares: tail.spares(),
            file_bytes: writer.file_bytes() + tail.file_bytes(),
            buffered_bytes: tail.buffered_bytes() as u64,
            commits: tail.commits(),
            bytes_appended: tail.bytes_appended(),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
        }
    }

    /// Writes out what was appended up to now and returns up to where that is.
    fn write_buffer(&self, writer: &mut Writer) -> Result<Lsn> {
        self.healthy()?;
        let batch = self.tail.lock().take(writer.take_buffer());
        let end = batch.end();
        let bytes = batch.len();
        writer.write(&self.store, batch, self.durable()).map_err(|e| self.fail(e))?;
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(end)
    }

    fn healthy(&self) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
        }
    }

    /// Takes note of a failure after which nobody knows what is durable.
    fn fail(&self, error: llmdb_vfs::Error) -> Error {
        let cause = Arc::clone(self.poison.get_or_init(|| Arc::new(error)));
        Error::Poisoned { cause }
    }
}

/// Makes the name of the log's directory durable, or its absence.
fn sync_parent(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    // A bare name has the empty path for a parent, which is the working directory.
    Ok(vfs.sync_dir(dir.parent().unwrap_or(dir))?)
}

/// Removes the log's directory once nothing of the log is in it. What others have put there stays,
/// and the directory with it: it is in nobody's way.
fn remove_emptied(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    match vfs.remove_dir(dir) {
        Ok(()) => sync_parent(vfs, dir),
        Err(llmdb_vfs::Error::DirectoryNotEmpty { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
