//! What bit others: a list that ends at what could not be read, as if there were no more. Whatever is
//! damaged, each command answers all that there is or fails, and each request is answered so.

use crate::shell::{Exec, llmdb, place, text};
use serde_json::{Value as Json, json};
use std::fs;

const COMMANDS: [&[&str]; 3] = [&["scan"], &["export"], &["export", "--history"]];

fn requests() -> [Json; 6] {
    [
        json!({"op": "scan", "prefix": "k"}),
        json!({"op": "scan", "prefix": "k", "valid": 5, "tx": 300}),
        json!({"op": "history", "key": "k120"}),
        json!({"op": "timeline", "key": "k120"}),
        json!({"op": "changes", "tx_from": 0}),
        json!({"op": "diff", "prefix": "k", "a": {"tx": 100}, "b": {"tx": 450}}),
    ]
}

#[test]
fn a_damaged_database_is_listed_whole_or_not_at_all() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for n in 0..500 {
        let value = format!("{n} {}", "v".repeat(60));
        exec.ok(json!({"op": "put", "key": format!("k{}", n % 200), "value": value, "valid_from": n % 7}));
    }
    let answers = requests().map(|request| exec.ok(request));
    assert_eq!(exec.end().code(), Some(0));
    let listed = COMMANDS.map(|command| {
        let output = llmdb().args(command).arg(&db).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        output.stdout
    });
    let good = fs::read(&db).unwrap();
    let (mut failed, mut refused) = (0, 0);
    // One page of four: each that holds entries of a tree.
    let nodes = good.chunks_exact(4096).enumerate().filter(|(_, page)| matches!(page[4], 1 | 2));
    for (page, _) in nodes.step_by(4) {
        let mut bytes = good.clone();
        bytes[page * 4096 + 4095] ^= 1;
        fs::write(&db, bytes).unwrap();
        for (command, whole) in COMMANDS.iter().zip(&listed) {
            let output = llmdb().args(*command).arg(&db).output().unwrap();
            match output.status.code() {
                Some(0) => assert!(output.stdout == *whole, "{command:?}, page {page}"),
                code => {
                    assert_eq!(code, Some(18), "{command:?}, page {page}");
                    assert!(!output.stderr.is_empty());
                    failed += 1;
                }
            }
        }
        fs::write(&db, {
            let mut bytes = good.clone();
            bytes[page * 4096 + 4095] ^= 1;
            bytes
        })
        .unwrap();
        let mut exec = Exec::start(&db);
        if exec.ask(json!({"op": "stats"}))["ok"] != true {
            continue; // It did not open.
        }
        for (request, whole) in requests().into_iter().zip(&answers) {
            let answer = exec.ask(request.clone());
            if answer["ok"] == true {
                assert!(answer == *whole, "{request}, page {page}");
            } else {
                assert_eq!(answer["code"], "corrupt", "{request}, page {page}");
                refused += 1;
            }
        }
        let _ = exec.end();
    }
    fs::write(text(&db), &good).unwrap();
    assert!(failed > 10 && refused > 10, "{failed} commands, {refused} requests");
}
