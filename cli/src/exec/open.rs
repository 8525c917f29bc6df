//! An open transaction and the names of its savepoints.

use crate::error::Result;
use llmdb::{Error, Savepoint, WriteTx};

/// An open transaction and its savepoints by name, outermost first. A name may be used again: it
/// means the newest of that name.
#[derive(Debug)]
pub struct Open<'db> {
    /// The transaction.
    pub tx: WriteTx<'db>,
    savepoints: Vec<(String, Savepoint)>,
}

impl<'db> Open<'db> {
    /// Without savepoints.
    pub fn new(tx: WriteTx<'db>) -> Self {
        Self { tx, savepoints: Vec::new() }
    }

    /// Makes a savepoint inside of all others.
    pub fn savepoint(&mut self, name: String) {
        self.savepoints.push((name, self.tx.savepoint()));
    }

    /// Forgets what was written since; the savepoint stays.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]
    pub fn rollback_to(&mut self, name: &str) -> Result<()> {
        let at = self.find(name)?;
        self.tx.rollback_to(&self.savepoints[at].1)?;
        self.savepoints.truncate(at + 1);
        Ok(())
    }

    /// Gives it up, and those made after it.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]
    pub fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find(name)?;
        self.tx.release(self.savepoints[at].1)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        let at = self.savepoints.iter().rposition(|(known, _)| known == name);
        Ok(at.ok_or(Error::NoSavepoint)?)
    }
}
