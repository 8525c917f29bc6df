//! From the words of a line to what they ask for.
//!
//! ```text
//! line    = command place* (clause-name word)*      see `commands`
//!         | "{" ...                                 a request of the batch protocol
//!         | "#" ... | "--" ...                      a remark
//! key     = bare | "quoted" | 'quoted' | b64:BASE64
//! value   = JSON | a bare word, a string unless it is JSON | 'quoted', a string
//! time    = now | now+LENGTH | now-LENGTH | 2024-03-01 | RFC 3339 | microseconds | inf
//! length  = (N (us|ms|s|m|h|d|w))+
//! ```

use super::commands::{self, Command, Word};
use super::syntax::{Syntax, meant};
use super::token::{Kind, Token, tokens};
use crate::commands::partition;
use crate::exec::fields::{KeyForm, Time};
use crate::exec::request::{
    ChangesFrom, ChangesOf, DiffOf, Op, Partition, Point, Prefix, SavepointOf, ScanOf, Target,
    What, Write,
};
use crate::ttl;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llmdb::{Isolation, TxTime, ValidTime};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What a line asks for.
#[derive(Debug)]
pub enum Line {
    /// Nothing.
    Empty,
    /// An operation.
    Op(Op),
    /// A note for what comes.
    Note(Json),
    /// A line of the batch protocol.
    Protocol,
    /// A command of the shell's own.
    Dot(&'static Command, Vec<Token>),
}

/// What is meant where a line does not say it.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Whose keys.
    pub partition: Partition,
    /// Where reads stand.
    pub at: Point,
    /// How many rows.
    pub limit: Option<usize>,
    /// The database's now, for times that are relative to it.
    pub now: ValidTime,
}

/// Isolations that a transaction can be given, by name.
pub const ISOLATIONS: [&str; 4] =
    ["serializable", "snapshot", "read committed", "read uncommitted"];

/// What a value can be said to be, beside what it looks like.
pub const KINDS: [&str; 5] = ["json", "text", "raw", "messagepack", "protobuf"];

/// Reads a line.
///
/// # Errors
/// What is wrong with it; [`Syntax::is_unfinished`] where more of it may make it right.
pub fn parse(line: &str, defaults: &Defaults) -> Result<Line, Syntax> {
    let begin = line.trim_start();
    if begin.is_empty() || begin.starts_with('#') || begin.starts_with("--") {
        return Ok(Line::Empty);
    }
    let tokens = tokens(line)?;
    let Some((name, words)) = tokens.split_first() else { return Ok(Line::Empty) };
    if name.kind == Kind::Json {
        return Ok(Line::Protocol);
    }
    let command = commands::find(&name.text).ok_or_else(|| unknown(name))?;
    if command.name.starts_with('.') {
        check_count(command, words, name)?;
        return Ok(Line::Dot(command, words.to_vec()));
    }
    Call::new(command, name, words)?.line(defaults)
}

fn unknown(name: &Token) -> Syntax {
    let error = Syntax::new(name.span.clone(), format!("there is no command `{}`", name.text));
    match meant(&name.text, commands::names()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help("`.help` lists all commands"),
    }
}

fn check_count(command: &Command, words: &[Token], name: &Token) -> Result<(), Syntax> {
    if let Some(more) = words.get(command.places.len()) {
        return Err(
            Syntax::new(more.span.clone(), "nothing more belongs here").help(usage(command))
        );
    }
    match command.places.get(words.len()) {
        Some(place) if !place.is_optional() => Err(missing(command, place.name, name, words)),
        _ => Ok(()),
    }
}

fn missing(command: &Command, what: &str, name: &Token, words: &[Token]) -> Syntax {
    let end = words.last().unwrap_or(name).span.end;
    let message = format!("`{}` needs a {what}", command.name);
    Syntax::new(end + 1..end + 2, message).help(usage(command))
}

fn usage(command: &Command) -> String {
    format!("usage: {}", command.usage())
}

/// A command and its words.
struct Call<'t> {
    command: &'static Command,
    places: Vec<&'t Token>,
    clauses: BTreeMap<&'static str, &'t Token>,
}

