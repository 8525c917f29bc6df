//! How much of its past a partition keeps.
//!
//! A policy is an ordinary record of the database's own partition:
//!
//! ```text
//! _meta/retention/{partition, in decimal} -> {"all_us": n | null, "then": [{"last_of": p, "for_us": n | null}]}
//! p: "hour", "day", "week", "month", "year", or microseconds
//! ```

use crate::op::META;
use crate::{Db, Error, Key, PartitionId, ReadTx, Result, TxTime, Value};
use llmdb_temporal::{Every, Kept, Op, Policy, Tier, When};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Duration;

pub(crate) const PREFIX: &str = "_meta/retention/";

/// How much of its past a partition keeps: every T of the newest stretch of time, then the last T
/// of each period, and the T's of [named checkpoints](Db::name_checkpoint) in any case.
///
/// ```
/// use llmdb::{Period, Retention};
/// use std::time::Duration;
///
/// let days = |days: u64| Duration::from_secs(days * 24 * 3600);
/// let policy = Retention::all_for(days(90))
///     .then_last_of_for(Period::Day, days(365))
///     .then_last_of(Period::Month);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a policy does nothing until a partition has it"]
pub struct Retention(Policy);

/// Periods of transaction time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks, which begin on Mondays.
    Week,
    /// Months of the calendar.
    Month,
    /// Years of the calendar.
    Year,
    /// Of that length, counted from 1970; at least a microsecond.
    Span(Duration),
}

#[derive(Serialize, Deserialize)]
struct Record {
    all_us: Option<u64>,
    #[serde(default)]
    then: Vec<RecordTier>,
}

