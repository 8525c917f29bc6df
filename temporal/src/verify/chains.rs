//! The chains of coded values of a key: each ends, soon, at a value that is stored whole.

use super::problem::Finding;
use crate::codec::head::{Head, Kind};
use crate::codec::key::EncodedKey;
use crate::events::{Events, RUN_MAX};
use crate::{Error, EventId, Result, TreeName, Trees};
use llmdb_storage::View;
use std::collections::BTreeMap;

/// The events of a key, and what those are coded against that are.
pub(super) type Bases = BTreeMap<EventId, Option<EventId>>;

/// Reports what is wrong with the chains of one key; reads the coded values.
pub(super) fn check<V: View>(
    view: &V,
    trees: &Trees,
    key: &EncodedKey,
    bases: &Bases,
    head: Option<&Head>,
    report: &mut dyn FnMut(TreeName, Finding),
) -> Result<()> {
    let mut values = Events::new(view, *trees);
    let mut run = 0;
    for (&event, base) in bases.iter().filter(|(_, base)| base.is_some()) {
        let (mut at, mut deltas) = (*base, 1);
        let end = loop {
            match at.and_then(|at| bases.get(&at)) {
                Some(Some(next)) if deltas <= RUN_MAX => (at, deltas) = (Some(*next), deltas + 1),
                _ => break at,
            }
        };
        let in_head = end.is_some_and(|end| {
            !bases.contains_key(&end) && head.is_some_and(|head| head.has_value_of(end))
        });
        if deltas > RUN_MAX {
            report(TreeName::Events, Finding::ChainTooLong { event });
            continue;
        }
        if in_head {
            run = run.max(deltas);
        }
        match values.value(key, event, None) {
            Ok(_) => {}
            Err(Error::Storage(error)) => return Err(Error::Storage(error)),
            Err(error) => report(TreeName::Events, Finding::Undecodable { event, error }),
        }
    }
    // It may say more: what hung on it may be gone.
    let whole = head.is_some_and(|head| head.stored || head.kind != Kind::Value);
    if head.is_some_and(|head| head.run < run || (whole && head.run > 0)) {
        report(TreeName::Heads, Finding::HeadRun);
    }
    Ok(())
}
