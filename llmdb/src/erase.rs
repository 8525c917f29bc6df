//! Erasing for good.
//!
//! ```text
//!   erase            one transaction: the key is in no tree any more, a record says that something
//!                    was erased
//!   finish_erasures  what files still hold of it, in older states, free pages, separators and the
//!                    log, is overwritten; then the record says so
//! ```

use crate::core::Core;
use crate::{AsKey, Db, Error, PartitionId, Result, TxTime, op};
use llmdb_mvcc::{Intent, Isolation, Wiped, Writes};
use llmdb_storage::Reader;
use llmdb_temporal::Erased;
use std::fmt;
use std::str::FromStr;

/// Stands for an erasure, and says nothing of what was erased. As text it is `tx:id`, in decimal
/// and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErasureTicket {
    /// The transaction that erased.
    pub tx: TxTime,
    /// A random number.
    pub id: [u8; 16],
}

/// The record of an erasure: what is filtered by where copies are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its ticket.
    pub ticket: ErasureTicket,
    /// Writes that were erased.
    pub count: u64,
    /// Whether no file of the database holds anything of it any more.
    pub complete: bool,
}

/// How far an erasure, or all of them, came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureState {
    /// No file of the database holds anything of it any more.
    Complete,
    /// Files may, or do.
    Pending {
        /// On account of these.
        held_by: Vec<HeldBy>,
    },
}

/// What may still hold bytes that were erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HeldBy {
    /// Files: nobody has [finished](Db::finish_erasures) since.
    Files,
    /// A snapshot that began before, and looks at them: a read, a scan, a transaction.
    Snapshot,
    /// Writers, who took pages faster than they could be overwritten: try again.
    Writers,
}

/// One key on its way out of the trees.
struct Erase<'e> {
    core: &'e Core,
    partition: PartitionId,
    user_key: &'e [u8],
    id: [u8; 16],
    erased: Option<Erased>,
}

impl Intent for Erase<'_> {
    type Error = Error;

    fn resolve(&mut self, last_mark: i64, view: &Reader<'_>, out: &mut Writes) -> Result<i64> {
        let out = out.batch();
        let tx = self.core.clock.next(TxTime(last_mark))?;
        let (key, trees) = (self.user_key, &self.core.trees);
        let erased = llmdb_temporal::erase(view, trees, self.partition, key, tx, self.id, out)?;
        self.erased = Some(erased);
        Ok(tx.0)
    }
}

