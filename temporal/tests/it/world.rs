//! The trees and the oracle side by side, fed with the same writes.

use crate::map::MapView;
use llmdb_sim::rectangles::{self, Rectangles};
use llmdb_storage::{Batch, TreeId};
use llmdb_temporal::{
    Error, KeyRange, Op, PartitionId, Reader, Segment, Trees, TxTime, ValidTime, When, resolve,
};

pub const TREES: Trees = Trees {
    heads: TreeId(1),
    live: TreeId(2),
    past: TreeId(3),
    events: TreeId(4),
    changes: TreeId(5),
    notes: TreeId(6),
    valid: TreeId(7),
    kept: TreeId(8),
    erased: TreeId(9),
};

/// The partition of tests that need only one.
pub const P: PartitionId = PartitionId(0);

/// Trees in a map, and what they should answer.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub view: MapView,
    pub oracle: Rectangles,
    /// The newest transaction; 0 before the first, as with a logical clock.
    pub tx: i64,
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits `ops` as the next transaction; answers whether it was accepted by both.
    pub fn commit(&mut self, ops: &[rectangles::Op]) -> bool {
        self.commit_at(self.tx + 1, ops)
    }

    /// Commits `ops` as transaction `tx`.
    pub fn commit_at(&mut self, tx: i64, ops: &[rectangles::Op]) -> bool {
        let written: Vec<Op> = ops.iter().map(op).collect();
        let mut batch = Batch::new();
        let note = note_of(tx);
        let resolved =
            resolve(&self.view, &TREES, &written, TxTime(tx), note.as_deref(), &mut batch);
        let accepted = self.oracle.apply(tx, ops).is_ok();
        match resolved {
            Ok(()) => self.view.apply(&batch),
            Err(Error::EmptyInterval { .. } | Error::BadTtl { .. } | Error::TimeOutOfRange) => {
                assert!(!accepted, "only the trees refused")
            }
            Err(error) => panic!("{error}"),
        }
        if accepted {
            assert!(!batch.is_empty() || ops.is_empty(), "only the oracle accepted");
            self.tx = tx;
        }
        accepted
    }

    /// Commits one put on the key "k".
    pub fn put(&mut self, value: &str, when: rectangles::When) {
        assert!(self.commit(&[put(value, when)]));
    }

    /// Commits one absence on the key "k".
    pub fn absent(&mut self, when: rectangles::When) {
        assert!(self.commit(&[rectangles::Op::absent(0, b"k", when)]));
    }

    pub fn reader(&self) -> Reader<'_, MapView> {
        Reader::new(&self.view, &TREES)
    }
}

/// A put on the key "k".
pub fn put(value: &str, when: rectangles::When) -> rectangles::Op {
    rectangles::Op::put(0, b"k", value.as_bytes(), when)
}

/// Every third transaction has a note.
pub fn note_of(tx: i64) -> Option<Vec<u8>> {
    (tx % 3 == 0).then(|| format!("note of {tx}").into_bytes())
}

/// The oracle's operation as the crate's.
pub fn op(op: &rectangles::Op) -> Op {
    let when = match op.when {
        rectangles::When::Now => When::FromNow,
        rectangles::When::From(from) => When::From(ValidTime(from)),
        rectangles::When::NowTo(to) => When::FromNowTo(ValidTime(to)),
        rectangles::When::NowFor(ttl) => When::FromNowFor(ttl),
        rectangles::When::Range(from, to) => When::Range(ValidTime(from), ValidTime(to)),
    };
    let partition = PartitionId(op.partition);
    match &op.value {
        Some(value) => Op::put(partition, op.key.clone(), value.clone(), when),
        None => Op::absent(partition, op.key.clone(), when),
    }
}

/// A segment in a form that compares with the oracle's.
pub type Seen = (i64, i64, i64, u32, Vec<u8>);

pub fn seen(segment: &Segment<'_>) -> Seen {
    let (from, to) = (segment.valid_from.0, segment.valid_to.0);
    (from, to, segment.tx.0, segment.op, segment.value.to_vec())
}

pub fn expected(segment: &rectangles::Segment<'_>) -> Seen {
    let event = segment.event;
    (segment.from, segment.to, event.tx, event.op, event.value.clone().unwrap())
}

/// All keys of a partition.
pub fn all(partition: u32) -> KeyRange {
    KeyRange::prefix(PartitionId(partition), b"")
}
