use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const END: u64 = 700;

#[derive(Clone, Debug)]
enum Op {
    Set(u64, u64),
    Clear(u64, u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let len = prop_oneof![4 => 1..4u64, 2 => 1..80u64, 1 => 100..400u64];
    let op = (any::<bool>(), 0..END, len).prop_map(|(set, start, len)| {
        let len = len.min(END - start);
        if set { Op::Set(start, len) } else { Op::Clear(start, len) }
    });
    proptest::collection::vec(op, 0..40)
}

fn region_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(64), Just(128), Just(192), Just(64 * 65), Just(64 * 3)]
}

fn build(region_pages: u64, ops: &[Op]) -> (Bitmap, BTreeSet<u64>) {
    let mut bitmap = Bitmap::new(region_pages);
    let mut model = BTreeSet::new();
    for op in ops {
        match *op {
            Op::Set(start, len) => {
                let added = (start..start + len).filter(|page| model.insert(*page)).count();
                assert_eq!(bitmap.set_run(start, len), added as u64);
            }
            Op::Clear(start, len) => {
                let removed = (start..start + len).filter(|page| model.remove(page)).count();
                assert_eq!(bitmap.clear_run(start, len), removed as u64);
            }
        }
    }
    (bitmap, model)
}

fn members(bitmap: &Bitmap) -> BTreeSet<u64> {
    bitmap.ones().collect()
}

fn find_run_by_hand(set: &BTreeSet<u64>, len: u64, from: u64, end: u64) -> Option<u64> {
    let fits =
        |start: &u64| start + len <= end && set.range(start..&(start + len)).next().is_none();
    (from..end).find(fits).or_else(|| (0..from.min(end)).find(fits))
}

