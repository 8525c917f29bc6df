//! Feeds with a name: reading on, acknowledging, listing, dropping.

use super::answer::Answer;
use super::fields::{BadRequest, Fields, Result, required, wrong_type};
use super::request::{Prefix, prefix};
use crate::error;
use crate::write::partition_to_read;
use llmdb::{Cursor, Db, WatchFrom};

/// What is to be done with a feed.
#[derive(Debug)]
pub enum FeedOp {
    /// What follows behind what was acknowledged.
    Read(ReadOf),
    /// It is done up to a cursor.
    Ack(String, String),
    /// All feeds.
    List,
    /// Forget one.
    Drop(String),
}

/// A stretch of a feed.
#[derive(Debug)]
pub struct ReadOf {
    /// Its name.
    pub name: String,
    /// Where one begins that is new: `oldest`, `newest` or a cursor.
    pub from: Option<String>,
    /// Behind this, whether that is acknowledged or not.
    pub after: Option<String>,
    /// Only these keys.
    pub within: Option<Prefix>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl FeedOp {
    /// The members of `feed`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(fields: &mut Fields) -> Result<Self> {
        let name = name(fields)?;
        let (from, after) = (fields.string("from")?, fields.string("after")?);
        let narrowed = ["partition", "prefix", "prefix_b64"].iter().any(|field| fields.has(field));
        let within = narrowed.then(|| prefix(fields)).transpose()?;
        let limit = fields.count("limit")?;
        if limit == Some(0) {
            return Err(wrong_type("limit", "a whole number from 1", &0.into()));
        }
        Ok(Self::Read(ReadOf { name, from, after, within, limit }))
    }

    /// The members of `ack`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn ack(fields: &mut Fields) -> Result<Self> {
        Ok(Self::Ack(name(fields)?, required("cursor", fields.string("cursor")?)?))
    }

    /// The members of `drop_feed`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn drop(fields: &mut Fields) -> Result<Self> {
        name(fields).map(Self::Drop)
    }

    /// Does it.
    ///
    /// # Errors
    /// What went wrong.
    pub fn execute(self, db: &Db) -> error::Result<Answer> {
        match self {
            Self::Read(read) => read.execute(db),
            Self::Ack(name, cursor) => {
                let cursor: Cursor = cursor.parse()?;
                // Not made by being acknowledged.
                let known = db.feeds()?.into_iter().any(|feed| feed.name == name);
                if !known {
                    return Err(llmdb::Error::FeedNotFound { name }.into());
                }
                db.feed(&name)?.ack_to(cursor)?;
                Ok(Answer::Done)
            }
            Self::List => Ok(Answer::Feeds(db.feeds()?)),
            Self::Drop(name) => match db.drop_feed(&name)? {
                true => Ok(Answer::Done),
                false => Err(llmdb::Error::FeedNotFound { name }.into()),
            },
        }
    }
}

impl ReadOf {
    fn execute(self, db: &Db) -> error::Result<Answer> {
        let from = match self.from.as_deref() {
            None | Some("oldest") => WatchFrom::Oldest,
            Some("newest") => WatchFrom::Newest,
            Some(cursor) => WatchFrom::After(cursor.parse()?),
        };
        let mut feed = db.feed_from(&self.name, from)?;
        if let Some(after) = &self.after {
            feed.seek(after.parse()?);
        }
        if let Some(within) = &self.within {
            let partition = partition_to_read(db, &within.partition)?;
            feed = feed.only(partition, &within.bytes);
        }
        let mut changes = Vec::new();
        let more = loop {
            if self.limit.is_some_and(|limit| changes.len() >= limit) {
                break true;
            }
            match feed.next()? {
                Some(change) => changes.push(change),
                None => break false,
            }
        };
        Ok(Answer::Feed { changes, reached: feed.position(), more })
    }
}

fn name(fields: &mut Fields) -> Result<String, BadRequest> {
    required("name", fields.string("name")?)
}
