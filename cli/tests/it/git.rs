//! The history of a repository as facts: odd names, merges, dates out of order.

use crate::shell::{out, place, run, text};
use llmdb::{Clock, Db, Options, PartitionId, ValidTime};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SECOND_US: i64 = 1_000_000;

fn git(repository: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(arguments).stdout(Stdio::null());
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    assert!(command.status().unwrap().success(), "git {arguments:?}");
}

/// A repository made of the text that `git fast-import` reads.
pub fn repository(script: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q", "-b", "main"]);
    let mut command = Command::new("git");
    command.arg("-C").arg(dir.path()).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    dir
}

/// A commit of `git fast-import`, on `branch`, by an author at `seconds`.
pub fn commit(branch: &str, mark: u32, seconds: i64, subject: &str, changes: &str) -> String {
    let len = subject.len();
    format!(
        "commit refs/heads/{branch}\nmark :{mark}\nauthor Ada <a@b> {seconds} +0000\n\
         committer Ada <a@b> 1000000 +0000\ndata {len}\n{subject}\n{changes}\n"
    )
}

pub fn file(path: &str, content: &str) -> String {
    format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len())
}

pub fn open(db: &Path) -> Db {
    Options::new().clock(Clock::Logical).create(false).open(db).unwrap()
}

pub fn import(db: &Path, repository: &Path) -> String {
    out(&["import", "git", text(db), text(repository), "--clock", "logical"])
}

/// What the path has at a time, by the subject of the commit.
fn subject(db: &Db, path: &[u8], seconds: i64) -> Option<String> {
    let fact = db.as_of_valid(ValidTime(seconds * SECOND_US)).get(path).unwrap()?;
    Some(fact.value.to_json()["subject"].as_str().unwrap().to_owned())
}

#[test]
fn facts_hold_from_the_date_of_the_author() {
    let script = commit("main", 1, 100, "first", &(file("a", "1") + &file("b", "1")))
        + &commit("main", 2, 300, "third", &file("a", "2"))
        + &commit("main", 3, 200, "second, rebased", &file("a", "3"))
        + &commit("main", 4, 400, "gone", "D b\n")
        + &commit("main", 5, 500, "moved", "R a c\n");
    let repository = repository(&script);
    let (_dir, db) = place();
    assert_eq!(import(&db, repository.path()), "5 commits, 7 facts imported\n");
    let db = open(&db);
    let at = |path: &str, seconds| subject(&db, path.as_bytes(), seconds);
    assert_eq!(at("a", 150).as_deref(), Some("first"));
    assert_eq!(at("a", 250).as_deref(), Some("second, rebased"), "late, and in its place");
    assert_eq!(at("a", 350).as_deref(), Some("third"), "what was known to come stays");
    assert_eq!(at("a", 550), None);
    assert_eq!(at("c", 550).as_deref(), Some("moved"));
    assert_eq!((at("b", 350).as_deref(), at("b", 450)), (Some("first"), None));
    let moved = db.as_of_valid(ValidTime(600 * SECOND_US)).get("c").unwrap().unwrap();
    assert_eq!(moved.value.to_json()["from"], "a");
    assert_eq!(moved.value.to_json()["change"], "renamed");
    let history = db.history("b").unwrap();
    assert_eq!(history.last().unwrap().note.as_ref().unwrap()["subject"], "gone");
}

#[test]
fn odd_names_and_merges_are_facts_like_others() {
    let script =
        commit("main", 1, 100, "base", &(file("both", "0") + &file("\"new\\nline\"", "1")))
            + &commit(
                "main",
                2,
                200,
                "ours",
                &(file("both", "1") + &file("\"\\377\\001 x\"", "1")),
            )
            + &commit(
                "side",
                3,
                150,
                "theirs",
                &("from :1\n".to_owned() + &file("both", "2") + &file(":odd", "1")),
            )
            + &commit(
                "main",
                4,
                300,
                "merge",
                &("from :2\nmerge :3\n".to_owned() + &file("both", "3") + &file(":odd", "1")),
            )
            + &commit("main", 5, 400, "", "from :4\n");
    let repository = repository(&script);
    let (_dir, db) = place();
    assert!(import(&db, repository.path()).starts_with("5 commits, "));
    let db = open(&db);
    assert_eq!(subject(&db, b"both", 350).as_deref(), Some("merge"), "it is what neither had");
    assert_eq!(subject(&db, b"both", 175).as_deref(), Some("theirs"));
    assert_eq!(subject(&db, b":odd", 350).as_deref(), Some("theirs"), "merging left it as it was");
    assert_eq!(subject(&db, b"new\nline", 350).as_deref(), Some("base"));
    assert_eq!(subject(&db, b"\xff\x01 x", 350).as_deref(), Some("ours"));
}

