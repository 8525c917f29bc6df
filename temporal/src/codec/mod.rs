//! The bytes of the temporal trees: one module a kind of entry. Nothing outside touches an offset.
//!
//! Numbers in keys are big-endian and biased so that bytes sort as time does (`~`: complemented,
//! newest first); numbers in values are little-endian. Whatever is read is checked.

pub(crate) mod change;
pub(crate) mod delta;
pub(crate) mod erased;
pub(crate) mod event;
pub(crate) mod fork;
pub(crate) mod head;
pub(crate) mod kept;
pub(crate) mod key;
pub(crate) mod op;
pub(crate) mod rect;
pub(crate) mod take;
