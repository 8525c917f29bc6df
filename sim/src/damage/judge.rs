//! What whoever opens a damaged database is told, and whether that is right.

use super::bench::{self, Bench};
use super::inflict::{Damage, Patch};
use super::layout::Use;
use super::subject::{PATH, Part, Subject, bytes};
use crate::world::{World, abandon, guarded};
use llmdb::{ErrorClass, Repair};
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What became of a damaged database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// It is not opened: the error says where the damage is.
    Refused,
    /// Reading says where.
    Told,
    /// All answers are as ever; verification says where.
    Verified,
    /// All answers are as ever: another meta slot stands in.
    Spared,
    /// All answers are as ever: nothing looks at what was damaged.
    Unused,
    /// The end of the log is gone, as after a crash.
    Shortened,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 6] = [
        Outcome::Refused,
        Outcome::Told,
        Outcome::Verified,
        Outcome::Spared,
        Outcome::Unused,
        Outcome::Shortened,
    ];
}

enum Seen {
    Refused(String),
    Opened { read: Result<(u64, Option<BTreeSet<u64>>), String>, verified: Result<(), String> },
}

/// Opens a database on which `damage` was inflicted, and asks for everything. `Ok(None)`: nothing was
/// changed.
pub(super) fn judge<W: World>(
    world: &W,
    subject: &Subject,
    bench: &mut Bench,
    (part, damage): (&Part, &Damage),
) -> Option<Result<Outcome, String>> {
    let patch = damage.patch(part);
    let changes = patch.changes(part);
    if changes.is_empty() {
        return None;
    }
    bench.inflict(part, &patch);
    let seen = guarded(|| {
        let db = match world.open(bench.vfs()) {
            Ok(db) => db,
            Err(why) => return Ok(Seen::Refused(why)),
        };
        let newest = subject.states.last();
        let read = world.found(&db).and_then(|found| {
            // Which writes there are is known of the newest state.
            let entries = (Some(&found) == newest).then(|| world.entries(&db)).transpose()?;
            Ok((found, entries))
        });
        let verified = world.verify(&db);
        abandon(db, bench.disk());
        Ok(Seen::Opened { read, verified })
    });
    bench.put_back(part, &patch);
    Some(seen.and_then(|seen| outcome(subject, part, damage, &changes, seen)))
}

fn outcome(
    subject: &Subject,
    part: &Part,
    damage: &Damage,
    changes: &[Range<u64>],
    seen: Seen,
) -> Result<Outcome, String> {
    let counting: Vec<Range<u64>> =
        changes.iter().flat_map(|change| part.layout.counting(change.clone())).collect();
    let needless = || match (counting.is_empty(), damage) {
        // A file that is shorter than it says was cut, whatever was there.
        (false, _) | (true, Damage::Cut { .. }) => Ok(()),
        (true, _) => Err("nothing that counts was changed, and it is an error"),
    };
    let (read, verified) = match seen {
        Seen::Refused(why) if !names_a_place(&why) => {
            return Err(format!("it names no place: {why}"));
        }
        Seen::Refused(why) => {
            needless().map_err(|needless| format!("{needless}: {why}"))?;
            return Ok(Outcome::Refused);
        }
        Seen::Opened { read, verified } => (read, verified),
    };
    let is_named = |why: &str| match part.is_database() {
        true => names_the_page(part, damage, why),
        false => names_a_place(why),
    };
    match (read, verified) {
        (Err(why), _) if !names_a_place(&why) => Err(format!("it names no place: {why}")),
        (Err(why), Ok(())) => Err(format!("verification finds nothing where reading says: {why}")),
        (_, Err(why)) if !is_named(&why) => Err(format!("another place is named: {why}")),
        (Err(_), Err(_)) => Ok(Outcome::Told),
        (Ok((found, _)), _) if !subject.may_be(part, changes).contains(&found) => {
            Err("other answers are given".to_owned())
        }
        (Ok(_), Err(why)) if counting.is_empty() => {
            Err(format!("nothing was changed, and it is {why}"))
        }
        (Ok((_, Some(entries))), Err(_)) if entries != subject.entries => {
            Err("other writes are listed, and only verification says that something is wrong"
                .into())
        }
        (Ok(_), Err(_)) => Ok(Outcome::Verified),
        (Ok((_, entries)), Ok(())) => {
            let meta = |range: &Range<u64>| part.layout.at(range.start) == Use::Meta;
            match entries {
                None => Ok(Outcome::Shortened),
                Some(entries) if entries != subject.entries => {
                    Err("other writes are listed".to_owned())
                }
                Some(_) if counting.is_empty() => Ok(Outcome::Unused),
                // What the newest slot leads to is not needed where another stands in.
                Some(_) if counting.iter().any(meta) => Ok(Outcome::Spared),
                Some(_) => Err("what was changed counts, and nobody notices".to_owned()),
            }
        }
    }
}

