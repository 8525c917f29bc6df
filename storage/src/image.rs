//! Images: a durable checkpoint that is kept while it is copied, and copies of it.
//!
//! A held image is one more live root (I1): pages that it reaches are not written over, whatever
//! becomes of the meta page that led to it. Everything that it reaches is in the file, so that it
//! costs no memory, and copying reads the file alone.
//!
//! ```text
//! with the writer:   hold                                            release
//! without it:            copy: used pages by the image's bitmaps,
//!                        then the meta page into every slot of the copy
//! ```

use crate::meta::{self, Meta};
use crate::pager::Pager;
use crate::space::Bitmap;
use crate::store::parent;
use crate::writer::Writer;
use crate::{Error, Result, StoreOptions, Version, space_pages};
use llmdb_vfs::{EntryKind, File, Lock, OpenMode, Vfs};
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one read and write while a file is copied.
pub(crate) const COPY_BYTES: usize = 1 << 20;

/// A durable checkpoint of an open file, held from [`Writer::hold`] to [`Writer::release`].
#[derive(Clone, Copy, Debug)]
pub struct Image {
    pub(crate) meta: Meta,
}

/// How far a long operation has come, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Pages done.
    pub done: u64,
    /// Pages in all, as far as is known.
    pub total: u64,
}

/// Told of each step of a long operation.
pub type OnProgress<'p> = &'p mut dyn FnMut(Progress);

/// What a backup holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The version that it is of.
    pub version: Version,
    /// The version that it builds on; `None` for a whole one.
    pub base: Option<Version>,
    /// Number of the last commit contained.
    pub seq: u64,
    /// The layer above's mark of that commit.
    pub mark: i64,
    /// Pages written.
    pub pages: u64,
    /// Length of the file written.
    pub bytes: u64,
}

impl Image {
    /// The version that it is of.
    pub fn version(&self) -> Version {
        self.meta.version
    }

    /// Number of the last commit contained.
    pub fn seq(&self) -> u64 {
        self.meta.seq
    }

    /// The pages that it reaches, its own bitmaps and the meta slots included.
    pub(crate) fn used(&self, pager: &Pager) -> Result<Bitmap> {
        let pages = space_pages::read(pager, self.meta.space, self.meta.space_depth)?;
        if pages.frozen.last_one().is_some_and(|last| last >= self.meta.pages) {
            let what = "the bitmap marks pages beyond the end of the file";
            return Err(Error::corrupt(self.meta.space.id, what));
        }
        Ok(pages.frozen)
    }
}

impl Writer {
    /// Holds the newest durable checkpoint: its pages stay in the file until it is released.
    #[must_use = "what is held is to be released"]
    pub fn hold(&mut self) -> Image {
        self.held.push(self.meta.version);
        Image { meta: self.meta }
    }

    /// The lineage of the versions that are made.
    pub fn lineage(&self) -> u64 {
        self.meta.lineage
    }

    /// Lets go of an image.
    pub fn release(&mut self, image: &Image) {
        let at = self.held.iter().position(|version| *version == image.meta.version);
        self.held.swap_remove(at.expect("an image is released once"));
    }
}

/// Copies a held image to `dest`: a complete database that was closed cleanly, durable when this
/// returns, checked page by page; or nothing at all. Memory is bounded by the bitmaps, one bit a page.
///
/// # Errors
/// [`Error::Exists`]; damage found in the image; the file system's.
pub fn copy_image(
    pager: &Pager,
    image: &Image,
    vfs: &Arc<dyn Vfs>,
    dest: &Path,
    progress: OnProgress<'_>,
) -> Result<BackupReport> {
    let new = NewFile::begin(vfs, dest)?;
    let used = image.used(pager)?;
    let page_size = pager.page_size as u64;
    new.file.set_len(image.meta.pages * page_size)?;
    let pages = copy_pages(&*pager.file, &*new.file, pager.page_size, &used, progress)?;
    write_metas(&*new.file, image.meta)?;
    new.check()?;
    new.finish()?;
    Ok(BackupReport {
        version: image.meta.version,
        base: None,
        seq: image.meta.seq,
        mark: image.meta.mark,
        pages,
        bytes: image.meta.pages * page_size,
    })
}

