//! The queue between the sends, on any thread, and the session's task.
//!
//! The task takes all that waits at once. A send wakes it only if it sleeps.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::outgoing::Queued;
use crate::sync::lock;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Queued>,
    is_closed: bool,
    /// The task, if it sleeps.
    sleeper: Option<Waker>,
}

impl Queue {
    /// Puts an item in; returns whether the queue was open.
    pub(super) fn put(&self, item: Queued) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return false;
        }
        waiting.items.push_back(item);
        let sleeper = waiting.sleeper.take();
        drop(waiting);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        true
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
    }

    /// Takes all that waits into `items`, which is empty.
    pub(super) fn take(&self, items: &mut VecDeque<Queued>) {
        mem::swap(&mut self.waiting().items, items);
    }

    /// The same, once there is something; `false` if there won't be.
    pub(super) fn poll_take(
        &self,
        items: &mut VecDeque<Queued>,
        context: &Context<'_>,
    ) -> Poll<bool> {
        let mut waiting = self.waiting();
        if !waiting.items.is_empty() {
            mem::swap(&mut waiting.items, items);
            return Poll::Ready(true);
        }
        if waiting.is_closed {
            return Poll::Ready(false);
        }
        match &mut waiting.sleeper {
            Some(sleeper) => sleeper.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use bytes::Bytes;

    use super::super::outgoing::{Outgoing, Purpose};
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn item(bytes: u32) -> Queued {
        Queued::Message(Outgoing {
            frame: Bytes::new(),
            queued_bytes: bytes,
            answered_as: None,
            waiter: None,
            purpose: Purpose::Message,
        })
    }

    #[test]
    fn wakes_the_task_once_and_only_if_it_sleeps() {
        let (queue, count) = (Queue::default(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let context = Context::from_waker(&waker);
        let mut items = VecDeque::new();
        assert!(queue.put(item(1)));
        assert_eq!(queue.poll_take(&mut items, &context), Poll::Ready(true));
        assert_eq!(items.drain(..).count(), 1);
        for _ in 0..2 {
            assert_eq!(queue.poll_take(&mut items, &context), Poll::Pending);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        for bytes in 0..3 {
            assert!(queue.put(item(bytes)));
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        queue.take(&mut items);
        let order: Vec<u32> = items
            .drain(..)
            .map(|item| match item {
                Queued::Message(message) => message.queued_bytes,
                Queued::Fence(_) => u32::MAX,
            })
            .collect();
        assert_eq!(order, [0, 1, 2]);
    }

    #[test]
    fn gives_out_all_that_was_put_in_before_it_was_closed() {
        let queue = Queue::default();
        let context = Context::from_waker(Waker::noop());
        let mut items = VecDeque::new();
        assert!(queue.put(item(1)));
        queue.close();
        assert!(!queue.put(item(2)));
        assert_eq!(queue.poll_take(&mut items, &context), Poll::Ready(true));
        assert_eq!(items.drain(..).count(), 1);
        assert_eq!(queue.poll_take(&mut items, &context), Poll::Ready(false));
    }
}
