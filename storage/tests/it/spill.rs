//! Batches larger than memory: pages are spilled, the budget is kept, and what fails half-way is
//! taken back as a whole.

use crate::harness::{PATH, entries};
use llmdb_storage::*;
use llmdb_vfs::{Call, FaultKind, MemVfs, UnsyncedOp, Vfs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

struct Tight {
    opened: Opened,
    tree: TreeId,
    budget: Arc<Budget>,
    published: Sealed,
    pinned: Vec<(Sealed, Map)>,
    in_flight: Option<Checkpoint>,
    model: Map,
}

impl Tight {
    fn open(vfs: &MemVfs, frames: u64) -> Self {
        let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let page_cache_bytes = 16 * (4096 + 96);
        let for_cache = match crate::SOURCE {
            PageSource::Buffered => page_cache_bytes,
            _ => 0,
        };
        let budget = Arc::new(Budget::new(frames * 4096 + for_cache));
        let options = StoreOptions {
            page_source: crate::SOURCE,
            page_cache_bytes,
            uuid: Some([7; 16]),
            budget: budget.clone(),
            ..StoreOptions::default()
        };
        if vfs.kind(Path::new(PATH)).unwrap().is_none() {
            create(
                &vfs,
                Path::new(PATH),
                &StoreOptions { uuid: Some([7; 16]), ..Default::default() },
            )
            .unwrap();
        }
        let mut opened = open(&vfs, Path::new(PATH), &options).unwrap();
        opened.mark.incarnation += 1;
        opened.writer.rewrite_meta(0, opened.mark.incarnation, false).unwrap();
        let tree = opened.writer.create_tree("t");
        let published = opened.writer.seal();
        let pinned = Vec::new();
        Tight { opened, tree, budget, published, pinned, in_flight: None, model: Map::new() }
    }

    fn publish(&mut self) {
        self.published = self.opened.writer.seal();
        self.reclaim();
    }

    fn reclaim(&mut self) {
        let mut live: Vec<Version> = self.pinned.iter().map(|(s, _)| s.version).collect();
        live.push(self.published.version);
        live.sort();
        live.dedup();
        self.opened.writer.reclaim(&live, &[]);
    }

    fn batch(&self, writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in writes {
            match value {
                Some(value) => batch.put(self.tree, key, value),
                None => batch.delete(self.tree, key),
            }
        }
        batch.sort();
        batch
    }

    /// Applies, publishes, and tells the model; on an error nothing may have changed.
    fn commit(&mut self, writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<()> {
        let batch = self.batch(writes);
        let applied = self.opened.writer.apply(&batch);
        if applied.is_ok() {
            for write in batch.iter() {
                match write.value.bytes() {
                    Some(value) => self.model.insert(write.key.to_vec(), value.to_vec()),
                    None => self.model.remove(write.key),
                };
            }
        }
        self.publish();
        applied
    }

    fn begin_checkpoint(&mut self) -> Result<()> {
        if self.in_flight.is_none() {
            let checkpoint = self.opened.writer.begin_checkpoint(self.opened.mark)?;
            self.published = checkpoint.sealed.clone();
            self.reclaim();
            self.in_flight = Some(checkpoint);
        }
        Ok(())
    }

    fn finish_checkpoint(&mut self) {
        if let Some(checkpoint) = self.in_flight.take() {
            checkpoint.write(&self.opened.pager).unwrap();
            checkpoint.commit(&self.opened.pager).unwrap();
            self.published = self.opened.writer.finish_checkpoint(checkpoint);
            self.reclaim();
        }
    }

    fn checkpoint(&mut self) {
        self.begin_checkpoint().unwrap();
        self.finish_checkpoint();
    }

    fn reader<'s>(&'s self, sealed: &'s Sealed) -> Reader<'s> {
        // SAFETY: `sealed` is published or pinned, hence live.
        unsafe { Reader::new(&self.opened.pager, &sealed.roots) }
    }

    /// Everything published, pinned and newest is what the model says; no page is lost; the budget
    /// was kept and its counts are those of the frames.
    fn check(&self) {
        let expect = |sealed: &Sealed, model: &Map| {
            let found = entries(&self.reader(sealed), self.tree);
            assert!(found.iter().map(|(k, v)| (k, v)).eq(model.iter()), "contents differ");
        };
        expect(&self.published, &self.model);
        self.pinned.iter().for_each(|(sealed, model)| expect(sealed, model));
        if self.in_flight.is_none() {
            let report = self.opened.writer.verify();
            assert!(report.is_clean(), "{:?}", &report.problems[..report.problems.len().min(5)]);
        }
        let stats = self.budget.stats();
        assert!(stats.peak <= stats.limit, "{stats:?}");
        let frames = self.opened.writer.space_use().frames * 4096;
        assert_eq!(stats.changed + stats.cleared, frames, "{stats:?}");
        assert_eq!(stats.total - stats.cache, frames);
    }

    /// With nothing pinned, all that is not reached is free again.
    fn check_nothing_leaked(&mut self) {
        self.pinned.clear();
        self.finish_checkpoint();
        for _ in 0..3 {
            self.publish();
            self.checkpoint();
        }
        self.check();
        let used = self.opened.writer.space_use();
        assert!(used.pages_pending <= 4, "{used:?}");
        let memory = self.budget.stats();
        assert_eq!((used.frames, memory.total - memory.cache), (0, 0), "{used:?}");
    }
}

fn scattered(seed: u32, writes: u32, len: usize) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let key = |i: u32| (i.wrapping_mul(0x9e37_79b1) ^ seed).to_be_bytes().to_vec();
    (0..writes).map(|i| (key(i), Some(vec![(seed + i) as u8; len]))).collect()
}

#[test]
fn a_batch_larger_than_the_budget_is_applied() {
    let vfs = MemVfs::new();
    let mut db = Tight::open(&vfs, 64);
    for seed in 0..3 {
        // 20,000 entries of 200 bytes: a thousand pages and more, through 64 frames.
        db.commit(&scattered(seed, 20_000, 200)).unwrap();
        db.check();
    }
    assert!(db.opened.writer.space_use().spilled_pages > 3_000);
    db.checkpoint();
    db.check();
    let everything: Vec<_> = db.model.keys().map(|key| (key.clone(), None)).collect();
    db.commit(&everything).unwrap();
    db.check();
    db.check_nothing_leaked();
}

#[test]
fn spilled_pages_are_in_the_file_after_a_checkpoint_and_forgotten_without() {
    let vfs = MemVfs::new();
    let mut db = Tight::open(&vfs, 64);
    db.commit(&scattered(1, 5_000, 200)).unwrap();
    db.checkpoint();
    let kept = db.model.clone();
    db.commit(&scattered(2, 5_000, 200)).unwrap();
    for survives in [false, true] {
        let crashed = vfs.crash(&mut |_| survives);
        let mut after = Tight::open(&crashed, 64);
        after.model = kept.clone();
        after.check();
        after.commit(&scattered(3, 5_000, 100)).unwrap();
        after.check_nothing_leaked();
    }
    db.checkpoint();
    let all = db.model.clone();
    let mut after = Tight::open(&vfs.crash_losing_all(), 64);
    after.model = all;
    after.check_nothing_leaked();
}

/// A place that a batch has written gets no other page before the batch is over, or a lost write
/// could not be told from the page before it.
#[test]
fn a_large_batch_writes_each_place_once() {
    let vfs = MemVfs::new();
    let mut db = Tight::open(&vfs, 64);
    db.commit(&scattered(1, 5_000, 200)).unwrap();
    db.checkpoint();
    db.commit(&scattered(2, 5_000, 200)).unwrap();
    let mut written = std::collections::BTreeSet::new();
    vfs.crash(&mut |change| {
        if let UnsyncedOp::Write { offset, .. } = change {
            assert!(written.insert(*offset), "{offset} is written twice");
        }
        false
    });
    assert!(written.len() > 1_000);
}

/// Every write, allocation, and the room on the device fails once somewhere in a large batch.
#[test]
fn a_large_batch_that_fails_leaves_nothing() {
    for (call, kind) in [
        (Call::Write, FaultKind::Io),
        (Call::Write, FaultKind::NoSpace),
        (Call::Allocate, FaultKind::NoSpace),
    ] {
        let mut failed = 0;
        for n in 1.. {
            let vfs = MemVfs::new();
            let mut db = Tight::open(&vfs, 64);
            db.commit(&scattered(1, 600, 200)).unwrap();
            db.checkpoint();
            // Changed pages of earlier commits, that the batch drops, and a reader of them.
            db.commit(&scattered(2, 100, 200)).unwrap();
            db.pinned.push((db.published.clone(), db.model.clone()));
            let mut writes = scattered(1, 600, 300);
            writes.extend(scattered(9, 600, 100));
            writes.push((b"long".to_vec(), Some(vec![7; 9_000])));
            vfs.fail_nth(call, n, kind);
            let applied = db.commit(&writes);
            vfs.clear_faults();
            // Growing tries twice, once for more than it needs: that may succeed.
            if call != Call::Allocate && applied.is_ok() {
                assert!(failed > 10, "only {failed} calls of {call:?}");
                break;
            }
            failed += u64::from(applied.is_err());
            assert!(db.opened.writer.poisoned().is_none());
            db.check();
            db.commit(&scattered(3, 800, 150)).unwrap();
            db.check_nothing_leaked();
            if call == Call::Allocate && n > 12 {
                break;
            }
        }
    }
}

#[test]
fn a_full_device_takes_back_a_large_batch() {
    for free in (0..400u64).step_by(37) {
        let vfs = MemVfs::new();
        let mut db = Tight::open(&vfs, 64);
        db.commit(&scattered(1, 500, 200)).unwrap();
        db.checkpoint();
        vfs.set_free_bytes(Some(free * 4096));
        let applied = db.commit(&scattered(2, 8_000, 200));
        vfs.set_free_bytes(None);
        assert!(applied.is_err(), "{free} pages hold 500");
        db.check();
        db.commit(&scattered(2, 8_000, 200)).unwrap();
        db.check_nothing_leaked();
    }
}

#[test]
fn a_budget_held_by_readers_refuses_and_recovers() {
    let vfs = MemVfs::new();
    let mut db = Tight::open(&vfs, 64);
    let mut refused = false;
    for seed in 0..200 {
        match db.commit(&scattered(seed, 60, 200)) {
            Ok(()) => db.pinned.push((db.published.clone(), db.model.clone())),
            Err(error) => {
                assert!(matches!(error, Error::CacheFull), "{error}");
                refused = true;
                break;
            }
        }
    }
    assert!(refused, "readers of every version hold everything");
    db.check();
    db.checkpoint();
    db.pinned.clear();
    db.publish();
    db.commit(&scattered(7, 5_000, 200)).unwrap();
    db.check_nothing_leaked();
}

#[derive(Clone, Debug)]
enum Op {
    Batch(u32, u32, usize),
    Delete(u8, u8),
    BeginCheckpoint,
    FinishCheckpoint,
    Pin,
    Unpin,
    /// The n-th write from here on fails.
    Fail(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let batch = |writes| (0u32..50, writes, 0usize..400).prop_map(|(s, n, l)| Op::Batch(s, n, l));
    prop_oneof![
        6 => batch(1u32..30),
        6 => batch(300u32..2_000),
        1 => (0u32..50, 1u32..4, 3_000usize..70_000).prop_map(|(s, n, l)| Op::Batch(s, n, l)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Op::Delete(a, b)),
        3 => Just(Op::BeginCheckpoint),
        3 => Just(Op::FinishCheckpoint),
        1 => Just(Op::Pin),
        2 => Just(Op::Unpin),
        2 => (1u64..40).prop_map(Op::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_in_little_memory_behaves_as_a_map(ops in prop::collection::vec(op(), 1..25)) {
        let vfs = MemVfs::new();
        let mut db = Tight::open(&vfs, 80);
        let mut failing = false;
        for op in ops {
            let applied = match op {
                Op::Batch(seed, writes, len) => db.commit(&scattered(seed, writes, len)),
                Op::Delete(a, b) => {
                    let range = vec![a.min(b)]..vec![a.max(b), 255];
                    let keys: Vec<_> = db.model.range(range).map(|e| (e.0.clone(), None)).collect();
                    db.commit(&keys)
                }
                Op::BeginCheckpoint => db.begin_checkpoint(),
                Op::FinishCheckpoint => {
                    vfs.clear_faults();
                    failing = false;
                    db.finish_checkpoint();
                    Ok(())
                }
                Op::Pin => {
                    db.pinned.push((db.published.clone(), db.model.clone()));
                    Ok(())
                }
                Op::Unpin => {
                    db.pinned.pop();
                    Ok(())
                }
                Op::Fail(n) => {
                    vfs.fail_nth(Call::Write, n, FaultKind::Io);
                    failing = true;
                    Ok(())
                }
            };
            match applied {
                Ok(()) => {}
                Err(Error::Vfs(_)) if failing => {}
                Err(Error::CacheFull) if !db.pinned.is_empty() || db.in_flight.is_some() => {}
                Err(error) => panic!("{error}"),
            }
            prop_assert!(db.opened.writer.poisoned().is_none());
            db.check();
        }
        vfs.clear_faults();
        db.check_nothing_leaked();
    }
}
