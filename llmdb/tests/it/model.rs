//! Random histories on the real engine: between the transactions the database is checkpointed,
//! shortened, closed and opened, copied in all the ways there are, or crashes, and every answer stays
//! that of the oracle. Keys are erased, and are as if they had never been.

use crate::compare::{compare, expected, expected_scan, seen};
use crate::support::{PATH, assert_clean, options, v};
use llmdb::vfs::MemVfs;
use llmdb::{
    Db, Durability, ErasureState, Error, Isolation, Key, PartitionId, Repair, Restore, Result,
    TxTime, Value, WriteTx,
};
use llmdb_sim::rectangles::{Op, Rectangles, When};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// One transaction; of a single operation, through the handle itself.
    Commit(Vec<Op>),
    /// A transaction that is taken back.
    Rollback(Vec<Op>),
    /// A transaction of which the middle is rolled back to a savepoint.
    Partly(Vec<Op>, Vec<Op>, Vec<Op>),
    Erase((u32, Vec<u8>)),
    FinishErasures,
    Checkpoint,
    Shrink,
    /// A backup: of all, or of what changed since the one before.
    Backup {
        whole: bool,
    },
    /// On with what the backups hold, everything since forgotten.
    Restore,
    /// On with a copy.
    Move(Copy),
    Reopen,
    /// A power failure; of what was not synced, what the seed says survives.
    Crash(u64),
}

/// How a copy of everything comes about.
#[derive(Clone, Copy, Debug)]
enum Copy {
    Compact,
    /// As if the file were damaged, with its log as it is.
    Repair,
}

/// What backups hold.
#[derive(Default)]
struct Backups {
    /// The first whole, the others what changed.
    files: Vec<String>,
    oracle: Rectangles,
    tx: i64,
}

/// The database and what it should answer.
struct World {
    disk: MemVfs,
    path: String,
    /// Every copy has a name of its own.
    names: u32,
    db: Db,
    backups: Backups,
    oracle: Rectangles,
    /// The newest transaction.
    tx: i64,
    durability: Durability,
}

fn key_of(op: &Op) -> Key {
    Key::new(PartitionId(op.partition), op.key.clone())
}

fn micros(ttl: i64) -> Duration {
    Duration::from_micros(u64::try_from(ttl).unwrap())
}

/// The call that an operation of the oracle stands for.
macro_rules! write {
    ($to:expr, $op:expr) => {{
        let (to, op) = ($to, $op);
        let key = key_of(op);
        match (op.value.clone().map(Value::Raw), op.when) {
            (Some(value), When::Now) => to.put(key, value),
            (Some(value), When::From(from)) => to.put_at(key, value, v(from)),
            (Some(value), When::NowTo(to_)) => to.put_until(key, value, v(to_)),
            (Some(value), When::NowFor(ttl)) => to.put_for(key, value, micros(ttl)),
            (Some(value), When::Range(from, to_)) => to.put_range(key, value, v(from), v(to_)),
            // There is no call for an absence that ends by itself: the history has none.
            (None, When::NowFor(_)) => unreachable!("an absence for a while"),
            (None, When::Now) => to.end(key),
            (None, When::From(from)) => to.end_at(key, v(from)),
            (None, When::NowTo(i64::MAX)) => to.delete(key),
            (None, When::NowTo(to_)) => to.delete_until(key, v(to_)),
            (None, When::Range(from, to_)) => to.delete_range(key, v(from), v(to_)),
        }
    }};
}

