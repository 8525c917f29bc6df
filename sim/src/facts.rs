//! Facts on both axes of time, driven through the facade; the oracles are [`Rectangles`] and
//! [`Answered`].

use crate::image::holding;
use crate::rectangles::{Op, Rectangles, Segment, When};
use crate::retention::{Answered, Wanted};
use crate::trace::{DATABASE, Tape};
use crate::world::{Storing, World};
use llmdb::vfs::Vfs;
use llmdb::{
    Clock, Db, Durability, Error, Fact, Key, Options, PageSource, PartitionId, ReadTx, Retention,
    TxTime, ValidTime, Value, WriteTx,
};
use llmdb_storage::StoreOptions;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Little enough for the step of that name to spill.
const MEMORY_BYTES: u64 = 512 << 10;
/// Little enough for a checkpoint to find some to be given up.
const SEGMENT_BYTES: u64 = 4096;
const P: PartitionId = PartitionId(0);
/// Of these keys the whole timeline is asked for: at every T up to the last, and as it is now.
const KEYS: [&str; 7] = ["a", "b", "c", "l", "m03", "o", "s11"];
const LAST_T: i64 = 14;
/// Bytes at the end of a value that no other one has.
const END: usize = 16;
/// At these V's each of them is asked for by itself, too.
const POINTS: [i64; 4] = [-5, 0, 2, 500];
/// Every T of so many microseconds is kept by the step that retires.
const KEPT_US: i64 = 2;

/// Facts, read through a source, on little memory.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    storing: Storing,
}

/// What was written, believed, and given up.
#[derive(Clone, Debug, Default)]
pub struct Beliefs {
    oracle: Rectangles,
    answered: Answered,
    pins: Vec<i64>,
    /// The ends of values that were erased, and that files may still hold.
    unfinished: Vec<Vec<u8>>,
    /// The newest transaction.
    tx: i64,
    /// Steps done, so that no two write the same.
    steps: u32,
}

/// What workloads are made of. There are steps beside these, for what [`damage`](crate::damage) is
/// inflicted on.
const STEPS: [&str; 23] = [
    "put",
    "again",
    "late",
    "range",
    "until",
    "end",
    "delete",
    "many",
    "long",
    "overflow",
    "erase",
    "finish",
    "retain",
    "pin",
    "checkpoint",
    "shrink",
    "reopen",
    "rollback",
    "async",
    "spill",
    "twice",
    "savepoint",
    "look",
];

fn text(error: Error) -> String {
    error.to_string()
}

/// A value that differs from others of its length in its end alone, so that old ones are stored as
/// differences.
fn value(step: u32, i: usize, len: usize) -> Vec<u8> {
    let bytes = |seed: u64, len: usize| {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        })
        .take(len)
    };
    bytes(i as u64, len - END).chain(bytes(u64::from(step) << 32 | i as u64, END)).collect()
}

impl Facts {
    /// Read through `source`.
    pub fn new(source: PageSource) -> Self {
        Self::stored(Storing::plain(source))
    }

    /// Stored in some way.
    pub fn stored(storing: Storing) -> Self {
        Self { storing }
    }

    /// The operations of the step's one transaction.
    fn ops(step: &str, n: u32) -> Vec<Op> {
        let put = |key: &str, i, len, when| Op::put(0, key.as_bytes(), &value(n, i, len), when);
        let absent = |key: &str, when| Op::absent(0, key.as_bytes(), when);
        match step {
            "put" | "async" => vec![put("b", 0, 100, When::Now)],
            "again" => vec![put("a", 0, 500, When::Now)],
            "late" => vec![put("a", 0, 80, When::From(-10))],
            "range" => vec![put("a", 0, 80, When::Range(-3, 3))],
            "until" => vec![put("c", 0, 80, When::NowTo(1000))],
            "end" => vec![absent("a", When::Now)],
            "delete" => vec![absent("a", When::Range(0, 2))],
            "long" => vec![put("l", 0, 40_000, When::Now)],
            "overflow" => vec![put("o", 0, 5_000, When::Now)],
            // A part of what it says first it says otherwise then.
            "twice" => vec![
                put("a", 0, 60, When::Range(-5, 5)),
                put("a", 1, 60, When::Range(-1, 1)),
                absent("a", When::Range(2, 3)),
            ],
            "many" => {
                (0..12).map(|i| put(&format!("m{i:02}"), i as usize, 700, When::Now)).collect()
            }
            "spill" => {
                (0..120).map(|i| put(&format!("s{i:02}"), i as usize, 700, When::Now)).collect()
            }
            // They are worth compressing.
            "texts" => (0..60)
                .map(|i| {
                    let text =
                        value(n, i, 700).iter().map(|byte| b'a' + byte % 4).collect::<Vec<_>>();
                    Op::put(0, format!("t{i:02}").as_bytes(), &text, When::Now)
                })
                .collect(),
            "tome" => {
                let text =
                    value(n, 0, 90_000).iter().map(|byte| b'a' + byte % 4).collect::<Vec<_>>();
                vec![Op::put(0, b"tome", &text, When::Now)]
            }
            _ => unreachable!("there are no other steps"),
        }
    }

