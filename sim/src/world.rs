//! What is driven, and judged after each crash.

use crate::trace::{Event, Recorder, Tape};
use llmdb_storage::{PageSource, TreeOptions};
use llmdb_vfs::{FaultKind, MemVfs, Vfs};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How the database of a world is stored.
#[derive(Clone, Copy, Debug)]
pub struct Storing {
    /// What it is read through.
    pub source: PageSource,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// How what is written is compressed.
    pub compression: TreeOptions,
    /// How long its file may become.
    pub map_bytes: u64,
}

impl Storing {
    /// Small pages, as they are.
    pub fn plain(source: PageSource) -> Self {
        let compression = TreeOptions::default();
        Storing { source, page_bytes: 4096, compression, map_bytes: 8 << 20 }
    }
}

/// A database, what can be done to it, and the oracle of what it holds.
pub trait World: Sync {
    /// The database, open.
    type Db;
    /// What it should hold.
    type Model: Clone + Debug + Send + Sync + 'static;

    /// How specs call it.
    fn name(&self) -> &'static str;

    /// All that can be done to it, by name.
    fn steps(&self) -> &'static [&'static str];

    /// Opens it, or makes it.
    ///
    /// # Errors
    /// As text.
    fn open(&self, vfs: Arc<dyn Vfs>) -> Result<Self::Db, String>;

    /// What every workload begins with: done to a new database, which is closed then.
    ///
    /// # Errors
    /// As text.
    fn prepare(&self, db: &Self::Db) -> Result<Self::Model, String>;

    /// Does a step that leaves it open, and says on the tape what is issued and acknowledged; `false`
    /// for one that does not.
    ///
    /// # Errors
    /// As text: no step fails on a disk that does not.
    ///
    /// # Panics
    /// Where the engine is found to be wrong: that is a finding whatever the disk does.
    fn act(
        &self,
        db: &Self::Db,
        model: &mut Self::Model,
        step: &str,
        tape: &Arc<Tape<Self::Model>>,
    ) -> Result<bool, String>;

    /// Does any step.
    ///
    /// # Errors
    /// As [`World::act`].
    fn step(
        &self,
        db: Self::Db,
        model: &mut Self::Model,
        step: &str,
        tape: &Arc<Tape<Self::Model>>,
    ) -> Result<Self::Db, String> {
        if self.act(&db, model, step, tape)? {
            return Ok(db);
        }
        self.close(db)?;
        tape.acknowledge();
        self.open(Arc::new(Recorder(tape.clone())))
    }

    /// One number for all answers that the model gives to a fixed set of questions.
    fn expected(&self, model: &Self::Model) -> u64;

    /// The same of the database's answers.
    ///
    /// # Errors
    /// As text.
    fn found(&self, db: &Self::Db) -> Result<u64, String>;

    /// Everything that was written and that it still holds, each write as one number: whatever the fixed
    /// set of questions asks for, and the rest.
    ///
    /// # Errors
    /// As text.
    fn entries(&self, db: &Self::Db) -> Result<BTreeSet<u64>, String>;

    /// Judges every page, and that every page is accounted for.
    ///
    /// # Errors
    /// What is wrong.
    fn verify(&self, db: &Self::Db) -> Result<(), String>;

    /// Whether the file is read through a map.
    fn is_mapped(&self) -> bool;

    /// Closes it.
    ///
    /// # Errors
    /// As text.
    fn close(&self, db: Self::Db) -> Result<(), String>;
}

/// `$then` with `$world` as the world of that name; an error if there is none.
macro_rules! in_world {
    ($name:expr, $world:ident => $then:expr) => {
        match $name {
            "trees" => {
                let $world = &$crate::trees::Trees::new(llmdb::PageSource::Mmap);
                Ok($then)
            }
            "trees-buffered" => {
                let $world = &$crate::trees::Trees::new(llmdb::PageSource::Buffered);
                Ok($then)
            }
            "facts" => {
                let $world = &$crate::facts::Facts::new(llmdb::PageSource::Mmap);
                Ok($then)
            }
            "facts-buffered" => {
                let $world = &$crate::facts::Facts::new(llmdb::PageSource::Buffered);
                Ok($then)
            }
            other => Err(format!("{other:?} is no world")),
        }
    };
}
pub(crate) use in_world;

