//! Which rectangle covers a point of both times.
//!
//! The valid extent of the rectangle that covers (V, T) *is* the maximal segment around V at T: a
//! rectangle is closed by the first transaction that changes any of it, so it lies whole in the
//! belief of every T that it spans; and at any T two segments of one event never meet, for what
//! split them lies between.
//!
//! What was once known is never unknown again: a later event takes its place, if only an absence.
//! So a point that the current belief does not cover was not covered at any T.

use super::Reader;
use super::past::PastAt;
use crate::belief::Belief;
use crate::codec::fork::Path;
use crate::codec::head::{Head, Kind};
use crate::codec::key::EncodedKey;
use crate::codec::rect::Rect;
use crate::{At, Result};
use llmdb_storage::View;

/// Where the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// In the head, with its value.
    Head(Rect),
    /// In `live` or `past`; the event is in `events`.
    Elsewhere(Rect),
    /// Nothing was known.
    Nowhere,
}

/// What the head alone says about `at`; `None` where it does not know.
pub(crate) fn locate_in_head(head: &Head, at: At) -> Option<Located> {
    if head.valid.contains(at.valid) {
        match head.rect() {
            Some(rect) if rect.tx_from <= at.tx => return Some(Located::Head(rect)),
            None => return Some(Located::Nowhere),
            _ => {}
        }
    }
    head.whole.then_some(Located::Nowhere)
}

/// Finds the rectangle of the key with `head` that covers `at`.
///
/// The head, one seek in `live`, and at most 65 in `past`: see `codec/fork.rs`.
pub(crate) fn locate<V: View>(
    reader: &Reader<'_, V>,
    key: &EncodedKey,
    head: &Head,
    at: At,
) -> Result<Located> {
    if let Some(located) = locate_in_head(head, at) {
        return Ok(located);
    }
    // The head's segment and those in `live` are disjoint: what the head covers is not there.
    if head.kind == Kind::Gap || !head.valid.contains(at.valid) {
        let mut belief = Belief::new(reader.view, reader.trees, key, Some(*head));
        match belief.newest_from(at.valid)?.filter(|rect| rect.valid.contains(at.valid)) {
            None => return Ok(Located::Nowhere),
            Some(rect) if rect.tx_from <= at.tx => return Ok(Located::Elsewhere(rect)),
            Some(_) => {}
        }
    }
    let path = Path::new(at.valid);
    let forks = path.forks().iter().map(|&fork| fork..=fork);
    let mut past = PastAt::new(reader, key, at.tx, forks);
    while let Some(rect) = past.next()? {
        if rect.valid.contains(at.valid) {
            return Ok(Located::Elsewhere(rect));
        }
    }
    Ok(Located::Nowhere)
}
