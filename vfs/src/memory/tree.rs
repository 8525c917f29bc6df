//! The names of the in-memory file system and which of them are durable.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::content::Inode;
use super::crash::UnsyncedOp;
use crate::{EntryKind, Error, Result};

/// A directory, whatever its name. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DirId(u64);

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Arc<Inode>),
    Dir(DirId),
}

impl Node {
    fn is(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::File(a), Node::File(b)) => Arc::ptr_eq(a, b),
            (Node::Dir(a), Node::Dir(b)) => a == b,
            _ => false,
        }
    }
}

pub(super) type Entries = BTreeMap<OsString, Node>;

/// A directory as programs see it and as a crash would leave it.
#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    now: Entries,
    pub(super) durable: Entries,
}

/// A place for an entry.
type Slot = (DirId, OsString);

/// A change of names that is not durable yet: what each slot that it touches becomes.
#[derive(Clone, Debug)]
pub(super) struct EntryChange {
    pub(super) number: u64,
    pub(super) abandoned: bool,
    pub(super) op: UnsyncedOp,
    pub(super) slots: Vec<(Slot, Option<Node>)>,
}

#[derive(Debug)]
pub(super) struct Tree {
    /// Directories are kept when they are removed: a crash may bring them back.
    pub(super) dirs: BTreeMap<DirId, Dir>,
    pub(super) journal: Vec<EntryChange>,
}

/// The path from the root, without detours.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut at = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    at
}

impl Tree {
    pub(super) const ROOT: DirId = DirId(0);

    pub(super) fn new() -> Tree {
        Tree { dirs: BTreeMap::from([(Tree::ROOT, Dir::default())]), journal: Vec::new() }
    }

    /// A tree with these directories, all of it durable.
    pub(super) fn settled(mut dirs: BTreeMap<DirId, Dir>) -> Tree {
        for dir in dirs.values_mut() {
            dir.now = dir.durable.clone();
        }
        Tree { dirs, journal: Vec::new() }
    }