impl World {
    fn new(durability: Durability) -> Self {
        let disk = MemVfs::new();
        let (path, names, backups) = (PATH.to_owned(), 0, Backups::default());
        let db = open(&disk, &path, durability);
        Self { disk, path, names, db, backups, oracle: Rectangles::new(), tx: 0, durability }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit(ops) => self.commit(ops),
            Step::Rollback(ops) => {
                let mut tx = self.db.begin().unwrap();
                ops.iter().for_each(|op| drop(write!(&mut tx, op)));
                tx.rollback();
            }
            Step::Partly(before, undone, after) => self.commit_partly(before, undone, after),
            Step::Erase((partition, key)) => {
                let ticket = self.db.erase(Key::new(PartitionId(*partition), key.clone())).unwrap();
                self.tx += 1;
                assert_eq!(ticket.tx, TxTime(self.tx));
                self.oracle.erase(*partition, key);
            }
            Step::FinishErasures => {
                assert_eq!(self.db.finish_erasures().unwrap(), ErasureState::Complete);
            }
            Step::Checkpoint => self.db.checkpoint().unwrap(),
            Step::Shrink => drop(self.db.shrink().unwrap()),
            Step::Backup { whole } => self.back_up(*whole),
            Step::Restore => self.restore(),
            Step::Move(copy) => self.go_on_with(*copy),
            Step::Reopen => {
                self.close();
                self.db = open(&self.disk, &self.path, self.durability);
            }
            Step::Crash(seed) => {
                self.disk = crash(&self.disk, *seed);
                // Names of files that were being made are no longer told from older ones.
                self.backups = Backups::default();
                self.db = open(&self.disk, &self.path, self.durability);
            }
        }
    }

    fn close(&mut self) {
        self.db.clone().close().unwrap();
        let db = std::mem::replace(&mut self.db, crate::support::fresh());
        db.close().unwrap();
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("/copy{}", self.names)
    }

    fn back_up(&mut self, whole: bool) {
        let name = self.name();
        match self.backups.files.last() {
            Some(base) if !whole => drop(self.db.backup_incremental(base, &name).unwrap()),
            _ => {
                self.db.backup(&name).unwrap();
                self.backups.files.clear();
            }
        }
        self.backups.files.push(name);
        (self.backups.oracle, self.backups.tx) = (self.oracle.clone(), self.tx);
    }

    fn restore(&mut self) {
        let Some((base, increments)) = self.backups.files.split_first() else { return };
        let mut restore = Restore::from(base).vfs(Arc::new(self.disk.clone()));
        for increment in increments {
            restore = restore.increment(increment);
        }
        let name = format!("/restored{}", self.names);
        if restore.to(&name).is_err_and(|error| error.code() == "already_exists") {
            return;
        }
        self.close();
        (self.path, self.tx) = (name, self.backups.tx);
        self.oracle = self.backups.oracle.clone();
        self.db = open(&self.disk, &self.path, self.durability);
        // What goes on from here is another history than that which the backups are of.
        self.backups = Backups::default();
    }

    fn go_on_with(&mut self, copy: Copy) {
        let name = self.name();
        match copy {
            Copy::Compact => drop(self.db.compact_into(&name).unwrap()),
            Copy::Repair => {
                // Of a database in use: its log is needed.
                let disk = self.disk.crash(&mut |_| true);
                let repair = Repair::of(&self.path).vfs(Arc::new(disk.clone()));
                let report = repair.scratch("/scratch").to(&name).unwrap();
                assert!(report.complete, "{report:#?}");
                self.disk = disk;
            }
        }
        if matches!(copy, Copy::Compact) {
            self.close();
        }
        self.path = name;
        self.db = open(&self.disk, &self.path, self.durability);
        self.backups = Backups::default();
    }

    fn commit(&mut self, ops: &[Op]) {
        let next = self.tx + 1;
        let accepted = self.oracle.apply(next, ops).is_ok();
        let committed = match ops {
            [op] => write!(&self.db, op).map(Some),
            ops => self.transaction(ops),
        };
        match committed {
            Ok(tx) => {
                assert!(accepted, "only the oracle refused");
                assert_eq!(tx, Some(TxTime(next)));
                self.tx = next;
            }
            Err(Error::EmptyInterval { .. } | Error::BadTtl { .. } | Error::TimeOutOfRange) => {
                assert!(!accepted, "only the database refused")
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn transaction(&self, ops: &[Op]) -> Result<Option<TxTime>> {
        let mut tx = self.db.begin()?;
        for op in ops {
            write!(&mut tx, op)?;
        }
        self.compare_own(&tx);
        tx.commit()
    }

    fn commit_partly(&mut self, before: &[Op], undone: &[Op], after: &[Op]) {
        let mut tx = self.db.begin().unwrap();
        // What is refused at once is no part of the transaction.
        let accepted = |op: &&Op| write!(&mut tx, op).is_ok();
        let mut ops: Vec<Op> = before.iter().filter(accepted).cloned().collect();
        let outer = tx.savepoint();
        for op in undone {
            let _ = write!(&mut tx, op);
            let _ = tx.savepoint();
        }
        let _ = tx.scan(PartitionId(0), b"").map(Iterator::count);
        tx.rollback_to(&outer).unwrap();
        let accepted = |op: &&Op| write!(&mut tx, op).is_ok();
        ops.extend(after.iter().filter(accepted).cloned());
        if self.oracle.apply(self.tx + 1, &ops).is_err() {
            return tx.rollback();
        }
        self.compare_own(&tx);
        let committed = tx.commit().unwrap();
        assert_eq!(committed, (!ops.is_empty()).then_some(TxTime(self.tx + 1)));
        self.tx += i64::from(committed.is_some());
    }

    /// A transaction that is alone reads what it will have written. The oracle has it already.
    fn compare_own(&self, tx: &WriteTx<'_>) {
        let next = self.tx + 1;
        assert_eq!(tx.now().tx, TxTime(next));
        for (partition, key) in self.oracle.keys() {
            let named = Key::new(PartitionId(partition), key);
            let found = tx.get(&named).unwrap();
            let wanted = self.oracle.get(partition, key, next, next);
            assert_eq!(found.as_ref().map(seen), wanted.as_ref().map(expected));
            let found = tx.timeline(&named, None).unwrap();
            let wanted = self.oracle.timeline(partition, key, next);
            let found: Vec<_> = found.iter().map(seen).collect();
            assert_eq!(found, wanted.iter().map(expected).collect::<Vec<_>>());
        }
        for partition in 0..3 {
            let rows = tx.scan(PartitionId(partition), b"").unwrap();
            let rows: Vec<_> =
                rows.map(|row| row.unwrap()).map(|row| (row.key, seen(&row.fact))).collect();
            assert_eq!(rows, expected_scan(&self.oracle, partition, b"", next, next));
        }
    }

    fn compare(&self) {
        compare(&self.db, &self.oracle, self.tx);
    }
}

fn open(disk: &MemVfs, path: &str, durability: Durability) -> Db {
    options(disk).durability(durability).open(path).unwrap()
}

/// The disk after a power failure: each unsynced change survives by a toss of the seed's coin.
fn crash(disk: &MemVfs, seed: u64) -> MemVfs {
    let mut random = seed | 1;
    disk.crash(&mut |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.is_multiple_of(2)
    })
}

/// Keys that are prefixes of each other, keys with zero bytes, in several partitions.
fn place() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let keys: [&[u8]; 5] = [b"a", b"a\0", b"a\0b", b"ab", b"\xFF\xFF"];
    let key = prop_oneof![6 => Just(0usize), 1 => 0..keys.len()];
    let partition = prop_oneof![5 => Just(0u32), 1 => 0u32..3];
    (partition, key).prop_map(move |(partition, key)| (partition, keys[key].to_vec()))
}

