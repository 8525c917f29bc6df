//! Test support of LLMDB: what the engine should have answered, worked out the slow way; and disks
//! that crash at every point at which they can.
//!
//! ```
//! use llmdb_sim::rectangles::{Op, Rectangles, When};
//!
//! let mut oracle = Rectangles::new();
//! oracle.apply(1, &[Op::put(0, b"k", b"A", When::From(10))]).unwrap();
//! oracle.apply(2, &[Op::put(0, b"k", b"B", When::From(20))]).unwrap();
//! let seen = oracle.answer(0, b"k", 25, 1).unwrap();
//! assert_eq!(seen.value.as_deref(), Some(&b"A"[..]));
//! ```
//!
//! # Modules, in reading order
//!
//! - [`rectangles`], the temporal oracle; [`retention`], which of its answers are kept.
//!
//! With the feature `engine`, which the command `llmdb-sim` needs and the engine's own tests leave
//! out:
//!
//! - [`trace`]: a workload's calls of the file system, recorded once and played again to any point;
//!   [`choice`]: what of the un-synced survives a crash there, and which choices are tried.
//! - [`world`]: what is driven and judged; [`trees`], plain trees; [`facts`], facts on both axes of
//!   time.
//! - [`explore`]: one workload, many points, many choices, each judged; [`enumerate`]: every
//!   workload; [`spec`]: one state, as text; [`minimise`]: the least that still fails.
//!
//! - [`failures`]: every call of a workload fails; [`lies`]: every one lies; [`refusals`]: every take of
//!   memory is refused; [`damage`]: every byte and page of a database is
//!   changed.
//! - [`kill`]: a real process, killed at random moments.
//! - [`planted`]: how good all these are: bugs on purpose, and who catches them.
//!
//! # Invariants
//! - I1: an oracle shares no code with what it judges; it trades all speed for being obvious.
//! - I2: what a crash leaves is decided by [`llmdb_vfs::MemVfs`] alone: a trace is played on one.
//!
//! # Not here
//! Nothing that ships: no crate of the engine depends on this one outside its tests.
#![forbid(unsafe_code)]

pub mod rectangles;
pub mod retention;

#[cfg(feature = "engine")]
pub mod choice;
#[cfg(feature = "engine")]
pub mod damage;
#[cfg(feature = "engine")]
pub mod enumerate;
#[cfg(feature = "engine")]
pub mod explore;
#[cfg(feature = "engine")]
pub mod facts;
#[cfg(feature = "engine")]
pub mod failures;
#[cfg(feature = "engine")]
mod image;
#[cfg(feature = "engine")]
pub mod kill;
#[cfg(feature = "engine")]
pub mod lies;
#[cfg(feature = "engine")]
pub mod minimise;
#[cfg(feature = "engine")]
pub mod planted;
#[cfg(feature = "engine")]
mod random;
#[cfg(feature = "engine")]
pub mod refusals;
#[cfg(feature = "engine")]
pub mod spec;
#[cfg(feature = "engine")]
pub mod trace;
#[cfg(feature = "engine")]
pub mod trees;
#[cfg(feature = "engine")]
pub mod world;
