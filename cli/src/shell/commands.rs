//! The commands of the shell: their words, in a table that reading, completing, hints and help
//! share.

/// What a word of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A key.
    Key,
    /// A value.
    Value,
    /// What keys begin with.
    Prefix,
    /// A point of both times: `V`, `V/T` or `/T`.
    Point,
    /// A point of transaction time.
    Tx,
    /// A point of valid time.
    Valid,
    /// A length of time.
    Length,
    /// How a transaction is isolated...
    Isolation,
    /// ...of which two are called by two words.
    Committed,
    /// A name of the user's choice.
    Name,
    /// The name of a feed.
    Feed,
    /// What has a name that can be dropped.
    Named,
    /// The name of one of those, as the word before says.
    NameOf,
    /// The last of each of these periods, and for how long.
    Periods,
    /// The ticket of an erasure.
    Ticket,
    /// What a value is.
    Kind,
    /// `deep`, or nothing.
    Deep,
    /// A note.
    Note,
    /// A partition.
    Partition,
    /// A number.
    Count,
    /// Where a feed goes on.
    Cursor,
    /// A form of output.
    Mode,
    /// `on` or `off`.
    Switch,
    /// A file.
    File,
    /// A subject of help.
    Topic,
}

/// A word at a fixed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub word: Word,
    /// Its name in the usage; optional ones are in brackets.
    pub name: &'static str,
}

impl Place {
    /// Whether the command does without.
    pub fn is_optional(self) -> bool {
        self.name.starts_with('[')
    }
}

/// A word behind the places, with its name before it, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Its name.
    pub name: &'static str,
    /// What follows.
    pub word: Word,
    /// What that is called in the usage.
    pub value: &'static str,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name; those of the shell's own begin with a dot.
    pub name: &'static str,
    /// What follows.
    pub places: &'static [Place],
    /// What may follow that.
    pub clauses: &'static [Clause],
    /// What it does.
    pub about: &'static str,
    /// Two or three of it; each is read by a test.
    pub examples: &'static [&'static str],
}

const fn place(word: Word, name: &'static str) -> Place {
    Place { word, name }
}

const KEY: Place = place(Word::Key, "KEY");
const VALUE: Place = place(Word::Value, "VALUE");
const PREFIX: Place = place(Word::Prefix, "[PREFIX]");
const FEED: Place = place(Word::Feed, "NAME");

