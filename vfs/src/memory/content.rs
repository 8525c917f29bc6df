//! The contents of an in-memory file and what of them is not durable yet.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::World;
use crate::map::Bytes;
use crate::{Error, LockMode, Result};

/// A file, whatever its names.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) content: RwLock<Content>,
    /// Who has locked it.
    pub(super) locks: Mutex<Locks>,
}

/// The locks held on a file.
#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) shared: usize,
    pub(super) exclusive: bool,
}

impl Locks {
    pub(super) fn release(&mut self, held: Option<LockMode>) {
        match held {
            Some(LockMode::Shared) => self.shared -= 1,
            Some(LockMode::Exclusive) => self.exclusive = false,
            None => {}
        }
    }
}

impl Inode {
    pub(super) fn new(world: &World, path: &Path) -> Result<Arc<Inode>> {
        let bytes = Bytes::reserve(world.options.reserve_bytes)
            .map_err(|e| Error::from_io("reserve", path, e))?;
        Ok(Inode::durable(bytes))
    }

    /// A file all of whose bytes are durable.
    pub(super) fn durable(bytes: Bytes) -> Arc<Inode> {
        Arc::new(Inode {
            content: RwLock::new(Content { bytes, journal: Vec::new(), linked: true }),
            locks: Mutex::default(),
        })
    }
}

/// Journal invariant: undoing `journal` from its last entry to its first gives the bytes as they
/// were when it was empty, and then all of them were durable.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) journal: Vec<Change>,
    /// Space counts against the disk only while the file has a name.
    linked: bool,
}

/// One change of the contents, with what it takes to undo it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) state: State,
    pub(super) path: Arc<Path>,
    pub(super) len_before: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for a sync.
    Pending,
    /// A sync failed on it: no later one covers it, though it may have reached the medium.
    Abandoned,
    /// Durable; kept because an abandoned change before it is undone through it.
    Durable,
}

#[derive(Debug)]
pub(super) enum What {
    /// `before` holds the bytes that were there, as far as there were any.
    Write {
        offset: usize,
        len: usize,
        before: Vec<u8>,
    },
    /// `cut` holds the bytes beyond the new length.
    SetLen {
        len: usize,
        cut: Vec<u8>,
    },
    Allocate {
        offset: usize,
        len: usize,
    },
}

