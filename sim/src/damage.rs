//! A small database with every kind of page in it, damaged in every place: bytes changed, pages
//! zeroed, doubled, swapped, replaced by what they were before, files cut. Whoever reads it then is
//! told, or reads what was there; never anything else.

use crate::explore::Failure;
use crate::random::Random;
use crate::spec::Spec;
use crate::trace::{Event, Recorder, Tape};
use crate::world::{Allowed, World, abandon, base, guarded};
use llmdb_vfs::{EntryKind, MemVfs, OpenMode, Vfs};
use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR: u64 = 512;
const PAGE: u64 = 4096;

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Damage {
    /// A byte is changed.
    Byte { at: u64, xor: u8 },
    /// A page is zero.
    Zero { page: u64 },
    /// A page is what another one is.
    Double { page: u64, from: u64 },
    /// Two pages have changed places.
    Swap { page: u64, with: u64 },
    /// A page is what it was before.
    Older { page: u64 },
    /// The file ends here.
    Cut { len: u64 },
}

/// How much of all damage is tried.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// One in so many of each kind, by a seed.
    pub one_in: u64,
    /// Whether every bit of a byte is changed; else one that the seed names, and all.
    pub bits: bool,
    /// What decides which.
    pub seed: u64,
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Report {
    /// Databases that were damaged.
    pub tried: u64,
    /// Of them those whose reader was told.
    pub told: u64,
    /// Of them those that read as ever.
    pub same: u64,
    /// What is wrong.
    pub failures: Vec<Failure>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { tried, told, same, .. } = self;
        write!(f, "{tried} damaged databases: {told} readers were told, {same} read as ever")
    }
}

/// A database to be damaged.
struct Subject<M> {
    disk: MemVfs,
    /// Its files as they were some commits before.
    older: MemVfs,
    /// Every state that it was in, the newest last.
    states: Allowed<M>,
    spec: Spec,
}

impl<M> Subject<M> {
    /// Whether reads may give this. The last groups of a log cannot be told from a torn end if
    /// nothing after them is left: one whose byte is changed, any number that are gone.
    fn may_be(&self, found: u64, file: &Path, damage: &Damage) -> bool {
        let states = &self.states.0;
        let of_log = file.extension().is_some_and(|extension| extension != "llmdb");
        let lost = match (of_log, damage) {
            (false, _) => 0,
            (true, Damage::Byte { .. }) => 1,
            (true, _) => states.len(),
        };
        states.iter().rev().take(lost + 1).any(|state| state.digest == found)
    }
}

/// Damages a database of `world` everywhere, closed and not.
///
/// # Errors
/// It could not be made.
pub fn sweep<W: World>(world: &W, steps: &[&str], plan: &Plan) -> Result<Report, String> {
    let mut report = Report::default();
    let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    for is_closed in [true, false] {
        let subject = subject(world, &steps, is_closed)?;
        for (number, file) in files(&subject.disk, Path::new("/")).into_iter().enumerate() {
            let mut random = Random(plan.seed ^ (number as u64) << 32);
            for damage in all_damage(&bytes(&subject.disk, &file), plan, &mut random) {
                if random.below(plan.one_in as usize) == 0 {
                    damaged(world, &subject, &file, &damage, &mut report);
                }
            }
        }
    }
    Ok(report)
}

fn subject<W: World>(
    world: &W,
    steps: &[String],
    is_closed: bool,
) -> Result<Subject<W::Model>, String> {
    let base = base(world)?;
    let older = base.disk.crash(&mut |_| true);
    let tape = Tape::new(base.disk.clone());
    let mut db = world.open(Arc::new(Recorder(tape.clone())))?;
    let mut model = W::Model::clone(&base.state.model);
    let mut states = Allowed(vec![base.state]);
    for step in steps {
        db = world.step(db, &mut model, step, &tape)?;
    }
    for event in tape.take().iter().filter(|event| matches!(event, Event::Issued(_))) {
        states.note(world, event);
    }
    let disk = base.disk;
    let mut spec = Spec { world: world.name().into(), steps: steps.to_vec(), crashes: Vec::new() };
    if is_closed {
        world.close(db)?;
        spec.steps.push("close".to_owned());
        Ok(Subject { disk: disk.crash(&mut |_| true), older, states, spec })
    } else {
        let crashed = disk.crash(&mut |_| true);
        abandon(db, &disk);
        Ok(Subject { disk: crashed, older, states, spec })
    }
}

