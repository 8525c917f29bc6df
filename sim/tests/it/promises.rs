//! `docs/promises.md` names tests that there are.

use llmdb_vfs::planted::BUGS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Sources of the workspace, and the names of all functions in them.
fn sources() -> (Vec<PathBuf>, BTreeSet<String>) {
    let (mut files, mut names) = (Vec::new(), BTreeSet::new());
    let mut todo = vec![root().to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                todo.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let functions = text.split("fn ").skip(1).map(|after| {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    after.split(|c| !is_name(c)).next().unwrap_or_default().to_owned()
                });
                names.extend(functions);
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    (files, names)
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Tests are claims: their names are longer than those of anything else.
fn is_name_of_a_test(word: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.chars().all(allowed) && word.matches('_').count() >= 3
}

#[test]
fn every_promise_names_tests_that_there_are() {
    let (files, functions) = sources();
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let promises: Vec<&str> = text.split("\n### ").skip(1).collect();
    assert!(promises.len() > 40, "{}", promises.len());
    let mut tests = 0;
    for (i, promise) in promises.iter().enumerate() {
        let promise = promise.split("\n## ").next().unwrap();
        let title = promise.lines().next().unwrap();
        assert!(title.starts_with(&format!("P{}. ", i + 1)), "{title}: out of order");
        let (names, others): (Vec<&str>, Vec<&str>) =
            quoted(promise).partition(|word| is_name_of_a_test(word));
        assert!(!names.is_empty(), "{title}: no test");
        for name in &names {
            assert!(functions.contains(*name), "{title}: there is no test {name}");
        }
        for path in others.iter().filter(|word| word.ends_with(".rs") && word.contains('/')) {
            assert!(files.iter().any(|file| file == Path::new(path)), "{title}: no file {path}");
        }
        tests += names.len();
    }
    assert!(tests > 300, "{tests}");
}

/// Each line of the table of what bit others names tests that there are.
#[test]
fn what_bit_others_is_held_off_by_tests_that_there_are() {
    let (_, functions) = sources();
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let section = text.split("\n## What bit others\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [what, tests, who] = cells[..] else { panic!("{row}: three cells") };
        let names: Vec<&str> = quoted(tests).filter(|word| is_name_of_a_test(word)).collect();
        assert!(!names.is_empty() && !who.trim().is_empty(), "{what}: no test, or nobody");
        for name in names {
            assert!(functions.contains(name), "{what}: there is no test {name}");
        }
        count += 1;
    }
    assert!(count >= 24, "{count} rows");
}

/// The table of planted bugs has a row for each, and for nothing else.
#[test]
fn every_planted_bug_has_its_row() {
    let text = fs::read_to_string(root().join("docs/planted.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains(" | `"));
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.split('|').map(str::trim).skip(1).collect()).collect();
    assert_eq!(rows.len(), BUGS.len());
    for (row, bug) in rows.iter().zip(BUGS) {
        assert_eq!(row[..3], [bug.layer, &format!("`{}`", bug.name), bug.what]);
        let is_told = row[3].contains("caught after") || row[3].starts_with("not caught yet");
        assert!(is_told, "{}: {}", bug.name, row[3]);
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn links_to_promises_lead_somewhere() {
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> =
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    let mut links = 0;
    for file in ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/promises.md"]
        .into_iter()
        .chain(["docs/decisions/0002-past-keyed-by-fork.md", "docs/protocol.md"])
    {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let own = file == "docs/promises.md";
        for link in text.split("](").skip(1).map(|after| after.split(')').next().unwrap()) {
            let Some((page, at)) = link.split_once('#') else { continue };
            if page.ends_with("promises.md") || own && page.is_empty() {
                assert!(anchors.contains(at), "{file}: {link}");
                links += 1;
            }
        }
    }
    assert!(links > 2, "{links}");
}
