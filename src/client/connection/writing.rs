//! The writing half of a connection: messages that earlier ones were handed,
//! the queue, and messages of the client itself.

use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{io, mem};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::super::batch::Batch;
use super::super::flush::Fence;
use super::super::outbox::Outbox;
use super::super::outgoing::{Outgoing, Purpose, Queued, queued_bytes};
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
                    Some(batch) => Some(batch),
                    None => break,
                },
            };
            if let Some(batch) = next {
                self.begin(outbox, batch);
            }
            self.write_output(writer, outbox).await?;
            self.session.state().unanswered.all_handed_over();
        }
        if self.session.state().unanswered.ends_with_acks() {
            self.probe(outbox);
            self.write_output(writer, outbox).await?;
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
                while !outbox.output.is_full() {
                    let state = self.session.state();
                    let unanswered = &state.unanswered;
                    let next = unanswered.to_repeat(from, self.repeats_before, changes);
                    let Some((position, frame)) = next else {
                        break;
                    };
                    from = position + 1;
                    if self.takes(frame) {
                        outbox.output.put(frame);
                    }
                }
                if outbox.output.is_empty() {
                    break;
                }
                self.write_output(writer, outbox).await?;
            }
        }
        self.session.state().unanswered.all_handed_over();
        Ok(())
    }

    async fn write_output<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        let signs = &self.session.signs;
        signs.set_waiting(true);
        outbox
            .output
            .write(writer, |bytes| signs.took(bytes))
            .await?;
        signs.set_waiting(false);
        self.end_output(outbox);
        Ok(())
    }

    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() <= self.frame_bytes_max.saturating_add(FRAME_PREFIX_BYTES)
    }

    /// Begins to write a batch, and notes that answers to its messages are due.
    fn begin(&self, outbox: &mut Outbox, mut batch: Batch) {
        if !batch.frames().all(|frame| self.takes(frame)) {
            batch = self.without_too_large(batch);
        }
        let now = Instant::now();
        let mut state = self.session.state();
        let none_was_due = state.unanswered.is_empty();
        let output = &mut outbox.output;
        output.first = state.unanswered.next_position();
        let mut probe = None;
        let mut items = mem::take(&mut batch.items);
        for item in items.drain(..) {
            let mut message = match item {
                Queued::Message(message) => message,
                Queued::Fence(fence) => {
                    // It ends its batch: the probe comes behind all messages of it.
                    if state.unanswered.ends_with_acks() {
                        probe = Some(self.note_probe(&mut state));
                    }
                    put_up(&mut state, fence);
                    continue;
                }
            };
            let is_answered = message.answered_as.is_some();
            let is_kept = is_answered && (self.keeps || message.is_change());
            if !is_kept {
                output.queued_bytes += mem::take(&mut message.queued_bytes) as usize;
            }
            let position = state.unanswered.insert(message, now);
            output
                .never_answered
                .extend((!is_answered).then_some(position));
        }
        drop(state);
        batch.items = items;
        output.batch = batch;
        if let Some(probe) = probe {
            output.put(&probe);
        }
        if none_was_due {
            self.session.inbox.look_again();
        }
    }

    /// Drops the messages that are too large for this server: it was another when they
    /// were sent.
    #[cold]
    fn without_too_large(&self, mut batch: Batch) -> Batch {
        let limit = self.frame_bytes_max;
        let mut rest = Batch::default();
        let items = mem::take(&mut batch.items);
        let mut frames = batch.frames();
        for item in items {
            let Queued::Message(mut message) = item else {
                rest.items.push(item);
                continue;
            };
            let frame = frames.next().unwrap_or_default();
            if self.takes(frame) {
                rest.put_copy(message, frame);
                continue;
            }
            let bytes = frame.len() - FRAME_PREFIX_BYTES;
            self.session.shared.give_back(&message);
            if message.is_posted() {
                self.session.state().fences.posted.unsent += 1;
                tracing::warn!(
                    bytes,
                    limit,
                    "a message was dropped that is larger than the server takes"
                );
            }
            message.resolve(Err(SendError::TooLarge { bytes, limit }));
        }
        rest
    }

    fn beat(&self, outbox: &mut Outbox) {
        let beat = Message::heartbeat(&self.session.shared.name, "alive")
            .expect("both the client's name and the monitor's are names");
        self.put_own(outbox, &beat, Purpose::OfTheClient);
    }

    /// Asks for a welcome, by a hello that leaves all as it is.
    fn probe(&self, outbox: &mut Outbox) {
        let frame = self.note_probe(&mut self.session.state());
        outbox.output.put(&frame);
        self.session.inbox.look_again();
    }

    /// Notes that such a hello is about to be handed over; returns its frame.
    fn note_probe(&self, state: &mut State) -> Bytes {
        let hello = Message::hello(&self.session.shared.name, Hello::default())
            .expect("the client's name is a name");
        let own = Outgoing::of_connection(hello.msg_id, Purpose::OfTheClient);
        state.unanswered.insert(own, Instant::now());
        self.probes_due.fetch_add(1, Ordering::Relaxed);
        hello.to_frame()
    }

    /// Puts a message of this connection alone into the batch.
    fn put_own(&self, outbox: &mut Outbox, message: &Message, purpose: Purpose) {
        outbox.output.put(&message.to_frame());
        let message = Outgoing::of_connection(message.msg_id, purpose);
        let mut state = self.session.state();
        let none_was_due = state.unanswered.is_empty();
        state.unanswered.insert(message, Instant::now());
        drop(state);
        if none_was_due {
            self.session.inbox.look_again();
        }
    }

    /// Ends the output as far as it was written. A message that wasn't handed
    /// over in full can't have been accepted: it goes back.
    pub(super) fn end_output(&self, outbox: &mut Outbox) {
        let mut state = self.session.state();
        let output = &mut outbox.output;
        let handed_before = output.handed_before();
        let done = output.never_answered.iter();
        for position in done.take_while(|position| **position < handed_before) {
            state.unanswered.remove(*position);
        }
        let mut free_bytes = output.queued_bytes;
        let mut returned = Batch::default();
        for (position, frame) in output.not_handed_over() {
            let Some(mut message) = state.unanswered.take_back(position) else {
                continue;
            };
            if message.queued_bytes == 0 {
                message.queued_bytes = queued_bytes(frame.len());
                free_bytes -= message.queued_bytes as usize;
            }
            returned.put_copy(message, frame);
        }
        if !returned.is_empty() {
            let behind = state.fences.take_behind(handed_before);
            returned.items.extend(behind.into_iter().map(Queued::Fence));
        }
        if self.keeps && !output.batch.ends.is_empty() {
            state.unanswered.keep(output.first, &mut output.batch);
        }
        state.open_fences();
        drop(state);
        output.clear();
        outbox.put_back(returned);
        self.session.shared.give_back_all(0, free_bytes);
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
