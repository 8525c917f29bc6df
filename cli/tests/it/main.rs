//! The `llmdb` command as a user runs it: a process, its streams and its exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod crash;
mod damaged;
#[cfg(unix)]
mod ending;
mod erase;
mod errors;
mod examples;
mod git;
mod ndjson;
mod pages;
mod prompt;
mod protocol;
#[cfg(unix)]
mod resume;
mod retention;
mod shell;
#[cfg(unix)]
mod signals;
mod streams;
#[cfg(unix)]
mod terminal;
mod tour;
mod transactions;
mod upkeep;
mod watch;
