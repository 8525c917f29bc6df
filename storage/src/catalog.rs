//! The catalog: which trees there are, and where each starts.
//!
//! In the file it is tree 0, rooted in the meta page; in memory it is these names and the roots of
//! the state they belong to. Commits change roots in memory alone; a checkpoint writes the entries
//! that changed.
//!
//! ```text
//! key: the name, UTF-8     value: tree u32 | root page u64 | root stamp u32
//!                                 | compression of pages u8 | of values u8   (0 none, 1 LZ4, 2 Zstandard)
//! key: 0xff | number u32, big-endian: what is left of a dropped tree, in the order in which it is
//!                                     given back from the last on; the value as of a tree, not
//!                                     compressed
//! ```

use crate::compress::{Compression, TreeOptions};
use crate::dropped::Parts;
use crate::roots::{Root, RootList};
use crate::{Error, PageId, PageRef, Result, TreeId};
use std::collections::BTreeMap;
use std::sync::Arc;

const VALUE: usize = 18;
/// What the key of a part of a dropped tree begins with: no name does, since no UTF-8 has it.
const PART: u8 = 0xff;
const PART_KEY: usize = 5;

/// The names and numbers of all trees, and what the file says of their roots.
#[derive(Debug)]
pub(crate) struct Catalog {
    names: Arc<BTreeMap<String, TreeId>>,
    /// The entries of the file.
    stored: BTreeMap<Vec<u8>, [u8; VALUE]>,
    options: BTreeMap<TreeId, TreeOptions>,
    next: u32,
    pub(crate) parts: Parts,
}

/// An entry that is to be written: its key, and its value if it is to have one.
pub(crate) type Change = (Vec<u8>, Option<[u8; VALUE]>);

impl Catalog {
    pub(crate) fn new() -> Self {
        Catalog {
            names: Arc::default(),
            stored: BTreeMap::new(),
            options: BTreeMap::new(),
            next: 1,
            parts: Parts::default(),
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
        let names = self.names.keys().map(|name| name.len() + ENTRY_BYTES);
        let stored = self.stored.keys().map(|key| key.len() + ENTRY_BYTES);
        let parts = self.parts.len() * (PART_KEY + ENTRY_BYTES);
        let bytes = names.sum::<usize>().max(stored.sum()) + parts;
        4 + 6 * bytes.div_ceil(page_size) as u64
    }

    /// The trees by name; cheap to clone.
    pub(crate) fn names(&self) -> Arc<BTreeMap<String, TreeId>> {
        self.names.clone()
    }

    pub(crate) fn find(&self, name: &str) -> Option<TreeId> {
        self.names.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, TreeId)> {
        self.names.iter().map(|(name, &tree)| (name.as_str(), tree))
    }

    /// Makes a tree; one of that name that exists already is answered.
    ///
    /// # Panics
    /// Where no number is left: [`Catalog::is_full`].
    pub(crate) fn create(&mut self, name: &str) -> TreeId {
        if let Some(&tree) = self.names.get(name) {
            return tree;
        }
        assert!(!self.is_full(), "no number is given twice");
        let tree = TreeId(self.next);
        self.next += 1;
        Arc::make_mut(&mut self.names).insert(name.to_owned(), tree);
        tree
    }

    /// Whether all numbers were given.
    pub(crate) fn is_full(&self) -> bool {
        self.next == u32::MAX
    }

    /// Forgets a tree; `false` where there is none.
    pub(crate) fn remove(&mut self, tree: TreeId) -> bool {
        let name = self.iter().find(|(_, named)| *named == tree).map(|(name, _)| name.to_owned());
        // How its pages are compressed stays with the pager: some may still be to be written.
        self.options.remove(&tree);
        name.is_some_and(|name| Arc::make_mut(&mut self.names).remove(&name).is_some())
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
        let root = root_of(value, at)?;
        let value: [u8; VALUE] = value.try_into().expect("the length was looked at");
        let tree = tree_of(&value);
        // Names come before what is left of dropped trees.
        if tree.0 == 0 || tree.0 >= self.next || self.options.contains_key(&tree) {
            return Err(bad("two trees have one number, or one has none"));
        }
        if is_part(key) {
            self.parts.push((tree, root));
            self.stored.insert(key.to_vec(), value);
            return Ok(());
        }
        let name = std::str::from_utf8(key).map_err(|_| bad("a tree's name is not UTF-8"))?;
        let options = TreeOptions::decode(value[16..].try_into().expect("two"));
        let options = options.ok_or_else(|| bad("a tree is compressed by an unknown algorithm"))?;
        self.stored.insert(key.to_vec(), value);
        self.set_options(tree, options);
        Arc::make_mut(&mut self.names).insert(name.to_owned(), tree);
        Ok(())
    }

    /// The roots that the file gives.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Root> + '_ {
        let of = |name: &str| root_in(&self.stored[name.as_bytes()]);
        self.iter().map(move |(name, tree)| (tree, of(name)))
    }

