//! Signals that ask the process to end.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Whether SIGINT or SIGTERM came. The work in hand is finished, and nothing new is begun.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    came: Arc<AtomicBool>,
}

impl Stop {
    /// From now on the two signals are caught; `wake` runs after each, on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Signals`]
    #[cfg(unix)]
    pub fn on_signals(wake: impl Fn() + Send + 'static) -> Result<Self> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
            .map_err(|cause| Error::Signals { cause })?;
        let stop = Self::default();
        let came = stop.came.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                // Pairs with the Acquire in `came`.
                came.store(true, Ordering::Release);
                wake();
            }
        });
        Ok(stop)
    }

    /// From now on the two signals are caught; `wake` runs after the first, on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Signals`]
    #[cfg(not(unix))]
    pub fn on_signals(wake: impl Fn() + Send + 'static) -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, stop.came.clone())
                .map_err(|cause| Error::Signals { cause })?;
        }
        // Nothing to wait on here but the flag.
        let flag = stop.clone();
        thread::spawn(move || {
            while !flag.came() {
                thread::sleep(std::time::Duration::from_millis(50));
            }
            wake();
        });
        Ok(stop)
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        // Pairs with the Release of the thread that waits for signals.
        self.came.load(Ordering::Acquire)
    }

    /// Refuses to go on once one came.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub fn check(&self) -> Result<()> {
        if self.came() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