impl<'t> Call<'t> {
    fn new(command: &'static Command, name: &Token, words: &'t [Token]) -> Result<Self, Syntax> {
        let mut call = Self { command, places: Vec::new(), clauses: BTreeMap::new() };
        let mut rest = words.iter();
        for place in command.places {
            let Some(word) = rest.as_slice().first() else { break };
            // A key that is called like a clause is quoted, where there need not be one.
            let bare = word.kind == Kind::Bare;
            if place.is_optional() && bare && command.clause(&word.text).is_some() {
                break;
            }
            call.places.push(word);
            rest.next();
        }
        if let Some(place) = command.places.get(call.places.len())
            && !place.is_optional()
        {
            return Err(missing(command, place.name, name, words));
        }
        while let Some(word) = rest.next() {
            let clause = match command.clause(&word.text) {
                Some(clause) if word.kind == Kind::Bare => clause,
                _ => return Err(call.no_clause(word)),
            };
            let Some(value) = rest.next() else {
                let message = format!("`{}` needs a {}", clause.name, clause.value);
                let end = word.span.end;
                return Err(Syntax::new(end + 1..end + 2, message).help(usage(command)));
            };
            if call.clauses.insert(clause.name, value).is_some() {
                let message = format!("`{}` is there twice", clause.name);
                return Err(Syntax::new(word.span.clone(), message));
            }
        }
        Ok(call)
    }

    fn no_clause(&self, word: &Token) -> Syntax {
        let error = Syntax::new(word.span.clone(), "this word does not belong here");
        let names = self.command.clauses.iter().map(|clause| clause.name);
        if let Some(near) = meant(&word.text, names) {
            return error.help(format!("did you mean `{near}`?\n{}", usage(self.command)));
        }
        let after_value = self.command.places.last().is_some_and(|p| p.word == Word::Value);
        if after_value && self.clauses.is_empty() {
            return error.help("a value with spaces goes between quotes: 'like this'");
        }
        error.help(usage(self.command))
    }

    fn line(&self, defaults: &Defaults) -> Result<Line, Syntax> {
        let op = match self.command.name {
            "get" => Op::Get(self.target(defaults)?, self.point(defaults)?),
            "put" => Op::Write(self.write(What::Value(self.value(self.places[1])?), defaults)?),
            "end" => Op::Write(self.write(What::End, defaults)?),
            "delete" => Op::Write(self.write(What::Deletion, defaults)?),
            "scan" => Op::Scan(self.scan(defaults)?),
            "timeline" => Op::Timeline(self.target(defaults)?, self.point(defaults)?.tx),
            "history" => Op::History(self.target(defaults)?),
            "diff" => Op::Diff(self.diff(defaults)?),
            "changes" => Op::Changes(self.changes(defaults)?),
            "begin" => Op::Begin(self.isolation()?),
            "commit" => Op::Commit(self.note()?),
            "savepoint" => Op::Savepoint(SavepointOf::Make, self.name()),
            "release" => Op::Savepoint(SavepointOf::Release, self.name()),
            "rollback" => match self.clauses.get("to") {
                Some(name) => Op::Savepoint(SavepointOf::RollBackTo, name.text.clone()),
                None => Op::Rollback,
            },
            "note" => return Ok(Line::Note(value(self.places[0])?)),
            "lock" => Op::Lock(self.target(defaults)?),
            _ => self.upkeep(defaults)?,
        };
        Ok(Line::Op(op))
    }

    fn partition(&self, defaults: &Defaults) -> Partition {
        self.clauses.get("in").map_or_else(|| defaults.partition.clone(), |p| partition(&p.text))
    }

    fn target(&self, defaults: &Defaults) -> Result<Target, Syntax> {
        let key = key(self.places[0])?;
        if key.is_empty() {
            return Err(Syntax::new(self.places[0].span.clone(), "a key is not empty"));
        }
        Ok(Target { partition: self.partition(defaults), key })
    }

    fn prefix(&self, defaults: &Defaults) -> Result<Prefix, Syntax> {
        let bytes = self.places.first().map_or(Ok(Vec::new()), |token| key(token))?;
        Ok(Prefix { partition: self.partition(defaults), bytes, form: KeyForm::Text })
    }

    /// Where a read stands: as it says, else as was set.
    fn point(&self, defaults: &Defaults) -> Result<Point, Syntax> {
        let at = self.clauses.get("at").map(|token| time(token, defaults.now));
        let tx = self.clauses.get("tx").map(|token| time(token, defaults.now));
        Ok(Point {
            valid: at.unwrap_or(Ok(defaults.at.valid))?,
            tx: tx.unwrap_or(Ok(defaults.at.tx.clone()))?,
        })
    }

