use proptest::prelude::*;

use super::*;
use crate::ids::PageId;

/// Brute force: every retired run with its lifetime.
#[derive(Default)]
struct Model {
    entries: Vec<(u64, Version, Version)>,
}

impl Model {
    fn reclaim(&mut self, live: &[Version], newest: Version) -> Vec<u64> {
        let waits = |(_, born, dropped): &(u64, Version, Version)| {
            *dropped > newest || live.iter().any(|v| born <= v && v < dropped)
        };
        let (kept, freed): (Vec<_>, Vec<_>) = self.entries.drain(..).partition(waits);
        self.entries = kept;
        freed.into_iter().map(|entry| entry.0).collect()
    }

    fn held_by(&self, v: Version, live: &[Version], newest: Version) -> u64 {
        let holds = |(_, born, dropped): &&(u64, Version, Version)| {
            let holder = live.iter().find(|v| born <= *v && *v < dropped);
            *dropped <= newest && holder == Some(&v)
        };
        self.entries.iter().filter(holds).count() as u64
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Retires a page dropped `ahead` versions after the newest and born `age` versions before that.
    Retire {
        age: u64,
        ahead: u64,
    },
    /// Publishes `by` versions at once.
    Publish {
        by: u64,
    },
    /// A snapshot of the newest version begins.
    Pin,
    /// Some snapshot ends.
    Unpin(prop::sample::Index),
    Reclaim,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..12u64, 1..4u64).prop_map(|(age, ahead)| Step::Retire { age, ahead }),
        3 => (1..4u64).prop_map(|by| Step::Publish { by }),
        2 => Just(Step::Pin),
        2 => any::<prop::sample::Index>().prop_map(Step::Unpin),
        3 => Just(Step::Reclaim),
    ];
    proptest::collection::vec(step, 0..150)
}

fn pages(runs: impl IntoIterator<Item = Run>) -> Vec<u64> {
    let pages = |(start, pages): Run| start.0..start.0 + pages;
    let mut pages: Vec<u64> = runs.into_iter().flat_map(pages).collect();
    pages.sort_unstable();
    pages
}

fn live_list(pins: &[Version], newest: Version) -> Vec<Version> {
    let mut live = pins.to_vec();
    live.push(newest);
    live.sort_unstable();
    live.dedup();
    live
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn frees_exactly_what_brute_force_frees(steps in steps()) {
        let (mut pending, mut model) = (Pending::default(), Model::default());
        let mut newest = Version(20);
        let mut pins: Vec<Version> = Vec::new();
        let mut page = 0;
        for step in steps {
            match step {
                Step::Retire { age, ahead } => {
                    // Every third page leaves a gap, so that runs form and break.
                    page += 1 + u64::from(page % 3 == 0);
                    let dropped = Version(newest.0 + ahead);
                    let born = Version(dropped.0 - age);
                    pending.retire((PageId(page), 1), born, dropped);
                    model.entries.push((page, born, dropped));
                }
                Step::Publish { by } => newest.0 += by,
                Step::Pin => pins.push(newest),
                Step::Unpin(which) if !pins.is_empty() => {
                    pins.swap_remove(which.index(pins.len()));
                }
                Step::Unpin(_) => {}
                Step::Reclaim => {
                    let live = live_list(&pins, newest);
                    let mut expected = model.reclaim(&live, newest);
                    expected.sort_unstable();
                    prop_assert_eq!(pages(pending.reclaim(&live)), expected);
                    for v in 0..=newest.0 {
                        let v = Version(v);
                        prop_assert_eq!(pending.held_by(v), model.held_by(v, &live, newest));
                    }
                }
            }
            prop_assert_eq!(pending.len(), model.entries.len() as u64);
            for v in [Version(newest.0 - 3), newest, Version(newest.0 + 1)] {
                let by = model.entries.iter().filter(|entry| entry.2 <= v).map(|entry| entry.0);
                prop_assert_eq!(pages(pending.dropped_by(v)), by.collect::<Vec<_>>());
                let after = model.entries.iter().filter(|entry| entry.2 > v).map(|entry| entry.0);
                prop_assert_eq!(pages(pending.dropped_after(v)), after.collect::<Vec<_>>());
            }
        }
        newest.0 += 4;
        let left: Vec<u64> = model.entries.iter().map(|entry| entry.0).collect();
        prop_assert_eq!(pages(pending.reclaim(&[newest])), left);
        prop_assert_eq!(pending.len(), 0);
        prop_assert!(pending.held.is_empty() && pending.fresh.is_empty());
    }
}

