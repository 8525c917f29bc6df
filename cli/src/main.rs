//! The `llmdb` command: a shell for people, a batch protocol for programs, imports, a tour.
//!
//! Modules, in reading order:
//! - `args`: the command line; `error`: what can go wrong, with exit codes;
//! - `exec`: the batch protocol: `lines` to `fields` to `request`, executed by `session`, then
//!   `answer`; `write`: what writes mean;
//! - `commands`: the same requests from the command line; `ttl`: lengths of time; `render`, `show`,
//!   `table`: answers for people and programs;
//! - `shell`: the same requests as lines that people type; `draw`: timelines in characters;
//! - `import`, `export`: facts in and out; `files`: values from and into files; `upkeep`: copies of
//!   databases, and back;
//! - `watch`: changes as they are committed; `tour`: the product shown on real history; `bench`:
//!   quick figures, in a `scratch` directory; `man`: the manual;
//! - `stop`, `input`: signals, and input that they end; `progress`: how far it is.
//!
//! # Invariants
//! - S1: a command and the request of the same name execute the same [`exec::request::Request`].
//! - S2: only answers go to standard output.
//! - S3: no text of a user reaches a terminal with characters that it would obey.
//!
//! # Not here
//! The query language: `query` answers `unsupported` until there is one.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod commands;
mod draw;
mod error;
mod exec;
mod export;
mod files;
mod import;
mod input;
mod man;
mod progress;
mod render;
mod scratch;
mod shell;
mod show;
mod stop;
mod table;
mod tour;
mod ttl;
mod upkeep;
mod watch;
mod width;
mod write;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(args::Cli::parse().command)
}
