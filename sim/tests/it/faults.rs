//! A part of what `llmdb-sim fail` and `lie` try.

use llmdb_sim::failures::fail_everywhere;
use llmdb_sim::lies::lie_everywhere;
use llmdb_sim::refusals::refuse_everywhere;

#[test]
fn any_call_that_fails_once_or_for_ever_leaves_what_was_acknowledged() {
    let workloads = ["trees:overwrite,checkpoint", "facts-buffered:retain,erase"];
    let report = fail_everywhere(&workloads.map(str::to_owned)).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.runs > 300 && report.told > 300 && report.states > 50, "{report}");
}

#[test]
fn memory_that_is_refused_anywhere_is_told_and_the_handle_works_on() {
    let workloads = ["trees:spill,checkpoint", "facts-buffered:many,retain"];
    let report = refuse_everywhere(&workloads.map(str::to_owned)).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.takes > 200 && report.told > 200 && report.states > 400, "{report}");
}

#[test]
fn a_device_that_lies_is_told_or_changes_no_answer() {
    // In the second, pages are used again: what was there before is there to be found.
    let again = "trees-buffered:overwrite,checkpoint,overwrite,checkpoint,overwrite,checkpoint";
    let report = lie_everywhere(&["trees:unlogged,put", again].map(str::to_owned)).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.runs > 500 && report.told > 150 && report.states > 500, "{report}");
}
