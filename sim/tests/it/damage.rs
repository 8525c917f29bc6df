//! A part of what `llmdb-sim damage` tries.

use llmdb_sim::damage::{Outcome, Plan, sweep};

#[test]
fn damage_anywhere_is_told_or_changes_no_answer() {
    let plan = Plan { one_in: 20_000, seed: 5, threads: 2, ..Plan::default() };
    let report = sweep(&plan, &mut |_| ()).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    for outcome in Outcome::ALL {
        assert!(report.count(outcome) > 0, "{outcome:?}: {report}");
    }
    assert!(report.repaired > 10, "{report}");
}
