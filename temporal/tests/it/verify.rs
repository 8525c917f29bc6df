//! What verify finds: nothing in what was written, something once anything is taken away.

use crate::compare::compare;
use crate::map::MapView;
use crate::model::{history, play};
use crate::world::TREES;
use llmdb_storage::TreeId;
use llmdb_temporal::{Problem, verify};
use proptest::prelude::*;

fn problems(view: &MapView) -> Vec<Problem> {
    verify(view, &TREES).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_was_written_is_clean_and_any_missing_entry_is_found(history in history()) {
        let world = play(&history);
        let found = problems(&world.view);
        prop_assert!(found.is_empty(), "{:?}", found);
        for at in world.view.entries.keys().filter(|(tree, _)| *tree != TREES.notes) {
            let mut view = world.view.clone();
            view.entries.remove(at);
            prop_assert!(!problems(&view).is_empty(), "without {:?}", at);
        }
    }

    #[test]
    fn any_mangled_byte_is_found_and_nothing_panics(history in history(), flip in 1u8..) {
        let world = play(&history);
        for ((tree, key), value) in &world.view.entries {
            for i in 0..key.len() {
                let mut view = world.view.clone();
                let value = view.entries.remove(&(*tree, key.clone())).unwrap();
                let mut key = key.clone();
                key[i] ^= flip;
                let hit = view.entries.insert((*tree, key), value).is_some();
                let found = problems(&view);
                // A note may be moved to another transaction.
                prop_assert!(hit || *tree == TREES.notes || !found.is_empty(), "key byte {i}");
            }
            for (i, &byte) in value.iter().enumerate().take(checked(*tree, value)) {
                let mut view = world.view.clone();
                view.entries.get_mut(&(*tree, key.clone())).unwrap()[i] ^= flip;
                let found = problems(&view);
                // `end` and `delete` differ in name alone.
                let renamed = *tree == TREES.changes && i == 0 && flip == 1;
                // A head may count more deltas than hang on it, and a delta may be a value.
                let more = (byte..8).contains(&(byte ^ flip));
                let counted = *tree == TREES.heads && i == 2 && more;
                let plain = *tree == TREES.events && i == 1 && byte == 1 && flip == 1;
                let passed = renamed || counted || plain;
                prop_assert!(passed || !found.is_empty(), "{tree:?}, value byte {i}");
            }
        }
    }
}

/// How many bytes of a tree's values say something that another tree says too.
fn checked(tree: TreeId, value: &[u8]) -> usize {
    match tree {
        tree if tree == TREES.heads => 11,
        tree if tree == TREES.events => 2 + 8 * (value[0] >> 2).count_ones() as usize,
        tree if tree == TREES.notes => 0,
        _ => usize::MAX,
    }
}

#[test]
fn problems_name_their_tree_and_key() {
    let mut world = crate::world::World::new();
    world.put("A", llmdb_sim::rectangles::When::From(10));
    compare(&world);
    world.view.entries.retain(|(tree, _), _| *tree != TREES.heads);
    let shown: Vec<String> = problems(&world.view).iter().map(|p| p.to_string()).collect();
    assert_eq!(shown[0], "temporal.heads, partition 0, key \"k\": the key has no head");
}
