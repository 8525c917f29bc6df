//! Timelines drawn in characters.
//!
//! ```text
//! ├ a free ──────────┼ b pro ─────┤···········├ c team ──────────────▶
//! 2024-01-01         2024-06-01   2024-09-01  2025-01-01       ▲ now
//! ```
//!
//! A key along valid time is one such bar. Its whole history is a bar for each change of belief,
//! the newest on top, over one axis. A stretch without a value is dotted. Lengths follow time where
//! there is room; a stretch that would be too short to be seen is drawn longer.

mod axis;
mod bar;

use crate::show::{note_text, span, tx_time};
use crate::width::{columns, cut, pad};
use axis::Axis;
use bar::{Stretch, bar};
use llmdb::{Fact, Rectangle, TxTime, ValidTime, Value};
use std::collections::{BTreeSet, HashMap};

/// Beliefs that a drawing of a history shows; there may be more.
const BELIEFS_MAX: usize = 16;
/// Lines of the legend; there may be more to say.
const LEGEND_MAX: usize = 24;
/// The narrowest screen that is drawn for.
const WIDTH_MIN: usize = 24;

/// What is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pen {
    /// Columns to draw in.
    pub width: usize,
    /// Lines and arrows, or what any terminal has.
    pub signs: &'static Signs,
}

/// The characters of a drawing.
#[derive(Debug, PartialEq, Eq)]
pub struct Signs {
    /// A value begins after nothing.
    pub begin: char,
    /// A value begins where another ends.
    pub meet: char,
    /// A value ends, and nothing follows.
    pub end: char,
    /// A value goes on.
    pub line: char,
    /// It goes on for ever.
    pub for_ever: char,
    /// There is no value.
    pub nothing: char,
    /// Points at now.
    pub now: char,
    /// Something is cut off.
    pub cut: char,
    /// Between a time and what was believed then.
    pub side: char,
}

/// Lines and arrows.
pub const LINES: Signs = Signs {
    begin: '├',
    meet: '┼',
    end: '┤',
    line: '─',
    for_ever: '▶',
    nothing: '·',
    now: '▲',
    cut: '…',
    side: '│',
};

/// ASCII alone.
pub const ASCII: Signs = Signs {
    begin: '|',
    meet: '+',
    end: '|',
    line: '-',
    for_ever: '>',
    nothing: '.',
    now: '^',
    cut: '~',
    side: '|',
};

/// A key along valid time, and a legend.
pub fn timeline(facts: &[Fact], now: ValidTime, pen: Pen) -> String {
    if facts.is_empty() {
        return "nothing is believed of this key\n".to_owned();
    }
    let width = pen.width.max(WIDTH_MIN);
    let ends = facts.iter().flat_map(|fact| [fact.valid_from, fact.valid_to]);
    let axis = Axis::new(ends.collect(), width);
    let stretches = facts.iter().enumerate().map(|(at, fact)| Stretch {
        from: fact.valid_from,
        to: fact.valid_to,
        label: format!("{} {}", name(at), text(&fact.value)),
    });
    let mut out = bar(&stretches.collect::<Vec<_>>(), &axis, pen.signs);
    out.push('\n');
    push_axis(&mut out, "", &axis, now, pen);
    let lines = facts.iter().enumerate().map(|(at, fact)| {
        let when = span(fact.valid_from, fact.valid_to);
        format!("{}  {}", name(at), when) + &format!("  {}", text(&fact.value))
    });
    push_legend(&mut out, lines.collect(), Pen { width, ..pen });
    out
}

