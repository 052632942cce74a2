//! The writing half of a connection: messages that earlier ones were handed,
//! the queue, and messages of the client itself.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::super::flush::Fence;
use super::super::outbox::Outbox;
use super::super::outgoing::{Outgoing, Purpose, Queued};
use super::super::session::State;
use super::super::{Disconnect, SendError};
use super::Connection;
use crate::limits::{CLOSE_WRITE_TIMEOUT, FRAME_PREFIX_BYTES};
use crate::wire::{Hello, Message};

impl Connection<'_> {
    /// Writes until nothing more is to be written. Comes back only if that fails.
    pub(super) async fn write_to_the_end<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> Disconnect {
        match self.write(writer, outbox).await {
            Ok(()) => std::future::pending().await,
            Err(error) => {
                // The server's last words can still be read.
                sleep(CLOSE_WRITE_TIMEOUT).await;
                Disconnect::Broken(error)
            }
        }
    }

    async fn write<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        self.repeat(writer, outbox).await?;
        let now = Instant::now();
        let config = &self.session.config;
        let mut beats = config.heartbeat.map(|period| every(period, now));
        // The welcome has just come.
        let mut probes = config.probe.map(|period| every(period, now + period));
        let mut closing = false;
        loop {
            // A full queue must not keep heartbeats back, so they come first.
            let next = tokio::select! {
                biased;
                // The server takes nothing more: the rest is for the next connection.
                () = self.parting.cancelled() => return Ok(()),
                () = tick(&mut beats), if !closing => {
                    self.beat(outbox);
                    None
                }
                () = tick(&mut probes), if !closing => {
                    self.probe(outbox);
                    None
                }
                () = self.session.shared.closing.cancelled(), if !closing => {
                    closing = true;
                    outbox.close();
                    continue;
                }
                next = outbox.next() => match next {
                    Some(message) => Some(message),
                    None => break,
                },
            };
            self.fill(outbox, next);
            self.write_batch(writer, outbox).await?;
            self.session.state().unanswered.all_handed_over();
        }
        writer.shutdown().await
    }

    /// Repeats the subscriptions, and then messages of earlier connections.
    async fn repeat<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        let subscriptions = self.session.state().subscriptions.all();
        for change in subscriptions {
            let message = self.session.shared.change(&change);
            self.put_own(outbox, &message, Purpose::Again(change));
        }
        for changes in [true, false] {
            let mut from = 0;
            loop {
                while !outbox.batch.is_full() {
                    let state = self.session.state();
                    let unanswered = &state.unanswered;
                    let next = unanswered.to_repeat(from, self.repeats_before, changes);
                    let Some((position, message)) = next else {
                        break;
                    };
                    from = position + 1;
                    if self.takes(&message.frame) {
                        outbox.batch.put(&message.frame, None);
                    }
                }
                if outbox.batch.is_empty() {
                    break;
                }
                self.write_batch(writer, outbox).await?;
            }
        }
        self.session.state().unanswered.all_handed_over();
        Ok(())
    }

    async fn write_batch<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        let signs = &self.session.signs;
        signs.set_waiting(true);
        outbox
            .batch
            .write(writer, |bytes| signs.took(bytes))
            .await?;
        signs.set_waiting(false);
        self.end_batch(outbox);
        Ok(())
    }

    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() <= self.frame_bytes_max.saturating_add(FRAME_PREFIX_BYTES)
    }

    /// Puts messages into the batch, beginning with `next`.
    fn fill(&self, outbox: &mut Outbox, mut next: Option<Queued>) {
        if next.is_none() {
            return;
        }
        let now = Instant::now();
        let mut state = self.session.state();
        let none_was_due = state.unanswered.is_empty();
        while let Some(first) = next {
            match first {
                Queued::Message(message) => self.put(&mut state, outbox, message, now),
                Queued::Fence(fence) => put_up(&mut state, fence),
            }
            next = match outbox.batch.is_full() {
                true => None,
                false => outbox.next_at_hand(),
            };
        }
        drop(state);
        if none_was_due {
            self.session.inbox.look_again();
        }
    }

    /// Puts a message into the batch, and notes that an answer is due.
    fn put(&self, state: &mut State, outbox: &mut Outbox, mut message: Outgoing, now: Instant) {
        if self.takes(&message.frame) {
            let position = state.unanswered.next_position();
            outbox.batch.put(&message.frame, Some(position));
            state.unanswered.insert(message, now);
            return;
        }
        // The server was another when the message was sent.
        let bytes = message.frame.len() - FRAME_PREFIX_BYTES;
        let limit = self.frame_bytes_max;
        self.session.shared.give_back(&message);
        if message.is_posted() {
            state.fences.posted.unsent += 1;
            tracing::warn!(
                bytes,
                limit,
                "a message was dropped that is larger than the server takes"
            );
        }
        message.resolve(Err(SendError::TooLarge { bytes, limit }));
    }

    fn beat(&self, outbox: &mut Outbox) {
        let beat = Message::heartbeat(&self.session.shared.name, "alive")
            .expect("both the client's name and the monitor's are names");
        self.put_own(outbox, &beat, Purpose::OfTheClient);
    }

    /// Asks for a welcome, by a hello that leaves all as it is.
    fn probe(&self, outbox: &mut Outbox) {
        let hello = Message::hello(&self.session.shared.name, Hello::default())
            .expect("the client's name is a name");
        self.put_own(outbox, &hello, Purpose::OfTheClient);
        self.probes_due.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a message of this connection alone into the batch.
    fn put_own(&self, outbox: &mut Outbox, message: &Message, purpose: Purpose) {
        outbox.batch.put(&message.to_frame(), None);
        let message = Outgoing::of_connection(message.msg_id, purpose);
        let mut state = self.session.state();
        let none_was_due = state.unanswered.is_empty();
        state.unanswered.insert(message, Instant::now());
        drop(state);
        if none_was_due {
            self.session.inbox.look_again();
        }
    }

    /// Ends the batch as far as it was written. A message that wasn't handed
    /// over in full can't have been accepted: it goes back.
    pub(super) fn end_batch(&self, outbox: &mut Outbox) {
        let mut state = self.session.state();
        let mut free_bytes = 0;
        // The newest come first.
        let mut not_handed = Vec::new();
        let mut fences = Vec::new();
        outbox.batch.end(|position, handed| {
            if handed {
                free_bytes += state.unanswered.handed_over(position, self.keeps) as usize;
            } else if let Some(message) = state.unanswered.take_back(position) {
                not_handed.push(message);
                fences.extend(state.fences.take_behind(position).into_iter().rev());
            }
        });
        state.open_fences();
        drop(state);
        self.session.shared.queue_room.add_permits(free_bytes);
        for fence in fences {
            outbox.put_back(Queued::Fence(fence));
        }
        for message in not_handed {
            outbox.put_back(Queued::Message(message));
        }
    }
}

/// Lets a flush wait for all messages that were handed over before.
fn put_up(state: &mut State, fence: Fence) {
    let position = state.unanswered.next_position();
    state.fences.put_up(position, fence);
    state.open_fences();
}

fn every(period: Duration, first: Instant) -> Interval {
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
