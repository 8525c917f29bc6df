//! Test support of LLMDB: what the engine should have answered, worked out the slow way.
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
//! Modules: [`rectangles`], the temporal oracle; [`retention`], which of its answers are kept.
//!
//! # Invariants
//! - I1: an oracle shares no code with what it judges; it trades all speed for being obvious.
//!
//! # Not here
//! Nothing that ships: no crate of the engine depends on this one outside its tests.
#![forbid(unsafe_code)]

pub mod rectangles;
pub mod retention;
