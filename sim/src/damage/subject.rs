//! The databases that are damaged: small, and together with every kind of page that the format has.

use super::bench::Bench;
use super::layout::{self, Layout, Use};
use super::log::{self, Frame, Segment};
use crate::trace::{Call, Event, Player, Recorder, Tape};
use crate::world::{Expected, Storing, World, abandon};
use llmdb::PageSource;
use llmdb_storage::{Compression, PageKind, TreeOptions};
use llmdb_vfs::{EntryKind, MemOptions, MemVfs, OpenMode, Vfs};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const PATH: &str = "/t.llmdb";
/// Pages of a log's files are as long as blocks of devices.
const BLOCK: u64 = 4096;

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Trees,
    Facts,
}

/// How a database is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Closed.
    Closed,
    /// Closed, and a directory of directories put into the file.
    Grafted,
    /// As a crash leaves it that loses nothing.
    Open,
    /// The same, after a recovery from such a crash in the middle of its steps.
    Recovered,
}

/// How a database comes to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) holding: Holding,
    pub(super) storing: Storing,
    pub(super) steps: &'static [&'static str],
    pub(super) ending: Ending,
}

fn storing(source: PageSource, page_bytes: usize, how: Option<Compression>) -> Storing {
    let compression = TreeOptions { pages: how, values: how };
    Storing { page_bytes, compression, ..Storing::plain(source) }
}

/// All subjects.
pub(super) fn recipes() -> Vec<Recipe> {
    use Ending::{Closed, Grafted, Open, Recovered};
    use Holding::{Facts, Trees};
    use PageSource::{Buffered, Mmap};
    let plain = |source| storing(source, 4096, None);
    let packed = |source, how| storing(source, 8192, Some(how));
    let vast = Storing { map_bytes: 256 << 20, ..plain(Mmap) };
    let recipe =
        |name, holding, storing, ending, steps| Recipe { name, holding, storing, steps, ending };
    vec![
        // Leaves, branches, extents with and without a table of checksums; branches of two levels.
        recipe("trees", Trees, plain(Mmap), Closed, &["split", "grow", "spill", "merge", "tree"]),
        // Two generations and a log: values in it, beside it, and written ahead of it; a commit in
        // pieces, a tree that the log alone knows.
        recipe(
            "trees-open",
            Trees,
            plain(Buffered),
            Open,
            &[
                "split",
                "checkpoint",
                "overflow",
                "checkpoint",
                "delete",
                "long",
                "tree",
                "overwrite",
            ],
        ),
        // Segments that were used before, and frames of then behind the end.
        recipe(
            "trees-segments",
            Trees,
            plain(Mmap),
            Open,
            &[
                "spill",
                "spill",
                "checkpoint",
                "spill",
                "spill",
                "checkpoint",
                "spill",
                "spill",
                "put",
                "overwrite",
                "put",
            ],
        ),
        recipe(
            "trees-recovered",
            Trees,
            plain(Mmap),
            Recovered,
            &["split", "checkpoint", "long", "put", "overflow", "overwrite", "tree", "put"],
        ),
        // Two regions of pages, most of them holes; two levels of directories.
        recipe(
            "trees-vast",
            Trees,
            vast,
            Grafted,
            &["vast", "grow", "narrow", "checkpoint", "checkpoint", "put"],
        ),
        recipe(
            "trees-zstd",
            Trees,
            packed(Mmap, Compression::Zstd),
            Closed,
            &["texts", "tome", "long", "paper", "overflow"],
        ),
        // History that was given up, a named checkpoint, an erasure that is not finished.
        recipe(
            "facts",
            Facts,
            plain(Mmap),
            Closed,
            &["pin", "many", "range", "checkpoint", "long", "overflow", "retain", "erase"],
        ),
        recipe(
            "facts-open",
            Facts,
            plain(Buffered),
            Open,
            &[
                "many",
                "range",
                "checkpoint",
                "long",
                "overflow",
                "checkpoint",
                "pin",
                "long",
                "erase",
                "put",
                "until",
            ],
        ),
        recipe(
            "facts-lz4",
            Facts,
            packed(Buffered, Compression::Lz4),
            Open,
            &["texts", "tome", "checkpoint", "texts", "many", "checkpoint", "again", "long", "put"],
        ),
    ]
}