    fn commit(
        db: &Db,
        model: &mut Beliefs,
        ops: &[Op],
        durability: Durability,
        tape: &Tape<Beliefs>,
    ) -> Result<(), String> {
        let mut tx = db.begin().map_err(text)?;
        tx.durability(durability);
        Facts::write(&mut tx, ops)?;
        Facts::end(tx, model, ops, tape)?;
        if durability == Durability::Sync {
            tape.acknowledge();
        }
        Ok(())
    }

    fn write(tx: &mut WriteTx<'_>, ops: &[Op]) -> Result<(), String> {
        for op in ops {
            let (key, v) = (Key::new(P, op.key.clone()), ValidTime);
            match (op.value.clone().map(Value::Raw), op.when) {
                (Some(value), When::Now) => tx.put(key, value),
                (Some(value), When::From(from)) => tx.put_at(key, value, v(from)),
                (Some(value), When::NowTo(to)) => tx.put_until(key, value, v(to)),
                (Some(value), When::Range(from, to)) => tx.put_range(key, value, v(from), v(to)),
                (None, When::Now) => tx.end(key),
                (None, When::Range(from, to)) => tx.delete_range(key, v(from), v(to)),
                _ => unreachable!("no step writes that"),
            }
            .map_err(text)?;
        }
        Ok(())
    }

    /// Commits what `ops` wrote.
    fn end(
        tx: WriteTx<'_>,
        model: &mut Beliefs,
        ops: &[Op],
        tape: &Tape<Beliefs>,
    ) -> Result<(), String> {
        model.tx += 1;
        model.oracle.apply(model.tx, ops).map_err(|_| "an empty interval")?;
        tape.issue(model.clone());
        let committed = tx.commit().map_err(text)?;
        assert_eq!(committed, Some(TxTime(model.tx)), "the number of a transaction");
        Ok(())
    }

    /// A transaction that goes back on a part of itself.
    fn savepoint(db: &Db, model: &mut Beliefs, tape: &Tape<Beliefs>) -> Result<(), String> {
        let mut tx = db.begin().map_err(text)?;
        let ops = Facts::ops("range", model.steps);
        Facts::write(&mut tx, &ops)?;
        let savepoint = tx.savepoint();
        Facts::write(&mut tx, &Facts::ops("twice", model.steps))?;
        Facts::write(&mut tx, &Facts::ops("until", model.steps))?;
        tx.rollback_to(&savepoint).map_err(text)?;
        Facts::end(tx, model, &ops, tape)?;
        tape.acknowledge();
        Ok(())
    }

    /// A snapshot goes on answering as it did, while all that it sees is written anew.
    fn look(db: &Db, model: &mut Beliefs, tape: &Tape<Beliefs>) -> Result<(), String> {
        let read = db.read();
        let before = digest(&read)?;
        for step in ["again", "range"] {
            let ops = Facts::ops(step, model.steps);
            Facts::commit(db, model, &ops, Durability::Sync, tape)?;
            db.checkpoint().map_err(text)?;
        }
        assert_eq!(digest(&read)?, before, "a snapshot answers other than it did");
        Ok(())
    }

    /// A write that is a transaction of its own, in another partition.
    fn upkeep<T>(
        model: &mut Beliefs,
        tape: &Tape<Beliefs>,
        done: impl FnOnce() -> llmdb::Result<T>,
    ) -> Result<T, String> {
        model.tx += 1;
        tape.issue(model.clone());
        let done = done().map_err(text)?;
        tape.acknowledge();
        Ok(done)
    }
}

impl World for Facts {
    type Db = Db;
    type Model = Beliefs;