/// Takes a change back; the last that was made and is not taken back yet.
pub(super) fn undo(bytes: &mut Bytes, change: &Change) {
    bytes.set_len(change.len_before);
    match &change.what {
        What::Write { offset, before, .. } => bytes.write(before, *offset),
        What::SetLen { len, cut } => bytes.write(cut, (*len).min(change.len_before)),
        What::Allocate { .. } => {}
    }
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the first `limit` bytes of `bufs` as far as there is room.
    pub(super) fn write(
        &mut self,
        world: &World,
        path: &Arc<Path>,
        bufs: &[IoSlice<'_>],
        offset: u64,
        limit: usize,
    ) -> Result<()> {
        if limit == 0 {
            return Ok(());
        }
        let no_space = || Error::NoSpace { path: path.to_path_buf() };
        let end = offset
            .checked_add(limit as u64)
            .filter(|&end| end <= self.bytes.capacity() as u64)
            .ok_or_else(no_space)?;
        // Both are at most the capacity, which is a usize.
        let (offset, end) = (offset as usize, end as usize);
        let growth = end.saturating_sub(self.len());
        let granted = self.take_space(world, growth);
        let room_end = self.len().max(end - (growth - granted));
        let fits = room_end.saturating_sub(offset).min(limit);
        if fits > 0 {
            let mut before = vec![0; fits.min(self.len().saturating_sub(offset))];
            self.bytes.read(&mut before, offset);
            let len_before = self.len();
            let mut at = offset;
            for buf in bufs {
                let n = buf.len().min(offset + fits - at);
                self.bytes.write(&buf[..n], at);
                at += n;
            }
            self.record(world, path, len_before, What::Write { offset, len: fits, before });
        } else {
            self.give_space(world, granted);
        }
        if fits < limit { Err(no_space()) } else { Ok(()) }
    }

    pub(super) fn allocate(
        &mut self,
        world: &World,
        path: &Arc<Path>,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let end = self.checked_end(path, offset, len)?;
        self.grow(world, path, end)?;
        let len_before = self.len();
        if end > len_before {
            self.bytes.set_len(end);
            // Both fit: `end` does.
            let what = What::Allocate { offset: offset as usize, len: len as usize };
            self.record(world, path, len_before, what);
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, world: &World, path: &Path, len: u64) -> Result<()> {
        let path: Arc<Path> = Arc::from(path);
        let len = self.checked_end(&path, 0, len)?;
        let len_before = self.len();
        self.grow(world, &path, len)?;
        let mut cut = vec![0; len_before.saturating_sub(len)];
        self.bytes.read(&mut cut, len);
        self.bytes.set_len(len);
        self.give_space(world, cut.len());
        if len != len_before {
            self.record(world, &path, len_before, What::SetLen { len, cut });
        }
        Ok(())
    }

    /// Everything pending is durable from now on.
    pub(super) fn sync(&mut self) {
        for change in &mut self.journal {
            if change.state == State::Pending {
                change.state = State::Durable;
            }
        }
        // From the front: an abandoned change is undone through what came after it.
        let durable = self.journal.iter().take_while(|c| c.state == State::Durable).count();
        self.journal.drain(..durable);
    }

    /// A sync has failed: what is pending stays readable and is never made durable.
    pub(super) fn abandon(&mut self) {
        for change in &mut self.journal {
            if change.state == State::Pending {
                change.state = State::Abandoned;
            }
        }
    }

    /// A sync has failed, and the pages of what is pending are dropped: what was there before is
    /// read again. The length, which is in no page, stays, and waits for another sync.
    pub(super) fn drop_unsynced(&mut self, path: &Arc<Path>) {
        let Some(number) = self.journal.last().map(|change| change.number) else { return };
        if self.journal.iter().any(|change| change.state != State::Pending) {
            // An earlier failure left its pages in memory; so does this.
            return self.abandon();
        }
        let len = self.len();
        for change in std::mem::take(&mut self.journal).iter().rev() {
            undo(&mut self.bytes, change);
        }
        let len_before = self.len();
        let mut cut = vec![0; len_before.saturating_sub(len)];
        self.bytes.read(&mut cut, len);
        self.bytes.set_len(len);
        if len != len_before {
            let (state, path) = (State::Pending, Arc::clone(path));
            let what = What::SetLen { len, cut };
            self.journal.push(Change { number, state, path, len_before, what });
        }
    }

    /// The last name of the file is gone.
    pub(super) fn unlink(&mut self, world: &World) {
        self.give_space(world, self.len());
        self.linked = false;
    }

    fn record(&mut self, world: &World, path: &Arc<Path>, len_before: usize, what: What) {
        let number = world.next_change();
        let state = State::Pending;
        self.journal.push(Change { number, state, path: Arc::clone(path), len_before, what });
    }

    fn checked_end(&self, path: &Path, offset: u64, len: u64) -> Result<usize> {
        offset
            .checked_add(len)
            .filter(|&end| end <= self.bytes.capacity() as u64)
            .map(|end| end as usize)
            .ok_or_else(|| Error::NoSpace { path: path.to_path_buf() })
    }

    /// Takes the space to grow to `end`, all or nothing.
    fn grow(&self, world: &World, path: &Path, end: usize) -> Result<()> {
        let growth = end.saturating_sub(self.len());
        let granted = self.take_space(world, growth);
        if granted < growth {
            self.give_space(world, granted);
            return Err(Error::NoSpace { path: path.to_path_buf() });
        }
        Ok(())
    }

    fn take_space(&self, world: &World, wanted: usize) -> usize {
        if self.linked { world.space.take(wanted as u64) as usize } else { wanted }
    }

    fn give_space(&self, world: &World, bytes: usize) {
        if self.linked {
            world.space.give_back(bytes as u64);
        }
    }
}
