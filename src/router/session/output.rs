//! The output of one connection, in its order: the rest of a frame that is partly
//! written, then answers, then the mail of its names and broadcasts in turn.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::answers::Answers;
use super::write_sources::{SOURCES_AT_ONCE, WriteSource, WriteSources, finish_mail, write_once};
use crate::router::broadcast::{BroadcastReceiver, ConflatedInFlight, ConflatedQueue, Keys};
use crate::router::mailbox::flow_window::Window;
use crate::router::mailbox::{
    Claim, Entry, EntryBytes, InFlight, KeptFrame, NotOwner, Taken, Write,
};

/// The state in which a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to write.
    Idle,
    /// The socket takes no more for now.
    Blocked,
    /// The budget is used up, and more waits.
    More,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The rest of a frame of a name that was lost.
    unfinished: Option<Bytes>,
    /// The name with a run that is partly written.
    partial: Option<Claim>,
    pub(super) broadcasts: InFlight,
    conflated: ConflatedInFlight,
    /// Messages that were replaced while others were being written.
    pub(super) replaced: u64,
    /// The first source of the next write, so that none starves another.
    next_source: usize,
    /// With a window, a run that is partly written is cut behind the frame that is.
    pub(super) window: Option<Window>,
}

impl Output {
    /// Writes until nothing is left, `write` would block, or `budget` bytes are
    /// written. Returns the bytes written.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` and `Interrupted`.
    pub(crate) fn transmit(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
        budget: usize,
        write: Write<'_>,
    ) -> io::Result<(usize, Progress)> {
        let mut total = 0;
        while total < budget {
            let written = self.write_next(answers, claims, receiver, write);
            if let Some(queue) = receiver.conflated_queue() {
                // A waiting message may be replaced until it is begun.
                self.replaced += self.conflated.give_back(queue);
            }
            match written {
                Ok(None) => return Ok((total, Progress::Idle)),
                Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Some(bytes)) => total += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((total, Progress::Blocked));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((total, Progress::More))
    }

    /// Writes once, and returns the bytes written, or `None` if nothing waits.
    fn write_next(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        if let Some(bytes) = self.finish_frame(receiver, write)? {
            return Ok(Some(bytes));
        }
        let ahead = answers.unwritten().len();
        let room = self.room();
        let sources_max = room.map_or(SOURCES_AT_ONCE, |room| room.min(1));
        let mut sources = WriteSources::default();
        let mut broadcasts = Some((&mut self.broadcasts, &mut self.conflated));
        for index in in_turn(self.next_source, claims) {
            if sources.len() == sources_max {
                break;
            }
            let source = match claims.get(index) {
                Some(claim) => WriteSource::of_mail(claim, sources.is_empty(), room),
                None => broadcasts.take().and_then(|(in_flight, conflated)| {
                    WriteSource::of_broadcasts(in_flight, conflated, receiver)
                }),
            };
            if let Some(source) = source {
                if sources.is_empty() {
                    self.next_source = index + 1;
                }
                sources.push(source);
            }
        }
        if ahead == 0 && sources.is_empty() {
            return Ok(None);
        }
        let Some(written) = write_once(&mut sources, answers.unwritten(), room, write)? else {
            return Ok(None);
        };
        drop(sources);
        let written = written.count_in(&mut self.window);
        answers.advance(written.bytes.min(ahead));
        self.partial = written.partial;
        if room > Some(0) && self.room() == Some(0) {
            give_back(claims);
        }
        Ok(Some(written.bytes))
    }

    /// Writes the rest of the frame or run that is partly written, if there is one.
    fn finish_frame(
        &mut self,
        receiver: &BroadcastReceiver,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        // Under a window only the frame is finished before the answers: they tell
        // from which message on the window is granted.
        let room = self.window.map(|_| 0);
        let (in_flight, conflated) = (&mut self.broadcasts, &mut self.conflated);
        if let Some(source) = WriteSource::of_partial_broadcasts(in_flight, conflated, receiver) {
            let written = write_once(&mut [source], &[], room, write)?;
            return Ok(written.map(|written| written.count_in(&mut self.window).bytes));
        }
        if let Some(claim) = self.partial.take() {
            match finish_mail(&claim, room, write) {
                Ok(Ok(written)) => {
                    let written = written.unwrap_or_default();
                    let written = written.count_in(&mut self.window);
                    self.partial = written.partial;
                    return Ok(Some(written.bytes));
                }
                Ok(Err(error)) => {
                    self.partial = Some(claim);
                    return Err(error);
                }
                Err(NotOwner) => self.unfinished = receiver.handle.take_unfinished(),
            }
        }
        let Some(rest) = &mut self.unfinished else {
            return Ok(None);
        };
        let bytes = write(&[IoSlice::new(rest)])?;
        rest.advance(bytes);
        if rest.is_empty() {
            self.unfinished = None;
        }
        Ok(Some(bytes))
    }

    // ---- the window ----

    pub(crate) fn window(&self) -> Option<u32> {
        self.window.map(Window::size)
    }

    /// Hands over at most `messages` from now on, until some are released.
    #[cold]
    pub(crate) fn set_window(
        &mut self,
        messages: u32,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
    ) {
        self.window = Some(Window::new(messages));
        let frames = self.broadcasts.cut();
        receiver.queue.release(frames, 0);
        // The rest of a frame of a lost name is in `unfinished` already.
        let stays = |claim: &Claim| (claim.deliver()).map_or(true, |mut mail| mail.cut());
        self.partial = self.partial.take().filter(stays);
        give_back(claims);
    }

    /// Releases messages of the window. Returns whether there was no room before.
    pub(crate) fn release(&mut self, messages: usize) -> bool {
        (self.window.as_mut()).is_some_and(|window| window.release(messages))
    }

    /// Returns the number of messages that may be begun, if it is limited.
    fn room(&self) -> Option<usize> {
        self.window.map(Window::room)
    }

    // ---- without a socket ----

    /// Takes the next frame addressed to a name, or the next run of broadcasts, for
    /// a participant inside the process. It says no `hello`, so it has no window.
    pub(crate) fn take_next(
        &mut self,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
    ) -> Option<Taken> {
        for index in in_turn(self.next_source, claims) {
            let taken = match claims.get(index) {
                Some(claim) => claim.deliver().ok().and_then(|mut mail| mail.take_frame()),
                None => self.take_broadcasts(receiver).map(|run| (run, false)),
            };
            if let Some((taken, others_follow)) = taken {
                self.next_source = if others_follow { index } else { index + 1 };
                return Some(taken);
            }
        }
        None
    }

    fn take_broadcasts(&mut self, receiver: &BroadcastReceiver) -> Option<Taken> {
        if let Some(entry) = self.broadcasts.pop(&receiver.queue) {
            receiver.release(entry.messages as usize, entry.charge);
            let is_report = !entry.holds_messages();
            let frames = entry.bytes.into();
            return Some(Taken { frames, is_report });
        }
        let taken = self.conflated.take_one(receiver.conflated_queue()?);
        receiver.release_share();
        let is_report = false;
        taken.map(|frames| Taken { frames, is_report })
    }

    // ---- snapshots ----

    /// Returns the number of taken runs of broadcasts and of conflated messages.
    pub(crate) fn waiting_broadcasts(&self, receiver: &BroadcastReceiver) -> usize {
        let conflated = receiver.conflated_queue();
        self.broadcasts.entries.len() + conflated.map_or(0, ConflatedQueue::waiting)
    }

    /// Adds a message of a snapshot, which takes no room, behind the taken broadcasts.
    pub(crate) fn add_snapshot(
        &mut self,
        receiver: &BroadcastReceiver,
        frame: KeptFrame,
        keys: &Keys,
    ) {
        let bytes = EntryBytes::Kept(frame, 0);
        match receiver.conflated_queue() {
            Some(queue) => {
                queue.push_snapshot(bytes, keys);
            }
            None => self.broadcasts.entries.push_back(Entry {
                bytes,
                messages: 0,
                order: 0,
                charge: 0,
                origin: None,
                is_stored: false,
            }),
        }
    }

    pub(crate) fn shrink(&mut self, claims: &[Claim]) {
        for claim in claims {
            claim.shrink();
        }
        self.broadcasts.shrink();
    }
}

/// Returns the indices of all sources from `first` on: `claims`, then one for broadcasts.
#[inline]
fn in_turn(first: usize, claims: &[Claim]) -> impl Iterator<Item = usize> + use<> {
    let count = claims.len() + 1;
    (0..count).map(move |step| (first + step) % count)
}

/// Gives the messages of groups that were taken, and not begun, back to the groups:
/// under a used-up window they would wait for ever.
#[cold]
fn give_back(claims: &[Claim]) {
    for claim in claims.iter().filter(|claim| claim.membership.is_some()) {
        drop(claim.deliver_within(Some(0)));
    }
}
