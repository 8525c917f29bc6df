//! What of the un-synced survives a crash, and which choices are tried.

use crate::random::Random;
use crate::trace::DATABASE;
use llmdb_vfs::{Fate, MemVfs, OpenMode, UnsyncedOp, Vfs};
use std::fmt;
use std::io::IoSlice;
use std::path::Path;
use std::str::FromStr;

/// The unit in which a write reaches the medium.
const SECTOR: u64 = 512;
/// Meta slots of a database, and how far apart they are.
pub(crate) const SLOTS: u8 = 3;
const SLOT_STEP: u64 = 65536;
/// With so many un-synced changes at most every subset is tried.
const ALL_SUBSETS_MAX: usize = 10;
/// With so many every pair of them is lost; above that pairs are drawn, so many at each point.
const ALL_PAIRS_MAX: usize = 40;
const PAIRS: usize = 256;
/// Of a write of so many sectors at most every torn state is tried.
const ALL_TORN_MAX: u64 = 8;
/// Of a write to the log of so many bytes at most every cut is tried.
const ALL_CUTS_MAX: u64 = 4096;
/// Choices that are drawn at random where not all are tried.
const DRAWN: usize = 16;

/// A set of numbers. As text: hexadecimal digits, the lowest bit of the first is number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    fn of(len: usize, mut member: impl FnMut(usize) -> bool) -> Bits {
        let mut words = vec![0; len.div_ceil(64)];
        for i in 0..len {
            words[i / 64] |= u64::from(member(i)) << (i % 64);
        }
        Bits(words)
    }

    fn has(&self, i: usize) -> bool {
        self.0.get(i / 64).is_some_and(|word| word >> (i % 64) & 1 == 1)
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.iter().flat_map(|word| (0..16).map(move |i| word >> (4 * i) & 15));
        let digits: Vec<u64> = digits.collect();
        let used = digits.iter().rposition(|digit| *digit > 0).map_or(1, |last| last + 1);
        let shown = digits.iter().chain(&[0]).take(used);
        shown.into_iter().try_for_each(|digit| write!(f, "{digit:x}"))
    }
}

impl FromStr for Bits {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digit = |c: char| c.to_digit(16).ok_or_else(|| format!("{c:?} is no digit of a set"));
        let digits = text.chars().map(digit).collect::<Result<Vec<u32>, String>>()?;
        Ok(Bits::of(4 * digits.len(), |i| digits[i / 4] >> (i % 4) & 1 == 1))
    }
}

/// What survives. The changes are those of [`MemVfs::unsynced`], by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These changes, as wholes.
    Keep(Bits),
    /// These, but of one of them these sectors alone.
    Torn {
        /// The changes.
        keep: Bits,
        /// The one that is torn.
        op: usize,
        /// Its sectors.
        sectors: Bits,
    },
    /// These, but of one of them its first bytes alone.
    Cut {
        /// The changes.
        keep: Bits,
        /// The one that is cut.
        op: usize,
        /// Its bytes.
        bytes: u64,
    },
    /// Each sector of each by the toss of this coin.
    Toss(u64),
    /// All, and then the medium loses this meta slot of the database.
    Slot(u8),
}

impl Choice {
    /// The disk after a crash of `disk` from which this survives.
    pub fn crash(&self, disk: &MemVfs) -> MemVfs {
        let whole = disk.unsynced();
        let kept = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
        match self {
            Choice::Keep(keep) => disk.crash_by(&mut |place, _| kept(keep.has(place))),
            Choice::Torn { keep, op, sectors } => disk.crash_by(&mut |place, piece| {
                let torn = place == *op && keep.has(place);
                kept(match (torn, write_of(piece), whole.get(place).and_then(write_of)) {
                    (true, Some((at, _)), Some((start, _))) => {
                        sectors.has((at / SECTOR - start / SECTOR) as usize)
                    }
                    _ => keep.has(place),
                })
            }),
            Choice::Cut { keep, op, bytes } => disk.crash_by(&mut |place, piece| {
                let cut = place == *op && keep.has(place);
                match (cut, write_of(piece), whole.get(place).and_then(write_of)) {
                    (true, Some((at, _)), Some((start, _))) => {
                        Fate::Cut(bytes.saturating_sub(at - start))
                    }
                    _ => kept(keep.has(place)),
                }
            }),
            Choice::Toss(seed) => {
                let mut random = Random(*seed);
                disk.crash_by(&mut |_, _| kept(random.next() & 1 == 1))
            }
            Choice::Slot(slot) => {
                let crashed = disk.crash(&mut |_| true);
                lose_slot(&crashed, *slot);
                crashed
            }
        }
    }

