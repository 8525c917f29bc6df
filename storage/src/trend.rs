//! Whether the entries of a node arrive in order: a hint kept in its header.
//!
//! ```text
//! bits 0..12   index of the last insertion, plus one; 0: none is known
//! bits 13..14  how many insertions before it were its neighbours, at most 3
//! bit  15      they came in descending order
//! ```
//!
//! A node that is full of entries in order stays full when it is split, and only what comes next
//! moves on, so that loads in key order, and histories that grow at one end, fill their pages. The
//! hint is just that: removals shift what it points at, and nothing rests on it. It is in the page
//! because many places of many trees grow in turn.

const INDEX: u16 = (1 << 13) - 1;
const RUN_MAX: u16 = 3;
const DESCENDING: u16 = 1 << 15;
/// So many neighbours before the one that does not fit make a run; fewer are chance.
const RUN: u16 = 2;

/// Where the last entries of a node went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trend(pub(crate) u16);

impl Trend {
    /// That of a node in which index `i` continued a run.
    pub(crate) fn running(i: usize) -> Self {
        Trend(index(i) | RUN_MAX << 13)
    }

    /// The hint after an insertion at index `i`.
    pub(crate) fn after(self, i: usize) -> Self {
        let descending = match (self.0 & INDEX).checked_sub(1).map(usize::from) {
            Some(last) if i == last + 1 => 0,
            Some(last) if i == last => DESCENDING,
            _ => return Trend(index(i)),
        };
        let run = self.run();
        let turned = run > 0 && self.0 & DESCENDING != descending;
        let run = if turned { 1 } else { (run + 1).min(RUN_MAX) };
        Trend(index(i) | run << 13 | descending)
    }

    /// Whether an insertion at index `i` continues a run.
    pub(crate) fn continues_at(self, i: usize) -> bool {
        self.after(i).run() > RUN
    }

    fn run(self) -> u16 {
        self.0 >> 13 & RUN_MAX
    }
}

fn index(i: usize) -> u16 {
    // Nodes hold fewer entries than the field counts; a wrong hint would do no harm.
    (i as u16 + 1) & INDEX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(at: &[usize]) -> Trend {
        at.iter().fold(Trend::default(), |trend, i| trend.after(*i))
    }

    #[test]
    fn three_neighbours_make_a_run_in_either_direction() {
        assert!(inserted(&[4, 5, 6]).continues_at(7));
        assert!(inserted(&[4, 4, 4]).continues_at(4));
        assert!(!inserted(&[4, 5]).continues_at(6));
        assert!(!inserted(&[4, 4]).continues_at(4));
        assert!(!inserted(&[4, 5, 6]).continues_at(2));
        assert!(inserted(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).continues_at(10));
        assert!(Trend::running(0).continues_at(1));
    }

    #[test]
    fn a_turn_begins_anew() {
        assert!(!inserted(&[4, 5, 6, 7, 7]).continues_at(7));
        assert!(inserted(&[4, 5, 6, 7, 7, 7]).continues_at(7));
        assert!(!Trend::default().continues_at(0));
    }

    #[test]
    fn the_largest_node_has_room_in_the_hint() {
        let entries = (65536 - crate::page::HEADER) / crate::node::ENTRY;
        assert!(entries < usize::from(INDEX));
        assert!(inserted(&[entries - 3, entries - 2, entries - 1]).continues_at(entries));
    }
}
