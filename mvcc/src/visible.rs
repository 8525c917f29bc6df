//! Waiting for commits to become visible, and who syncs meanwhile.
//!
//! Of the threads whose commits wait, one at a time leads: it syncs the log for all that is applied
//! and publishes it. The others sleep; whoever is not served by the round that ends elects the
//! next leader among themselves. A lone writer always leads its own commit and hands over to
//! nobody.
//!
//! Whoever only watches sleeps apart from them: nobody pays for watchers while there are none.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// Who waits for which commits.
#[derive(Debug, Default)]
pub(crate) struct Visible {
    state: Mutex<Progress>,
    changed: Condvar,
    /// What watchers sleep on.
    news: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    /// The newest published commit.
    seq: u64,
    led: bool,
    /// Nothing becomes visible any more: writing was stopped.
    over: bool,
    /// How many sleep on `news`.
    watchers: u32,
}

/// The right to sync; ends when dropped.
#[derive(Debug)]
pub(crate) struct Leading<'v>(&'v Visible);

impl Visible {
    /// Sleeps until commit `seq` is visible or writing has stopped (`None`), or until it is this
    /// thread's turn to lead.
    pub(crate) fn wait_or_lead(&self, seq: u64) -> Option<Leading<'_>> {
        let mut state = self.state.lock();
        loop {
            if state.seq >= seq || state.over {
                return None;
            }
            if !state.led {
                state.led = true;
                return Some(Leading(self));
            }
            self.changed.wait(&mut state);
        }
    }

    /// Sleeps until a commit behind `seq` is visible, and answers whether one is; gives up when
    /// writing has stopped, or at `deadline`.
    pub(crate) fn wait_beyond(&self, seq: u64, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        state.watchers += 1;
        while state.seq <= seq && !state.over {
            match deadline {
                None => self.news.wait(&mut state),
                Some(deadline) => {
                    if self.news.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.watchers -= 1;
        state.seq > seq
    }

    /// Whether commit `seq` is visible.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.state.lock().seq >= seq
    }

    /// Whether writing has stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// Commits up to `seq` are visible.
    pub(crate) fn announce(&self, seq: u64) {
        let mut state = self.state.lock();
        state.seq = state.seq.max(seq);
        if state.led {
            self.changed.notify_all();
        }
        if state.watchers > 0 {
            self.news.notify_all();
        }
    }

    /// Nothing becomes visible any more.
    pub(crate) fn give_up(&self) {
        self.state.lock().over = true;
        self.changed.notify_all();
        self.news.notify_all();
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().led = false;
        self.0.changed.notify_all();
    }
}
