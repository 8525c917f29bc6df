//! `llmdb import git`: the history of a repository as facts in time.
//!
//! Each path is a key, each commit a transaction. What a commit did to a file holds from the date
//! of its author, which may lie before what is known already (commits are rebased, picked and sent
//! by mail): then it holds up to the next known fact, and the belief changes only there.
//!
//! The commits between two points of the history form a *stretch*; they come in one order however
//! often they are listed, since the ancestors of a commit never change. How many of the stretch
//! are imported is recorded in the same transaction as the commit itself.

mod log;
mod process;

use super::Progress;
use crate::error::{Error, Result};
use crate::stop::Stop;
use llmdb::{Db, Key, PartitionId, ValidTime, WriteTx};
use log::{Commit, FileChange, FileChangeKind};
use process::Git;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::fmt;
use std::path::PathBuf;

/// What is imported, and where to.
#[derive(Clone, Debug)]
pub struct GitSource {
    /// The repository: its directory, or one within its work tree.
    pub repository: PathBuf,
    /// The commit whose history it is.
    pub rev: String,
    /// Only so many commits, the newest.
    pub newest: Option<u64>,
    /// Where to.
    pub partition: PartitionId,
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Commits.
    pub commits: u64,
    /// Facts: files added, changed and gone.
    pub facts: u64,
    /// Files whose paths are longer than keys may be.
    pub skipped: u64,
    /// Commits that were there from an earlier import.
    pub earlier: u64,
}

/// A stretch of a history, and how much of it is imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    /// Everything up to here was imported before.
    base: Option<String>,
    /// Where it ends.
    tip: String,
    /// Of the commits between, only so many, the newest.
    newest: Option<u64>,
    /// How many there are.
    commits: u64,
    /// How many are imported.
    imported: u64,
}

/// Imports what is not there yet. `on_commit` hears how many commits of how many are.
///
/// # Errors
/// Those of git and of the database; [`Error::Interrupted`]. What was committed stays, and the next
/// import goes on from there.
pub fn import(
    db: &Db,
    source: &GitSource,
    stop: &Stop,
    on_commit: &mut dyn FnMut(u64, u64),
) -> Result<Imported> {
    let git = Git::of(&source.repository)?;
    let mut imported = Imported::default();
    let Some(head) = git.commit(&source.rev)? else { return Ok(imported) };
    let progress = Progress::named(db, &GitSource::progress_name(source.partition))?;
    loop {
        let stretch = match progress.load::<Stretch>(db)? {
            None => Stretch::new(&git, None, &head, source.newest)?,
            Some(last) if last.imported < last.commits => last,
            Some(last) if last.tip == head => {
                imported.earlier = last.imported - imported.commits.min(last.imported);
                return Ok(imported);
            }
            Some(last) => Stretch::new(&git, Some(last.tip), &head, source.newest)?,
        };
        imported.earlier = imported.earlier.max(stretch.imported);
        if stretch.commits == 0 {
            return Ok(imported);
        }
        stretch.import(db, &git, source.partition, &progress, &mut imported, &mut |done, of| {
            on_commit(done, of);
            stop.check()
        })?;
    }
}

impl Stretch {
    fn new(git: &Git, base: Option<String>, tip: &str, newest: Option<u64>) -> Result<Self> {
        if let Some(base) = &base
            && git.commit(base)?.is_none()
        {
            return Err(Error::GitRewritten { commit: base.clone() });
        }
        let mut stretch = Self { base, tip: tip.to_owned(), newest, commits: 0, imported: 0 };
        stretch.commits = git.count(&stretch.range())?;
        Ok(stretch)
    }

    /// It as git's arguments. The newest are found without a look at all the others, at the price
    /// of an order by commit date instead of parents first.
    fn range(&self) -> Vec<String> {
        let order = match self.newest {
            Some(newest) => format!("--max-count={newest}"),
            None => "--topo-order".to_owned(),
        };
        let base = self.base.as_ref().map(|base| format!("^{base}"));
        [order, self.tip.clone()].into_iter().chain(base).collect()
    }

    /// Imports the rest of it.
    fn import(
        mut self,
        db: &Db,
        git: &Git,
        partition: PartitionId,
        progress: &Progress,
        imported: &mut Imported,
        on_commit: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let mut log = git.log(&self.range())?;
        for _ in 0..self.imported {
            log.next_commit()?;
        }
        while let Some(commit) = log.next_commit()? {
            self.imported += 1;
            let mut tx = db.begin()?;
            for file in &commit.files {
                imported.count(put_or_end(&mut tx, partition, &commit, file))?;
                if let FileChangeKind::Renamed { from } = &file.kind {
                    imported.count(end(&mut tx, partition, &commit, from))?;
                }
            }
            tx.note(note(&commit))?;
            progress.record(&mut tx, &self)?;
            tx.commit()?;
            imported.commits += 1;
            on_commit(self.imported, self.commits)?;
        }
        if self.imported == self.commits {
            return Ok(());
        }
        Err(Error::GitLog { what: "its end, which came early" })
    }
}

/// Writes what became of the file at its path.
fn put_or_end(
    tx: &mut WriteTx<'_>,
    partition: PartitionId,
    commit: &Commit,
    file: &FileChange,
) -> llmdb::Result<()> {
    if file.kind == FileChangeKind::Deleted {
        return end(tx, partition, commit, &file.path);
    }
    let key = Key::new(partition, file.path.as_slice());
    tx.put_at(key, value(commit, file), ValidTime(commit.author_us))
}

/// Writes that nothing is at a path any more.
fn end(
    tx: &mut WriteTx<'_>,
    partition: PartitionId,
    commit: &Commit,
    path: &[u8],
) -> llmdb::Result<()> {
    tx.end_at(Key::new(partition, path), ValidTime(commit.author_us))
}

/// The fact about a file.
fn value(commit: &Commit, file: &FileChange) -> Json {
    let mut value = json!({
        "subject": commit.subject,
        "author": commit.author,
        "change": file.kind.as_str(),
        "commit": commit.hash,
        "blob": file.blob,
        "mode": file.mode,
    });
    if let FileChangeKind::Renamed { from } = &file.kind {
        value["from"] = String::from_utf8_lossy(from).into();
    }
    value
}

/// Who and why.
fn note(commit: &Commit) -> Json {
    json!({ "author": commit.author, "subject": commit.subject, "commit": commit.hash })
}

impl Imported {
    /// Counts one fact, or one that was left out.
    fn count(&mut self, written: llmdb::Result<()>) -> Result<()> {
        match written {
            Ok(()) => self.facts += 1,
            Err(llmdb::Error::KeyTooLong { .. }) => self.skipped += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, facts, skipped, earlier } = *self;
        write!(f, "{}, {} imported", count(commits, "commit"), count(facts, "fact"))?;
        if earlier > 0 {
            write!(f, ", after {} earlier", count(earlier, "commit"))?;
        }
        if skipped > 0 {
            write!(f, "; {} left out, with paths too long for keys", count(skipped, "file"))?;
        }
        writeln!(f)
    }
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
