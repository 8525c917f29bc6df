//! Commands that look after a database: feeds, names of checkpoints, retention, erasing, copies.

use super::{Call, Defaults, count, key, one_of, time};
use crate::commands::partition;
use crate::exec::feeds::{FeedOp, ReadOf};
use crate::exec::fields::KeyForm;
use crate::exec::request::{Op, Partition, Prefix};
use crate::exec::retention::{LastOf, Span, policy};
use crate::exec::tx::Tx;
use crate::exec::upkeep::UpkeepOp;
use crate::shell::dot::switch_of;
use crate::shell::syntax::Syntax;
use crate::shell::token::Token;
use std::path::PathBuf;

/// What has a name that can be dropped.
pub const NAMED: [&str; 2] = ["checkpoint", "feed"];

impl Call<'_> {
    pub(super) fn upkeep(&self, defaults: &Defaults) -> Result<Op, Syntax> {
        Ok(match self.command.name {
            "feed" => Op::Feed(FeedOp::Read(self.feed(defaults)?)),
            "ack" => Op::Feed(FeedOp::Ack(self.name(), self.places[1].text.clone())),
            "feeds" => Op::Feed(FeedOp::List),
            "drop" => match self.places[0].text.to_lowercase().as_str() {
                "checkpoint" => Op::DropCheckpoint(self.places[1].text.clone()),
                "feed" => Op::Feed(FeedOp::Drop(self.places[1].text.clone())),
                _ => return Err(one_of(self.places[0], &NAMED)),
            },
            "checkpoint" => self.checkpoint(defaults)?,
            "checkpoints" => Op::Checkpoints,
            "retention" => Op::Retention(self.partition(defaults)),
            "retain" => self.retain(defaults)?,
            "retire" => Op::Retire(self.partition_or_all(defaults)),
            "erase" => {
                let finish = self.clauses.get("finish").map_or(Ok(true), |token| switch_of(token));
                Op::Erase(self.target(defaults)?, finish?)
            }
            "erasures" => match self.places.first() {
                Some(ticket) => Op::Erasure(ticket.text.parse().map_err(|_| {
                    let error = Syntax::new(ticket.span.clone(), "this is no ticket of an erasure");
                    error.help("`erasures` alone lists them")
                })?),
                None => Op::Erasures,
            },
            "finish" => Op::FinishErasures,
            "backup" => Op::Upkeep(UpkeepOp::Backup {
                dest: PathBuf::from(&self.places[0].text),
                base: self.clauses.get("base").map(|token| PathBuf::from(&token.text)),
            }),
            "shrink" => Op::Compact,
            "verify" => Op::Verify,
            "metrics" => Op::Metrics,
            _ => match self.places.first() {
                None => Op::Stats,
                Some(word) if word.text.eq_ignore_ascii_case("deep") => {
                    Op::Upkeep(UpkeepOp::TreeStats)
                }
                Some(word) => return Err(one_of(word, &["deep"])),
            },
        })
    }

    /// The partition that is said or set; `None`, all of them, where neither is.
    pub(super) fn partition_or_all(&self, defaults: &Defaults) -> Option<Partition> {
        match (&defaults.partition, self.clauses.get("in")) {
            (_, Some(name)) => Some(partition(&name.text)),
            (set, None) if *set == Partition::default() => None,
            (set, None) => Some(set.clone()),
        }
    }

    fn feed(&self, defaults: &Defaults) -> Result<ReadOf, Syntax> {
        let text = |clause| self.clauses.get(clause).map(|token: &&Token| token.text.clone());
        let prefix = self.clauses.get("prefix").map(|token| key(token)).transpose()?;
        let within = match (self.partition_or_all(defaults), prefix) {
            (None, None) => None,
            (partition, bytes) => Some(Prefix {
                partition: partition.unwrap_or_default(),
                bytes: bytes.unwrap_or_default(),
                form: KeyForm::Text,
            }),
        };
        Ok(ReadOf {
            name: self.name(),
            from: text("from"),
            after: text("after"),
            within,
            limit: self.clauses.get("limit").map_or(Ok(defaults.limit), |n| count(n).map(Some))?,
        })
    }

    fn checkpoint(&self, defaults: &Defaults) -> Result<Op, Syntax> {
        let at = self.clauses.get("tx");
        match (self.places.first(), at) {
            (None, None) => Ok(Op::Checkpoint),
            (None, Some(at)) => {
                let message = "what was known at a time is pinned under a name";
                Err(Syntax::new(at.span.clone(), message).help(super::usage(self.command)))
            }
            (Some(name), at) => {
                let at = at.map(|token| time::<Tx>(token, defaults.now)).transpose()?.flatten();
                Ok(Op::NameCheckpoint(name.text.clone(), at))
            }
        }
    }

    fn retain(&self, defaults: &Defaults) -> Result<Op, Syntax> {
        let all = self.places[0];
        let wrong = |token: &Token, cause: &dyn std::fmt::Display| {
            let help = "lengths are 90d, 1h30m, or inf; periods are day:365d,month";
            Syntax::new(token.span.clone(), cause.to_string()).help(help)
        };
        let span = match all.text.to_lowercase().as_str() {
            "inf" => None,
            text => Some(text.parse::<Span>().map_err(|cause| wrong(all, &cause))?.0),
        };
        let mut periods = Vec::new();
        if let Some(then) = self.clauses.get("then") {
            if span.is_none() {
                return Err(wrong(then, &"nothing follows where all is kept"));
            }
            for period in then.text.split(',') {
                periods.push(period.parse::<LastOf>().map_err(|cause| wrong(then, &cause))?);
            }
        }
        Ok(Op::SetRetention(self.partition(defaults), Box::new(policy(span, periods))))
    }
}
