//! What all handles of an open database share, and the one way that writes go in.

use crate::clock::TxClock;
use crate::metrics::Asked;
use crate::retirer::Retirer;
use crate::{Durability, Error, Isolation, PartitionId, Result, TxTime};
use llmdb_mvcc::{Engine, EngineOptions, Intent, Writes, Written};
use llmdb_storage::{Batch, REFERENCE_BYTES_MIN, Reader, TreeId, TreeOptions};
use llmdb_temporal::{Op, OpKind, Pending, Sink, TreeName, Trees};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What all handles of an open database share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) trees: Trees,
    pub(crate) clock: TxClock,
    pub(crate) durability: Durability,
    pub(crate) isolation: Isolation,
    /// Partitions by name, as far as they were asked for: a number, once given, stays.
    pub(crate) names: Mutex<BTreeMap<String, PartitionId>>,
    /// How often what was asked.
    pub(crate) asked: Asked,
    /// Held by a run of retention: whether nothing is left of what was given up before.
    pub(crate) retiring: Mutex<bool>,
    /// Starts such runs.
    pub(crate) retirer: Retirer,
}

/// The operations of one transaction on their way into the engine.
struct Resolve<'t> {
    core: &'t Core,
    ops: Asks<'t>,
    note: Option<&'t [u8]>,
}

/// What is asked for by one transaction.
#[derive(Clone, Copy)]
pub(crate) enum Asks<'t> {
    /// One operation.
    One(&'t Op),
    /// Those of a transaction.
    Many(&'t Pending),
}

/// Entries on their way into the engine.
struct Entries<'w>(&'w mut Writes);

impl Sink for Entries<'_> {
    type Error = Error;

    fn batch(&mut self) -> &mut Batch {
        self.0.batch()
    }

    fn make_room(&mut self, more: u64) -> Result<()> {
        Ok(self.0.make_room(more)?)
    }
}

impl Core {
    pub(crate) fn open(
        path: &Path,
        options: EngineOptions,
        clock: Arc<dyn llmdb_vfs::Clock>,
        clock_step_max: Option<Duration>,
        durability: Durability,
        isolation: Isolation,
        retire_every: Option<Duration>,
    ) -> Result<Self> {
        let read_only = options.store.read_only;
        let engine = Engine::open(path, options)?;
        let mark = engine.snapshot().mark();
        let last = (mark != NO_TX).then_some(TxTime(mark));
        let clock = TxClock::new(clock, clock_step_max, last)?;
        // Found or made: a file that was created and not used yet has none. One that may only be read
        // then has empty ones.
        let made = match read_only {
            false => engine.create_trees(&TreeName::ALL.map(TreeName::as_str))?,
            true => TreeName::ALL
                .map(|name| engine.tree(name.as_str()).unwrap_or(TreeId(u32::MAX)))
                .to_vec(),
        };
        let trees = Trees::try_from_names(|name| {
            let i = TreeName::ALL.iter().position(|other| *other == name);
            Ok::<_, Error>(made[i.expect("all of them were made")])
        })?;
        Ok(Self {
            engine,
            trees,
            clock,
            durability,
            isolation,
            names: Mutex::default(),
            asked: Asked::default(),
            retiring: Mutex::default(),
            retirer: Retirer::new(retire_every),
        })
    }

    /// Sets how the trees that hold values store them.
    pub(crate) fn compress(&self, how: TreeOptions) -> Result<()> {
        for tree in [self.trees.heads, self.trees.events] {
            self.engine.set_tree_options(tree, how)?;
        }
        Ok(())
    }

    /// How the trees that hold values store them.
    pub(crate) fn compression(&self) -> TreeOptions {
        self.engine.tree_options(self.trees.heads)
    }

    /// The longest key that the trees take.
    pub(crate) fn key_bytes_max(&self) -> usize {
        self.engine.pager().key_len_max()
    }

