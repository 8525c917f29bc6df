//! From what the trees answer, borrowed and tagged, to what the user gets.

use crate::{Change, DiffRow, Error, Fact, Rectangle, Result, Row, Value, Version};
use llmdb_temporal as temporal;
use serde_json::Value as Json;

pub(crate) fn fact(segment: &temporal::Segment<'_>) -> Result<Fact> {
    Ok(Fact {
        value: Value::decode(&segment.value)?,
        valid_from: segment.valid_from,
        valid_to: segment.valid_to,
        tx: segment.tx,
    })
}

pub(crate) fn facts(segments: Vec<temporal::Segment<'_>>) -> Result<Vec<Fact>> {
    segments.iter().map(fact).collect()
}

pub(crate) fn row(row: &temporal::Row<'_>) -> Result<Row> {
    Ok(Row { key: row.key.to_vec(), fact: fact(&row.segment)? })
}

pub(crate) fn rectangle(rectangle: temporal::Rectangle<'_>) -> Result<Rectangle> {
    Ok(Rectangle {
        valid_from: rectangle.valid_from,
        valid_to: rectangle.valid_to,
        tx_from: rectangle.tx_from,
        tx_to: rectangle.tx_to,
        value: value(rectangle.value)?,
        tx: rectangle.tx,
        note: note(rectangle.note.as_deref())?,
    })
}

pub(crate) fn version(version: temporal::Version<'_>) -> Result<Version> {
    Ok(Version {
        key: version.key,
        value: value(version.value)?,
        valid_from: version.valid_from,
        valid_to: version.valid_to,
        tx: version.tx,
        note: note(version.note.as_deref())?,
    })
}

pub(crate) fn diff_row(row: temporal::DiffRow<'_>) -> Result<DiffRow> {
    let side = |segment: Option<temporal::Segment<'_>>| segment.as_ref().map(fact).transpose();
    Ok(DiffRow { key: row.key, a: side(row.a)?, b: side(row.b)? })
}

pub(crate) fn change(change: temporal::Change<'_>) -> Result<Change> {
    Ok(Change {
        partition: change.partition,
        key: change.key,
        op: change.kind.into(),
        value: value(change.value)?,
        valid_from: change.valid_from,
        valid_to: change.valid_to,
        tx: change.tx,
        op_index: change.op,
        note: note(change.note.as_deref())?,
    })
}

fn value(value: Option<temporal::Value<'_>>) -> Result<Option<Value>> {
    value.map(|value| Value::decode(&value)).transpose()
}

/// Notes are kept as JSON text.
pub(crate) fn note(text: Option<&[u8]>) -> Result<Option<Json>> {
    let Some(text) = text else { return Ok(None) };
    serde_json::from_slice(text).map(Some).map_err(|error| {
        let what = format!("a stored note does not parse: {error}");
        Error::Corrupt { path: None, page: None, what }
    })
}