/// Times around those of the transactions, before 1970, and at either end.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        16 => -5i64..25,
        1 => Just(i64::MIN),
        1 => Just(i64::MAX - 1),
        1 => Just(i64::MAX),
    ]
}

/// How long facts last that end by themselves; some not at all, some beyond time.
fn ttl() -> impl Strategy<Value = i64> {
    prop_oneof![12 => 1i64..20, 1 => Just(0i64), 1 => Just(i64::MAX), 1 => i64::MAX - 20..i64::MAX]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        4 => time().prop_map(When::From),
        2 => time().prop_map(When::NowTo),
        2 => ttl().prop_map(When::NowFor),
        4 => (time(), time()).prop_map(|(a, b)| When::Range(a.min(b), a.max(b))),
        2 => (-5i64..25, 1i64..4).prop_map(|(a, n)| When::Range(a, a + n)),
    ]
}

/// Values that meet themselves, fill a leaf, and take extents of their own.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        8 => (0u8..5).prop_map(|v| Some(vec![v; v as usize])),
        2 => (0u8..5, 900usize..2200).prop_map(|(v, len)| Some(vec![v; len])),
        1 => (0u8..5).prop_map(|v| Some(vec![v; 70_000])),
        4 => Just(None),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    (place(), value(), when()).prop_map(|((partition, key), value, when)| {
        let when = match when {
            When::NowFor(_) if value.is_none() => When::Now,
            when => when,
        };
        Op { partition, key, value, when }
    })
}

fn some_ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => op().prop_map(|op| Step::Commit(vec![op])),
        3 => proptest::collection::vec(op(), 2..5).prop_map(Step::Commit),
        1 => proptest::collection::vec(op(), 1..4).prop_map(Step::Rollback),
        2 => (some_ops(), some_ops(), some_ops()).prop_map(|(a, b, c)| Step::Partly(a, b, c)),
        2 => place().prop_map(Step::Erase),
        1 => Just(Step::FinishErasures),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Shrink),
        1 => any::<bool>().prop_map(|whole| Step::Backup { whole }),
        1 => Just(Step::Restore),
        1 => prop_oneof![Just(Copy::Compact), Just(Copy::Repair)].prop_map(Step::Move),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn every_answer_is_the_oracles_through_checkpoints_reopenings_and_crashes(
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let mut world = World::new(Durability::Sync);
        for step in &steps {
            let digest = world.db.digest().unwrap();
            world.step(step);
            match step {
                Step::Commit(_) | Step::Partly(..) => {}
                Step::Erase(_) | Step::Restore => world.compare(),
                _ => {
                    prop_assert_eq!(world.db.digest().unwrap(), digest, "after {:?}", step);
                    world.compare();
                }
            }
        }
        world.compare();
        assert_clean(&world.db);
    }

    /// What was acknowledged before it was durable may be lost, but only from the end.
    #[test]
    fn after_a_crash_asynchronous_commits_leave_a_prefix(
        steps in proptest::collection::vec(op(), 1..20),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(Durability::Async);
        for op in &steps {
            world.step(&Step::Commit(vec![op.clone()]));
        }
        world.disk = crash(&world.disk, seed);
        world.db = open(&world.disk, PATH, Durability::Async);
        let kept = world.db.newest_tx().0;
        prop_assert!(kept <= world.tx);
        let mut oracle = Rectangles::new();
        let mut tx = 0;
        for op in &steps {
            if tx < kept && oracle.apply(tx + 1, std::slice::from_ref(op)).is_ok() {
                tx += 1;
            }
        }
        compare(&world.db, &oracle, kept);
        assert_clean(&world.db);
    }
}

#[test]
fn at_either_isolation_own_writes_are_read_alike() {
    let world = World::new(Durability::Sync);
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let mut tx = world.db.begin_with(isolation).unwrap();
        assert!(tx.is_empty());
        tx.put("a", b"1").unwrap();
        assert_eq!(tx.get_as::<String>("a").unwrap().unwrap(), "1");
        tx.delete("a").unwrap();
        assert!(tx.get("a").unwrap().is_none());
    }
}