const FROM: Clause = Clause { name: "from", word: Word::Valid, value: "V" };
const TO: Clause = Clause { name: "to", word: Word::Valid, value: "V" };
const FOR: Clause = Clause { name: "for", word: Word::Length, value: "LENGTH" };
const TO_NAME: Clause = Clause { name: "to", word: Word::Name, value: "NAME" };
const AT: Clause = Clause { name: "at", word: Word::Valid, value: "V" };
const TX: Clause = Clause { name: "tx", word: Word::Tx, value: "T" };
const NOTE: Clause = Clause { name: "note", word: Word::Note, value: "NOTE" };
const IN: Clause = Clause { name: "in", word: Word::Partition, value: "PARTITION" };
const LIMIT: Clause = Clause { name: "limit", word: Word::Count, value: "N" };
const AFTER: Clause = Clause { name: "after", word: Word::Key, value: "KEY" };
const NEXT: Clause = Clause { name: "next", word: Word::Cursor, value: "CURSOR" };
const AS: Clause = Clause { name: "as", word: Word::Kind, value: "KIND" };
const FROM_CURSOR: Clause = Clause { name: "from", word: Word::Cursor, value: "CURSOR" };
const AFTER_CURSOR: Clause = Clause { name: "after", word: Word::Cursor, value: "CURSOR" };
const OF_PREFIX: Clause = Clause { name: "prefix", word: Word::Prefix, value: "PREFIX" };
const THEN: Clause = Clause { name: "then", word: Word::Periods, value: "PERIODS" };
const BASE: Clause = Clause { name: "base", word: Word::File, value: "BACKUP" };
const FINISH: Clause = Clause { name: "finish", word: Word::Switch, value: "on|off" };

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        places: &[KEY],
        clauses: &[AT, TX, IN],
        about: "What a key has, and how far around that it holds.",
        examples: &["get user:1", "get user:1 at 2024-06-01 tx 2024-07-01"],
    },
    Command {
        name: "put",
        places: &[KEY, VALUE],
        clauses: &[FROM, TO, FOR, AS, NOTE, IN],
        about: "Give a key a value, up to the next time known for it.",
        examples: &[
            "put user:1 {\"plan\": \"pro\"} from 2024-06-01",
            "put user:1 'on leave' from 2024-08-01 to 2024-09-01 note 'said HR'",
            "put lock:1 ada for 1h30m",
            "put photo:1 /9j/4AAQ as raw",
        ],
    },
    Command {
        name: "end",
        places: &[KEY],
        clauses: &[FROM, NOTE, IN],
        about: "A key has no value from then on, up to the next time known for it.",
        examples: &["end user:1 from 2025-01-01"],
    },
    Command {
        name: "delete",
        places: &[KEY],
        clauses: &[FROM, TO, NOTE, IN],
        about: "A key has no value from then on, whatever was known to come.",
        examples: &["delete user:1", "delete user:1 from 2024-03-01 to 2024-04-01"],
    },
    Command {
        name: "scan",
        places: &[PREFIX],
        clauses: &[AT, TX, AFTER, LIMIT, IN],
        about: "Keys that begin alike, and what they have.",
        examples: &["scan user:", "scan user: at 2024-06-01 limit 10"],
    },
    Command {
        name: "timeline",
        places: &[KEY],
        clauses: &[TX, IN],
        about: "What a key had, has and will have. `.timeline` draws it.",
        examples: &["timeline user:1", "timeline user:1 tx 2024-07-01"],
    },
    Command {
        name: "history",
        places: &[KEY],
        clauses: &[IN],
        about: "All that was ever believed of a key, by whom and why. `.beliefs` draws it.",
        examples: &["history user:1"],
    },
    Command {
        name: "diff",
        places: &[
            place(Word::Prefix, "PREFIX"),
            place(Word::Point, "A"),
            place(Word::Point, "[B]"),
        ],
        clauses: &[IN],
        about: "What differs between two points of time, V, V/T or /T; B is now if left out.",
        examples: &["diff user: 2024-01-01 2024-06-01", "diff user: /2024-01-01"],
    },
    Command {
        name: "changes",
        places: &[place(Word::Tx, "[T1]"), place(Word::Tx, "[T2]")],
        clauses: &[NEXT, LIMIT, IN],
        about: "What was written from T1 on, and before T2.",
        examples: &["changes", "changes 2024-01-01 2024-02-01 limit 20"],
    },
    Command {
        name: "feed",
        places: &[FEED],
        clauses: &[LIMIT, AFTER_CURSOR, FROM_CURSOR, OF_PREFIX, IN],
        about: "What was written and is not acknowledged yet; a new feed begins at the first write.",
        examples: &["feed billing", "feed billing limit 20 prefix user:", "feed audit from newest"],
    },
    Command {
        name: "ack",
        places: &[FEED, place(Word::Cursor, "CURSOR")],
        clauses: &[],
        about: "What is up to the cursor does not come again in that feed.",
        examples: &["ack billing 1718000000000000:0"],
    },
    Command {
        name: "feeds",
        places: &[],
        clauses: &[],
        about: "All feeds, and how far each is acknowledged.",
        examples: &["feeds"],
    },
    Command {
        name: "begin",
        places: &[place(Word::Isolation, "[ISOLATION]"), place(Word::Committed, "[LEVEL]")],
        clauses: &[],
        about: "Open a transaction: what follows becomes visible together, or not at all. It is \
                serializable, snapshot, read committed or read uncommitted.",
        examples: &["begin", "begin snapshot", "begin read committed"],
    },
    Command {
        name: "lock",
        places: &[KEY],
        clauses: &[IN],
        about: "Nobody else writes a key or locks it until the open transaction ends.",
        examples: &["lock user:1"],
    },
    Command {
        name: "commit",
        places: &[],
        clauses: &[NOTE],
        about: "Make it visible and durable.",
        examples: &["commit", "commit note 'as agreed'"],
    },
    Command {
        name: "rollback",
        places: &[],
        clauses: &[TO_NAME],
        about: "Forget what it wrote, or what it wrote since a savepoint.",
        examples: &["rollback", "rollback to before"],
    },
    Command {
        name: "savepoint",
        places: &[place(Word::Name, "NAME")],
        clauses: &[],
        about: "A point of the open transaction to come back to.",
        examples: &["savepoint before"],
    },
    Command {
        name: "release",
        places: &[place(Word::Name, "NAME")],
        clauses: &[],
        about: "Give a savepoint up, and keep what was written since.",
        examples: &["release before"],
    },
    Command {
        name: "note",
        places: &[place(Word::Note, "NOTE")],
        clauses: &[],
        about: "Who and why: goes with the open transaction, or with the next write.",
        examples: &["note 'checked by Ada'", "note {\"who\": \"ada\"}"],
    },
    Command {
        name: "checkpoint",
        places: &[place(Word::Name, "[NAME]")],
        clauses: &[TX],
        about: "Write all that is committed to the file. With a NAME: pin what is known now, or was \
                at T; @NAME asks at it.",
        examples: &["checkpoint", "checkpoint before-merge", "checkpoint june tx 2024-07-01"],
    },
    Command {
        name: "checkpoints",
        places: &[],
        clauses: &[],
        about: "All names, and what they pin.",
        examples: &["checkpoints"],
    },
    Command {
        name: "drop",
        places: &[place(Word::Named, "KIND"), place(Word::NameOf, "NAME")],
        clauses: &[],
        about: "Forget the name of a checkpoint, or a feed.",
        examples: &["drop checkpoint before-merge", "drop feed billing"],
    },
    Command {
        name: "retention",
        places: &[],
        clauses: &[IN],
        about: "How much of its past a partition keeps, and what it still answers.",
        examples: &["retention", "retention in memory"],
    },
    Command {
        name: "retain",
        places: &[place(Word::Length, "LENGTH")],
        clauses: &[THEN, IN],
        about: "Keep what was known in the last LENGTH, or inf, then the last of each period; \
                nothing goes until `retire`.",
        examples: &["retain 90d", "retain 90d then day:365d,month in memory", "retain inf"],
    },
    Command {
        name: "retire",
        places: &[],
        clauses: &[IN],
        about: "Give up what is not kept, in all partitions or in one.",
        examples: &["retire", "retire in memory"],
    },
    Command {
        name: "erase",
        places: &[KEY],
        clauses: &[FINISH, IN],
        about: "Take every version of a key out of every file, for good, and the lines with it out \
                of this history. `finish off` leaves files to a later `finish`.",
        examples: &["erase user:7", "erase user:7 finish off in memory"],
    },
    Command {
        name: "erasures",
        places: &[place(Word::Ticket, "[TICKET]")],
        clauses: &[],
        about: "What was erased when, without saying what; or how far one erasure came.",
        examples: &["erasures", "erasures 1718000000000000:00112233445566778899aabbccddeeff"],
    },
    Command {
        name: "finish",
        places: &[],
        clauses: &[],
        about: "Overwrite what files still hold of all that was erased.",
        examples: &["finish"],
    },
    Command {
        name: "backup",
        places: &[place(Word::File, "FILE")],
        clauses: &[BASE],
        about: "Copy all that is committed to a new file, or what changed since another backup.",
        examples: &["backup monday.llmdb", "backup tuesday.inc base monday.llmdb"],
    },
    Command {
        name: "shrink",
        places: &[],
        clauses: &[],
        about: "Make the file as short as what it holds allows.",
        examples: &["shrink"],
    },
    Command {
        name: "verify",
        places: &[],
        clauses: &[],
        about: "Check every page and every invariant.",
        examples: &["verify"],
    },
    Command {
        name: "stats",
        places: &[place(Word::Deep, "[deep]")],
        clauses: &[],
        about: "Sizes and counts; deep: how each tree is made up, too.",
        examples: &["stats", "stats deep"],
    },
    Command {
        name: "metrics",
        places: &[],
        clauses: &[],
        about: "What was done since the database was opened, and how long it took.",
        examples: &["metrics"],
    },
];

