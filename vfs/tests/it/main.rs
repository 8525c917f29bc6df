//! What both file systems do, and what only the in-memory one can.

#![expect(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod dirs;
mod faults;
mod files;
mod locks;
mod maps;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmdb_vfs::{File, MemVfs, OpenMode, OsVfs, Vfs};

/// Runs a claim on a directory of the operating system and on one in memory.
fn on_both(claim: impl Fn(&dyn Vfs, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    claim(&OsVfs::new(), dir.path());
    let memory = MemVfs::new();
    memory.create_dir(Path::new("/home")).unwrap();
    claim(&memory, Path::new("/home"));
}

fn create(vfs: &dyn Vfs, path: impl AsRef<Path>) -> Arc<dyn File> {
    vfs.open(path.as_ref(), OpenMode::CreateNew).unwrap()
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) {
    file.write_all_at(&[IoSlice::new(bytes)], offset).unwrap();
}

fn contents(file: &Arc<dyn File>) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn names(vfs: &dyn Vfs, dir: impl AsRef<Path>) -> Vec<String> {
    let names = vfs.read_dir(dir.as_ref()).unwrap();
    names.into_iter().map(|name| name.into_string().unwrap()).collect()
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}
