//! A growing set of page ids, cut into regions that are stored and shared one by one.
//!
//! A region is the unit on disk (one bitmap page) and the unit of sharing in memory: a clone
//! shares every region, and a region is copied when it is next changed (invariant S8). Bits past
//! the last region are clear.

use std::sync::Arc;

use super::SpaceError;
use super::region::Region;

#[cfg(test)]
mod tests;

/// A set of page ids.
///
/// To clone is O(regions). To set, clear or test a bit is O(1), the first change of a region after
/// a clone aside. Searches skip full and empty regions by their counts and full words by a
/// summary bit each.
#[derive(Clone)]
pub struct Bitmap {
    region_pages: u64,
    regions: Vec<Arc<Region>>,
    /// Ones a region.
    ones: Vec<u64>,
    dirty: Vec<bool>,
    count: u64,
    /// What a region is before its first bit.
    empty: Arc<Region>,
}

impl Bitmap {
    /// An empty set of regions of `region_pages` bits each, which must be a multiple of 64.
    #[must_use]
    pub fn new(region_pages: u64) -> Self {
        assert!(region_pages > 0 && region_pages.is_multiple_of(64));
        Bitmap {
            region_pages,
            regions: Vec::new(),
            ones: Vec::new(),
            dirty: Vec::new(),
            count: 0,
            empty: Arc::new(Region::new(region_pages)),
        }
    }

    /// Bits a region has.
    #[must_use]
    pub fn region_pages(&self) -> u64 {
        self.region_pages
    }

    /// Regions that exist; all later ones are empty.
    #[must_use]
    pub fn region_count(&self) -> u64 {
        self.regions.len() as u64
    }

    /// How many bits are set.
    #[must_use]
    pub fn count_ones(&self) -> u64 {
        self.count
    }

    /// Is `page` in the set?
    #[must_use]
    pub fn test(&self, page: u64) -> bool {
        let (region, bit) = self.place(page);
        self.regions.get(region).is_some_and(|r| r.test(bit))
    }

    /// Adds `page`; false if it was there.
    pub fn set(&mut self, page: u64) -> bool {
        self.set_run(page, 1) == 1
    }

    /// Takes `page` out; false if it was not there.
    pub fn clear(&mut self, page: u64) -> bool {
        self.clear_run(page, 1) == 1
    }

    /// Adds `len` pages from `start` on and returns how many were not there. O(len / 64).
    pub fn set_run(&mut self, start: u64, len: u64) -> u64 {
        let mut changed = 0;
        for (region, from, to) in self.pieces(start, len) {
            self.grow(region + 1);
            let added = Arc::make_mut(&mut self.regions[region]).set_range(from, to);
            self.ones[region] += added;
            self.dirty[region] |= added > 0;
            changed += added;
        }
        self.count += changed;
        changed
    }

    /// Takes `len` pages out from `start` on and returns how many were there. O(len / 64).
    pub fn clear_run(&mut self, start: u64, len: u64) -> u64 {
        let mut changed = 0;
        for (region, from, to) in self.pieces(start, len) {
            if self.ones.get(region).is_none_or(|ones| *ones == 0) {
                continue;
            }
            let removed = Arc::make_mut(&mut self.regions[region]).clear_range(from, to);
            self.ones[region] -= removed;
            self.dirty[region] |= removed > 0;
            changed += removed;
        }
        self.count -= changed;
        changed
    }

    /// The first page at or after `page` that is not in the set.
    #[must_use]
    pub fn first_zero_from(&self, page: u64) -> u64 {
        self.first_zero_in(page, u64::MAX).expect("page ids end below 2^64")
    }

    /// The first page at or after `page` that is in the set.
    #[must_use]
    pub fn first_one_from(&self, page: u64) -> Option<u64> {
        self.first_one_in(page, u64::MAX)
    }

    /// Are all `len` pages from `start` on in the set? O(len / 64).
    #[must_use]
    pub fn holds_run(&self, start: u64, len: u64) -> bool {
        self.first_zero_in(start, start + len).is_none()
    }