    /// Choices that lose less, for whoever looks for the least that fails.
    pub fn simpler(&self, changes: usize) -> Vec<Choice> {
        match self {
            Choice::Keep(keep) => (0..changes)
                .filter(|lost| !keep.has(*lost))
                .map(|lost| Choice::Keep(Bits::of(changes, |i| keep.has(i) || i == lost)))
                .collect(),
            Choice::Torn { keep, op, .. } | Choice::Cut { keep, op, .. } => {
                let mut simpler = vec![
                    Choice::Keep(keep.clone()),
                    Choice::Keep(Bits::of(changes, |i| keep.has(i) && i != *op)),
                ];
                for lost in (0..changes).filter(|lost| !keep.has(*lost)) {
                    let mut more = self.clone();
                    if let Choice::Torn { keep, .. } | Choice::Cut { keep, .. } = &mut more {
                        *keep = Bits::of(changes, |i| keep.has(i) || i == lost);
                    }
                    simpler.push(more);
                }
                simpler
            }
            Choice::Slot(_) => Vec::new(),
            Choice::Toss(seed) => {
                let mut simpler = subsets(changes, false, &mut Random(*seed));
                simpler.truncate(1 << ALL_SUBSETS_MAX);
                simpler
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Keep(keep) => write!(f, "keep={keep}"),
            Choice::Torn { keep, op, sectors } => write!(f, "torn={keep},{op},{sectors}"),
            Choice::Cut { keep, op, bytes } => write!(f, "cut={keep},{op},{bytes}"),
            Choice::Toss(seed) => write!(f, "toss={seed}"),
            Choice::Slot(slot) => write!(f, "slot={slot}"),
        }
    }
}

impl FromStr for Choice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no choice");
        let (kind, rest) = text.split_once('=').ok_or_else(bad)?;
        let fields: Vec<&str> = rest.split(',').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        match (kind, fields.as_slice()) {
            ("keep", [keep]) => Ok(Choice::Keep(keep.parse()?)),
            ("torn", [keep, op, sectors]) => Ok(Choice::Torn {
                keep: keep.parse()?,
                op: number(op)? as usize,
                sectors: sectors.parse()?,
            }),
            ("cut", [keep, op, bytes]) => Ok(Choice::Cut {
                keep: keep.parse()?,
                op: number(op)? as usize,
                bytes: number(bytes)?,
            }),
            ("toss", [seed]) => Ok(Choice::Toss(number(seed)?)),
            ("slot", [slot]) => Ok(Choice::Slot(number(slot)? as u8)),
            _ => Err(bad()),
        }
    }
}

/// Overwrites a meta slot with zeros.
fn lose_slot(disk: &MemVfs, slot: u8) {
    let file = disk.open(Path::new(DATABASE), OpenMode::ReadWrite);
    let zeros = [0; SECTOR as usize];
    let lost = file
        .and_then(|file| file.write_all_at(&[IoSlice::new(&zeros)], u64::from(slot) * SLOT_STEP));
    lost.expect("a database is there, and no fault is planned");
}

fn write_of(op: &UnsyncedOp) -> Option<(u64, u64)> {
    match op {
        UnsyncedOp::Write { offset, len, .. } => Some((*offset, *len)),
        _ => None,
    }
}

/// What is tried at one point, by kind: where not all can be tried, some of each kind are.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Changes as wholes.
    pub subsets: Vec<Choice>,
    /// The newest torn at sectors.
    pub torn: Vec<Choice>,
    /// The newest cut at a byte.
    pub cuts: Vec<Choice>,
}

/// All choices that are tried of these changes. `is_new`: the last of them was made by the call just
/// before; choices that lose it were tried before that call.
pub fn choices(ops: &[UnsyncedOp], is_new: bool, seed: u64) -> Choices {
    let mut random = Random(seed);
    let subsets = subsets(ops.len(), is_new, &mut random);
    let mut all = Choices { subsets, ..Choices::default() };
    let Some((op, newest)) = ops.iter().enumerate().next_back().filter(|_| is_new) else {
        return all;
    };
    let Some((start, len)) = write_of(newest).filter(|(_, len)| *len > 0) else { return all };
    let UnsyncedOp::Write { path, .. } = newest else { return all };
    // What came before it is there, or is not.
    let others = match ops.len() {
        1 => vec![Bits::of(1, |_| true)],
        n => vec![Bits::of(n, |_| true), Bits::of(n, |i| i == op)],
    };
    let sectors = (start + len - 1) / SECTOR - start / SECTOR + 1;
    for keep in &others {
        let torn = |bits| Choice::Torn { keep: keep.clone(), op, sectors: bits };
        all.torn.extend(torn_at(sectors as usize, &mut random).into_iter().map(torn));
        let cut = |bytes| Choice::Cut { keep: keep.clone(), op, bytes };
        let of_log = path.extension().is_some_and(|extension| extension != "llmdb");
        let of_meta = !of_log && sectors <= ALL_TORN_MAX;
        let bytes = match (of_log, of_meta) {
            (true, _) if len <= ALL_CUTS_MAX => len,
            (_, true) => len.min(SECTOR),
            _ => 0,
        };
        all.cuts.extend((1..bytes).filter(|at| (start + at) % SECTOR != 0).map(cut));
    }
    if sectors > 1 || ops.len() > 1 {
        all.torn.extend((0..DRAWN / 2).map(|_| Choice::Toss(random.next())));
    }
    all
}

