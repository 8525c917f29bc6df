//! A part of what `llmdb-sim enumerate` tries.

use llmdb_sim::enumerate::{Plan, enumerate, replay};
use std::sync::atomic::Ordering;

#[test]
fn any_crash_of_short_workloads_leaves_a_state_that_may_be() {
    let report = enumerate(&Plan { states: 1_000, seed: 7, ..Plan::default() }).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.tally.distinct() >= 1_000, "{report}");
    assert!(report.tally.second.load(Ordering::Relaxed) > 100, "{report}");
    assert!(report.tally.went_on.load(Ordering::Relaxed) > 10, "{report}");
}

#[test]
fn a_state_is_found_again_by_its_spec() {
    let specs = ["trees:put,checkpoint@20:keep=1", "facts-buffered:retain@9:toss=3+7:keep=0"];
    for spec in specs {
        assert_eq!(replay(&spec.parse().unwrap()).unwrap(), Ok(()), "{spec}");
    }
    assert!(replay(&"nowhere:put@1:keep=0".parse().unwrap()).is_err());
}
