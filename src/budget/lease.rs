//! The bytes that a thread has counted and not yet told the total, so that a copy of
//! a message touches nothing that threads share.

use std::cell::RefCell;
use std::sync::Arc;

use crate::budget::{Budget, Purpose};

thread_local! {
    static LEASE: RefCell<Lease> = const { RefCell::new(Lease::new()) };
}

struct Lease {
    /// The budget that the balances are of: a thread may serve several servers.
    budget: Option<Arc<Budget>>,
    /// By [`Purpose`].
    balances: [isize; 2],
}

/// The balances that a budget is still to be told.
type Owed = Option<(Arc<Budget>, [isize; 2])>;

impl Lease {
    const fn new() -> Self {
        Self {
            budget: None,
            balances: [0; 2],
        }
    }

    /// Counts `bytes`. Returns the balances to tell another budget, and this one.
    fn count(&mut self, budget: &Arc<Budget>, purpose: Purpose, bytes: isize) -> (Owed, isize) {
        let mut other = None;
        if !matches!(&self.budget, Some(known) if Arc::ptr_eq(known, budget)) {
            other = self.take();
            self.budget = Some(Arc::clone(budget));
        }
        let balance = &mut self.balances[purpose as usize];
        *balance += bytes;
        let is_told = balance.unsigned_abs() >= budget.lease || budget.is_short_of(purpose);
        let told = if is_told { std::mem::take(balance) } else { 0 };
        (other, told)
    }

    fn take(&mut self) -> Owed {
        let balances = std::mem::take(&mut self.balances);
        self.budget.take().map(|budget| (budget, balances))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        tell(self.take());
    }
}

/// Counts `bytes` more of `budget`, or less if they are negative.
pub(super) fn count(budget: &Arc<Budget>, purpose: Purpose, bytes: isize) {
    let counted = LEASE.try_with(|lease| lease.borrow_mut().count(budget, purpose, bytes));
    match counted {
        // Behind the borrow: a connection that is woken may count bytes itself.
        Ok((other, told)) => {
            tell(other);
            budget.tell(purpose, told);
        }
        // The thread ends.
        Err(_) => budget.tell(purpose, bytes),
    }
}

/// Tells all bytes that this thread has counted.
#[cfg(test)]
pub(super) fn tell_own() {
    let taken = LEASE.try_with(|lease| lease.borrow_mut().take());
    tell(taken.ok().flatten());
}

fn tell(owed: Owed) {
    if let Some((budget, [queued, input])) = owed {
        budget.tell(Purpose::Queued, queued);
        budget.tell(Purpose::Input, input);
    }
}