fn damaged<W: World>(
    world: &W,
    subject: &Subject<W::Model>,
    file: &Path,
    damage: &Damage,
    report: &mut Report,
) {
    let disk = subject.disk.crash(&mut |_| true);
    if !damage.inflict(&disk, &subject.older, file) {
        return;
    }
    report.tried += 1;
    let mut is_open = false;
    let read = guarded(|| {
        let db = world.open(Arc::new(disk.clone()))?;
        is_open = true;
        let found = world.found(&db);
        // Whatever it finds, it ends, and without a panic.
        let _ = world.verify(&db);
        abandon(db, &disk);
        found
    });
    let wrong = match read {
        Ok(found) if subject.may_be(found, file, damage) => {
            report.same += 1;
            return;
        }
        Ok(_) => "other answers are given".to_owned(),
        Err(why) if why.starts_with("panic") => why,
        Err(why) if names_a_place(&why) => {
            report.told += 1;
            return;
        }
        Err(why) => format!("the error names no place: {why}"),
    };
    let why = format!("{damage:?} of {}, open {is_open}: {wrong}", file.display());
    report.failures.push(Failure { spec: subject.spec.clone(), why });
}

/// A page, a file, an entry of a tree.
pub(crate) fn names_a_place(why: &str) -> bool {
    why.contains("page") || why.contains("/t.llmdb") || why.contains("tree")
}

/// Everything that can be done to a file, as far as the plan goes; chosen from by the caller.
fn all_damage(bytes: &[u8], plan: &Plan, random: &mut Random) -> Vec<Damage> {
    let len = bytes.len() as u64;
    let mut all = Vec::new();
    for at in 0..len {
        if plan.bits {
            all.extend((0..8).map(|bit| Damage::Byte { at, xor: 1 << bit }));
        } else {
            all.push(Damage::Byte { at, xor: 1 << random.below(8) });
            all.push(Damage::Byte { at, xor: 0xff });
        }
    }
    let pages = len / PAGE;
    let zero = [0; PAGE as usize];
    let used: Vec<u64> = (0..pages)
        .filter(|page| bytes[(page * PAGE) as usize..][..PAGE as usize] != zero)
        .collect();
    for &page in &used {
        all.extend([Damage::Zero { page }, Damage::Older { page }]);
        for &other in used.iter().filter(|other| **other != page) {
            all.push(Damage::Double { page, from: other });
            if other > page {
                all.push(Damage::Swap { page, with: other });
            }
        }
    }
    all.extend((0..len.div_ceil(SECTOR)).map(|sector| Damage::Cut { len: sector * SECTOR }));
    all
}

impl Damage {
    /// Does it; whether that changed anything.
    fn inflict(&self, disk: &MemVfs, older: &MemVfs, path: &Path) -> bool {
        let before = bytes(disk, path);
        let mut after = before.clone();
        let page_at = |page: u64| (page * PAGE) as usize..((page + 1) * PAGE) as usize;
        match *self {
            Damage::Byte { at, xor } => after[at as usize] ^= xor,
            Damage::Zero { page } => after[page_at(page)].fill(0),
            Damage::Double { page, from } => {
                after[page_at(page)].copy_from_slice(&before[page_at(from)])
            }
            Damage::Swap { page, with } => {
                after[page_at(page)].copy_from_slice(&before[page_at(with)]);
                after[page_at(with)].copy_from_slice(&before[page_at(page)]);
            }
            Damage::Older { page } => {
                let old = match older.kind(path) {
                    Ok(Some(EntryKind::File)) => bytes(older, path),
                    _ => return false,
                };
                let Some(old) = old.get(page_at(page)) else { return false };
                after[page_at(page)].copy_from_slice(old);
            }
            Damage::Cut { len } => after.truncate(len as usize),
        }
        if after == before {
            return false;
        }
        let file = disk.open(path, OpenMode::ReadWrite).expect("it is there");
        file.set_len(after.len() as u64).expect("no fault is planned");
        file.write_all_at(&[IoSlice::new(&after)], 0).expect("no fault is planned");
        true
    }
}

fn bytes(disk: &MemVfs, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("it is there");
    let mut bytes = vec![0; file.len().expect("no fault is planned") as usize];
    file.read_exact_at(&mut bytes, 0).expect("no fault is planned");
    bytes
}

fn files(disk: &MemVfs, at: &Path) -> Vec<PathBuf> {
    let names = disk.read_dir(at).expect("a directory");
    let paths = names.into_iter().map(|name| at.join(name));
    paths
        .flat_map(|path| match disk.kind(&path) {
            Ok(Some(EntryKind::Directory)) => files(disk, &path),
            _ => vec![path],
        })
        .collect()
}
