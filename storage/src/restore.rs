//! Restoring: a whole backup and the increments that follow it become a database again.

use crate::image::{NewFile, OnProgress, copy_pages, write_metas};
use crate::increment::{Header, Origin, read_runs};
use crate::meta::{self, Meta};
use crate::space::Bitmap;
use crate::{Error, Result, StoreOptions, Version, space_pages};
use llmdb_vfs::{File, LockMode, OpenMode, Vfs};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A database put together from backups, under another name until it is finished.
#[derive(Debug)]
#[must_use = "it is gone again unless it is finished"]
pub struct Restoring {
    new: NewFile,
    meta: Meta,
    uuid: [u8; 16],
}

impl Restoring {
    /// Puts a database for `dest` together: `base` is a whole backup, or any database that was
    /// closed cleanly if no increments follow; each increment builds on the one before. Every page
    /// is checked, by the checksums of the backups and by those of the result. Free pages of the
    /// result are zero, whatever a backup had in them.
    ///
    /// # Errors
    /// [`Error::NotABackup`] for files that are none or damaged; [`Error::WrongBase`] for an
    /// increment that does not build on what comes before it; [`Error::BadCopy`] where the result
    /// is not in order; [`Error::Exists`]; the file system's.
    pub fn begin(
        vfs: &Arc<dyn Vfs>,
        base: &Path,
        increments: &[PathBuf],
        dest: &Path,
        progress: OnProgress<'_>,
    ) -> Result<Restoring> {
        let source = vfs.open(base, OpenMode::Read)?;
        source.lock(LockMode::Shared)?;
        if Header::read(&*source)?.is_some() {
            let what = "it is an increment; a whole backup comes first";
            return Err(Error::NotABackup { path: base.to_owned(), what });
        }
        let options = StoreOptions { read_only: true, ..StoreOptions::default() };
        let mut opened = crate::open(vfs, base, &options)?;
        if !opened.clean {
            let what = "it is a database in use, or was not closed cleanly";
            return Err(Error::NotABackup { path: base.to_owned(), what });
        }
        let image = opened.writer.hold();
        // Everything is looked at before anything is written.
        let mut steps: Vec<(Arc<dyn File>, Header)> = Vec::new();
        if let Some(first) = increments.first() {
            let mut before = Origin::read(vfs, base)?;
            for path in increments {
                let file = vfs.open(path, OpenMode::Read)?;
                let header = Header::read(&*file)?.ok_or_else(|| {
                    let what = "it is no increment";
                    Error::NotABackup { path: path.clone(), what }
                })?;
                before.check_base_of(&header.meta, path)?;
                if header.base != before.meta.version {
                    let what = if path == first || header.base > before.meta.version {
                        "it builds on another version: one is missing, or they are out of order"
                    } else {
                        "it builds on an older version than the one before it leads to"
                    };
                    return Err(Error::WrongBase { path: path.clone(), what });
                }
                before = Origin { meta: header.meta };
                steps.push((file, header));
            }
        }
        let meta = steps.last().map_or(image.meta, |(_, header)| header.meta);
        let new = NewFile::begin(vfs, dest)?;
        let page_size = meta.page_size as u64;
        new.file.set_len(meta.pages * page_size)?;
        let mut written = image.used(&opened.pager)?;
        // The file may have become shorter since.
        if let Some(last) = written.last_one().filter(|last| *last >= meta.pages) {
            written.clear_run(meta.pages, last + 1 - meta.pages);
        }
        copy_pages(&*opened.pager.file, &*new.file, page_size as usize, &written, progress)?;
        for (file, header) in &steps {
            read_runs(&**file, header, |first, bytes| {
                let pages = (bytes.len() as u64 / page_size).min(meta.pages.saturating_sub(first));
                if pages > 0 {
                    let bytes = &bytes[..(pages * page_size) as usize];
                    new.file.write_all_at(&[IoSlice::new(bytes)], first * page_size)?;
                    written.set_run(first, pages);
                }
                Ok(())
            })?;
        }
        write_metas(&*new.file, meta)?;
        let restoring = Restoring { new, meta, uuid: meta.uuid };
        restoring.wipe_free_pages(vfs, &written)?;
        restoring.new.check()?;
        Ok(restoring)
    }

    /// What only an older backup had goes: it may have been erased since.
    fn wipe_free_pages(&self, vfs: &Arc<dyn Vfs>, written: &Bitmap) -> Result<()> {
        let options = StoreOptions { read_only: true, ..StoreOptions::default() };
        let opened = crate::open(vfs, &self.new.temporary, &options)?;
        let page_size = self.meta.page_size as usize;
        let pages = space_pages::read(&opened.pager, self.meta.space, self.meta.space_depth)?;
        let zeros = vec![0; page_size];
        let slots = meta::slot_pages(page_size);
        for page in written.difference(&pages.frozen).ones() {
            if slots.iter().all(|slot| slot.0 != page) {
                let offset = page * page_size as u64;
                self.new.file.write_all_at(&[IoSlice::new(&zeros)], offset)?;
            }
        }
        Ok(())
    }

    /// Where the database lies until it is finished: it may be opened and brought further there.
    pub fn path(&self) -> &Path {
        &self.new.temporary
    }

    /// Of which database it is.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The lineage that the backups are of.
    pub fn lineage(&self) -> u64 {
        self.meta.lineage
    }

    /// The version that the backups lead to.
    pub fn version(&self) -> Version {
        self.meta.version
    }

    /// Number and mark of the last commit that the backups hold.
    pub fn last_commit(&self) -> (u64, i64) {
        (self.meta.seq, self.meta.mark)
    }

    /// Judges every page of the database once more, after it was brought further.
    ///
    /// # Errors
    /// [`Error::BadCopy`](crate::Error::BadCopy)
    pub fn check(&self) -> Result<()> {
        self.new.check()
    }

    /// Makes the database durable under its own name.
    ///
    /// # Errors
    /// [`Error::Exists`]; the file system's. It is there wholly or not at all.
    pub fn finish(self) -> Result<()> {
        self.new.finish()
    }
}
