//! An open file of the in-memory file system.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::World;
use super::content::Inode;
use super::fault::{AfterFailedSync, Call, Due, FaultKind};
use crate::{Error, File, LockMode, Map, OpenMode, Result, Vfs};
use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct MemFile {
    world: Arc<World>,
    inode: Arc<Inode>,
    path: Arc<Path>,
    how: OpenMode,
    lock: Mutex<Option<LockMode>>,
}

impl MemFile {
    pub(super) fn new(world: Arc<World>, inode: Arc<Inode>, path: &Path, how: OpenMode) -> MemFile {
        MemFile { world, inode, path: Arc::from(path), how, lock: Mutex::new(None) }
    }

    fn writable(&self) -> Result<()> {
        if self.how.is_writable() {
            Ok(())
        } else {
            Err(Error::ReadOnly { path: self.path.to_path_buf() })
        }
    }

    /// Whether the call is to be made: one that is lost is not.
    fn call(&self, call: Call) -> Result<bool> {
        match self.world.faults.next(call, &self.path) {
            Some(Due { kind: FaultKind::Lost, .. }) => Ok(false),
            Some(due) => Err(due.kind.error(call, &self.path)),
            None => Ok(true),
        }
    }

    fn sync(&self) -> Result<()> {
        let fault = self.world.faults.next(Call::Sync, &self.path);
        let _shared = self.world.gate.read();
        let mut content = self.inode.content.write();
        match fault {
            Some(Due { kind: FaultKind::Lost, .. }) => Ok(()),
            Some(due) => {
                match *self.world.after_failed_sync.lock() {
                    AfterFailedSync::Written => content.abandon(),
                    AfterFailedSync::Before => content.drop_unsynced(&self.path),
                }
                Err(due.kind.error(Call::Sync, &self.path))
            }
            None => {
                content.sync();
                Ok(())
            }
        }
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self.world.faults.next(Call::Read, &self.path) {
            Some(Due { older: Some(older), .. }) => {
                if let Ok(file) = older.open(&self.path, OpenMode::Read) {
                    return file.read_at(buf, offset);
                }
            }
            Some(due) => return Err(due.kind.error(Call::Read, &self.path)),
            None => {}
        }
        let Ok(offset) = usize::try_from(offset) else { return Ok(0) };
        Ok(self.inode.content.read().bytes.read(buf, offset))
    }

    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.writable()?;
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let fault = self.world.faults.next(Call::Write, &self.path);
        let _shared = self.world.gate.read();
        let mut content = self.inode.content.write();
        let limit = match fault.as_ref().map(|due| due.kind) {
            None => total,
            Some(FaultKind::Lost) => return Ok(()),
            Some(kind @ (FaultKind::Misdirected(_) | FaultKind::MisdirectedTo(_))) => {
                let there = match kind {
                    FaultKind::Misdirected(by) => offset.checked_add_signed(by),
                    FaultKind::MisdirectedTo(there) => Some(there),
                    _ => unreachable!("one of the two"),
                };
                let end = there.and_then(|there| there.checked_add(total as u64));
                let (Some(there), Some(end)) = (there, end) else { return Ok(()) };
                if end > content.len() as u64 {
                    return Ok(());
                }
                return content.write(&self.world, &self.path, bufs, there, total);
            }
            Some(FaultKind::Short(bytes)) => {
                usize::try_from(bytes).map_or(total, |bytes| bytes.min(total))
            }
            Some(_) => total / 2,
        };
        content.write(&self.world, &self.path, bufs, offset, limit)?;
        match fault {
            Some(due) => Err(due.kind.error(Call::Write, &self.path)),
            None => Ok(()),
        }
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        if !self.call(Call::Allocate)? {
            return Ok(());
        }
        let _shared = self.world.gate.read();
        self.inode.content.write().allocate(&self.world, &self.path, offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        if !self.call(Call::Punch)? {
            return Ok(());
        }
        let _shared = self.world.gate.read();
        let mut content = self.inode.content.write();
        let end = offset.checked_add(len);
        let end = end.ok_or_else(|| Error::out_of_range("punch", &self.path))?;
        let end = end.min(content.len() as u64);
        if end <= offset {
            return Ok(());
        }
        let zeros = vec![0; (end - offset) as usize];
        let bufs = [IoSlice::new(&zeros)];
        content.write(&self.world, &self.path, &bufs, offset, zeros.len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.writable()?;
        if !self.call(Call::SetLen)? {
            return Ok(());
        }
        let _shared = self.world.gate.read();
        self.inode.content.write().set_len(&self.world, &self.path, len)
    }

    fn len(&self) -> Result<u64> {
        Ok(self.inode.content.read().len() as u64)
    }

    fn sync_data(&self) -> Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> Result<()> {
        self.sync()
    }

    fn map(&self, reserve: u64) -> Result<Map> {
        if reserve == 0 {
            return Err(Error::out_of_range("map", &self.path));
        }
        Ok(self.inode.content.read().bytes.map(reserve))
    }

    fn lock(&self, how: LockMode) -> Result<()> {
        let mut mine = self.lock.lock();
        let mut locks = self.inode.locks.lock();
        locks.release(mine.take());
        if locks.exclusive || (how == LockMode::Exclusive && locks.shared > 0) {
            let pid = Some(std::process::id());
            return Err(Error::Locked { path: self.path.to_path_buf(), pid });
        }
        match how {
            LockMode::Shared => locks.shared += 1,
            LockMode::Exclusive => locks.exclusive = true,
        }
        *mine = Some(how);
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mine = self.lock.get_mut().take();
        self.inode.locks.lock().release(mine);
    }
}
