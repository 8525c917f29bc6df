//! The tour, on repositories of all kinds.

use crate::shell::llmdb;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What every tour shows, in this order.
const CHAPTERS: &[&str] = &[
    "LLMDB: what is true, what was true, and what was believed when",
    "1. Facts come in",
    "2. What is true now",
    "3. What was true then",
    "4. The timeline of one fact",
    "5. A belief",
    "6. A correction",
    "7. What was believed then",
    "8. Its history",
    "9. The difference between two beliefs",
    "10. Trust, and verify",
    "11. Sizes and speeds, measured just now",
    "12. What to try next",
];

fn tour_in(directory: &Path, repository: Option<&Path>) -> Output {
    let mut command = llmdb();
    command.current_dir(directory).arg("tour").args(repository);
    // Whether there is a repository around a temporary directory is not for the test to know.
    command.env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap_or(directory));
    command.output().unwrap()
}

fn check(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut rest = text.as_str();
    for chapter in CHAPTERS {
        let at = rest.find(chapter).unwrap_or_else(|| panic!("no {chapter:?} in order in {text}"));
        rest = &rest[at..];
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for shown in ["\"Paris\"", "\"Lyon\"", "clean: ", "told us only now", " /s "] {
        assert!(text.contains(shown), "no {shown} in {text}");
    }
    text
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "user.name=A", "-c", "user.email=a@b"]);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    assert!(command.args(arguments).output().unwrap().status.success(), "git {arguments:?}");
}

#[test]
fn it_runs_on_this_repository() {
    check(&llmdb().current_dir(env!("CARGO_MANIFEST_DIR")).arg("tour").output().unwrap());
}

#[test]
fn it_runs_outside_any_repository() {
    let dir = tempfile::tempdir().unwrap();
    let text = check(&tour_in(dir.path(), None));
    assert!(text.contains("There is no git repository here"), "{text}");
    assert!(text.contains("project:atlas/plan"), "{text}");
}

#[test]
fn it_runs_on_an_empty_repository() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q"]);
    let text = check(&tour_in(dir.path(), None));
    assert!(text.contains("The repository has no commits yet"), "{text}");
}

#[test]
fn it_runs_on_a_shallow_clone_of_one_commit_with_odd_names() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, clone) = (dir.path().join("origin"), dir.path().join("clone"));
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    for n in 0..3 {
        fs::write(origin.join("it's a \"file\" ö"), n.to_string()).unwrap();
        fs::write(origin.join("--help"), n.to_string()).unwrap();
        fs::write(origin.join("\u{1b}[2J"), n.to_string()).unwrap();
        git(&origin, &["add", "-A"]);
        git(&origin, &["commit", "-qm", "\u{1b}[31mred"]);
    }
    let url = format!("file://{}", origin.display());
    git(dir.path(), &["clone", "-q", "--depth", "1", &url, clone.to_str().unwrap()]);
    let text = check(&tour_in(dir.path(), Some(&clone)));
    assert!(text.contains("1 commit, 3 facts imported"), "{text}");
    assert!(text.contains("it'\\''s a"), "{text}");
    assert!(text.contains("(nothing)"), "the only fact has no past: {text}");
}

#[test]
fn what_is_named_and_no_repository_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = tour_in(dir.path(), Some(dir.path()));
    assert_eq!(output.status.code(), Some(22));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a git repository"));
}
