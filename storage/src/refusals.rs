//! Memory that is refused on purpose, in builds with the feature `faults`: for tests of what happens
//! then.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

thread_local! {
    /// What budgets follow that this thread makes.
    static NEXT: RefCell<Option<Refusals>> = const { RefCell::new(None) };
}

/// Which takes from budgets are refused. Clones are handles to the same plan.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Plan>);

/// Counts are relaxed: they guard nothing.
#[derive(Debug, Default)]
struct Plan {
    /// The take that is refused, counted from now on; zero once it was.
    left: AtomicU64,
    is_planned: AtomicBool,
    for_ever: AtomicBool,
    refused: AtomicU64,
}

impl Refusals {
    /// Budgets that this thread makes while `work` runs follow these refusals, for as long as they
    /// live.
    pub fn attend<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Option<Refusals>);
        impl Drop for Before {
            fn drop(&mut self) {
                NEXT.set(self.0.take());
            }
        }
        let _before = Before(NEXT.replace(Some(self.clone())));
        work()
    }

    /// Refuses the `n`th take from now on: 1 is the next.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn refuse_nth(&self, n: u64) {
        self.plan(n, false);
    }

    /// Refuses the `n`th take from now on, and every one after it.
    ///
    /// # Panics
    /// As [`Refusals::refuse_nth`].
    pub fn refuse_from(&self, n: u64) {
        self.plan(n, true);
    }

    fn plan(&self, n: u64, for_ever: bool) {
        assert!(n > 0, "takes count from 1");
        self.0.left.store(n, Relaxed);
        self.0.for_ever.store(for_ever, Relaxed);
        self.0.is_planned.store(true, Relaxed);
    }

    /// Nothing is refused from now on.
    pub fn end(&self) {
        self.0.is_planned.store(false, Relaxed);
    }

    /// How many takes were refused.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// The plan of budgets that this thread makes.
    pub(crate) fn of_thread() -> Option<Refusals> {
        NEXT.with_borrow(Clone::clone)
    }

    /// Counts a take; whether it is refused.
    pub(crate) fn is_refused(&self) -> bool {
        let Plan { left, is_planned, for_ever, refused } = &*self.0;
        if !is_planned.load(Relaxed) {
            return false;
        }
        let before = left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(1)));
        let due = match before {
            Ok(1) => true,
            Ok(0) => for_ever.load(Relaxed),
            _ => false,
        };
        refused.fetch_add(u64::from(due), Relaxed);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, MemoryUse};

    #[test]
    fn the_nth_take_is_refused_once_or_from_then_on() {
        let refusals = Refusals::default();
        let budget = refusals.attend(|| Budget::new(1 << 20));
        let other = Budget::new(1 << 20);
        let takes = |budget: &Budget| [(); 4].map(|()| budget.try_take(MemoryUse::Log, 1));
        assert_eq!(takes(&budget), [true; 4]);
        refusals.refuse_nth(2);
        assert_eq!(takes(&other), [true; 4]);
        assert_eq!(takes(&budget), [true, false, true, true]);
        refusals.refuse_from(2);
        assert_eq!(takes(&budget), [true, false, false, false]);
        assert!(
            !budget.try_take_last(MemoryUse::Log, 1) && budget.try_take_last(MemoryUse::Log, 0)
        );
        refusals.end();
        assert_eq!(takes(&budget), [true; 4]);
        assert_eq!((refusals.refused(), budget.used_for(MemoryUse::Log)), (5, 12));
    }
}
