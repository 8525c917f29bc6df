//! Signals that ask the process to end.
//!
//! The first lets the work in hand finish, and then the database is closed cleanly. The second
//! ends the process at once, as it would without this: nothing committed is lost by that, the next
//! open recovers from the log.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

/// Reading from a terminal that is gone may never return: whoever has not ended by himself soon after is
/// ended. Nothing committed is lost by that, the next open recovers from the log.
#[cfg(unix)]
fn end_without_terminal() {
    thread::sleep(std::time::Duration::from_secs(2));
    std::process::exit(128 + signal_hook::consts::SIGHUP);
}

/// Waits until nobody is at the other end of standard input; `false` where that cannot be known. It
/// takes nothing of what is typed: only a hang-up is asked for, which is always reported.
#[cfg(unix)]
fn wait_for_hangup() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = std::io::stdin();
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().contains(PollFlags::HUP) => return true,
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
    }
}

/// Whether a signal came. The work in hand is finished, and nothing new is begun.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// The number of the signal; 0 for none.
    came: Arc<AtomicI32>,
}

impl Stop {
    /// From now on SIGINT and SIGTERM are caught; `wake` runs after the first, on a thread of its
    /// own.
    ///
    /// # Errors
    /// [`Error::Signals`]
    pub fn on_signals(wake: impl Fn() + Send + 'static) -> Result<Self> {
        Self::on(&[SIGINT, SIGTERM], move |_| wake())
    }

    /// The same, also for the end of the terminal: by SIGHUP, or, as not everybody on a terminal gets
    /// that, when nobody is at the other end of standard input any more.
    ///
    /// # Errors
    /// [`Error::Signals`]
    #[cfg(unix)]
    pub fn on_signals_of_terminal(wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        use signal_hook::consts::SIGHUP;
        let wake = Arc::new(wake);
        let woken = wake.clone();
        let stop = Self::on(&[SIGINT, SIGTERM, SIGHUP], move |signal| {
            woken();
            if signal == SIGHUP {
                thread::spawn(end_without_terminal);
            }
        })?;
        let came = stop.came.clone();
        thread::spawn(move || {
            if wait_for_hangup() {
                // Pairs with the Acquire in `signal`. One that came before is as good.
                let _ = came.compare_exchange(0, SIGHUP, Ordering::AcqRel, Ordering::Acquire);
                wake();
                end_without_terminal();
            }
        });
        Ok(stop)
    }

    /// The same as [`Stop::on_signals`].
    ///
    /// # Errors
    /// [`Error::Signals`]
    #[cfg(not(unix))]
    pub fn on_signals_of_terminal(wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        Self::on_signals(wake)
    }

    #[cfg(unix)]
    fn on(signals: &[i32], wake: impl Fn(i32) + Send + 'static) -> Result<Self> {
        let mut signals = signal_hook::iterator::Signals::new(signals)
            .map_err(|cause| Error::Signals { cause })?;
        let stop = Self::default();
        let came = stop.came.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                // Pairs with the Acquire in `signal`.
                if came.swap(signal, Ordering::AcqRel) != 0 {
                    // Does not return for signals that end a process; for others nothing is lost.
                    drop(signal_hook::low_level::emulate_default_handler(signal));
                }
                wake(signal);
            }
        });
        Ok(stop)
    }

    #[cfg(not(unix))]
    fn on(signals: &[i32], wake: impl Fn(i32) + Send + 'static) -> Result<Self> {
        use std::sync::atomic::AtomicBool;
        let stop = Self::default();
        let mut flags = Vec::new();
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // Registered first, it runs first: the flag of an earlier signal ends the process.
            signal_hook::flag::register_conditional_default(signal, flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .map_err(|cause| Error::Signals { cause })?;
            flags.push((signal, flag));
        }
        let came = stop.came.clone();
        // Nothing to wait on here but the flags.
        thread::spawn(move || {
            loop {
                for (signal, flag) in &flags {
                    if flag.load(Ordering::Acquire) {
                        came.store(*signal, Ordering::Release);
                        return wake(*signal);
                    }
                }
                thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        Ok(stop)
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        self.signal().is_some()
    }

    /// Which one came.
    pub fn signal(&self) -> Option<i32> {
        // Pairs with the swap of the thread that waits for signals.
        let signal = self.came.load(Ordering::Acquire);
        (signal != 0).then_some(signal)
    }

    /// Refuses to go on once one came.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub fn check(&self) -> Result<()> {
        match self.signal() {
            Some(signal) => Err(Error::Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// Forgets a SIGINT: it cancelled what was in hand, and that is over. Others stay.
    pub fn forget_interrupt(&self) {
        // Whether there was one does not matter.
        let _ = self.came.compare_exchange(SIGINT, 0, Ordering::AcqRel, Ordering::Acquire);
    }
}
