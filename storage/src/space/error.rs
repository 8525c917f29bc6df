//! What can go wrong in free space.

use crate::ids::PageId;

/// An allocation that does not fit, or stored bitmaps that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// The file may not grow to hold the allocation. Nothing was allocated; free something, or
    /// raise the limit, and try again.
    #[error("no room for {pages} pages: {page_count} of at most {page_count_max} pages exist")]
    Full {
        /// Pages asked for.
        pages: u64,
        /// Pages the file has.
        page_count: u64,
        /// Pages the file may have.
        page_count_max: u64,
    },
    /// A stored region has the wrong size.
    #[error("bitmap region {region} has {found} bytes where {expected} were expected")]
    RegionSize {
        /// The region, counted from the start of the file.
        region: u64,
        /// Bytes a region has.
        expected: usize,
        /// Bytes that were there.
        found: usize,
    },
    /// A stored bitmap marks a page past the end of the file.
    #[error("the bitmap marks {page:?} in a file of {page_count} pages")]
    BeyondEnd {
        /// The last page marked.
        page: PageId,
        /// Pages the file has.
        page_count: u64,
    },
}
