//! Hit rates beside LRU and CLOCK. The figures of decision record 0005 are printed by
//! `cargo test -p llmdb-storage --release -- --nocapture hot_pages`.

use super::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

impl Queues {
    /// Every frame that is queued.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> {
        self.small.iter().chain(&self.main).copied()
    }
}

trait Policy {
    /// Whether the page was there; it is afterwards.
    fn get(&mut self, page: u64) -> bool;
}

#[derive(Default)]
struct Frames {
    pages: Vec<u64>,
    hits: RefCell<Vec<u8>>,
}

impl Residents for Frames {
    fn hits(&self, frame: u32) -> u8 {
        self.hits.borrow()[frame as usize]
    }
    fn set_hits(&self, frame: u32, hits: u8) {
        self.hits.borrow_mut()[frame as usize] = hits;
    }
    fn take(&self, _: u32) -> bool {
        true
    }
    fn page(&self, frame: u32) -> Option<PageId> {
        Some(PageId(self.pages[frame as usize]))
    }
}

/// The queues of this file.
struct S3Fifo {
    queues: Queues,
    frames: Frames,
    places: HashMap<u64, u32>,
    room: usize,
}

impl Policy for S3Fifo {
    fn get(&mut self, page: u64) -> bool {
        if let Some(&frame) = self.places.get(&page) {
            let hits = self.frames.hits(frame);
            self.frames.set_hits(frame, (hits + 1).min(HITS_MAX));
            return true;
        }
        let frame = if self.frames.pages.len() < self.room {
            self.frames.pages.push(page);
            self.frames.hits.borrow_mut().push(0);
            self.frames.pages.len() as u32 - 1
        } else {
            let frame = self.queues.evict(&self.frames).unwrap();
            self.places.remove(&self.frames.pages[frame as usize]);
            self.frames.pages[frame as usize] = page;
            self.frames.set_hits(frame, 0);
            frame
        };
        self.places.insert(page, frame);
        self.queues.admit(frame, PageId(page));
        false
    }
}

/// Least recently used goes first.
struct Lru {
    times: HashMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    now: u64,
    room: usize,
}

impl Policy for Lru {
    fn get(&mut self, page: u64) -> bool {
        self.now += 1;
        let before = self.times.insert(page, self.now);
        if let Some(time) = before {
            self.order.remove(&time);
        } else if self.order.len() == self.room {
            let (_, oldest) = self.order.pop_first().unwrap();
            self.times.remove(&oldest);
        }
        self.order.insert(self.now, page);
        before.is_some()
    }
}

/// One bit a page, and a hand that goes round.
struct Clock {
    pages: Vec<(u64, bool)>,
    places: HashMap<u64, usize>,
    hand: usize,
    room: usize,
}

impl Policy for Clock {
    fn get(&mut self, page: u64) -> bool {
        if let Some(&place) = self.places.get(&page) {
            self.pages[place].1 = true;
            return true;
        }
        if self.pages.len() < self.room {
            self.places.insert(page, self.pages.len());
            self.pages.push((page, false));
            return false;
        }
        while std::mem::replace(&mut self.pages[self.hand].1, false) {
            self.hand = (self.hand + 1) % self.room;
        }
        self.places.remove(&self.pages[self.hand].0);
        self.pages[self.hand] = (page, false);
        self.places.insert(page, self.hand);
        self.hand = (self.hand + 1) % self.room;
        false
    }
}

fn policies(room: usize) -> [(&'static str, Box<dyn Policy>); 3] {
    let s3 = S3Fifo {
        queues: Queues::new(room),
        frames: Frames::default(),
        places: HashMap::new(),
        room,
    };
    let lru = Lru { times: HashMap::new(), order: BTreeMap::new(), now: 0, room };
    let clock = Clock { pages: Vec::new(), places: HashMap::new(), hand: 0, room };
    [("S3-FIFO", Box::new(s3)), ("LRU", Box::new(lru)), ("CLOCK", Box::new(clock))]
}

/// Page numbers, the small ones most often: rank r with weight 1/r^s, by inverting the integral.
struct Zipf {
    pages: f64,
    s: f64,
    state: u64,
}

impl Zipf {
    fn next(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let u = (self.state >> 11) as f64 / (1u64 << 53) as f64;
        let power = 1.0 - self.s;
        let rank = ((self.pages.powf(power) - 1.0) * u + 1.0).powf(1.0 / power);
        // Spread, so that neighbours in rank are no neighbours in the file.
        1 + (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 0xffff_fff1
    }
}

/// Hits of the zipfian gets, in percent, with `scan` pages of a scan after each of them.
fn hit_rate(policy: &mut dyn Policy, pages: u64, scan: u64, gets: u64) -> f64 {
    let mut zipf = Zipf { pages: pages as f64, s: 0.99, state: 42 };
    let (mut hits, mut counted, mut at) = (0, 0, 0);
    for i in 0..gets {
        let hit = policy.get(zipf.next());
        if i > gets / 4 {
            counted += 1;
            hits += u64::from(hit);
        }
        for _ in 0..scan {
            at += 1;
            policy.get((1 << 40) + at % (pages * 4));
        }
    }
    hits as f64 * 100.0 / counted as f64
}

#[test]
fn hot_pages_survive_a_scan() {
    let (pages, gets) = (50_000, 150_000);
    println!("hit rate of zipfian gets (s = 0.99) over {pages} pages, in percent");
    for room in [500, 2_500, 5_000] {
        for scan in [0, 1, 4] {
            let rates: Vec<(&str, f64)> = (policies(room).into_iter())
                .map(|(name, mut policy)| (name, hit_rate(&mut *policy, pages, scan, gets)))
                .collect();
            let line: Vec<String> =
                rates.iter().map(|(name, rate)| format!("{name} {rate:5.1}")).collect();
            println!("room for {room:>5}, {scan} scanned a get: {}", line.join("   "));
            let (s3, lru, clock) = (rates[0].1, rates[1].1, rates[2].1);
            assert!(s3 > lru && s3 > clock, "{rates:?}");
            if scan > 0 {
                assert!(s3 > lru + 5.0 && s3 > clock + 5.0, "{rates:?}");
            }
        }
    }
}

/// A hot set that fits, one scan of ten times the cache through it: not one hot page is lost.
#[test]
fn one_long_scan_costs_the_hot_set_nothing() {
    let room = 1000;
    let mut lost = HashMap::new();
    for (name, mut policy) in policies(room) {
        for _ in 0..5 {
            (1..=600).for_each(|page| {
                policy.get(page);
            });
            // What else there is: the hot set is looked at while it is in the small queue too.
            (1..=600).for_each(|page| {
                policy.get(page);
            });
        }
        (0..10_000).for_each(|page| {
            policy.get((1 << 40) + page);
        });
        lost.insert(name, (1..=600).filter(|page| !policy.get(*page)).count());
    }
    assert_eq!(lost["S3-FIFO"], 0, "{lost:?}");
    assert!(lost["LRU"] == 600 && lost["CLOCK"] == 600, "{lost:?}");
}