/// Does something with a world as a recipe wants it.
macro_rules! in_world_of {
    ($recipe:expr, $world:ident => $then:expr) => {
        match $recipe.holding {
            $crate::damage::subject::Holding::Trees => {
                let $world = &$crate::trees::Trees::stored($recipe.storing);
                $then
            }
            $crate::damage::subject::Holding::Facts => {
                let $world = &$crate::facts::Facts::stored($recipe.storing);
                $then
            }
        }
    };
}
pub(super) use in_world_of;

/// A file of a database.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Bytes of a page, or of a block of a log's file.
    pub(super) page: u64,
    pub(super) layout: Layout,
    /// Pages that are not zero.
    pub(super) pages: Vec<u64>,
    /// All that a page ever was, and is not now.
    pub(super) versions: BTreeMap<u64, Vec<Arc<[u8]>>>,
    /// A log's file that is a segment of it.
    pub(super) segment: Option<Segment>,
    /// Frames that are not where they are.
    pub(super) older_frames: Vec<Vec<u8>>,
}

impl Part {
    pub(super) fn frames(&self) -> &[Frame] {
        self.segment.as_ref().map_or(&[], |segment| &segment.frames)
    }

    pub(super) fn is_database(&self) -> bool {
        self.path == Path::new(PATH)
    }
}

/// A database to be damaged.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) recipe: Recipe,
    pub(super) disk: MemVfs,
    pub(super) parts: Vec<Part>,
    /// Every state that it was in, the newest last: what the questions are answered with.
    pub(super) states: Vec<u64>,
    /// Where the log begins that the file needs.
    log_start: u64,
    /// How many states are in the file itself, and how many once the log reaches so far.
    settled: usize,
    log_ends: Vec<(u64, usize)>,
    /// What it holds.
    pub(super) entries: BTreeSet<u64>,
    /// All that it ever held.
    pub(super) ever: BTreeSet<u64>,
}

type Versions = BTreeMap<PathBuf, BTreeMap<u64, Vec<Arc<[u8]>>>>;

impl Subject {
    pub(super) fn make(recipe: &Recipe) -> Result<Self, String> {
        in_world_of!(recipe, world => Self::of(world, recipe))
    }