/// A page, a file, an entry of a tree.
pub(crate) fn names_a_place(why: &str) -> bool {
    why.contains("page") || why.contains("/t.llmdb") || why.contains("tree")
}

/// Verification names one of the damaged pages; of a long value its first page.
fn names_the_page(part: &Part, damage: &Damage, why: &str) -> bool {
    let pages = damage.pages(part);
    let is_extent = |page: &u64| {
        matches!(part.layout.at(page * part.page), Use::Extent | Use::Ahead | Use::Padding)
    };
    let name = |page: &u64| {
        let name = format!("page {page}");
        why.match_indices(&name)
            .any(|(at, _)| !why[at + name.len()..].starts_with(|c: char| c.is_ascii_digit()))
    };
    pages.is_empty() || pages.iter().any(|page| name(page) || is_extent(page) && names_a_place(why))
}

/// Repairs what was damaged: what comes of it is in order, and nothing is in it that was never written;
/// where the report says that nothing is lost, nothing is.
pub(super) fn repair<W: World>(
    world: &W,
    subject: &Subject,
    part: &Part,
    patch: &Patch,
) -> Result<(), String> {
    const DEST: &str = "/repaired";
    let disk = subject.disk.crash(&mut |_| true);
    bench::inflict(&disk, part, patch);
    guarded(|| {
        let source: Arc<dyn Vfs> = Arc::new(disk.clone());
        let report = match Repair::of(PATH).vfs(source).scratch("/scratch").to(DEST) {
            Ok(report) => report,
            Err(error) if [ErrorClass::Corrupt, ErrorClass::Version].contains(&error.class()) => {
                return Ok(());
            }
            Err(error) => return Err(format!("the repair fails: {error}")),
        };
        let repaired = only(&disk, Path::new(DEST));
        let db =
            world.open(Arc::new(repaired.clone())).map_err(|why| format!("repaired: {why}"))?;
        world.verify(&db).map_err(|why| format!("repaired: {why}"))?;
        let entries = world.entries(&db).map_err(|why| format!("repaired: {why}"))?;
        abandon(db, &repaired);
        let never = entries.difference(&subject.ever).count();
        if never > 0 {
            return Err(format!("repaired: {never} writes are listed that were never made"));
        }
        // Of a log's end nobody can tell whether it was ever there.
        let is_known = report.complete && part.is_database();
        let gone = subject.entries.difference(&entries).count();
        if is_known && gone > 0 {
            return Err(format!("repaired: nothing is said to be lost, and {gone} writes are"));
        }
        Ok(())
    })
}

/// A disk with one file of another, at the place of the database.
fn only(disk: &MemVfs, path: &Path) -> MemVfs {
    let new = crate::trace::disk();
    let file = new.open(Path::new(PATH), OpenMode::CreateNew).expect("an empty disk");
    file.write_all_at(&[IoSlice::new(&bytes(disk, path))], 0).expect("no fault is planned");
    new
}
