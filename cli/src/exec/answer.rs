//! What a request is answered, and the JSON of it.

use super::erasures::{ErasedBody, ErasureBody};
use super::fields::KeyForm;
use super::retention::{CheckpointBody, RetentionBody};
use super::streams::PieceBody;
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llmdb::{Change, DiffRow, Fact, PartitionId, Rectangle, Row, Stats, TxTime, ValidTime, Value};
use llmdb::{
    Cursor, FeedInfo, Metrics, NamedCheckpoint, Retention, RetireReport, ValueKind, VerifyReport,
};
use llmdb::{Erasure, ErasureState, ErasureTicket};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use std::ops::Range;

/// What a request is answered.
#[derive(Debug)]
pub enum Answer {
    /// It is done, and there is nothing to say.
    Done,
    /// It is committed; `None` where nothing was written.
    Committed(Option<TxTime>),
    /// A value on its way has so many bytes by now; committed where there is a time.
    Streamed {
        /// The transaction, if that is at its end too.
        tx: Option<TxTime>,
        /// Bytes.
        len: u64,
    },
    /// A piece of what one key has, from when to when, and of which transaction.
    Piece(Option<(PieceBody, ValidTime, ValidTime, TxTime)>),
    /// What one key has.
    Fact(Option<Fact>),
    /// The segments of one key.
    Segments(Vec<Fact>),
    /// All that was ever believed of one key.
    Rectangles(Vec<Rectangle>),
    /// Keys and what they have.
    Rows(Vec<Row>, KeyForm),
    /// A stretch of the feed, and where it goes on.
    Changes(Vec<Change>, Option<Cursor>),
    /// A stretch of a feed with a name, how far it reaches, and whether there is more.
    Feed {
        /// What was written.
        changes: Vec<Change>,
        /// What to acknowledge.
        reached: Cursor,
        /// Whether there may be more.
        more: bool,
    },
    /// All feeds.
    Feeds(Vec<FeedInfo>),
    /// What differs.
    Diff(Vec<DiffRow>, KeyForm),
    /// Named checkpoints.
    Checkpoints(Vec<NamedCheckpoint>),
    /// How much a partition keeps, and what it answers.
    Retention(Box<Retention>, Vec<Range<TxTime>>),
    /// What a run of retention did.
    Retired(RetireReport),
    /// How far an erasure came, or all of them; the ticket of a new one.
    Erasure(Option<ErasureTicket>, ErasureState),
    /// All erasures.
    Erasures(Vec<Erasure>),
    /// Sizes and counts.
    Stats(Box<Stats>),
    /// What was done, by name.
    Report(Json),
    /// What was done.
    Metrics(Box<Metrics>),
    /// What checking found.
    Verified(VerifyReport),
}

impl Answer {
    /// What was done, as a report of the database says it.
    pub fn report<R: Serialize>(report: &R) -> Self {
        Answer::Report(serde_json::to_value(report).unwrap_or_default())
    }
}

/// Writes the one line of an answer to the end of `out`.
pub fn write_answer(out: &mut Vec<u8>, id: Option<&Json>, answer: Result<Answer, Error>) {
    let body = match answer {
        Ok(answer) => Body::of(answer),
        Err(error) => {
            let (code, message) = (error.code(), error.to_string());
            Body::Error { code, message, problems: None, nearest: Nearest::of(&error) }
        }
    };
    let ok = !matches!(body, Body::Error { .. });
    serde_json::to_writer(&mut *out, &Line { ok, id, body })
        .expect("answers have string keys, and memory takes all that is written");
    out.push(b'\n');
}

/// Writes a change as a line of its own, with the cursor behind it, to the end of `out`.
pub fn write_change(out: &mut Vec<u8>, change: Change) {
    serde_json::to_writer(&mut *out, &FollowedBody::from(change))
        .expect("changes have string keys, and memory takes all that is written");
    out.push(b'\n');
}

#[derive(Serialize)]
struct Line<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Json>,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Done {},
    Committed {
        tx: Option<i64>,
    },
    Streamed {
        #[serde(skip_serializing_if = "Option::is_none")]
        tx: Option<i64>,
        len: u64,
    },
    NotFound {
        found: bool,
    },
    Piece {
        found: bool,
        #[serde(flatten)]
        piece: PieceBody,
        #[serde(flatten)]
        valid: ValidBody,
        tx: i64,
    },
    Found {
        found: bool,
        #[serde(flatten)]
        fact: FactBody,
    },
    Segments {
        segments: Vec<SegmentBody>,
    },
    Rectangles {
        rectangles: Vec<RectangleBody>,
    },
    Rows {
        rows: Vec<RowBody>,
    },
    Changes {
        changes: Vec<ChangeBody>,
        next: Option<String>,
    },
    Feed {
        changes: Vec<FollowedBody>,
        ack: Option<String>,
        next: Option<String>,
    },
    Feeds {
        feeds: Vec<FeedBody>,
    },
    Diff {
        rows: Vec<DiffBody>,
    },
    Checkpoints {
        checkpoints: Vec<CheckpointBody>,
    },
    Retention(RetentionBody),
    Retired(RetireReport),
    Erasure(ErasureBody),
    Erasures {
        erasures: Vec<ErasedBody>,
    },
    Stats {
        stats: Box<Stats>,
    },
    Report(Json),
    Metrics {
        metrics: Box<Metrics>,
    },
    Verified {
        pages: u64,
        trees: u64,
        entries: u64,
        problems: [String; 0],
    },
    Error {
        code: &'static str,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        problems: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        nearest: Option<Nearest>,
    },
}