    fn of<W: World>(world: &W, recipe: &Recipe) -> Result<Self, String> {
        let reserve_bytes = (2 * recipe.storing.map_bytes).min(256 << 20) as usize;
        let new = || MemVfs::with_options(MemOptions { reserve_bytes, ..MemOptions::default() });
        let mut tape = Tape::new(new());
        let mut past = Past::new(&new(), recipe.storing.page_bytes as u64);
        let digest = |model: &Arc<W::Model>| Expected::new(world, model.clone()).digest;
        let mut db = world.open(Arc::new(Recorder(tape.clone())))?;
        let mut model = world.prepare(&db)?;
        world.close(db)?;
        past.take(&tape.take());
        db = world.open(Arc::new(Recorder(tape.clone())))?;
        let mut states = vec![world.expected(&model)];
        let (mut settled, mut log_ends, mut ever) = (1, Vec::new(), BTreeSet::new());
        for (number, step) in recipe.steps.iter().enumerate() {
            if recipe.ending == Ending::Recovered && number == recipe.steps.len() / 2 {
                let crashed = tape.disk().crash(&mut |_| true);
                abandon(db, tape.disk());
                // What is recovered is told of by its own tape.
                tape = Tape::new(crashed);
                past.restart(tape.disk());
                db = world.open(Arc::new(Recorder(tape.clone())))?;
            }
            db = world.step(db, &mut model, step, &tape)?;
            let events = tape.take();
            states.extend(events.iter().filter_map(|event| match event {
                Event::Issued(model) => Some(digest(model)),
                _ => None,
            }));
            past.take(&events);
            ever.append(&mut world.entries(&db)?);
            if ["checkpoint", "shrink", "finish", "wipe"].contains(step) {
                settled = states.len();
            }
            log_ends.push((log_end(tape.disk()), states.len()));
        }
        let entries = world.entries(&db)?;
        let is_closed = matches!(recipe.ending, Ending::Closed | Ending::Grafted);
        let disk = if is_closed {
            world.close(db)?;
            past.take(&tape.take());
            settled = states.len();
            tape.disk().crash(&mut |_| true)
        } else {
            let crashed = tape.disk().crash(&mut |_| true);
            past.take(&tape.take());
            abandon(db, tape.disk());
            crashed
        };
        if recipe.ending == Ending::Grafted {
            let mut file = bytes(&disk, Path::new(PATH));
            let bitmap = layout::graft_directory(&mut file);
            // It is the same page still: only one that is made by hand is ever written to in place.
            past.versions.get_mut(Path::new(PATH)).expect("it was written to").remove(&bitmap);
            let grafted = disk.open(Path::new(PATH), OpenMode::ReadWrite).map_err(text)?;
            grafted.write_all_at(&[IoSlice::new(&file)], 0).map_err(text)?;
        }
        let disk = disk.crash(&mut |_| true);
        let log_start = layout::root(&bytes(&disk, Path::new(PATH))).map_or(0, |root| root.lsn);
        let recipe = *recipe;
        let parts = parts(&disk, &past.versions, &recipe)?;
        Ok(Subject { recipe, disk, parts, states, log_start, settled, log_ends, entries, ever })
    }

    /// The states that may be found where the log was damaged so, oldest first. All that lies before
    /// the damage must be there; and all, unless the damage cannot be told from an end: nothing that is
    /// left says that more was durable.
    pub(super) fn may_be(&self, part: &Part, changes: &[std::ops::Range<u64>]) -> &[u64] {
        let newest = &self.states[self.states.len() - 1..];
        let Some(segment) = &part.segment else { return newest };
        // What precedes the beginning of the log is not looked at, but for the header of its segment.
        let begin = 64 + self.log_start.saturating_sub(segment.start);
        let ends = changes.iter().filter(|c| c.start < 64 || c.end > begin);
        let first = ends.map(|c| if c.start < 64 { c.start } else { c.start.max(begin) }).min();
        let Some(first) = first else { return newest };
        let from = segment.start + first.saturating_sub(64);
        let is_whole = |frame: &&Frame, changes: &[std::ops::Range<u64>]| {
            !changes.iter().any(|c| c.start < frame.at + frame.len && frame.at < c.end)
        };
        let others = self.parts.iter().filter(|other| other.path != part.path);
        let elsewhere = others.filter_map(|other| other.segment.as_ref());
        let proven = elsewhere
            .flat_map(|other| other.frames.iter().map(|frame| frame.durable).chain([other.durable]))
            .chain(segment.frames.iter().filter(|f| is_whole(f, changes)).map(|f| f.durable))
            .chain((first >= 64).then_some(segment.durable))
            .max();
        if proven.is_some_and(|proven| proven > from) {
            return newest;
        }
        let before =
            self.log_ends.iter().filter(|(end, _)| *end <= from).map(|(_, states)| *states);
        let least = before.chain([self.settled]).max().expect("one at least");
        &self.states[least - 1..]
    }
}

/// What pages were, from the beginning.
struct Past {
    player: Player,
    paths: BTreeMap<u32, PathBuf>,
    page: u64,
    versions: Versions,
}

impl Past {
    fn new(disk: &MemVfs, page: u64) -> Self {
        Past { player: Player::new(disk), paths: BTreeMap::new(), page, versions: Versions::new() }
    }

    /// Goes on with another tape.
    fn restart(&mut self, disk: &MemVfs) {
        self.player = Player::new(disk);
        self.paths.clear();
    }