    fn name(&self) -> &'static str {
        match self.storing.source {
            PageSource::Buffered => "facts-buffered",
            _ => "facts",
        }
    }

    fn steps(&self) -> &'static [&'static str] {
        &STEPS
    }

    fn open(&self, vfs: Arc<dyn Vfs>) -> Result<Db, String> {
        if vfs.kind(Path::new(DATABASE)).map_err(|error| error.to_string())?.is_none() {
            // The same bytes each time, so that the same crash leaves the same state.
            let page_size = self.storing.page_bytes;
            let options =
                StoreOptions { uuid: Some([9; 16]), page_size, ..StoreOptions::default() };
            llmdb_storage::create(&vfs, Path::new(DATABASE), &options)
                .map_err(|error| error.to_string())?;
        }
        Options::new()
            .vfs(vfs)
            .clock(Clock::Logical)
            .auto_checkpoint(false)
            .memory_bytes(MEMORY_BYTES)
            .log_segment_bytes_max(SEGMENT_BYTES)
            .page_source(self.storing.source)
            .page_cache_bytes(32 * (self.storing.page_bytes as u64 + 96))
            .compression(self.storing.compression)
            .open(DATABASE)
            .map_err(text)
    }

    /// A few keys with a past.
    fn prepare(&self, db: &Db) -> Result<Beliefs, String> {
        let (mut model, tape) = (Beliefs::default(), Tape::new(crate::trace::disk()));
        for step in ["again", "many", "late", "put", "again"] {
            model.steps += 1;
            let ops = Facts::ops(step, model.steps);
            Facts::commit(db, &mut model, &ops, Durability::Sync, &tape)?;
        }
        Ok(model)
    }

    fn act(
        &self,
        db: &Db,
        model: &mut Beliefs,
        step: &str,
        tape: &Arc<Tape<Beliefs>>,
    ) -> Result<bool, String> {
        model.steps += 1;
        let name = format!("p{}", model.steps);
        match step {
            "checkpoint" => db.checkpoint().map_err(text)?,
            "shrink" => drop(db.shrink().map_err(text)?),
            "finish" => {
                db.finish_erasures().map_err(text)?;
                let erased = std::mem::take(&mut model.unfinished);
                if erased.is_empty() {
                    // There was nothing to do.
                    return Ok(true);
                }
                // Of copies, for calls of the disk itself may be about to fail.
                for files in [tape.disk().crash(&mut |_| true), tape.disk().crash_losing_all()] {
                    let left = erased.iter().find_map(|end| holding(&files, end));
                    assert!(left.is_none(), "{left:?} holds what was erased");
                }
            }
            "reopen" => return Ok(false),
            "rollback" => {
                let mut tx = db.begin().map_err(text)?;
                tx.put("l", value(model.steps, 0, 40_000)).map_err(text)?;
                tx.put("a", b"never").map_err(text)?;
                tx.rollback();
                return Ok(true);
            }
            "erase" => {
                let all = model.oracle.events().into_iter();
                let values = all.filter(|event| event.key == b"a").filter_map(|e| e.value.as_ref());
                model.unfinished.extend(values.map(|value| value[value.len() - END..].to_vec()));
                model.oracle.erase(0, b"a");
                Facts::upkeep(model, tape, || db.erase("a"))?;
                return Ok(true);
            }
            "pin" => {
                model.pins.push(model.tx);
                Facts::upkeep(model, tape, || db.name_checkpoint(&name, None))?;
                return Ok(true);
            }
            "retain" => {
                let policy = Retention::all_for(Duration::from_micros(KEPT_US as u64));
                Facts::upkeep(model, tape, || db.set_retention(P, &policy))?;
                let wanted = Wanted { all: KEPT_US, periods: Vec::new(), pins: model.pins.clone() };
                // What was erased is as if it had never been written.
                let mut txs: Vec<i64> = model.oracle.events().iter().map(|e| e.tx).collect();
                txs.dedup();
                model.answered.run(&txs, &wanted, model.tx);
                tape.issue(model.clone());
                db.retire(None).map_err(text)?;
            }
            "savepoint" => return Facts::savepoint(db, model, tape).map(|()| true),
            "look" => return Facts::look(db, model, tape).map(|()| true),
            step => {
                let ops = Facts::ops(step, model.steps);
                let durability = if step == "async" { Durability::Async } else { Durability::Sync };
                Facts::commit(db, model, &ops, durability, tape)?;
                return Ok(true);
            }
        }
        // All that was committed is durable: in the file, or in the log.
        tape.acknowledge();
        Ok(true)
    }

    fn expected(&self, model: &Beliefs) -> u64 {
        let mut hash = DefaultHasher::new();
        model.tx.hash(&mut hash);
        for tx in asked(model.tx) {
            let answered = tx >= model.tx || model.answered.answers(tx);
            answered.hash(&mut hash);
            if !answered {
                continue;
            }
            for key in asked_keys(tx, model.tx) {
                let segments = model.oracle.timeline(0, key.as_bytes(), tx);
                let key = key.as_str();
                let mut add = |segment: &Segment<'_>| {
                    let event = segment.event;
                    let value = event.value.as_deref().unwrap_or_default();
                    (key, segment.from, segment.to, event.tx, value).hash(&mut hash);
                };
                segments.iter().for_each(&mut add);
                for point in POINTS {
                    let around =
                        |segment: &&Segment<'_>| segment.from <= point && point < segment.to;
                    segments.iter().find(around).into_iter().for_each(&mut add);
                }
            }
        }
        hash.finish()
    }

    fn found(&self, db: &Db) -> Result<u64, String> {
        digest(&db.read())
    }

    fn entries(&self, db: &Db) -> Result<BTreeSet<u64>, String> {
        let read = db.read();
        let mut from = TxTime::MIN;
        let changes = loop {
            match read.changes(from, None, None) {
                Ok(changes) => break changes.changes,
                // What was given up is not there to be listed.
                Err(Error::HistoryRetired { after: Some(after), .. }) if after > from => {
                    from = after
                }
                Err(error) => return Err(text(error)),
            }
        };
        let mut entries = BTreeSet::new();
        for change in changes {
            let mut hash = DefaultHasher::new();
            (change.tx, change.op_index, change.partition, change.key).hash(&mut hash);
            (change.valid_from, change.valid_to).hash(&mut hash);
            match change.value {
                Some(Value::Raw(bytes)) => bytes.hash(&mut hash),
                other => other.map(|value| value.to_json().to_string()).hash(&mut hash),
            }
            entries.insert(hash.finish());
        }
        Ok(entries)
    }

    fn verify(&self, db: &Db) -> Result<(), String> {
        let report = db.verify().map_err(text)?;
        match report.problems.first() {
            None => Ok(()),
            Some(problem) => Err(format!("verify: {problem}")),
        }
    }

    fn is_mapped(&self) -> bool {
        self.storing.source == PageSource::Mmap
    }

    fn close(&self, db: Db) -> Result<(), String> {
        db.close().map_err(text)
    }
}

