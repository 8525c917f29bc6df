//! The temporal oracle: every event is kept, every answer is a search through all of them.
//!
//! An event is (key, value or absence, `[from, to)`, tx, op). At valid time V and transaction
//! time T the answer is the newest event with tx <= T that covers V; within one transaction the
//! later operation wins. Everything else (timelines, histories, open ends) is derived from that
//! one rule by sweeping all the boundaries there are. Times are plain integers; `i64::MAX` is
//! infinity.

use std::collections::{BTreeMap, BTreeSet};

/// Infinity, in valid time and in transaction time.
pub const INFINITY: i64 = i64::MAX;

/// When a write holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// From the transaction's own time to the next boundary.
    Now,
    /// From a time to the next boundary.
    From(i64),
    /// From the transaction's own time to exactly a time.
    NowTo(i64),
    /// From the transaction's own time for so long.
    NowFor(i64),
    /// Exactly this.
    Range(i64, i64),
}

/// One write: `value` is `None` for an absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The partition written to.
    pub partition: u32,
    /// The user key.
    pub key: Vec<u8>,
    /// The value, or `None` for an absence.
    pub value: Option<Vec<u8>>,
    /// When it holds.
    pub when: When,
}

/// What an event's writer called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Put,
    /// An absence up to the next boundary.
    End,
    /// An absence over an exact range.
    Delete,
}

/// One recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The partition.
    pub partition: u32,
    /// The user key.
    pub key: Vec<u8>,
    /// The value, or `None` for an absence.
    pub value: Option<Vec<u8>>,
    /// What its writer called it.
    pub kind: Kind,
    /// Where it begins to hold.
    pub from: i64,
    /// Where it ceases to hold.
    pub to: i64,
    /// Its transaction.
    pub tx: i64,
    /// Its place among the operations of its transaction.
    pub op: u32,
}

/// A stretch of valid time over which one event answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'o> {
    /// Where the stretch begins.
    pub from: i64,
    /// Where it ends.
    pub to: i64,
    /// The event that answers.
    pub event: &'o Event,
}

/// All that was ever written.
#[derive(Clone, Debug, Default)]
pub struct Rectangles {
    keys: BTreeMap<(u32, Vec<u8>), Vec<Event>>,
}

/// An operation whose interval holds nothing, or outlasts time; the whole transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty;

impl Op {
    /// A value over `when`.
    pub fn put(partition: u32, key: &[u8], value: &[u8], when: When) -> Self {
        Self { partition, key: key.to_vec(), value: Some(value.to_vec()), when }
    }

    /// An absence over `when`.
    pub fn absent(partition: u32, key: &[u8], when: When) -> Self {
        Self { partition, key: key.to_vec(), value: None, when }
    }

    fn kind(&self) -> Kind {
        match (&self.value, self.when) {
            (Some(_), _) => Kind::Put,
            (None, When::Now | When::From(_)) => Kind::End,
            (None, When::NowTo(_) | When::NowFor(_) | When::Range(..)) => Kind::Delete,
        }
    }
}

impl Event {
    fn covers(&self, valid: i64) -> bool {
        self.from <= valid && valid < self.to
    }
}

impl Rectangles {
    /// An oracle to which nothing was written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the operations of one transaction.
    ///
    /// # Errors
    /// [`Empty`] where an interval holds nothing, or a fact that ends by itself would outlast
    /// time; nothing is recorded then.
    pub fn apply(&mut self, tx: i64, ops: &[Op]) -> Result<(), Empty> {
        let before = self.keys.clone();
        for (i, op) in ops.iter().enumerate() {
            let open_end = |from| self.open_end(op.partition, &op.key, from, tx);
            let (from, to) = match op.when {
                When::Now => (tx, open_end(tx)),
                When::From(from) => (from, open_end(from)),
                When::NowTo(to) => (tx, to),
                When::NowFor(ttl) => (tx, tx.checked_add(ttl).unwrap_or(tx)),
                When::Range(from, to) => (from, to),
            };
            let outlasts = matches!(op.when, When::NowFor(_)) && to == INFINITY;
            if from >= to || outlasts {
                self.keys = before;
                return Err(Empty);
            }
            let event = Event {
                partition: op.partition,
                key: op.key.clone(),
                value: op.value.clone(),
                kind: op.kind(),
                from,
                to,
                tx,
                op: i as u32,
            };
            self.keys.entry((op.partition, op.key.clone())).or_default().push(event);
        }
        Ok(())
    }

    /// Forgets a key: as if it had never been written.
    pub fn erase(&mut self, partition: u32, key: &[u8]) {
        self.keys.remove(&(partition, key.to_vec()));
    }

    /// The first boundary after `from` at which the answer is another than at `from`.
    fn open_end(&self, partition: u32, key: &[u8], from: i64, tx: i64) -> i64 {
        let here = self.answer(partition, key, from, tx);
        let boundaries = self.valid_boundaries(partition, key);
        let changes = |at: &i64| self.answer(partition, key, *at, tx) != here;
        boundaries.into_iter().filter(|&at| at > from).find(changes).unwrap_or(INFINITY)
    }

    fn events_of(&self, partition: u32, key: &[u8]) -> &[Event] {
        self.keys.get(&(partition, key.to_vec())).map_or(&[], Vec::as_slice)
    }

