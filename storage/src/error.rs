//! What can go wrong in the file.

use crate::PageId;
use std::path::PathBuf;

/// What can go wrong in the file.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A page's bytes are not those that were written.
    #[error("{page:?}: checksum {found:08x} where {expected:08x} was expected")]
    ChecksumMismatch {
        /// The damaged page.
        page: PageId,
        /// The checksum of the bytes found.
        expected: u32,
        /// The checksum that the page carries.
        found: u32,
    },
    /// A page passes its checksum but says what cannot be.
    #[error("{page:?}: {what}")]
    CorruptPage {
        /// The page that contradicts itself or its parent.
        page: PageId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file is not a database, or no meta slot of it can be read.
    #[error("{path}: {what}")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        what: &'static str,
    },
    /// The file was written by another format version.
    #[error("{path}: format version {found}; this build reads version {supported}")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The one version that this build reads.
        supported: u32,
    },
    /// The file is shorter than its meta page says.
    #[error("{path}: {found} bytes long where {expected} were expected; the file was cut")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that the meta page records.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// A log record whose writes do not fit its length.
    #[error("a batch of writes is cut or mangled at byte {offset}")]
    BadBatch {
        /// Where the first bad write starts.
        offset: usize,
    },
    /// A key of no bytes.
    #[error("the key is empty")]
    EmptyKey,
    /// A key longer than a quarter of a page.
    #[error("the key has {len} bytes where {max} are the limit")]
    KeyTooLong {
        /// Its length.
        len: usize,
        /// The limit at this page size.
        max: usize,
    },
    /// A value of 2 GiB or more.
    #[error("the value has {len} bytes where {max} are the limit")]
    ValueTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A tree that is not in the catalog.
    #[error("there is no {tree:?}")]
    NoSuchTree {
        /// The number asked for.
        tree: crate::TreeId,
    },
    /// So many trees were made that none gets a number: those of dropped trees are not given again.
    #[error("all {} numbers of trees were given", u32::MAX - 1)]
    TooManyTrees,
    /// A setting out of range.
    #[error("{what}")]
    BadOption {
        /// Which, and what is allowed.
        what: &'static str,
    },
    /// The file cannot grow further within the reserved address space.
    #[error("the file is at its limit of {pages} pages")]
    Full {
        /// The limit.
        pages: u64,
    },
    /// All frames are in use: a checkpoint must make room first.
    #[error("the page cache is full; a checkpoint must make room first")]
    CacheFull,
    /// Readers hold every page of the page cache: fewer cursors and values at a time, or a larger
    /// cache.
    #[error("all {pages} pages of the page cache are held by cursors and values")]
    PagesHeld {
        /// How many pages it has room for.
        pages: usize,
    },
    /// The state that is read was given up: it was superseded too long ago, or what it held was
    /// needed. For views that end before they are dropped; those of this crate do not.
    #[error("the snapshot is too old: begin a new one")]
    SnapshotTooOld,
    /// The file is compressed by an algorithm that this build was made without.
    #[error("this build was made without the feature {name:?}, which the file needs")]
    NoCodec {
        /// The feature.
        name: &'static str,
    },
    /// An earlier failure left it unknown what is on disk; only reading goes on.
    #[error("writing stopped for good after: {cause}")]
    Poisoned {
        /// The first failure.
        cause: std::sync::Arc<str>,
    },
    /// Something is where a file is to be made.
    #[error("{} exists already; nothing is overwritten", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file is no backup, or a damaged one.
    #[error("{}: {what}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        what: &'static str,
    },
    /// A backup that does not fit what it is used with.
    #[error("{}: {what}", path.display())]
    WrongBase {
        /// The backup.
        path: PathBuf,
        /// Why it does not fit.
        what: &'static str,
    },
    /// A copy was made, and is not in order: what was copied is damaged. The copy is gone again.
    #[error("{page:?} of the copy: {what}")]
    BadCopy {
        /// The first page that is not in order.
        page: PageId,
        /// What is wrong with it.
        what: String,
    },
    /// The file system refused.
    #[error(transparent)]
    Vfs(#[from] llmdb_vfs::Error),
}

impl Error {
    pub(crate) fn corrupt(page: PageId, what: &'static str) -> Self {
        Error::CorruptPage { page, what }
    }

    /// Whether the bytes of the database are damaged, as against the call being wrong.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Error::ChecksumMismatch { .. }
                | Error::CorruptPage { .. }
                | Error::Truncated { .. }
                | Error::BadBatch { .. }
                | Error::NotADatabase { .. }
        )
    }
}
