//! The harness itself: it finds what is broken on purpose, and nothing where nothing is. And what the
//! documents say of tests.

#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod broken;
mod crashes;
mod damage;
mod faults;
mod promises;