#[test]
fn names_too_long_for_keys_are_counted_and_left_out() {
    let long = "d/".repeat(600) + "file";
    let repository =
        repository(&commit("main", 1, 100, "s", &(file("a", "1") + &file(&long, "1"))));
    let (_dir, db) = place();
    let said = import(&db, repository.path());
    assert_eq!(said, "1 commit, 1 fact imported; 1 file left out, with paths too long for keys\n");
}

#[test]
fn run_again_it_takes_what_is_new() {
    let repository = repository(&commit("main", 1, 100, "first", &file("a", "1")));
    let (_dir, db) = place();
    assert_eq!(import(&db, repository.path()), "1 commit, 1 fact imported\n");
    assert_eq!(
        import(&db, repository.path()),
        "0 commits, 0 facts imported, after 1 commit earlier\n"
    );
    let more = repository.path();
    git(more, &["checkout", "-q", "main"]);
    fs::write(more.join("a"), "2").unwrap();
    git(more, &["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "second"]);
    assert!(import(&db, more).starts_with("1 commit, 1 fact imported"));
    assert_eq!(
        open(&db).history("a").unwrap().last().unwrap().note.as_ref().unwrap()["subject"],
        "second"
    );
}

#[test]
fn another_repository_does_not_mix_in() {
    let one = repository(&commit("main", 1, 100, "one", &file("a", "1")));
    let other = repository(&commit("main", 1, 200, "other", &file("a", "1")));
    let (_dir, db) = place();
    import(&db, one.path());
    let output = run(&["import", "git", text(&db), text(other.path()), "--clock", "logical"]);
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    out(&["import", "git", text(&db), text(other.path()), "-p", "other", "--clock", "logical"]);
    let db = open(&db);
    assert_eq!(subject(&db, b"a", 300).as_deref(), Some("one"));
    let partition =
        db.partitions().unwrap().into_iter().find(|(name, _)| name == "other").unwrap().1;
    let key = llmdb::Key::new(partition, "a").valid_from(ValidTime(300 * SECOND_US));
    assert_eq!(db.get(key).unwrap().unwrap().value.to_json()["subject"], "other");
}

#[test]
fn what_is_no_repository_is_said_by_git() {
    let (dir, db) = place();
    let output = run(&["import", "git", text(&db), text(dir.path())]);
    assert_eq!(output.status.code(), Some(22));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a git repository"));
    git(dir.path(), &["init", "-q"]);
    assert_eq!(import(&db, dir.path()), "0 commits, 0 facts imported\n", "an empty one is fine");
}

#[test]
fn only_the_newest_are_taken_if_asked() {
    let script: String = (1..=9)
        .map(|n| commit("main", n, i64::from(n), &format!("c{n}"), &file("a", &n.to_string())))
        .collect();
    let repository = repository(&script);
    let (_dir, db) = place();
    let said = out(&[
        "import",
        "git",
        text(&db),
        text(repository.path()),
        "--newest",
        "3",
        "--clock",
        "logical",
    ]);
    assert_eq!(said, "3 commits, 3 facts imported\n");
    assert_eq!(open(&db).timeline("a", None).unwrap().len(), 3);
}

#[test]
fn notes_say_who_and_why() {
    let repository = repository(&commit("main", 1, 100, "the \"subject\"", &file("a", "1")));
    let (_dir, db) = place();
    import(&db, repository.path());
    let db = open(&db);
    let changes = db.changes(llmdb::TxTime(0), None, None).unwrap().changes;
    let change = changes.iter().find(|change| change.partition == PartitionId(0)).unwrap();
    let note = change.note.as_ref().unwrap();
    assert_eq!((&note["author"], &note["subject"]), (&json!("Ada"), &json!("the \"subject\"")));
    assert_eq!(change.valid_from, ValidTime(100 * SECOND_US));
}
