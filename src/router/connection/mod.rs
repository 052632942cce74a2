//! The part of a connection that other threads reach: its waker, reports for it,
//! and its account of queues.

pub(crate) mod accepted_ids;

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;

use bytes::Bytes;

use crate::budget::Budget;
use crate::ids::{ConnectionId, MsgId, Name};
use crate::sync::{AtomicBool, AtomicWaker, Mutex, Ordering, lock};
use accepted_ids::AcceptedIds;

/// News for a connection, beside the answers to its messages.
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only a server has a store")
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Another connection took the name over.
    NameTakenOver(Name),
    /// Accepted messages to `target` were given up.
    Undelivered {
        target: Name,
        count: u64,
        first_msg_id: Option<MsgId>,
    },
    /// The oldest `parts` that were submitted to the store have this outcome.
    Stored { parts: u32, outcome: StoreOutcome },
}

/// The fate of messages that were submitted to the store.
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only a server has a store")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreOutcome {
    /// They are on disk.
    Stored,
    /// They are not, and never will be.
    NotStored,
    /// The disk failed: they may be there after a restart.
    Unknown,
}

/// A queue that is charged to the account of one connection.
pub(crate) trait Charged: Send + Sync {
    /// Bytes that it holds.
    fn charged_bytes(&self) -> usize;
}

pub(crate) struct ConnectionHandle {
    id: ConnectionId,
    /// Counts the memory of its queues.
    pub(crate) budget: Arc<Budget>,
    /// The queues charged to the account: of its names, and of its broadcasts.
    account: Mutex<Vec<Weak<dyn Charged>>>,
    waker: AtomicWaker,
    /// Set by the first thread that wakes the connection, cleared before it looks.
    scheduled: AtomicBool,
    /// Changed under the lock of the reports only.
    has_reports: AtomicBool,
    reports: Mutex<Vec<Report>>,
    /// The rest of a frame that was partly written when its name went to
    /// another connection.
    unfinished: Mutex<Option<Bytes>>,
    /// The ids of its accepted messages, if they are remembered.
    accepted_ids: Mutex<Weak<AcceptedIds>>,
}

impl ConnectionHandle {
    /// Makes the handle of a connection with an account in `budget`.
    pub(crate) fn new(id: ConnectionId, budget: &Arc<Budget>) -> Self {
        Self {
            id,
            budget: Arc::clone(budget),
            account: Mutex::default(),
            waker: AtomicWaker::new(),
            scheduled: AtomicBool::new(false),
            has_reports: AtomicBool::new(false),
            reports: Mutex::default(),
            unfinished: Mutex::default(),
            accepted_ids: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    // ---- waking ----

    /// Makes the connection look at its queues again. To be called after something
    /// was queued.
    #[inline]
    pub(crate) fn wake(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Registers for the next wake. The caller must look at its queues after this
    /// call: earlier entries are not announced again.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        // A read-modify-write, so that the caller sees everything that a producer
        // did before it found the flag set.
        self.scheduled.swap(false, Ordering::AcqRel);
    }

    // ---- the account ----

    /// Bytes in all queues of the account.
    #[cold]
    pub(crate) fn charged_bytes(&self) -> usize {
        let account = lock(&self.account);
        let queues = account.iter().filter_map(Weak::upgrade);
        queues.map(|queue| queue.charged_bytes()).sum()
    }

    pub(crate) fn charge(&self, queue: Weak<dyn Charged>) {
        let mut account = lock(&self.account);
        // Most connections have one name, and hear broadcasts.
        if account.is_empty() {
            account.reserve_exact(2);
        }
        account.push(queue);
    }

    pub(crate) fn discharge(&self, queue: &Weak<dyn Charged>) {
        lock(&self.account).retain(|known| !known.ptr_eq(queue));
    }

    // ---- reports ----

    /// Leaves a report and wakes the connection.
    pub(crate) fn report(&self, report: Report) {
        let mut reports = lock(&self.reports);
        // Reports about one target are one report, so that their number is
        // bounded by the number of names.
        let merged = match report {
            // These have an order.
            Report::Stored { .. } => {
                let mut earlier = reports.iter_mut().rev();
                let last = earlier.find(|report| matches!(report, Report::Stored { .. }));
                last.is_some_and(|last| last.absorb(&report))
            }
            _ => reports.iter_mut().any(|earlier| earlier.absorb(&report)),
        };
        if !merged {
            reports.push(report);
        }
        self.has_reports.store(true, Ordering::Release);
        drop(reports);
        self.wake();
    }

    pub(crate) fn has_reports(&self) -> bool {
        self.has_reports.load(Ordering::Acquire)
    }

    pub(crate) fn take_reports(&self) -> Vec<Report> {
        if !self.has_reports() {
            return Vec::new();
        }
        let mut reports = lock(&self.reports);
        self.has_reports.store(false, Ordering::Release);
        std::mem::take(&mut *reports)
    }

    /// Takes the reports of messages given up.
    pub(crate) fn take_undelivered(&self) -> Vec<Report> {
        let is_undelivered = |report: &mut Report| matches!(report, Report::Undelivered { .. });
        let mut reports = lock(&self.reports);
        reports.extract_if(.., is_undelivered).collect()
    }

    /// The ids of its accepted messages, as long as they are kept.
    pub(crate) fn accepted_ids(&self) -> Option<Arc<AcceptedIds>> {
        lock(&self.accepted_ids).upgrade()
    }

    pub(crate) fn set_accepted_ids(&self, ids: &Arc<AcceptedIds>) {
        *lock(&self.accepted_ids) = Arc::downgrade(ids);
    }

    /// Leaves the rest of a frame, which the connection is to write first.
    pub(crate) fn leave_unfinished(&self, rest: Bytes) {
        *lock(&self.unfinished) = Some(rest);
    }

    pub(crate) fn take_unfinished(&self) -> Option<Bytes> {
        lock(&self.unfinished).take()
    }
}

impl Report {
    /// Adds `later` to this report, if both are about one target. Returns whether
    /// they are.
    fn absorb(&mut self, later: &Self) -> bool {
        if let Self::Stored { parts, outcome } = self
            && let Self::Stored {
                parts: more,
                outcome: other,
            } = later
            && outcome == other
        {
            *parts += more;
            return true;
        }
        if let Self::Undelivered { target, count, .. } = self
            && let Self::Undelivered {
                target: name,
                count: more,
                ..
            } = later
            && target == name
        {
            *count += more;
            return true;
        }
        false
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionHandle({:?})", self.id)
    }
}
