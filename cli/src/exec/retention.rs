//! What retention is asked and answers, and how its policies are written.

use super::fields::{BadRequest, Fields, Result, required, wrong_type};
use crate::ttl;
use llmdb::{NamedCheckpoint, Period, Retention, TxTime};
use serde::Serialize;
use serde_json::Value as Json;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

const PERIODS: [(&str, Period); 5] = [
    ("hour", Period::Hour),
    ("day", Period::Day),
    ("week", Period::Week),
    ("month", Period::Month),
    ("year", Period::Year),
];

const SPAN: &str = "microseconds, or a text such as 90d";
const PERIOD: &str = "hour, day, week, month, year or a length of time";

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A part of a policy: the last of each period, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOf {
    period: Period,
    during: Option<Duration>,
}

/// Text that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}")]
pub struct Unreadable {
    expected: &'static str,
}

impl FromStr for Span {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let us = ttl::parse(text).ok().and_then(|us| u64::try_from(us).ok());
        us.map(|us| Self(Duration::from_micros(us))).ok_or(Unreadable { expected: SPAN })
    }
}

impl FromStr for LastOf {
    type Err = Unreadable;

    /// `day`, or `day:365d`.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let (name, during) = match text.split_once(':') {
            Some((name, during)) => (name, Some(during.parse::<Span>()?.0)),
            None => (text, None),
        };
        Ok(Self { period: period(name)?, during })
    }
}

fn period(text: &str) -> Result<Period, Unreadable> {
    match PERIODS.iter().find(|(name, _)| *name == text) {
        Some((_, period)) => Ok(*period),
        None => match text.parse::<Span>() {
            Ok(Span(span)) => Ok(Period::Span(span)),
            Err(_) => Err(Unreadable { expected: PERIOD }),
        },
    }
}

/// A policy of its parts; without `all` everything is kept.
pub fn policy(all: Option<Duration>, then: impl IntoIterator<Item = LastOf>) -> Retention {
    let Some(all) = all else { return Retention::forever() };
    then.into_iter().fold(Retention::all_for(all), |policy, LastOf { period, during }| match during
    {
        Some(during) => policy.then_last_of_for(period, during),
        None => policy.then_last_of(period),
    })
}

/// The policy of a request: `all` and `then`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(fields: &mut Fields) -> Result<Retention> {
    let all = span("all", &required("all", fields.json("all"))?)?;
    let mut tiers = Vec::new();
    match fields.json("then") {
        None => {}
        Some(Json::Array(then)) => {
            for tier in then {
                let mut tier = Fields::object_of("then", tier)?;
                let json = required("last_of", tier.json("last_of"))?;
                let text = match &json {
                    Json::Number(number) => number.to_string(),
                    Json::String(text) => text.clone(),
                    other => return Err(wrong_type("last_of", PERIOD, other)),
                };
                let period = period(&text).map_err(|_| wrong_type("last_of", PERIOD, &json))?;
                let during = tier.json("for").map(|json| span("for", &json)).transpose()?;
                tier.finish()?;
                tiers.push(LastOf { period, during: during.flatten() });
            }
        }
        Some(other) => return Err(wrong_type("then", "a list", &other)),
    }
    if all.is_none() && !tiers.is_empty() {
        return Err(BadRequest::Both { a: "all: null", b: "then" });
    }
    Ok(policy(all, tiers))
}

fn span(field: &'static str, json: &Json) -> Result<Option<Duration>> {
    let span = match json {
        Json::Null => return Ok(None),
        Json::Number(number) => number.as_u64().map(Duration::from_micros),
        Json::String(text) => text.parse::<Span>().ok().map(|span| span.0),
        _ => None,
    };
    span.map(Some).ok_or_else(|| wrong_type(field, SPAN, json))
}

/// The answer to `retention`.
#[derive(Debug, Serialize)]
pub struct RetentionBody {
    /// Microseconds; `null` for all.
    pub all: Option<u64>,
    /// What is kept of what is older.
    pub then: Vec<TierBody>,
    /// What is still answered.
    pub kept: Vec<StretchBody>,
}

/// The last of each period.
#[derive(Debug, Serialize)]
pub struct TierBody {
    /// The period, or microseconds.
    pub last_of: Json,
    /// Microseconds; `null` for ever.
    #[serde(rename = "for")]
    pub during: Option<u64>,
}

/// A stretch of transaction time; `null` for either end of time.
#[derive(Debug, Serialize)]
pub struct StretchBody {
    /// Where it begins.
    pub tx_from: Option<i64>,
    /// Where it ends; this time is not part of it.
    pub tx_to: Option<i64>,
}

impl RetentionBody {
    /// Of a policy and what it left.
    pub fn new(retention: &Retention, kept: &[Range<TxTime>]) -> Self {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let then = retention.then().map(|(period, during)| TierBody {
            last_of: match period {
                Period::Span(span) => micros(span).into(),
                period => name(period).into(),
            },
            during: during.map(micros),
        });
        let end = |tx: TxTime| Some(tx.0).filter(|at| *at != i64::MIN && *at != i64::MAX);
        let kept = kept.iter();
        Self {
            all: retention.all().map(micros),
            then: then.collect(),
            kept: kept.map(|s| StretchBody { tx_from: end(s.start), tx_to: end(s.end) }).collect(),
        }
    }
}

fn name(period: Period) -> &'static str {
    PERIODS.iter().find(|(_, known)| *known == period).map_or("span", |(name, _)| name)
}

/// A policy in words, and what it left.
pub fn show(retention: &Retention, kept: &[Range<TxTime>]) -> String {
    let mut text = match retention.all() {
        None => "keeps everything\n".to_owned(),
        Some(all) => format!("keeps all of the last {}\n", span_text(all)),
    };
    for (period, during) in retention.then() {
        let period = match period {
            Period::Span(span) => span_text(span),
            period => name(period).to_owned(),
        };
        let during = during.map(|span| format!(", for {}", span_text(span))).unwrap_or_default();
        text += &format!("then the last of each {period}{during}\n");
    }
    if kept.len() > 1 {
        let newest = kept.last().map(|stretch| stretch.start.to_string()).unwrap_or_default();
        text += &format!("answers from {newest} on, and in {} stretches before\n", kept.len() - 1);
    }
    text
}

fn span_text(span: Duration) -> String {
    let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    ttl::text(us)
}

/// A named checkpoint.
#[derive(Debug, Serialize)]
pub struct CheckpointBody {
    name: String,
    tx: i64,
}

impl From<NamedCheckpoint> for CheckpointBody {
    fn from(named: NamedCheckpoint) -> Self {
        Self { name: named.name, tx: named.tx.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, us) in [("7", 7), ("5us", 5), ("2ms", 2000), ("90d", 90 * 86_400_000_000)] {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_micros(us));
        }
        for text in ["", "d", "-1", "-1d", "1.5d", "1y", "99999999999999999w"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(span_text(Duration::from_secs(91 * 86_400)), "13w");
        assert_eq!(span_text(Duration::from_secs(90 * 86_400)), "90d");
        assert_eq!(span_text(Duration::from_micros(0)), "0us");
        let day = LastOf { period: Period::Day, during: Some(Duration::from_secs(3600)) };
        assert_eq!("day:1h".parse::<LastOf>().unwrap(), day);
        assert!("fortnight".parse::<LastOf>().is_err());
    }
}
