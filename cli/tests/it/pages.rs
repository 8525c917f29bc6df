//! The size of pages is chosen where a database is made, and nowhere else.

use crate::shell::{out, place, run, text};
use serde_json::Value as Json;
use std::path::Path;

fn page_bytes(db: &Path) -> u64 {
    let stats: Json = serde_json::from_str(&out(&["stats", text(db), "--json"])).unwrap();
    stats["stats"]["page_bytes"].as_u64().unwrap()
}

#[test]
fn whatever_makes_a_database_takes_the_size_of_its_pages() {
    let commands: [(&[&str], &[&str]); 6] = [
        (&["put"], &["k", "v"]),
        (&["exec"], &[]),
        (&["shell"], &["-c", "put k v"]),
        (&["import", "ndjson"], &["-"]),
        (&["watch"], &[]),
        (&["import", "ndjson"], &["-", "--bulk"]),
    ];
    for (size, bytes) in [("16k", 16 << 10), ("65536", 64 << 10)] {
        for (name, rest) in commands {
            let (_dir, db) = place();
            out(&[name, &[text(&db)], rest, &["--page-size", size]].concat());
            assert_eq!(page_bytes(&db), bytes, "{name:?} {rest:?}");
        }
    }
    let (_dir, db) = place();
    out(&["put", text(&db), "k", "v"]);
    assert_eq!(page_bytes(&db), 4096);
}

#[test]
fn a_size_that_is_none_is_a_wrong_command_line() {
    for size in ["", "0", "2048", "5000", "12k", "128k", "4kb", "-4096"] {
        let (_dir, db) = place();
        let output = run(&["put", text(&db), "k", "v", &format!("--page-size={size}")]);
        assert_eq!(output.status.code(), Some(2), "{size}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("4k, 8k, 16k, 32k or 64k"), "{size}: {told}");
        assert!(!db.exists(), "{size}");
    }
}

#[test]
fn a_file_that_is_there_keeps_its_pages() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "k", "v", "--page-size", "8k"]);
    assert!(out(&["get", db, "k", "--page-size", "8192"]).contains('v'), "what it has is right");
    for arguments in [&["put", db, "k", "w"][..], &["get", db, "k"], &["verify", db]] {
        let output = run(&[arguments, &["--page-size", "16k"]].concat());
        assert_eq!(output.status.code(), Some(10), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("pages of 8192 bytes, not 16384"), "{told}");
    }
    assert!(out(&["get", db, "k"]).contains('v'), "nothing was written");
    let output = run(&["exec", db, "--page-size", "16k"]);
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["code"].as_str(), output.status.code()), (Some("bad_option"), Some(10)));
}

#[cfg(target_os = "linux")]
#[test]
fn compressed_pages_take_fewer_blocks() {
    use std::os::unix::fs::MetadataExt;
    let lines: String = (0..3_000)
        .map(|n| format!("{{\"key\":\"key:{n:05}\",\"value\":\"{}\"}}\n", "word ".repeat(30)))
        .collect();
    let blocks = |arguments: &[&str]| {
        let (dir, db) = place();
        let file = dir.path().join("lines");
        std::fs::write(&file, &lines).unwrap();
        out(&[&["import", "ndjson", text(&db), text(&file)], arguments].concat());
        assert!(out(&["verify", text(&db)]).starts_with("clean"));
        db.metadata().unwrap().blocks()
    };
    let plain = blocks(&["--page-size", "16k"]);
    let packed = blocks(&["--page-size", "16k", "--compress-pages", "lz4"]);
    assert!(packed * 4 < plain * 3, "{packed} blocks of {plain}");
}
