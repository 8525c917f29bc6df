//! A view with the writes of a batch laid over it.

use llmdb_storage::{Batch, Cursor, Entry, NewValue, Result, TreeId, ValueRef, View, Write};
use std::borrow::Cow;
use std::fmt;

/// `base` as it will be once a batch is applied to it. Every read runs on it as on any view.
pub struct Overlay<'v, V> {
    base: &'v V,
    batch: Cow<'v, Batch>,
}

impl<'v, V: View> Overlay<'v, V> {
    /// Lays `batch` over `base`.
    pub fn new(base: &'v V, mut batch: Batch) -> Self {
        batch.sort();
        Self { base, batch: Cow::Owned(batch) }
    }

    /// Lays a sorted batch over `base`.
    pub fn over(base: &'v V, batch: &'v Batch) -> Self {
        Self { base, batch: Cow::Borrowed(batch) }
    }

    /// What is laid over the base, sorted.
    pub fn into_batch(self) -> Batch {
        self.batch.into_owned()
    }

    /// The write of `key`, if there is one.
    fn write_of(&self, tree: TreeId, key: &[u8]) -> Option<Write<'_>> {
        let at = self.position(tree, key);
        let write = (at < self.batch.len()).then(|| self.batch.get(at))?;
        (write.tree == tree && write.key == key).then_some(write)
    }

    /// The first write of the batch that is not before `key` of `tree`.
    fn position(&self, tree: TreeId, key: &[u8]) -> usize {
        first(0..self.batch.len(), |i| {
            let write = self.batch.get(i);
            (write.tree, write.key) >= (tree, key)
        })
    }
}

/// What a write leaves under its key, read through `view` where it was written ahead.
fn written<'w, V: View>(view: &'w V, write: Write<'w>) -> Result<Option<Entry<'w>>> {
    match write.value {
        NewValue::Absent => Ok(None),
        NewValue::Bytes(bytes) => Ok(Some(Entry::Whole(ValueRef::Borrowed(bytes)))),
        NewValue::Reference(descriptor) => view.unborn(descriptor).map(Some),
    }
}

/// The first of `range` for which `holds`, which holds for all behind it; the end if for none.
fn first(range: std::ops::Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (range.start, range.end);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    from
}

impl<V: View> View for Overlay<'_, V> {
    type Cursor<'c>
        = OverlayCursor<'c, V>
    where
        Self: 'c;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        match self.write_of(tree, key) {
            Some(write) => match written(self.base, write)? {
                Some(entry) => entry.into_value().map(Some),
                None => Ok(None),
            },
            None => self.base.get(tree, key),
        }
    }

    fn entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'_>>> {
        match self.write_of(tree, key) {
            Some(write) => written(self.base, write),
            None => self.base.entry(tree, key),
        }
    }

    fn unborn(&self, descriptor: &[u8]) -> Result<Entry<'_>> {
        self.base.unborn(descriptor)
    }

    fn cursor(&self, tree: TreeId) -> Self::Cursor<'_> {
        let from = self.position(tree, b"");
        let to = first(from..self.batch.len(), |i| self.batch.get(i).tree > tree);
        OverlayCursor {
            view: self.base,
            base: self.base.cursor(tree),
            on_base: false,
            batch: &self.batch,
            from,
            to,
            at: from,
            way: Way::Up,
            on: On::Nothing,
        }
    }
}

/// A position in one tree of an [`Overlay`]: its base and the writes over it, merged.
pub struct OverlayCursor<'c, V: View + 'c> {
    view: &'c V,
    base: V::Cursor<'c>,
    /// Whether `base` stands on an entry.
    on_base: bool,
    batch: &'c Batch,
    /// The writes of this tree.
    from: usize,
    to: usize,
    /// Going up, the write at `at` comes next; going down, the one before it.
    at: usize,
    way: Way,
    on: On,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What the cursor stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Nothing,
    /// A move of the base failed, and its next steps will.
    Failed,
    Base,
    /// A write; `base` stands on the entry of the same key.
    WriteOverBase,
    Write,
}