/// Every command of the shell's own, in the order of the help.
pub const DOTS: &[Command] = &[
    dot(".help", &[place(Word::Topic, "[TOPIC]")], "This; or more about a command or a subject."),
    dot(
        ".asof",
        &[place(Word::Valid, "[V]"), place(Word::Tx, "[T]")],
        "Where later reads stand: what was true at V, as known at T. `.asof` alone: now again.",
    ),
    dot(".timeline", &[KEY], "Draw what a key had, has and will have."),
    dot(".beliefs", &[KEY], "Draw how beliefs about a key changed."),
    dot(".tables", &[], "Partitions, and how many keys they have now."),
    dot(".partition", &[place(Word::Partition, "[P]")], "Whose keys later commands mean; or 0."),
    dot(".mode", &[place(Word::Mode, "[MODE]")], "How answers are written."),
    dot(".limit", &[place(Word::Count, "[N]")], "Rows of a scan or feed at most; all if left out."),
    dot(
        ".width",
        &[place(Word::Count, "[N]")],
        "Columns to write for; those there are if left out.",
    ),
    dot(".timer", &[place(Word::Switch, "[on|off]")], "Say how long each command took."),
    dot(".stats", &[], "Sizes and counts, and what was done since the start."),
    dot(".output", &[place(Word::File, "[FILE]")], "Where answers go: a new file, or here again."),
    dot(".read", &[place(Word::File, "FILE")], "Run the commands of a file."),
    dot(".history", &[place(Word::Count, "[N]")], "The last lines of this session."),
    dot(".bail", &[place(Word::Switch, "[on|off]")], "Stop at the first command that fails."),
    dot(".show", &[], "How the shell is set."),
    dot(".quit", &[], "Leave; Ctrl-D does, too. What is not committed is rolled back."),
];

