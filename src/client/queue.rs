//! The queue between the sends, on any thread, and the session's task.
//!
//! The sends fill batches, and the task takes one at a time. A send wakes it only if it
//! sleeps.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::batch::{Batch, SPARE_BATCHES_MAX};
use crate::limits::READ_BUFFER_BYTES;
use crate::sync::lock;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Only the last takes more.
    batches: VecDeque<Batch>,
    /// Empty batches with memory for the next.
    spares: Vec<Batch>,
    is_closed: bool,
    /// The task, if it sleeps.
    sleeper: Option<Waker>,
}

impl Queue {
    /// Has something put into a batch that takes another frame of so many bytes; returns
    /// whether the queue was open.
    #[inline]
    pub(super) fn put(&self, bytes: usize, put: impl FnOnce(&mut Batch)) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return false;
        }
        put(waiting.batch_for(bytes));
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

    /// Takes the first batch, and leaves `used`, which is empty, for its memory.
    pub(super) fn take(&self, used: &mut Batch) -> Option<Batch> {
        self.waiting().take(used)
    }

    /// The same, once there is one; `None` if there won't be.
    pub(super) fn poll_take(&self, used: &mut Batch, context: &Context<'_>) -> Poll<Option<Batch>> {
        let mut waiting = self.waiting();
        let batch = waiting.take(used);
        if batch.is_some() || waiting.is_closed {
            return Poll::Ready(batch);
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

impl Waiting {
    /// The batch that a frame of so many bytes goes to.
    #[inline]
    fn batch_for(&mut self, bytes: usize) -> &mut Batch {
        if !self.batches.back().is_some_and(|last| last.has_room(bytes)) {
            let mut next = self.spares.pop().unwrap_or_default();
            if !self.batches.is_empty() {
                // The one before is full, and so will this be.
                next.bytes.reserve_exact(READ_BUFFER_BYTES);
            }
            self.batches.push_back(next);
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }

    fn take(&mut self, used: &mut Batch) -> Option<Batch> {
        let first = self.batches.pop_front()?;
        if self.spares.len() < SPARE_BATCHES_MAX {
            self.spares.push(mem::take(used));
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::super::outgoing::{Outgoing, Purpose};
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(queue: &Queue, frame: &[u8]) -> bool {
        let message = Outgoing::new(frame.len(), None, Purpose::Message, None);
        queue.put(frame.len(), |batch| batch.put_copy(message, frame))
    }

    fn frames(batch: &Batch) -> Vec<&[u8]> {
        assert_eq!(batch.items.len(), batch.ends.len());
        batch.frames().collect()
    }

    #[test]
    fn wakes_the_task_once_and_only_if_it_sleeps() {
        let (queue, count) = (Queue::default(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let context = Context::from_waker(&waker);
        let mut used = Batch::default();
        assert!(put(&queue, b"first"));
        let taken = queue.poll_take(&mut used, &context).map(Option::unwrap);
        assert!(matches!(taken, Poll::Ready(batch) if frames(&batch) == [b"first"]));
        for _ in 0..2 {
            assert!(queue.poll_take(&mut used, &context).is_pending());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        for frame in ["a", "bc", "d"] {
            assert!(put(&queue, frame.as_bytes()));
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let batch = queue.take(&mut used).unwrap();
        assert_eq!(frames(&batch), [&b"a"[..], b"bc", b"d"]);
    }

    #[test]
    fn gives_out_all_that_was_put_in_before_it_was_closed() {
        let queue = Queue::default();
        let context = Context::from_waker(Waker::noop());
        let mut used = Batch::default();
        assert!(put(&queue, b"first"));
        queue.close();
        assert!(!put(&queue, b"second"));
        let taken = queue.poll_take(&mut used, &context).map(Option::unwrap);
        assert!(matches!(taken, Poll::Ready(batch) if frames(&batch) == [b"first"]));
        assert!(matches!(
            queue.poll_take(&mut used, &context),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn a_batch_is_as_large_as_a_read_or_holds_one_frame_that_is_larger() {
        let queue = Queue::default();
        let large = vec![b'x'; READ_BUFFER_BYTES + 1];
        let half = &large[..READ_BUFFER_BYTES / 2];
        for frame in [half, half, b"y", &large, b"z"] {
            assert!(put(&queue, frame));
        }
        let mut used = Batch::default();
        for expected in [&[half, half][..], &[b"y"], &[&large], &[b"z"]] {
            let mut batch = queue.take(&mut used).unwrap();
            assert_eq!(frames(&batch), expected);
            batch.clear();
            assert!(batch.bytes.capacity() <= READ_BUFFER_BYTES);
            used = batch;
        }
        assert!(queue.take(&mut used).is_none());
    }
}
