//! Requests that copy a database.

use super::answer::Answer;
use super::fields::{BadRequest, Fields, required, wrong_type};
use super::request::Op;
use crate::error::Result;
use llmdb::Db;
use serde_json::Value as Json;
use std::path::PathBuf;

/// What is to be copied, and where to.
#[derive(Debug)]
pub enum UpkeepOp {
    /// Everything, or what changed since another backup.
    Backup {
        /// The file to make.
        dest: PathBuf,
        /// The backup to build on.
        base: Option<PathBuf>,
    },
    /// How each tree is made up.
    TreeStats,
}

impl UpkeepOp {
    /// Reads a request for a backup.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn backup(fields: &mut Fields) -> Result<Self, BadRequest> {
        let dest = required("dest", fields.string("dest")?)?.into();
        Ok(UpkeepOp::Backup { dest, base: fields.string("base")?.map(PathBuf::from) })
    }

    /// Reads a request for figures.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn stats(fields: &mut Fields) -> Result<Op, BadRequest> {
        match fields.json("deep") {
            None | Some(Json::Bool(false)) => Ok(Op::Stats),
            Some(Json::Bool(true)) => Ok(Op::Upkeep(UpkeepOp::TreeStats)),
            Some(other) => Err(wrong_type("deep", "true or false", &other)),
        }
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// The database's.
    pub fn execute(self, db: &Db) -> Result<Answer> {
        match self {
            UpkeepOp::Backup { dest, base } => {
                let report = db.backup_with(base.as_deref(), &dest, &mut |_| ())?;
                Ok(Answer::report(&report))
            }
            UpkeepOp::TreeStats => {
                let stats = serde_json::to_value(db.stats()?).unwrap_or_default();
                let trees = serde_json::to_value(db.tree_stats()?).unwrap_or_default();
                Ok(Answer::Report(serde_json::json!({ "stats": stats, "trees": trees })))
            }
        }
    }
}
