//! A signal ends any command by a clean close, at whatever moment it comes; a second one at once.
//!
//! Commands are run as processes and signalled after random times: before the database is open,
//! while it works, after it is done. The file must be whole and without a log afterwards.

use crate::shell::{llmdb, out, place, text};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a command may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    // The process may be gone.
    Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status().unwrap();
}

fn ended(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("the command did not end");
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn logs(db: &Path) -> bool {
    db.with_file_name("test.llmdb-wal").exists()
}

/// Whole, and closed cleanly.
fn assert_clean(db: &Path, what: &str) {
    if db.exists() {
        assert!(!logs(db), "{what}: there is a log");
        assert!(out(&["verify", text(db)]).starts_with("clean"), "{what}");
    }
}

fn fill(db: &Path, lines: usize) -> String {
    let file = db.with_file_name("lines.ndjson");
    let line = |n: usize| format!("{{\"key\":\"key:{n:06}\",\"value\":\"{}\"}}\n", "v".repeat(100));
    std::fs::write(&file, (0..lines).map(line).collect::<String>()).unwrap();
    text(&file).to_owned()
}

fn start(arguments: &[&str]) -> Child {
    let mut command = llmdb();
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_signal_at_any_moment_leaves_a_clean_file() {
    let mut random = Random(0x5eed);
    let (dir, db) = place();
    let file = fill(&db, 20_000);
    let path = text(&db).to_owned();
    let scratch = text(dir.path()).to_owned();
    let commands: [&[&str]; 9] = [
        &["import", "ndjson", &path, &file, "--batch", "50"],
        &["import", "ndjson", &path, "-"],
        &["export", &path],
        &["export", &path, "--history"],
        &["scan", &path],
        &["verify", &path],
        &["shell", &path],
        &["watch", &path, "--from", "oldest", "--json"],
        &["bench", "--keys", "200000", "--value-bytes", "100", "--dir", &scratch],
    ];
    out(&["put", &path, "first", "1"]);
    let mut stopped = 0;
    for round in 0..3 {
        for command in commands {
            let name = if random.below(2) == 0 { "INT" } else { "TERM" };
            let mut child = start(command);
            // A process that has not come to catch signals is killed by one.
            std::thread::sleep(Duration::from_millis(60 + random.below(150)));
            signal(&child, name);
            let code = ended(&mut child).code();
            let expected = if name == "INT" { 130 } else { 143 };
            let what = format!("round {round}: {command:?} SIG{name}");
            assert!(code == Some(expected) || code == Some(0), "{what}: {code:?}");
            stopped += usize::from(code == Some(expected));
            assert_clean(&db, &what);
        }
    }
    assert!(stopped >= 10, "most commands are stopped in the middle: {stopped}");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("llmdb-bench"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn input_that_never_ends_is_no_reason_to_stay() {
    for command in ["shell", "watch"] {
        for (name, code) in [("INT", 130), ("TERM", 143)] {
            let (_dir, db) = place();
            let mut child = start(&[command, text(&db)]);
            let mut input = child.stdin.take().unwrap();
            let put: &[u8] = b"{\"op\":\"put\",\"key\":\"k\",\"value\":\"kept\"}\n";
            input.write_all(put).unwrap();
            while !logs(&db) {
                std::thread::sleep(Duration::from_millis(5));
            }
            signal(&child, name);
            assert_eq!(ended(&mut child).code(), Some(code), "{command} SIG{name}");
            drop(input);
            assert_clean(&db, command);
        }
    }
}

#[test]
fn a_second_signal_ends_at_once_and_nothing_committed_is_lost() {
    use std::os::unix::process::ExitStatusExt;
    let (_dir, db) = place();
    let path = text(&db).to_owned();
    let mut command = llmdb();
    // Nobody reads what it answers: it waits for ever within the first request.
    command.args(["exec", &path]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"op\":\"put\",\"key\":\"k\",\"value\":\"kept\"}\n").unwrap();
    let big = "x".repeat(1 << 20);
    let put = format!("{{\"op\":\"put\",\"key\":\"big\",\"value\":\"{big}\"}}\n");
    input.write_all(put.as_bytes()).unwrap();
    input.write_all(b"{\"op\":\"get\",\"key\":\"big\"}\n").unwrap();
    input.flush().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it waits for its reader");
    signal(&child, "TERM");
    assert_eq!(ended(&mut child).signal(), Some(15));
    assert!(out(&["get", &path, "k"]).contains("kept"));
    assert_clean(&db, "after the next open");
}
