//! A database with the smallest possible layer on top: it publishes every seal at once.

use llmdb_storage::*;
use llmdb_vfs::{MemVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

pub const PATH: &str = "/t.llmdb";

pub struct Small {
    pub opened: Opened,
    pub published: Sealed,
    /// Versions that tests keep pinned.
    pub pinned: Vec<Sealed>,
}

pub fn options(page_size: usize) -> StoreOptions {
    StoreOptions {
        page_size,
        page_source: crate::SOURCE,
        page_cache_bytes: cache_bytes(page_size, 40),
        uuid: Some([7; 16]),
        ..StoreOptions::default()
    }
}

/// What a page cache of so many pages takes.
pub fn cache_bytes(page_size: usize, pages: u64) -> u64 {
    pages * (page_size as u64 + 96)
}

pub fn new_vfs() -> Arc<dyn Vfs> {
    Arc::new(MemVfs::new())
}

impl Small {
    pub fn create(page_size: usize) -> (Arc<dyn Vfs>, Self) {
        Small::create_with(options(page_size))
    }

    pub fn create_with(options: StoreOptions) -> (Arc<dyn Vfs>, Self) {
        let vfs = new_vfs();
        create(&vfs, Path::new(PATH), &options).unwrap();
        let small = Small::open_with(&vfs, &options);
        (vfs, small)
    }

    pub fn open(vfs: &Arc<dyn Vfs>) -> Self {
        Small::open_with(vfs, &options(4096))
    }

    pub fn open_with(vfs: &Arc<dyn Vfs>, options: &StoreOptions) -> Self {
        let mut opened = open(vfs, Path::new(PATH), options).unwrap();
        opened.mark.incarnation += 1;
        opened.writer.rewrite_meta(0, opened.mark.incarnation, false).unwrap();
        let published = opened.writer.seal();
        Small { opened, published, pinned: Vec::new() }
    }

    pub fn tree(&mut self, name: &str) -> TreeId {
        self.opened.writer.create_tree(name)
    }

    pub fn commit(&mut self, mut batch: Batch) {
        batch.sort();

        self.opened.writer.apply(&batch).unwrap();
        self.published = self.opened.writer.seal();
        self.reclaim();
    }

    pub fn reclaim(&mut self) {
        let mut live: Vec<Version> = self.pinned.iter().map(|s| s.version).collect();
        live.push(self.published.version);
        live.sort();
        live.dedup();

        self.opened.writer.reclaim(&live, &[]);
    }

    pub fn checkpoint(&mut self) {
        let checkpoint = self.opened.writer.begin_checkpoint(self.opened.mark).unwrap();
        checkpoint.write(&self.opened.pager).unwrap();
        checkpoint.commit(&self.opened.pager).unwrap();
        self.published = self.opened.writer.finish_checkpoint(checkpoint);
        self.reclaim();
    }

    pub fn reader<'s>(&'s self, sealed: &'s Sealed) -> Reader<'s> {
        // SAFETY: `sealed` is published or in `pinned`, hence live.
        unsafe { Reader::new(&self.opened.pager, &sealed.roots) }
    }

    pub fn verify(&self) {
        let report = self.opened.writer.verify();
        assert!(report.is_clean(), "{:?}", &report.problems[..report.problems.len().min(10)]);
    }
}

pub fn entries(reader: &Reader<'_>, tree: TreeId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut cursor = reader.cursor(tree);
    let mut more = cursor.first().unwrap();
    while more {
        all.push((cursor.key().to_vec(), cursor.value().unwrap().to_vec()));
        more = cursor.next().unwrap();
    }
    all
}