/// The T's that are asked for, of a database whose newest is `newest`.
fn asked(newest: i64) -> impl Iterator<Item = i64> {
    (0..=LAST_T).chain(Some(newest).filter(|newest| *newest > LAST_T))
}

/// The keys that are asked for at `tx`: as it is now, all that are ever written.
fn asked_keys(tx: i64, newest: i64) -> impl Iterator<Item = String> {
    let numbered = |letter: char, count| (0..count).map(move |i| format!("{letter}{i:02}"));
    let all = (tx == newest).then(|| numbered('m', 12).chain(numbered('s', 120)));
    KEYS.iter().map(|key| (*key).to_owned()).chain(all.into_iter().flatten())
}

/// One number for all answers to a fixed set of questions.
fn digest(read: &ReadTx<'_>) -> Result<u64, String> {
    let mut hash = DefaultHasher::new();
    read.newest_tx().0.hash(&mut hash);
    for tx in asked(read.newest_tx().0) {
        let answered = match read.timeline(KEYS[0], Some(TxTime(tx))) {
            Ok(_) => true,
            Err(Error::HistoryRetired { .. }) => false,
            Err(error) => return Err(error.to_string()),
        };
        answered.hash(&mut hash);
        if !answered {
            continue;
        }
        for key in asked_keys(tx, read.newest_tx().0) {
            let key = key.as_str();
            let mut add = |fact: Fact| {
                let Value::Raw(value) = fact.value else { return Err("not raw".to_owned()) };
                let (from, to) = (fact.valid_from.0, fact.valid_to.0);
                (key, from, to, fact.tx.0, value.as_slice()).hash(&mut hash);
                Ok(())
            };
            for fact in read.timeline(key, Some(TxTime(tx))).map_err(text)? {
                add(fact)?;
            }
            for point in POINTS {
                let view = read.as_of_transaction(TxTime(tx)).as_of_valid(ValidTime(point));
                let fact = view.get(key).map_err(text)?;
                fact.map_or(Ok(()), &mut add)?;
            }
        }
    }
    Ok(hash.finish())
}
