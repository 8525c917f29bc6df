use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::changed_regions;
use super::*;

const META_SLOTS: [PageId; 3] = [PageId(0), PageId(3), PageId(9)];

fn config(page_count_max: u64) -> SpaceConfig {
    SpaceConfig { region_pages: 64, reserved: META_SLOTS.to_vec(), page_count_max }
}

fn pages_of(runs: &[Run]) -> impl Iterator<Item = u64> + '_ {
    runs.iter().flat_map(|(start, pages)| start.0..start.0 + pages)
}

#[derive(Clone, Debug)]
enum Op {
    Alloc,
    AllocRun(u64, usize),
    Reserve(u64, usize),
    CommitRun(Index),
    AbandonRun(Index),
    Drop(Index),
    DropRun(Index),
    Publish,
    Pin,
    Unpin(Index),
    Reclaim,
    Checkpoint,
    Rewind,
    Trim,
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let index = any::<Index>;
    let op = prop_oneof![
        12 => Just(Op::Alloc),
        3 => (1..20u64, 1..4usize).prop_map(|(pages, parts)| Op::AllocRun(pages, parts)),
        2 => (1..20u64, 1..4usize).prop_map(|(pages, parts)| Op::Reserve(pages, parts)),
        1 => index().prop_map(Op::CommitRun),
        1 => index().prop_map(Op::AbandonRun),
        10 => index().prop_map(Op::Drop),
        3 => index().prop_map(Op::DropRun),
        4 => Just(Op::Publish),
        2 => Just(Op::Pin),
        2 => index().prop_map(Op::Unpin),
        4 => Just(Op::Reclaim),
        2 => Just(Op::Checkpoint),
        1 => Just(Op::Rewind),
        1 => Just(Op::Trim),
        1 => Just(Op::Reopen),
    ];
    proptest::collection::vec(op, 0..200)
}

/// The space beside what a naive reading of the rules says it holds.
struct World {
    space: Space,
    newest: Version,
    /// Pages that the version being built reaches, with their birth.
    current: BTreeMap<u64, Version>,
    pending: Vec<(u64, Version, Version)>,
    unborn: Vec<Reservation>,
    pins: Vec<Version>,
    /// The retained checkpoints: at most two.
    metas: Vec<(Version, Bitmap)>,
    page_count_max: u64,
}

impl World {
    fn new(page_count_max: u64) -> Self {
        World {
            space: Space::new(config(page_count_max)),
            newest: Version(1),
            current: BTreeMap::new(),
            pending: Vec::new(),
            unborn: Vec::new(),
            pins: Vec::new(),
            metas: Vec::new(),
            page_count_max,
        }
    }

    fn building(&self) -> Version {
        Version(self.newest.0 + 1)
    }

    fn taken(&self) -> BTreeSet<u64> {
        let unborn = self.unborn.iter().flat_map(|run| pages_of(&run.parts));
        let pending = self.pending.iter().map(|entry| entry.0);
        let reserved = META_SLOTS.iter().map(|page| page.0);
        let current = self.current.keys().copied();
        current.chain(unborn).chain(pending).chain(reserved).collect()
    }

    fn live(&self) -> Vec<Version> {
        let metas = self.metas.iter().map(|meta| meta.0);
        let mut live: Vec<Version> = self.pins.iter().copied().chain(metas).collect();
        live.push(self.newest);
        live.sort_unstable();
        live.dedup();
        live
    }

    /// Checks a successful allocation against what was taken before it.
    fn check_new(&self, parts: &[Run], before: &BTreeSet<u64>, page_count: u64) {
        for page in pages_of(parts) {
            assert!(!before.contains(&page), "page {page} was not free");
            assert!(page < self.space.page_count());
        }
        assert!(self.space.page_count() <= self.page_count_max.max(page_count));
        let ascending = parts.is_sorted_by(|a, b| a.0.0 + a.1 < b.0.0);
        assert!(ascending, "parts ascend and do not touch: {parts:?}");
    }

