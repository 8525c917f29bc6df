use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn key(n: u8) -> LockKey {
    (TreeId(1), vec![n])
}

fn ask(table: &mut LockTable, tx: u64, n: u8) -> Standing {
    table.ask(TxnId(tx), key(n));
    table.standing(TxnId(tx))
}

#[test]
fn locks_go_from_hand_to_hand_in_the_order_of_asking() {
    let mut table = LockTable::default();
    assert_eq!(ask(&mut table, 5, 0), Standing::Granted);
    assert_eq!(ask(&mut table, 5, 0), Standing::Granted, "again");
    assert_eq!(ask(&mut table, 9, 0), Standing::Waits(vec![TxnId(5)]));
    assert_eq!(ask(&mut table, 2, 0), Standing::Waits(vec![TxnId(5), TxnId(9)]));
    assert!(table.release(TxnId(5)));
    assert_eq!(table.standing(TxnId(9)), Standing::Granted);
    assert_eq!(table.standing(TxnId(2)), Standing::Waits(vec![TxnId(9)]));
    table.release(TxnId(9));
    assert!(table.is_held_by_another(TxnId(9), &key(0)));
    assert!(!table.release(TxnId(2)));
    assert_eq!(table.len(), 0);
}

#[test]
fn the_youngest_of_a_cycle_is_told_for_whom_it_waited() {
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let mut table = LockTable::default();
        for tx in 1..=3 {
            ask(&mut table, tx, tx as u8);
        }
        for tx in order {
            table.ask(TxnId(tx), key((tx % 3 + 1) as u8));
        }
        assert_eq!(table.standing(TxnId(3)), Standing::Deadlock(vec![TxnId(1)]), "{order:?}");
        assert_eq!(table.standing(TxnId(1)), Standing::Waits(vec![TxnId(2)]));
        assert_eq!(table.standing(TxnId(2)), Standing::Waits(vec![TxnId(3)]));
        table.release(TxnId(3));
        assert_eq!(table.standing(TxnId(2)), Standing::Granted);
    }
}

/// Two wait for one key; its holder waits for the second. The first is the youngest, and none of
/// the circle.
#[test]
fn who_only_queues_in_a_circle_is_not_its_victim() {
    let mut table = LockTable::default();
    ask(&mut table, 1, 0);
    ask(&mut table, 2, 1);
    assert_eq!(ask(&mut table, 9, 0), Standing::Waits(vec![TxnId(1)]));
    assert_eq!(ask(&mut table, 2, 0), Standing::Waits(vec![TxnId(1), TxnId(9)]));
    assert_eq!(ask(&mut table, 1, 1), Standing::Waits(vec![TxnId(2)]));
    assert_eq!(table.standing(TxnId(2)), Standing::Deadlock(vec![TxnId(1), TxnId(9)]));
    assert_eq!(table.standing(TxnId(9)), Standing::Waits(vec![TxnId(1)]));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u64, u8),
    Leave(u64),
    Release(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..6, 0u8..5).prop_map(|(tx, key)| Step::Ask(tx, key)),
        1 => (0u64..6).prop_map(Step::Leave),
        2 => (0u64..6).prop_map(Step::Release),
    ]
}

proptest! {
    /// Whatever is asked, left and released: one holder a key, nobody waits in a circle, and when
    /// all that can go on do, all get what they asked for.
    #[test]
    fn nobody_waits_for_ever_and_no_lock_has_two_holders(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut table = LockTable::default();
        for step in steps {
            match step {
                Step::Ask(tx, n) if !table.waiting.contains_key(&TxnId(tx)) => {
                    let _ = table.standing(TxnId(tx));
                    table.ask(TxnId(tx), key(n));
                }
                Step::Ask(..) => {}
                Step::Leave(tx) => drop(table.leave(TxnId(tx))),
                Step::Release(tx) => drop(table.release(TxnId(tx))),
            }
            let mut held = BTreeSet::new();
            for (tx, keys) in &table.held {
                for key in keys {
                    prop_assert!(held.insert(key.clone()), "two holders");
                    prop_assert_eq!(table.queues[key].front(), Some(tx));
                }
            }
            prop_assert_eq!(held.len(), table.queues.len());
            for tx in table.waiting.keys() {
                prop_assert!(table.cycle_through(*tx).is_empty(), "a deadlock stays");
            }
        }
        // Each that does not wait ends: in as many rounds as there are transactions all do.
        for _ in 0..6 {
            for tx in (0..6).map(TxnId).filter(|tx| !table.waiting.contains_key(tx)).collect::<Vec<_>>() {
                table.release(tx);
            }
        }
        prop_assert!(table.queues.is_empty() && table.waiting.is_empty());
        prop_assert!(table.held.is_empty());
    }
}