#[derive(Serialize, Deserialize)]
struct RecordTier {
    last_of: RecordPeriod,
    for_us: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RecordPeriod {
    Us(u64),
    Named(NamedPeriod),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NamedPeriod {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Retention {
    /// Everything is kept: what a partition does that was told nothing.
    pub fn forever() -> Self {
        Self(Policy::default())
    }

    /// Every T of the last `span` is kept; of what is older, what is said next.
    pub fn all_for(span: Duration) -> Self {
        Self(Policy { all_us: Some(micros(span)), tiers: Vec::new() })
    }

    /// Then the last T of each period, for ever.
    pub fn then_last_of(mut self, period: Period) -> Self {
        self.0.tiers.push(Tier { every: period.every(), for_us: None });
        self
    }

    /// Then the last T of each period that ended within the last `span`.
    pub fn then_last_of_for(mut self, period: Period, span: Duration) -> Self {
        self.0.tiers.push(Tier { every: period.every(), for_us: Some(micros(span)) });
        self
    }

    /// For how long every T is kept; `None`: for ever.
    pub fn all(&self) -> Option<Duration> {
        self.0.all_us.map(Duration::from_micros)
    }

    /// What is kept of what is older: periods, and for how long (`None`: for ever).
    pub fn then(&self) -> impl Iterator<Item = (Period, Option<Duration>)> {
        let tiers = self.0.tiers.iter();
        tiers.map(|tier| (Period::of(tier.every), tier.for_us.map(Duration::from_micros)))
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.0
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let then = self.0.tiers.iter();
        let then = then
            .map(|tier| RecordTier { last_of: tier.every.into(), for_us: tier.for_us })
            .collect();
        Value::of(&Record { all_us: self.0.all_us, then })?.encode()
    }

    fn decode(value: &Value) -> Result<Self> {
        let Record { all_us, then } = value.to::<Record>()?;
        let tier = |tier: RecordTier| Tier { every: tier.last_of.into(), for_us: tier.for_us };
        Ok(Self(Policy { all_us, tiers: then.into_iter().map(tier).collect() }))
    }
}

impl Period {
    fn every(self) -> Every {
        match self {
            Self::Hour => Every::Hour,
            Self::Day => Every::Day,
            Self::Week => Every::Week,
            Self::Month => Every::Month,
            Self::Year => Every::Year,
            Self::Span(span) => Every::Us(micros(span)),
        }
    }

    fn of(every: Every) -> Self {
        match every {
            Every::Hour => Self::Hour,
            Every::Day => Self::Day,
            Every::Week => Self::Week,
            Every::Month => Self::Month,
            Every::Year => Self::Year,
            Every::Us(us) => Self::Span(Duration::from_micros(us)),
        }
    }
}

impl From<Every> for RecordPeriod {
    fn from(every: Every) -> Self {
        Self::Named(match every {
            Every::Hour => NamedPeriod::Hour,
            Every::Day => NamedPeriod::Day,
            Every::Week => NamedPeriod::Week,
            Every::Month => NamedPeriod::Month,
            Every::Year => NamedPeriod::Year,
            Every::Us(us) => return Self::Us(us),
        })
    }
}

impl From<RecordPeriod> for Every {
    fn from(period: RecordPeriod) -> Self {
        match period {
            RecordPeriod::Us(us) => Self::Us(us),
            RecordPeriod::Named(NamedPeriod::Hour) => Self::Hour,
            RecordPeriod::Named(NamedPeriod::Day) => Self::Day,
            RecordPeriod::Named(NamedPeriod::Week) => Self::Week,
            RecordPeriod::Named(NamedPeriod::Month) => Self::Month,
            RecordPeriod::Named(NamedPeriod::Year) => Self::Year,
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Db {
    /// Says how much of its past a partition keeps. Nothing is given up until
    /// [`retire`](Db::retire) runs, when it is called or [by itself](crate::Options::retire_every);
    /// the policy that holds then counts. Answers the transaction.
    ///
    /// # Errors
    /// [`Error::BadPolicy`]; [`Error::ReservedPartition`]; those of a write.
    pub fn set_retention(&self, partition: PartitionId, retention: &Retention) -> Result<TxTime> {
        if partition == META {
            return Err(Error::ReservedPartition { partition });
        }
        retention.policy().check()?;
        let key = format!("{PREFIX}{}", partition.0);
        let op = Op::put(META, key, retention.encode()?, When::FromNow);
        let tx = self.core().commit_one(op, None)?;
        self.retire_from_now_on();
        Ok(tx)
    }

    /// See [`ReadTx::retention`].
    ///
    /// # Errors
    /// Damage.
    pub fn retention(&self, partition: PartitionId) -> Result<Retention> {
        self.read().retention(partition)
    }

    /// See [`ReadTx::kept`].
    ///
    /// # Errors
    /// Damage.
    pub fn kept(&self, partition: PartitionId) -> Result<Vec<Range<TxTime>>> {
        self.read().kept(partition)
    }
}

impl ReadTx<'_> {
    /// How much of its past a partition is to keep.
    ///
    /// # Errors
    /// Damage.
    pub fn retention(&self, partition: PartitionId) -> Result<Retention> {
        let key = Key::new(META, format!("{PREFIX}{}", partition.0));
        match self.get(key)? {
            Some(fact) => Retention::decode(&fact.value),
            None => Ok(Retention::forever()),
        }
    }

    /// All partitions that were given a policy, and it.
    ///
    /// # Errors
    /// Damage.
    pub fn retentions(&self) -> Result<Vec<(PartitionId, Retention)>> {
        let mut retentions = Vec::new();
        for row in self.scan(META, PREFIX)? {
            let row = row?;
            let number = std::str::from_utf8(&row.key[PREFIX.len()..]).ok();
            let number = number.and_then(|number| number.parse().ok()).ok_or_else(|| {
                let what = "a policy of retention names no partition".to_owned();
                Error::Corrupt { path: None, page: None, what }
            })?;
            retentions.push((PartitionId(number), Retention::decode(&row.fact.value)?));
        }
        Ok(retentions)
    }

    /// The stretches of transaction time at which a partition answers, ascending: one that is all
    /// of it where nothing was retired.
    ///
    /// # Errors
    /// Damage.
    pub fn kept(&self, partition: PartitionId) -> Result<Vec<Range<TxTime>>> {
        let asking = self.ask()?;
        let (snapshot, trees) = asking.trees();
        Ok(Kept::load(snapshot, trees, partition)?.stretches())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_back_from_its_record() {
        let day = Duration::from_secs(24 * 3600);
        let policy = Retention::all_for(90 * day)
            .then_last_of_for(Period::Span(Duration::from_micros(7)), 400 * day)
            .then_last_of_for(Period::Day, 365 * day)
            .then_last_of(Period::Month);
        let stored = Value::decode(&policy.encode().unwrap()).unwrap();
        assert_eq!(Retention::decode(&stored).unwrap(), policy);
        let forever = Value::decode(&Retention::forever().encode().unwrap()).unwrap();
        assert_eq!(Retention::decode(&forever).unwrap(), Retention::forever());
        assert_eq!(policy.all(), Some(90 * day));
        assert_eq!(policy.then().last(), Some((Period::Month, None)));
    }
}
