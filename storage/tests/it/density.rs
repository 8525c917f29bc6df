//! How full pages are after loads in different orders, counted in pages.

use crate::harness::Small;
use llmdb_storage::*;

/// Bytes that an entry takes in a leaf beside its suffix and value: head, slot, lengths.
const ENTRY: u64 = 10;
const VALUE: usize = 150;

/// Inserts keys in the order given, `chunk` a commit, and answers how full the pages are: bytes of
/// entries (whole keys counted) by bytes of pages.
fn density(page_size: usize, keys: impl Iterator<Item = Vec<u8>>, chunk: usize) -> f64 {
    let (_vfs, mut db) = Small::create(page_size);
    let tree = db.tree("t");
    let before = db.opened.writer.space_use().pages_used;
    let keys: Vec<_> = keys.collect();
    let mut bytes = 0;
    for keys in keys.chunks(chunk) {
        let mut batch = Batch::new();
        for key in keys {
            batch.put(tree, key, &[7; VALUE]);
            bytes += ENTRY + (key.len() + VALUE) as u64;
        }
        db.commit(batch);
    }
    db.verify();
    let reader = db.reader(&db.published);
    assert!(keys.iter().all(|key| reader.get(tree, key).unwrap().is_some()));
    let pages = db.opened.writer.space_use().pages_used - before;
    bytes as f64 / (pages * page_size as u64) as f64
}

fn scrambled(i: u64) -> Vec<u8> {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .to_be_bytes()
        .to_vec()
}

#[test]
fn random_keys_fill_three_quarters_of_their_pages() {
    for (page_size, chunk) in [(4096, 1), (4096, 1000), (16384, 1000)] {
        let found = density(page_size, (0..20_000).map(scrambled), chunk);
        assert!(found > 0.75, "{page_size}, {chunk}: {found}");
    }
}

#[test]
fn keys_in_order_fill_their_pages() {
    let up = |i: u64| i.to_be_bytes().to_vec();
    for chunk in [1, 1000] {
        let found = density(4096, (0..10_000).map(up), chunk);
        assert!(found > 0.93, "ascending, {chunk}: {found}");
    }
    let found = density(4096, (0..10_000).rev().map(up), 1);
    assert!(found > 0.93, "descending: {found}");
}

/// Many histories that grow in turn, each in order: an entry of each in every commit.
#[test]
fn runs_that_grow_side_by_side_fill_their_pages() {
    let rounds = (0..400u32).flat_map(|round| (0..25u32).map(move |history| (history, round)));
    let key = |history: u32, at: u32| [history.to_be_bytes(), at.to_be_bytes()].concat();
    let up = density(4096, rounds.clone().map(|(h, round)| key(h, round)), 25);
    assert!(up > 0.9, "ascending: {up}");
    let down = density(4096, rounds.map(|(h, round)| key(h, !round)), 25);
    assert!(down > 0.8, "descending: {down}");
}
