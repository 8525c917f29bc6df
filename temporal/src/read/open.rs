//! A point of both times whose value is not read until it is asked for.

use super::{Located, Reader, locate};
use crate::codec::event::Event;
use crate::codec::key::EncodedKey;
use crate::codec::rect::Rect;
use crate::events::check_long;
use crate::{At, PartitionId, Result, TxTime, ValidTime, Value};
use llmdb_storage::{Entry, LongValue, View};

/// A segment whose value is still to be read, if it is long.
#[derive(Debug)]
pub struct Opened<'v> {
    /// The event's value.
    pub body: Body<'v>,
    /// Where the stretch begins.
    pub valid_from: ValidTime,
    /// Where it ends; this point is not part of it.
    pub valid_to: ValidTime,
    /// The transaction that wrote the event.
    pub tx: TxTime,
}

/// A value, or where to read it.
#[derive(Debug)]
pub enum Body<'v> {
    /// At hand.
    Value(Value<'v>),
    /// Long: its tail is the value.
    Long(LongValue<'v>),
}

impl<'v, V: View> Reader<'v, V> {
    /// As [`Reader::get`]; a long value is left where it is.
    ///
    /// # Errors
    /// Those of [`Reader::get`].
    pub fn open(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        at: At,
    ) -> Result<Option<Opened<'v>>> {
        let key = EncodedKey::new(partition, user_key)?;
        let Some((head, value)) = self.head(&key)? else { return Ok(None) };
        let opened = |rect: Rect, body| Opened {
            body,
            valid_from: rect.valid.from(),
            valid_to: rect.valid.to(),
            tx: rect.event.tx,
        };
        match locate::locate(self, &key, &head, at)? {
            Located::Nowhere => Ok(None),
            Located::Head(rect) | Located::Elsewhere(rect) if rect.absence => Ok(None),
            Located::Head(rect) if !head.long => Ok(Some(opened(rect, Body::Value(value)))),
            Located::Head(rect) | Located::Elsewhere(rect) => {
                let entry = self.view.entry(self.trees.events, key.event(rect.event).bytes())?;
                let body = match entry {
                    Some(Entry::Long(long)) => {
                        let (_, stored) = Event::decode(rect.event, long.head())?;
                        check_long(stored, long.head().len())?;
                        Body::Long(long)
                    }
                    Some(Entry::Whole(_)) | None => {
                        let head = (head, value);
                        let events = self.events();
                        Body::Value(events.into_value(&key, rect.event, Some(&head))?)
                    }
                };
                Ok(Some(opened(rect, body)))
            }
        }
    }
}
