//! What an agent remembers: the corrected belief that every tour shows, and the facts that stand
//! in for a repository where there is none.

use crate::error::Result;
use llmdb::{Db, ValidTime};
use serde_json::{Value as Json, json};

/// The key of the belief that is corrected.
pub const CITY: &str = "user:ada/city";
/// What all beliefs about the same user begin with.
pub const ADA: &str = "user:ada/";
/// A day between the move and the day it was heard of.
pub const DAY: &str = "2024-04-01";

/// A write of the story: `key`, value, from when, note.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The key.
    pub key: &'static str,
    /// The value, as JSON.
    pub value: &'static str,
    /// From when it holds.
    pub valid_from: &'static str,
    /// Who says so, and why, as JSON.
    pub note: &'static str,
}

/// What the agent believes at first.
pub const BELIEFS: [Line; 2] = [
    Line {
        key: CITY,
        value: r#""Paris""#,
        valid_from: "2024-01-10",
        note: r#"{"agent":"concierge","why":"said so in the first chat"}"#,
    },
    Line {
        key: "user:ada/plan",
        value: r#"{"plan":"pro","seats":3}"#,
        valid_from: "2024-02-01",
        note: r#"{"agent":"billing","why":"invoice 1042"}"#,
    },
];

/// What it learns later.
pub const CORRECTION: Line = Line {
    key: CITY,
    value: r#""Lyon""#,
    valid_from: "2024-03-01",
    note: r#"{"agent":"concierge","why":"moved in March, told us only now"}"#,
};

/// The key of the built-in memory whose timeline is shown.
pub const PLAN: &str = "project:atlas/plan";
/// What the keys of the built-in memory begin with.
pub const ATLAS: &str = "project:atlas/";
/// A day on which another plan held.
pub const PLAN_DAY: &str = "2024-03-15";

/// The built-in memory: key, value, from when, by whom and why. The third entry of the plan is
/// heard of last, and holds before the second.
const MEMORY: &[(&str, &str, &str, &str, &str)] = &[
    ("project:atlas/owner", "Grace", "2024-01-08", "planner", "kick-off notes"),
    ("project:atlas/plan", "ship a prototype", "2024-01-08", "planner", "kick-off notes"),
    ("project:atlas/budget", "40 days", "2024-01-15", "planner", "agreed by mail"),
    ("project:atlas/plan", "ship the public beta", "2024-05-02", "planner", "board decision"),
    ("project:atlas/owner", "Linus", "2024-06-01", "scribe", "hand-over meeting"),
    ("project:atlas/budget", "65 days", "2024-06-20", "planner", "scope grew"),
    ("project:atlas/plan", "harden the prototype", "2024-03-01", "scribe", "found in the minutes"),
    ("project:atlas/risk", "no second reviewer", "2024-07-03", "critic", "review of the plan"),
];

/// How many facts the built-in memory has.
pub const MEMORY_LEN: usize = MEMORY.len();

/// Writes the built-in memory.
///
/// # Errors
/// Those of the database.
pub fn remember(db: &Db) -> Result<()> {
    for &(key, value, valid_from, agent, why) in MEMORY {
        let valid_from: ValidTime = valid_from.parse().map_err(llmdb::Error::from)?;
        let note = json!({ "agent": agent, "why": why });
        db.with_note(note).put_at(key, Json::from(value), valid_from)?;
    }
    Ok(())
}
