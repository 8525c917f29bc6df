//! A read transaction, one's own or somebody else's.

use crate::ReadTx;
use std::fmt;

/// What a view or a scan reads from: questions put to the database itself bring their own
/// snapshot.
pub(crate) enum Held<'r> {
    Owned(Box<ReadTx<'r>>),
    Borrowed(&'r ReadTx<'r>),
}

impl<'r> Held<'r> {
    pub(crate) fn read(&self) -> &ReadTx<'r> {
        match self {
            Held::Owned(read) => read,
            Held::Borrowed(read) => read,
        }
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
