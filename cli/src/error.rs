//! What can go wrong at the command line.

use crate::exec::fields::BadRequest;
use llmdb::ErrorClass;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// What can go wrong at the command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or failed.
    #[error(transparent)]
    Db(llmdb::Error),
    /// A request that is none.
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    /// A command that there is not.
    #[error("there is no command `{name}`")]
    NoCommand {
        /// What was asked for.
        name: String,
    },
    /// A line of input beyond the limit.
    #[error("the line is longer than {bytes_max} bytes")]
    LineTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// An operation that this version does not have.
    #[error("`{op}` is not supported by this version")]
    Unsupported {
        /// The operation.
        op: &'static str,
    },
    /// A transaction of that name is open already.
    #[error("transaction{} is open already", named(name))]
    TransactionOpen {
        /// Its name.
        name: String,
    },
    /// No transaction of that name is open.
    #[error("no transaction{} is open", named(name))]
    NoTransaction {
        /// The name.
        name: String,
    },
    /// A value of that name is on its way already, or its transaction ends without it.
    #[error("stream `{name}` is open: end it or abort it")]
    StreamOpen {
        /// Its name.
        name: String,
    },
    /// No value of that name is on its way.
    #[error("no stream{} is open", named(name))]
    NoStream {
        /// The name.
        name: String,
    },
    /// More values on their way than there may be.
    #[error("{streams_max} streams are open, and no more may be")]
    TooManyStreams {
        /// The limit.
        streams_max: usize,
    },
    /// Reading from a partition whose name was never used.
    #[error("there is no partition `{name}`")]
    NoPartition {
        /// The name.
        name: String,
    },
    /// A line of an import.
    #[error(
        "line {line}: {cause}; {imported} lines are imported, those before it in its batch not"
    )]
    BadLine {
        /// Its number, from 1.
        line: u64,
        /// How many lines are imported.
        imported: u64,
        /// What is wrong.
        cause: Box<Error>,
    },
    /// Checking found damage.
    #[error("{count} problems found")]
    Problems {
        /// How many.
        count: usize,
    },
    /// A file or stream could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file or stream could not be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file has pages of another size than it was asked for.
    #[error("{} has pages of {found} bytes, not {wanted}: leave --page-size out", path.display())]
    PageSize {
        /// Which.
        path: PathBuf,
        /// What it has.
        found: u64,
        /// What was asked for.
        wanted: usize,
    },
    /// Handlers of signals could not be installed.
    #[error("cannot handle signals: {cause}")]
    Signals {
        /// Why.
        cause: io::Error,
    },
    /// The program `git` does not run.
    #[error("cannot run git: {cause}")]
    GitMissing {
        /// Why.
        cause: io::Error,
    },
    /// The program `git` failed.
    #[error("git failed ({status}): {stderr}")]
    GitFailed {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The program `git` answered what was not asked for.
    #[error("git's log is not as expected at {what}")]
    GitLog {
        /// Where.
        what: &'static str,
    },
    /// The repository no longer has the commit up to which it was imported.
    #[error("commit {commit}, imported earlier, is gone: import again into another partition")]
    GitRewritten {
        /// The commit.
        commit: String,
    },
    /// A record of how far an import came that this version cannot read.
    #[error("the record of how far the import came cannot be read: {key}")]
    BadProgress {
        /// Its key.
        key: String,
    },
    /// A signal stopped the command.
    #[error("stopped by a signal; what was reported done is kept")]
    Interrupted {
        /// Its number.
        signal: i32,
    },
}

/// What commands return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the number of a signal is added to: 130 for SIGINT, 143 for SIGTERM, as shells do.
const EXIT_SIGNAL: u8 = 128;

impl From<llmdb::Error> for Error {
    /// Of a file in a directory that is missing it is the directory that is named.
    fn from(error: llmdb::Error) -> Self {
        match error {
            llmdb::Error::NotFound { path } => match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() && !dir.exists() => {
                    Self::Db(llmdb::Error::NotFound { path: dir.to_owned() })
                }
                _ => Self::Db(llmdb::Error::NotFound { path }),
            },
            error => Self::Db(error),
        }
    }
}

/// A name, where there is one, as it follows what is named.
fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" `{name}`") }
}

