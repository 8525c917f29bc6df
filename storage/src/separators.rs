//! Separators made of keys that are there.
//!
//! A separator is the beginning of the key that was the first of its right side when the two were
//! divided. That key may be gone since, and the separator still holds its bytes. Where nothing may
//! be left of it, the separator is made again, of what lies on either side of it now: never longer
//! than the one before, since whatever divides two keys shares what they share.

use crate::edit::Edit;
use crate::node::common_prefix;
use crate::writer::Writer;
use crate::{Cursor, Result, TreeId};

impl Writer {
    /// Looks at the leaves of a tree from the one that covers `from` on, `leaves_max` of them, and
    /// makes those separators anew that are no beginning of any key. Answers where to go on; `None`
    /// after the last leaf. What the tree holds stays.
    ///
    /// # Errors
    /// Damage, no room for copies of nodes: nothing has changed then.
    pub fn renew_separators(
        &mut self,
        tree: TreeId,
        from: &[u8],
        leaves_max: usize,
    ) -> Result<Option<Vec<u8>>> {
        self.check_poison()?;
        let undo = self.begin_undo();
        // A panic leaves half a tree: until all is done nothing may follow.
        self.half_applied = true;
        let renewed = self.renew_each(tree, from.to_vec(), leaves_max);
        if renewed.is_err() {
            self.undo(undo);
        }
        self.half_applied = false;
        self.return_credit();
        renewed
    }

    fn renew_each(
        &mut self,
        tree: TreeId,
        mut next: Vec<u8>,
        leaves_max: usize,
    ) -> Result<Option<Vec<u8>>> {
        let mut since_spill = 0;
        for _ in 0..leaves_max {
            self.make_room(&mut since_spill)?;
            let mut edit = Edit::new(self, tree);
            if !edit.position(&next)? {
                return Ok(None);
            }
            let behind = edit.separator_behind();
            edit.renew_separator()?;
            match behind {
                Some(behind) => next = behind,
                None => return Ok(None),
            }
        }
        Ok(Some(next))
    }
}

impl Edit<'_> {
    /// The key that bounds the path's leaf above.
    fn separator_behind(&self) -> Option<Vec<u8>> {
        let leaf = self.path.len() - 1;
        let depth = (0..leaf).rev().find(|&d| self.path[d].index + 1 < self.node(d).count())?;
        let mut key = Vec::new();
        self.node(depth).key_into(self.path[depth].index + 1, &mut key);
        Some(key)
    }

    /// Makes the separator before the path's leaf anew, unless a key begins with it.
    fn renew_separator(&mut self) -> Result<()> {
        let leaf = self.path.len() - 1;
        let Some(depth) = (0..leaf).rev().find(|&d| self.path[d].index > 0) else {
            return Ok(()); // the first leaf
        };
        let index = self.path[depth].index;
        let (mut separator, mut first) = (Vec::new(), Vec::new());
        self.node(depth).key_into(index, &mut separator);
        self.node(leaf).key_into(0, &mut first);
        if first.starts_with(&separator) {
            return Ok(());
        }
        let reader = self.writer.reader();
        let mut cursor = reader.walk(self.tree);
        let before = cursor.seek(&first)? && cursor.prev()?;
        let shared = if before { common_prefix(cursor.key(), &first) } else { 0 };
        drop(cursor);
        first.truncate(shared + 1);
        self.make_writable()?;
        let child = self.node(depth).child(index);
        self.node_mut(depth).remove(index);
        self.node_mut(depth).tidy_branch();
        self.path.truncate(depth + 1);
        self.path[depth].index = index - 1;
        self.enter(depth + 1, first, child, false)
    }
}
