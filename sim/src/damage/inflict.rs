//! What can be done to a file.

use super::layout::Use;
use super::subject::Part;
use crate::random::Random;
use std::collections::BTreeMap;
use std::ops::Range;

const SECTOR: u64 = 512;
/// A file of more bytes is mostly nothing.
pub(super) const LARGE: usize = 16 << 20;

/// One damage of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Bits of a byte are changed.
    Flip { at: u64, xor: u8 },
    /// A page is zero.
    Zero { page: u64 },
    /// A page is what another one is.
    Double { page: u64, from: u64 },
    /// Two pages have changed places.
    Swap { page: u64, with: u64 },
    /// A page is what it was once: which of all that it ever was.
    Older { page: u64, version: usize },
    /// The file ends here.
    Cut { len: u64 },
    /// A frame is zero.
    FrameZero { frame: usize },
    /// A frame is gone, and what follows has moved up.
    FrameGone { frame: usize },
    /// A frame is there twice, and what follows has moved down.
    FrameTwice { frame: usize },
    /// A frame is what another one of its length is.
    FrameDouble { frame: usize, from: usize },
    /// Two frames of one length have changed places.
    FrameSwap { frame: usize, with: usize },
    /// A frame is what a frame of its length was once, here or in another segment.
    FrameOlder { frame: usize, older: usize },
    /// Behind the last frame follows one that was written once.
    FrameAfter { older: usize },
}

impl Damage {
    /// What kind of damage.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Damage::Flip { .. } => "flip",
            Damage::Zero { .. } => "zero",
            Damage::Double { .. } => "double",
            Damage::Swap { .. } => "swap",
            Damage::Older { .. } => "older",
            Damage::Cut { .. } => "cut",
            Damage::FrameZero { .. } => "frame zero",
            Damage::FrameGone { .. } => "frame gone",
            Damage::FrameTwice { .. } => "frame twice",
            Damage::FrameDouble { .. } => "frame double",
            Damage::FrameSwap { .. } => "frame swap",
            Damage::FrameOlder { .. } => "frame older",
            Damage::FrameAfter { .. } => "frame after",
        }
    }

    /// The pages that it changes, if it is pages that it is about.
    pub(super) fn pages(&self, part: &Part) -> Vec<u64> {
        match *self {
            Damage::Flip { at, .. } => vec![at / part.page],
            Damage::Zero { page } | Damage::Double { page, .. } | Damage::Older { page, .. } => {
                vec![page]
            }
            Damage::Swap { page, with } => vec![page, with],
            _ => Vec::new(),
        }
    }

    /// What the damaged bytes are for.
    pub(super) fn hits(&self, part: &Part) -> Use {
        match *self {
            Damage::Flip { at, .. } => part.layout.at(at),
            Damage::Cut { len } => part.layout.at(len),
            Damage::FrameZero { frame }
            | Damage::FrameGone { frame }
            | Damage::FrameTwice { frame }
            | Damage::FrameDouble { frame, .. }
            | Damage::FrameSwap { frame, .. }
            | Damage::FrameOlder { frame, .. } => part.layout.at(part.frames()[frame].at),
            Damage::FrameAfter { .. } => Use::Free,
            _ => part.layout.at(self.pages(part)[0] * part.page),
        }
    }

    /// What it changes. What there was is a part of that, where it is the same.
    pub(super) fn patch(&self, part: &Part) -> Patch {
        let bytes = &part.bytes;
        let size = part.page as usize;
        let page_at = |page: u64| page as usize * size..bytes.len().min((page as usize + 1) * size);
        let same_len = |page: u64, from: u64| {
            // The last page of a log's file may be a part of one.
            let len = page_at(page).len().min(page_at(from).len());
            (page * part.page, bytes[page_at(from)][..len].to_vec())
        };
        let frame = |frame: usize| {
            let range = part.frames()[frame].range();
            (range.start, bytes[range.start as usize..range.end as usize].to_vec())
        };
        let end = part.frames().last().map_or(0, |frame| frame.at + frame.len);
        let rest = |at: u64| bytes[at as usize..end as usize].to_vec();
        let room = |mut piece: Vec<u8>, at: u64| {
            piece.truncate(bytes.len() - at as usize);
            vec![(at, piece)]
        };
        let pieces = match *self {
            Damage::Flip { at, xor } => vec![(at, vec![bytes[at as usize] ^ xor])],
            Damage::Zero { page } => vec![(page * part.page, vec![0; page_at(page).len()])],
            Damage::Double { page, from } => vec![same_len(page, from)],
            Damage::Swap { page, with } => vec![same_len(page, with), same_len(with, page)],
            Damage::Older { page, version } => {
                vec![(page * part.page, part.versions[&page][version].to_vec())]
            }
            Damage::Cut { len } => return Patch { pieces: Vec::new(), len: Some(len) },
            Damage::FrameZero { frame: at } => {
                let (at, bytes) = frame(at);
                vec![(at, vec![0; bytes.len()])]
            }
            Damage::FrameGone { frame: at } => {
                let (at, gone) = frame(at);
                let mut moved = rest(at + gone.len() as u64);
                moved.resize(moved.len() + gone.len(), 0);
                vec![(at, moved)]
            }
            Damage::FrameTwice { frame: at } => {
                let (at, twice) = frame(at);
                let behind = at + twice.len() as u64;
                let mut moved = twice;
                moved.extend(rest(behind));
                room(moved, behind)
            }
            Damage::FrameDouble { frame: at, from } => vec![(frame(at).0, frame(from).1)],
            Damage::FrameSwap { frame: at, with } => {
                let ((at, a), (with, b)) = (frame(at), frame(with));
                vec![(at, b), (with, a)]
            }
            Damage::FrameOlder { frame: at, older } => {
                vec![(frame(at).0, part.older_frames[older].to_vec())]
            }
            Damage::FrameAfter { older } => room(part.older_frames[older].to_vec(), end),
        };
        Patch { pieces, len: None }
    }
}

