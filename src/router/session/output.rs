//! What one connection writes, and in which order: the rest of a frame that is
//! partly written, then answers, then what is addressed to its names and
//! broadcasts, in turns.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::answers::Answers;
use super::write_sources::{SOURCES_AT_ONCE, WriteSource, WriteSources, finish_mail};
use crate::router::broadcast::{BroadcastReceiver, ConflatedInFlight, ConflatedQueue, Keys};
use crate::router::mailbox::Claim;
use crate::router::mailbox::Entry;
use crate::router::mailbox::EntryBytes;
use crate::router::mailbox::KeptFrame;
use crate::router::mailbox::NotOwner;
use crate::router::mailbox::flow_window::Window;
use crate::router::mailbox::{InFlight, Write};

/// How far the output got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to write.
    Idle,
    /// The socket takes no more for now.
    Blocked,
    /// The budget is used up; there is more.
    More,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The rest of a frame that was begun for a name that was lost.
    unfinished: Option<Bytes>,
    /// The name whose first run is partly written.
    partial: Option<Claim>,
    broadcasts: InFlight,
    /// What is being written of a conflating lane.
    conflated: ConflatedInFlight,
    /// Messages that were replaced while others were being written.
    replaced: u64,
    /// Which lane comes next, so that none starves another.
    turn: usize,
    /// How many messages may be handed over, if that is limited. Where it is,
    /// whatever is partly written is so within a frame.
    pub(super) window: Option<Window>,
}

impl Output {
    /// Writes until nothing is left, `write` would block, or `budget` bytes
    /// are written. Says how many were.
    ///
    /// # Errors
    /// What `write` says, but for `WouldBlock` and `Interrupted`.
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
            match self.write_once(answers, claims, receiver, write) {
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

    // ---- the window ----

    /// The number of messages of the window, if there is one.
    pub(crate) fn window(&self) -> Option<u32> {
        self.window.map(Window::size)
    }

    /// Hands over no more than `messages` from now on, until some are released.
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
        // Of a name that was lost, the rest of a frame is here already.
        let stays = |claim: &Claim| (claim.deliver()).map_or(true, |mut mail| mail.cut());
        self.partial = self.partial.take().filter(stays);
        give_back(claims);
    }

    /// The connection has released so many messages. Says whether there is room
    /// for others only now.
    pub(crate) fn release(&mut self, messages: usize) -> bool {
        (self.window.as_mut()).is_some_and(|window| window.release(messages))
    }

    fn room(&self) -> Option<usize> {
        self.window.map(Window::room)
    }

    /// Takes the next frame that is addressed to a name, or the next run of
    /// broadcasts: how a program that embeds the router receives. Other frames
    /// to a name stay in its queue. There is no window: this client says no
    /// `hello`.
    pub(crate) fn take(&mut self, claims: &[Claim], receiver: &BroadcastReceiver) -> Option<Bytes> {
        let count = claims.len() + 1;
        let first = self.turn;
        for index in (0..count).map(|step| (first + step) % count) {
            let taken = match claims.get(index) {
                Some(claim) => claim.deliver().ok().and_then(|mut mail| mail.take_frame()),
                None => self.take_broadcast(receiver).map(|run| (run, false)),
            };
            if let Some((frames, others_follow)) = taken {
                self.turn = if others_follow { index } else { index + 1 };
                return Some(frames);
            }
        }
        None
    }

    /// Takes the next run of broadcasts whole.
    fn take_broadcast(&mut self, receiver: &BroadcastReceiver) -> Option<Bytes> {
        if let Some(entry) = self.broadcasts.pop(&receiver.queue) {
            let (frames, charge) = (entry.messages as usize, entry.charge);
            receiver.release(frames, charge);
            return Some(entry.bytes.into());
        }
        let taken = self.conflated.take_one(receiver.conflated_queue()?);
        receiver.release_share();
        taken
    }

    // ---- snapshots ----

    /// Has what is queued for everyone written before what comes now.
    pub(crate) fn take_broadcasts(&mut self, receiver: &BroadcastReceiver) {
        self.broadcasts.fill_whole(&receiver.queue);
    }

    /// The connection hears no more broadcasts: what was taken and is not begun
    /// is gone.
    pub(crate) fn forget_broadcasts(&mut self) {
        self.broadcasts.forget();
    }