impl Error {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::BadRequest(error) => error.code(),
            Self::BadLine { cause, .. } => cause.code(),
            Self::NoCommand { .. } => "bad_request",
            Self::LineTooLong { .. } => "line_too_long",
            Self::Unsupported { .. } => "unsupported",
            Self::TransactionOpen { .. } => "transaction_open",
            Self::NoTransaction { .. } => "no_transaction",
            Self::StreamOpen { .. } => "stream_open",
            Self::NoStream { .. } => "no_stream",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::NoPartition { .. } => "no_partition",
            Self::Problems { .. } | Self::BadProgress { .. } => "corrupt",
            Self::GitRewritten { .. } => "git_rewritten",
            Self::GitMissing { .. } | Self::GitFailed { .. } | Self::GitLog { .. } => "git",
            Self::Read { .. } | Self::Write { .. } | Self::Signals { .. } => "io",
            Self::Interrupted { .. } => "interrupted",
            Self::PageSize { .. } => "bad_option",
        }
    }

    /// What kind of thing can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Db(error) => error.class(),
            Self::BadLine { cause, .. } => cause.class(),
            Self::BadRequest(_)
            | Self::NoCommand { .. }
            | Self::LineTooLong { .. }
            | Self::Unsupported { .. }
            | Self::TransactionOpen { .. }
            | Self::NoTransaction { .. }
            | Self::StreamOpen { .. }
            | Self::NoStream { .. }
            | Self::PageSize { .. }
            | Self::GitRewritten { .. } => ErrorClass::Validation,
            Self::TooManyStreams { .. } => ErrorClass::ResourceExhausted,
            Self::NoPartition { .. } => ErrorClass::NotFound,
            Self::Problems { .. } | Self::BadProgress { .. } => ErrorClass::Corrupt,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Signals { .. }
            | Self::GitMissing { .. }
            | Self::GitFailed { .. }
            | Self::GitLog { .. }
            | Self::Interrupted { .. } => ErrorClass::Io,
        }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { signal } => {
                EXIT_SIGNAL + u8::try_from(*signal).unwrap_or_default() % EXIT_SIGNAL
            }
            other => exit_code_of(other.class()),
        }
    }

    /// Whether git said why it failed.
    pub fn has_stderr(&self) -> bool {
        matches!(self, Self::GitFailed { stderr, .. } if !stderr.is_empty())
    }

    /// Whether standard output was closed by whoever read it: no reason to complain.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Write { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The exit code of each class of errors: part of the protocol, never reassigned.
pub fn exit_code_of(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Validation => 10,
        ErrorClass::Auth => 11,
        ErrorClass::NotFound => 12,
        ErrorClass::Conflict => 13,
        ErrorClass::Busy => 14,
        ErrorClass::ResourceExhausted => 15,
        ErrorClass::Wasm => 16,
        ErrorClass::Temporal => 17,
        ErrorClass::Corrupt => 18,
        ErrorClass::Version => 19,
        ErrorClass::ReadOnly => 20,
        ErrorClass::Poisoned => 21,
        // A class of a later version is no reason to fail to fail.
        ErrorClass::Io | _ => 22,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PROTOCOL: &str = include_str!("../../docs/protocol.md");

    /// The codes of this crate's own errors.
    const OWN: &[&str] = &[
        "bad_request",
        "line_too_long",
        "unsupported",
        "transaction_open",
        "no_transaction",
        "stream_open",
        "no_stream",
        "too_many_streams",
        "no_partition",
        "git",
        "git_rewritten",
        "interrupted",
    ];

    #[test]
    fn the_contract_lists_every_code_with_its_class() {
        let line_of = |exit: u8| {
            let cell = format!("| {exit} |");
            PROTOCOL.lines().find(|line| line.contains(&cell)).unwrap_or_default()
        };
        for &(code, class) in llmdb::Error::CODES {
            let line = line_of(exit_code_of(class));
            assert!(line.contains(&format!("`{code}`")), "{code}: {line}");
        }
        for code in OWN {
            assert!(PROTOCOL.contains(&format!("`{code}`")), "{code}");
        }
    }

    #[test]
    fn each_class_has_an_exit_code_of_its_own() {
        let codes: BTreeSet<u8> = ErrorClass::ALL.into_iter().map(exit_code_of).collect();
        assert_eq!(codes.len(), ErrorClass::ALL.len());
        assert!(codes.iter().all(|&code| code < EXIT_SIGNAL));
        // 1 is an answer that is nothing, 2 a command line that cannot be parsed.
        assert!(codes.iter().all(|&code| code >= 10));
    }
}
