//! Running retention: see `llmdb_temporal`'s module of the same name for what goes and why.

use crate::core::Core;
use crate::op::META;
use crate::{Db, Error, PartitionId, ReadTx, Result, checkpoint, retention};
use llmdb_mvcc::Isolation;
use llmdb_storage::Batch;
use llmdb_temporal::{KeyRange, Step, TxTime, mark};
use serde::Serialize;

/// Entries that one step takes out, about: what commits may have to wait for.
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
        run(self.core(), partition, false, &|| true)
    }
}

/// One run. Where nothing is left of earlier ones (`swept`) it looks for what to take out only if
/// there is more of it. Stops early once `going_on` says so.
pub(crate) fn run(
    core: &Core,
    partition: Option<PartitionId>,
    swept: bool,
    going_on: &dyn Fn() -> bool,
) -> Result<RetireReport> {
    let _one_at_a_time = core.retiring.lock();
    let mut report = RetireReport::default();
    while let Err(error) = mark_kept(core, partition, &mut report) {
        if !matches!(error, Error::Conflict { .. }) {
            return Err(error);
        }
    }
    if swept && report.partitions == 0 {
        return Ok(report);
    }
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
            None => break,
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