    /// One operation as a transaction of its own. It reads nothing, and what it writes is resolved
    /// in its turn, so it never conflicts.
    pub(crate) fn commit_one(&self, op: Op, note: Option<&[u8]>) -> Result<TxTime> {
        op.check(self.key_bytes_max())?;
        let mut tx = self.engine.begin(Isolation::Serializable)?;
        let op = write_ahead(&mut tx, op)?;
        self.commit(tx, Asks::One(&op), note, self.durability)
    }

    /// Commits changes to the database's own records that are no facts: they take no transaction
    /// time, and no reader of facts sees them. `write` runs at its place in the order of commits:
    /// it is told the newest transaction and the newest state. Where it writes nothing, nothing
    /// is committed.
    pub(crate) fn commit_upkeep(
        &self,
        write: impl FnMut(TxTime, &Reader<'_>, &mut Batch) -> Result<()>,
    ) -> Result<()> {
        let tx = self.engine.begin_upkeep(Isolation::Serializable)?;
        tx.commit_with(self.durability, &mut Upkeep(write))?;
        Ok(())
    }

    /// Commits `ops`, of which there are some, in the place of `tx`.
    pub(crate) fn commit(
        &self,
        tx: llmdb_mvcc::WriteTx<'_>,
        ops: Asks<'_>,
        note: Option<&[u8]>,
        durability: Durability,
    ) -> Result<TxTime> {
        let mut resolve = Resolve { core: self, ops, note };
        let committed = tx.commit_with(durability, &mut resolve)?;
        assert!(committed.wrote, "every operation rewrites the head of its key");
        Ok(TxTime(committed.mark))
    }
}

/// An intent that keeps the mark.
struct Upkeep<W>(W);

impl<W: FnMut(TxTime, &Reader<'_>, &mut Batch) -> Result<()>> Intent for Upkeep<W> {
    type Error = Error;

    fn resolve(&mut self, last_mark: i64, view: &Reader<'_>, out: &mut Writes) -> Result<i64> {
        (self.0)(TxTime(last_mark), view, out.batch())?;
        Ok(last_mark)
    }
}

/// Writes a long value into the file, for the commit to name it.
pub(crate) fn write_ahead(tx: &mut llmdb_mvcc::WriteTx<'_>, op: Op) -> Result<Op> {
    let Op { partition, key, kind, when } = op;
    let kind = match kind {
        OpKind::Put { value } if value.len() >= REFERENCE_BYTES_MIN => {
            let mut writer = tx.value_writer(value.len() as u64);
            writer.push(&value)?;
            match writer.finish()? {
                Written::Short(value) => OpKind::Put { value },
                Written::Long(ahead) => {
                    let value = ahead.reference().clone();
                    tx.keep(ahead);
                    OpKind::PutLong { value }
                }
            }
        }
        kind => kind,
    };
    Ok(Op { partition, key, kind, when })
}

/// The mark of an engine in which no transaction has committed.
pub(crate) const NO_TX: i64 = 0;

impl Intent for Resolve<'_> {
    type Error = Error;

    fn keys(&self, each: &mut dyn FnMut(TreeId, &[u8])) -> Result<()> {
        let heads = self.core.trees.heads;
        match self.ops {
            Asks::One(op) => each(heads, &op.head_key()?),
            Asks::Many(pending) => pending.each_head(&mut |head| each(heads, head))?,
        }
        Ok(())
    }

    /// Runs at the transaction's place in the order of commits, with nothing between what it reads
    /// and what it writes: here it gets its time, and open ends are closed.
    fn resolve(&mut self, last_mark: i64, view: &Reader<'_>, out: &mut Writes) -> Result<i64> {
        let tx = self.core.clock.next(TxTime(last_mark))?;
        let (trees, note) = (&self.core.trees, self.note);
        match self.ops {
            Asks::One(op) => {
                let ops = std::slice::from_ref(op);
                llmdb_temporal::resolve(view, trees, ops, tx, note, out.batch())?;
            }
            Asks::Many(pending) => pending.resolve(view, trees, tx, note, &mut Entries(out))?,
        }
        Ok(tx.0)
    }
}