/// All that was ever believed of a key: a bar for each change of belief, the newest on top, and a
/// legend of what was written.
pub fn history(rectangles: &[Rectangle], now: ValidTime, pen: Pen) -> String {
    if rectangles.is_empty() {
        return "nothing was ever believed of this key\n".to_owned();
    }
    let width = pen.width.max(WIDTH_MIN);
    let mut beliefs: Vec<TxTime> = rectangles
        .iter()
        .flat_map(|r| [r.tx_from, r.tx_to])
        .filter(|tx| *tx != TxTime::INFINITY)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let earlier = beliefs.len().saturating_sub(BELIEFS_MAX);
    beliefs.drain(..earlier);
    let labels = axis::labels(&beliefs.iter().map(|tx| tx.0).collect::<Vec<_>>());
    let side = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
    let mut out = String::new();
    let shown = |r: &&Rectangle| r.value.is_some() && r.tx_to > beliefs[0];
    let ends = rectangles.iter().filter(shown).flat_map(|r| [r.valid_from, r.valid_to]);
    let axis = Axis::new(ends.collect(), width.saturating_sub(side + 2).max(WIDTH_MIN));
    let names = names_of(rectangles);
    for (&tx, label) in beliefs.iter().zip(&labels).rev() {
        let mut believed: Vec<Stretch> = rectangles
            .iter()
            .filter(|r| r.tx_from <= tx && tx < r.tx_to)
            .filter_map(|r| {
                let label = format!("{} {}", name(names[&r.tx]), text(r.value.as_ref()?));
                Some(Stretch { from: r.valid_from, to: r.valid_to, label })
            })
            .collect();
        believed.sort_by_key(|stretch| stretch.from);
        let label = pad(label.clone(), side, ' ');
        out.push_str(&format!("{label} {}{}\n", pen.signs.side, bar(&believed, &axis, pen.signs)));
    }
    if earlier > 0 {
        out.push_str(&format!("{earlier} earlier changes of belief: `history` lists them\n"));
    }
    push_axis(&mut out, &" ".repeat(side + 2), &axis, now, pen);
    push_legend(&mut out, legend_of(rectangles, &names), Pen { width, ..pen });
    out
}

/// A number for each transaction that wrote something, in order.
fn names_of(rectangles: &[Rectangle]) -> HashMap<TxTime, usize> {
    let written: BTreeSet<TxTime> = rectangles.iter().map(|r| r.tx).collect();
    written.into_iter().enumerate().map(|(at, tx)| (tx, at)).collect()
}

fn legend_of(rectangles: &[Rectangle], names: &HashMap<TxTime, usize>) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    let mut by_tx: Vec<&Rectangle> = rectangles.iter().collect();
    by_tx.sort_by_key(|r| r.tx);
    for r in by_tx {
        let value = r.value.as_ref().map_or_else(|| "(absent)".to_owned(), text);
        if !told.insert((r.tx, value.clone())) {
            continue;
        }
        let note = r.note.as_ref().map(|note| format!("  # {}", note_text(note)));
        let note = note.unwrap_or_default();
        lines.push(format!("{}  {}  {value}{note}", name(names[&r.tx]), tx_time(r.tx)));
    }
    lines
}

fn push_axis(out: &mut String, margin: &str, axis: &Axis, now: ValidTime, pen: Pen) {
    out.push_str(margin);
    out.push_str(&axis.dates());
    out.push('\n');
    if let Some(line) = axis.now(now, pen.signs) {
        out.push_str(margin);
        out.push_str(&line);
        out.push('\n');
    }
    let hidden = axis.hidden();
    if hidden > 0 {
        out.push_str(&format!("{hidden} earlier stretches do not fit: `timeline` lists them\n"));
    }
}

fn push_legend(out: &mut String, lines: Vec<String>, pen: Pen) {
    let more = lines.len().saturating_sub(LEGEND_MAX);
    for line in &lines[more..] {
        out.push_str(cut(line, pen.width, pen.signs.cut).trim_end());
        out.push('\n');
    }
    if more > 0 {
        out.push_str(&format!("and {more} before them\n"));
    }
}

/// a, b, ..., z, aa, ab, ...
fn name(at: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(at % 26).unwrap_or(0));
    if at < 26 { letter.to_string() } else { name(at / 26 - 1) + &letter.to_string() }
}

/// A value in one line and few words, without controls: a string as it is, an object by its
/// members.
fn text(value: &Value) -> String {
    match value {
        Value::Json(json) => note_text(json),
        other => note_text(&other.to_json()),
    }
}

#[cfg(test)]
mod tests;
