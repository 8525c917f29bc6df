//! Where pages that are in the file are read from.

/// Where pages that are in the file are read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum PageSource {
    /// A read-only map of the file: pages are read where the operating system keeps them, and it
    /// decides which stay in memory. The fastest, and the default. A read that fails in the medium,
    /// or another program that cuts the file, ends the process.
    #[default]
    Mmap,
    /// Reads into a page cache of bounded size. The file is never mapped: a failed read is an
    /// error, memory is kept to what was given, and files may be larger than address space or lie
    /// where maps are unsafe.
    Buffered,
}
