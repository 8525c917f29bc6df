//! Walking a tree whose keys start with an encoded key, one of those after another.

use super::problem::{Finding, Problem};
use crate::codec::key::{EncodedKey, split};
use crate::{Result, TreeName};
use llmdb_storage::{Cursor, TreeId, View};

/// A position in such a tree.
pub(super) struct Entries<'v, V: View + 'v> {
    name: TreeName,
    cursor: V::Cursor<'v>,
    on: bool,
}

impl<'v, V: View> Entries<'v, V> {
    pub(super) fn new(view: &'v V, name: TreeName, tree: TreeId) -> Result<Self> {
        let mut cursor = view.cursor(tree);
        let on = cursor.first()?;
        Ok(Self { name, cursor, on })
    }

    /// The key that the next entry starts with; entries that start with none are reported.
    pub(super) fn key(&mut self, problems: &mut Vec<Problem>) -> Result<Option<Vec<u8>>> {
        while self.on {
            match split(self.name, self.cursor.key()) {
                Ok((key, _)) => return Ok(Some(key.to_vec())),
                Err(error) => {
                    let finding = Finding::Unreadable(error);
                    problems.push(Problem { tree: self.name, key: None, finding });
                    self.on = self.cursor.next()?;
                }
            }
        }
        Ok(None)
    }

    /// Takes the entries of `key`: `read` gets what follows the key, and the value.
    pub(super) fn take<T>(
        &mut self,
        key: &EncodedKey,
        read: impl Fn(&[u8], &[u8]) -> Result<T>,
        report: &mut dyn FnMut(TreeName, Finding),
    ) -> Result<Vec<T>> {
        let mut taken = Vec::new();
        while self.on {
            let Some(suffix) = key.suffix_of(self.cursor.key()) else { break };
            // Of a long value the header is enough: pages are judged elsewhere.
            match read(suffix, self.cursor.entry()?.head()) {
                Ok(entry) => taken.push(entry),
                Err(error) => report(self.name, Finding::Unreadable(error)),
            }
            self.on = self.cursor.next()?;
        }
        Ok(taken)
    }
}
