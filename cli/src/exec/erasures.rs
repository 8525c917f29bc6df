//! What erasing answers.

use llmdb::{Erasure, ErasureState, ErasureTicket};
use serde::Serialize;

/// How far an erasure came.
#[derive(Debug, Serialize)]
pub struct ErasureBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    tx: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_by: Vec<&'static str>,
}

/// The record of an erasure.
#[derive(Debug, Serialize)]
pub struct ErasedBody {
    tx: i64,
    ticket: String,
    count: u64,
    state: &'static str,
}

impl ErasureBody {
    /// Of a new ticket, if there is one, and a state.
    pub fn new(ticket: Option<ErasureTicket>, state: &ErasureState) -> Self {
        let held_by = match state {
            ErasureState::Complete => Vec::new(),
            ErasureState::Pending { held_by } => held_by.iter().map(|by| by.as_str()).collect(),
        };
        let complete = *state == ErasureState::Complete;
        Self {
            tx: ticket.map(|ticket| ticket.tx.0),
            ticket: ticket.map(|ticket| ticket.to_string()),
            state: name(complete),
            held_by,
        }
    }
}

impl From<Erasure> for ErasedBody {
    fn from(erasure: Erasure) -> Self {
        let Erasure { ticket, count, complete } = erasure;
        Self { tx: ticket.tx.0, ticket: ticket.to_string(), count, state: name(complete) }
    }
}

fn name(complete: bool) -> &'static str {
    if complete { "complete" } else { "pending" }
}

/// The same in words.
pub fn show(ticket: Option<ErasureTicket>, state: &ErasureState) -> String {
    let ticket = ticket.map(|ticket| format!("ticket {ticket}\n")).unwrap_or_default();
    match state {
        ErasureState::Complete => {
            ticket
                + "complete: no file of the database holds anything of it; archives and backups may\n"
        }
        ErasureState::Pending { held_by } => {
            let by: Vec<&str> = held_by.iter().map(|by| by.as_str()).collect();
            format!("{ticket}pending: still held by {}\n", by.join(", "))
        }
    }
}
