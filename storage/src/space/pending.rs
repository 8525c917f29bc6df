//! Interval reclamation: dropped pages, each waiting for the versions that still reach it.
//!
//! A page born at version `b` and dropped at version `d` is reached by the versions `v` with
//! `b <= v < d`, and may be reused when none of them is live. A reader that stays for an hour
//! therefore holds the pages of its own version, not everything dropped since.
//!
//! ```text
//!   versions   1     2     3     4     5     6
//!   live             *                 *            live = [2, 5]
//!   page A     [-----------)                        reached by 2: filed under 2
//!   page B           [-----------------------)      reached by 2 and 5: filed under 2, then under 5
//!   page C                 [-----)                  reached by none: free
//!   page D                             [-------...  dropped at 7, not live yet: waits in `fresh`
//! ```
//!
//! **Cost.** A run is looked at alone once, when the version that dropped it turns live: it is
//! freed or filed under its *holder*, the smallest live version that reaches it (S4). All runs of a
//! holder are reached by it, so once it leaves the list `born` no longer matters and runs with equal
//! `dropped` behave alike from there on: they travel as a group. When a holder leaves, the groups
//! dropped at or below the next live version are freed and the rest becomes that version's, the smaller of
//! two collections poured into the larger, so that a run is moved O(log runs) times however many
//! snapshots come and go. `reclaim` costs O(live + holders + freed) and this amortised share.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::{Run, push_run};
use crate::ids::Version;

#[cfg(test)]
mod tests;

/// Runs dropped and not free yet.
#[derive(Default)]
pub(crate) struct Pending {
    /// Runs whose dropping version was not live at the last `reclaim`, by that version.
    fresh: BTreeMap<Version, Vec<Fresh>>,
    /// Runs filed under the smallest live version that reaches them.
    held: BTreeMap<Version, Held>,
    /// The list given to the last `reclaim`.
    live: Vec<Version>,
    /// The largest version ever live.
    newest: Option<Version>,
    /// Pages in `fresh` and `held`.
    pages: u64,
    /// Runs examined or moved one by one, for the tests of the cost.
    #[cfg(test)]
    steps: u64,
}

struct Fresh {
    run: Run,
    born: Version,
}

/// The runs under one holder, grouped by the version that dropped them.
#[derive(Default)]
struct Held {
    groups: BTreeMap<Version, Vec<Run>>,
    pages: u64,
}

impl Pending {
    /// Pages that wait.
    pub(super) fn len(&self) -> u64 {
        self.pages
    }

    /// Pages filed under the live version `v`: it reaches them, and no older live version does.
    pub(super) fn held_by(&self, v: Version) -> u64 {
        self.held.get(&v).map_or(0, |held| held.pages)
    }

    /// Files a run that the versions `born..dropped` reach. It waits for the next `reclaim` at least.
    pub(crate) fn retire(&mut self, run: Run, born: Version, dropped: Version) {
        assert!(
            born < dropped,
            "no version reaches {run:?}, born at {born:?} and dropped at {dropped:?}"
        );
        self.pages += run.1;
        let fresh = self.fresh.entry(dropped).or_default();
        match fresh.last_mut() {
            Some(last) if last.born == born && last.run.0.0 + last.run.1 == run.0.0 => {
                last.run.1 += run.1;
            }
            _ => fresh.push(Fresh { run, born }),
        }
    }

    /// Takes out the runs dropped by `since` or later, none of which was live yet, with the versions
    /// that they were born in.
    pub(super) fn take_back(&mut self, since: Version) -> Vec<(Run, Version)> {
        assert!(self.newest < Some(since), "what was live is not taken back");
        let fresh = self.fresh.split_off(&since);
        let runs = fresh.into_values().flatten().map(|fresh| (fresh.run, fresh.born));
        let runs: Vec<_> = runs.collect();
        self.pages -= runs.iter().map(|(run, _)| run.1).sum::<u64>();
        runs
    }

