//! The bytes of a small database, to be changed.

use crate::harness::{PATH, Small};
use llmdb_storage::*;
use llmdb_vfs::{OpenMode, Vfs};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

pub const UUID: [u8; 16] = [7; 16];
pub const SIZE: usize = 4096;

pub fn bytes_of(vfs: &Arc<dyn Vfs>) -> Vec<u8> {
    let file = vfs.open(Path::new(PATH), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

pub fn store(vfs: &Arc<dyn Vfs>, offset: usize, bytes: &[u8]) {
    let file = vfs.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], offset as u64).unwrap();
}

/// A database with one leaf of short values and one long value, a checkpoint old.
pub fn sample() -> (Arc<dyn Vfs>, TreeId) {
    let (vfs, mut db) = Small::create(SIZE);
    let tree = db.tree("t");
    let mut batch = Batch::new();
    for i in 0..5u8 {
        batch.put(tree, &[b'k', i], &[i; 10]);
    }
    batch.put(tree, b"long", &[9; 10_000]);
    db.commit(batch);
    db.checkpoint();
    (vfs, tree)
}

/// Makes the checksum of a page fit what it says.
pub fn seal(page: &mut [u8]) {
    let mut crc = crc32fast::Hasher::new_with_initial(crc32fast::hash(&UUID));
    crc.update(&page[8..16]);
    crc.update(&page[24..28]);
    crc.update(&page[4..]);
    page[..4].copy_from_slice(&crc.finalize().to_le_bytes());
}
