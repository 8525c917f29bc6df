//! Savepoints: places in an open transaction to which its writes can be rolled back.

use crate::active::TxnId;
use crate::{Error, Result};

/// A place in one transaction to roll back to. It is good until it is released, rolled back past,
/// or the transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a savepoint is good for nothing but rolling back to"]
pub struct Savepoint {
    tx: TxnId,
    serial: u64,
}

/// The savepoints of one transaction that are good, outermost first; each with the `M` that says
/// how much had been written then.
#[derive(Debug)]
pub struct Savepoints<M> {
    tx: TxnId,
    serial_next: u64,
    good: Vec<(u64, M)>,
}

impl<M> Savepoints<M> {
    /// None yet.
    pub fn new(tx: TxnId) -> Self {
        Savepoints { tx, serial_next: 0, good: Vec::new() }
    }

    /// A savepoint inside of all others.
    pub fn add(&mut self, written: M) -> Savepoint {
        let serial = self.serial_next;
        self.serial_next += 1;
        self.good.push((serial, written));
        Savepoint { tx: self.tx, serial }
    }

    /// Ends the savepoints inside of `to`, which stays good, and answers what had been written.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`] if it is not good any more, or another transaction's.
    pub fn roll_back(&mut self, to: &Savepoint) -> Result<&M> {
        let at = self.find(to)?;
        self.good.truncate(at + 1);
        Ok(&self.good[at].1)
    }

    /// Ends a savepoint and those inside of it.
    ///
    /// # Errors
    /// As [`Savepoints::roll_back`].
    pub fn release(&mut self, savepoint: &Savepoint) -> Result<()> {
        let at = self.find(savepoint)?;
        self.good.truncate(at);
        Ok(())
    }

    /// O(log savepoints).
    fn find(&self, savepoint: &Savepoint) -> Result<usize> {
        let at = self.good.binary_search_by_key(&savepoint.serial, |(serial, _)| *serial);
        at.ok().filter(|_| savepoint.tx == self.tx).ok_or(Error::NoSavepoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_back_keeps_the_savepoint_and_ends_those_inside() {
        let mut points = Savepoints::new(TxnId(7));
        let (a, b, c) = (points.add(1), points.add(2), points.add(3));
        assert_eq!(*points.roll_back(&b).unwrap(), 2);
        assert!(matches!(points.roll_back(&c), Err(Error::NoSavepoint)));
        assert_eq!(*points.roll_back(&b).unwrap(), 2, "again");
        let d = points.add(4);
        points.release(&b).unwrap();
        for gone in [b, c, d] {
            assert!(matches!(points.release(&gone), Err(Error::NoSavepoint)));
        }
        assert_eq!(*points.roll_back(&a).unwrap(), 1);
    }

    #[test]
    fn another_transactions_savepoint_is_none_of_ours() {
        let mut ours = Savepoints::new(TxnId(1));
        let mut theirs = Savepoints::new(TxnId(2));
        let _ = ours.add(());
        assert!(matches!(ours.roll_back(&theirs.add(())), Err(Error::NoSavepoint)));
    }
}
