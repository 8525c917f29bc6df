//! The current belief about one key: its head and its live segments, read as far as is asked.

use crate::codec::head::{Head, Kind};
use crate::codec::key::EncodedKey;
use crate::codec::rect::Rect;
use crate::{Interval, Result, Trees, ValidTime};
use llmdb_storage::{Cursor, View};

/// What is believed about one key. Together, the head's segment and those in `live` are disjoint;
/// what none of them covers was never known.
pub(crate) struct Belief<'v, V: View> {
    view: &'v V,
    trees: Trees,
    key: &'v EncodedKey,
    head: Option<Head>,
    live: Option<V::Cursor<'v>>,
}

/// What holds around a point, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) valid: Interval,
    /// `None` where nothing is known.
    pub(crate) rect: Option<Rect>,
}

impl<'v, V: View> Belief<'v, V> {
    /// `head` is what the view's heads have for `key`.
    pub(crate) fn new(view: &'v V, trees: Trees, key: &'v EncodedKey, head: Option<Head>) -> Self {
        Self { view, trees, key, head, live: None }
    }

    /// Whether `live` can hold nothing of this key.
    fn only_head(&self) -> bool {
        self.head.is_none_or(|head| head.whole)
    }

    /// What holds around `at`, which must not be infinity. None or two seeks.
    pub(crate) fn around(&mut self, at: ValidTime) -> Result<Around> {
        debug_assert!(at < ValidTime::INFINITY, "nothing holds at infinity");
        if let Some(head) = self.head
            && head.valid.contains(at)
        {
            return Ok(Around { valid: head.valid, rect: head.rect() });
        }
        let (mut from, mut to) = (ValidTime::MIN, ValidTime::INFINITY);
        if !self.only_head() {
            if let Some(before) = self.newest_from(at)? {
                if before.valid.contains(at) {
                    return Ok(Around { valid: before.valid, rect: Some(before) });
                }
                from = before.valid.to();
            }
            if let Some(after) = self.oldest_from(at.next())? {
                to = after.valid.from();
            }
        }
        if let Some(head) = self.head
            && head.kind != Kind::Gap
        {
            if head.valid.to() <= at {
                from = from.max(head.valid.to());
            } else {
                to = to.min(head.valid.from());
            }
        }
        let valid = Interval::new(from, to).expect("the gap around a point contains it");
        Ok(Around { valid, rect: None })
    }

    /// Appends the segments that overlap `window`, ascending. One step each, after two seeks.
    pub(crate) fn segments(&mut self, window: Interval, out: &mut Vec<Rect>) -> Result<()> {
        let Some(head) = self.head else { return Ok(()) };
        let head_rect = head.rect().filter(|rect| rect.valid.overlaps(window));
        if head.valid.covers(window) || self.only_head() {
            out.extend(head_rect);
            return Ok(());
        }
        let start = out.len();
        out.extend(self.newest_from(window.from())?.filter(|r| r.valid.overlaps(window)));
        let mut next = self.oldest_from(window.from().next())?;
        while let Some(rect) = next.filter(|rect| rect.valid.overlaps(window)) {
            out.push(rect);
            next = if self.live().prev()? { self.live_rect()? } else { None };
        }
        if let Some(rect) = head_rect {
            let behind = out[start..].partition_point(|r| r.valid.from() < rect.valid.from());
            out.insert(start + behind, rect);
        }
        Ok(())
    }

    /// The live segment with the greatest beginning at or before `at`.
    pub(crate) fn newest_from(&mut self, at: ValidTime) -> Result<Option<Rect>> {
        let from = self.key.live(at);
        if self.live().seek(from.bytes())? { self.live_rect() } else { Ok(None) }
    }

    /// The live segment with the least beginning at or after `at`.
    fn oldest_from(&mut self, at: ValidTime) -> Result<Option<Rect>> {
        let from = self.key.live(at);
        if self.live().seek_at_most(from.bytes())? { self.live_rect() } else { Ok(None) }
    }

    fn live(&mut self) -> &mut V::Cursor<'v> {
        let (view, tree) = (self.view, self.trees.live);
        self.live.get_or_insert_with(|| view.cursor(tree))
    }

    /// The entry under the cursor; `None` where it belongs to another key.
    fn live_rect(&mut self) -> Result<Option<Rect>> {
        let key = self.key;
        let cursor = self.live();
        match key.suffix_of(cursor.key()) {
            Some(suffix) => Rect::decode_live(suffix, &cursor.value()?).map(Some),
            None => Ok(None),
        }
    }
}
