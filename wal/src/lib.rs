//! The write-ahead log of LLMDB: frames, segments, the durable point, replay.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use llmdb_vfs::MemVfs;
//! use llmdb_wal::{Log, LogConfig, Lsn, Recovery, ReplayError};
//!
//! # fn main() -> Result<(), ReplayError<std::convert::Infallible>> {
//! let disk = MemVfs::new();
//! let (dir, config) = (Path::new("/notes-wal"), LogConfig::new([7; 16]));
//! let log = Log::create(Arc::new(disk.clone()), dir, config, 1, Lsn::ZERO)?;
//! for (seq, words) in [(1, "we agreed on blue"), (2, "no, green")] {
//!     log.reserve(words.len())?;
//!     let end = log.append(seq, &[words.as_bytes()])?;
//!     log.sync(end)?; // acknowledged from here on
//! }
//!
//! let disk = disk.crash_losing_all();
//! let mut recovery = Recovery::open(Arc::new(disk), dir, config, 1, Lsn::ZERO)?;
//! let mut words = Vec::new();
//! let outcome = recovery.replay(|commit| Ok(words.push(commit.payload.to_vec())))?;
//! assert_eq!(words, [&b"we agreed on blue"[..], b"no, green"]);
//! assert_eq!(outcome.last_seq, Some(2));
//! let log = recovery.resume(2)?; // record incarnation 2, then append
//! assert_eq!(log.end(), outcome.end);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! * `lsn`: [`Lsn`], a position in the log; `config`: [`LogConfig`]; `error`: [`Error`].
//! * `frame`: the bytes of a frame, and how a payload is split into frames.
//! * `segment`: the bytes and the name of a segment file.
//! * `store`: the files of the log's directory and how they come, are used again and go.
//! * `log`: [`Log`]; `log/tail`: appending in memory; `log/appending`: commits larger than that;
//!   `log/writer`: writing, syncing, recycling.
//! * `recovery`: [`Recovery`]; `recovery/chain`: which files make up the log; `recovery/scan`: its
//!   frames, and where they end; `recovery/window`: reading by large reads.
//!
//! # Invariants
//!
//! * **I1** What has the name of a segment has a durable header, durable metadata and was written
//!   in full before: syncing frames is syncing data.
//! * **I2** Segments follow one another without a gap: each begins at the position where the last
//!   frame of the one before ends. A frame lies in one segment.
//! * **I3** A frame is valid only at its own position, in its own incarnation of its own database.
//!   So whatever a recycled file held before is never taken for a part of the log.
//! * **I4** A frame's durable LSN was durable when the frame was made. So a log that cannot be read
//!   at a position that a later frame calls durable was damaged, and is refused, not cut.
//! * **I5** A failed write or sync ends the log's life ([`Error::Poisoned`]); it is never repeated.
//! * **I6** Recovery changes nothing that the recorded incarnation needs. Until a later one is
//!   recorded, each attempt begins with the same log.
//! * **I7** Along the log incarnations rise; where two segments compete for a position the later
//!   incarnation has it.
//!
//! # Not here
//!
//! What commits mean: payloads are bytes. When to sync, to check-point and what to do after a crash:
//! that is for the transaction layer. No thread of its own. Damage to the very last acknowledged
//! group, with nothing after it, looks like a torn end: nothing in the log can tell.

#![forbid(unsafe_code)]

mod config;
mod error;
mod frame;
mod log;
mod lsn;
mod recovery;
mod segment;
mod store;

pub use config::LogConfig;
pub use error::{Error, ReplayError, Result};
pub use log::{Appending, Log, LogStats, Spares};
pub use lsn::Lsn;
pub use recovery::{Commit, LargeCommit, Outcome, Recovery, Replayed, Torn};
