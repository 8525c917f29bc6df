//! The log of a damaged file: what it holds is applied on top of what was salvaged, as far as it can
//! be read. Nothing of it is changed.

use crate::engine::beside;
use crate::record::{Logged, Record};
use crate::{Error, Result};
use llmdb_storage::Salvage;
use llmdb_vfs::Vfs;
use llmdb_wal::{LogConfig, Lsn, Recovery, ReplayError, Replayed};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Larger commits are read in pieces.
const WHOLE_MAX: usize = 16 << 20;

/// What became of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSalvage {
    /// How much of it there was.
    pub state: LogState,
    /// Commits that were applied.
    pub commits: u64,
    /// Number of the last commit contained in all.
    pub seq: u64,
    /// Its mark.
    pub mark: i64,
}

/// How much of a log there was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogState {
    /// The file was closed cleanly: none is needed.
    NotNeeded,
    /// All of it. Damage to its very last commits looks like a crash while they were written.
    Whole,
    /// All up to commits that were being written, and never acknowledged, when it ended.
    Torn,
    /// A part, or nothing: why.
    Damaged(String),
}

/// Applies what the log of the file at `path` holds beyond its newest meta page.
///
/// # Errors
/// Those of the scratch database. Damage of the log is in the answer.
pub fn salvage_log(vfs: &Arc<dyn Vfs>, path: &Path, to: &mut Salvage) -> Result<LogSalvage> {
    let dir = beside(path, "-wal");
    let mut found = LogSalvage { state: LogState::Whole, commits: 0, seq: 0, mark: 0 };
    let there = vfs.kind(&dir).map_or(true, |kind| kind.is_some());
    let Some((uuid, at, clean)) = to.origin() else {
        let what = "no meta page says where the log goes on, and whether it does";
        found.state = LogState::Damaged(what.to_owned());
        return Ok(found);
    };
    (found.seq, found.mark) = (at.seq, at.mark);
    if clean && !there {
        found.state = LogState::NotNeeded;
        return Ok(found);
    }
    let (config, from) = (LogConfig::new(uuid), Lsn::new(at.lsn));
    let opened = Recovery::open(vfs.clone(), &dir, config, at.incarnation, from);
    let mut recovery = match opened {
        Ok(_) if clean => {
            found.state = LogState::NotNeeded;
            return Ok(found);
        }
        Err(llmdb_wal::Error::MissingLog { .. } | llmdb_wal::Error::MissingSegment { .. })
            if clean =>
        {
            found.state = LogState::NotNeeded;
            return Ok(found);
        }
        Ok(recovery) => recovery,
        Err(error) => {
            found.state = LogState::Damaged(error.to_string());
            return Ok(found);
        }
    };
    // Of a commit that was not proven durable a long value may be missing: then it never happened.
    let mut not_whole = BTreeSet::new();
    let first = recovery.replay_bounded(WHOLE_MAX, |commit| {
        let (seq, whole) = match commit {
            Replayed::Whole(commit) => {
                let mut piece = Some(commit.payload.to_vec());
                (commit.seq, is_whole(&mut || Ok(piece.take()), to))
            }
            Replayed::Large(mut large) => {
                let seq = large.seq;
                (seq, is_whole(&mut || Ok(large.next_piece()?.map(<[u8]>::to_vec)), to))
            }
        };
        if !whole {
            not_whole.insert(seq);
        }
        Ok::<(), Error>(())
    });
    let proven = first.map_or(Lsn::new(u64::MAX), |outcome| outcome.proven);
    let outcome = recovery.replay_bounded(WHOLE_MAX, |commit| {
        let (seq, end) = match &commit {
            Replayed::Whole(commit) => (commit.seq, commit.end),
            Replayed::Large(commit) => (commit.seq, commit.end),
        };
        if seq != found.seq + 1 {
            let what = format!("commit {seq} follows commit {}", found.seq);
            return Err(Stop::Damage(what));
        }
        if end > proven && not_whole.contains(&seq) {
            return Err(Stop::End);
        }
        found.mark = match commit {
            Replayed::Whole(commit) => {
                let mut piece = Some(commit.payload.to_vec());
                Record::for_each(&mut || Ok(piece.take()), &mut |logged| apply(to, logged))?
            }
            Replayed::Large(mut large) => {
                let mut next = || Ok(large.next_piece()?.map(<[u8]>::to_vec));
                Record::for_each(&mut next, &mut |logged| apply(to, logged))?
            }
        };
        (found.seq, found.commits) = (seq, found.commits + 1);
        Ok(())
    });
    match outcome {
        Ok(outcome) if outcome.torn.is_none() => {}
        Ok(_) | Err(ReplayError::Apply(Stop::End)) => found.state = LogState::Torn,
        Err(ReplayError::Log(error)) => found.state = LogState::Damaged(error.to_string()),
        Err(ReplayError::Apply(Stop::Damage(what))) => found.state = LogState::Damaged(what),
        Err(ReplayError::Apply(Stop::Failed(error))) => return Err(error),
    }
    to.flush()?;
    Ok(found)
}

/// Why a replay ends early.
enum Stop {
    /// The log ends here.
    End,
    /// What was read makes no sense.
    Damage(String),
    /// The scratch database does not take more.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Log(error) => Stop::Damage(error.to_string()),
            Error::CorruptLog { what, .. } => Stop::Damage(what),
            error => Stop::Failed(error),
        }
    }
}

fn apply(to: &mut Salvage, logged: Logged<'_>) -> Result<()> {
    match logged {
        Logged::Write(write) => to.apply(write)?,
        Logged::NewTree { tree, name } => to.add_tree(name, tree),
        Logged::Options { tree, options } => to.set_tree_options(tree, options)?,
        Logged::DropTree { tree } => to.drop_tree(tree)?,
    }
    Ok(())
}

/// Whether every value that a commit names is all there.
fn is_whole(next_piece: &mut dyn FnMut() -> Result<Option<Vec<u8>>>, to: &Salvage) -> bool {
    let mut whole = true;
    let read = Record::for_each(next_piece, &mut |logged| {
        if let Logged::Write(write) = logged {
            whole &= to.is_whole(write);
        }
        Ok(())
    });
    whole && read.is_ok()
}