    /// Is any of the `len` pages from `start` on in the set? O(len / 64).
    #[must_use]
    pub fn meets_run(&self, start: u64, len: u64) -> bool {
        self.first_one_in(start, start + len).is_some()
    }

    /// The last page in the set.
    #[must_use]
    pub fn last_one(&self) -> Option<u64> {
        let region = self.ones.iter().rposition(|ones| *ones > 0)?;
        let bit = self.regions[region].last_one();
        Some(self.page(region, bit.expect("S6: the region's count is not zero")))
    }

    /// The pages of the set, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::successors(self.first_one_from(0), |page| self.first_one_from(page + 1))
    }

    /// The maximal runs `(start, len)` of `from..end` that hold no page of the set, ascending.
    pub fn gaps(&self, from: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = from;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let Some(start) = self.first_zero_in(at, end) else {
                at = end;
                return None;
            };
            at = self.first_one_in(start, end).unwrap_or(end);
            Some((start, at - start))
        })
    }

    /// Where `len` consecutive pages below `end` are not in the set: the first such start at or
    /// after `from`, else the first from 0 on. Looks at no more than `gaps_max` gaps and gives up.
    #[must_use]
    pub fn find_run(&self, len: u64, from: u64, end: u64, gaps_max: usize) -> Option<u64> {
        assert!(len > 0);
        // A run that starts before `from` may end after it.
        let wrap_end = from.saturating_add(len - 1).min(end);
        self.gaps(from, end)
            .chain(self.gaps(0, wrap_end))
            .take(gaps_max)
            .find(|(_, gap_len)| *gap_len >= len)
            .map(|(start, _)| start)
    }

    /// The bytes of a region as they are stored: its bits as little-endian 64-bit words.
    #[must_use]
    pub fn region_bytes(&self, region: u64) -> Vec<u8> {
        self.region(region).encode()
    }

    /// Takes the bits of a region from stored bytes. The region is clean afterwards.
    ///
    /// # Errors
    /// [`SpaceError::RegionSize`] if `bytes` is not a region; nothing changes.
    pub fn load_region(&mut self, region: u64, bytes: &[u8]) -> Result<(), SpaceError> {
        let expected = (self.region_pages / 8) as usize;
        if bytes.len() != expected {
            return Err(SpaceError::RegionSize { region, expected, found: bytes.len() });
        }
        let at = usize::try_from(region).expect("regions fit in memory");
        self.grow(at + 1);
        self.replace(at, Arc::new(Region::decode(bytes)));
        self.dirty[at] = false;
        Ok(())
    }

    /// Regions changed since they were last loaded or marked clean, ascending.
    pub fn dirty_regions(&self) -> impl Iterator<Item = u64> + '_ {
        let dirty = self.dirty.iter().enumerate().filter(|(_, dirty)| **dirty);
        dirty.map(|(region, _)| region as u64)
    }

    /// Marks every region clean.
    pub fn mark_clean(&mut self) {
        self.dirty.fill(false);
    }

    /// Adds every page of `other`, which must have regions of the same size.
    pub fn or_assign(&mut self, other: &Bitmap) {
        assert_eq!(self.region_pages, other.region_pages);
        self.grow(other.regions.len());
        for (region, theirs) in other.regions.iter().enumerate() {
            if other.ones[region] == 0 || Arc::ptr_eq(&self.regions[region], theirs) {
                continue;
            }
            let before = self.ones[region];
            let union = match before {
                0 => Arc::clone(theirs),
                _ => Arc::new(self.regions[region].zip_with(theirs, |a, b| a | b)),
            };
            self.replace(region, union);
            self.dirty[region] |= self.ones[region] != before;
        }
    }

    /// The pages of this set that are not in `other`. Regions that lose nothing stay shared.
    #[must_use]
    pub fn difference(&self, other: &Bitmap) -> Bitmap {
        assert_eq!(self.region_pages, other.region_pages);
        let mut result = self.clone();
        let common = self.regions.len().min(other.regions.len());
        for region in 0..common {
            if self.ones[region] == 0 || other.ones[region] == 0 {
                continue;
            }
            let rest = self.regions[region].zip_with(&other.regions[region], |a, b| a & !b);
            if rest.same_bits(&self.regions[region]) {
                continue;
            }
            result.replace(region, Arc::new(rest));
            result.dirty[region] = true;
        }
        result
    }

    /// The first page of `page..end` that is not in the set.
    fn first_zero_in(&self, page: u64, end: u64) -> Option<u64> {
        let (first, mut from) = self.place(page);
        for region in first..self.regions.len() {
            if self.page(region, 0) >= end {
                return None;
            }
            if self.ones[region] < self.region_pages
                && let Some(bit) = self.regions[region].first_zero_from(from)
            {
                return Some(self.page(region, bit)).filter(|page| *page < end);
            }
            from = 0;
        }
        Some(page.max(self.page(self.regions.len(), 0))).filter(|page| *page < end)
    }

    /// The first page of `page..end` that is in the set.
    fn first_one_in(&self, page: u64, end: u64) -> Option<u64> {
        let (first, mut from) = self.place(page);
        for region in first..self.regions.len() {
            let start = self.page(region, 0);
            if start + from >= end {
                return None;
            }
            let to = self.region_pages.min(end - start);
            if self.ones[region] > 0
                && let Some(bit) = self.regions[region].first_one_in(from, to)
            {
                return Some(start + bit);
            }
            from = 0;
        }
        None
    }

    fn region(&self, region: u64) -> &Arc<Region> {
        let at = usize::try_from(region).ok();
        at.and_then(|at| self.regions.get(at)).unwrap_or(&self.empty)
    }

    fn replace(&mut self, region: usize, bits: Arc<Region>) {
        self.count -= self.ones[region];
        self.ones[region] = bits.count_ones();
        self.count += self.ones[region];
        self.regions[region] = bits;
    }

    fn grow(&mut self, regions: usize) {
        if regions > self.regions.len() {
            self.regions.resize(regions, Arc::clone(&self.empty));
            self.ones.resize(regions, 0);
            self.dirty.resize(regions, false);
        }
    }

    /// The region of `page` and its bit in there.
    fn place(&self, page: u64) -> (usize, u64) {
        let region = usize::try_from(page / self.region_pages).unwrap_or(usize::MAX);
        (region, page % self.region_pages)
    }

    fn page(&self, region: usize, bit: u64) -> u64 {
        region as u64 * self.region_pages + bit
    }

    /// Cuts a run of pages at region borders, into `(region, from_bit, to_bit)`.
    fn pieces(&self, start: u64, len: u64) -> impl Iterator<Item = (usize, u64, u64)> + use<> {
        let region_pages = self.region_pages;
        let end = start.checked_add(len).expect("page ids end below 2^64");
        let mut at = start;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (region, from) = (at / region_pages, at % region_pages);
            let to = region_pages.min(from + (end - at));
            at += to - from;
            let region = usize::try_from(region).expect("regions fit in memory");
            Some((region, from, to))
        })
    }
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitmap")
            .field("region_pages", &self.region_pages)
            .field("regions", &self.regions.len())
            .field("ones", &self.count)
            .finish_non_exhaustive()
    }
}

/// The regions whose stored bytes differ between two sets, ascending. A region that a set does not
/// have counts as zeros. Regions still shared by the two cost one comparison of pointers.
#[must_use]
pub fn changed_regions(prev: &Bitmap, now: &Bitmap) -> Vec<u64> {
    assert_eq!(prev.region_pages, now.region_pages);
    let regions = prev.region_count().max(now.region_count());
    (0..regions)
        .filter(|region| {
            let (prev, now) = (prev.region(*region), now.region(*region));
            !Arc::ptr_eq(prev, now) && !prev.same_bits(now)
        })
        .collect()
}
