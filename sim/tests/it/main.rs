//! The harness itself: it finds what is broken on purpose, and nothing where nothing is.

mod broken;
mod crashes;
mod faults;