    /// The event that answers at (`valid`, `tx`), an absence included.
    pub fn answer(&self, partition: u32, key: &[u8], valid: i64, tx: i64) -> Option<&Event> {
        let known = self.events_of(partition, key).iter().filter(|event| event.tx <= tx);
        known.filter(|event| event.covers(valid)).max_by_key(|event| (event.tx, event.op))
    }

    /// Every key ever written to, in order.
    pub fn keys(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.keys.keys().map(|(partition, key)| (*partition, key.as_slice()))
    }

    /// Every point of valid time at which an event of the key begins or ends.
    pub fn valid_boundaries(&self, partition: u32, key: &[u8]) -> BTreeSet<i64> {
        self.events_of(partition, key).iter().flat_map(|event| [event.from, event.to]).collect()
    }

    /// Every transaction that wrote to the key.
    pub fn tx_boundaries(&self, partition: u32, key: &[u8]) -> BTreeSet<i64> {
        self.events_of(partition, key).iter().map(|event| event.tx).collect()
    }

    /// The maximal segments believed at `tx`, ascending, absences included.
    pub fn segments(&self, partition: u32, key: &[u8], tx: i64) -> Vec<Segment<'_>> {
        let boundaries: Vec<i64> = self.valid_boundaries(partition, key).into_iter().collect();
        let mut segments: Vec<Segment<'_>> = Vec::new();
        for pair in boundaries.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let Some(event) = self.answer(partition, key, from, tx) else { continue };
            match segments.last_mut() {
                Some(last) if last.to == from && last.event == event => last.to = to,
                _ => segments.push(Segment { from, to, event }),
            }
        }
        segments
    }

    /// The segments that hold a value: what a timeline shows.
    pub fn timeline(&self, partition: u32, key: &[u8], tx: i64) -> Vec<Segment<'_>> {
        let mut segments = self.segments(partition, key, tx);
        segments.retain(|segment| segment.event.value.is_some());
        segments
    }

    /// The maximal segment that answers at (`valid`, `tx`), unless it is an absence.
    pub fn get(&self, partition: u32, key: &[u8], valid: i64, tx: i64) -> Option<Segment<'_>> {
        let mut timeline = self.timeline(partition, key, tx).into_iter();
        timeline.find(|segment| segment.from <= valid && valid < segment.to)
    }

    /// Every event that answers anywhere, by (tx, op): those that their own transaction overwrote
    /// completely left no trace.
    pub fn events(&self) -> Vec<&Event> {
        let mut events: Vec<&Event> =
            self.keys.values().flatten().filter(|event| self.ever_answers(event)).collect();
        events.sort_by_key(|event| (event.tx, event.op));
        events
    }

    fn ever_answers(&self, event: &Event) -> bool {
        // An event that answers at all answers when it is new, at one of the key's boundaries.
        let boundaries = self.valid_boundaries(event.partition, &event.key);
        boundaries
            .into_iter()
            .any(|valid| self.answer(event.partition, &event.key, valid, event.tx) == Some(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(oracle: &Rectangles, tx: i64) -> Vec<(i64, i64, u8)> {
        let segments = oracle.timeline(0, b"k", tx);
        segments.iter().map(|s| (s.from, s.to, s.event.value.as_ref().unwrap()[0])).collect()
    }

    #[test]
    fn a_late_fact_ends_where_the_next_begins() {
        let mut oracle = Rectangles::new();
        oracle.apply(1, &[Op::put(0, b"k", b"B", When::From(20))]).unwrap();
        oracle.apply(2, &[Op::put(0, b"k", b"A", When::From(10))]).unwrap();
        assert_eq!(timeline(&oracle, 2), [(10, 20, b'A'), (20, INFINITY, b'B')]);
        assert_eq!(timeline(&oracle, 1), [(20, INFINITY, b'B')]);
    }

    #[test]
    fn an_absence_is_an_event_and_ends_an_open_write() {
        let mut oracle = Rectangles::new();
        oracle.apply(1, &[Op::absent(0, b"k", When::Range(15, 20))]).unwrap();
        oracle.apply(2, &[Op::put(0, b"k", b"A", When::From(16))]).unwrap();
        assert_eq!(timeline(&oracle, 2), [(16, 20, b'A')]);
    }

    #[test]
    fn what_its_own_transaction_overwrote_leaves_no_trace() {
        let mut oracle = Rectangles::new();
        let put = |value: &[u8], when| Op::put(0, b"k", value, when);
        let ops =
            [put(b"A", When::From(10)), put(b"B", When::From(10)), put(b"C", When::Range(12, 14))];
        oracle.apply(1, &ops).unwrap();
        assert_eq!(timeline(&oracle, 1), [(10, 12, b'B'), (12, 14, b'C'), (14, INFINITY, b'B')]);
        assert_eq!(oracle.events().len(), 2);
    }

    #[test]
    fn an_empty_interval_refuses_the_whole_transaction() {
        let mut oracle = Rectangles::new();
        let ops = [Op::put(0, b"k", b"A", When::Now), Op::put(0, b"k", b"B", When::Range(3, 3))];
        assert_eq!(oracle.apply(1, &ops), Err(Empty));
        assert!(oracle.events().is_empty());
    }
}
