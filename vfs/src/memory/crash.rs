//! What a power failure leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::MemVfs;
use super::content::{Change, Content, Inode, State, What, undo};
use super::tree::{Dir, DirId, EntryChange, Node, Tree, make_durable};
use crate::map::Bytes;

/// A change that no sync has covered yet and that a crash may lose.
///
/// Writes are offered sector by sector, everything else as a whole. Paths are those that the
/// change was made through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsyncedOp {
    /// Bytes within one sector were written; the file grew to hold them.
    Write {
        /// The file.
        path: PathBuf,
        /// Where the bytes begin.
        offset: u64,
        /// How many there are.
        len: u64,
    },
    /// The length of a file was set.
    SetLen {
        /// The file.
        path: PathBuf,
        /// Its new length.
        len: u64,
    },
    /// A file grew by allocation.
    Allocate {
        /// The file.
        path: PathBuf,
        /// Where the allocated range begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
    /// A file was created.
    Create {
        /// Its path.
        path: PathBuf,
    },
    /// A directory was created.
    CreateDir {
        /// Its path.
        path: PathBuf,
    },
    /// A file or directory was renamed.
    Rename {
        /// The old path.
        from: PathBuf,
        /// The new path.
        to: PathBuf,
    },
    /// A file or directory was removed.
    Remove {
        /// Its path.
        path: PathBuf,
    },
}

/// What becomes of a change, or of the part of it that lies in one sector, in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never reached the medium.
    Lost,
    /// It did.
    Kept,
    /// Of bytes that were written, so many did: a device that tears within its sectors. Anything
    /// else survives as a whole.
    Cut(u64),
}

impl MemVfs {
    /// The file system after a power failure at this moment: everything that is durable, and of
    /// the changes that are not those for which `survivors` says true. It is asked about one after
    /// the other in the order in which they were made, and the surviving ones are applied in that
    /// order. Locks, faults and the limit on free space are gone.
    ///
    /// A change that a *failed* sync should have covered is offered too: it may have reached the
    /// medium.
    ///
    /// This file system goes on unharmed, and so do the files that are open in it. To run on after
    /// the failure, open everything again in the returned one.
    pub fn crash(&self, survivors: &mut dyn FnMut(&UnsyncedOp) -> bool) -> MemVfs {
        self.crash_by(&mut |_, op| if survivors(op) { Fate::Kept } else { Fate::Lost })
    }

    /// As [`crash`](MemVfs::crash), for those who planned it: `fate` is told which of
    /// [`unsynced`](MemVfs::unsynced) it is asked about, and may cut bytes off.
    pub fn crash_by(&self, fate: &mut dyn FnMut(usize, &UnsyncedOp) -> Fate) -> MemVfs {
        let world = &self.world;
        let _alone = world.gate.write();
        let tree = world.tree.lock();
        let mut files = Twins::of(&tree);
        let mut dirs = tree.dirs.clone();
        let mut place = 0;
        for change in in_order(&tree, &files) {
            let mut here = |op: &UnsyncedOp| fate(place, op);
            let offered = match change {
                Unsynced::Entry(change) => {
                    if here(&change.op) != Fate::Lost {
                        make_durable(&mut dirs, change.slots.clone());
                    }
                    true
                }
                Unsynced::Content { file, change } => {
                    files.redo(file, change, world.options.sector_bytes, &mut here)
                }
            };
            place += usize::from(offered);
        }
        MemVfs::from_tree(world.options, Tree::settled(files.into_tree(dirs)))
    }

    /// All that a power failure at this moment may lose, in the order in which it was done; each
    /// write as a whole.
    pub fn unsynced(&self) -> Vec<UnsyncedOp> {
        let world = &self.world;
        let _alone = world.gate.write();
        let tree = world.tree.lock();
        let mut all: Vec<(u64, UnsyncedOp)> =
            tree.journal.iter().map(|change| (change.number, change.op.clone())).collect();
        for inode in files_of(&tree) {
            let content = inode.content.read();
            let lost = content.journal.iter().filter(|change| change.state != State::Durable);
            all.extend(lost.map(|change| (change.number, op_of(change))));
        }
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, op)| op).collect()
    }

    /// The file system after a power failure that loses whatever was not synced.
    pub fn crash_losing_all(&self) -> MemVfs {
        self.crash(&mut |_| false)
    }
}

enum Unsynced {
    Entry(EntryChange),
    Content { file: usize, change: usize },
}

/// Every unsynced change, oldest first.
fn in_order(tree: &Tree, files: &Twins) -> Vec<Unsynced> {
    let mut all: Vec<(u64, Unsynced)> = Vec::new();
    for change in &tree.journal {
        all.push((change.number, Unsynced::Entry(change.clone())));
    }
    for (file, twin) in files.twins.iter().enumerate() {
        for (change, redo) in twin.redo.iter().enumerate() {
            all.push((redo.number, Unsynced::Content { file, change }));
        }
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, change)| change).collect()
}

/// The files of the new file system while they are made.
struct Twins {
    twins: Vec<Twin>,
    by_address: BTreeMap<usize, usize>,
}

struct Twin {
    bytes: Bytes,
    redo: Vec<Redo>,
}

/// An unsynced change, with what it takes to do it again.
struct Redo {
    number: u64,
    state: State,
    path: PathBuf,
    what: RedoWhat,
}