const fn dot(name: &'static str, places: &'static [Place], about: &'static str) -> Command {
    Command { name, places, clauses: &[], about, examples: &[] }
}

/// Of all names.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|command| command.name)
}

/// Of all commands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().chain(DOTS)
}

/// The command of a name, in upper or lower case.
pub fn find(name: &str) -> Option<&'static Command> {
    let name = if name.eq_ignore_ascii_case(".exit") { ".quit" } else { name };
    all().find(|command| command.name.eq_ignore_ascii_case(name))
}

impl Command {
    /// How it is written: `get KEY [at V] [tx T]`.
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for place in self.places {
            usage = usage + " " + place.name;
        }
        for clause in self.clauses {
            usage = usage + &format!(" [{} {}]", clause.name, clause.value);
        }
        usage
    }

    /// What the last of `words` is, of which the first is the name; `None` where none belongs.
    /// Among clauses it may be the name of one.
    pub fn word_at(&self, words: &[&str]) -> Option<At> {
        let last = words.len().checked_sub(1)?;
        let mut at = 1;
        for place in self.places {
            if at == last {
                return Some(At::Place(*place));
            }
            if place.is_optional() && self.clause(words.get(at)?).is_some() {
                break;
            }
            at += 1;
        }
        // From here on names and values of clauses take turns.
        while at < last {
            let clause = self.clause(words[at])?;
            if at + 1 == last {
                return Some(At::Clause(clause));
            }
            at += 2;
        }
        (at == last).then_some(At::ClauseName)
    }

    /// A clause by its name.
    pub fn clause(&self, name: &str) -> Option<Clause> {
        self.clauses.iter().find(|clause| clause.name.eq_ignore_ascii_case(name)).copied()
    }
}

/// What a word of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At a fixed place, or, where that is optional, perhaps the name of a clause.
    Place(Place),
    /// The name of a clause.
    ClauseName,
    /// What follows such a name.
    Clause(Clause),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(find("GET").unwrap().name, "get");
        assert_eq!(find(".exit").unwrap().name, ".quit");
        assert!(find("gets").is_none());
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), COMMANDS.len() + DOTS.len());
    }

    #[test]
    fn optional_places_come_last() {
        for command in all() {
            let optional: Vec<bool> = command.places.iter().map(|p| p.is_optional()).collect();
            assert!(optional.is_sorted(), "{}", command.name);
        }
    }

    #[test]
    fn each_word_is_known_for_what_it_is() {
        let at = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            find(words[0]).unwrap().word_at(&words)
        };
        assert_eq!(at("get "), Some(At::Place(KEY)));
        assert_eq!(at("get k "), Some(At::ClauseName));
        assert_eq!(at("get k a"), Some(At::ClauseName));
        assert_eq!(at("get k at "), Some(At::Clause(AT)));
        assert_eq!(at("get k at 5 in "), Some(At::Clause(IN)));
        assert_eq!(at("get k what "), None);
        assert_eq!(at("scan at "), Some(At::Clause(AT)));
        assert_eq!(at("scan a"), Some(At::Place(PREFIX)));
        assert_eq!(at("rollback x"), Some(At::ClauseName));
        assert_eq!(at("verify x"), Some(At::ClauseName));
        assert_eq!(find("get").unwrap().usage(), "get KEY [at V] [tx T] [in PARTITION]");
    }
}
