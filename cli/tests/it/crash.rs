//! SIGKILL in the middle of pipelined durable writes: what was acknowledged is there, and what is
//! there is a prefix of what was sent.

use crate::shell::{Exec, place};
use llmdb::{Clock, Options, PartitionId};
use llmdb_sim::kill::{Plan, Report, kill};
use std::io::{BufRead, Write};

/// Writes sent; more than are answered by then.
const SENT: usize = 20_000;

fn kill_after(answers: usize) {
    let (_dir, db) = place();
    let (mut child, mut stdin, mut stdout) = Exec::start(&db).into_parts();
    let sender = std::thread::spawn(move || {
        for n in 0..SENT {
            let line = format!("{{\"op\":\"put\",\"key\":\"k{n:06}\",\"value\":{n},\"id\":{n}}}\n");
            // The pipe breaks when its reader dies.
            if stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut acknowledged = 0;
    let mut line = String::new();
    while acknowledged < answers {
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(
            line,
            format!("{{\"ok\":true,\"id\":{acknowledged},\"tx\":{}}}\n", acknowledged + 1)
        );
        acknowledged += 1;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sender.join().unwrap();
    // What was answered and not read yet counts; a torn last line does not.
    for line in stdout.lines() {
        let Ok(line) = line else { break };
        acknowledged += usize::from(line.ends_with('}'));
    }
    let db = Options::new().clock(Clock::Logical).create(false).open(&db).unwrap();
    let keys: Vec<String> = db
        .scan(PartitionId(0), "k")
        .unwrap()
        .map(|row| String::from_utf8(row.unwrap().key).unwrap())
        .collect();
    let prefix: Vec<String> = (0..keys.len()).map(|n| format!("k{n:06}")).collect();
    assert_eq!(keys, prefix, "a prefix, without holes");
    assert!(keys.len() >= acknowledged, "{} are there of {acknowledged}", keys.len());
    assert!(keys.len() < SENT, "killed too late to tell anything");
    assert_eq!(db.newest_tx().0 as usize, keys.len());
    assert!(db.verify().unwrap().is_clean());
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    for answers in [1, 10, 300] {
        kill_after(answers);
    }
}

fn killed(durability: &'static str) -> Result<Report, String> {
    let (_dir, database) = place();
    let program = env!("CARGO_BIN_EXE_llmdb").into();
    kill(&Plan { program, database, durability, rounds: 15, seed: 9 })
}

/// A part of what `llmdb-sim kill` does.
#[test]
fn a_process_killed_at_random_moments_leaves_all_that_it_acknowledged() {
    let report = killed("sync").unwrap();
    assert!(report.acknowledged > 100 && report.found >= report.acknowledged, "{report}");
}

/// The same harness, of a process that acknowledges what is not there yet.
#[test]
fn a_process_that_acknowledges_too_early_is_caught() {
    let why = killed("async").unwrap_err();
    assert!(why.contains("acknowledged"), "{why}");
}
