//! From the meta page down: every entry that its parents lead to.

use super::{Salvage, TreeSalvage};
use crate::catalog::{Named, dropped_tree};
use crate::node::Node;
use crate::page;
use crate::space::Bitmap;
use crate::{PageId, PageRef, Result, TreeId, TreeOptions, Version, space_pages};

/// A node that is still to be read: its keys lie in `low..high`.
struct Todo {
    page: PageRef,
    level: Option<u8>,
    low: Vec<u8>,
    high: Option<Vec<u8>>,
}

/// What a walk found out.
pub(super) struct Walked {
    pub(super) reached: Bitmap,
    pub(super) entries: u64,
}

/// What is done with an entry: its key, and its value if that can be read.
pub(super) type Take<'t> = &'t mut dyn FnMut(&mut Salvage, &[u8], Option<&[u8]>) -> Result<()>;

impl Salvage {
    /// Reads everything.
    pub(super) fn read_all(&mut self, names: &[&str]) -> Result<()> {
        let region = space_pages::region_pages(self.source.page_size);
        let mut walked = Walked { reached: Bitmap::new(region), entries: 0 };
        let mut catalog = TreeSalvage::new("");
        let mut trees: Vec<Named> = Vec::new();
        // What is left of these is nobody's.
        let mut dropped: Vec<TreeId> = Vec::new();
        match self.meta {
            Some(meta) => {
                let mut sound = true;
                self.walk(
                    TreeId(0),
                    meta.catalog,
                    &mut walked,
                    &mut catalog,
                    &mut |_, key, value| {
                        let value = value.unwrap_or_default();
                        match (Named::decode(key, value), dropped_tree(key, value)) {
                            (Some(named), _) => trees.push(named),
                            (None, Some(tree)) => dropped.push(tree),
                            (None, None) => sound = false,
                        }
                        Ok(())
                    },
                )?;
                self.report.pages_bad += catalog.pages_bad;
                self.report.catalog_whole = sound && catalog.is_whole();
            }
            None => catalog.lose(Vec::new(), None),
        }
        // Those whose beginning is not known.
        let mut more = Vec::new();
        if !self.report.catalog_whole {
            if catalog.is_whole() {
                catalog.lose(Vec::new(), None);
            }
            more = self.search_catalog(&catalog, &walked.reached)?;
            more.retain(|named| !dropped.contains(&named.tree));
            for (i, name) in names.iter().enumerate() {
                // As the layers above made them first.
                let tree = TreeId(i as u32 + 1);
                let (name, options) = ((*name).to_owned(), TreeOptions::default());
                more.push(Named { name, tree, root: PageRef::NONE, options });
            }
        }
        trees.sort_by_key(|named| named.tree);
        trees.dedup_by_key(|named| named.tree);
        let with_root = trees.len();
        for named in more {
            let unknown = |known: &Named| known.name != named.name && known.tree != named.tree;
            if trees.iter().all(unknown) {
                trees.push(named);
            }
        }
        let mut found = Vec::new();
        for (i, Named { name, tree, root, options }) in trees.into_iter().enumerate() {
            self.add_tree(&name, tree);
            if !self.places.contains_key(&tree) {
                continue;
            }
            self.set_tree_options(tree, options)?;
            let mut report = TreeSalvage::new(&name);
            walked.entries = 0;
            if i < with_root {
                self.walk(tree, root, &mut walked, &mut report, &mut |all, key, value| {
                    value.map_or(Ok(()), |value| all.put(tree, key, value))
                })?;
            } else {
                report.lose(Vec::new(), None);
            }
            report.entries = walked.entries;
            self.report.pages_bad += report.pages_bad;
            let (place, _) = self.places[&tree];
            self.report.trees[place] = report;
            found.push(tree);
        }
        self.search(&found, &walked.reached)
    }

    /// Gives every entry that `root` leads to, and notes down in `report` what cannot be read.
    fn walk(
        &mut self,
        tree: TreeId,
        root: PageRef,
        walked: &mut Walked,
        report: &mut TreeSalvage,
        take: Take<'_>,
    ) -> Result<()> {
        if root.is_none() {
            return Ok(());
        }
        let mut buf = Vec::new();
        let mut todo = vec![Todo { page: root, level: None, low: Vec::new(), high: None }];
        // Ends: no page is gone through twice.
        while let Some(next) = todo.pop() {
            let id = next.page.id;
            let new = id.0 < self.source.pages && walked.reached.set_run(id.0, 1) == 1;
            let good = new
                && self.source.node(next.page, &mut buf)?
                && fits(Node::new(&buf), tree, &next, self.newest());
            if !good {
                report.pages_bad += 1;
                report.lose(next.low, next.high);
                continue;
            }
            self.report.pages += 1;
            let node = Node::new(&buf);
            if node.is_leaf() {
                walked.entries += self.entries(node, id, report, take)?;
                continue;
            }
            let key = |i: usize| {
                let mut key = Vec::new();
                node.key_into(i, &mut key);
                key
            };
            // The first is to be read first.
            for i in (0..node.count()).rev() {
                let low = if i == 0 { next.low.clone() } else { key(i) };
                let high = if i + 1 < node.count() { Some(key(i + 1)) } else { next.high.clone() };
                let level = Some(node.level() - 1);
                todo.push(Todo { page: node.child(i), level, low, high });
            }
        }
        Ok(())
    }

    /// Gives the entries of a leaf; answers how many.
    fn entries(
        &mut self,
        leaf: Node<'_>,
        id: PageId,
        report: &mut TreeSalvage,
        take: Take<'_>,
    ) -> Result<u64> {
        let mut key = Vec::new();
        let mut entries = 0;
        for i in 0..leaf.count() {
            leaf.key_into(i, &mut key);
            let value = self.source.value(&leaf.cell(i), id)?;
            match &value {
                Some(_) => entries += 1,
                None => report.lose_value(&key),
            }
            take(self, &key, value.as_deref())?;
        }
        Ok(entries)
    }
}

/// Whether a sound node is the one that its parent means.
fn fits(node: Node<'_>, tree: TreeId, of: &Todo, newest: Version) -> bool {
    let first = usize::from(!node.is_leaf());
    let mut key = Vec::new();
    let inside = [first, node.count() - 1].into_iter().filter(|i| *i >= first).all(|i| {
        if i >= node.count() {
            return true;
        }
        node.key_into(i, &mut key);
        key >= of.low && of.high.as_ref().is_none_or(|high| key < *high)
    });
    inside
        && of.level.is_none_or(|level| level == node.level())
        && page::tree(node.bytes()) == tree.0
        && page::born(node.bytes()) <= newest
}
