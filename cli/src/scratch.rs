//! A directory that goes with the command that made it.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A directory, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new directory for `what`, in `dir` or else where temporary files go.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn new(what: &str, dir: Option<&Path>) -> Result<Self> {
        let dir = dir.map_or_else(env::temp_dir, Path::to_owned);
        let path = dir.join(format!("llmdb-{what}-{}", process::id()));
        let unwritable = |cause| Error::Write { path: path.clone(), cause };
        // What a killed process of the same number left behind is in the way.
        if path.exists() {
            fs::remove_dir_all(&path).map_err(unwritable)?;
        }
        fs::create_dir_all(&path).map_err(unwritable)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about what stays; it is in the place for such things.
        drop(fs::remove_dir_all(&self.path));
    }
}
