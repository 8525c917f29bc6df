//! An import that is killed half-way and run again leaves what one run would have left.

use crate::git::{commit, file, import, open, repository};
use crate::shell::{llmdb, place, text};
use llmdb::{Db, Key, PartitionId, TxTime, ValidTime};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A history with dates out of order, branches, renames and deletions.
fn wild(commits: u32) -> String {
    let mut script = String::new();
    for n in 1..=commits {
        let seconds = 1_000 + i64::from(n * 7_919 % commits);
        let mut changes = String::new();
        if n > 1 && n % 50 == 0 {
            let _ = write!(changes, "from :{}\nmerge :{}\n", n - 1, n - 10);
        }
        changes += &file(&format!("dir{}/file{}", n % 7, n % 31), &n.to_string());
        if n % 13 == 0 {
            let _ = writeln!(changes, "D dir{}/file{}", (n - 1) % 7, (n - 1) % 31);
        }
        script += &commit("main", n, seconds, &format!("commit {n}"), &changes);
    }
    script
}

/// A directory with a `git` that lets out only so many bytes of a log, tells by a file when they
/// were taken, and then hangs.
fn halting_git(dir: &Path, bytes: usize) -> PathBuf {
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    let (bin, taken) = (dir.join("bin"), dir.join("taken"));
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' log '*) '{git}' \"$@\" | head -c {bytes}; \
         touch '{taken}'; exec sleep 20;; esac\nexec '{git}' \"$@\"\n",
        git = real.trim(),
        taken = taken.display(),
    );
    fs::write(bin.join("git"), script).unwrap();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(bin.join("git"), mode).unwrap();
    bin
}

#[test]
fn killed_half_way_and_run_again_it_is_the_same() {
    const COMMITS: u32 = 2_000;
    let repository = repository(&wild(COMMITS));
    let (dir, db) = place();
    let whole = dir.path().join("whole.llmdb");
    import(&whole, repository.path());
    let mut imported = Vec::new();
    for bytes in [200_000, 400_000] {
        let dir = tempfile::tempdir().unwrap();
        let bin = halting_git(dir.path(), bytes);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut child = llmdb()
            .env("PATH", path)
            .args(["import", "git", text(&db), text(repository.path()), "--clock", "logical"])
            .spawn()
            .unwrap();
        while !dir.path().join("taken").exists() {
            assert!(child.try_wait().unwrap().is_none(), "it hangs, unless it failed");
            std::thread::sleep(Duration::from_millis(10));
        }
        // What it has read by now it may go on importing; when it is killed does not matter.
        std::thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        child.wait().unwrap();
        let db = open(&db);
        assert!(db.verify().unwrap().is_clean());
        assert_one_transaction_each(&db);
        imported.push(progress(&db));
    }
    assert!(
        0 < imported[0] && imported[0] < imported[1] && imported[1] < u64::from(COMMITS),
        "{imported:?}"
    );
    let said = import(&db, repository.path());
    assert!(said.contains(&format!("after {} commits earlier", imported[1])), "{said}");
    let (db, whole) = (open(&db), open(&whole));
    assert_eq!(progress(&db), u64::from(COMMITS));
    assert_eq!(db.digest().unwrap(), whole.digest().unwrap());
}

/// How many commits the database says it has.
fn progress(db: &Db) -> u64 {
    let partition = db.partition("_import").unwrap();
    let record = db.as_of_valid(ValidTime(0)).get(Key::new(partition, "git/0")).unwrap();
    record.map_or(0, |fact| fact.value.to_json()["imported"].as_u64().unwrap())
}

/// Every transaction that brought facts says how far it is, so that none is ever there without.
fn assert_one_transaction_each(db: &Db) {
    let records = db.partition("_import").unwrap();
    let changes = db.changes(TxTime(0), None, None).unwrap().changes;
    let of = |wanted: PartitionId| -> BTreeSet<TxTime> {
        changes.iter().filter(|change| change.partition == wanted).map(|change| change.tx).collect()
    };
    assert!(of(PartitionId(0)).is_subset(&of(records)));
}
