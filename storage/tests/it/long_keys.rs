//! Keys that share almost all of their many bytes, and neighbours that share none: prefixes shrink
//! and grow, separators are as long as keys can be.

use crate::harness::{Small, entries};
use llmdb_storage::*;
use std::collections::BTreeMap;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn key(random: &mut Random, longest: usize) -> Vec<u8> {
    let head = [0, 1, 3, longest / 2, longest - 60, longest - 12][random.below(6) as usize];
    let most = if random.below(4) == 0 { 12 } else { 5 };
    let tail = 1 + random.below(most) as usize;
    let letters = [0, 1, b'a', 255];
    let mut key = vec![b'a'; head];
    if random.below(3) == 0 && head > 0 {
        let at = random.below(head as u64) as usize;
        key[at] = letters[random.below(4) as usize];
    }
    key.extend((0..tail).map(|_| letters[random.below(4) as usize]));
    key
}

#[test]
fn long_shared_prefixes_behave_as_in_a_map() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(4, |n| n.parse().unwrap());
    for (seed, page_size) in (0..rounds).flat_map(|s| [(s, 4096), (s, 8192), (s, 65536)]) {
        let (_vfs, mut db) = Small::create(page_size);
        let longest = db.opened.pager.key_len_max();
        let tree = db.tree("t");
        let mut random = Random(seed);
        let mut model = BTreeMap::new();
        for round in 0..60 {
            let mut batch = Batch::new();
            let deleting = round % 12 > 8;
            for _ in 0..60 {
                let key = key(&mut random, longest);
                if random.below(10) < if deleting { 9 } else { 2 } {
                    let found = model.range(key.clone()..).next();
                    let key = found.map_or(key, |(k, _): (&Vec<u8>, &Vec<u8>)| k.clone());
                    batch.delete(tree, &key);
                    model.remove(&key);
                } else {
                    let inline = page_size as u64 / 4 + 2;
                    let len = [0, random.below(30), inline - random.below(4), random.below(inline)];
                    let value = vec![round as u8; len[random.below(4) as usize] as usize];
                    batch.put(tree, &key, &value);
                    model.insert(key, value);
                }
            }
            db.commit(batch);
            if round % 7 == 0 {
                db.checkpoint();
            }
            db.verify();
        }
        let found = entries(&db.reader(&db.published), tree);
        assert!(found.iter().map(|(k, v)| (k, v)).eq(&model), "seed {seed}, {page_size}");
    }
}