    fn write(&self, what: What, defaults: &Defaults) -> Result<Write, Syntax> {
        let time = |name| self.clauses.get(name).map(|token| time(token, defaults.now));
        let valid_from = time("from").transpose()?.flatten();
        let valid_to = time("to").transpose()?;
        if let (Some(None), Some(token)) = (valid_to, self.clauses.get("to")) {
            return Err(Syntax::new(token.span.clone(), "what ends now holds at no time"));
        }
        Ok(Write {
            target: self.target(defaults)?,
            what,
            valid_from,
            valid_to: valid_to.flatten(),
            ttl: self.length(valid_from.is_some() || valid_to.is_some())?,
            note: self.note()?,
        })
    }

    /// For how long a value holds, from now.
    fn length(&self, is_bounded: bool) -> Result<Option<i64>, Syntax> {
        let Some(token) = self.clauses.get("for") else { return Ok(None) };
        if is_bounded {
            let message = "`for` counts from now: it goes with neither `from` nor `to`";
            return Err(Syntax::new(token.span.clone(), message));
        }
        ttl::parse(&token.text).map(Some).map_err(|text| Syntax::new(token.span.clone(), text))
    }

    fn name(&self) -> String {
        self.places.first().map(|token| token.text.clone()).unwrap_or_default()
    }

    fn note(&self) -> Result<Option<Json>, Syntax> {
        self.clauses.get("note").map(|token| value(token)).transpose()
    }

    fn scan(&self, defaults: &Defaults) -> Result<ScanOf, Syntax> {
        let after = self.clauses.get("after").map(|token| key(token)).transpose()?;
        let (range, at) = (self.prefix(defaults)?, self.point(defaults)?);
        Ok(ScanOf { range, at, after, limit: self.limit(defaults)? })
    }

    fn limit(&self, defaults: &Defaults) -> Result<Option<usize>, Syntax> {
        self.clauses.get("limit").map_or(Ok(defaults.limit), |token| count(token).map(Some))
    }

    fn diff(&self, defaults: &Defaults) -> Result<DiffOf, Syntax> {
        let a = point(self.places[1], defaults.now)?;
        let b = self.places.get(2).map(|token| point(token, defaults.now)).transpose()?;
        Ok(DiffOf { range: self.prefix(defaults)?, a, b: b.unwrap_or_default() })
    }

    fn changes(&self, defaults: &Defaults) -> Result<ChangesOf, Syntax> {
        let tx = |at: usize| self.places.get(at).map(|token| time(token, defaults.now)).transpose();
        let (from, to) = (tx(0)?, tx(1)?.flatten());
        let from = match (self.clauses.get("next"), from) {
            (Some(next), None) => ChangesFrom::Next(next.text.clone()),
            (Some(next), Some(_)) => {
                let message = "`next` goes on where an answer ended: leave the first time out";
                return Err(Syntax::new(next.span.clone(), message));
            }
            (None, None) => ChangesFrom::Tx(TxTime::MIN.into()),
            (None, Some(from)) => ChangesFrom::Tx(from.unwrap_or(TxTime(defaults.now.0).into())),
        };
        // That of all keys if none is set.
        let partition = self.partition_or_all(defaults);
        Ok(ChangesOf { from, to, partition, limit: self.limit(defaults)? })
    }

    fn isolation(&self) -> Result<Isolation, Syntax> {
        let Some(first) = self.places.first() else { return Ok(Isolation::Serializable) };
        let words: Vec<&str> = self.places.iter().map(|token| token.text.as_str()).collect();
        // As it is said, and as the batch protocol writes it.
        let name = words.join(" ").to_lowercase().replace(['_', '-'], " ");
        match ISOLATIONS.iter().position(|known| *known == name) {
            Some(0) => Ok(Isolation::Serializable),
            Some(1) => Ok(Isolation::Snapshot),
            Some(2) => Ok(Isolation::ReadCommitted),
            Some(_) => Ok(Isolation::ReadUncommitted),
            None => {
                let last = self.places.last().unwrap_or(first);
                let span = first.span.start..last.span.end;
                Err(one_of(&Token { text: name, kind: Kind::Bare, span }, &ISOLATIONS))
            }
        }
    }

    /// What a value is: what it looks like, unless it is said.
    fn value(&self, token: &Token) -> Result<llmdb::Value, Syntax> {
        let Some(kind) = self.clauses.get("as") else { return Ok(value(token)?.into()) };
        let wrong = |message: String| Syntax::new(token.span.clone(), message);
        let bytes = || {
            let bytes = STANDARD.decode(&token.text);
            bytes.map_err(|cause| {
                wrong(format!("this is no base64: {cause}")).help("bytes are written in base64")
            })
        };
        match kind.text.to_lowercase().as_str() {
            "text" => Ok(Json::String(token.text.clone()).into()),
            "json" => match serde_json::from_str::<Json>(&token.text) {
                Ok(json) => Ok(json.into()),
                Err(cause) => Err(wrong(format!("this is no JSON: {cause}"))),
            },
            "raw" => Ok(llmdb::Value::Raw(bytes()?)),
            "messagepack" => Ok(llmdb::Value::MessagePack(bytes()?)),
            "protobuf" => match llmdb::Message::new(None, bytes()?) {
                Ok(message) => Ok(message.into()),
                Err(cause) => Err(wrong(cause.to_string())),
            },
            _ => Err(one_of(kind, &KINDS)),
        }
    }
}

