//! A batch laid over a view reads as the view does once the batch is applied to it.

use crate::map::MapView;
use llmdb_storage::{Batch, Cursor, TreeId, View};
use llmdb_temporal::Overlay;
use proptest::prelude::*;

/// Few trees and keys, so that they meet.
fn place() -> impl Strategy<Value = (TreeId, Vec<u8>)> {
    (1u32..4, 0u8..12).prop_map(|(tree, key)| (TreeId(tree), vec![key]))
}

#[derive(Clone, Debug)]
enum Move {
    Seek(u8),
    SeekAtMost(u8),
    First,
    Last,
    Next,
    Prev,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        1 => (0u8..13).prop_map(Move::Seek),
        1 => (0u8..13).prop_map(Move::SeekAtMost),
        1 => Just(Move::First),
        1 => Just(Move::Last),
        6 => Just(Move::Next),
        6 => Just(Move::Prev),
    ];
    proptest::collection::vec(step, 1..40)
}

fn make(cursor: &mut impl Cursor, step: &Move) -> Option<(Vec<u8>, Vec<u8>)> {
    let on = match step {
        Move::Seek(key) => cursor.seek(&[*key]),
        Move::SeekAtMost(key) => cursor.seek_at_most(&[*key]),
        Move::First => cursor.first(),
        Move::Last => cursor.last(),
        Move::Next => cursor.next(),
        Move::Prev => cursor.prev(),
    };
    on.unwrap().then(|| (cursor.key().to_vec(), cursor.value().unwrap().to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_overlay_reads_as_the_applied_batch(
        before in proptest::collection::vec((place(), any::<u8>()), 0..20),
        writes in proptest::collection::vec((place(), any::<Option<u8>>()), 0..20),
        moves in moves(),
    ) {
        let mut base = MapView::default();
        base.entries.extend(before.into_iter().map(|(at, value)| (at, vec![value])));
        let mut batch = Batch::new();
        for ((tree, key), value) in &writes {
            match value {
                Some(value) => batch.put(*tree, key, &[*value]),
                None => batch.delete(*tree, key),
            }
        }
        let mut applied = base.clone();
        applied.apply(&batch);
        let overlay = Overlay::new(&base, batch);
        for tree in (0..5).map(TreeId) {
            for key in 0..13 {
                let found = overlay.get(tree, &[key]).unwrap().map(|value| value.to_vec());
                prop_assert_eq!(found, applied.get(tree, &[key]).unwrap().map(|v| v.to_vec()));
            }
            let (mut merged, mut plain) = (overlay.cursor(tree), applied.cursor(tree));
            for step in &moves {
                prop_assert_eq!(make(&mut merged, step), make(&mut plain, step), "{:?}", step);
            }
        }
    }
}
