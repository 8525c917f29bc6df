//! Engines that are broken below: a file system that forgets to sync. Each is found, told by its
//! spec, and found again by it.

use llmdb_sim::explore::{Explorer, Failure, Seen, Tally};
use llmdb_sim::minimise::minimise;
use llmdb_sim::trace::Tape;
use llmdb_sim::trees::Trees;
use llmdb_sim::world::World;
use llmdb_storage::PageSource;
use llmdb_vfs::{EntryKind, File, Lock, LockMode, Map, OpenMode, Result, Vfs};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

/// What is not synced, though the engine is told so.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgets {
    Nothing,
    Log,
    Pages,
    Names,
}

/// Trees, on a file system that forgets.
struct Broken(Trees, Forgets);

#[derive(Debug)]
struct Forgetful(Arc<dyn Vfs>, Forgets);

#[derive(Debug)]
struct ForgetfulFile(Arc<dyn File>, Forgets);

impl File for ForgetfulFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.0.write_all_at(bufs, offset)
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.0.allocate(offset, len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.0.punch(offset, len)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> Result<u64> {
        self.0.len()
    }
    fn sync_data(&self) -> Result<()> {
        // A segment of the log is written by the handle that made it, as a spare.
        let of_log = self.path().extension().is_some_and(|extension| extension == "spare");
        match (self.1, of_log) {
            (Forgets::Log, true) | (Forgets::Pages, false) => Ok(()),
            _ => self.0.sync_data(),
        }
    }
    fn sync_all(&self) -> Result<()> {
        self.0.sync_all()
    }
    fn map(&self, reserve: u64) -> Result<Map> {
        self.0.map(reserve)
    }
    fn lock(&self, how: LockMode) -> Result<()> {
        self.0.lock(how)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Vfs for Forgetful {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        Ok(Arc::new(ForgetfulFile(self.0.open(path, how)?, self.1)))
    }
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.0.kind(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.0.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.0.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        if self.1 == Forgets::Names { Ok(()) } else { self.0.sync_dir(path) }
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

impl World for Broken {
    type Db = <Trees as World>::Db;
    type Model = <Trees as World>::Model;
    fn name(&self) -> &'static str {
        "broken"
    }
    fn steps(&self) -> &'static [&'static str] {
        self.0.steps()
    }
    fn open(&self, vfs: Arc<dyn Vfs>) -> Result<Self::Db, String> {
        self.0.open(Arc::new(Forgetful(vfs, self.1)))
    }
    fn prepare(&self, db: &Self::Db) -> Result<Self::Model, String> {
        self.0.prepare(db)
    }
    fn act(
        &self,
        db: &Self::Db,
        model: &mut Self::Model,
        step: &str,
        tape: &Arc<Tape<Self::Model>>,
    ) -> Result<bool, String> {
        self.0.act(db, model, step, tape)
    }
    fn expected(&self, model: &Self::Model) -> u64 {
        self.0.expected(model)
    }
    fn found(&self, db: &Self::Db) -> Result<u64, String> {
        self.0.found(db)
    }
    fn entries(&self, db: &Self::Db) -> Result<BTreeSet<u64>, String> {
        self.0.entries(db)
    }
    fn verify(&self, db: &Self::Db) -> Result<(), String> {
        self.0.verify(db)
    }
    fn is_mapped(&self) -> bool {
        self.0.is_mapped()
    }
    fn close(&self, db: Self::Db) -> Result<(), String> {
        self.0.close(db)
    }
}

fn explore(broken: &Broken, steps: &[&str]) -> Result<(), Failure> {
    let (seen, tally) = (Seen::default(), Tally::default());
    let explorer = Explorer::new(broken, &seen, &tally, &|_| ()).expect("a database");
    let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    explorer.explore(&steps, 150, 3)
}

#[test]
fn a_sync_that_is_forgotten_is_found_and_told_by_its_spec() {
    let trees = Trees::new(PageSource::Mmap);
    let cases = [
        (Forgets::Log, ["overwrite", "put"]),
        (Forgets::Pages, ["split", "checkpoint"]),
        (Forgets::Names, ["put", "put"]),
    ];
    for (forgets, steps) in cases {
        assert!(explore(&Broken(trees, Forgets::Nothing), &steps).is_ok());
        let broken = Broken(trees, forgets);
        let failure = explore(&broken, &steps).expect_err("a forgotten sync");
        let least = minimise(&broken, failure.clone());
        assert!(least.spec.steps.len() <= failure.spec.steps.len());
        let (seen, tally) = (Seen::default(), Tally::default());
        let explorer = Explorer::new(&broken, &seen, &tally, &|_| ()).unwrap();
        let again = explorer.replay(&least.spec.to_string().parse().unwrap());
        assert!(again.is_err(), "{forgets:?}: {} does not fail again", least.spec);
    }
}