/// What a damage changes.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    /// Where, and what is there afterwards.
    pub(super) pieces: Vec<(u64, Vec<u8>)>,
    /// The length of the file, if that changes.
    pub(super) len: Option<u64>,
}

impl Patch {
    /// What changes, as narrow as it is; empty if nothing does.
    pub(super) fn changes(&self, part: &Part) -> Vec<Range<u64>> {
        let mut changes: Vec<Range<u64>> = Vec::new();
        for (at, bytes) in &self.pieces {
            let was = &part.bytes[*at as usize..][..bytes.len()];
            let differ =
                |(i, (new, old)): (usize, (&u8, &u8))| (new != old).then_some(at + i as u64);
            for at in bytes.iter().zip(was).enumerate().filter_map(differ) {
                match changes.last_mut() {
                    Some(last) if last.end == at => last.end += 1,
                    _ => changes.push(at..at + 1),
                }
            }
        }
        changes.extend(self.len.map(|len| len..part.bytes.len() as u64));
        changes
    }
}

/// How much of it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Every bit of a byte is changed by itself; else one, and all.
    pub(super) every_bit: bool,
    /// One in so many.
    pub(super) one_in: u64,
    pub(super) seed: u64,
}

impl Sample {
    /// One in how many, of so many of a kind that hit what is for this: never fewer than a few of any
    /// kind, and of those that hit nothing that counts a part only.
    fn rate(&self, hits: Use, count: u64) -> u64 {
        let thin = if hits.counts() {
            1
        } else {
            (count / IDLE_MAX).max(IDLE_ONE_IN.min(count / IDLE_MIN))
        };
        let least = match hits {
            Use::Meta | Use::SegmentHeader => LEAST_OF_HEADERS,
            _ => LEAST,
        };
        match self.one_in {
            1 => thin.max(1),
            one_in => (one_in * thin.max(1)).min(count / least).max(1),
        }
    }
}

/// Of what hits nothing that counts: all if that is little, one in so many, and at most so many.
const IDLE_MIN: u64 = 1000;
const IDLE_ONE_IN: u64 = 16;
const IDLE_MAX: u64 = 20_000;
/// At least about so many of each kind.
const LEAST: u64 = 8;
/// They are short, and each of their fields matters otherwise.
const LEAST_OF_HEADERS: u64 = 48;

/// Everything that is to be done to a file, in an order that is always the same.
pub(super) fn each(part: &Part, sample: &Sample, found: &mut dyn FnMut(Damage)) {
    let mut counts: BTreeMap<(&str, Use), u64> = BTreeMap::new();
    let flips = if sample.every_bit { 8 } else { 2 };
    for (range, of) in part.layout.parts() {
        *counts.entry(("flip", of)).or_default() += (range.end - range.start) * flips;
    }
    let key = |damage: &Damage| (damage.name(), damage.hits(part));
    each_other(part, &mut |damage| *counts.entry(key(&damage)).or_default() += 1);
    let mut random = Random(sample.seed);
    for (range, of) in part.layout.parts() {
        let rate = sample.rate(of, counts[&("flip", of)]);
        let mut flip = range.start * flips + random.next() % rate;
        while flip < range.end * flips {
            let (at, which) = (flip / flips, flip % flips);
            let xor = match (sample.every_bit, which) {
                (true, bit) => 1 << bit,
                // Over all places every bit is changed alike.
                (false, 0) => 1 << (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61),
                (false, _) => 0xff,
            };
            found(Damage::Flip { at, xor });
            // On average the rate, and none left out for ever by where it lies.
            flip += if rate == 1 { 1 } else { 1 + random.next() % (2 * rate - 1) };
        }
    }
    each_other(part, &mut |damage| {
        let key = key(&damage);
        if random.next().is_multiple_of(sample.rate(key.1, counts[&key])) {
            found(damage);
        }
    });
}

/// Everything but flips.
fn each_other(part: &Part, found: &mut dyn FnMut(Damage)) {
    for &page in &part.pages {
        found(Damage::Zero { page });
        for version in 0..part.versions.get(&page).map_or(0, Vec::len) {
            found(Damage::Older { page, version });
        }
        for &other in part.pages.iter().filter(|other| **other != page) {
            found(Damage::Double { page, from: other });
            if other > page {
                found(Damage::Swap { page, with: other });
            }
        }
    }
    let cut = |len| Damage::Cut { len };
    match part.bytes.len() > LARGE {
        false => {
            (0..part.bytes.len() as u64).step_by(SECTOR as usize).for_each(|len| found(cut(len)));
        }
        // Of a file of mostly nothing a copy takes long: it is cut where anything begins.
        true => part.layout.parts().for_each(|(range, _)| found(cut(range.start))),
    }
    let frames = part.frames();
    for (frame, here) in frames.iter().enumerate() {
        found(Damage::FrameZero { frame });
        found(Damage::FrameGone { frame });
        found(Damage::FrameTwice { frame });
        for (other, there) in frames.iter().enumerate() {
            if other != frame && here.len == there.len {
                found(Damage::FrameDouble { frame, from: other });
                if other > frame {
                    found(Damage::FrameSwap { frame, with: other });
                }
            }
        }
        let of_len = |older: &usize| part.older_frames[*older].len() as u64 == here.len;
        for older in (0..part.older_frames.len()).filter(of_len) {
            found(Damage::FrameOlder { frame, older });
        }
    }
    if part.segment.is_some() {
        (0..part.older_frames.len()).for_each(|older| found(Damage::FrameAfter { older }));
    }
}