    fn alloc(&mut self) {
        let (before, page_count) = (self.taken(), self.space.page_count());
        let free = (0..page_count).any(|page| !before.contains(&page));
        match self.space.alloc() {
            Ok(page) => {
                self.check_new(&[(page, 1)], &before, page_count);
                assert!(!free || page.0 < page_count, "grew with a page free");
                self.current.insert(page.0, self.building());
            }
            Err(_) => assert!(!free && page_count >= self.page_count_max),
        }
    }

    fn alloc_run(&mut self, pages: u64, parts_max: usize, unborn: bool) {
        let (before, page_count) = (self.taken(), self.space.page_count());
        let result = if unborn {
            self.space.reserve_run(pages, parts_max).map(|run| {
                self.unborn.push(run.clone());
                run.parts
            })
        } else {
            self.space.alloc_run(pages, parts_max)
        };
        let gaps = gaps_of(&before, page_count);
        let limit_gaps = gaps_of(&before, self.page_count_max.max(page_count));
        let mut lens: Vec<u64> = limit_gaps.iter().map(|gap| gap.1).collect();
        lens.sort_unstable_by(|a, b| b.cmp(a));
        let fits = lens.iter().take(parts_max).sum::<u64>() >= pages;
        match result {
            Ok(parts) => {
                assert!(fits);
                assert_eq!(pages_of(&parts).count() as u64, pages);
                assert!(parts.len() <= parts_max);
                self.check_new(&parts, &before, page_count);
                if gaps.iter().any(|gap| gap.1 >= pages) {
                    assert_eq!(parts.len(), 1, "a gap holds it whole");
                    assert_eq!(self.space.page_count(), page_count);
                }
                if !unborn {
                    let born = self.building();
                    self.current.extend(pages_of(&parts).map(|page| (page, born)));
                }
            }
            Err(_) => assert!(!fits, "refused {pages} pages in {parts_max} parts of {lens:?}"),
        }
    }

    fn drop_pages(&mut self, pages: &[u64]) {
        let dropped = self.building();
        for page in pages {
            let born = self.current.remove(page).unwrap();
            if born == dropped {
                self.space.free_now(PageId(*page));
            } else {
                self.space.retire(PageId(*page), born, dropped);
                self.pending.push((*page, born, dropped));
            }
        }
    }

    /// Drops consecutive pages of one birth in one call.
    fn drop_run(&mut self, start: u64) {
        let born = self.current[&start];
        let same = |page: &u64| self.current.get(page) == Some(&born);
        let run: Vec<u64> = (start..).take_while(same).collect();
        let (pages, dropped) = (run.len() as u64, self.building());
        if born == dropped {
            self.space.free_run_now(PageId(start), pages);
        } else {
            self.space.retire_run(PageId(start), pages, born, dropped);
            self.pending.extend(run.iter().map(|page| (*page, born, dropped)));
        }
        for page in run {
            self.current.remove(&page);
        }
    }

    fn reclaim(&mut self) {
        let live = self.live();
        let freed: BTreeSet<u64> = self.space.reclaim(&live).pages().map(|page| page.0).collect();
        let waits = |(_, born, dropped): &(u64, Version, Version)| {
            *dropped > self.newest || live.iter().any(|v| born <= v && v < dropped)
        };
        let (kept, free): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(waits);
        self.pending = kept;
        assert_eq!(freed, free.into_iter().map(|entry| entry.0).collect());
    }

