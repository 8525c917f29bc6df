//! What a line asks for.

use super::feeds::FeedOp;
use super::fields::{BadRequest, Fields, KeyForm, Result, required, time_of, wrong_type};
use super::retention;
use super::streams::{Piece, StreamOp};
use super::tx::Tx;
use super::upkeep::UpkeepOp;
use super::values::value;
use llmdb::ErasureTicket;
use llmdb::{Isolation, PartitionId, Retention, TxTime, ValidTime};
use serde_json::Value as Json;

/// What a line asks for, whatever it is called by.
#[derive(Debug)]
pub struct Request {
    /// The transaction that it belongs to, if one of that name is open.
    pub txn: Option<String>,
    /// What is to be done.
    pub op: Op,
}

/// What is to be done.
#[derive(Debug)]
pub enum Op {
    /// Write a value, or an absence.
    Write(Write),
    /// A part of writing a value piece by piece, by the name of its stream.
    Stream(String, StreamOp),
    /// One key at a point of both times.
    Get(Target, Point),
    /// A piece of its value.
    GetPiece(Target, Point, Piece),
    /// All segments of one key, as believed at a time.
    Timeline(Target, Option<Tx>),
    /// All that was ever believed of one key.
    History(Target),
    /// The keys of a prefix at a point of both times.
    Scan(ScanOf),
    /// What was written in a stretch of transaction time.
    Changes(ChangesOf),
    /// What differs between two points of both times.
    Diff(DiffOf),
    /// A feed with a name.
    Feed(FeedOp),
    /// Open a transaction.
    Begin(Isolation),
    /// Commit one, with a note.
    Commit(Option<Json>),
    /// Give one up.
    Rollback,
    /// Lock a key until the transaction ends.
    Lock(Target),
    /// A savepoint of one, by its name.
    Savepoint(SavepointOf, String),
    /// Write what the log holds to the file.
    Checkpoint,
    /// Make the file as short as what it holds allows.
    Compact,
    /// Pin what was known at a time, or is known now, under a name.
    NameCheckpoint(String, Option<Tx>),
    /// Drop such a name.
    DropCheckpoint(String),
    /// All of them.
    Checkpoints,
    /// Say how much of its past a partition keeps.
    SetRetention(Partition, Box<Retention>),
    /// How much that is, and what it still answers.
    Retention(Partition),
    /// Give up what is not kept.
    Retire(Option<Partition>),
    /// Erase a key for good, and, if so wished, see to it that no file holds anything of it.
    Erase(Target, bool),
    /// How far an erasure came.
    Erasure(ErasureTicket),
    /// All of them.
    Erasures,
    /// Overwrite what files still hold of what was erased.
    FinishErasures,
    /// Sizes and counts.
    Stats,
    /// Copy the database.
    Upkeep(UpkeepOp),
    /// What was done since the database was opened.
    Metrics,
    /// Check every page and every invariant.
    Verify,
    /// An operation that this version does not have.
    Unsupported(&'static str),
}

/// What is done with a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavepointOf {
    /// Make it.
    Make,
    /// Forget what was written since.
    RollBackTo,
    /// Give it up.
    Release,
}

/// A partition, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// By number.
    Id(PartitionId),
    /// By name.
    Name(String),
}

/// A key in its partition.
#[derive(Clone, Debug)]
pub struct Target {
    /// The partition.
    pub partition: Partition,
    /// The bytes of the key.
    pub key: Vec<u8>,
}

/// A point of both times; where one is missing, now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// What was true then...
    pub valid: Option<ValidTime>,
    /// ...as it was known then.
    pub tx: Option<Tx>,
}

/// A write of one key.
#[derive(Clone, Debug)]
pub struct Write {
    /// Whose.
    pub target: Target,
    /// What.
    pub what: What,
    /// Where it begins to hold; now if not said.
    pub valid_from: Option<ValidTime>,
    /// Where it ceases to; what happens if it is not said depends on the operation.
    pub valid_to: Option<ValidTime>,
    /// For how many microseconds it holds, from now; instead of either time.
    pub ttl: Option<i64>,
    /// The note of its transaction.
    pub note: Option<Json>,
}

/// What is written.
#[derive(Clone, Debug)]
pub enum What {
    /// A value.
    Value(llmdb::Value),
    /// Nothing, up to the next boundary.
    End,
    /// Nothing, up to exactly a time.
    Deletion,
}

