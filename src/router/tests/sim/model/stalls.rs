//! How long a connection has been paused for each full queue, as a sum.

use std::time::Duration;

/// The pauses of one connection for one queue.
#[derive(Debug)]
struct Stall {
    /// The mailbox.
    instance: u64,
    paused: Duration,
    since: Option<Duration>,
    /// Reliefs of the queue when the sum began.
    reliefs: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Stalls(Vec<Stall>);

impl Stalls {
    /// Notes that an event found the queue of mailbox `instance` full. Returns
    /// until when it may wait, if it may.
    pub(super) fn full(
        &mut self,
        instance: u64,
        reliefs: u64,
        now: Duration,
        timeout: Duration,
    ) -> Option<Duration> {
        self.forget_relieved(instance, reliefs);
        if !self.0.iter().any(|stall| stall.instance == instance) {
            self.0.push(Stall {
                instance,
                paused: Duration::ZERO,
                since: None,
                reliefs,
            });
        }
        let stall = self.0.iter_mut().find(|stall| stall.instance == instance)?;
        let since = *stall.since.get_or_insert(now);
        let deadline = since + timeout.saturating_sub(stall.paused);
        if now < deadline {
            return Some(deadline);
        }
        stall.paused += now - since;
        stall.since = None;
        None
    }

    /// The queue took an event.
    pub(super) fn admitted(&mut self, instance: u64, reliefs: u64, now: Duration) {
        self.forget_relieved(instance, reliefs);
        if let Some(stall) = self.0.iter_mut().find(|stall| stall.instance == instance)
            && let Some(since) = stall.since.take()
        {
            stall.paused += now - since;
        }
    }

    fn forget_relieved(&mut self, instance: u64, reliefs: u64) {
        (self.0).retain(|stall| stall.instance != instance || stall.reliefs == reliefs);
    }
}
