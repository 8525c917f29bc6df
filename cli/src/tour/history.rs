//! The history that the tour is given: of a repository, or built in.

use super::stage::Stage;
use super::{DB, story};
use crate::error::{Error, Result};
use crate::import::git::{self, GitSource, Imported};
use crate::stop::Stop;
use llmdb::{Db, Fact, Key, PartitionId, TxTime, ValidTime};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Commits that are imported at most: a tour is short.
const COMMITS_MAX: u64 = 1_000;
/// The longest key that is shown.
const KEY_CHARS_MAX: usize = 48;
/// Changes looked at a time.
const CHANGES: usize = 1_000;
/// A second, in microseconds.
const SECOND_US: i64 = 1_000_000;
/// A day, in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// What the first chapters show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// A key with some history.
    pub key: String,
    /// The beginning of it, which others have too.
    pub prefix: String,
    /// A past time at which it had another value, or none.
    pub then: String,
}

impl Subject {
    /// Imports a repository, or else remembers the built-in story, and finds what is worth a look.
    ///
    /// # Errors
    /// Of a repository that was named and is none; of the database.
    pub fn bring_in<W: Write>(
        stage: &mut Stage<W>,
        db: &Db,
        repository: Option<&Path>,
        stop: &Stop,
    ) -> Result<Self> {
        let words = "A database is one file. This one lives in a temporary directory, and begins \
                     with a real history.";
        stage.chapter("Facts come in", words)?;
        stage.flush()?;
        let source = GitSource {
            repository: repository.map_or_else(|| PathBuf::from("."), Path::to_path_buf),
            rev: "HEAD".to_owned(),
            newest: Some(COMMITS_MAX),
            partition: PartitionId(0),
        };
        let began = Instant::now();
        let missing = match git::import(db, &source, stop, &mut |_, _| {}) {
            Ok(imported) if imported.commits > 0 => {
                let seconds = began.elapsed().as_secs_f64();
                Self::show_import(stage, &source, &imported, seconds)?;
                if let Some(subject) = Self::find(db)? {
                    return Ok(subject);
                }
                "The repository has no files with names to show here"
            }
            Ok(_) => "The repository has no commits yet",
            // Around the current directory there need be none.
            Err(Error::GitFailed { .. } | Error::GitMissing { .. }) if repository.is_none() => {
                "There is no git repository here"
            }
            Err(error) => return Err(error),
        };
        Self::remember(stage, db, missing)
    }

    fn show_import<W: Write>(
        stage: &mut Stage<W>,
        source: &GitSource,
        imported: &Imported,
        seconds: f64,
    ) -> Result<()> {
        let newest = COMMITS_MAX.to_string();
        let repository = source.repository.to_string_lossy();
        let mut words = vec!["llmdb", "import", "git", DB, &repository];
        let capped = imported.commits == COMMITS_MAX;
        if capped {
            words.extend(["--newest", &newest]);
        }
        stage.command(&words, &imported.to_string())?;
        stage.blank()?;
        let cap = if capped { " Only the newest 1,000 commits: the tour is short." } else { "" };
        stage.words(&format!(
            "That took {seconds:.2} s. Each path is a key; each commit is a transaction, with its \
             author and subject as a note; each fact holds from the date of its author.{cap}"
        ))
    }

    fn remember<W: Write>(stage: &mut Stage<W>, db: &Db, missing: &str) -> Result<Self> {
        story::remember(db)?;
        let count = story::MEMORY_LEN;
        stage.blank()?;
        stage.words(&format!(
            "{missing}, so it is a built-in story: {count} facts that agents wrote down about a \
             project, with since when each holds, by whom and why."
        ))?;
        Ok(Self {
            key: story::PLAN.to_owned(),
            prefix: story::ATLAS.to_owned(),
            then: story::PLAN_DAY.to_owned(),
        })
    }

    /// The file that changed most of those that are there and have a name to show.
    fn find(db: &Db) -> Result<Option<Self>> {
        let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
        let read = db.read();
        let mut page = read.changes(TxTime::MIN, None, Some(CHANGES))?;
        loop {
            for change in page.changes {
                if change.partition == PartitionId(0) {
                    *counts.entry(change.key).or_default() += 1;
                }
            }
            match page.next {
                Some(next) => page = read.changes_after(next, None, Some(CHANGES))?,
                None => break,
            }
        }
        let mut keys: Vec<(u64, String)> = counts
            .into_iter()
            .filter_map(|(key, count)| Some((count, String::from_utf8(key).ok()?)))
            .filter(|(_, key)| is_presentable(key))
            .collect();
        // Where all changed alike, the one that everybody knows.
        keys.sort_by_key(|(count, key)| (Reverse(*count), !key.starts_with("README"), key.clone()));
        for (_, key) in keys {
            if read.get(Key::new(PartitionId(0), key.as_str()))?.is_some() {
                let timeline = read.timeline(key.as_str(), None)?;
                let prefix = key.rfind('/').map_or("", |slash| &key[..=slash]).to_owned();
                return Ok(Some(Self { then: then(&timeline), prefix, key }));
            }
        }
        Ok(None)
    }
}

fn is_presentable(key: &str) -> bool {
    key.chars().count() <= KEY_CHARS_MAX
        && !key.starts_with('-')
        && !key.chars().any(char::is_control)
}

/// A time within the first of several segments, or before the only one.
fn then(timeline: &[Fact]) -> String {
    let at = match timeline {
        [first, _, ..] => {
            let (from, to) = (first.valid_from.0, first.valid_to.0);
            let midnight = from.div_euclid(DAY_US).saturating_add(1).saturating_mul(DAY_US);
            let middle = from.midpoint(to);
            // To the second, so that it is easily read.
            let second = middle.div_euclid(SECOND_US).saturating_mul(SECOND_US);
            if midnight < to { midnight } else { second.max(from) }
        }
        [only] => only.valid_from.0.saturating_sub(DAY_US).div_euclid(DAY_US) * DAY_US,
        [] => 0,
    };
    date_or_time(ValidTime(at))
}

/// A date where it is midnight, else the time.
fn date_or_time(time: ValidTime) -> String {
    let text = time.to_string();
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(from: i64, to: i64) -> Fact {
        let (valid_from, valid_to) = (ValidTime(from), ValidTime(to));
        Fact { value: serde_json::Value::Null.into(), valid_from, valid_to, tx: TxTime(1) }
    }

    #[test]
    fn then_is_a_date_where_one_fits() {
        assert_eq!(then(&[fact(5, 3 * DAY_US), fact(3 * DAY_US, i64::MAX)]), "1970-01-02");
        assert_eq!(then(&[fact(0, 2_000_000), fact(2_000_000, 9)]), "1970-01-01T00:00:01Z");
        assert_eq!(then(&[fact(DAY_US + 5, i64::MAX)]), "1970-01-01");
        assert_eq!(then(&[fact(i64::MIN, i64::MIN + 1), fact(0, 1)]), i64::MIN.to_string());
    }

    #[test]
    fn odd_names_are_not_shown() {
        assert!(is_presentable("src/main.rs"));
        assert!(!is_presentable("a\u{1b}[2J"));
        assert!(!is_presentable("--help"));
        assert!(!is_presentable(&"x".repeat(KEY_CHARS_MAX + 1)));
    }
}