/// A thousand snapshots, a run a version that all of them reach, and the snapshots end oldest
/// first: the naive list would look at each run a thousand times.
#[test]
fn cost_does_not_multiply_runs_by_snapshots() {
    const SNAPSHOTS: u64 = 1000;
    const RUNS: u64 = 20_000;
    for oldest_first in [true, false] {
        let mut pending = Pending::default();
        let mut live: Vec<Version> = (1..=SNAPSHOTS).map(Version).collect();
        pending.reclaim(&live);
        for i in 0..RUNS {
            let dropped = Version(SNAPSHOTS + 1 + i % 50);
            pending.retire((PageId(2 * i), 1), Version(1 + i % 7), dropped);
        }
        live.push(Version(SNAPSHOTS + 100));
        assert!(pending.reclaim(&live).is_empty());
        let mut freed = 0;
        while live.len() > 1 {
            let ends = if oldest_first { 0 } else { live.len() - 2 };
            live.remove(ends);
            freed += pages(pending.reclaim(&live)).len() as u64;
        }
        assert_eq!(freed, RUNS);
        // Filed once and freed once; handing groups on costs less than that again.
        assert!(pending.steps <= 3 * RUNS, "{} steps", pending.steps);
    }
}

/// The oldest holder's few groups are long, those of its thousand heirs are more and short.
#[test]
fn a_long_group_is_not_moved_run_by_run() {
    const HEIRS: u64 = 1000;
    const RUNS: u64 = 10_000;
    let mut pending = Pending::default();
    let mut live: Vec<Version> = (1..=HEIRS + 1).map(Version).collect();
    pending.reclaim(&live);
    let dropped = |i: u64| Version(HEIRS + 2 + i);
    for i in 0..RUNS {
        pending.retire((PageId(2 * i), 1), Version(1), dropped(i % 2));
    }
    for i in 0..3 * HEIRS {
        let born = Version(2 + i / 3);
        pending.retire((PageId(2 * (RUNS + i)), 1), born, dropped(i % 3));
    }
    live.push(dropped(3));
    pending.reclaim(&live);
    let filed = pending.steps;
    while live.len() > 1 {
        live.remove(0);
        pending.reclaim(&live);
    }
    assert_eq!(pending.len(), 0);
    let freed = RUNS + 3 * HEIRS;
    assert!(pending.steps - filed <= freed + 6 * HEIRS, "{} steps", pending.steps - filed);
}

#[test]
fn a_commit_with_nothing_to_free_looks_at_no_old_run() {
    let mut pending = Pending::default();
    for i in 0..1000 {
        pending.retire((PageId(2 * i), 1), Version(1), Version(3));
    }
    pending.reclaim(&[Version(2), Version(3)]);
    let before = pending.steps;
    for newest in 4..500 {
        assert!(pending.reclaim(&[Version(2), Version(newest)]).is_empty());
    }
    assert_eq!(pending.steps, before);
    assert_eq!(pending.held_by(Version(2)), 1000);
}

#[test]
fn a_long_reader_holds_only_its_own_pages() {
    let mut pending = Pending::default();
    pending.retire((PageId(10), 1), Version(1), Version(3));
    pending.retire((PageId(20), 1), Version(3), Version(4));
    pending.retire((PageId(30), 1), Version(2), Version(4));
    let freed = pending.reclaim(&[Version(2), Version(4)]);
    assert_eq!(freed, [(PageId(20), 1)]);
    assert_eq!(pending.held_by(Version(2)), 2);
}

#[test]
fn a_drop_not_published_waits_with_nothing_pinned() {
    let mut pending = Pending::default();
    pending.reclaim(&[Version(6)]);
    pending.retire((PageId(1), 4), Version(7), Version(8));
    assert!(pending.reclaim(&[Version(6)]).is_empty());
    assert!(pending.reclaim(&[Version(7)]).is_empty());
    assert_eq!(pending.reclaim(&[Version(8)]), [(PageId(1), 4)]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "S5")]
fn a_version_cannot_come_back_to_life() {
    let mut pending = Pending::default();
    pending.reclaim(&[Version(1), Version(5)]);
    pending.reclaim(&[Version(3), Version(5)]);
}

#[test]
#[should_panic(expected = "no version reaches")]
fn an_empty_lifetime_is_refused() {
    Pending::default().retire((PageId(1), 1), Version(4), Version(4));
}