    /// Takes out the runs that no version of `live` reaches (S3).
    ///
    /// `live` ascends and holds every version that is reached or can still become reached.
    /// A version absent from the last list may enter only at or above the newest ever live (S5).
    pub(crate) fn reclaim(&mut self, live: &[Version]) -> Vec<Run> {
        debug_assert!(live.is_sorted(), "live versions ascend");
        debug_assert!(
            (live.iter()).all(|v| self.newest <= Some(*v) || self.live.binary_search(v).is_ok()),
            "S5: a version came to life below {:?}",
            self.newest
        );
        self.newest = self.newest.max(live.last().copied());
        self.live.clear();
        self.live.extend_from_slice(live);

        let mut freed = Vec::new();
        self.reclaim_held(live, &mut freed);
        self.reclaim_fresh(live, &mut freed);
        let freed_pages: u64 = freed.iter().map(|run| run.1).sum();
        self.pages -= freed_pages;
        freed
    }

    /// Passes the runs of holders that left the list on to the next live version, or frees them.
    fn reclaim_held(&mut self, live: &[Version], freed: &mut Vec<Run>) {
        let gone = self.held.keys().filter(|v| live.binary_search(v).is_err());
        for holder in gone.copied().collect::<Vec<_>>() {
            let mut held = self.held.remove(&holder).expect("listed just above");
            let heir = live.get(live.partition_point(|v| *v <= holder)).copied();
            // Every run here was born at or below `holder`, and nothing between `holder` and
            // `heir` is live: only `dropped` decides.
            while let Some(first) = held.groups.first_entry()
                && heir.is_none_or(|heir| *first.key() <= heir)
            {
                for run in first.remove() {
                    held.pages -= run.1;
                    self.count_steps(1);
                    push_run(freed, run);
                }
            }
            if let Some(heir) = heir
                && !held.groups.is_empty()
            {
                let moved = self.held.entry(heir).or_default().absorb(held);
                self.count_steps(moved);
            }
        }
    }

    /// Files or frees the runs whose dropping version has turned live.
    fn reclaim_fresh(&mut self, live: &[Version], freed: &mut Vec<Run>) {
        while let Some(first) = self.fresh.first_entry()
            && Some(*first.key()) <= self.newest
        {
            let (dropped, runs) = first.remove_entry();
            for Fresh { run, born } in runs {
                self.count_steps(1);
                let holder = live.get(live.partition_point(|v| *v < born)).copied();
                match holder.filter(|v| *v < dropped) {
                    Some(holder) => self.held.entry(holder).or_default().push(run, dropped),
                    None => push_run(freed, run),
                }
            }
        }
    }

    /// Runs dropped after `v`, which `v` may therefore reach.
    pub(super) fn dropped_after(&self, v: Version) -> impl Iterator<Item = Run> + '_ {
        let range = (Excluded(v), Unbounded);
        let fresh = self.fresh.range(range).flat_map(|(_, runs)| runs);
        let held = self.held.values();
        let held = held.flat_map(move |held| held.groups.range(range));
        let held = held.flat_map(|(_, runs)| runs.iter().copied());
        fresh.map(|fresh| fresh.run).chain(held)
    }

    /// Runs dropped at or before `v`, which `v` does not reach.
    pub(super) fn dropped_by(&self, v: Version) -> impl Iterator<Item = Run> + '_ {
        let fresh = self.fresh.range(..=v).flat_map(|(_, runs)| runs);
        let held = self.held.values();
        let held = held.flat_map(move |held| held.groups.range(..=v));
        let held = held.flat_map(|(_, runs)| runs.iter().copied());
        fresh.map(|fresh| fresh.run).chain(held)
    }

    fn count_steps(&mut self, _steps: u64) {
        #[cfg(test)]
        {
            self.steps += _steps;
        }
    }
}

impl Held {
    fn push(&mut self, run: Run, dropped: Version) {
        self.pages += run.1;
        push_run(self.groups.entry(dropped).or_default(), run);
    }

    /// Takes over everything `other` holds and returns how many groups and runs had to be moved.
    fn absorb(&mut self, mut other: Held) -> u64 {
        self.pages += other.pages;
        if self.groups.len() < other.groups.len() {
            std::mem::swap(&mut self.groups, &mut other.groups);
        }
        let mut moved = other.groups.len() as u64;
        for (dropped, mut runs) in other.groups {
            let into = self.groups.entry(dropped).or_default();
            if into.len() < runs.len() {
                std::mem::swap(into, &mut runs);
            }
            moved += runs.len() as u64;
            into.append(&mut runs);
        }
        moved
    }
}
