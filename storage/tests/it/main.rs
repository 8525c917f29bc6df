//! What the storage layer promises, tried through its public interface.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench_like;
mod harness;
mod model;
mod open;