impl Db {
    /// Erases a key: every version of it, on both axes of time, as if it had never been written.
    /// What stays is a record that something was erased, at which time, and how many writes; no
    /// key, no hash. Notes go with the last write of their transaction; one that is shared with
    /// other keys stays. The feed of changes does not list it: it has no key to name.
    ///
    /// The bytes are still in files until [`finish_erasures`](Db::finish_erasures) has overwritten
    /// them; the ticket asks how far that is. A point of valid time in the key is of no account.
    ///
    /// ```
    /// # use llmdb::{ErasureState, Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// db.put("user:7", b"Ada Lovelace")?;
    /// let ticket = db.erase("user:7")?;
    /// assert!(db.history("user:7")?.is_empty());
    /// db.finish_erasures()?;
    /// assert_eq!(db.erasure(&ticket)?, ErasureState::Complete);
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::EmptyKey`]; [`Error::ReservedPartition`]; those of a write.
    pub fn erase(&self, key: impl AsKey) -> Result<ErasureTicket> {
        let (key, core) = (key.as_key(), self.core());
        let partition = op::partition(key)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| Error::Unsupported {
            what: "the system's random generator failed".to_owned(),
        })?;
        let user_key = key.user_key;
        let mut erase = Erase { core, partition, user_key, id, erased: None };
        let tx = core.engine.begin(Isolation::Serializable)?;
        tx.commit_with(core.durability, &mut erase)?;
        let erased = erase.erased.expect("a commit resolves what it writes");
        Ok(ErasureTicket { tx: erased.tx, id })
    }

    /// All erasures there were, oldest first: with their ids and times, for backups and replicas
    /// to filter by.
    ///
    /// # Errors
    /// Damage.
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        let (read, core) = (self.read(), self.core());
        let erasures = llmdb_temporal::erasures(read.ask()?.trees().0, &core.trees)?;
        Ok(erasures.into_iter().map(Erasure::from).collect())
    }

    /// How far an erasure came.
    ///
    /// # Errors
    /// [`Error::UnknownErasure`]; damage.
    pub fn erasure(&self, ticket: &ErasureTicket) -> Result<ErasureState> {
        let erasures = self.erasures()?;
        let erasure = erasures.iter().find(|erasure| erasure.ticket == *ticket);
        let erasure = erasure.ok_or(Error::UnknownErasure)?;
        if erasure.complete {
            return Ok(ErasureState::Complete);
        }
        let mut held_by = vec![HeldBy::Files];
        if self.core().engine.oldest_mark() < ticket.tx.0 {
            held_by.push(HeldBy::Snapshot);
        }
        Ok(ErasureState::Pending { held_by })
    }

    /// Overwrites what files still hold of everything that was erased by now: reads all trees and
    /// all free space, and makes checkpoints. Readers and writers go on, as long as there is memory
    /// for what is written. Stopped anywhere, it is begun anew the next time.
    ///
    /// # Errors
    /// Those of a checkpoint. What was done stays done.
    pub fn finish_erasures(&self) -> Result<ErasureState> {
        let core = self.core();
        let open = self.erasures()?.into_iter().filter(|erasure| !erasure.complete);
        let txs: Vec<TxTime> = open.map(|erasure| erasure.ticket.tx).collect();
        if txs.is_empty() {
            return Ok(ErasureState::Complete);
        }
        match core.engine.wipe()? {
            Wiped::Done => {}
            Wiped::HeldBySnapshot => {
                return Ok(ErasureState::Pending { held_by: vec![HeldBy::Snapshot] });
            }
            Wiped::HeldByWriters => {
                return Ok(ErasureState::Pending { held_by: vec![HeldBy::Writers] });
            }
        }
        core.commit_upkeep(|_, view, out| {
            Ok(llmdb_temporal::complete_erasures(view, &core.trees, &txs, out)?)
        })?;
        Ok(ErasureState::Complete)
    }
}

impl From<Erased> for Erasure {
    fn from(erased: Erased) -> Self {
        let Erased { tx, id, count, complete } = erased;
        Self { ticket: ErasureTicket { tx, id }, count, complete }
    }
}

impl HeldBy {
    /// Its name: `files`, `snapshot` or `writers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Snapshot => "snapshot",
            Self::Writers => "writers",
        }
    }
}

impl fmt::Display for ErasureTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.tx.0, u128::from_be_bytes(self.id))
    }
}

impl FromStr for ErasureTicket {
    type Err = Error;

    /// # Errors
    /// [`Error::BadTicket`]
    fn from_str(text: &str) -> Result<Self> {
        let (tx, id) = text.split_once(':').ok_or(Error::BadTicket)?;
        let tx = tx.parse().map_err(|_| Error::BadTicket)?;
        if id.len() != 32 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::BadTicket);
        }
        let id = u128::from_str_radix(id, 16).map_err(|_| Error::BadTicket)?;
        Ok(Self { tx: TxTime(tx), id: id.to_be_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use llmdb_vfs::MemVfs;

    #[test]
    fn a_ticket_reads_back_from_its_text() {
        let ticket = ErasureTicket { tx: TxTime(-7), id: [0xA5; 16] };
        assert_eq!(ticket.to_string(), format!("-7:{}", "a5".repeat(16)));
        assert_eq!(ticket.to_string().parse::<ErasureTicket>().unwrap(), ticket);
        for text in ["", "7", "7:", "7:a5", "x:00", &format!("7:+{}", "0".repeat(31))] {
            assert!(matches!(text.parse::<ErasureTicket>(), Err(Error::BadTicket)), "{text}");
        }
    }

    #[test]
    fn what_is_erased_while_others_are_finished_stays_unfinished() {
        let db = Options::new().vfs(std::sync::Arc::new(MemVfs::new())).open("/db").unwrap();
        let tickets = ["a", "b"].map(|key| {
            db.put(key, b"v").unwrap();
            db.erase(key).unwrap()
        });
        let core = db.core();
        core.commit_upkeep(|_, view, out| {
            let txs = [tickets[0].tx];
            Ok(llmdb_temporal::complete_erasures(view, &core.trees, &txs, out)?)
        })
        .unwrap();
        assert_eq!(db.erasure(&tickets[0]).unwrap(), ErasureState::Complete);
        assert_ne!(db.erasure(&tickets[1]).unwrap(), ErasureState::Complete);
    }
}
