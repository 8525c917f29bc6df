//! What the log promises, on a disk that loses power, runs full, fails and rots.

#![expect(clippy::unwrap_used, reason = "tests")]

mod concurrency;
mod crashes;
mod damage;
mod failures;
mod holes;
mod incarnations;
mod lifecycle;
mod pieces;
mod recycling;
mod watched;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use llmdb_vfs::{MemOptions, MemVfs, OpenMode, Vfs};
use llmdb_wal::{Error, Log, LogConfig, Lsn, Outcome, Recovery, ReplayError, Result};

const DIR: &str = "/db-wal";
const UUID: [u8; 16] = *b"a test database!";

/// Small segments, so that little data crosses many.
const SMALL: LogConfig =
    LogConfig { uuid: UUID, segment_bytes_first: 4096, segment_bytes_max: 16 << 10 };

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn disk() -> MemVfs {
    MemVfs::with_options(MemOptions { reserve_bytes: 16 << 20, ..MemOptions::default() })
}

fn arc(disk: &MemVfs) -> Arc<dyn Vfs> {
    Arc::new(disk.clone())
}

fn new_log(disk: &MemVfs) -> Log {
    Log::create(arc(disk), dir(), SMALL, 1, Lsn::ZERO).unwrap()
}

/// The payload of a commit: told by its number and length.
fn payload(seq: u64, len: usize) -> Vec<u8> {
    let mut state = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn append(log: &Log, seq: u64, len: usize) -> Lsn {
    log.reserve(len).unwrap();
    log.append(seq, &[&payload(seq, len)]).unwrap()
}

/// A commit as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Done {
    seq: u64,
    payload: Vec<u8>,
    end: Lsn,
}

fn done(seq: u64, len: usize, end: Lsn) -> Done {
    Done { seq, payload: payload(seq, len), end }
}

fn open(disk: &MemVfs, incarnation: u32, from: Lsn) -> Result<Recovery> {
    Recovery::open(arc(disk), dir(), SMALL, incarnation, from)
}

fn replay(recovery: &mut Recovery) -> Result<(Vec<Done>, Outcome)> {
    let mut commits = Vec::new();
    let replayed = recovery.replay(|commit| {
        commits.push(Done { seq: commit.seq, payload: commit.payload.to_vec(), end: commit.end });
        Ok::<(), Infallible>(())
    });
    match replayed {
        Ok(outcome) => {
            assert_eq!(outcome.commits, commits.len() as u64);
            assert_eq!(outcome.last_seq, commits.last().map(|commit| commit.seq));
            assert!(outcome.proven <= outcome.end);
            Ok((commits, outcome))
        }
        Err(ReplayError::Log(e)) => Err(e),
        Err(ReplayError::Apply(never)) => match never {},
    }
}

/// Opens and replays.
fn read(disk: &MemVfs, incarnation: u32, from: Lsn) -> Result<(Vec<Done>, Outcome)> {
    replay(&mut open(disk, incarnation, from)?)
}

/// The only segment file of a log, or the `n`th by name.
fn segment_path(disk: &MemVfs, n: usize) -> std::path::PathBuf {
    let names = disk.read_dir(dir()).unwrap();
    let mut logs = names.into_iter().filter(|name| name.to_str().unwrap().ends_with(".log"));
    dir().join(logs.nth(n).unwrap())
}

fn file_bytes(disk: &MemVfs, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn overwrite(disk: &MemVfs, path: &Path, bytes: &[u8], offset: u64) {
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(bytes)], offset).unwrap();
}

fn is_corrupt<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt { .. }))
}
