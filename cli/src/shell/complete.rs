//! What a line may go on with: names, keys, partitions.

use super::commands::{self, At, Command, Word};
use super::grammar::upkeep::NAMED;
use super::grammar::{ISOLATIONS, KINDS};
use super::token::{Kind, Token, tokens};
use super::{dot, help, shell_word};
use crate::exec::request::Partition;
use crate::write::partition_to_read;
use llmdb::Db;
use reedline::{Completer, CompletionResult, Span, Suggestion};
use std::path::{MAIN_SEPARATOR, Path};
use std::sync::{Arc, Mutex, PoisonError};

/// Keys, or files, that are offered at once.
const OFFERS_MAX: usize = 64;

/// Completes the lines of a shell on a database.
pub struct Complete {
    /// Asked for keys, as they are now.
    pub db: Db,
    /// The partition that the shell is set to.
    pub partition: Arc<Mutex<Partition>>,
}

/// Something that the last word may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// As it is typed.
    pub word: String,
    /// What it is.
    pub about: Option<&'static str>,
    /// Whether the line goes on behind it: not within a path.
    pub ends: bool,
}

impl Completer for Complete {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let (start, offers) = self.offers(line.get(..pos).unwrap_or(line));
        let suggestion = |offer: Offer| Suggestion {
            value: offer.word,
            description: offer.about.map(str::to_owned),
            span: Span::new(start, pos.max(start)),
            append_whitespace: offer.ends,
            ..Suggestion::default()
        };
        CompletionResult::fresh(offers.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

impl Complete {
    /// Where the last word of a line begins, and what it may be.
    pub fn offers(&self, line: &str) -> (usize, Vec<Offer>) {
        let Some(Typed { before, last, start }) = Typed::new(line) else {
            return (line.len(), Vec::new());
        };
        let Some(name) = before.first() else {
            let names = commands::all().map(|command| (command.name, Some(command.about)));
            return (start, named(names, &last));
        };
        let Some(command) = commands::find(&name.text) else { return (start, Vec::new()) };
        let mut words: Vec<&str> = before.iter().map(|token| token.text.as_str()).collect();
        words.push(&last);
        let offers = match command.word_at(&words) {
            None => Vec::new(),
            Some(At::ClauseName) => clauses(command, &words, &last),
            Some(At::Clause(clause)) => self.of(clause.word, &last, command, &words),
            Some(At::Place(place)) => {
                let mut offers = self.of(place.word, &last, command, &words);
                if place.is_optional() {
                    offers.extend(clauses(command, &words, &last));
                }
                offers
            }
        };
        (start, offers)
    }

    fn of(&self, word: Word, last: &str, command: &Command, words: &[&str]) -> Vec<Offer> {
        let list = |names: &[&'static str]| named(names.iter().map(|name| (*name, None)), last);
        match word {
            Word::Key | Word::Prefix => self.keys(last, command, words).unwrap_or_default(),
            Word::Partition => self.partitions(last).unwrap_or_default(),
            Word::Isolation => list(&ISOLATIONS),
            Word::Mode => list(&dot::modes()),
            Word::Switch => list(&["on", "off"]),
            Word::Valid | Word::Point => list(&["now", "inf"]),
            Word::Tx => [list(&["now", "inf"]), self.checkpoints("@", last)].concat(),
            Word::Committed
                if words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("read")) =>
            {
                list(&["committed", "uncommitted"])
            }
            Word::Kind => list(&KINDS),
            Word::Named => list(&NAMED),
            Word::NameOf if words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("feed")) => {
                self.feeds(last)
            }
            Word::NameOf => self.checkpoints("", last),
            Word::Feed => self.feeds(last),
            Word::Deep => list(&["deep"]),
            Word::Cursor if command.name == "feed" => list(&["oldest", "newest"]),
            Word::Periods => list(&["hour", "day", "week", "month", "year"]),
            Word::Topic => list(&help::topics()),
            Word::File => files(last),
            Word::Value
            | Word::Length
            | Word::Name
            | Word::Note
            | Word::Count
            | Word::Cursor
            | Word::Committed
            | Word::Ticket => Vec::new(),
        }
    }

    /// Named checkpoints, as they are written behind `sign`.
    fn checkpoints(&self, sign: &str, last: &str) -> Vec<Offer> {
        let all = self.db.checkpoints().unwrap_or_default();
        offers(all.into_iter().map(|named| format!("{sign}{}", named.name)), last)
    }

    fn feeds(&self, last: &str) -> Vec<Offer> {
        offers(self.db.feeds().unwrap_or_default().into_iter().map(|feed| feed.name), last)
    }

    /// Keys that begin like the word: one seek, and a few steps.
    fn keys(
        &self,
        last: &str,
        command: &Command,
        words: &[&str],
    ) -> crate::error::Result<Vec<Offer>> {
        let named = words.iter().rposition(|word| command.clause("in").is_some() && *word == "in");
        let partition = match named.and_then(|at| words.get(at + 1)) {
            Some(name) => crate::commands::partition(name),
            None => self.partition.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let partition = partition_to_read(&self.db, &partition)?;
        let mut offers = Vec::new();
        for row in self.db.scan(partition, last)?.take(OFFERS_MAX) {
            offers.push(Offer { word: shell_word(&row?.key), about: None, ends: true });
        }
        Ok(offers)
    }

    fn partitions(&self, last: &str) -> crate::error::Result<Vec<Offer>> {
        Ok(offers(self.db.partitions()?.into_iter().map(|(name, _)| name), last))
    }
}

/// Names of the user's that begin like the word.
fn offers(names: impl Iterator<Item = String>, last: &str) -> Vec<Offer> {
    let offer = |name: String| {
        let word = shell_word(name.as_bytes());
        Offer { word, about: None, ends: true }
    };
    names.filter(|name| name.starts_with(last)).take(OFFERS_MAX).map(offer).collect()
}

/// A line up to the cursor.
#[derive(Debug)]
pub struct Typed {
    /// The words before the last.
    pub before: Vec<Token>,
    /// The last, as far as it is typed; empty behind a space.
    pub last: String,
    /// Where that begins.
    pub start: usize,
}

impl Typed {
    /// Takes a line apart; `None` where nothing can be said about its last word.
    pub fn new(line: &str) -> Option<Self> {
        let (before, last, start) = match tokens(line) {
            Ok(mut all) => match all.pop_if(|token| token.span.end == line.len()) {
                Some(last) if last.kind == Kind::Bare => (all, last.text, last.span.start),
                Some(_) => return None,
                None => (all, String::new(), line.len()),
            },
            Err(error) if error.is_unfinished() => {
                let start = error.span().start;
                let quote = line[start..].chars().next().filter(|c| ['"', '\''].contains(c))?;
                let before = tokens(&line[..start]).ok()?;
                (before, line[start + quote.len_utf8()..].to_owned(), start)
            }
            Err(_) => return None,
        };
        Some(Self { before, last, start })
    }
}

fn named<'a>(
    names: impl Iterator<Item = (&'static str, Option<&'static str>)> + 'a,
    last: &'a str,
) -> Vec<Offer> {
    let begins = |name: &str| {
        name.len() >= last.len() && name.is_char_boundary(last.len()) && {
            name[..last.len()].eq_ignore_ascii_case(last)
        }
    };
    // The shell's own are many: they are offered once the dot is typed.
    names
        .filter(|(name, _)| begins(name) && (!name.starts_with('.') || !last.is_empty()))
        .map(|(name, about)| Offer { word: name.to_owned(), about, ends: true })
        .collect()
}

/// The names of clauses that are not there yet.
fn clauses(command: &Command, words: &[&str], last: &str) -> Vec<Offer> {
    let free =
        command.clauses.iter().filter(|clause| !words[1..words.len() - 1].contains(&clause.name));
    named(free.map(|clause| (clause.name, None)), last)
}

/// Files, and directories to go on in.
fn files(last: &str) -> Vec<Offer> {
    let (dir, name) =
        last.rfind(['/', MAIN_SEPARATOR]).map_or(("", last), |at| last.split_at(at + 1));
    let listed = std::fs::read_dir(if dir.is_empty() { Path::new(".") } else { Path::new(dir) });
    let mut offers: Vec<Offer> = listed
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let hidden = file.starts_with('.') && !name.starts_with('.');
            (file.starts_with(name) && !hidden).then(|| {
                let end = if is_dir { "/" } else { "" };
                let word = shell_word(format!("{dir}{file}{end}").as_bytes());
                Offer { word, about: None, ends: !is_dir }
            })
        })
        .collect();
    offers.sort_by(|a, b| a.word.cmp(&b.word));
    offers.truncate(OFFERS_MAX);
    offers
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmdb::vfs::MemVfs;
    use llmdb::{Key, Options};

    fn complete() -> Complete {
        let vfs = Arc::new(MemVfs::new());
        let db = Options::new().vfs(vfs).open("/test.llmdb").unwrap();
        let memory = db.partition("memory").unwrap();
        for key in ["user:1", "user:2", "a b", "zebra"] {
            db.put(key, b"v").unwrap();
        }
        db.put(Key::new(memory, "thought"), b"v").unwrap();
        Complete { db, partition: Arc::default() }
    }

    fn words(complete: &Complete, line: &str) -> Vec<String> {
        complete.offers(line).1.into_iter().map(|offer| offer.word).collect()
    }

    #[test]
    fn commands_keys_clauses_and_partitions_are_offered() {
        let all = complete();
        assert_eq!(words(&all, "ti"), ["timeline"]);
        assert_eq!(words(&all, ".ti"), [".timeline", ".timer"]);
        assert_eq!(words(&all, "get us"), ["user:1", "user:2"]);
        assert_eq!(words(&all, "get "), ["'a b'", "user:1", "user:2", "zebra"]);
        assert_eq!(words(&all, "get 'a"), ["'a b'"]);
        assert_eq!(words(&all, "get user:1 "), ["at", "tx", "in"]);
        assert_eq!(words(&all, "get user:1 at 5 "), ["tx", "in"]);
        assert_eq!(words(&all, "get user:1 in m"), ["memory"]);
        assert_eq!(words(&all, "put k v fr"), ["from"]);
        assert_eq!(words(&all, "scan z"), ["zebra"]);
        assert_eq!(words(&all, "scan user: l"), ["limit"]);
        assert_eq!(words(&all, ".mode m"), ["markdown"]);
        assert_eq!(words(&all, "begin s"), ["serializable", "snapshot"]);
        assert_eq!(words(&all, "begin read "), ["committed", "uncommitted"]);
        assert!(words(&all, "begin snapshot ").is_empty());
        assert_eq!(words(&all, "put k v as r"), ["raw"]);
        assert_eq!(words(&all, "lock z"), ["zebra"]);
        assert_eq!(words(&all, "erase user:1 finish "), ["on", "off"]);
        assert_eq!(words(&all, ".help proto"), ["protocol"]);
        for nothing in ["what ", "put k ", "put k {", "get 'a' b'c", "get k at 5 what "] {
            assert!(words(&all, nothing).is_empty(), "{nothing}");
        }
        *all.partition.lock().unwrap() = Partition::Name("memory".to_owned());
        assert_eq!(words(&all, "get "), ["thought"]);
        *all.partition.lock().unwrap() = Partition::Name("none".to_owned());
        assert!(words(&all, "get ").is_empty());
    }

    #[test]
    fn feeds_and_checkpoints_are_offered_by_name() {
        let all = complete();
        all.db.feed("billing").unwrap().ack_to(llmdb::Cursor::START).unwrap();
        all.db.name_checkpoint("before it", None).unwrap();
        all.db.name_checkpoint("june", None).unwrap();
        assert_eq!(words(&all, "drop "), ["checkpoint", "feed"]);
        assert_eq!(words(&all, "drop checkpoint "), ["'before it'", "june"]);
        assert_eq!(words(&all, "get user:1 tx @j"), ["@june"]);
        assert_eq!(words(&all, "feed b"), words(&all, "drop feed "));
        assert_eq!(words(&all, "feed b"), words(&all, "ack b"));
    }

    #[test]
    fn a_large_partition_is_not_read_through() {
        let all = complete();
        let mut tx = all.db.begin().unwrap();
        for n in 0..1000 {
            tx.put(format!("key:{n}").as_str(), b"v").unwrap();
        }
        tx.commit().unwrap();
        assert_eq!(words(&all, "get key:").len(), OFFERS_MAX);
    }

    #[test]
    fn what_is_replaced_is_the_last_word() {
        let all = complete();
        assert_eq!(all.offers("get user").0, 4);
        assert_eq!(all.offers("get \"us").0, 4);
        assert_eq!(all.offers("get ").0, 4);
        assert_eq!(all.offers("名").0, 0);
    }
}
