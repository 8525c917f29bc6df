//! Moving pages from the end of the file towards its front, so that the file can be cut.
//!
//! A step looks at a number of leaves, in order, and copies the paths to those that lie, wholly or in
//! part, beyond the mark: copies are allocated from the front. Long values beyond it are written
//! anew. What is left behind waits like any dropped page for the versions that reach it; the file
//! is cut by [`Writer::cut`] once none does.

use crate::edit::{Edit, Level};
use crate::extent::{self, Extents};
use crate::node::Form;
use crate::writer::Writer;
use crate::{PageId, Result, TreeId};

/// Longer values stay where they are: they are read whole to be moved.
const VALUE_BYTES_MAX: u32 = 64 << 20;

/// How far moving has come.
#[derive(Debug)]
pub struct Relocation {
    /// Pages from here on are moved.
    beyond: PageId,
    tree: TreeId,
    /// Leaves below the one that covers this were looked at.
    key: Vec<u8>,
    /// Pages copied, those on the way to others included.
    pub moved: u64,
}

impl Relocation {
    /// Moves what lies at `beyond` and after it.
    pub fn new(beyond: PageId) -> Self {
        Relocation { beyond, tree: TreeId(0), key: Vec::new(), moved: 0 }
    }
}

impl Writer {
    /// Looks at up to `leaves` leaves; answers whether that was all.
    ///
    /// # Errors
    /// As [`Writer::apply_from`]: this step has not happened then.
    pub fn relocate(&mut self, at: &mut Relocation, leaves: usize) -> Result<bool> {
        let (tree, key) = (at.tree, at.key.clone());
        let done = self.attempt(|writer| writer.relocate_leaves(at, leaves));
        if done.is_err() {
            (at.tree, at.key) = (tree, key);
        }
        done
    }

    fn relocate_leaves(&mut self, at: &mut Relocation, leaves: usize) -> Result<bool> {
        self.space.rewind_all();
        let mut since_spill = 0;
        let mut path: Vec<Level> = Vec::new();
        for _ in 0..leaves {
            match self.roots.first_from(at.tree) {
                Some(tree) if tree == at.tree => {}
                Some(tree) => {
                    (at.tree, at.key) = (tree, Vec::new());
                    path.clear();
                }
                None => return Ok(true),
            }
            if self.make_room(&mut since_spill)? {
                path.clear();
            }
            let mut edit = Edit::new(self, at.tree);
            edit.path = std::mem::take(&mut path);
            let next = edit.relocate_leaf(at)?;
            path = std::mem::take(&mut edit.path);
            match next {
                Some(key) => at.key = key,
                None => {
                    at.key.clear();
                    at.tree.0 += 1;
                    path.clear();
                }
            }
        }
        Ok(false)
    }

    /// Lets go of the free pages at the end of the file; the next checkpoint says so.
    pub fn trim(&mut self) {
        self.space.trim();
    }

    /// Cuts the file behind all that is used and all that the retained meta pages count as theirs:
    /// no root leads beyond. Answers the pages left.
    ///
    /// # Errors
    /// The file system's. The file is then longer than it need be.
    pub fn cut(&mut self) -> Result<u64> {
        self.check_poison()?;
        let pages = self.meta.pages.max(self.space.page_count());
        self.pager.cut(pages)?;
        Ok(pages)
    }
}

/// A long value that lies elsewhere now; its bytes, compressed or not, are the same.
struct Moved {
    key: Vec<u8>,
    body: Vec<u8>,
    form: Form,
}

impl Edit<'_> {
    /// Moves the leaf that covers the key; answers where the next one begins.
    fn relocate_leaf(&mut self, at: &mut Relocation) -> Result<Option<Vec<u8>>> {
        if !self.position(&at.key)? {
            return Ok(None);
        }
        if self.path.iter().any(|level| level.page.id >= at.beyond && !level.own) {
            at.moved += self.path.iter().filter(|level| !level.own).count() as u64;
            self.make_writable()?;
        }
        let mut next = None;
        for depth in (0..self.path.len() - 1).rev() {
            let (node, index) = (self.node(depth), self.path[depth].index + 1);
            if index < node.count() {
                let mut key = Vec::new();
                node.key_into(index, &mut key);
                next = Some(key);
                break;
            }
        }
        for Moved { key, body, form } in self.values_moved(at)? {
            self.put(&key, &body, form)?;
        }
        Ok(next)
    }

    /// Writes the long values of the path's leaf that lie beyond the mark to other places, which
    /// nothing leads to yet.
    fn values_moved(&mut self, at: &mut Relocation) -> Result<Vec<Moved>> {
        let leaf = self.path.len() - 1;
        let mut moved = Vec::new();
        for i in 0..self.node(leaf).count() {
            let (id, page_size) = (self.path[leaf].page.id, self.pager.page_size);
            let cell = self.node(leaf).cell(i);
            if !cell.form.is_in_extents() {
                continue;
            }
            let form = cell.form;
            let (extents, head) = Extents::decode(cell.body, id, page_size)?;
            let head = head.to_vec();
            let beyond = extents.parts.iter().any(|(page, pages)| page.0 + pages > at.beyond.0);
            if !beyond || extents.len > VALUE_BYTES_MAX {
                continue;
            }
            let mut key = Vec::new();
            self.node(leaf).key_into(i, &mut key);
            let pager = self.pager.clone();
            // SAFETY: the newest state reaches the value until its key is put again.
            let value = unsafe { extent::read(&pager, &extents)? };
            let place = self.writer.write_extent(&value)?;
            at.moved += place.parts.iter().map(|part| part.1).sum::<u64>();
            moved.push(Moved { key, body: place.encode(&head), form });
        }
        Ok(moved)
    }
}
