//! The time that a session has been paused for each full queue.
//!
//! The pauses for one name add up. Beyond `stall_timeout`, events to that name are
//! refused at once, until its queue has fallen below half.

use std::sync::Arc;
use std::time::Duration;

use crate::router::mailbox::Mailbox;
use crate::router::now::Now;

#[derive(Debug)]
struct Stall {
    mailbox: Arc<Mailbox>,
    /// The sum of the pauses that are over.
    paused: Duration,
    /// The begin of the present pause.
    since: Option<Duration>,
    /// The queue's count of reliefs at the begin of the sum.
    relieved: u64,
}

/// See the [module](self). Empty until the session meets a full queue.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Vec<Stall>);

impl Stalls {
    /// Ends the pause for a queue, which took an event.
    #[inline]
    pub(crate) fn admitted(&mut self, mailbox: &Arc<Mailbox>, now: Now) {
        if !self.0.is_empty() {
            self.end_pause(mailbox, now);
        }
    }

    #[cold]
    fn end_pause(&mut self, mailbox: &Arc<Mailbox>, now: Now) {
        self.forget_relieved();
        if let Some(stall) = self.0.iter_mut().find(|s| Arc::ptr_eq(&s.mailbox, mailbox))
            && let Some(since) = stall.since.take()
        {
            stall.paused += now.mono.saturating_sub(since);
        }
    }

    /// Returns the monotonic time until which an event for a full queue waits at most,
    /// or `None` if it has waited long enough and is to be refused.
    #[cold]
    pub(crate) fn full(
        &mut self,
        mailbox: &Arc<Mailbox>,
        now: Now,
        timeout: Duration,
    ) -> Option<Duration> {
        self.forget_relieved();
        let known = self.0.iter().position(|s| Arc::ptr_eq(&s.mailbox, mailbox));
        let index = known.unwrap_or_else(|| {
            self.0.push(Stall {
                mailbox: Arc::clone(mailbox),
                paused: Duration::ZERO,
                since: None,
                relieved: mailbox.times_relieved(),
            });
            self.0.len() - 1
        });
        let stall = &mut self.0[index];
        let since = *stall.since.get_or_insert(now.mono);
        let deadline = since.saturating_add(timeout.saturating_sub(stall.paused));
        if now.mono < deadline {
            return Some(deadline);
        }
        stall.paused += now.mono.saturating_sub(since);
        stall.since = None;
        None
    }

    /// Forgets the sums of queues that have fallen below half.
    fn forget_relieved(&mut self) {
        self.0
            .retain(|stall| stall.mailbox.times_relieved() == stall.relieved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overflow;
    use crate::ids::{ConnectionId, Name};
    use crate::router::connection::ConnectionHandle;
    use crate::router::mailbox::QueueRules;
    use crate::router::mailbox::queue_state::Capacity;

    #[test]
    fn a_queue_that_ended_is_forgotten() {
        let rules = QueueRules {
            capacity: Capacity {
                bytes: 100,
                messages: 16,
            },
            overflow: Overflow::Pause,
            durable: false,
        };
        let owner = Arc::new(ConnectionHandle::new(ConnectionId(1), &Arc::default()));
        let mailbox = |name| {
            let name = Name::new(name).unwrap();
            let budget = Arc::default();
            let mailbox = Arc::new(Mailbox::new(name, rules, &budget, Arc::default()));
            mailbox.take_over(&owner);
            mailbox
        };
        let (gone, other) = (mailbox("gone"), mailbox("other"));
        let mut stalls = Stalls::default();
        let timeout = Duration::from_secs(2);
        let wait = stalls.full(&gone, Now::default(), timeout);
        assert_eq!(wait, Some(timeout));
        gone.release_owner();
        stalls.full(&other, Now::default(), timeout);
        assert_eq!(
            Arc::strong_count(&gone),
            1,
            "nothing but this test holds it"
        );
    }
}
