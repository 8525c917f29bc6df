//! What a repair finds, and loses.

use crate::{PartitionId, Result, TxTime};
use llmdb_mvcc::{LogSalvage, LogState};
use llmdb_storage::{Salvage, TreeSalvage};
use llmdb_temporal::{Rebuilt, TreeName, head_key, place_of};
use serde::{Serialize, Serializer};

/// The trees that hold the facts: what is in others follows from them.
const FACTS: [&str; 2] = [TreeName::Heads.as_str(), TreeName::Events.as_str()];

/// What a repair finds, and loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// Whether nothing is lost: the new database has all of the old one.
    pub complete: bool,
    /// Whether any meta page can be read. Without one the file is searched, and the log is not used.
    pub meta_readable: bool,
    /// Whether the file was searched for pages that nothing leads to. What they hold was there once.
    pub searched: bool,
    /// What became of the log.
    pub log: RepairedLog,
    /// Pages that are good.
    pub pages: u64,
    /// Pages that something leads to and that are not good.
    pub pages_bad: u64,
    /// Trees of the file.
    pub trees: Vec<RepairedTree>,
    /// Keys of which there may have been more, or more history, than was found: in the order of
    /// partitions and keys.
    pub in_doubt: Vec<UserKeys>,
    /// Entries that are no such entries, or of no tree that is known.
    pub unreadable: u64,
    /// Keys that have any history.
    pub keys: u64,
    /// Writes that were kept.
    pub events: u64,
    /// Those of them whose own entry is lost and that were found otherwise.
    pub events_from_changes: u64,
    /// Writes of which it is known that they were, and whose value is lost. What was believed before
    /// them goes on in their place.
    pub events_lost: u64,
    /// Which: the first thousand.
    pub lost: Vec<LostWrite>,
    /// Absences that may have been an `end` and are a `delete` now.
    pub kinds_guessed: u64,
    /// Notes that were kept.
    pub notes: u64,
    /// Notes that were left out with all writes of their transactions.
    pub notes_lost: u64,
    /// Whether records are lost of what partitions had given up of their past: any may have. They
    /// answer everywhere now, in the gaps from what happens to be there still.
    pub retention_in_doubt: bool,
    /// Whether records of erasures are lost: what they took out may be back.
    pub erasures_in_doubt: bool,
    /// Partitions of which it is lost what was retired: they answer everywhere now, in the gaps from
    /// what happens to be there still.
    pub retention_lost: Vec<u32>,
    /// Erasures that had not been [finished](crate::Db::finish_erasures). If the file was searched, what
    /// they took out may be back: the keys are to be erased again.
    pub erasures_unfinished: u64,
    /// The newest transaction; 0 before the first.
    pub newest_tx: i64,
}

/// What became of the log of a damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairedLog {
    /// `not_needed`, `whole`, `torn` where it ends in commits that were being written, or `damaged`.
    /// Damage to all of the very last commits cannot be told from a crash while they were written: the
    /// report's `newest_tx` says how far it goes.
    pub state: &'static str,
    /// Commits that were taken from it.
    pub commits: u64,
    /// Why there were not more, where it is damaged.
    pub why: Option<String>,
}

/// What could be read of one tree. Keys are those of the [tree](TreeName), as text with escapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairedTree {
    /// Its name.
    pub name: String,
    /// Entries that were read.
    pub entries: u64,
    /// Those of them that were found by searching.
    pub entries_searched: u64,
    /// Pages that are not good.
    pub pages_bad: u64,
    /// Where keys may be missing.
    pub lost: Vec<LostKeys>,
    /// Values that are lost, and not their keys.
    pub values_lost: u64,
    #[serde(skip)]
    salvage: TreeSalvage,
}

/// A range of keys in which some may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostKeys {
    /// The first.
    pub from: String,
    /// Just past the last; none for the end of the tree.
    pub to: Option<String>,
}

/// Keys that lie between others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UserKeys {
    /// The first; none for the beginning of the first partition.
    pub from: Option<UserKey>,
    /// The last, with all keys that it begins; none for the end of the last partition.
    pub to: Option<UserKey>,
}