    fn take<M>(&mut self, events: &[Event<M>]) {
        for event in events {
            let Event::Call(call) = event else { continue };
            self.player.play(call);
            match call {
                Call::Open { file, path, .. } => drop(self.paths.insert(*file, path.clone())),
                Call::Rename { from, to } => {
                    self.paths.values_mut().filter(|path| *path == from).for_each(|path| {
                        path.clone_from(to);
                    });
                    let versions = self.versions.remove(from).unwrap_or_default();
                    self.versions.insert(to.clone(), versions);
                }
                Call::Write { file, offset, bytes } => {
                    let path = self.paths[file].clone();
                    self.note(&path, *offset, bytes.len() as u64);
                }
                _ => {}
            }
        }
    }

    /// Takes down what pages are now.
    fn note(&mut self, path: &Path, offset: u64, len: u64) {
        let page = if path == Path::new(PATH) || path.ends_with("t.llmdb-new") {
            self.page
        } else {
            BLOCK
        };
        // What has no name any more is no part of a database.
        let Ok(file) = self.player.disk().open(path, OpenMode::Read) else { return };
        let versions = self.versions.entry(path.to_owned()).or_default();
        for number in offset / page..(offset + len).div_ceil(page) {
            let mut bytes = vec![0; page as usize];
            let got = file.read_at(&mut bytes, number * page).expect("no fault is planned");
            bytes.truncate(got);
            let known = versions.get(&number);
            if bytes.iter().any(|byte| *byte != 0)
                && !known.is_some_and(|known| known.iter().any(|known| **known == *bytes))
            {
                versions.entry(number).or_default().push(bytes.into());
            }
        }
    }
}

