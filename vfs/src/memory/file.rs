//! An open file of the in-memory file system.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::World;
use super::content::Inode;
use super::fault::Call;
use crate::{Error, File, LockMode, Map, OpenMode, Result};
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

    fn call(&self, call: Call) -> Result<()> {
        match self.world.faults.next(call) {
            Some(kind) => Err(kind.error(call, &self.path)),
            None => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        let fault = self.world.faults.next(Call::Sync);
        let _shared = self.world.gate.read();
        let mut content = self.inode.content.write();
        match fault {
            Some(kind) => {
                content.abandon();
                Err(kind.error(Call::Sync, &self.path))
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
        self.call(Call::Read)?;
        let Ok(offset) = usize::try_from(offset) else { return Ok(0) };
        Ok(self.inode.content.read().bytes.read(buf, offset))
    }

    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.writable()?;
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let fault = self.world.faults.next(Call::Write);
        let limit = if fault.is_some() { total / 2 } else { total };
        let _shared = self.world.gate.read();
        self.inode.content.write().write(&self.world, &self.path, bufs, offset, limit)?;
        match fault {
            Some(kind) => Err(kind.error(Call::Write, &self.path)),
            None => Ok(()),
        }
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        self.call(Call::Allocate)?;
        let _shared = self.world.gate.read();
        self.inode.content.write().allocate(&self.world, &self.path, offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        self.call(Call::Punch)?;
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
        self.call(Call::SetLen)?;
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
