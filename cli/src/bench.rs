//! `llmdb bench`: quick figures of this machine, honestly told.
//!
//! A database of its own is filled twice, so that each key has a past; then it is closed, opened
//! anew, and asked. A rate is a median of rounds of a fixed length, latencies are of single calls.

use crate::args;
use crate::commands::print;
use crate::error::Result;
use crate::progress;
use crate::scratch::Scratch;
use crate::stop::Stop;
use llmdb::{Db, Durability, Isolation, Options, PartitionId, TxTime, ValidTime, Value};
use serde_json::{Value as Json, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rounds of a rate, and how long each takes.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(200);
/// Facts in a transaction of the load.
const BATCH: u64 = 1_000;
/// Durable commits that are measured, and the longest that takes.
const COMMITS: usize = 300;
const COMMITS_TIME: Duration = Duration::from_secs(3);
/// Calls between two looks at the clock.
const CALLS: u64 = 256;
/// Calls whose latency is taken one by one.
const LATENCIES: usize = 20_000;

/// One figure.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    per_s: f64,
    /// Of single calls, where they are timed: median and 99th percentile.
    us: Option<(f64, f64)>,
    /// How many calls, over how long.
    calls: u64,
    time: Duration,
}

/// Runs `llmdb bench`.
///
/// # Errors
/// Those of the database; [`crate::error::Error::Interrupted`].
pub fn run(args: &args::Bench) -> Result<ExitCode> {
    let stop = Stop::on_signals(|| {})?;
    let scratch = Scratch::new("bench", args.dir.as_deref())?;
    let path = scratch.path().join("bench.llmdb");
    let bench = Bench { args, stop: &stop, value: filler(args.value_bytes) };
    let db = Options::new().page_size(args.page_size).open(&path)?;
    let mut figures = vec![bench.load(&db, 0, "load, new keys")?];
    let past = db.newest_tx();
    figures.push(bench.load(&db, 1, "load, corrections")?);
    db.close()?;
    let file_bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    let db = Options::new().open(&path)?;
    figures.push(bench.gets(&db, "get, now", None)?);
    figures.push(bench.gets(&db, "get, as of an earlier time", Some(past))?);
    figures.push(bench.scans(&db)?);
    figures.push(bench.commits(&db)?);
    db.close()?;
    let text = if args.json {
        bench.json(&figures, file_bytes)
    } else {
        bench.text(&figures, file_bytes, scratch.path())
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    args: &'a args::Bench,
    stop: &'a Stop,
    value: Vec<u8>,
}

/// Bytes that do not compress to nothing, the same in every run.
fn filler(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

impl Bench<'_> {
    /// A key in an order that is no order: a full cycle over all of them.
    fn key(&self, n: u64) -> String {
        let mixed = (u128::from(n) * 2_654_435_761 % u128::from(self.args.keys)) as u64;
        format!("key:{mixed:012}")
    }

    fn load(&self, db: &Db, version: u64, name: &'static str) -> Result<Figure> {
        let bar = progress::bar(name);
        bar.set_length(self.args.keys);
        let began = Instant::now();
        for first in (0..self.args.keys).step_by(BATCH as usize) {
            self.stop.check()?;
            let mut tx = db.begin_with(Isolation::Snapshot)?;
            tx.durability(self.args.load_durability.durability());
            let last = (first + BATCH).min(self.args.keys);
            for n in first..last {
                let at = ValidTime(1_700_000_000_000_000 + version as i64);
                tx.put_at(self.key(n), Value::Raw(self.value.clone()), at)?;
            }
            tx.commit()?;
            bar.set_position(last);
        }
        // What is loaded is in the file, whatever the durability was.
        db.checkpoint()?;
        bar.finish_and_clear();
        let time = began.elapsed();
        Ok(Figure {
            name,
            per_s: rate(self.args.keys, time),
            us: None,
            calls: self.args.keys,
            time,
        })
    }

    fn gets(&self, db: &Db, name: &'static str, tx: Option<TxTime>) -> Result<Figure> {
        let read = db.read();
        let view = read.as_of_transaction(tx.unwrap_or(read.newest_tx()));
        let keys: Vec<String> =
            (0..self.args.keys.min(LATENCIES as u64 * 4)).map(|n| self.key(n)).collect();
        let at = |n: u64| &keys[(n % keys.len() as u64) as usize];
        let mut figure = self.rounds(name, |n| {
            view.get(at(n).as_str())?;
            Ok(())
        })?;
        let mut each: Vec<Duration> = Vec::with_capacity(LATENCIES);
        for n in 0..LATENCIES as u64 {
            let began = Instant::now();
            view.get(at(n).as_str())?;
            each.push(began.elapsed());
        }
        figure.us = Some(percentiles(&mut each));
        Ok(figure)
    }

    fn scans(&self, db: &Db) -> Result<Figure> {
        let read = db.read();
        let mut rows = 0;
        let began = Instant::now();
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let (round, mut seen) = (Instant::now(), 0);
            for row in read.scan(PartitionId(0), "key:")? {
                row?;
                seen += 1;
                if seen % CALLS == 0 && (self.stop.came() || round.elapsed() > ROUND) {
                    self.stop.check()?;
                    break;
                }
            }
            rates.push(rate(seen, round.elapsed()));
            rows += seen;
        }
        let time = began.elapsed();
        Ok(Figure { name: "scan, rows", per_s: median(&mut rates), us: None, calls: rows, time })
    }

    fn commits(&self, db: &Db) -> Result<Figure> {
        let mut each = Vec::new();
        let began = Instant::now();
        while each.len() < COMMITS && began.elapsed() < COMMITS_TIME {
            self.stop.check()?;
            let mut tx = db.begin()?;
            tx.durability(Durability::Sync);
            tx.put(self.key(each.len() as u64), Value::Raw(self.value.clone()))?;
            let begin = Instant::now();
            tx.commit()?;
            each.push(begin.elapsed());
        }
        let (time, calls) = (began.elapsed(), each.len() as u64);
        let us = Some(percentiles(&mut each));
        Ok(Figure { name: "commit, durable", per_s: rate(calls, time), us, calls, time })
    }

    fn rounds(&self, name: &'static str, call: impl Fn(u64) -> Result<()>) -> Result<Figure> {
        let bar = progress::waiting(name);
        let (mut rates, mut calls) = (Vec::new(), 0);
        let began = Instant::now();
        for _ in 0..ROUNDS {
            let (round, mut done) = (Instant::now(), 0);
            while round.elapsed() < ROUND {
                self.stop.check()?;
                for _ in 0..CALLS {
                    call(calls + done)?;
                    done += 1;
                }
            }
            rates.push(rate(done, round.elapsed()));
            calls += done;
        }
        bar.finish_and_clear();
        Ok(Figure { name, per_s: median(&mut rates), us: None, calls, time: began.elapsed() })
    }

    fn json(&self, figures: &[Figure], file_bytes: u64) -> String {
        let figure = |figure: &Figure| {
            json!({
                "name": figure.name,
                "per_s": figure.per_s.round(),
                "us_median": figure.us.map(|(median, _)| median),
                "us_p99": figure.us.map(|(_, p99)| p99),
                "calls": figure.calls,
                "seconds": figure.time.as_secs_f64(),
            })
        };
        let figures: Vec<Json> = figures.iter().map(figure).collect();
        let (keys, value_bytes) = (self.args.keys, self.args.value_bytes);
        let all = json!({
            "keys": keys,
            "value_bytes": value_bytes,
            "page_bytes": self.args.page_size,
            "file_bytes": file_bytes,
            "load_durability": format!("{:?}", self.args.load_durability).to_lowercase(),
            "threads": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "figures": figures,
        });
        format!("{all}\n")
    }

    fn text(&self, figures: &[Figure], file_bytes: u64, dir: &std::path::Path) -> String {
        let args = self.args;
        let load = format!("{:?}", args.load_durability).to_lowercase();
        let mut text = format!(
            "LLMDB {}, {} keys of {} bytes, 2 versions of each, one thread, in {}\n\
             load: {load} commits of {BATCH}, then a checkpoint; file {} MB\n\n",
            env!("CARGO_PKG_VERSION"),
            args.keys,
            args.value_bytes,
            dir.parent().unwrap_or(dir).display(),
            file_bytes / 1_000_000,
        );
        if cfg!(debug_assertions) {
            text.push_str(
                "This build is not optimised: the figures are those of a debug build.\n\n",
            );
        }
        text.push_str(&format!(
            "{:<28}{:>12}{:>12}{:>12}{:>11}\n",
            "", "per second", "median us", "p99 us", "seconds"
        ));
        for figure in figures {
            let us = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}"));
            text.push_str(&format!(
                "{:<28}{:>12.0}{:>12}{:>12}{:>11.2}\n",
                figure.name,
                figure.per_s,
                us(figure.us.map(|(median, _)| median)),
                us(figure.us.map(|(_, p99)| p99)),
                figure.time.as_secs_f64(),
            ));
        }
        text.push_str("\nRates of gets and scans are medians of 5 rounds; the file was just written, so its\n");
        text.push_str("pages are in the memory of the operating system.\n");
        text
    }
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Median and 99th percentile, in microseconds.
fn percentiles(each: &mut [Duration]) -> (f64, f64) {
    each.sort_unstable();
    let us = |at: usize| each.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    (us(each.len() / 2), us(each.len() * 99 / 100))
}