/// Where the log ends, over all of its segments.
fn log_end(disk: &MemVfs) -> u64 {
    let Some(root) = layout::root(&bytes(disk, Path::new(PATH))) else { return 0 };
    let segments = files(disk, Path::new("/")).into_iter().filter(|path| is_log(path));
    let ends = segments.filter_map(|path| {
        let segment = log::segment(&bytes(disk, &path), &root.uuid)?;
        segment.frames.last().map(|frame| frame.lsn + frame.len)
    });
    ends.max().unwrap_or(0)
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

fn parts(disk: &MemVfs, versions: &Versions, recipe: &Recipe) -> Result<Vec<Part>, String> {
    let database = bytes(disk, Path::new(PATH));
    let root = layout::root(&database).ok_or("a database that is whole has a meta slot")?;
    let read = match root.is_clean {
        true => None,
        false => Some(what_is_read(recipe, disk, database.len())?),
    };
    // The lock of whoever had it open says nothing.
    let paths =
        files(disk, Path::new("/")).into_iter().filter(|path| !path.ends_with("t.llmdb-lock"));
    let all: Vec<(PathBuf, Vec<u8>)> =
        paths.map(|path| (path.clone(), bytes(disk, &path))).collect();
    let mut older_frames: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (path, bytes) in all.iter().filter(|(path, _)| path != Path::new(PATH)) {
        let past = versions.get(path).map(|pages| pages.values().flatten()).into_iter().flatten();
        for bytes in past.map(|bytes| &**bytes).chain([&**bytes]) {
            let frames = log::any_frames(bytes, &root);
            older_frames.extend(frames.into_iter().map(|range| bytes[range].to_vec()));
        }
    }
    let segment =
        |path: &Path, bytes: &[u8]| is_log(path).then(|| log::segment(bytes, &root.uuid)).flatten();
    let begun: Vec<(u32, u64)> = all
        .iter()
        .filter_map(|(path, bytes)| segment(path, bytes))
        .map(|segment| (segment.incarnation, segment.start))
        .collect();
    Ok(all
        .into_iter()
        .map(|(path, bytes)| {
            let is_database = path == Path::new(PATH);
            let segment = segment(&path, &bytes);
            // From where on a segment of a later incarnation takes its place.
            let later = |of: &Segment| {
                let later = begun.iter().filter(|(incarnation, _)| *incarnation > of.incarnation);
                later.map(|(_, start)| *start).min().unwrap_or(u64::MAX)
            };
            let needed = root.lsn..segment.as_ref().map_or(u64::MAX, later);
            let layout = match (&read, is_database) {
                (Some(read), true) => {
                    let is_read = |at: u64| read[at as usize];
                    layout::of_database(&bytes, &root, Some(&is_read))
                }
                (None, true) => layout::of_database(&bytes, &root, None),
                (_, false) => log::layout(&bytes, segment.as_ref(), needed),
            };
            let page = if is_database { recipe.storing.page_bytes as u64 } else { BLOCK };
            let (len, size) = (bytes.len() as u64, page);
            let here = |number: u64| {
                &bytes[(number * page) as usize..bytes.len().min(((number + 1) * page) as usize)]
            };
            let numbers = 0..(bytes.len() as u64).div_ceil(page);
            let pages = numbers.filter(|page| here(*page).iter().any(|b| *b != 0)).collect();
            let mut versions = versions.get(&path).cloned().unwrap_or_default();
            versions.retain(|page, was| {
                let at = *page;
                was.retain(|was| at * size + was.len() as u64 <= len && **was != *here(at));
                !was.is_empty()
            });
            let older_frames = match &segment {
                Some(_) => older_frames.iter().cloned().collect(),
                None => Vec::new(),
            };
            Part { path, page, layout, pages, versions, segment, older_frames, bytes }
        })
        .collect())
}

/// Which bytes of the database file are read, as they are, by whoever recovers it and asks for
/// everything, through pages that are read and not mapped.
fn what_is_read(recipe: &Recipe, disk: &MemVfs, len: usize) -> Result<Vec<bool>, String> {
    let storing = Storing { source: PageSource::Buffered, ..recipe.storing };
    let recipe = Recipe { storing, ..*recipe };
    let bench = Bench::listening(disk);
    in_world_of!(recipe, world => {
        let db = world.open(bench.vfs())?;
        world.found(&db)?;
        world.entries(&db)?;
        world.verify(&db)?;
        abandon(db, bench.disk());
    });
    let (mut is_read, mut is_written) = (vec![false; len], vec![false; len]);
    for access in bench.accesses().iter().filter(|access| access.path == Path::new(PATH)) {
        for at in access.at as usize..len.min(access.at as usize + access.len) {
            match access.is_write {
                true => is_written[at] = true,
                false => is_read[at] |= !is_written[at],
            }
        }
    }
    Ok(is_read)
}

/// Every use that bytes have in subjects; what of the format is in none of them.
pub(super) fn missing(subjects: &[Subject]) -> Vec<Use> {
    let parts = subjects.iter().flat_map(|subject| &subject.parts);
    let there: BTreeSet<Use> =
        parts.flat_map(|part| part.layout.parts()).map(|(_, of)| of).collect();
    let plain = PageKind::ALL.iter().map(|kind| Use::Page(*kind, None));
    let packed = Compression::ALL.iter().map(|how| Use::Page(PageKind::Leaf, Some(*how)));
    let others = [
        Use::Meta,
        Use::OtherMeta,
        Use::HighDirectory,
        Use::Extent,
        Use::Ahead,
        Use::SegmentHeader,
        Use::Frame,
        Use::Free,
        Use::Padding,
    ];
    plain.chain(packed).chain(others).filter(|of| !there.contains(of)).collect()
}

pub(super) fn bytes(disk: &MemVfs, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("it is there");
    let mut bytes = vec![0; file.len().expect("no fault is planned") as usize];
    file.read_exact_at(&mut bytes, 0).expect("no fault is planned");
    bytes
}

pub(super) fn files(disk: &MemVfs, at: &Path) -> Vec<PathBuf> {
    let names = disk.read_dir(at).expect("a directory");
    let paths = names.into_iter().map(|name| at.join(name));
    paths
        .flat_map(|path| match disk.kind(&path) {
            Ok(Some(EntryKind::Directory)) => files(disk, &path),
            _ => vec![path],
        })
        .collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
