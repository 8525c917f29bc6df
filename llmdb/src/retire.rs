//! Running retention: see `llmdb_temporal`'s module of the same name for what goes and why.

use crate::core::Core;
use crate::op::META;
use crate::{Db, Error, PartitionId, ReadTx, Result, checkpoint, retention};
use llmdb_mvcc::Isolation;
use llmdb_storage::Batch;
use llmdb_temporal::{KeyRange, Step, TxTime, mark};
use serde::Serialize;

/// Entries that one step takes out, about: what commits may have to wait for.
/// So often a run that reads for longer than snapshots live begins anew.
const TOO_OLD_MAX: u32 = 8;
const STEP: usize = 1024;

/// What a run of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetireReport {
    /// Partitions that gave up more of their past than before.
    pub partitions: u64,
    /// Rectangles and events taken out.
    pub removed: u64,
    /// Commits that it took.
    pub steps: u64,
}

impl Db {
    /// Gives up, in one partition or in all that have a policy, what their policies do not keep:
    /// first what is answered from now on is marked, in one commit; then what nobody can ask for
    /// any more is taken out, some hundred entries a commit. Readers and writers go on; snapshots
    /// that are held go on answering as they did. It takes no transaction's time. Stopped anywhere
    /// it has done part of its work, and the next run goes on.
    ///
    /// It runs by itself, too: see [`Options::retire_every`](crate::Options::retire_every). The
    /// pages that become free are used again, and the file is cut once it is worth it:
    /// [`Options::auto_shrink_bytes`](crate::Options::auto_shrink_bytes).
    ///
    /// # Errors
    /// Damage; the failures of a commit. What was done until then stays done.
    pub fn retire(&self, partition: Option<PartitionId>) -> Result<RetireReport> {
        run(self.core(), partition, Sweep::Always, &|| true)
    }
}

/// When a run looks for what to take out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sweep {
    /// Whatever it knows.
    Always,
    /// Unless nothing is left of earlier runs, and it gave up no more.
    IfNeeded,
}

/// One run. Stops early once `going_on` says so.
pub(crate) fn run(
    core: &Core,
    partition: Option<PartitionId>,
    sweep: Sweep,
    going_on: &dyn Fn() -> bool,
) -> Result<RetireReport> {
    let mut swept = core.retiring.lock();
    let mut report = RetireReport::default();
    let mut too_old = 0;
    while let Err(error) = mark_kept(core, partition, &mut report) {
        too_old += u32::from(matches!(error, Error::SnapshotTooOld));
        let again = matches!(error, Error::Conflict { .. } | Error::SnapshotTooOld);
        if !again || too_old > TOO_OLD_MAX || !going_on() {
            return Err(error);
        }
    }
    if *swept && report.partitions == 0 && sweep == Sweep::IfNeeded {
        return Ok(report);
    }
    // Until it has been everywhere: what stops it half-way is gone on with by the next run.
    *swept = false;
    let mut from: Option<Vec<u8>> = None;
    while going_on() {
        let snapshot = core.engine.snapshot();
        let step = Step::find(&snapshot, &core.trees, partition, from.as_deref(), STEP)?;
        drop(snapshot);
        if !step.is_empty() {
            core.commit_upkeep(|_, view, out| Ok(step.resolve(view, &core.trees, out)?))?;
            report.removed += step.removals() as u64;
            report.steps += 1;
        }
        match step.next() {
            Some(next) => from = Some(next.to_vec()),
            None => {
                *swept = partition.is_none();
                break;
            }
        }
    }
    Ok(report)
}

/// Marks what is kept; a policy or a name that changes meanwhile makes it conflict.
fn mark_kept(core: &Core, only: Option<PartitionId>, report: &mut RetireReport) -> Result<()> {
    let mut tx = core.engine.begin_upkeep(Isolation::Serializable)?;
    for prefix in [checkpoint::PREFIX, retention::PREFIX] {
        let range = KeyRange::prefix(META, prefix.as_bytes());
        let (from, to) = range.head_keys();
        tx.note_read_range(core.trees.heads, from, to);
    }
    // It sees what the transaction sees, or more; of that, too, nothing may change.
    let read = ReadTx::new(core);
    let mut pins: Vec<TxTime> = read.checkpoints()?.iter().map(|pinned| pinned.tx).collect();
    pins.sort_unstable();
    let now = TxTime(read.now().valid.0);
    let policies = read.retentions()?;
    let asking = read.ask()?;
    let (snapshot, trees) = asking.trees();
    let mut marked = 0;
    for (partition, retention) in policies {
        if only.is_some_and(|only| only != partition) {
            continue;
        }
        let mut batch = Batch::new();
        mark(snapshot, trees, partition, retention.policy(), &pins, now, &mut batch)?;
        for write in batch.iter() {
            match write.value.bytes() {
                Some(value) => tx.put(write.tree, write.key, value)?,
                None => tx.delete(write.tree, write.key)?,
            }
        }
        marked += u64::from(!batch.is_empty());
    }
    drop(asking);
    drop(read);
    if tx.commit(core.durability)?.wrote {
        report.partitions = marked;
        report.steps += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Options, Retention, ValidTime};
    use llmdb_vfs::MemVfs;
    use std::sync::Arc;
    use std::time::Duration;

    /// A run that was stopped between its mark and the end of its sweep, by whatever.
    #[test]
    fn what_was_marked_and_not_swept_is_swept_by_the_next_run() {
        let options = Options::new().vfs(Arc::new(MemVfs::new())).clock(Clock::Logical);
        let db = options.open("/db").unwrap();
        let correct =
            || (0..20u8).for_each(|i| assert!(db.put_at("k", [i].to_vec(), ValidTime(0)).is_ok()));
        let (core, all) = (db.core(), None);
        correct();
        let policy = Retention::all_for(Duration::from_micros(3));
        db.set_retention(PartitionId(0), &policy).unwrap();
        assert!(run(core, all, Sweep::IfNeeded, &|| true).unwrap().removed > 0);
        assert_eq!(run(core, all, Sweep::IfNeeded, &|| true).unwrap(), RetireReport::default());
        correct();
        let stopped = run(core, Some(PartitionId(0)), Sweep::Always, &|| false).unwrap();
        assert_eq!((stopped.partitions, stopped.removed), (1, 0));
        assert!(run(core, all, Sweep::IfNeeded, &|| true).unwrap().removed > 0);
    }
}
