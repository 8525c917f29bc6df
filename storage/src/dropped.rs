//! Dropped trees, and how their pages are given back.
//!
//! A tree is dropped at once: the version being made has neither its name nor its root any more, so
//! that no reader of it or of a later one gets there. Its pages are given back afterwards, in steps.
//! What is left of it meanwhile are its *parts*:
//!
//! ```text
//!   drop_tree       name -> tree, root               becomes the part [root]
//!   free_dropped    [.. branch] -> [.. child child]  the branch's page is dropped
//!                   [.. leaf]   -> [..]              and the leaf's, with those of its long values
//!   checkpoint      the parts that are left are entries of the catalog, beside the names
//! ```
//!
//! At any moment a page of the tree is below exactly one part, or was dropped. So whatever moment a
//! checkpoint is of, what is opened from it goes on where that was: nothing is freed twice or lost.
//! The newest part is taken first, so that there are never more parts than children of the branches
//! on one path.
//!
//! Older versions still reach what is dropped here. It waits for them like every dropped page: from
//! the version that was being made when it was dropped, not from that of [`Writer::drop_tree`].

use crate::extent::Extents;
use crate::node::Node;
use crate::page;
use crate::pager::Where;
use crate::roots::Root;
use crate::writer::Writer;
use crate::{Error, Result, TreeId};

/// What is left of dropped trees: each part is the root of a tree by itself.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The last is taken first.
    todo: Vec<Root>,
    /// Those whose page could not be read: they are tried again when the file is opened anew.
    damaged: Vec<Root>,
}

impl Parts {
    pub(crate) fn push(&mut self, part: Root) {
        self.todo.push(part);
    }

    pub(crate) fn len(&self) -> usize {
        self.todo.len() + self.damaged.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Root> + '_ {
        self.damaged.iter().chain(&self.todo).copied()
    }
}

/// The node that a part begins with.
struct TakenApart {
    children: Vec<Root>,
    values: Vec<Extents>,
    born: crate::Version,
}

impl Writer {
    /// Drops a tree: its name and its entries are gone from the version being made on, and its
    /// number is not given again. Part of the next checkpoint; until then, the layer above logs it.
    /// Its pages are given back by [`Writer::free_dropped`]. O(trees).
    ///
    /// # Errors
    /// [`Error::NoSuchTree`]
    pub fn drop_tree(&mut self, tree: TreeId) -> Result<()> {
        if !self.catalog.remove(tree) {
            return Err(Error::NoSuchTree { tree });
        }
        let root = self.roots.remove(tree).expect("a tree that has a name has a root");
        if !root.is_none() {
            self.catalog.parts.push((tree, root));
        }
        Ok(())
    }

    /// Whether pages of dropped trees are still to be given back.
    pub fn has_dropped(&self) -> bool {
        !self.catalog.parts.todo.is_empty()
    }

    /// Gives back up to `nodes_max` nodes of dropped trees, with the pages of their long values;
    /// answers whether there are more. Reads each of them, from the file. What is damaged is passed
    /// over, and stays in use: [`Writer::check_dropped`] says so.
    ///
    /// Of a poisoned writer nothing is given back.
    ///
    /// # Errors
    /// The file system's. What was not given back is left for another time.
    pub fn free_dropped(&mut self, nodes_max: usize) -> Result<bool> {
        if self.poisoned().is_some() {
            return Ok(false);
        }
        for _ in 0..nodes_max {
            let Some(part) = self.catalog.parts.todo.pop() else { return Ok(false) };
            match self.free_part(part) {
                Ok(children) => self.catalog.parts.todo.extend(children),
                Err(error) if error.is_corruption() => self.catalog.parts.damaged.push(part),
                Err(error) => {
                    self.catalog.parts.todo.push(part);
                    return Err(error);
                }
            }
        }
        Ok(self.has_dropped())
    }

    /// Whether all that could be given back of dropped trees was.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] with a page that was passed over.
    pub fn check_dropped(&self) -> Result<()> {
        match self.catalog.parts.damaged.first() {
            Some((_, page)) => {
                Err(Error::corrupt(page.id, "a part of a dropped tree cannot be read"))
            }
            None => Ok(()),
        }
    }

    /// Drops the first node of a part; answers the parts that it leaves, the first key's last.
    fn free_part(&mut self, part: Root) -> Result<Vec<Root>> {
        let (_, page) = part;
        let TakenApart { children, values, born } = self.take_apart(part)?;
        // Nothing is dropped unless all of it is in use. What crafted bytes say of births, or twice, is
        // found only on the way.
        let pages = values.iter().flat_map(|value| &value.parts).copied().chain([(page.id, 1)]);
        for (start, pages) in pages {
            if !self.space.is_in_use(start, pages) {
                return Err(Error::corrupt(start, "it is dropped and was not in use"));
            }
        }
        for value in &values {
            self.drop_value(value)?;
        }
        self.drop_page(page.id, born)?;
        Ok(children)
    }

    fn take_apart(&self, (tree, page): Root) -> Result<TakenApart> {
        // The newest state no longer leads there, but the pages stay until they are dropped here.
        // Whatever is known of it: what has rotted since must give back nobody else's pages.
        let reader = self.reader();
        let bytes = reader.page_anew(page, &mut Where::Anywhere)?;
        let node = Node::new(&bytes);
        if page::tree(node.bytes()) != tree.0 {
            return Err(Error::corrupt(page.id, "it belongs to another tree"));
        }
        let (mut children, mut values) = (Vec::new(), Vec::new());
        for i in (0..node.count()).rev() {
            if !node.is_leaf() {
                children.push((tree, node.child(i)));
                continue;
            }
            let cell = node.cell(i);
            if cell.form.is_in_extents() {
                values.push(Extents::decode(cell.body, page.id, self.pager.page_size)?.0);
            }
        }
        Ok(TakenApart { children, values, born: page::born(node.bytes()) })
    }

    /// Drops the pages of a long value.
    pub(crate) fn drop_value(&mut self, value: &Extents) -> Result<()> {
        for &(page, pages) in &value.parts {
            match value.logged {
                true => self.drop_logged(page, pages, value.birth)?,
                false => self.drop_pages(page, pages, value.birth)?,
            }
        }
        Ok(())
    }
}