/// Subsets of `n` changes: all, or those that differ little from all, none, or a prefix.
fn subsets(n: usize, is_new: bool, random: &mut Random) -> Vec<Choice> {
    // The newest is kept by all of these, if it is new.
    let free = if is_new { n - 1 } else { n };
    let keep = |member: &dyn Fn(usize) -> bool| {
        Choice::Keep(Bits::of(n, |i| member(i) || (is_new && i + 1 == n)))
    };
    if free <= ALL_SUBSETS_MAX {
        return (0..1u32 << free).map(|set| keep(&|i| i < free && set >> i & 1 == 1)).collect();
    }
    let mut all: Vec<Choice> = (0..=free).map(|end| keep(&|i| i < end)).collect();
    for a in 0..free {
        all.push(keep(&|i| i < free && i != a));
        all.push(keep(&|i| i == a));
    }
    let two = |(a, b)| keep(&|i| i < free && i != a && i != b);
    if free <= ALL_PAIRS_MAX {
        all.extend((0..free).flat_map(|a| (a + 1..free).map(move |b| (a, b))).map(two));
    } else {
        let pairs = std::iter::repeat_with(|| (random.below(free), random.below(free)));
        all.extend(pairs.take(PAIRS).map(two));
    }
    all.extend((0..DRAWN).map(|_| {
        let drawn = Bits::of(free, |_| random.next() & 1 == 1);
        keep(&|i| drawn.has(i))
    }));
    all
}

/// Sectors of a torn write that survive: all sets, or those near all, none, or a prefix.
fn torn_at(sectors: usize, random: &mut Random) -> Vec<Bits> {
    if sectors as u64 <= ALL_TORN_MAX {
        let sets = 1..(1u32 << sectors) - 1;
        return sets.map(|set| Bits::of(sectors, |i| set >> i & 1 == 1)).collect();
    }
    let mut all = Vec::new();
    for _ in 0..DRAWN {
        let (at, end) = (random.below(sectors), 1 + random.below(sectors - 1));
        all.push(Bits::of(sectors, |i| i < end));
        all.push(Bits::of(sectors, |i| i >= end));
        all.push(Bits::of(sectors, |i| i != at));
        all.push(Bits::of(sectors, |i| i == at));
        all.push(Bits::of(sectors, |_| random.next() & 1 == 1));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::disk;
    use llmdb_vfs::{OpenMode, Vfs};
    use std::collections::BTreeSet;
    use std::io::IoSlice;
    use std::path::Path;

    #[test]
    fn a_choice_is_read_back_from_its_text() {
        let bits = |text: &str| text.parse::<Bits>().unwrap();
        let choices = [
            Choice::Keep(bits("5a")),
            Choice::Torn { keep: bits("f"), op: 3, sectors: bits("01") },
            Choice::Cut { keep: bits("0"), op: 0, bytes: 77 },
            Choice::Toss(12),
            Choice::Slot(2),
        ];
        for choice in choices {
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
        for bad in ["", "keep", "keep=x", "cut=f,1", "toss=-1"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn few_changes_are_tried_in_every_subset_and_each_once() {
        let op = |i| UnsyncedOp::SetLen { path: "/f".into(), len: i };
        for n in 1..=ALL_SUBSETS_MAX {
            let ops: Vec<_> = (0..n as u64).map(op).collect();
            let all: BTreeSet<String> =
                choices(&ops, false, 0).subsets.iter().map(|c| c.to_string()).collect();
            assert_eq!(all.len(), 1 << n);
            assert_eq!(choices(&ops, true, 0).subsets.len(), 1 << (n - 1));
        }
        let many: Vec<_> = (0..40).map(op).collect();
        let tried = choices(&many, false, 0).subsets.len();
        assert_eq!(tried, 41 + 40 + 40 + 40 * 39 / 2 + DRAWN);
    }

    #[test]
    fn a_cut_keeps_the_first_bytes_and_a_tear_its_sectors() {
        let disk = disk();
        let file = disk.open(Path::new("/f.log"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(&[IoSlice::new(&[1; 1200])], 100).unwrap();
        let after = |choice: &str| {
            let crashed = choice.parse::<Choice>().unwrap().crash(&disk);
            let file = crashed.open(Path::new("/f.log"), OpenMode::Read).unwrap();
            let mut bytes = vec![0; 2000];
            let n = file.read_at(&mut bytes, 0).unwrap();
            (n, bytes.iter().filter(|byte| **byte == 1).count())
        };
        assert_eq!(after("cut=1,0,700"), (800, 700));
        assert_eq!(after("torn=1,0,4"), (1300, 1300 - 1024));
        assert_eq!(after("torn=1,0,1"), (512, 412));
        assert_eq!(after("keep=1"), (1300, 1200));
        assert_eq!(after("keep=0"), (0, 0));
    }
}