/// The nearest times that are still answered.
#[derive(Serialize)]
struct Nearest {
    before: Option<i64>,
    after: Option<i64>,
}

impl Nearest {
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Db(llmdb::Error::HistoryRetired { before, after, .. }) => {
                Some(Self { before: before.map(|tx| tx.0), after: after.map(|tx| tx.0) })
            }
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct FactBody {
    value: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    valid: ValidBody,
    tx: i64,
}

#[derive(Serialize)]
struct SegmentBody {
    #[serde(flatten)]
    valid: ValidBody,
    tx: i64,
    value: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct ValidBody {
    #[serde(serialize_with = "time")]
    valid_from: i64,
    #[serde(serialize_with = "time")]
    valid_to: i64,
}

#[derive(Serialize)]
struct RectangleBody {
    #[serde(flatten)]
    valid: ValidBody,
    #[serde(serialize_with = "time")]
    tx_from: i64,
    #[serde(serialize_with = "time")]
    tx_to: i64,
    tx: i64,
    value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "is_false")]
    absent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Json>,
}

#[derive(Serialize)]
struct RowBody {
    #[serde(flatten)]
    key: KeyBody,
    #[serde(flatten)]
    fact: FactBody,
}

#[derive(Serialize)]
struct ChangeBody {
    #[serde(skip_serializing_if = "is_default")]
    partition: u32,
    #[serde(flatten)]
    key: KeyBody,
    op: &'static str,
    value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    valid: ValidBody,
    tx: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Json>,
}

/// A change, and the cursor behind it.
#[derive(Serialize)]
struct FollowedBody {
    #[serde(flatten)]
    change: ChangeBody,
    cursor: String,
}

#[derive(Serialize)]
struct DiffBody {
    #[serde(flatten)]
    key: KeyBody,
    a: Option<Json>,
    b: Option<Json>,
    a_tx: Option<i64>,
    b_tx: Option<i64>,
}

#[derive(Serialize)]
struct FeedBody {
    name: String,
    acknowledged: Option<String>,
}

/// A key, as text or in base64.
#[derive(Serialize)]
pub enum KeyBody {
    /// As text.
    #[serde(rename = "key")]
    Text(String),
    /// In base64.
    #[serde(rename = "key_b64")]
    Base64(String),
}

impl Body {
    fn of(answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::Done {},
            Answer::Committed(tx) => Self::Committed { tx: tx.map(|tx| tx.0) },
            Answer::Streamed { tx, len } => Self::Streamed { tx: tx.map(|tx| tx.0), len },
            Answer::Fact(None) | Answer::Piece(None) => Self::NotFound { found: false },
            Answer::Piece(Some((piece, from, to, tx))) => {
                Self::Piece { found: true, piece, valid: ValidBody::new(from, to), tx: tx.0 }
            }
            Answer::Fact(Some(fact)) => Self::Found { found: true, fact: fact.into() },
            Answer::Segments(facts) => {
                Self::Segments { segments: facts.into_iter().map(Into::into).collect() }
            }
            Answer::Rectangles(all) => {
                Self::Rectangles { rectangles: all.into_iter().map(Into::into).collect() }
            }
            Answer::Rows(rows, form) => {
                Self::Rows { rows: rows.into_iter().map(|row| RowBody::new(row, form)).collect() }
            }
            Answer::Changes(changes, next) => Self::Changes {
                changes: changes.into_iter().map(Into::into).collect(),
                next: next.map(|next| next.to_string()),
            },
            Answer::Feed { changes, reached, more } => Self::Feed {
                changes: changes.into_iter().map(Into::into).collect(),
                ack: cursor_text(reached),
                next: more.then(|| reached.to_string()),
            },
            Answer::Feeds(feeds) => {
                Self::Feeds { feeds: feeds.into_iter().map(Into::into).collect() }
            }
            Answer::Diff(rows, form) => {
                Self::Diff { rows: rows.into_iter().map(|row| DiffBody::new(row, form)).collect() }
            }
            Answer::Checkpoints(all) => {
                Self::Checkpoints { checkpoints: all.into_iter().map(Into::into).collect() }
            }
            Answer::Retention(policy, kept) => Self::Retention(RetentionBody::new(&policy, &kept)),
            Answer::Retired(report) => Self::Retired(report),
            Answer::Erasure(ticket, state) => Self::Erasure(ErasureBody::new(ticket, &state)),
            Answer::Erasures(all) => {
                Self::Erasures { erasures: all.into_iter().map(Into::into).collect() }
            }
            Answer::Stats(stats) => Self::Stats { stats },
            Answer::Report(report) => Self::Report(report),
            Answer::Metrics(metrics) => Self::Metrics { metrics },
            Answer::Verified(report) => Self::verified(report),
        }
    }

    fn verified(report: VerifyReport) -> Self {
        if report.is_clean() {
            let VerifyReport { pages, trees, entries, .. } = report;
            return Self::Verified { pages, trees, entries, problems: [] };
        }
        let (code, count) = ("corrupt", report.problems.len());
        let message = format!("{count} problems, the first: {}", report.problems[0]);
        Self::Error { code, message, problems: Some(report.problems), nearest: None }
    }
}

