//! Backups of a running database: of its newest checkpoint, while commits and checkpoints go on.

use crate::Result;
use crate::engine::{Engine, Shared};
use llmdb_storage::{BackupReport, Image, OnProgress, copy_changes, copy_image};
use std::path::Path;

/// A checkpoint that is held while it is copied: everything committed before is in it.
#[derive(Debug)]
pub struct Held<'e> {
    shared: &'e Shared,
    image: Image,
}

impl Held<'_> {
    /// The checkpoint.
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.sequencer.lock().writer.release(&self.image);
    }
}

impl Engine {
    /// Makes a checkpoint, unless nothing was committed since the last, and holds it: what it
    /// reaches stays in the file until this is dropped. It costs space in the file, no memory.
    ///
    /// # Errors
    /// Those of [`Engine::checkpoint`].
    pub fn hold(&self) -> Result<Held<'_>> {
        let shared = self.shared();
        // Until it is held, no other checkpoint takes its place.
        let mut last = shared.checkpointing.lock();
        if shared.sequencer.lock().at_rest.is_none() {
            shared.sequencer.lock().check_writable()?;
            shared.checkpoint_in_turn(&mut last)?;
        }
        let image = shared.sequencer.lock().writer.hold();
        Ok(Held { shared, image })
    }

    /// Copies everything committed so far to a new database at `dest`, while readers and writers go
    /// on: whole, closed cleanly and durable when this returns.
    ///
    /// # Errors
    /// Those of [`Engine::hold`] and [`copy_image`].
    pub fn backup(&self, dest: &Path, progress: OnProgress<'_>) -> Result<BackupReport> {
        let held = self.hold()?;
        let shared = self.shared();
        Ok(copy_image(&shared.pager, &held.image, &shared.vfs, dest, progress)?)
    }

    /// Copies what changed since the backup `base` was made, itself whole or an increment, to `dest`.
    ///
    /// # Errors
    /// Those of [`Engine::hold`] and [`copy_changes`].
    pub fn backup_changes(
        &self,
        base: &Path,
        dest: &Path,
        progress: OnProgress<'_>,
    ) -> Result<BackupReport> {
        let held = self.hold()?;
        let shared = self.shared();
        Ok(copy_changes(&shared.pager, &held.image, &shared.vfs, base, dest, progress)?)
    }
}
