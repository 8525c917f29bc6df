//! What can go wrong at the door to the operating system, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// What operations on files and directories return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed operation on a file, a directory or a lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is at this path, or a directory on the way to it is missing. Create it.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Something is at this path already. Open it, or choose another name.
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// The path that was to be created.
        path: PathBuf,
    },
    /// A file was wanted and a directory is there.
    #[error("{} is a directory", path.display())]
    IsDirectory {
        /// The path of the directory.
        path: PathBuf,
    },
    /// A directory was wanted, at the path or on the way to it, and something else is there.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Neither a regular file nor a directory: a socket, a pipe, a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path of the odd entry.
        path: PathBuf,
    },
    /// Only an empty directory can be removed or replaced.
    #[error("the directory {} is not empty", path.display())]
    DirectoryNotEmpty {
        /// The path of the directory.
        path: PathBuf,
    },
    /// The rights of the process do not reach this far.
    #[error("permission denied: {}", path.display())]
    PermissionDenied {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file was opened for reading, or its file system is mounted read-only.
    #[error("{} is read-only", path.display())]
    ReadOnly {
        /// The path that was to be changed.
        path: PathBuf,
    },
    /// The device, the quota or the reserved region is full. Free some space and try again: what
    /// failed may have been done in part.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The path that was to grow.
        path: PathBuf,
    },
    /// Somebody else holds the lock.
    #[error("{} is locked{}", path.display(), match pid {
        Some(pid) => format!(" by process {pid}"),
        None => String::new(),
    })]
    Locked {
        /// The path of the lock file.
        path: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },
    /// The file ends before the bytes that were asked for.
    #[error("{} is too short: {wanted} bytes wanted at offset {offset}, {got} are there", path.display())]
    ShortRead {
        /// The path of the file.
        path: PathBuf,
        /// Where the read began, in bytes.
        offset: u64,
        /// How many bytes were asked for.
        wanted: usize,
        /// How many bytes the file has from there.
        got: usize,
    },
    /// This platform or file system cannot do it at all.
    #[error("{op} of {} is not supported here", path.display())]
    Unsupported {
        /// The operation.
        op: &'static str,
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Anything else that the operating system reports. After a failed *sync* nothing may be
    /// assumed about what is durable, and repeating the sync proves nothing.
    #[error("{op} of {} failed: {source}", path.display())]
    Io {
        /// The operation.
        op: &'static str,
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// Sorts an error of the operating system into the variant that fits it.
    pub fn from_io(op: &'static str, path: &Path, source: io::Error) -> Error {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { path },
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path },
            io::ErrorKind::IsADirectory => Error::IsDirectory { path },
            io::ErrorKind::NotADirectory => Error::NotADirectory { path },
            io::ErrorKind::DirectoryNotEmpty => Error::DirectoryNotEmpty { path },
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { path },
            io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace { path },
            io::ErrorKind::Unsupported => Error::Unsupported { op, path },
            _ => Error::Io { op, path, source },
        }
    }

    /// An offset or a length that no file can have.
    pub(crate) fn out_of_range(op: &'static str, path: &Path) -> Error {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "beyond the largest file offset");
        Error::Io { op, path: path.to_path_buf(), source }
    }

    /// The path that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Error::NotFound { path }
            | Error::AlreadyExists { path }
            | Error::IsDirectory { path }
            | Error::NotADirectory { path }
            | Error::NotAFile { path }
            | Error::DirectoryNotEmpty { path }
            | Error::PermissionDenied { path }
            | Error::ReadOnly { path }
            | Error::NoSpace { path }
            | Error::Locked { path, .. }
            | Error::ShortRead { path, .. }
            | Error::Unsupported { path, .. }
            | Error::Io { path, .. } => path,
        }
    }
}

/// The same error once more: for another who waited for the same call, or who asks again.
impl Clone for Error {
    fn clone(&self) -> Error {
        let path = self.path().to_path_buf();
        match self {
            Error::NotFound { .. } => Error::NotFound { path },
            Error::AlreadyExists { .. } => Error::AlreadyExists { path },
            Error::IsDirectory { .. } => Error::IsDirectory { path },
            Error::NotADirectory { .. } => Error::NotADirectory { path },
            Error::NotAFile { .. } => Error::NotAFile { path },
            Error::DirectoryNotEmpty { .. } => Error::DirectoryNotEmpty { path },
            Error::PermissionDenied { .. } => Error::PermissionDenied { path },
            Error::ReadOnly { .. } => Error::ReadOnly { path },
            Error::NoSpace { .. } => Error::NoSpace { path },
            Error::Locked { pid, .. } => Error::Locked { path, pid: *pid },
            Error::ShortRead { offset, wanted, got, .. } => {
                Error::ShortRead { path, offset: *offset, wanted: *wanted, got: *got }
            }
            Error::Unsupported { op, .. } => Error::Unsupported { op, path },
            Error::Io { op, source, .. } => {
                let source = match source.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(source.kind(), source.to_string()),
                };
                Error::Io { op, path, source }
            }
        }
    }
}
