//! The catalog: which trees there are, and where each starts.
//!
//! In the file it is tree 0, rooted in the meta page; in memory it is these names and the roots of
//! the state they belong to. Commits change roots in memory alone; a checkpoint writes the entries
//! that changed.
//!
//! ```text
//! key: the name, UTF-8     value: tree u32 | root page u64 | root stamp u32
//!                                 | compression of pages u8 | of values u8   (0 none, 1 LZ4, 2 Zstandard)
//! ```

use crate::compress::{Compression, TreeOptions};
use crate::{Error, PageId, PageRef, Result, TreeId};
use std::collections::BTreeMap;

const VALUE: usize = 18;

/// The names and numbers of all trees, and what the file says of their roots.
#[derive(Debug)]
pub(crate) struct Catalog {
    names: BTreeMap<String, TreeId>,
    stored: BTreeMap<TreeId, (PageRef, TreeOptions)>,
    options: BTreeMap<TreeId, TreeOptions>,
    next: u32,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Catalog {
            names: BTreeMap::new(),
            stored: BTreeMap::new(),
            options: BTreeMap::new(),
            next: 1,
        }
    }

    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    pub(crate) fn set_next(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// More frames than writing all entries takes: every page that can hold some of them, twice.
    pub(crate) fn frames_max(&self, page_size: usize) -> u64 {
        const ENTRY_BYTES: usize = 64;
        let names: usize = self.names.keys().map(|name| name.len() + ENTRY_BYTES).sum();
        4 + 6 * names.div_ceil(page_size) as u64
    }

    pub(crate) fn find(&self, name: &str) -> Option<TreeId> {
        self.names.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, TreeId)> {
        self.names.iter().map(|(name, &tree)| (name.as_str(), tree))
    }

    pub(crate) fn create(&mut self, name: &str) -> TreeId {
        if let Some(&tree) = self.names.get(name) {
            return tree;
        }
        let tree = TreeId(self.next);
        self.next += 1;
        self.names.insert(name.to_owned(), tree);
        tree
    }

    /// How what is written to a tree is stored.
    pub(crate) fn options(&self, tree: TreeId) -> TreeOptions {
        self.options.get(&tree).copied().unwrap_or_default()
    }

    pub(crate) fn set_options(&mut self, tree: TreeId, options: TreeOptions) {
        self.options.insert(tree, options);
    }

    /// How the pages of each tree are compressed, of those that are.
    pub(crate) fn page_compression(&self) -> BTreeMap<TreeId, Compression> {
        self.options.iter().filter_map(|(tree, how)| Some((*tree, how.pages?))).collect()
    }

    /// Takes up an entry read from the file.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8], at: PageId) -> Result<()> {
        let bad = |what| Error::corrupt(at, what);
        let name = std::str::from_utf8(key).map_err(|_| bad("a tree's name is not UTF-8"))?;
        if value.len() != VALUE {
            return Err(bad("a catalog entry has the wrong length"));
        }
        let u32_at = |at: usize| u32::from_le_bytes(value[at..at + 4].try_into().expect("four"));
        let tree = TreeId(u32_at(0));
        let id = u64::from_le_bytes(value[4..12].try_into().expect("eight"));
        if tree.0 == 0 || tree.0 >= self.next || self.stored.contains_key(&tree) {
            return Err(bad("two trees have one number, or one has none"));
        }
        let options = TreeOptions::decode(value[16..].try_into().expect("two"));
        let options = options.ok_or_else(|| bad("a tree is compressed by an unknown algorithm"))?;
        let root = PageRef { id: PageId(id), stamp: u32_at(12) };
        self.stored.insert(tree, (root, options));
        self.set_options(tree, options);
        self.names.insert(name.to_owned(), tree);
        Ok(())
    }

    /// The roots that the file gives, by tree number.
    pub(crate) fn roots(&self) -> Vec<PageRef> {
        let mut roots = vec![PageRef::NONE; self.next as usize];
        for (tree, (root, _)) in &self.stored {
            roots[tree.0 as usize] = *root;
        }
        roots
    }

    /// The entries that differ from the file's, by name, given today's roots; they count as
    /// written from now on.
    pub(crate) fn take_changed(&mut self, roots: &[PageRef]) -> Vec<(String, [u8; VALUE])> {
        let mut changed = Vec::new();
        for (name, &tree) in &self.names {
            let root = roots[tree.0 as usize];
            let options = self.options(tree);
            if self.stored.insert(tree, (root, options)) != Some((root, options)) {
                let mut value = [0; VALUE];
                value[..4].copy_from_slice(&tree.0.to_le_bytes());
                value[4..12].copy_from_slice(&root.id.0.to_le_bytes());
                value[12..16].copy_from_slice(&root.stamp.to_le_bytes());
                value[16..].copy_from_slice(&options.encode());
                changed.push((name.clone(), value));
            }
        }
        changed
    }
}

/// What an entry says by itself.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) tree: TreeId,
    pub(crate) root: PageRef,
    pub(crate) options: TreeOptions,
}

impl Named {
    /// Nothing where the entry makes no sense.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Named> {
        let name = std::str::from_utf8(key).ok()?.to_owned();
        let root = root_of(value, PageId(0)).ok()?;
        let tree = TreeId(u32::from_le_bytes(value[..4].try_into().expect("four bytes")));
        let options = TreeOptions::decode(value[16..].try_into().expect("two bytes"))?;
        (tree.0 != 0).then_some(Named { name, tree, root, options })
    }
}

/// The root that an entry's value names.
pub(crate) fn root_of(value: &[u8], at: PageId) -> Result<PageRef> {
    if value.len() != VALUE {
        return Err(Error::corrupt(at, "a catalog entry has the wrong length"));
    }
    let id = u64::from_le_bytes(value[4..12].try_into().expect("eight bytes"));
    let stamp = u32::from_le_bytes(value[12..16].try_into().expect("four bytes"));
    Ok(PageRef { id: PageId(id), stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrys_bytes_are_where_the_format_says() {
        let mut catalog = Catalog::new();
        let tree = catalog.create("notes");
        let (pages, values) = (Some(Compression::Lz4), Some(Compression::Zstd));
        catalog.set_options(tree, TreeOptions { pages, values });
        let root = PageRef { id: PageId(0x0203), stamp: 0x0405_0607 };
        let changed = catalog.take_changed(&[PageRef::NONE, root]);
        let golden = [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 7, 6, 5, 4, 1, 2];
        assert_eq!(changed, [("notes".to_owned(), golden)]);
        assert!(catalog.take_changed(&[PageRef::NONE, root]).is_empty());

        let mut read = Catalog::new();
        read.set_next(2);
        read.load(b"notes", &golden, PageId(1)).unwrap();
        assert_eq!(read.find("notes"), Some(tree));
        assert_eq!(read.roots(), [PageRef::NONE, root]);
        assert_eq!(read.options(tree), TreeOptions { pages, values });
        assert!(read.load(b"again", &golden, PageId(1)).is_err());
    }
}
