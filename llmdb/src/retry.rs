//! A write transaction that is run again when it conflicts.

use crate::{Committed, Db, Error, Result, WriteTx};
use llmdb_mvcc::Backoff;

/// How many times over the pauses between attempts start small again. Of transactions that keep
/// conflicting one succeeds each time, so that many in a row failing is a matter of luck.
const ROUNDS_MAX: usize = 16;

impl Db {
    /// Runs `f` in a transaction and commits it; runs it again, after a pause, whenever it
    /// conflicts with one that came first. So `f` may run several times: it should have no effects
    /// beside the transaction. An error of `f` rolls back.
    ///
    /// ```
    /// # use llmdb::{Options, Value, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// let visits = db.write(|tx| {
    ///     let visits = tx.get_as::<u64>("visits")?.unwrap_or(0) + 1;
    ///     tx.put("visits", Value::of(&visits)?)?;
    ///     Ok(visits)
    /// })?;
    /// assert_eq!(visits.value, 1);
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of `f`; those of [`WriteTx::commit`], [`Error::Conflict`] after very many attempts.
    pub fn write<T>(
        &self,
        mut f: impl FnMut(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<Committed<T>> {
        let (mut backoff, mut rounds) = (Backoff::new(), 1);
        loop {
            let conflict = match self.attempt(&mut f) {
                Err(conflict @ Error::Conflict { .. }) => conflict,
                done => return done,
            };
            if !backoff.pause() {
                if rounds == ROUNDS_MAX {
                    return Err(conflict);
                }
                (backoff, rounds) = (Backoff::new(), rounds + 1);
            }
            self.core().asked.retries.add_one();
        }
    }

    fn attempt<T>(
        &self,
        f: &mut impl FnMut(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<Committed<T>> {
        let mut tx = self.begin()?;
        let value = f(&mut tx)?;
        Ok(Committed { value, tx: tx.commit()? })
    }
}