proptest! {
    #[test]
    fn agrees_with_a_set(size in region_sizes(), ops in ops(), from in 0..END + 300) {
        let (bitmap, model) = build(size, &ops);
        prop_assert_eq!(members(&bitmap), model.clone());
        prop_assert_eq!(bitmap.count_ones(), model.len() as u64);
        prop_assert_eq!(bitmap.last_one(), model.last().copied());
        prop_assert_eq!(bitmap.test(from), model.contains(&from));
        let zero = (from..).find(|page| !model.contains(page)).unwrap();
        prop_assert_eq!(bitmap.first_zero_from(from), zero);
        prop_assert_eq!(bitmap.first_one_from(from), model.range(from..).next().copied());
    }

    #[test]
    fn run_questions_agree_with_a_set(
        size in region_sizes(), ops in ops(), start in 0..END + 99, len in 1..200u64,
    ) {
        let (bitmap, model) = build(size, &ops);
        let members = model.range(start..start + len).count() as u64;
        prop_assert_eq!(bitmap.holds_run(start, len), members == len);
        prop_assert_eq!(bitmap.meets_run(start, len), members > 0);
    }

    #[test]
    fn run_search_equals_brute_force(
        size in region_sizes(), ops in ops(), len in 1..200u64, from in 0..END + 99, end in 0..END + 99,
    ) {
        let (bitmap, model) = build(size, &ops);
        let found = bitmap.find_run(len, from, end, usize::MAX);
        prop_assert_eq!(found, find_run_by_hand(&model, len, from, end));
    }

    #[test]
    fn gaps_are_the_maximal_zero_runs(size in region_sizes(), ops in ops(), from in 0..END, len in 0..END) {
        let (bitmap, model) = build(size, &ops);
        let end = from + len;
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for page in (from..end).filter(|page| !model.contains(page)) {
            match expected.last_mut() {
                Some(last) if last.0 + last.1 == page => last.1 += 1,
                _ => expected.push((page, 1)),
            }
        }
        prop_assert_eq!(bitmap.gaps(from, end).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn stored_regions_load_back(size in region_sizes(), ops in ops()) {
        let (bitmap, model) = build(size, &ops);
        let mut loaded = Bitmap::new(size);
        for region in (0..bitmap.region_count()).rev() {
            let bytes = bitmap.region_bytes(region);
            prop_assert_eq!(bytes.len() as u64, size / 8);
            loaded.load_region(region, &bytes).unwrap();
        }
        prop_assert_eq!(members(&loaded), model.clone());
        prop_assert_eq!(loaded.count_ones(), bitmap.count_ones());
        prop_assert_eq!(loaded.dirty_regions().count(), 0);
        prop_assert_eq!(changed_regions(&loaded, &bitmap), Vec::<u64>::new());
        // The summaries came back too.
        let gaps: Vec<_> = bitmap.gaps(0, END).collect();
        prop_assert_eq!(loaded.gaps(0, END).collect::<Vec<_>>(), gaps);
    }

    #[test]
    fn union_and_difference_agree_with_sets(size in region_sizes(), a in ops(), b in ops()) {
        let (a, a_model) = build(size, &a);
        let (b, b_model) = build(size, &b);
        let rest = a.difference(&b);
        prop_assert_eq!(members(&rest), &a_model - &b_model);
        prop_assert_eq!(rest.count_ones(), (&a_model - &b_model).len() as u64);
        let mut union = a.clone();
        union.or_assign(&b);
        prop_assert_eq!(members(&union), &a_model | &b_model);
        prop_assert_eq!(union.count_ones(), (&a_model | &b_model).len() as u64);
        prop_assert_eq!(members(&a), a_model);
    }

    #[test]
    fn a_clone_is_frozen(size in region_sizes(), first in ops(), then in ops()) {
        let (mut bitmap, model) = build(size, &first);
        bitmap.mark_clean();
        let frozen = bitmap.clone();
        for op in &then {
            match *op {
                Op::Set(start, len) => bitmap.set_run(start, len),
                Op::Clear(start, len) => bitmap.clear_run(start, len),
            };
        }
        prop_assert_eq!(members(&frozen), model);
        let regions = bitmap.region_count();
        let differ: Vec<u64> = (0..regions)
            .filter(|region| frozen.region_bytes(*region) != bitmap.region_bytes(*region))
            .collect();
        let dirty: Vec<u64> = bitmap.dirty_regions().collect();
        prop_assert!(differ.iter().all(|region| dirty.contains(region)));
        prop_assert_eq!(changed_regions(&frozen, &bitmap), differ.clone());
        prop_assert_eq!(changed_regions(&bitmap, &frozen), differ);
    }
}

#[test]
fn region_bytes_are_little_endian_words() {
    let mut bitmap = Bitmap::new(128);
    for page in [128, 129, 136, 191, 192, 255] {
        bitmap.set(page);
    }
    let golden = [3, 1, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(bitmap.region_bytes(1), golden);
    assert_eq!(bitmap.region_bytes(0), [0; 16]);
    assert_eq!(bitmap.region_bytes(7), [0; 16], "a region that does not exist is empty");
}

#[test]
fn a_region_of_the_wrong_size_is_refused() {
    let mut bitmap = Bitmap::new(128);
    bitmap.set(3);
    for len in [0, 8, 15, 17, 24] {
        let refused = bitmap.load_region(0, &vec![0xff; len]);
        assert_eq!(refused, Err(SpaceError::RegionSize { region: 0, expected: 16, found: len }));
    }
    assert_eq!(members(&bitmap), BTreeSet::from([3]));
}

#[test]
fn run_search_gives_up_after_its_bound() {
    let mut bitmap = Bitmap::new(64);
    for page in (0..200).step_by(2) {
        bitmap.set(page);
    }
    assert_eq!(bitmap.find_run(2, 0, 300, 99), None);
    assert_eq!(bitmap.find_run(2, 0, 300, 100), Some(199));
}

#[test]
fn loading_replaces_what_was_there() {
    let mut bitmap = Bitmap::new(64);
    bitmap.set_run(0, 64);
    bitmap.load_region(0, &[0x0f, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(bitmap.count_ones(), 4);
    assert_eq!(bitmap.first_zero_from(0), 4);
    assert_eq!(bitmap.dirty_regions().count(), 0);
}

#[test]
fn dirty_regions_are_those_changed() {
    let mut bitmap = Bitmap::new(64);
    bitmap.set_run(60, 10);
    bitmap.mark_clean();
    bitmap.set(61);
    bitmap.clear(100);
    assert_eq!(bitmap.dirty_regions().count(), 0, "nothing changed");
    bitmap.set(200);
    bitmap.clear(65);
    assert_eq!(bitmap.dirty_regions().collect::<Vec<_>>(), [1, 3]);
}
