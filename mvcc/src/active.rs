//! The write transactions that are open.

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

/// The write transactions that are open, by the newest commit that they see.
#[derive(Debug, Default)]
pub(crate) struct Active {
    by_seq: BTreeMap<u64, u64>,
    last: u64,
}

impl Active {
    /// A transaction begins whose snapshot, if it keeps one, sees commits up to `seq`.
    pub(crate) fn enter(&mut self, seq: Option<u64>) -> TxnId {
        if let Some(seq) = seq {
            *self.by_seq.entry(seq).or_default() += 1;
        }
        self.last += 1;
        TxnId(self.last)
    }

    /// The snapshot of a transaction, of commits up to `from`, is replaced by one up to `to`.
    pub(crate) fn move_on(&mut self, from: Option<u64>, to: u64) {
        self.leave(from);
        *self.by_seq.entry(to).or_default() += 1;
    }

    /// It ends.
    pub(crate) fn leave(&mut self, seq: Option<u64>) {
        let Some(seq) = seq else { return };
        let count = self.by_seq.get_mut(&seq).expect("a transaction leaves once");
        *count -= 1;
        if *count == 0 {
            self.by_seq.remove(&seq);
        }
    }

    pub(crate) fn oldest(&self) -> Option<u64> {
        self.by_seq.first_key_value().map(|(seq, _)| *seq)
    }
}
