//! An agent that keeps an analysis, corrects it, explains what it knew when, and takes a decision
//! back. Every sentence it prints is asserted first.
//!
//! `cargo run -p llmdb --example agent_memory`

use llmdb::{Db, Options, Result, TxTime, ValidTime, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the agent thinks of a company.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Analysis {
    rating: String,
    confidence: f64,
}

fn analysis(rating: &str, confidence: f64) -> Result<Value> {
    Value::of(&Analysis { rating: rating.into(), confidence })
}

fn day(text: &str) -> ValidTime {
    text.parse().expect("the days of this story are dates")
}

/// The rating on `on`, as it was known after `known`.
fn rating(db: &Db, on: &str, known: TxTime) -> Result<String> {
    let then = db.as_of_valid(day(on)).as_of_transaction(known);
    let found = then.get_as::<Analysis>("analysis/ACME")?;
    Ok(found.map_or("nothing".into(), |analysis| analysis.rating))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("llmdb-agent-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let db = Options::new().open(dir.join("agent.llmdb"))?;
    let told = tell(&db);
    db.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(told?)
}

fn tell(db: &Db) -> Result<()> {
    println!("1. The agent reads the report of 1 March and believes it.");
    let report = json!({"agent": "analyst", "why": "annual report"});
    let first =
        db.with_note(report).put_at("analysis/ACME", analysis("buy", 0.8)?, day("2024-03-01"))?;
    assert_eq!(rating(db, "2024-04-15", first)?, "buy");

    println!("2. On that belief it decides, in one transaction with the reason for it.");
    let decision = db.write(|tx| {
        let basis: Option<Analysis> = tx.get_as("analysis/ACME")?;
        let confidence = basis.map_or(0.0, |analysis| analysis.confidence);
        tx.note(json!({"agent": "trader", "basis": "analysis/ACME", "confidence": confidence}))?;
        tx.put("decision/ACME", json!({"action": "buy", "shares": 100}))?;
        tx.put("position/ACME", json!(100))
    })?;
    let decided = decision.tx.expect("the decision was written");

    println!("3. The figures turn out to be wrong from April on: it corrects the past.");
    let correction = json!({"agent": "analyst", "why": "restated first quarter"});
    let corrected = db.with_note(correction).put_at(
        "analysis/ACME",
        analysis("sell", 0.9)?,
        day("2024-04-01"),
    )?;

    println!("\nWhat is true of 15 April, and what was believed of it?");
    let (now, then) = (rating(db, "2024-04-15", corrected)?, rating(db, "2024-04-15", decided)?);
    println!("   now: {now}; when it decided: {then}");
    assert_eq!((now.as_str(), then.as_str()), ("sell", "buy"));
    assert_eq!(rating(db, "2024-03-15", corrected)?, "buy", "March stays as it was");

    println!("\nThe analysis along valid time, as known now:");
    let timeline = db.timeline("analysis/ACME", None)?;
    for fact in &timeline {
        println!("   {} to {}: {}", fact.valid_from, fact.valid_to, fact.value.to_json());
    }
    assert_eq!(timeline.len(), 2);
    assert_eq!(timeline[0].valid_to, day("2024-04-01"));

    println!("\nWhat the correction changed, by whom and why:");
    let news = db.changes(TxTime(decided.0 + 1), None, None)?;
    for change in &news.changes {
        let note = change.note.clone().unwrap_or_default();
        println!(
            "   {} of {} from {}: {note}",
            change.op.as_str(),
            key(&change.key),
            change.valid_from
        );
    }
    assert_eq!(news.changes.len(), 1);
    assert_eq!(
        news.changes[0].note.as_ref().map(|note| &note["why"]),
        Some(&json!("restated first quarter"))
    );

    println!("\n4. The decision rested on what is no longer believed: it takes it back.");
    let rolled_back = take_back(db, decided)?;
    assert!(db.get("decision/ACME")?.is_none());
    assert!(db.get("position/ACME")?.is_none());
    println!("   {rolled_back} records are gone from now on, and in the memory for good:");
    assert_eq!(rolled_back, 2);
    for rectangle in db.history("decision/ACME")? {
        let what = rectangle.value.as_ref().map_or("nothing".into(), |v| v.to_json().to_string());
        let (from, to) = (rectangle.tx_from, rectangle.tx_to);
        println!("   believed from {from} to {to}:");
        println!("      {what}, from {} to {}", rectangle.valid_from, rectangle.valid_to);
    }
    let before = db.as_of_transaction(corrected).as_of_valid(corrected.as_valid());
    let remembered = before.get("decision/ACME")?.expect("the past does not change");
    assert_eq!(remembered.value.to_json()["shares"], 100);

    let report = db.verify()?;
    assert!(report.is_clean());
    println!("\n{} entries, all in order.", report.entries);
    Ok(())
}

/// Undoes a transaction as of now: each key it wrote gets what it had before, or nothing.
fn take_back(db: &Db, tx: TxTime) -> Result<usize> {
    let undone = db.write(|undo| {
        undo.note(json!({"agent": "trader", "why": "its basis was corrected", "undoes": tx.0}))?;
        let written = db.changes(tx, Some(TxTime(tx.0 + 1)), None)?.changes;
        let before = db.as_of_transaction(TxTime(tx.0 - 1)).as_of_valid(tx.as_valid());
        for change in &written {
            match before.get(&change.key)? {
                Some(fact) => undo.put(&change.key, fact.value)?,
                None => undo.end(&change.key)?,
            }
        }
        Ok(written.len())
    })?;
    Ok(undone.value)
}

fn key(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