/// A state that a crash may leave: as one number, and as the oracle has it.
#[derive(Clone, Debug)]
pub struct Expected<M> {
    /// What [`World::expected`] says of it.
    pub digest: u64,
    /// The state.
    pub model: Arc<M>,
}

impl<M> Expected<M> {
    pub(crate) fn new<W: World<Model = M>>(world: &W, model: Arc<M>) -> Self {
        Expected { digest: world.expected(&model), model }
    }
}

/// The states that a crash may leave, as promises are made and kept.
#[derive(Clone, Debug)]
pub struct Allowed<M>(pub Vec<Expected<M>>);

impl<M> Allowed<M> {
    /// Takes note of what is not a call.
    pub fn note<W: World<Model = M>>(&mut self, world: &W, event: &Event<M>) {
        match event {
            Event::Settled(model) => self.0 = vec![Expected::new(world, model.clone())],
            Event::Issued(model) => self.0.push(Expected::new(world, model.clone())),
            Event::Acknowledged => drop(self.0.drain(..self.0.len() - 1)),
            Event::Call(_) | Event::Step => {}
        }
    }

    /// The state that was found, if it is one of these; the newest that looks like it.
    pub fn find(&self, digest: u64) -> Option<&Expected<M>> {
        self.0.iter().rev().find(|state| state.digest == digest)
    }
}

/// Runs `work`, and turns a panic into an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// The disk that all workloads of a world begin with, and what it holds.
pub(crate) struct Base<M> {
    pub(crate) disk: MemVfs,
    pub(crate) state: Expected<M>,
}

pub(crate) fn base<W: World>(world: &W) -> Result<Base<W::Model>, String> {
    let disk = crate::trace::disk();
    let db = world.open(Arc::new(disk.clone()))?;
    let model = world.prepare(&db)?;
    world.close(db)?;
    Ok(Base { disk, state: Expected::new(world, Arc::new(model)) })
}

/// Opens what a crash left, judges all of it, and says which state it is in.
pub(crate) fn judge<W: World>(world: &W, disk: &MemVfs) -> Result<u64, String> {
    guarded(|| {
        let db = world.open(Arc::new(disk.clone()))?;
        world.verify(&db)?;
        let found = world.found(&db)?;
        abandon(db, disk);
        Ok(found)
    })
}

/// Lets go of a database without closing it: no call that closing makes gets through.
pub(crate) fn abandon<D>(db: D, disk: &MemVfs) {
    disk.fail_from(1, FaultKind::Io);
    drop(db);
    disk.clear_faults();
}

/// Does `steps` to the database of `disk`, which is in state `state`; answers what was recorded.
/// What is found at the end is what is expected, and so after closing.
pub(crate) fn record<W: World>(
    world: &W,
    disk: MemVfs,
    state: Option<&Expected<W::Model>>,
    allowed: &Allowed<W::Model>,
    steps: &[String],
) -> Result<Vec<Event<W::Model>>, String> {
    guarded(|| {
        let tape = Tape::new(disk.clone());
        let vfs: Arc<dyn Vfs> = Arc::new(Recorder(tape.clone()));
        let mut db = world.open(vfs)?;
        let found = world.found(&db)?;
        let state = match state {
            Some(state) if state.digest == found => state,
            Some(_) => return Err("another state than there was is found".into()),
            None => allowed.find(found).ok_or("the state is none that is allowed")?,
        };
        tape.mark(Event::Settled(state.model.clone()));
        let mut model = W::Model::clone(&state.model);
        for step in steps {
            tape.mark(Event::Step);
            db = world.step(db, &mut model, step, &tape)?;
            if world.found(&db)? != world.expected(&model) {
                return Err(format!("after {step}, without a crash, other answers are given"));
            }
        }
        world.verify(&db)?;
        let events = tape.take();
        world.close(db)?;
        let db = world.open(Arc::new(disk.clone()))?;
        if world.found(&db)? != world.expected(&model) {
            return Err("after closing other answers are given".into());
        }
        world.verify(&db)?;
        abandon(db, &disk);
        Ok(events)
    })
}
