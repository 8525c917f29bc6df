//! What the storage layer promises, tried through its public interface.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench_like;
mod crafted;
mod density;
mod gaps;
mod harness;
mod long_keys;
mod model;
mod open;
mod regressions;
mod spill;