/// Copies the pages of `which`, but the meta slots, to where they are; answers how many.
pub(crate) fn copy_pages(
    from: &dyn File,
    to: &dyn File,
    page_size: usize,
    which: &Bitmap,
    progress: OnProgress<'_>,
) -> Result<u64> {
    let slots = meta::slot_pages(page_size);
    let total = which.count_ones();
    let mut buffer = Vec::with_capacity(COPY_BYTES);
    let mut copied = 0;
    let mut pages = which.ones().filter(|page| slots.iter().all(|slot| slot.0 != *page)).peekable();
    while let Some(first) = pages.next() {
        let mut len = 1;
        while (len + 1) * page_size <= COPY_BYTES
            && pages.next_if_eq(&(first + len as u64)).is_some()
        {
            len += 1;
        }
        buffer.resize(len * page_size, 0);
        let offset = first * page_size as u64;
        from.read_exact_at(&mut buffer, offset)?;
        to.write_all_at(&[IoSlice::new(&buffer)], offset)?;
        copied += len as u64;
        progress(Progress { done: copied, total });
    }
    Ok(copied)
}

/// Writes `meta` into every slot, marked as that of a copy at rest.
pub(crate) fn write_metas(file: &dyn File, meta: Meta) -> Result<()> {
    for step in 0..meta::SLOTS {
        let generation = meta.generation + step;
        Meta { generation, clean: true, copy: true, ..meta }.write(file)?;
    }
    Ok(())
}

/// A file that is being made under another name; gone again unless it is finished.
#[derive(Debug)]
pub(crate) struct NewFile {
    vfs: Arc<dyn Vfs>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) temporary: PathBuf,
    dest: PathBuf,
    finished: bool,
    /// Whoever would create a database at `dest` takes it too.
    _lock: Box<dyn Lock>,
}

impl NewFile {
    /// Begins a file that is to be at `dest`, where nothing may be.
    ///
    /// # Errors
    /// [`Error::Exists`]; the file system's.
    pub(crate) fn begin(vfs: &Arc<dyn Vfs>, dest: &Path) -> Result<NewFile> {
        let lock = vfs.lock(&beside(dest, "-lock"))?;
        for path in [dest.to_owned(), beside(dest, "-wal")] {
            if vfs.kind(&path)?.is_some() {
                return Err(Error::Exists { path });
            }
        }
        let temporary = beside(dest, "-new");
        let file = vfs.open(&temporary, OpenMode::CreateOrTruncate)?;
        let (vfs, dest) = (vfs.clone(), dest.to_owned());
        Ok(NewFile { vfs, file, temporary, dest, finished: false, _lock: lock })
    }

    /// The file that has the temporary name by now, in place of the one that was begun.
    pub(crate) fn reopened(mut self) -> Result<NewFile> {
        self.file = self.vfs.open(&self.temporary, OpenMode::ReadWrite)?;
        Ok(self)
    }

    /// Opens the database that was made and judges every page of it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let options = StoreOptions { read_only: true, ..StoreOptions::default() };
        let opened = crate::open(&self.vfs, &self.temporary, &options)?;
        match opened.writer.verify().problems.into_iter().next() {
            Some(problem) => Err(Error::BadCopy { page: problem.page, what: problem.what }),
            None => Ok(()),
        }
    }

    /// Makes the file durable under its own name.
    ///
    /// # Errors
    /// The file system's; the file may be there or not then, but is never there in part.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.file.sync_all()?;
        if self.vfs.kind(&self.dest)? == Some(EntryKind::File) {
            return Err(Error::Exists { path: self.dest.clone() });
        }
        self.vfs.rename(&self.temporary, &self.dest)?;
        self.finished = true;
        Ok(self.vfs.sync_dir(parent(&self.dest))?)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is overwritten by the next attempt.
            let _ = self.vfs.remove_file(&self.temporary);
        }
    }
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