    /// The entries that differ from the file's, by key, given today's roots; they count as written
    /// from now on.
    pub(crate) fn take_changed(&mut self, roots: &RootList) -> Vec<Change> {
        let mut wanted = BTreeMap::new();
        for (name, tree) in self.iter() {
            let root = roots.get(tree).expect("a tree that has a name has a root");
            wanted.insert(name.as_bytes().to_vec(), encode((tree, root), self.options(tree)));
        }
        for (part, number) in self.parts.iter().zip(0u32..) {
            let key = [&[PART][..], &number.to_be_bytes()].concat();
            wanted.insert(key, encode(part, TreeOptions::default()));
        }
        let gone = self.stored.keys().filter(|key| !wanted.contains_key(*key));
        let mut changed: Vec<Change> = gone.map(|key| (key.clone(), None)).collect();
        let new = wanted.iter().filter(|(key, value)| self.stored.get(*key) != Some(value));
        changed.extend(new.map(|(key, value)| (key.clone(), Some(*value))));
        changed.sort_unstable();
        self.stored = wanted;
        changed
    }
}

fn encode((tree, root): Root, options: TreeOptions) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    value[..4].copy_from_slice(&tree.0.to_le_bytes());
    value[4..12].copy_from_slice(&root.id.0.to_le_bytes());
    value[12..16].copy_from_slice(&root.stamp.to_le_bytes());
    value[16..].copy_from_slice(&options.encode());
    value
}

/// Whether an entry is that of a part of a dropped tree.
fn is_part(key: &[u8]) -> bool {
    key.len() == PART_KEY && key[0] == PART
}

fn tree_of(value: &[u8; VALUE]) -> TreeId {
    TreeId(u32::from_le_bytes(*value.first_chunk().expect("four bytes")))
}

fn root_in(value: &[u8; VALUE]) -> PageRef {
    let id = u64::from_le_bytes(value[4..12].try_into().expect("eight bytes"));
    let stamp = u32::from_le_bytes(value[12..16].try_into().expect("four bytes"));
    PageRef { id: PageId(id), stamp }
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
        let value: &[u8; VALUE] = value.try_into().ok()?;
        let options = TreeOptions::decode(value[16..].try_into().expect("two bytes"))?;
        let tree = tree_of(value);
        (tree.0 != 0).then_some(Named { name, tree, root: root_in(value), options })
    }
}

/// The dropped tree that an entry is of, if it is one of those.
pub(crate) fn dropped_tree(key: &[u8], value: &[u8]) -> Option<TreeId> {
    is_part(key).then(|| value.try_into().ok().map(tree_of)).flatten()
}

/// The root that an entry's value names.
pub(crate) fn root_of(value: &[u8], at: PageId) -> Result<PageRef> {
    match value.try_into() {
        Ok(value) => Ok(root_in(value)),
        Err(_) => Err(Error::corrupt(at, "a catalog entry has the wrong length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(trees: &[Root]) -> RootList {
        RootList::new(PageRef::NONE, trees.iter().copied())
    }

    #[test]
    fn an_entrys_bytes_are_where_the_format_says() {
        let mut catalog = Catalog::new();
        let tree = catalog.create("notes");
        let (pages, values) = (Some(Compression::Lz4), Some(Compression::Zstd));
        catalog.set_options(tree, TreeOptions { pages, values });
        let root = PageRef { id: PageId(0x0203), stamp: 0x0405_0607 };
        let changed = catalog.take_changed(&roots(&[(tree, root)]));
        let golden = [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 7, 6, 5, 4, 1, 2];
        assert_eq!(changed, [(b"notes".to_vec(), Some(golden))]);
        assert!(catalog.take_changed(&roots(&[(tree, root)])).is_empty());

        let mut read = Catalog::new();
        read.set_next(2);
        read.load(b"notes", &golden, PageId(1)).unwrap();
        assert_eq!(read.find("notes"), Some(tree));
        assert_eq!(read.roots().collect::<Vec<_>>(), [(tree, root)]);
        assert_eq!(read.options(tree), TreeOptions { pages, values });
        assert!(read.load(b"again", &golden, PageId(1)).is_err());
    }

    #[test]
    fn a_dropped_trees_bytes_are_where_the_format_says() {
        let mut catalog = Catalog::new();
        let tree = catalog.create("notes");
        let root = PageRef { id: PageId(0x0203), stamp: 0x0405_0607 };
        catalog.take_changed(&roots(&[(tree, root)]));
        assert!(catalog.remove(tree));
        assert!(!catalog.remove(tree));
        catalog.parts.push((tree, root));
        let changed = catalog.take_changed(&roots(&[]));
        let key = b"\xff\0\0\0\0";
        let golden = [1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 7, 6, 5, 4, 0, 0];
        assert_eq!(changed, [(b"notes".to_vec(), None), (key.to_vec(), Some(golden))]);
        assert_eq!(catalog.create("notes"), TreeId(2), "its number is not given again");

        let mut read = Catalog::new();
        read.set_next(3);
        read.load(key, &golden, PageId(1)).unwrap();
        assert_eq!(read.find("notes"), None);
        assert_eq!(read.parts.iter().collect::<Vec<_>>(), [(tree, root)]);
        assert_eq!(dropped_tree(key, &golden), Some(tree));
        assert_eq!(dropped_tree(b"notes", &golden), None);
        assert_eq!(read.take_changed(&roots(&[])), []);
        assert!(Named::decode(key, &golden).is_none());
    }
}