impl RowBody {
    fn new(row: Row, form: KeyForm) -> Self {
        Self { key: KeyBody::new(row.key, form), fact: row.fact.into() }
    }
}

impl DiffBody {
    fn new(row: DiffRow, form: KeyForm) -> Self {
        let (a_tx, b_tx) = (tx_of(row.a.as_ref()), tx_of(row.b.as_ref()));
        let (a, b) = (row.a.map(|fact| json_of(fact.value)), row.b.map(|fact| json_of(fact.value)));
        Self { key: KeyBody::new(row.key, form), a, b, a_tx, b_tx }
    }
}

impl KeyBody {
    /// Text where it is wanted, and is text.
    pub fn new(key: Vec<u8>, form: KeyForm) -> Self {
        if form == KeyForm::Base64 {
            return Self::Base64(STANDARD.encode(key));
        }
        String::from_utf8(key)
            .map_or_else(|error| Self::Base64(STANDARD.encode(error.as_bytes())), Self::Text)
    }
}

impl ValidBody {
    fn new(from: ValidTime, to: ValidTime) -> Self {
        Self { valid_from: from.0, valid_to: to.0 }
    }
}

impl From<Fact> for FactBody {
    fn from(fact: Fact) -> Self {
        let valid = ValidBody::new(fact.valid_from, fact.valid_to);
        let kind = kind_of(&fact.value);
        Self { value: json_of(fact.value), kind, valid, tx: fact.tx.0 }
    }
}

impl From<Fact> for SegmentBody {
    fn from(fact: Fact) -> Self {
        let FactBody { value, kind, valid, tx } = fact.into();
        Self { valid, tx, value, kind }
    }
}

impl From<Rectangle> for RectangleBody {
    fn from(rectangle: Rectangle) -> Self {
        Self {
            valid: ValidBody::new(rectangle.valid_from, rectangle.valid_to),
            tx_from: rectangle.tx_from.0,
            tx_to: rectangle.tx_to.0,
            tx: rectangle.tx.0,
            absent: rectangle.value.is_none(),
            kind: rectangle.value.as_ref().and_then(kind_of),
            value: rectangle.value.map(json_of),
            note: rectangle.note,
        }
    }
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        let PartitionId(partition) = change.partition;
        Self {
            partition,
            key: KeyBody::new(change.key, KeyForm::Text),
            op: change.op.as_str(),
            kind: change.value.as_ref().and_then(kind_of),
            value: change.value.map(json_of),
            valid: ValidBody::new(change.valid_from, change.valid_to),
            tx: change.tx.0,
            note: change.note,
        }
    }
}

impl From<Change> for FollowedBody {
    fn from(change: Change) -> Self {
        let cursor = change.cursor().to_string();
        Self { change: change.into(), cursor }
    }
}

impl From<FeedInfo> for FeedBody {
    fn from(feed: FeedInfo) -> Self {
        Self { name: feed.name, acknowledged: cursor_text(feed.acknowledged) }
    }
}

/// A cursor; none before the first write.
pub fn cursor_text(cursor: Cursor) -> Option<String> {
    (cursor > Cursor::START).then(|| cursor.to_string())
}

/// What kind of value it is, where that is not JSON.
fn kind_of(value: &Value) -> Option<&'static str> {
    (value.kind() != ValueKind::Json).then(|| value.kind().as_str())
}

/// The value as JSON, without a copy where it is.
pub fn json_of(value: Value) -> Json {
    match value {
        Value::Json(json) => json,
        other => other.to_json(),
    }
}

fn tx_of(fact: Option<&Fact>) -> Option<i64> {
    fact.map(|fact| fact.tx.0)
}

/// A time as an integer, infinity as `null`.
fn time<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    if *micros == i64::MAX {
        serializer.serialize_none()
    } else {
        serializer.serialize_i64(*micros)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_default(partition: &u32) -> bool {
    *partition == 0
}