enum RedoWhat {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen { len: usize },
    Allocate { offset: usize, len: usize },
}

impl Twins {
    /// Twins of all files that count, in their durable state.
    fn of(tree: &Tree) -> Twins {
        let mut twins = Twins { twins: Vec::new(), by_address: BTreeMap::new() };
        for inode in files_of(tree) {
            twins.by_address.insert(address(inode), twins.twins.len());
            twins.twins.push(Twin::durable_of(&inode.content.read()));
        }
        twins
    }

    /// Does a change again as far as it survives; whether that was a question.
    fn redo(
        &mut self,
        file: usize,
        change: usize,
        sector: usize,
        fate: &mut dyn FnMut(&UnsyncedOp) -> Fate,
    ) -> bool {
        let Twin { bytes, redo } = &mut self.twins[file];
        let redo = &redo[change];
        let mut fate = |op: UnsyncedOp| match redo.state {
            State::Durable => Fate::Kept,
            State::Pending | State::Abandoned => fate(&op),
        };
        let path = redo.path.clone();
        match &redo.what {
            RedoWhat::Write { offset, bytes: written } => {
                let mut at = *offset;
                let end = offset + written.len();
                while at < end {
                    let piece_end = end.min((at / sector + 1) * sector);
                    let (piece, len) = (at as u64, (piece_end - at) as u64);
                    let written = &written[at - offset..piece_end - offset];
                    match fate(UnsyncedOp::Write { path: path.clone(), offset: piece, len }) {
                        Fate::Lost => {}
                        Fate::Kept => bytes.write(written, at),
                        Fate::Cut(kept) => bytes.write(&written[..kept.min(len) as usize], at),
                    }
                    at = piece_end;
                }
            }
            RedoWhat::SetLen { len } => {
                if fate(UnsyncedOp::SetLen { path, len: *len as u64 }) != Fate::Lost {
                    bytes.set_len(*len);
                }
            }
            RedoWhat::Allocate { offset, len } => {
                let op = UnsyncedOp::Allocate { path, offset: *offset as u64, len: *len as u64 };
                if fate(op) != Fate::Lost {
                    bytes.set_len(bytes.len().max(offset + len));
                }
            }
        }
        redo.state != State::Durable
    }

    /// Puts the twins in place of the files in what is durable.
    fn into_tree(self, mut dirs: BTreeMap<DirId, Dir>) -> BTreeMap<DirId, Dir> {
        let files: Vec<Arc<Inode>> =
            self.twins.into_iter().map(|twin| Inode::durable(twin.bytes)).collect();
        for dir in dirs.values_mut() {
            for node in dir.durable.values_mut() {
                if let Node::File(inode) = node {
                    *inode = Arc::clone(&files[self.by_address[&address(inode)]]);
                }
            }
        }
        dirs
    }
}

/// All files that have a name or may get one back.
fn files_of(tree: &Tree) -> Vec<&Arc<Inode>> {
    let mut seen = BTreeSet::new();
    let entries = tree.dirs.values().flat_map(|dir| dir.durable.values());
    let changed = tree.journal.iter().flat_map(|change| change.slots.iter());
    let nodes = entries.chain(changed.filter_map(|(_, node)| node.as_ref()));
    nodes
        .filter_map(|node| match node {
            Node::File(inode) => seen.insert(address(inode)).then_some(inode),
            Node::Dir(_) => None,
        })
        .collect()
}

/// A change of contents as it is offered, as a whole.
fn op_of(change: &Change) -> UnsyncedOp {
    let path = change.path.to_path_buf();
    match change.what {
        What::Write { offset, len, .. } => {
            UnsyncedOp::Write { path, offset: offset as u64, len: len as u64 }
        }
        What::SetLen { len, .. } => UnsyncedOp::SetLen { path, len: len as u64 },
        What::Allocate { offset, len } => {
            UnsyncedOp::Allocate { path, offset: offset as u64, len: len as u64 }
        }
    }
}

impl Twin {
    /// Undoes the journal on a copy, keeping what it takes to do it again.
    fn durable_of(content: &Content) -> Twin {
        let mut bytes =
            content.bytes.duplicate().expect("address space for the files after the crash");
        let mut redo: Vec<Redo> =
            content.journal.iter().rev().map(|change| take_back(&mut bytes, change)).collect();
        redo.reverse();
        Twin { bytes, redo }
    }
}

/// Takes a change back, keeping what it takes to do it again.
fn take_back(bytes: &mut Bytes, change: &Change) -> Redo {
    let what = match change.what {
        What::Write { offset, len, .. } => {
            let mut written = vec![0; len];
            let n = bytes.read(&mut written, offset);
            assert_eq!(n, len, "a journalled write is undone in reverse order");
            RedoWhat::Write { offset, bytes: written }
        }
        What::SetLen { len, .. } => RedoWhat::SetLen { len },
        What::Allocate { offset, len } => RedoWhat::Allocate { offset, len },
    };
    undo(bytes, change);
    let (number, state, path) = (change.number, change.state, change.path.to_path_buf());
    Redo { number, state, path, what }
}

fn address(inode: &Arc<Inode>) -> usize {
    Arc::as_ptr(inode).addr()
}
