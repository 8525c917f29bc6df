//! Retention, held against the oracles: what is kept answers as ever, what is not is refused, and
//! stopping between any two steps changes nothing of either.

use crate::compare::at;
use crate::model::history;
use crate::world::{TREES, World, all, expected, seen};
use llmdb_sim::rectangles::Event;
use llmdb_sim::retention::{Answered, Wanted};
use llmdb_storage::Batch;
use llmdb_temporal::{
    Absences, Error, Every, PartitionId, Policy, Step, Tier, TxTime, mark, verify,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A run of retention on one partition; the sweep is cut short after some steps.
#[derive(Clone, Debug)]
struct Run {
    partition: u32,
    wanted: Wanted,
    steps: usize,
    removals_max: usize,
}

fn runs() -> impl Strategy<Value = Vec<(usize, Run)>> {
    let wanted = (0i64..8, proptest::collection::vec((1i64..6, 0i64..30), 0..2));
    let wanted = (wanted, proptest::collection::vec(0i64..25, 0..2));
    let run = (0u32..2, wanted, 0usize..5, 1usize..5);
    let run = run.prop_map(|(partition, ((all, periods), pins), steps, removals_max)| Run {
        partition,
        wanted: Wanted { all, periods, pins },
        steps,
        removals_max,
    });
    proptest::collection::vec((0usize..14, run), 1..4)
}

/// A world, and what of it is still answered.
struct Thinned {
    world: World,
    answered: BTreeMap<u32, Answered>,
}

impl Thinned {
    fn txs(&self, partition: u32) -> Vec<i64> {
        let events = self.world.oracle.events();
        let txs = events.iter().filter(|e| e.partition == partition).map(|e| e.tx);
        txs.collect::<BTreeSet<i64>>().into_iter().collect()
    }

    fn run(&mut self, run: &Run) {
        let Wanted { all, periods, pins } = &run.wanted;
        let tiers = periods.iter().map(|&(every, span)| Tier {
            every: Every::Us(every as u64),
            for_us: Some(span as u64),
        });
        let policy = Policy { all_us: Some(*all as u64), tiers: tiers.collect() };
        let mut sorted: Vec<TxTime> = pins.iter().map(|&pin| TxTime(pin)).collect();
        sorted.sort();
        let (partition, now) = (PartitionId(run.partition), TxTime(self.world.tx));
        let mut batch = Batch::new();
        mark(&self.world.view, &TREES, partition, &policy, &sorted, now, &mut batch).unwrap();
        self.world.view.apply(&batch);
        let txs = self.txs(run.partition);
        let answered = self.answered.entry(run.partition).or_default();
        answered.run(&txs, &run.wanted, self.world.tx);
        self.compare();
        self.sweep(run.steps, run.removals_max);
    }

    fn sweep(&mut self, steps: usize, removals_max: usize) {
        let mut from: Option<Vec<u8>> = None;
        for _ in 0..steps {
            let view = &self.world.view;
            let step = Step::find(view, &TREES, None, from.as_deref(), removals_max).unwrap();
            let mut batch = Batch::new();
            step.resolve(&self.world.view, &TREES, &mut batch).unwrap();
            self.world.view.apply(&batch);
            self.compare();
            match step.next() {
                Some(next) => from = Some(next.to_vec()),
                None => break,
            }
        }
    }

    fn answers(&self, partition: u32, tx: i64) -> bool {
        self.answered.get(&partition).is_none_or(|answered| answered.answers(tx))
    }

    /// Points of transaction time at which anything can differ, and their neighbours.
    fn grid(&self, partition: u32) -> Vec<i64> {
        let txs = self.txs(partition);
        let near = txs.iter().flat_map(|tx| [tx - 1, *tx, tx + 1]);
        near.chain([0, self.world.tx]).collect::<BTreeSet<i64>>().into_iter().collect()
    }

    fn compare(&self) {
        let found = verify(&self.world.view, &TREES).unwrap();
        assert!(found.is_empty(), "{found:?}");
        for partition in 0..3 {
            self.compare_refusals(partition);
            self.compare_versions(partition);
        }
        for (partition, key) in self.world.oracle.keys() {
            self.compare_key(partition, key);
        }
    }

    fn compare_refusals(&self, partition: u32) {
        let (reader, grid) = (self.world.reader(), self.grid(partition));
        for &tx in &grid {
            let checked = reader.check_kept(PartitionId(partition), TxTime(tx));
            if self.answers(partition, tx) {
                checked.unwrap();
                continue;
            }
            let Err(Error::HistoryRetired { before, after, .. }) = checked else {
                panic!("{tx} of {partition} is not refused: {checked:?}")
            };
            let (before, after) = (before.unwrap().0, after.unwrap().0);
            assert!(before < tx && tx < after);
            assert!(self.answers(partition, before) && self.answers(partition, after));
            assert!((before + 1..after).all(|at| !self.answers(partition, at)), "nearest");
        }
        for &from in &grid {
            let kept = reader.check_range_kept(TxTime(from)..TxTime(from + 2)).is_ok();
            let answers = (0..3).all(|p| self.answers(p, from) && self.answers(p, from + 1));
            assert_eq!(kept, answers, "changes from {from}");
            if kept {
                let changes = reader.changes(TxTime(from)..TxTime(from + 2)).count();
                let events = self.world.oracle.events();
                let wanted = events.iter().filter(|e| from <= e.tx && e.tx < from + 2).count();
                assert_eq!(changes, wanted);
            }
        }
    }

    fn compare_key(&self, partition: u32, key: &[u8]) {
        let (reader, oracle) = (self.world.reader(), &self.world.oracle);
        let id = PartitionId(partition);
        let history = reader.history(id, key, Absences::Include).unwrap();
        let history: Vec<_> = history.map(Result::unwrap).collect();
        let valids = oracle.valid_boundaries(partition, key);
        for tx in self.grid(partition) {
            let kept = self.answers(partition, tx);
            if kept {
                let timeline = oracle.timeline(partition, key, tx);
                let found = reader.timeline(id, key, TxTime(tx)).unwrap();
                let found: Vec<_> = found.iter().map(seen).collect();
                assert_eq!(found, timeline.iter().map(expected).collect::<Vec<_>>(), "at {tx}");
            }
            for &valid in &valids {
                let answer = oracle.answer(partition, key, valid, tx);
                let covering: Vec<_> = (history.iter())
                    .filter(|r| r.valid_from.0 <= valid && valid < r.valid_to.0)
                    .filter(|r| r.tx_from.0 <= tx && tx < r.tx_to.0)
                    .map(|r| (r.tx.0, r.op, r.value.as_ref().map(|value| value.to_vec())))
                    .collect();
                let answer: Vec<_> =
                    answer.into_iter().map(|e| (e.tx, e.op, e.value.clone())).collect();
                // In a gap what is listed is true, but not all is listed.
                assert!(covering == answer || (!kept && covering.is_empty()), "({valid}, {tx})");
                if kept {
                    let found = reader.get(id, key, at(valid, tx)).unwrap();
                    let segment = oracle.get(partition, key, valid, tx);
                    assert_eq!(found.as_ref().map(seen), segment.as_ref().map(expected));
                }
            }
        }
    }

    /// The events that answer at some T that is kept.
    fn kept_events(&self, partition: u32) -> Vec<&Event> {
        let (oracle, grid) = (&self.world.oracle, self.grid(partition));
        let kept: Vec<i64> = grid.into_iter().filter(|&tx| self.answers(partition, tx)).collect();
        let mut events = oracle.events();
        events.retain(|e| {
            let valids = oracle.valid_boundaries(e.partition, &e.key);
            let answers =
                |tx| valids.iter().any(|&v| oracle.answer(e.partition, &e.key, v, tx) == Some(e));
            e.partition == partition && kept.iter().any(|&tx| answers(tx))
        });
        events
    }

    fn compare_versions(&self, partition: u32) {
        let versions = self.world.reader().versions(all(partition));
        let versions: BTreeSet<_> =
            versions.map(|v| v.unwrap()).map(|v| (v.tx.0, v.op, v.key)).collect();
        let kept = self.kept_events(partition).into_iter();
        let kept: BTreeSet<_> = kept.map(|e| (e.tx, e.op, e.key.clone())).collect();
        assert_eq!(versions, kept);
    }

    /// After a sweep to the end nothing is left that no kept T asks for.
    fn compare_what_is_left(&self) {
        let step = Step::find(&self.world.view, &TREES, None, None, 100).unwrap();
        assert!(step.is_empty() && step.next().is_none());
        let kept: Vec<&Event> = (0..3).flat_map(|p| self.kept_events(p)).collect();
        assert_eq!(self.world.view.len(TREES.changes), kept.len());
        let noted: BTreeSet<i64> = kept.iter().map(|e| e.tx).filter(|tx| tx % 3 == 0).collect();
        assert_eq!(self.world.view.len(TREES.notes), noted.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_kept_answers_as_ever_and_what_is_not_is_refused(
        history in history(),
        runs in runs(),
    ) {
        let mut thinned = Thinned { world: World::new(), answered: BTreeMap::new() };
        for (number, (gap, ops)) in history.iter().enumerate() {
            thinned.world.commit_at(thinned.world.tx + gap, ops);
            for (_, run) in runs.iter().filter(|(after, _)| *after == number) {
                thinned.run(run);
            }
        }
        thinned.compare();
        thinned.sweep(usize::MAX, 3);
        thinned.compare_what_is_left();
    }
}
