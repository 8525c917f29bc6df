//! A write transaction that is run again when it conflicts.
//!
//! The first attempts are optimistic. From the third on the transaction locks the keys that it read
//! and wrote the time before, in their order, before it runs: the locks are given out first come
//! first served, so that of those who contend for a key each has its turn, and none loses it to one
//! that came later. What locks do not cover, ranges and keys that it meets for the first time, it
//! conflicts on as before, after pauses that grow.

use crate::{Committed, Db, Error, Result, WriteTx};
use llmdb_mvcc::Backoff;
use std::collections::BTreeSet;

/// How many times over the pauses between attempts start small again. Of transactions that keep
/// conflicting one succeeds each time, so that many in a row failing is a matter of luck.
const ROUNDS_MAX: usize = 16;

/// How many attempts are made without locks.
const OPTIMISTIC: u32 = 2;

/// What the attempts so far came to.
#[derive(Default)]
struct Used {
    attempts: u32,
    /// What stands for the keys that they read and wrote.
    heads: BTreeSet<Vec<u8>>,
}

impl Db {
    /// Runs `f` in a transaction and commits it; runs it again whenever it conflicts with one that
    /// came first, or was chosen to end a deadlock. From the third time on the keys that it used
    /// before are locked for it ([`WriteTx::lock_for_update`]), so that everybody has a turn
    /// however many contend. So `f` may run several times: it should have no effects
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
    /// That of `f`; those of [`WriteTx::commit`], [`Error::Conflict`] after very many
    /// attempts; [`Error::LockTimeout`].
    pub fn write<T>(
        &self,
        mut f: impl FnMut(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<Committed<T>> {
        let (mut backoff, mut rounds) = (Backoff::new(), 1);
        let mut used = Used::default();
        loop {
            used.attempts += 1;
            let conflict = match self.attempt(&mut f, &mut used) {
                Err(
                    conflict @ (Error::Conflict { .. }
                    | Error::Deadlock { .. }
                    | Error::SnapshotTooOld),
                ) => conflict,
                done => return done,
            };
            // Once keys are locked, the queue of the locks is the pause.
            if used.attempts != OPTIMISTIC && !backoff.pause() {
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
        used: &mut Used,
    ) -> Result<Committed<T>> {
        let mut tx = self.begin()?;
        // In the order of the keys: of those who lock so none waits for another in a circle.
        for head in &used.heads {
            tx.lock_head(head)?;
        }
        let value = f(&mut tx)?;
        if used.attempts >= OPTIMISTIC {
            used.heads.extend(tx.heads()?);
        }
        Ok(Committed { value, tx: tx.commit()? })
    }
}