/// A key in its partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UserKey {
    /// The partition.
    pub partition: u32,
    /// The key.
    #[serde(serialize_with = "escaped")]
    pub key: Vec<u8>,
}

impl UserKeys {
    /// What is lost of the trees that hold the facts; neighbours become one.
    fn in_doubt(trees: &[RepairedTree]) -> Vec<UserKeys> {
        let at = |bound: &[u8]| {
            place_of(bound).map(|(partition, key)| UserKey { partition: partition.0, key })
        };
        let facts = trees.iter().filter(|tree| FACTS.contains(&tree.name.as_str()));
        let lost = facts.clone().flat_map(|tree| &tree.salvage.lost);
        let ranges = lost
            .map(|range| UserKeys { from: at(&range.from), to: range.to.as_deref().and_then(at) });
        // A key whose value cannot be read; where there are too many to list them, all.
        let values = facts.flat_map(|tree| {
            let listed = &tree.salvage.values_lost_keys;
            let all = listed.len() as u64 == tree.values_lost;
            let rest = (!all).then_some(UserKeys { from: None, to: None });
            listed.iter().map(|key| UserKeys { from: at(key), to: at(key) }).chain(rest)
        });
        let mut all: Vec<UserKeys> = ranges.chain(values).collect();
        all.sort_by(|a, b| a.from.cmp(&b.from));
        all.dedup_by(|next, last| {
            let meet = last.to.is_none() || next.from <= last.to;
            if meet && last.to.is_some() && (next.to.is_none() || next.to > last.to) {
                last.to = next.to.take();
            }
            meet
        });
        all
    }
}

/// A write whose value is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostWrite {
    /// Its transaction.
    pub tx: i64,
    /// Its place in it.
    pub op: u32,
    /// The partition.
    pub partition: u32,
    /// The key.
    #[serde(serialize_with = "escaped")]
    pub key: Vec<u8>,
}

fn escaped<S: Serializer>(key: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&key.escape_ascii())
}

impl RepairedTree {
    fn new(salvage: &TreeSalvage) -> Self {
        let text = |key: &Vec<u8>| key.escape_ascii().to_string();
        let lost = salvage.lost.iter();
        RepairedTree {
            name: salvage.name.clone(),
            entries: salvage.entries,
            entries_searched: salvage.entries_searched,
            pages_bad: salvage.pages_bad,
            lost: lost
                .map(|range| LostKeys { from: text(&range.from), to: range.to.as_ref().map(text) })
                .collect(),
            values_lost: salvage.values_lost,
            salvage: salvage.clone(),
        }
    }
}

impl RepairReport {
    pub(super) fn new(salvage: &Salvage, log: LogSalvage, rebuilt: Rebuilt) -> Self {
        let found = salvage.report();
        let lost = rebuilt.lost.into_iter().map(|lost| LostWrite {
            tx: lost.event.tx.0,
            op: lost.event.op,
            partition: lost.partition.0,
            key: lost.key,
        });
        let (state, why) = match log.state {
            LogState::NotNeeded => ("not_needed", None),
            LogState::Whole => ("whole", None),
            LogState::Torn => ("torn", None),
            LogState::Damaged(why) => ("damaged", Some(why)),
            _ => ("damaged", None),
        };
        let damaged = |name: TreeName| {
            let tree = found.trees.iter().find(|tree| tree.name == name.as_str());
            tree.is_none_or(|tree| !tree.is_whole()) && !found.trees.is_empty()
        };
        let newest = rebuilt.newest.map_or(0, |TxTime(tx)| tx);
        let report = RepairReport {
            complete: false,
            meta_readable: found.meta_readable,
            searched: found.searched,
            log: RepairedLog { state, commits: log.commits, why },
            pages: found.pages,
            pages_bad: found.pages_bad,
            trees: found.trees.iter().map(RepairedTree::new).collect(),
            in_doubt: Vec::new(),
            unreadable: rebuilt.unreadable + found.unplaced,
            keys: rebuilt.keys,
            events: rebuilt.events,
            events_from_changes: rebuilt.events_from_changes,
            events_lost: rebuilt.events_lost,
            lost: lost.collect(),
            kinds_guessed: rebuilt.kinds_guessed,
            notes: rebuilt.notes,
            notes_lost: rebuilt.notes_lost,
            retention_lost: rebuilt.retention_lost.iter().map(|partition| partition.0).collect(),
            retention_in_doubt: damaged(TreeName::Kept),
            erasures_in_doubt: damaged(TreeName::Erased),
            erasures_unfinished: rebuilt.erasures_unfinished,
            newest_tx: log.mark.max(newest),
        };
        let losses =
            [report.unreadable, report.events_lost, report.kinds_guessed, report.notes_lost];
        // The indexes that follow from the events lose nothing.
        let derived = [TreeName::Live, TreeName::Past, TreeName::Valid].map(TreeName::as_str);
        let whole =
            |tree: &RepairedTree| tree.salvage.is_whole() || derived.contains(&tree.name.as_str());
        let complete = report.meta_readable
            && found.catalog_whole
            && report.log.state != "damaged"
            && losses == [0; 4]
            && report.retention_lost.is_empty()
            && report.trees.iter().all(whole);
        RepairReport { complete, in_doubt: UserKeys::in_doubt(&report.trees), ..report }
    }

