//! Newtypes for numbers that must not mix.

use std::fmt;

/// A named tree of the catalog. Numbers are given once and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub u32);

/// A page of the file: its offset in units of the page size. Page 0 holds the first meta slot, so
/// 0 never names a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// One state of all trees. Each group of commits that is applied together, and each maintenance
/// step that changes where pages live, makes the next version. Pages are stamped with the version
/// that they were born in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    pub fn next(self) -> Self {
        Version(self.0.checked_add(1).expect("2^64 versions are never reached"))
    }
}

/// What a parent knows of a child: where it is, and the stamp of that allocation, which the
/// child's header repeats. A page that was written for an earlier allocation does not match.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRef {
    /// Where the page is; 0 for "no page" (an empty tree).
    pub id: PageId,
    /// The stamp of the allocation.
    pub stamp: u32,
}

impl PageRef {
    /// The root of an empty tree.
    pub const NONE: PageRef = PageRef { id: PageId(0), stamp: 0 };

    /// Whether this names no page.
    pub fn is_none(self) -> bool {
        self.id.0 == 0
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree {}", self.0)
    }
}

impl fmt::Debug for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.0)
    }
}

impl fmt::Debug for PageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{:08x}", self.id, self.stamp)
    }
}
