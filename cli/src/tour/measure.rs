//! Sizes and speeds, measured on the spot, in a database of their own.

use crate::error::{Error, Result};
use llmdb::{Db, Durability, Isolation, Options, TxTime, ValidTime, Value};
use serde_json::json;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long each speed is measured.
const MEASURE: Duration = Duration::from_millis(400);
/// Keys in the database, each with a value and the one before.
pub const FACTS: u64 = 20_000;
/// Facts a transaction while it is filled.
const BATCH: u64 = 1_000;
/// Threads that commit at once.
pub const WRITERS: usize = 8;

/// Sizes and speeds.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Facts brought in a second, in transactions of a thousand.
    pub facts_per_s: f64,
    /// Bytes of the file for each version of a fact, of `value_bytes` and its key.
    pub bytes_per_version: f64,
    /// Bytes of the JSON of a value.
    pub value_bytes: usize,
    /// Reads of what is true now, a second, on one thread.
    pub reads_per_s: f64,
    /// Reads of what was believed of a past time, a second, on one thread.
    pub past_reads_per_s: f64,
    /// Durable commits a second of one writer.
    pub commits_per_s: f64,
    /// Durable commits a second of several writers at once.
    pub shared_commits_per_s: f64,
}

impl Figures {
    /// Measures, in a new database at `path`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn measure(path: &Path) -> Result<Self> {
        let db = Options::new().open(path)?;
        let mut figures = Self { value_bytes: value(0, 0).to_string().len(), ..Self::default() };
        let began = Instant::now();
        let past = fill(&db, 0)?;
        fill(&db, 1)?;
        figures.facts_per_s = rate(2 * FACTS, began);
        db.checkpoint()?;
        let stats = db.stats()?;
        let bytes = stats.pages_used * stats.page_bytes;
        figures.bytes_per_version = bytes as f64 / (2 * FACTS) as f64;
        figures.reads_per_s = reads(&db, None)?;
        figures.past_reads_per_s = reads(&db, Some(past))?;
        figures.commits_per_s = commits(&db, 1)?;
        figures.shared_commits_per_s = commits(&db, WRITERS)?;
        db.close()?;
        Ok(figures)
    }
}

fn value(n: u64, version: u64) -> serde_json::Value {
    json!({ "name": format!("person {n}"), "plan": "pro", "seats": n % 100, "version": version })
}

fn key(n: u64) -> String {
    format!("user:{n:08}/profile")
}

/// Gives every key a value, and tells the time at which that was known.
fn fill(db: &Db, version: u64) -> Result<TxTime> {
    for first in (0..FACTS).step_by(BATCH as usize) {
        let mut tx = db.begin_with(Isolation::Snapshot)?;
        tx.durability(Durability::Async);
        for n in first..(first + BATCH).min(FACTS) {
            let valid_from = ValidTime(1_700_000_000_000_000 + version as i64);
            tx.put_at(key(n), Value::Json(value(n, version)), valid_from)?;
        }
        tx.commit()?;
    }
    Ok(db.newest_tx())
}

fn reads(db: &Db, tx: Option<TxTime>) -> Result<f64> {
    let read = db.read();
    let tx = tx.unwrap_or(read.newest_tx());
    let view = read.as_of_transaction(tx);
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < MEASURE {
        for _ in 0..256 {
            // A full cycle in an order that is no order.
            let n = (done * 7_919) % FACTS;
            let fact = view.get(key(n))?;
            assert!(fact.is_some(), "every key was given a value");
            done += 1;
        }
    }
    Ok(rate(done, began))
}

fn commits(db: &Db, writers: usize) -> Result<f64> {
    let began = Instant::now();
    let write = |writer: usize| {
        let mut done = 0;
        while began.elapsed() < MEASURE {
            db.put(format!("writer:{writer}/{done}"), Value::Json(value(done, 0)))?;
            done += 1;
        }
        Ok::<u64, Error>(done)
    };
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|n| scope.spawn(move || write(n))).collect();
        let done = threads.into_iter().map(|thread| thread.join().expect("writers do not panic"));
        done.sum::<Result<u64>>()
    })?;
    Ok(rate(done, began))
}

fn rate(count: u64, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64().max(1e-9)
}
