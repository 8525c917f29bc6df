//! The write transactions that are open, and how many there may be.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;

/// Names a write transaction among all since the database was opened. Later ones have greater
/// numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TxnId(pub u64);

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who began a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BegunBy {
    /// A user: it counts against the limit.
    User,
    /// The database, for its own records: users do not keep it from its upkeep.
    Database,
}

/// The write transactions that are open, by the newest commit that they see.
#[derive(Debug, Default)]
pub(crate) struct Active {
    by_seq: BTreeMap<u64, u64>,
    users: usize,
    last: u64,
}

impl Active {
    /// Whether another transaction of a user may begin, where `max` are allowed at a time.
    pub(crate) fn check(&self, max: Option<usize>) -> Result<()> {
        match max {
            Some(max) if self.users >= max => Err(Error::TooManyTransactions { max }),
            _ => Ok(()),
        }
    }

    /// A transaction begins whose snapshot, if it keeps one, sees commits up to `seq`.
    pub(crate) fn enter(&mut self, by: BegunBy, seq: Option<u64>) -> TxnId {
        self.users += usize::from(by == BegunBy::User);
        if let Some(seq) = seq {
            self.see(seq);
        }
        self.last += 1;
        TxnId(self.last)
    }

    fn see(&mut self, seq: u64) {
        *self.by_seq.entry(seq).or_default() += 1;
    }

    /// The snapshot of a transaction, of commits up to `from`, is replaced by one up to `to`.
    pub(crate) fn move_on(&mut self, from: Option<u64>, to: u64) {
        self.look_away(from);
        self.see(to);
    }

    /// It ends.
    pub(crate) fn leave(&mut self, by: BegunBy, seq: Option<u64>) {
        self.users -= usize::from(by == BegunBy::User);
        self.look_away(seq);
    }

    fn look_away(&mut self, seq: Option<u64>) {
        let Some(seq) = seq else { return };
        let count = self.by_seq.get_mut(&seq).expect("a transaction leaves once");
        *count -= 1;
        if *count == 0 {
            self.by_seq.remove(&seq);
        }
    }

    /// How many of users are open.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    /// The oldest commit that is the newest to any of them.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.by_seq.first_key_value().map(|(seq, _)| *seq)
    }
}
