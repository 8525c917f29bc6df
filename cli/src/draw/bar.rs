//! One line of a drawing.

use super::Signs;
use super::axis::Axis;
use crate::width::{columns, cut};
use llmdb::ValidTime;

/// A value along valid time.
#[derive(Debug)]
pub struct Stretch {
    /// Where it begins.
    pub from: ValidTime,
    /// Where it ends.
    pub to: ValidTime,
    /// What it is called, without controls.
    pub label: String,
}

/// A label is cut only where this much of it is seen; else its first word stands for it.
const LABEL_MIN: usize = 6;

/// Draws stretches, which are disjoint and ascending, along an axis.
pub fn bar(stretches: &[Stretch], axis: &Axis, signs: &Signs) -> String {
    let mut line = Line { text: String::new(), at: 0, inside: false };
    for stretch in stretches.iter().filter(|stretch| stretch.to > axis.first()) {
        let from = axis.column(stretch.from);
        let to = axis.column(stretch.to);
        line.nothing(from, signs);
        let begins = stretch.from >= axis.first();
        line.value(to, &stretch.label, if begins { None } else { Some(signs.cut) }, signs);
        if stretch.to == ValidTime::INFINITY {
            line.text.pop();
            line.text.push(signs.for_ever);
        }
    }
    line.nothing(axis.width(), signs);
    line.text.trim_end().to_owned()
}

struct Line {
    text: String,
    /// The next column.
    at: usize,
    /// Whether a value ended here.
    inside: bool,
}

impl Line {
    /// Dots up to a column; the end of the value before takes the first.
    fn nothing(&mut self, to: usize, signs: &Signs) {
        while self.at < to {
            self.text.push(if self.inside { signs.end } else { signs.nothing });
            self.inside = false;
            self.at += 1;
        }
    }

    fn value(&mut self, to: usize, label: &str, first: Option<char>, signs: &Signs) {
        if self.at >= to {
            return;
        }
        let meet = if self.inside { signs.meet } else { signs.begin };
        self.text.push(first.unwrap_or(meet));
        self.at += 1;
        self.inside = true;
        // A space on both sides, and a bit of the line behind it.
        let room = (to - self.at).saturating_sub(3);
        let word = label.split(' ').next().unwrap_or_default();
        let label = if columns(label) <= room || room >= LABEL_MIN + columns(word) {
            cut(label, room, signs.cut)
        } else {
            cut(word, room, signs.cut)
        };
        if room > 0 && !label.is_empty() {
            self.text.push(' ');
            self.text.push_str(&label);
            self.text.push(' ');
            self.at += columns(&label) + 2;
        }
        while self.at < to {
            self.text.push(signs.line);
            self.at += 1;
        }
    }
}