/// The error of a word that is none of those it may be.
pub fn one_of(token: &Token, names: &[&str]) -> Syntax {
    let all = match names {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        few => few.concat(),
    };
    let message = format!("this must be {all}");
    let error = Syntax::new(token.span.clone(), message);
    match meant(&token.text, names.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// The bytes of a key.
///
/// # Errors
/// Base64 that is none.
pub fn key(token: &Token) -> Result<Vec<u8>, Syntax> {
    match token.text.strip_prefix("b64:") {
        Some(base64) if token.kind == Kind::Bare => STANDARD.decode(base64).map_err(|cause| {
            let message = format!("this is no base64: {cause}");
            Syntax::new(token.span.clone(), message).help("a key that begins with b64: is quoted")
        }),
        _ => Ok(token.text.as_bytes().to_vec()),
    }
}

/// A value, or a note: JSON where it is; what is quoted is a string.
///
/// # Errors
/// Brackets around what is no JSON.
pub fn value(token: &Token) -> Result<Json, Syntax> {
    match token.kind {
        Kind::Quoted => Ok(Json::String(token.text.clone())),
        Kind::Bare => {
            Ok(serde_json::from_str(&token.text).unwrap_or_else(|_| token.text.as_str().into()))
        }
        Kind::Json => serde_json::from_str(&token.text).map_err(|cause| {
            let lines = token.text.split_inclusive('\n').take(cause.line().saturating_sub(1));
            let at = lines.map(str::len).sum::<usize>() + cause.column().saturating_sub(1);
            let at = token.span.start + at.min(token.text.len() - 1);
            let text = cause.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            let help = "a string with brackets goes between single quotes";
            Syntax::new(at..at + 1, format!("this is no JSON: {what}")).help(help)
        }),
    }
}

/// A number from 1.
///
/// # Errors
/// Anything else.
pub fn count(token: &Token) -> Result<usize, Syntax> {
    match token.text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Syntax::new(token.span.clone(), "this must be a number from 1")),
    }
}

/// A time; `None` is now.
///
/// # Errors
/// What is none.
pub fn time<T: Time>(token: &Token, now: ValidTime) -> Result<Option<T>, Syntax> {
    time_at(&token.text, token.span.start, now)
}

/// `V`, `V/T` or `/T`.
fn point(token: &Token, now: ValidTime) -> Result<Point, Syntax> {
    let start = token.span.start;
    let (valid, tx) = match token.text.split_once('/') {
        Some((valid, tx)) => (valid, Some((tx, start + valid.len() + 1))),
        None => (token.text.as_str(), None),
    };
    let valid = if valid.is_empty() { None } else { time_at(valid, start, now)? };
    let tx = match tx {
        Some((tx, start)) => time_at(tx, start, now)?,
        None => None,
    };
    Ok(Point { valid, tx })
}

fn time_at<T: Time>(text: &str, start: usize, now: ValidTime) -> Result<Option<T>, Syntax> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(None);
    }
    if let Some(step) = text.strip_prefix("now")
        && let Some(micros) = step_micros(step).and_then(|step| now.0.checked_add(step))
    {
        return Ok(Some(T::from_micros(micros)));
    }
    let help =
        "times are 2024-03-01, 2024-03-01T12:00:00Z, now, now-7d, @checkpoint, microseconds or inf";
    let span = start..start + text.len().max(1);
    T::from_text(text).map(Some).map_err(|cause| Syntax::new(span, cause.to_string()).help(help))
}

/// `+1d`, `-1h30m`.
fn step_micros(step: &str) -> Option<i64> {
    let length = step.strip_prefix(['+', '-'])?;
    // A number alone would look like a part of the date.
    if !length.starts_with(|c: char| c.is_ascii_digit()) || length.parse::<i64>().is_ok() {
        return None;
    }
    let micros = ttl::parse(length).ok()?;
    Some(if step.starts_with('-') { -micros } else { micros })
}

pub mod upkeep;

#[cfg(test)]
mod tests;