    /// Whether anything of a key may be lost, notes aside. Where this says no, its history is what it
    /// was.
    pub fn may_concern(&self, partition: PartitionId, key: &[u8]) -> bool {
        if !self.meta_readable || self.log.state == "damaged" {
            return true;
        }
        let Ok(head) = head_key(partition, key) else { return false };
        let trees = self.trees.iter().filter(|tree| FACTS.contains(&tree.name.as_str()));
        let listed = self.lost.len() as u64 == self.events_lost;
        let known = FACTS.iter().all(|name| self.trees.iter().any(|tree| tree.name == *name));
        let in_tree = |tree: &RepairedTree| {
            let values = &tree.salvage.values_lost_keys;
            tree.salvage.lost.iter().any(|range| range.touches(&head))
                || values.iter().any(|lost| lost.starts_with(&head))
                || values.len() as u64 != tree.values_lost
        };
        let is_lost = |lost: &LostWrite| lost.partition == partition.0 && lost.key == key;
        self.unreadable > 0
            || self.retention_in_doubt
            || self.erasures_in_doubt && self.searched
            || !known
            || !listed
            || self.retention_lost.contains(&partition.0)
            || self.lost.iter().any(is_lost)
            || trees.into_iter().any(in_tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llmdb_storage::LostRange;

    #[test]
    fn keys_in_doubt_are_those_of_all_lost_ranges_in_order() {
        let key = |key: &str| head_key(PartitionId(3), key.as_bytes()).unwrap();
        let range = |from: &[u8], to: &[u8]| LostRange { from: from.into(), to: Some(to.into()) };
        let tree = |name: TreeName, lost| {
            let mut salvage = TreeSalvage::default();
            (salvage.name, salvage.lost) = (name.as_str().to_owned(), lost);
            RepairedTree::new(&salvage)
        };
        let lost_events = vec![range(&[key("c"), vec![7; 12]].concat(), &key("e"))];
        let all = [
            tree(
                TreeName::Heads,
                vec![range(b"", b"\0\0\0\x01a"), range(&key("b"), &key("c")[..5])],
            ),
            tree(TreeName::Live, vec![range(&key("x"), &key("z"))]),
            tree(TreeName::Events, lost_events),
        ];
        let at = |partition, key: &str| Some(UserKey { partition, key: key.into() });
        let expected = [
            UserKeys { from: None, to: at(1, "a") },
            UserKeys { from: at(3, "b"), to: at(3, "e") },
        ];
        assert_eq!(UserKeys::in_doubt(&all), expected);
        let end = LostRange { from: key("d\0d"), to: None };
        let expected = [UserKeys { from: at(3, "d\0d"), to: None }];
        assert_eq!(UserKeys::in_doubt(&[tree(TreeName::Heads, vec![end])]), expected);
    }
}
