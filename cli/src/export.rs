//! `llmdb export`: facts as lines of JSON, which `import ndjson` reads.
//!
//! What is believed now comes key by key, along valid time. The whole history comes as the feed of
//! changes, a line a write, with the transaction it belonged to.

use crate::args;
use crate::commands::partition;
use crate::error::{Error, Result};
use crate::exec::answer::KeyBody;
use crate::exec::fields::KeyForm;
use crate::progress;
use crate::stop::Stop;
use crate::write::partition_to_read;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use llmdb::{Change, ChangeKind, Db, Fact, Key, PartitionId, ReadTx, Value};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Changes fetched at a time.
const CHANGES: usize = 1000;

/// The partition of the database's own records: names of partitions, which are written by name.
const META: PartitionId = PartitionId(u32::MAX);

#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<Json>,
    #[serde(flatten)]
    key: KeyBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'static str>,
    #[serde(flatten)]
    value: Option<ValueBody>,
    valid_from: i64,
    valid_to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Json>,
}

#[derive(Serialize)]
enum ValueBody {
    #[serde(rename = "value")]
    Json(Json),
    #[serde(rename = "value_b64")]
    Raw(String),
    #[serde(rename = "value_msgpack_b64")]
    MessagePack(String),
    #[serde(rename = "value_protobuf")]
    Protobuf {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        b64: String,
    },
}

/// What is written, and where to.
struct Exporter<'r, W> {
    read: &'r ReadTx<'r>,
    names: BTreeMap<PartitionId, String>,
    only: Option<PartitionId>,
    out: W,
    stop: &'r Stop,
    bar: ProgressBar,
}

/// Runs `llmdb export`.
///
/// # Errors
/// Those of reading and writing.
pub fn run(args: &args::Export) -> Result<ExitCode> {
    let stop = Stop::on_signals(|| {})?;
    let db = args.open.existing()?;
    let exported = export(&db, args, &stop);
    let closed = db.close().map_err(Error::from);
    exported?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

fn export(db: &Db, args: &args::Export, stop: &Stop) -> Result<()> {
    let only = args.partition.as_deref().map(|name| partition_to_read(db, &partition(name)));
    let names = db.partitions()?.into_iter().map(|(name, id)| (id, name)).collect();
    let read = db.read();
    let out = BufWriter::new(io::stdout().lock());
    let bar = progress::count("lines");
    let only = only.transpose()?;
    let mut exporter = Exporter { read: &read, names, only, out, stop, bar };
    let exported = if args.history { exporter.history() } else { exporter.present() };
    exporter.bar.finish_and_clear();
    exported?;
    exporter.out.flush().map_err(unwritable)
}

impl<W: Write> Exporter<'_, W> {
    fn history(&mut self) -> Result<()> {
        let mut page = self.read.changes_left(None, Some(CHANGES))?;
        loop {
            self.stop.check()?;
            for change in page.changes {
                if self.wants(change.partition) {
                    self.change(change)?;
                }
            }
            match page.next {
                Some(next) => page = self.read.changes_left(Some(next), Some(CHANGES))?,
                None => return Ok(()),
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        // Ends are known by now, so an absence is one over exactly a stretch.
        let op = if change.op == ChangeKind::Put { None } else { Some("delete") };
        self.write(Line {
            partition: self.name(change.partition),
            key: KeyBody::new(change.key, KeyForm::Text),
            op,
            value: change.value.map(ValueBody::new),
            valid_from: change.valid_from.0,
            valid_to: end(change.valid_to.0),
            tx: Some(change.tx.0),
            note: change.note,
        })
    }

    /// The segments of every key that was ever written, as believed now.
    fn present(&mut self) -> Result<()> {
        for (partition, key) in self.keys()? {
            self.stop.check()?;
            for fact in self.read.timeline(Key::new(partition, key.as_slice()), None)? {
                self.fact(partition, &key, fact)?;
            }
        }
        Ok(())
    }

    fn fact(&mut self, partition: PartitionId, key: &[u8], fact: Fact) -> Result<()> {
        self.write(Line {
            partition: self.name(partition),
            key: KeyBody::new(key.to_vec(), KeyForm::Text),
            op: None,
            value: Some(ValueBody::new(fact.value)),
            valid_from: fact.valid_from.0,
            valid_to: end(fact.valid_to.0),
            tx: None,
            note: None,
        })
    }

    /// The keys that were ever written.
    fn keys(&self) -> Result<BTreeSet<(PartitionId, Vec<u8>)>> {
        let keys = self.read.keys()?.into_iter();
        Ok(keys.filter(|(partition, _)| self.wants(*partition)).collect())
    }

    fn wants(&self, partition: PartitionId) -> bool {
        self.only.map_or(partition != META, |only| partition == only)
    }

    /// The partition as a line says it: by name where it has one, and not at all if it is 0.
    fn name(&self, partition: PartitionId) -> Option<Json> {
        match self.names.get(&partition) {
            Some(name) => Some(name.as_str().into()),
            None if partition == PartitionId(0) => None,
            None => Some(partition.0.into()),
        }
    }

    fn write(&mut self, line: Line) -> Result<()> {
        let text = serde_json::to_string(&line).expect("lines have string keys");
        self.bar.inc(1);
        writeln!(self.out, "{text}").map_err(unwritable)
    }
}

impl ValueBody {
    fn new(value: Value) -> Self {
        match value {
            Value::Json(json) => Self::Json(json),
            Value::Raw(bytes) => Self::Raw(STANDARD.encode(bytes)),
            Value::MessagePack(bytes) => Self::MessagePack(STANDARD.encode(bytes)),
            Value::Protobuf(message) => Self::Protobuf {
                name: message.name().map(str::to_owned),
                b64: STANDARD.encode(message.bytes()),
            },
            other => Self::Json(other.to_json()),
        }
    }
}

fn end(micros: i64) -> Option<i64> {
    (micros != i64::MAX).then_some(micros)
}

fn unwritable(cause: io::Error) -> Error {
    Error::Write { path: PathBuf::from("stdout"), cause }
}