/// A scan.
#[derive(Debug)]
pub struct ScanOf {
    /// The keys.
    pub range: Prefix,
    /// When.
    pub at: Point,
    /// Only keys behind this one.
    pub after: Option<Vec<u8>>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// The keys of a partition that begin alike.
#[derive(Debug)]
pub struct Prefix {
    /// The partition.
    pub partition: Partition,
    /// What they begin with.
    pub bytes: Vec<u8>,
    /// How the answer is to write them.
    pub form: KeyForm,
}

/// A stretch of the feed of changes.
#[derive(Debug)]
pub struct ChangesOf {
    /// Where it begins.
    pub from: ChangesFrom,
    /// Where it ends; this time is not part of it.
    pub to: Option<Tx>,
    /// Only those of this partition.
    pub partition: Option<Partition>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Where a stretch of the feed begins.
#[derive(Debug)]
pub enum ChangesFrom {
    /// At a time.
    Tx(Tx),
    /// Where an answer ended: its `next`.
    Next(String),
}

/// A comparison.
#[derive(Debug)]
pub struct DiffOf {
    /// The keys.
    pub range: Prefix,
    /// The first point.
    pub a: Point,
    /// The second.
    pub b: Point,
}

impl Request {
    /// Reads a request; all members of `fields` must belong to it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(mut fields: Fields) -> Result<Self> {
        let op = required("op", fields.string("op")?)?;
        let txn = if takes_txn(&op) { fields.string("txn")? } else { None };
        let op = match op.as_str() {
            "put" => Op::Write(put(&mut fields)?),
            "end" => Op::Write(write(&mut fields, What::End)?),
            "delete" => Op::Write(write(&mut fields, What::Deletion)?),
            "get" => get(&mut fields)?,
            "put_begin" => StreamOp::begin(&mut fields)?,
            "put_chunk" => StreamOp::chunk(&mut fields)?,
            "put_end" => StreamOp::End.named(&mut fields)?,
            "put_abort" => StreamOp::Abort.named(&mut fields)?,
            "timeline" => Op::Timeline(target(&mut fields)?, fields.time("tx")?),
            "history" => Op::History(target(&mut fields)?),
            "scan" => Op::Scan(scan(&mut fields)?),
            "changes" => Op::Changes(changes(&mut fields)?),
            "diff" => Op::Diff(diff(&mut fields)?),
            "feed" => Op::Feed(FeedOp::read(&mut fields)?),
            "ack" => Op::Feed(FeedOp::ack(&mut fields)?),
            "feeds" => Op::Feed(FeedOp::List),
            "drop_feed" => Op::Feed(FeedOp::drop(&mut fields)?),
            "begin" => Op::Begin(isolation(&mut fields)?),
            "commit" => Op::Commit(fields.json("note")),
            "rollback" => Op::Rollback,
            "lock_for_update" => Op::Lock(target(&mut fields)?),
            "savepoint" => savepoint(&mut fields, SavepointOf::Make)?,
            "rollback_to" => savepoint(&mut fields, SavepointOf::RollBackTo)?,
            "release" => savepoint(&mut fields, SavepointOf::Release)?,
            "checkpoint" => Op::Checkpoint,
            "compact" => Op::Compact,
            "name_checkpoint" => {
                Op::NameCheckpoint(required("name", fields.string("name")?)?, fields.time("tx")?)
            }
            "drop_checkpoint" => Op::DropCheckpoint(required("name", fields.string("name")?)?),
            "checkpoints" => Op::Checkpoints,
            "set_retention" => {
                let policy = retention::parse(&mut fields)?;
                let partition = partition(&mut fields)?.unwrap_or_default();
                Op::SetRetention(partition, Box::new(policy))
            }
            "retention" => Op::Retention(partition(&mut fields)?.unwrap_or_default()),
            "retire" => Op::Retire(partition(&mut fields)?),
            "stats" => UpkeepOp::stats(&mut fields)?,
            "metrics" => Op::Metrics,
            "verify" => Op::Verify,
            "backup" => Op::Upkeep(UpkeepOp::backup(&mut fields)?),
            "erase" => {
                let finish = fields.flag("finish")?.unwrap_or_default();
                Op::Erase(target(&mut fields)?, finish)
            }
            "erasure" => Op::Erasure(ticket(&mut fields)?),
            "erasures" => Op::Erasures,
            "finish_erasures" => Op::FinishErasures,
            "query" => return Ok(Self { txn, op: Op::Unsupported("query") }),
            _ => return Err(BadRequest::UnknownOp { op }),
        };
        fields.finish()?;
        Ok(Self { txn, op })
    }
}

/// Whether an operation may belong to a transaction.
fn takes_txn(op: &str) -> bool {
    matches!(
        op,
        "put"
            | "put_begin"
            | "end"
            | "delete"
            | "get"
            | "timeline"
            | "scan"
            | "history"
            | "changes"
            | "diff"
            | "begin"
            | "commit"
            | "rollback"
            | "savepoint"
            | "lock_for_update"
            | "rollback_to"
            | "release"
    )
}

fn get(fields: &mut Fields) -> Result<Op> {
    let (target, point) = (target(fields)?, point(fields)?);
    Ok(match Piece::of(fields)? {
        None => Op::Get(target, point),
        Some(piece) => Op::GetPiece(target, point, piece),
    })
}

fn savepoint(fields: &mut Fields, what: SavepointOf) -> Result<Op> {
    Ok(Op::Savepoint(what, required("name", fields.string("name")?)?))
}

fn put(fields: &mut Fields) -> Result<Write> {
    let value = value(fields)?;
    put_when(fields, What::Value(value))
}

/// The members of a put beside its value.
///
/// # Errors
/// What is wrong with them.
pub fn put_when(fields: &mut Fields, what: What) -> Result<Write> {
    let ttl = fields.micros("ttl")?;
    let write = write(fields, what)?;
    match (ttl, write.valid_from, write.valid_to) {
        (Some(_), Some(_), _) => Err(BadRequest::Both { a: "ttl", b: "valid_from" }),
        (Some(_), _, Some(_)) => Err(BadRequest::Both { a: "ttl", b: "valid_to" }),
        _ => Ok(Write { ttl, ..write }),
    }
}

/// The members that all writes have.
///
/// # Errors
/// What is wrong with them.
pub fn write(fields: &mut Fields, what: What) -> Result<Write> {
    let target = target(fields)?;
    let valid_from = fields.time("valid_from")?;
    // An end has no `valid_to`: it is left among the fields, and refused.
    let valid_to = if matches!(what, What::End) { None } else { fields.time("valid_to")? };
    Ok(Write { target, what, valid_from, valid_to, ttl: None, note: fields.json("note") })
}

fn ticket(fields: &mut Fields) -> Result<ErasureTicket> {
    const EXPECTED: &str = "the ticket of an erasure";
    let text = required("ticket", fields.string("ticket")?)?;
    text.parse().map_err(|_| wrong_type("ticket", EXPECTED, &Json::String(text)))
}

fn target(fields: &mut Fields) -> Result<Target> {
    let (key, _) = required("key", fields.bytes("key", "key_b64")?)?;
    Ok(Target { partition: partition(fields)?.unwrap_or_default(), key })
}

fn point(fields: &mut Fields) -> Result<Point> {
    Ok(Point { valid: fields.time("valid")?, tx: fields.time("tx")? })
}

/// The members that name keys which begin alike.
///
/// # Errors
/// What is wrong with them.
pub fn prefix(fields: &mut Fields) -> Result<Prefix> {
    let prefix: Option<(Vec<u8>, KeyForm)> = fields.bytes("prefix", "prefix_b64")?;
    let (bytes, form) = prefix.unwrap_or_default();
    Ok(Prefix { partition: partition(fields)?.unwrap_or_default(), bytes, form })
}

fn scan(fields: &mut Fields) -> Result<ScanOf> {
    let mut range = prefix(fields)?;
    let after = fields.bytes("after", "after_b64")?.map(|(after, form)| {
        if form == KeyForm::Base64 {
            range.form = form;
        }
        after
    });
    Ok(ScanOf { range, at: point(fields)?, after, limit: fields.count("limit")? })
}

fn changes(fields: &mut Fields) -> Result<ChangesOf> {
    let from = match (fields.json("tx_from"), fields.string("next")?) {
        (Some(_), Some(_)) => return Err(BadRequest::Both { a: "tx_from", b: "next" }),
        (None, None) => return Err(BadRequest::Missing { field: "tx_from" }),
        (None, Some(next)) => ChangesFrom::Next(next),
        // What an answer gave as its `next` is taken here as well.
        (Some(Json::String(text)), None) if is_cursor(&text) => ChangesFrom::Next(text),
        (Some(json), None) => ChangesFrom::Tx(time_of("tx_from", &json)?),
    };
    let (to, partition, limit) =
        (fields.time("tx_to")?, partition(fields)?, fields.count("limit")?);
    if limit == Some(0) {
        // Nothing would come, and nothing would say where to go on.
        return Err(wrong_type("limit", "a whole number from 1", &0.into()));
    }
    Ok(ChangesOf { from, to, partition, limit })
}

fn is_cursor(text: &str) -> bool {
    text.parse::<llmdb::Cursor>().is_ok() && text.parse::<TxTime>().is_err()
}

fn diff(fields: &mut Fields) -> Result<DiffOf> {
    let range = prefix(fields)?;
    let (a, b) = (side(fields, "a")?, side(fields, "b")?);
    Ok(DiffOf { range, a, b })
}

fn side(fields: &mut Fields, name: &'static str) -> Result<Point> {
    let mut side = required(name, fields.object(name)?)?;
    let point = point(&mut side)?;
    side.finish()?;
    Ok(point)
}

fn partition(fields: &mut Fields) -> Result<Option<Partition>> {
    const EXPECTED: &str = "a partition's number or name";
    match fields.json("partition") {
        None => Ok(None),
        Some(Json::String(name)) => Ok(Some(Partition::Name(name))),
        Some(json) => {
            let id = json.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| wrong_type("partition", EXPECTED, &json))?;
            Ok(Some(Partition::Id(PartitionId(id))))
        }
    }
}

fn isolation(fields: &mut Fields) -> Result<Isolation> {
    match fields.string("isolation")?.as_deref() {
        None | Some("serializable") => Ok(Isolation::Serializable),
        Some("snapshot") => Ok(Isolation::Snapshot),
        Some("read_committed") => Ok(Isolation::ReadCommitted),
        Some("read_uncommitted") => Ok(Isolation::ReadUncommitted),
        Some(_) => Err(BadRequest::WrongType {
            field: "isolation",
            expected: "`serializable`, `snapshot`, `read_committed` or `read_uncommitted`",
            found: "another string",
        }),
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self::Id(PartitionId(0))
    }
}