    pub(super) fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        match self.node(path) {
            Ok(Node::File(_)) => Ok(Some(EntryKind::File)),
            Ok(Node::Dir(_)) => Ok(Some(EntryKind::Directory)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn kind_of_parent(&self, path: &Path) -> Result<()> {
        self.slot(path).map(|_| ())
    }

    pub(super) fn file(&self, path: &Path) -> Result<Arc<Inode>> {
        match self.node(path)? {
            Node::File(inode) => Ok(inode),
            Node::Dir(_) => Err(Error::IsDirectory { path: path.to_path_buf() }),
        }
    }

    pub(super) fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        Ok(self.dirs[&self.dir(path)?].now.keys().cloned().collect())
    }

    pub(super) fn create_file(
        &mut self,
        number: u64,
        path: &Path,
        inode: Arc<Inode>,
    ) -> Result<()> {
        let slot = self.slot(path)?;
        assert!(self.at(&slot).is_none(), "the caller looked");
        let op = UnsyncedOp::Create { path: path.to_path_buf() };
        self.change(number, op, vec![(slot, Some(Node::File(inode)))]);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, number: u64, path: &Path) -> Result<()> {
        if normal(path).as_os_str().is_empty() {
            return Err(Error::AlreadyExists { path: path.to_path_buf() });
        }
        let slot = self.slot(path)?;
        if self.at(&slot).is_some() {
            return Err(Error::AlreadyExists { path: path.to_path_buf() });
        }
        let (DirId(last), _) = self.dirs.last_key_value().expect("the root is never removed");
        let id = DirId(last + 1);
        self.dirs.insert(id, Dir::default());
        let op = UnsyncedOp::CreateDir { path: path.to_path_buf() };
        self.change(number, op, vec![(slot, Some(Node::Dir(id)))]);
        Ok(())
    }

    /// Returns the file that was replaced.
    pub(super) fn rename(
        &mut self,
        number: u64,
        from: &Path,
        to: &Path,
    ) -> Result<Option<Arc<Inode>>> {
        let moved = self.node(from)?;
        let (from_slot, to_slot) = (self.slot(from)?, self.slot(to)?);
        if from_slot == to_slot {
            return Ok(None);
        }
        if matches!(moved, Node::Dir(_)) && normal(to).starts_with(normal(from)) {
            let source = std::io::ErrorKind::InvalidInput.into();
            return Err(Error::Io { op: "rename", path: to.to_path_buf(), source });
        }
        let replaced = match (&moved, self.at(&to_slot)) {
            (_, None) => None,
            (Node::File(_), Some(Node::File(inode))) => Some(Arc::clone(inode)),
            (Node::File(_), Some(Node::Dir(_))) => {
                return Err(Error::IsDirectory { path: to.to_path_buf() });
            }
            (Node::Dir(_), Some(Node::File(_))) => {
                return Err(Error::NotADirectory { path: to.to_path_buf() });
            }
            (Node::Dir(_), Some(Node::Dir(id))) => {
                if !self.dirs[id].now.is_empty() {
                    return Err(Error::DirectoryNotEmpty { path: to.to_path_buf() });
                }
                None
            }
        };
        let op = UnsyncedOp::Rename { from: from.to_path_buf(), to: to.to_path_buf() };
        self.change(number, op, vec![(from_slot, None), (to_slot, Some(moved))]);
        Ok(replaced)
    }

    pub(super) fn remove_file(&mut self, number: u64, path: &Path) -> Result<Arc<Inode>> {
        let inode = self.file(path)?;
        let op = UnsyncedOp::Remove { path: path.to_path_buf() };
        self.change(number, op, vec![(self.slot(path)?, None)]);
        Ok(inode)
    }

    pub(super) fn remove_dir(&mut self, number: u64, path: &Path) -> Result<()> {
        let id = self.dir(path)?;
        if !self.dirs[&id].now.is_empty() {
            return Err(Error::DirectoryNotEmpty { path: path.to_path_buf() });
        }
        let op = UnsyncedOp::Remove { path: path.to_path_buf() };
        self.change(number, op, vec![(self.slot(path)?, None)]);
        Ok(())
    }

    /// Makes the entries of a directory durable. A rename into or out of it comes along as a whole,
    /// and so do earlier changes of the same slots elsewhere: the medium never goes back in time.
    pub(super) fn sync(&mut self, path: &Path) -> Result<()> {
        let dir = self.dir(path)?;
        let mut also: Vec<Slot> = Vec::new();
        let mut chosen = vec![false; self.journal.len()];
        for (change, chosen) in self.journal.iter().zip(&mut chosen).rev() {
            let here = !change.abandoned && change.slots.iter().any(|((d, _), _)| *d == dir);
            let needed = change.slots.iter().any(|(slot, _)| also.contains(slot));
            if here || needed {
                *chosen = true;
                also.extend(change.slots.iter().map(|(slot, _)| slot.clone()));
            }
        }
        let mut chosen = chosen.into_iter();
        for change in std::mem::take(&mut self.journal) {
            if chosen.next().expect("one for each") {
                make_durable(&mut self.dirs, change.slots);
            } else {
                self.journal.push(change);
            }
        }
        Ok(())
    }

    /// A sync of the directory has failed: no later one covers what it should have made durable.
    pub(super) fn abandon(&mut self, path: &Path) -> Result<()> {
        let dir = self.dir(path)?;
        for change in &mut self.journal {
            change.abandoned |= change.slots.iter().any(|((d, _), _)| *d == dir);
        }
        Ok(())
    }

    fn change(&mut self, number: u64, op: UnsyncedOp, slots: Vec<(Slot, Option<Node>)>) {
        for ((dir, name), node) in &slots {
            let entries = &mut self.dirs.get_mut(dir).expect("slots name known directories").now;
            match node {
                Some(node) => entries.insert(name.clone(), node.clone()),
                None => entries.remove(name),
            };
        }
        self.journal.push(EntryChange { number, abandoned: false, op, slots });
    }

    fn at(&self, (dir, name): &Slot) -> Option<&Node> {
        self.dirs[dir].now.get(name)
    }

    fn node(&self, path: &Path) -> Result<Node> {
        let mut node = Node::Dir(Tree::ROOT);
        for name in normal(path).iter() {
            let Node::Dir(dir) = node else {
                return Err(Error::NotADirectory { path: path.to_path_buf() });
            };
            node = self
                .at_name(dir, name)
                .ok_or_else(|| Error::NotFound { path: path.to_path_buf() })?;
        }
        Ok(node)
    }

    fn at_name(&self, dir: DirId, name: &OsStr) -> Option<Node> {
        self.dirs[&dir].now.get(name).cloned()
    }

    fn dir(&self, path: &Path) -> Result<DirId> {
        match self.node(path)? {
            Node::Dir(id) => Ok(id),
            Node::File(_) => Err(Error::NotADirectory { path: path.to_path_buf() }),
        }
    }

    /// Where the entry for `path` is or would be.
    fn slot(&self, path: &Path) -> Result<Slot> {
        let at = normal(path);
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(Error::IsDirectory { path: path.to_path_buf() });
        };
        let dir = self.dir(parent).map_err(|e| match e {
            Error::NotFound { .. } => Error::NotFound { path: path.to_path_buf() },
            _ => Error::NotADirectory { path: path.to_path_buf() },
        })?;
        Ok((dir, name.to_os_string()))
    }
}

/// Applies a change to what is durable. A file or directory has one name at most: one that appears
/// somewhere leaves where it was, even if the change that took it away was lost.
pub(super) fn make_durable(dirs: &mut BTreeMap<DirId, Dir>, slots: Vec<(Slot, Option<Node>)>) {
    for ((dir, name), node) in slots {
        if let Some(node) = &node {
            for other in dirs.values_mut() {
                other.durable.retain(|_, there| !there.is(node));
            }
        }
        let entries = &mut dirs.get_mut(&dir).expect("slots name known directories").durable;
        match node {
            Some(node) => entries.insert(name, node),
            None => entries.remove(&name),
        };
    }
}