impl<'c, V: View> OverlayCursor<'c, V> {
    /// The write that comes next on the way.
    fn write(&self) -> Option<Write<'c>> {
        match self.way {
            Way::Up => (self.at < self.to).then(|| self.batch.get(self.at)),
            Way::Down => (self.at > self.from).then(|| self.batch.get(self.at - 1)),
        }
    }

    fn pass_write(&mut self) {
        match self.way {
            Way::Up => self.at += 1,
            Way::Down => self.at -= 1,
        }
    }

    fn pass_base(&mut self) -> Result<()> {
        self.place_base(|base, way| match way {
            Way::Up => base.next(),
            Way::Down => base.prev(),
        })
    }

    /// Moves the base; where that fails, the cursor stands nowhere.
    fn place_base(
        &mut self,
        place: impl FnOnce(&mut V::Cursor<'c>, Way) -> Result<bool>,
    ) -> Result<()> {
        let on = std::mem::replace(&mut self.on, On::Failed);
        self.on_base = place(&mut self.base, self.way)?;
        self.on = on;
        Ok(())
    }

    /// Stands on whichever of base and write comes first, past what is deleted.
    fn settle(&mut self) -> Result<bool> {
        loop {
            let write = self.write();
            let (write, over_base) = match (self.on_base, write) {
                (false, None) => {
                    self.on = On::Nothing;
                    return Ok(false);
                }
                (true, None) => {
                    self.on = On::Base;
                    return Ok(true);
                }
                (false, Some(write)) => (write, false),
                (true, Some(write)) => {
                    let order = match self.way {
                        Way::Up => self.base.key().cmp(write.key),
                        Way::Down => write.key.cmp(self.base.key()),
                    };
                    if order.is_lt() {
                        self.on = On::Base;
                        return Ok(true);
                    }
                    (write, order.is_eq())
                }
            };
            if write.value != NewValue::Absent {
                self.on = if over_base { On::WriteOverBase } else { On::Write };
                return Ok(true);
            }
            if over_base {
                self.pass_base()?;
            }
            self.pass_write();
        }
    }

    fn seek_on(&mut self, way: Way, key: &[u8]) -> Result<bool> {
        self.way = way;
        let range = self.from..self.to;
        match way {
            Way::Up => {
                self.place_base(|base, _| base.seek(key))?;
                self.at = first(range, |i| self.batch.get(i).key >= key);
            }
            Way::Down => {
                self.place_base(|base, _| base.seek_at_most(key))?;
                self.at = first(range, |i| self.batch.get(i).key > key);
            }
        }
        self.settle()
    }

    fn step(&mut self, way: Way) -> Result<bool> {
        match self.on {
            On::Nothing => return Ok(false),
            On::Failed => {
                self.way = way;
                self.pass_base()?;
                unreachable!("a cursor whose move failed fails until it is sought anew")
            }
            On::Base | On::Write | On::WriteOverBase => {}
        }
        if self.way != way {
            let here = self.key().to_vec();
            let found = self.seek_on(way, &here)?;
            assert!(found, "the entry stood on does not go away");
        }
        if matches!(self.on, On::Base | On::WriteOverBase) {
            self.pass_base()?;
        }
        if matches!(self.on, On::Write | On::WriteOverBase) {
            self.pass_write();
        }
        self.settle()
    }
}

impl<V: View> Cursor for OverlayCursor<'_, V> {
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.seek_on(Way::Up, key)
    }

    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool> {
        self.seek_on(Way::Down, key)
    }

    fn first(&mut self) -> Result<bool> {
        self.way = Way::Up;
        self.place_base(|base, _| base.first())?;
        self.at = self.from;
        self.settle()
    }

    fn last(&mut self) -> Result<bool> {
        self.way = Way::Down;
        self.place_base(|base, _| base.last())?;
        self.at = self.to;
        self.settle()
    }

    fn next(&mut self) -> Result<bool> {
        self.step(Way::Up)
    }

    fn prev(&mut self) -> Result<bool> {
        self.step(Way::Down)
    }

    fn key(&self) -> &[u8] {
        match self.on {
            On::Nothing | On::Failed => panic!("the cursor stands on no entry"),
            On::Base => self.base.key(),
            On::Write | On::WriteOverBase => {
                self.write().expect("the cursor stands on a write").key
            }
        }
    }

    fn value(&self) -> Result<ValueRef<'_>> {
        match self.on {
            On::Base => self.base.value(),
            _ => self.entry()?.into_value(),
        }
    }

    fn entry(&self) -> Result<Entry<'_>> {
        match self.on {
            On::Nothing | On::Failed => panic!("the cursor stands on no entry"),
            On::Base => self.base.entry(),
            On::Write | On::WriteOverBase => {
                let write = self.write().expect("the cursor stands on a write");
                Ok(written(self.view, write)?.expect("of a value"))
            }
        }
    }
}

impl<V> fmt::Debug for Overlay<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overlay({:?})", self.batch)
    }
}

impl<V: View> fmt::Debug for OverlayCursor<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OverlayCursor(over {} writes)", self.to - self.from)
    }
}
