//! Facts from elsewhere, and how far their import came.

pub mod git;
pub mod ndjson;

use crate::args;
use crate::commands::{partition, print};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::progress;
use crate::stop::Stop;
use crate::write::partition_to_write;
use git::GitSource;
use llmdb::{Db, Durability, Key, PartitionId, ValidTime, WriteTx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

/// The partition of the records of how far imports came. Each is written in the transactions of
/// its import, so that it never says more or less than is there.
const PROGRESS: &str = "_import";

/// The record of how far one import came.
#[derive(Debug)]
pub struct Progress {
    key: Key,
}

impl Progress {
    /// The record called `name`.
    ///
    /// # Errors
    /// Those of recording the name of the partition, once.
    pub fn named(db: &Db, name: &str) -> Result<Self> {
        Ok(Self { key: Key::new(db.partition(PROGRESS)?, name) })
    }

    /// What was recorded last, if anything was.
    ///
    /// # Errors
    /// [`Error::BadProgress`]; those of reading.
    pub fn load<T: DeserializeOwned>(&self, db: &Db) -> Result<Option<T>> {
        let Some(fact) = db.as_of_valid(ValidTime(0)).get(&self.key)? else { return Ok(None) };
        let bad = |_| Error::BadProgress {
            key: String::from_utf8_lossy(&self.key.user_key).into_owned(),
        };
        fact.value.to().map(Some).map_err(bad)
    }

    /// Records how far it is with `tx`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record<T: Serialize>(&self, tx: &mut WriteTx<'_>, progress: &T) -> Result<()> {
        let json = serde_json::to_value(progress).expect("records are plain structs");
        // Always about the same time: it is corrected each time, and has no timeline.
        Ok(tx.put_at(&self.key, json, ValidTime(0))?)
    }
}

/// Runs `llmdb import`.
///
/// # Errors
/// What went wrong; what was committed stays.
pub fn run(import: &args::Import) -> Result<ExitCode> {
    match import {
        args::Import::Git(args) => run_git(args, &Stop::on_signals(|| {})?),
        args::Import::Ndjson(args) if ndjson::is_stdin(&args.file) => {
            let (input, stop) = Input::stdin()?;
            run_ndjson(args, Box::new(input), &stop)
        }
        args::Import::Ndjson(args) => {
            let stop = Stop::on_signals(|| {})?;
            let file = File::open(&args.file);
            let file = file.map_err(|cause| Error::Read { path: args.file.clone(), cause })?;
            run_ndjson(args, Box::new(file), &stop)
        }
    }
}

fn run_git(args: &args::ImportGit, stop: &Stop) -> Result<ExitCode> {
    let db = open(&args.open)?;
    let source = GitSource {
        repository: args.repository.clone(),
        rev: args.rev.clone(),
        newest: args.newest,
        partition: partition_to_write(&db, &partition(&args.partition))?,
    };
    let bar = progress::bar("commits");
    let imported = git::import(&db, &source, stop, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let closed = db.close().map_err(Error::from);
    let imported = imported?;
    closed?;
    print(imported.to_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn run_ndjson(args: &args::ImportNdjson, input: Box<dyn Read>, stop: &Stop) -> Result<ExitCode> {
    let db = match args.bulk {
        true => args.open.with(args.open.options().durability(Durability::Checkpoint))?,
        false => open(&args.open)?,
    };
    let bar = progress::count("lines");
    let (batch, resume) = (args.batch, args.resume.as_deref());
    let lines = ndjson::import(&db, &args.file, input, batch, resume, stop, &mut |lines| {
        bar.set_position(lines);
    });
    bar.finish_and_clear();
    let closed = db.close().map_err(Error::from);
    let lines = lines?;
    closed?;
    print(format!("{lines} lines imported\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the database of an import: commits are durable soon, and all are with the close.
fn open(open: &args::Open) -> Result<Db> {
    open.with(open.options().durability(Durability::Async))
}

impl GitSource {
    /// The name of its record: a partition holds one repository.
    fn progress_name(partition: PartitionId) -> String {
        format!("git/{}", partition.0)
    }
}