    /// What the naive reading says version `v` reaches, plus what was born later.
    fn in_use_at(&self, v: Version) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter(|entry| entry.2 > v);
        let reserved = META_SLOTS.iter().map(|page| page.0);
        let pages = self.current.keys().copied().chain(reserved);
        pages.chain(pending.map(|entry| entry.0)).collect()
    }

    fn publish(&mut self) {
        self.newest = self.building();
    }

    /// Between groups, as a checkpoint must be.
    fn checkpoint(&mut self) {
        self.publish();
        let frozen = self.space.in_use_at(self.newest);
        assert_eq!(frozen.ones().collect::<BTreeSet<_>>(), self.in_use_at(self.newest));
        if let Some((_, prev)) = self.metas.last() {
            let regions = prev.region_count().max(frozen.region_count());
            let differ = |region: &u64| prev.region_bytes(*region) != frozen.region_bytes(*region);
            let expected: Vec<u64> = (0..regions).filter(differ).collect();
            assert_eq!(changed_regions(prev, &frozen), expected);
        }
        self.metas.push((self.newest, frozen));
        if self.metas.len() > 2 {
            self.metas.remove(0);
        }
    }

    /// A crash: what the metas do not hold is gone.
    fn reopen(&mut self) {
        let Some((version, in_use)) = self.metas.last().cloned() else {
            return;
        };
        let page_count = self.space.page_count();
        let opened = Space::open(config(self.page_count_max), page_count, &self.metas);
        self.space = opened.unwrap();
        self.newest = version;
        self.pins.clear();
        self.unborn.clear();
        self.pending.clear();
        if let [(older, old), _] = &self.metas[..] {
            let only_old = old.difference(&in_use);
            self.pending.extend(only_old.ones().map(|page| (page, *older, version)));
        }
        let reserved = |page: &u64| META_SLOTS.contains(&PageId(*page));
        let pages = in_use.ones().filter(|page| !reserved(page));
        self.current = pages.map(|page| (page, version)).collect();
    }

    fn step(&mut self, op: Op) {
        let pick = |index: Index, len: usize| (len > 0).then(|| index.index(len));
        match op {
            Op::Alloc => self.alloc(),
            Op::AllocRun(pages, parts_max) => self.alloc_run(pages, parts_max, false),
            Op::Reserve(pages, parts_max) => self.alloc_run(pages, parts_max, true),
            Op::CommitRun(index) => {
                if let Some(at) = pick(index, self.unborn.len()) {
                    let run = self.unborn.swap_remove(at);
                    self.space.commit_run(run.id);
                    let born = self.building();
                    self.current.extend(pages_of(&run.parts).map(|page| (page, born)));
                }
            }
            Op::AbandonRun(index) => {
                if let Some(at) = pick(index, self.unborn.len()) {
                    self.space.abandon_run(self.unborn.swap_remove(at).id);
                }
            }
            Op::Drop(index) => {
                if let Some(at) = pick(index, self.current.len()) {
                    let page = *self.current.keys().nth(at).unwrap();
                    self.drop_pages(&[page]);
                }
            }
            Op::DropRun(index) => {
                if let Some(at) = pick(index, self.current.len()) {
                    self.drop_run(*self.current.keys().nth(at).unwrap());
                }
            }
            Op::Publish => self.publish(),
            Op::Pin => self.pins.push(self.newest),
            Op::Unpin(index) => {
                if let Some(at) = pick(index, self.pins.len()) {
                    self.pins.swap_remove(at);
                }
            }
            Op::Reclaim => self.reclaim(),
            Op::Checkpoint => self.checkpoint(),
            Op::Rewind => self.space.rewind(),
            Op::Trim => {
                let end = self.taken().last().map_or(0, |page| page + 1);
                assert_eq!(self.space.trim(), end);
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn check(&self) {
        let taken = self.taken();
        assert_eq!(self.space.used().ones().collect::<BTreeSet<_>>(), taken);
        let unborn = self.unborn.iter().map(|run| pages_of(&run.parts).count() as u64).sum();
        let (total, pending) = (self.space.page_count(), self.pending.len() as u64);
        let expected = SpaceStats {
            total,
            used: taken.len() as u64 - pending,
            unborn,
            pending,
            free: total - taken.len() as u64,
        };
        assert_eq!(self.space.stats(), expected);
        for v in [Version(self.newest.0 - 1), self.newest] {
            let in_use: BTreeSet<u64> = self.space.in_use_at(v).ones().collect();
            assert_eq!(in_use, self.in_use_at(v));
        }
    }
}

fn gaps_of(taken: &BTreeSet<u64>, end: u64) -> Vec<(u64, u64)> {
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    for page in (0..end).filter(|page| !taken.contains(page)) {
        match gaps.last_mut() {
            Some(last) if last.0 + last.1 == page => last.1 += 1,
            _ => gaps.push((page, 1)),
        }
    }
    gaps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn agrees_with_the_naive_model(
        page_count_max in prop_oneof![Just(40u64), Just(150), Just(1000)], ops in ops(),
    ) {
        let mut world = World::new(page_count_max);
        for op in ops {
            world.step(op);
            world.check();
        }
        // Nothing is pinned and everything is dropped: only the meta slots stay.
        world.pins.clear();
        world.metas.clear();
        for run in std::mem::take(&mut world.unborn) {
            world.space.abandon_run(run.id);
        }
        let pages: Vec<u64> = world.current.keys().copied().collect();
        world.drop_pages(&pages);
        world.publish();
        world.reclaim();
        world.check();
        prop_assert_eq!(world.space.used().count_ones(), META_SLOTS.len() as u64);
    }
}

fn space_with(pages: u64) -> Space {
    let mut space = Space::new(config(1000));
    while space.page_count() < pages {
        space.alloc().unwrap();
    }
    space
}

#[test]
fn pages_of_a_new_file_avoid_the_meta_slots() {
    let mut space = Space::new(config(1000));
    let pages: Vec<u64> = (0..9).map(|_| space.alloc().unwrap().0).collect();
    assert_eq!(pages, [1, 2, 4, 5, 6, 7, 8, 10, 11]);
}

#[test]
fn allocation_rolls_on_and_rewinds() {
    let mut space = space_with(100);
    for page in [20, 40, 41, 60] {
        space.free_now(PageId(page));
    }
    space.rewind();
    assert_eq!(space.alloc(), Ok(PageId(20)));
    space.free_now(PageId(20));
    assert_eq!(space.alloc(), Ok(PageId(40)), "the hint is past 20");
    assert_eq!(space.alloc(), Ok(PageId(41)));
    space.rewind();
    assert_eq!(space.alloc(), Ok(PageId(20)));
    assert_eq!(space.alloc(), Ok(PageId(60)));
    assert_eq!(space.alloc(), Ok(PageId(100)), "and the file grows when nothing is free");
}

#[test]
fn a_run_prefers_one_gap_then_parts_then_the_end() {
    let mut space = space_with(100);
    for (start, pages) in [(20, 4), (40, 6), (60, 2)] {
        space.free_run_now(PageId(start), pages);
    }
    assert_eq!(space.alloc_run(5, 3), Ok(vec![(PageId(40), 5)]));
    assert_eq!(space.alloc_run(5, 2), Ok(vec![(PageId(20), 4), (PageId(60), 1)]));
    assert_eq!(space.alloc_run(5, 2), Ok(vec![(PageId(100), 5)]));
}

#[test]
fn a_run_at_the_end_begins_in_the_free_tail() {
    let mut space = space_with(100);
    space.free_run_now(PageId(95), 5);
    assert_eq!(space.alloc_run(20, 4), Ok(vec![(PageId(95), 20)]));
    assert_eq!(space.page_count(), 115);
}

#[test]
fn a_search_after_trim_stays_in_the_file() {
    let mut space = space_with(100);
    space.free_run_now(PageId(20), 4);
    let tail = space.alloc_run(50, 1).unwrap();
    assert_eq!(tail, [(PageId(100), 50)]);
    space.free_run_now(PageId(100), 50);
    assert_eq!(space.trim(), 100);
    assert_eq!(space.alloc_run(52, 2), Ok(vec![(PageId(100), 52)]));
}

#[test]
fn a_full_file_says_so_and_stays_usable() {
    let mut space = Space::new(config(20));
    while space.alloc().is_ok() {}
    let full = |pages| SpaceError::Full { pages, page_count: 20, page_count_max: 20 };
    assert_eq!(space.alloc(), Err(full(1)));
    assert_eq!(space.alloc_run(2, 4), Err(full(2)));
    for page in [4, 6, 8] {
        space.free_now(PageId(page));
    }
    assert_eq!(space.alloc_run(3, 2), Err(full(3)), "it would take three parts");
    let parts = [4, 6, 8].map(|page| (PageId(page), 1));
    assert_eq!(space.alloc_run(3, 3), Ok(parts.to_vec()));
}

#[test]
fn unborn_pages_are_not_in_use_until_commit() {
    let mut space = space_with(12);
    let kept = space.reserve_run(4, 1).unwrap();
    let lost = space.reserve_run(4, 1).unwrap();
    let v = Version(1);
    let in_use = |space: &Space, run: &Reservation| space.in_use_at(v).test(run.parts[0].0.0);
    assert!(!in_use(&space, &kept) && !in_use(&space, &lost));
    assert_eq!(space.stats().unborn, 8);
    space.commit_run(kept.id);
    space.abandon_run(lost.id);
    assert!(in_use(&space, &kept));
    assert!(!space.is_used(lost.parts[0].0));
    assert_eq!(space.stats().unborn, 0);
}

/// A crash between two checkpoints must not reuse what the older one reaches while it is kept.
#[test]
fn the_older_meta_holds_its_pages_after_open() {
    let mut space = space_with(30);
    let older = (Version(5), space.in_use_at(Version(5)));
    space.retire(PageId(20), Version(2), Version(6));
    space.free_now(PageId(29));
    let newer = (Version(6), space.in_use_at(Version(6)));
    let mut space = Space::open(config(1000), 30, &[older, newer]).unwrap();
    assert!(space.reclaim(&[Version(5), Version(6)]).runs().is_empty());
    assert_eq!(space.held_by(Version(5)), 2);
    let freed = space.reclaim(&[Version(6), Version(7)]);
    assert_eq!(freed.pages().collect::<Vec<_>>(), [PageId(20), PageId(29)]);
}

#[test]
fn a_bitmap_longer_than_the_file_is_refused() {
    let mut in_use = Bitmap::new(64);
    in_use.set(30);
    let opened = Space::open(config(1000), 30, &[(Version(1), in_use)]);
    assert_eq!(opened.err(), Some(SpaceError::BeyondEnd { page: PageId(30), page_count: 30 }));
}

#[test]
fn a_file_longer_than_the_limit_opens_and_does_not_grow() {
    let mut in_use = space_with(30).in_use_at(Version(1));
    in_use.clear(25);
    let mut space = Space::open(config(20), 30, &[(Version(1), in_use)]).unwrap();
    assert_eq!(space.alloc(), Ok(PageId(25)));
    let full = SpaceError::Full { pages: 1, page_count: 30, page_count_max: 20 };
    assert_eq!(space.alloc(), Err(full));
}

#[test]
#[should_panic(expected = "S2")]
fn a_page_is_not_retired_twice() {
    let mut space = space_with(30);
    space.retire(PageId(20), Version(1), Version(2));
    space.retire(PageId(20), Version(1), Version(3));
}

#[test]
#[should_panic(expected = "S2")]
fn a_pending_page_is_not_freed_now() {
    let mut space = space_with(30);
    space.retire(PageId(20), Version(1), Version(2));
    space.free_now(PageId(20));
}

#[test]
#[should_panic(expected = "S2")]
fn a_free_page_is_not_retired() {
    let mut space = space_with(30);
    space.free_now(PageId(20));
    space.retire(PageId(20), Version(1), Version(2));
}

#[test]
#[should_panic(expected = "S1")]
fn a_page_is_not_freed_twice() {
    let mut space = space_with(30);
    space.free_now(PageId(20));
    space.free_now(PageId(20));
}

#[test]
#[should_panic(expected = "S7")]
fn a_meta_slot_is_not_freed() {
    space_with(30).free_run_now(PageId(8), 2);
}
