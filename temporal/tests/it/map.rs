//! A view over a map: what the engine's trees are, without the engine. Counts what it is asked.

use llmdb_storage::{Batch, Cursor, Result, TreeId, ValueRef, View};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

type Place = (TreeId, Vec<u8>);
type Entries = BTreeMap<Place, Vec<u8>>;

/// Trees in a map.
#[derive(Clone, Debug, Default)]
pub struct MapView {
    pub entries: Entries,
    /// Gets and seeks so far.
    seeks: Cell<u64>,
    /// Steps of cursors so far.
    steps: Cell<u64>,
}

/// What some reads cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub seeks: u64,
    pub steps: u64,
}

impl MapView {
    /// Applies resolved writes, through the bytes that a log would carry.
    pub fn apply(&mut self, batch: &Batch) {
        let mut read = Batch::decode(batch.bytes().to_vec()).unwrap();
        read.sort();
        for write in read.iter() {
            let at = (write.tree, write.key.to_vec());
            match write.value.bytes() {
                Some(value) => self.entries.insert(at, value.to_vec()),
                None => self.entries.remove(&at),
            };
        }
    }

    pub fn len(&self, tree: TreeId) -> usize {
        self.entries.keys().filter(|(of, _)| *of == tree).count()
    }

    /// What `read` costs.
    pub fn cost<T>(&self, read: impl FnOnce() -> T) -> (T, Cost) {
        let (seeks, steps) = (self.seeks.get(), self.steps.get());
        let answer = read();
        let cost = Cost { seeks: self.seeks.get() - seeks, steps: self.steps.get() - steps };
        (answer, cost)
    }
}

impl View for MapView {
    type Cursor<'v> = MapCursor<'v>;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        self.seeks.set(self.seeks.get() + 1);
        Ok(self.entries.get(&(tree, key.to_vec())).map(|value| ValueRef::Borrowed(value)))
    }

    fn cursor(&self, tree: TreeId) -> MapCursor<'_> {
        MapCursor { view: self, tree, at: None }
    }
}

/// A position in one tree.
#[derive(Debug)]
pub struct MapCursor<'v> {
    view: &'v MapView,
    tree: TreeId,
    at: Option<(&'v [u8], &'v [u8])>,
}

impl<'v> MapCursor<'v> {
    fn land(&mut self, found: Option<(&'v Place, &'v Vec<u8>)>) -> Result<bool> {
        let found = found.filter(|((tree, _), _)| *tree == self.tree);
        self.at = found.map(|((_, key), value)| (key.as_slice(), value.as_slice()));
        Ok(self.at.is_some())
    }

    fn place(&self, key: &[u8]) -> Place {
        (self.tree, key.to_vec())
    }

    fn count(&self, counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
    }
}

impl Cursor for MapCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.count(&self.view.seeks);
        self.land(self.view.entries.range(self.place(key)..).next())
    }

    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool> {
        self.count(&self.view.seeks);
        self.land(self.view.entries.range(..=self.place(key)).next_back())
    }

    fn first(&mut self) -> Result<bool> {
        self.seek(b"")
    }

    fn last(&mut self) -> Result<bool> {
        self.count(&self.view.seeks);
        let end = (TreeId(self.tree.0 + 1), Vec::new());
        self.land(self.view.entries.range(..end).next_back())
    }

    fn next(&mut self) -> Result<bool> {
        self.count(&self.view.steps);
        let Some((key, _)) = self.at else { return Ok(false) };
        self.land(self.view.entries.range((Excluded(self.place(key)), Unbounded)).next())
    }

    fn prev(&mut self) -> Result<bool> {
        self.count(&self.view.steps);
        let Some((key, _)) = self.at else { return Ok(false) };
        let below = (Included((self.tree, Vec::new())), Excluded(self.place(key)));
        self.land(self.view.entries.range(below).next_back())
    }

    fn key(&self) -> &[u8] {
        self.at.expect("the cursor stands on an entry").0
    }

    fn value(&self) -> Result<ValueRef<'_>> {
        Ok(ValueRef::Borrowed(self.at.expect("the cursor stands on an entry").1))
    }
}