    /// How many runs of broadcasts were taken out of their queue, or wait in a
    /// lane whose messages are counted one by one.
    pub(crate) fn waiting(&self, receiver: &BroadcastReceiver) -> usize {
        let in_lane = receiver
            .conflated_queue()
            .map_or(0, ConflatedQueue::waiting);
        self.broadcasts.len() + in_lane
    }

    /// Adds a message of a snapshot behind the broadcasts that were taken. It
    /// takes no room in their queue.
    pub(crate) fn add_snapshot(
        &mut self,
        receiver: &BroadcastReceiver,
        frame: KeptFrame,
        keys: &Keys,
    ) {
        let bytes = EntryBytes::Kept(frame, 0);
        match receiver.conflated_queue() {
            Some(lane) => {
                lane.push_snapshot(bytes, keys);
            }
            None => self.broadcasts.push(Entry {
                bytes,
                messages: 0,
                order: 0,
                charge: 0,
                origin: None,
            }),
        }
    }

    /// How many messages were replaced while others were being written, since
    /// this was last asked.
    pub(crate) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// Gives back what an idle connection doesn't need.
    pub(crate) fn shrink(&mut self, claims: &[Claim]) {
        for claim in claims {
            claim.shrink();
        }
        self.broadcasts.shrink();
    }

    /// One write of what comes next; `None` if there is nothing.
    fn write_once(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        let written = self.write_lanes(answers, claims, receiver, write);
        if let Some(lane) = receiver.conflated_queue() {
            // What waits may be replaced until it is begun.
            self.replaced += self.conflated.give_back(lane);
        }
        written
    }

    fn write_lanes(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        receiver: &BroadcastReceiver,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        if let Some(bytes) = self.finish_frame(receiver, write)? {
            return Ok(Some(bytes));
        }
        let count = claims.len() + 1;
        let ahead = answers.unwritten().len();
        let first = self.turn;
        let room = self.room();
        let lanes_at_once = room.map_or(SOURCES_AT_ONCE, |room| room.min(1));
        let mut lanes = WriteSources::default();
        let mut broadcasts = Some((&mut self.broadcasts, &mut self.conflated));
        for index in (0..count).map(|step| (first + step) % count) {
            if lanes.len() == lanes_at_once {
                break;
            }
            let lane = match claims.get(index) {
                Some(claim) => WriteSource::of_mail(claim, lanes.is_empty(), room),
                None => broadcasts.take().and_then(|(own, conflated)| {
                    WriteSource::of_broadcasts(own, conflated, receiver)
                }),
            };
            if let Some(lane) = lane {
                if lanes.is_empty() {
                    self.turn = index + 1;
                }
                lanes.push(lane);
            }
        }
        if ahead == 0 && lanes.is_empty() {
            return Ok(None);
        }
        let Some(written) = lanes.write(answers.unwritten(), room, write)? else {
            return Ok(None);
        };
        drop(lanes);
        let written = written.count_in(&mut self.window);
        answers.advance(written.bytes.min(ahead));
        self.partial = written.partial;
        if room > Some(0) && self.room() == Some(0) {
            give_back(claims);
        }
        Ok(Some(written.bytes))
    }

    /// Goes on with the frame that is partly written, if one is.
    fn finish_frame(
        &mut self,
        receiver: &BroadcastReceiver,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        // With a window nothing else comes before the answers: they tell from
        // where on it is granted.
        let room = self.window.map(|_| 0);
        if self.broadcasts.is_partial() {
            let mut lanes =
                WriteSources::of(WriteSource::Broadcasts(&mut self.broadcasts, receiver));
            let written = lanes.write(&[], room, write)?;
            return Ok(written.map(|written| written.count_in(&mut self.window).bytes));
        }
        if self.conflated.is_partial()
            && let Some(lane) = receiver.conflated_queue()
        {
            let mut lanes =
                WriteSources::of(WriteSource::Conflated(&mut self.conflated, lane, receiver));
            let written = lanes.write(&[], room, write)?;
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
}

/// Gives what was taken of groups' queues, and is not begun, back to those who
/// share them: what a window has no room for would wait for ever.
#[cold]
fn give_back(claims: &[Claim]) {
    for claim in claims.iter().filter(|claim| claim.membership.is_some()) {
        drop(claim.deliver_within(Some(0)));
    }
}
