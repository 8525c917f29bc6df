//! Random histories: whatever is written, every read answers as the oracle does.

use crate::compare::compare;
use crate::world::World;
use llmdb_sim::rectangles::{Op, When};
use proptest::prelude::*;

/// Keys that are prefixes of each other, keys with zero bytes, in several partitions.
fn place() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let keys: [&[u8]; 7] = [b"a", b"a\0", b"a\0\0", b"a\0b", b"ab", b"b", b"\xFF\xFF"];
    let key = prop_oneof![6 => Just(0usize), 1 => 0..keys.len()];
    let partition = prop_oneof![5 => Just(0u32), 1 => 0u32..3];
    (partition, key).prop_map(move |(partition, key)| (partition, keys[key].to_vec()))
}

/// Times around those of the transactions, before 1970, and at either end.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        20 => -5i64..40,
        1 => Just(i64::MIN),
        1 => Just(i64::MIN + 1),
        1 => Just(i64::MAX - 1),
        1 => Just(i64::MAX),
    ]
}

/// How long facts last that end by themselves; some not at all, some beyond time.
fn ttl() -> impl Strategy<Value = i64> {
    prop_oneof![12 => 1i64..20, 1 => -1i64..1, 1 => Just(i64::MAX), 1 => i64::MAX - 20..i64::MAX]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        4 => time().prop_map(When::From),
        2 => time().prop_map(When::NowTo),
        2 => ttl().prop_map(When::NowFor),
        4 => (time(), time()).prop_map(|(a, b)| When::Range(a.min(b), a.max(b))),
        2 => (-5i64..40, 1i64..4).prop_map(|(a, n)| When::Range(a, a + n)),
    ]
}

/// Short stretches, that leave gaps for time to move into.
fn brief() -> impl Strategy<Value = When> {
    (-5i64..40, 1i64..4).prop_map(|(a, n)| When::Range(a, a + n))
}

/// Texts that differ in a few places, so that they are stored as differences, and some that do not
/// begin alike.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0usize..90, 0usize..9, "[a-c]{0,9}");
    (prop_oneof![4 => Just(0u8), 1 => Just(7)], proptest::collection::vec(edit, 0..3)).prop_map(
        |(kind, edits)| {
            let mut text: Vec<u8> = (0..90u8).map(|i| b'A' + (i ^ kind) % 50).collect();
            for (at, cut, new) in edits {
                let at = at.min(text.len());
                text.splice(at..(at + cut).min(text.len()), new.bytes());
            }
            text
        },
    )
}

/// Few values, so that equal ones meet.
fn op_over(when: impl Strategy<Value = When>) -> impl Strategy<Value = Op> {
    let value = prop_oneof![
        3 => (0u8..5).prop_map(|v| Some(vec![v; v as usize])),
        3 => document().prop_map(Some),
        2 => Just(None),
    ];
    (place(), value, when).prop_map(|((partition, key), value, when)| Op {
        partition,
        key,
        value,
        when,
    })
}

/// The operations of one transaction.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op_over(when()), 1..5)
}

/// Transactions of one to four operations, each some time after the one before.
type History = Vec<(i64, Vec<Op>)>;

/// Histories in which most is covered, and such as leave many gaps.
pub fn history() -> impl Strategy<Value = History> {
    let gap = prop_oneof![6 => Just(1i64), 1 => 2i64..6];
    let ops = prop_oneof![
        3 => proptest::collection::vec(op_over(when()), 1..2),
        1 => proptest::collection::vec(op_over(when()), 2..5),
    ];
    let dense = proptest::collection::vec((gap, ops), 1..14);
    let ops = proptest::collection::vec(op_over(brief()), 1..3);
    let sparse = proptest::collection::vec((1i64..9, ops), 1..10);
    prop_oneof![3 => dense, 1 => sparse]
}

/// Commits all of it.
pub fn play(history: &History) -> World {
    let mut world = World::new();
    for (gap, ops) in history {
        world.commit_at(world.tx + gap, ops);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn every_read_answers_as_the_oracle_does(history in history()) {
        compare(&play(&history));
    }
}
