//! After a crash, whatever of the un-synced writes survives, the state is that after commit k with
//! last acknowledged <= k <= last issued.

use crate::harness::{Map, Random, contents, open, options, path, verify};
use llmdb_mvcc::{Durability, Engine, Error, Isolation};
use llmdb_storage::{PageSource, TreeId};
use llmdb_vfs::{FaultKind, MemVfs};

struct Run {
    vfs: MemVfs,
    engine: Engine,
    tree: TreeId,
    /// The state after each commit.
    states: Vec<Map>,
    acknowledged: usize,
    random: Random,
}

impl Run {
    fn new(seed: u64) -> Self {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let tree = engine.create_tree("t").unwrap();
        let states = vec![Map::new()];
        Run { vfs, engine, tree, states, acknowledged: 0, random: Random(seed) }
    }

    fn step(&mut self) {
        if self.random.below(8) == 0 {
            self.engine.checkpoint().unwrap();
            self.acknowledged = self.states.len() - 1;
            return;
        }
        let mut state = self.states.last().unwrap().clone();
        let mut tx = self.engine.begin(Isolation::Serializable).unwrap();
        for _ in 0..1 + self.random.below(20) {
            let key = format!("key{:03}", self.random.below(200)).into_bytes();
            if self.random.below(3) == 0 {
                tx.delete(self.tree, &key).unwrap();
                state.remove(&key);
            } else {
                let len = match self.random.below(10) {
                    0 => 5000 + self.random.below(90_000),
                    _ => self.random.below(400),
                };
                let value = vec![self.random.below(256) as u8; len as usize];
                tx.put(self.tree, &key, &value).unwrap();
                state.insert(key, value);
            }
        }
        let durability = match self.random.below(3) {
            0 => Durability::Async,
            _ => Durability::Sync,
        };
        tx.commit(durability).unwrap();
        self.states.push(state);
        if durability == Durability::Sync {
            self.acknowledged = self.states.len() - 1;
        }
    }

    fn crash(&mut self, survivors: u64) {
        let mut random = Random(self.random.below(1 << 40));
        let after = match survivors {
            0 => self.vfs.crash_losing_all(),
            1 => self.vfs.crash(&mut |_| true),
            _ => self.vfs.crash(&mut |_| random.below(2) == 0),
        };
        let engine = open(&after);
        let tree = engine.tree("t").unwrap();
        let found = contents(&engine, tree);
        verify(&engine);
        let issued = self.acknowledged..self.states.len();
        let k = issued.clone().find(|&k| self.states[k] == found);
        let k = k.unwrap_or_else(|| panic!("the state is that after no commit of {issued:?}"));
        // The old engine goes on writing to the old disk when it is dropped, to no effect.
        self.engine = engine;
        self.vfs = after;
        self.states.truncate(k + 1);
        self.acknowledged = k;
    }
}

#[test]
fn a_crash_leaves_a_prefix_with_all_that_was_acknowledged() {
    for seed in 0..30 {
        let mut run = Run::new(seed);
        for step in 0..60 {
            run.step();
            if run.random.below(9) == 0 {
                run.crash(step % 4);
            }
        }
        run.crash(0);
    }
}

#[test]
fn a_clean_close_leaves_one_file_with_everything() {
    let mut run = Run::new(7);
    for _ in 0..20 {
        run.step();
    }
    let expected = run.states.last().unwrap().clone();
    run.engine.close().unwrap();
    use llmdb_vfs::Vfs;
    let names = run.vfs.read_dir(std::path::Path::new("/")).unwrap();
    assert_eq!(names, ["t.llmdb"]);
    let after = run.vfs.crash_losing_all();
    let engine = open(&after);
    assert_eq!(contents(&engine, engine.tree("t").unwrap()), expected);
}

/// Every I/O call of a workload fails once, then again with a full device: nothing acknowledged is
/// lost, and what fails says so.
#[test]
fn the_nth_failing_call_loses_nothing_acknowledged() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for n in 1..400 {
            let vfs = MemVfs::new();
            let engine = open(&vfs);
            let tree = engine.create_tree("t").unwrap();
            let mut acknowledged = Map::new();
            let mut maybe: Option<Map> = None;
            vfs.fail_after(n, kind);
            for i in 0..30u32 {
                if i % 7 == 3 {
                    let _ = engine.checkpoint();
                    continue;
                }
                let mut tx = match engine.begin(Isolation::Serializable) {
                    Ok(tx) => tx,
                    Err(Error::Poisoned { .. }) => break,
                    Err(error) => panic!("{error}"),
                };
                let value = vec![i as u8; if i % 5 == 0 { 9000 } else { 100 }];
                tx.put(tree, &i.to_be_bytes(), &value).unwrap();
                let mut next = maybe.clone().unwrap_or(acknowledged.clone());
                next.insert(i.to_be_bytes().to_vec(), value);
                match tx.commit(Durability::Sync) {
                    Ok(_) => {
                        assert!(maybe.is_none(), "a commit after writing was stopped");
                        acknowledged = next;
                    }
                    Err(Error::Poisoned { .. } | Error::Vfs(_) | Error::Log(_)) => {
                        // Whether it is there is told by the next open, if writing was stopped.
                        let stopped = matches!(
                            engine.begin(Isolation::Snapshot).and_then(|mut tx| {
                                tx.put(tree, b"probe", b"")?;
                                tx.delete(tree, b"probe")?;
                                tx.commit(Durability::Sync)
                            }),
                            Err(Error::Poisoned { .. })
                        );
                        if stopped && maybe.is_none() {
                            maybe = Some(next);
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            if crate::SOURCE == PageSource::Buffered {
                // Here reading is a call, too, and is not to be the one that fails.
                vfs.clear_faults();
            }
            assert_eq!(contents(&engine, tree), acknowledged, "readers see what was acknowledged");
            drop(engine);
            vfs.clear_faults();
            let after = vfs.crash_losing_all();
            let engine = Engine::open(path(), options(&after)).unwrap();
            let found = contents(&engine, engine.tree("t").unwrap());
            verify(&engine);
            let fits = found == acknowledged || maybe.as_ref().is_some_and(|maybe| found == *maybe);
            assert!(fits, "call {n}, {kind:?}: {} of {}", found.len(), acknowledged.len());
        }
    }
}
