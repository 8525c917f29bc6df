//! The database as its users see it: on its own storage engine, in memory and on a disk.
#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod compare;
mod concurrency;
mod examples;
mod limits;
mod model;
mod opening;
mod support;
