//! What can go wrong in the file.

use std::io;

/// What can go wrong in the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A log record whose writes do not fit its length.
    #[error("a batch of writes is cut or mangled at byte {offset}")]
    BadBatch {
        /// Where the first bad write starts.
        offset: usize,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}
