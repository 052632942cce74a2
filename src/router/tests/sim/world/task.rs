//! The task of a connection. It does the same as `server/connection.rs`, with
//! sockets that the seed decides about.

use std::io;

use bytes::BytesMut;

use super::connection::{Intake, Line};
use super::wakes::{ITSELF, ROOM, SESSION, TIME, WRITABLE};
use super::{World, tell};
use crate::limits::{ANSWER_STALL_TIMEOUT, CLOSE_WRITE_TIMEOUT, READ_BUFFER_BYTES};
use crate::router::{Attention, Halt, Progress, Session, Step};

/// The outcome of an attempt to take input.
enum Took {
    Something,
    Nothing,
    /// The connection ends.
    End(End),
}

#[derive(Debug)]
enum End {
    Orderly,
    Broken,
}

impl World {
    /// The task of `index` runs once.
    pub(super) fn run_task(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let woken = connection.wakes.take();
        tell!(self, "{index} runs, woken for {woken:06b}");
        if connection.closing.is_some() {
            return self.go_on_closing(index);
        }
        let everything = !self.habits.exact;
        if everything || woken & SESSION != 0 {
            let waker = connection.wakes.waker(SESSION);
            connection.session().register(&waker);
            if connection.session().has_reports() && self.handle_reports(index) == Attention::Close
            {
                return self.close(index, &End::Orderly);
            }
        }
        let mut writes = everything || woken & (SESSION | WRITABLE | ITSELF) != 0;
        let mut looks = everything || woken & (ROOM | TIME | ITSELF) != 0;
        for _ in 0..1 + self.seed.below(2) {
            let took = self.take_round(index, &mut looks);
            let rests = matches!(took, Took::Nothing);
            if let Took::End(end) = took {
                return self.close(index, &end);
            }
            let connection = &self.connections[index];
            let has_answers = (connection.session.as_ref()).is_some_and(Session::has_answers);
            let mut progress = Progress::Idle;
            if writes || has_answers {
                let budget = self.amount();
                match self.write(index, budget) {
                    Ok(reached) => progress = reached,
                    Err(_) => return self.close(index, &End::Broken),
                }
                writes = true;
            }
            let connection = &mut self.connections[index];
            let answered = !connection.session().has_answers();
            if answered && matches!(connection.intake, Intake::Ended) {
                return self.close(index, &End::Orderly);
            }
            let made_room = matches!(connection.intake, Intake::AnswersFull)
                && !connection.session().answers_are_full();
            if rests && progress != Progress::More && !made_room {
                return;
            }
        }
        self.connections[index].wakes.add(ITSELF);
    }

    fn handle_reports(&mut self, index: usize) -> Attention {
        let now = self.time();
        let attention = self.connections[index].session().handle_reports(now);
        let closes = self.model.attend(index);
        assert_eq!(
            attention == Attention::Close,
            closes,
            "names: {index} lost its last"
        );
        attention
    }

    // ---- input ----

    /// Takes the input of a round, and queues the gathered messages.
    fn take_round(&mut self, index: usize, looks: &mut bool) -> Took {
        let mut took = Took::Something;
        let before = self.connections[index].taken;
        let names = self.model.name_count();
        for _ in 0..self.seed.below(5) {
            took = self.take_input(index, *looks);
            if !matches!(took, Took::Something) {
                break;
            }
            *looks = true;
            let gathers = self.scratch.is_gathering();
            // A connection that gains a name hears broadcasts from then on.
            let changes = self.took_control(index, before) || self.model.name_count() != names;
            if gathers && changes && self.queues_are_tight(READ_BUFFER_BYTES) {
                break;
            }
        }
        if self.scratch.is_gathering() {
            self.model.meet("something is gathered when a round ends");
        }
        self.scratch.queue_gathered();
        self.model.flush();
        self.observe();
        took
    }

    fn take_input(&mut self, index: usize, looks: bool) -> Took {
        let connection = &mut self.connections[index];
        let full = connection.session().answers_are_full();
        match &mut connection.intake {
            Intake::Ended => return Took::Nothing,
            Intake::Paused(_) if !looks && !connection.expired => return Took::Nothing,
            Intake::Paused(pause) => {
                pause.wait(&connection.wakes.waker(ROOM));
                if !connection.expired && !pause.has_room() {
                    return Took::Nothing;
                }
                self.model.meet(match connection.expired {
                    true => "a pause ends by its deadline",
                    false => "a pause ends by a wake-up",
                });
                connection.expired = false;
                return self.resume(index);
            }
            Intake::AnswersFull if full => return Took::Nothing,
            Intake::AnswersFull => return self.resume(index),
            Intake::Open if full => {
                connection.intake = Intake::AnswersFull;
                return Took::Nothing;
            }
            Intake::Open => {}
        }
        match connection.line {
            Line::Broken => return Took::End(End::Broken),
            Line::Stands if !connection.inbound.is_empty() => {}
            Line::Stands if connection.hung_up && connection.outgoing.is_empty() => {
                tell!(self, "{index} has ended its input");
                connection.session().end_input();
                connection.intake = Intake::Ended;
                self.model.end_input(index);
                self.observe();
                return Took::Something;
            }
            _ => {
                connection.awaits_input = true;
                return Took::Nothing;
            }
        }
        self.read_once(index)
    }

    /// Reads into an input that holds the rest of the last one.
    fn read_once(&mut self, index: usize) -> Took {
        let bytes = self.amount();
        let spare = self.seed.pick(&[0, 4_096, READ_BUFFER_BYTES]);
        let connection = &self.connections[index];
        let bytes = self.until_change(index, bytes.min(connection.inbound.len()));
        let connection = &mut self.connections[index];
        let mut input = BytesMut::with_capacity(connection.rest.len() + bytes + spare);
        input.extend_from_slice(&connection.rest);
        input.extend_from_slice(&connection.inbound.split_to(bytes));
        let step = self.hand_in(index, &mut input);
        let rest = &mut self.connections[index].rest;
        rest.clear();
        rest.extend_from_slice(&input);
        self.follow(index, step)
    }

    /// Bytes that may be read together.
    ///
    /// With groups, flow-control windows or resuming, a read ends at a `hello`.
    /// Three facts show only after the read: how full a queue is that a member
    /// leaves, or of which a run is cut, and the memory that resent messages
    /// hold.
    ///
    /// With a nearly full queue of broadcasts, a read also ends at a message
    /// that may change the audience: gathered messages are queued then, and
    /// their charge matters.
    fn until_change(&self, index: usize, bytes: usize) -> usize {
        let shows_later = self.habits.groups || self.habits.resends || self.habits.windows;
        let is_tight = self.queues_are_tight(bytes);
        let connection = &self.connections[index];
        let read = connection.taken_bytes as usize + connection.rest.len();
        let mut ahead = connection.said[connection.taken..].iter();
        let change = ahead.find(|(end, number)| {
            let ends_read = shows_later && self.model.is_hello(*number)
                || is_tight && self.model.is_control(*number);
            *end as usize > read && ends_read
        });
        change.map_or(bytes, |(end, _)| bytes.min(*end as usize - read))
    }

    /// Whether queues of broadcasts are so full that the charge matters, with
    /// so many bytes to come.
    fn queues_are_tight(&self, bytes: usize) -> bool {
        let most = 2 * (self.model.fullest_queue_bytes() + bytes);
        self.habits.subscriptions && most > self.router.0.config.queue_bytes
    }

    /// Whether a message that was taken, behind the first `before`, may change
    /// the audience.
    fn took_control(&self, index: usize, before: usize) -> bool {
        let connection = &self.connections[index];
        let mut taken = connection.said[before..connection.taken].iter();
        taken.any(|(_, number)| self.model.is_control(*number))
    }

    /// Hands in the input again that the session stopped at.
    fn resume(&mut self, index: usize) -> Took {
        let mut input = std::mem::take(&mut self.connections[index].rest);
        let step = self.hand_in(index, &mut input);
        if step.consumed > 0 {
            // Taken messages may hold the block, and the rest must not.
            input = BytesMut::from(&input[..]);
        }
        self.connections[index].rest = input;
        self.follow(index, step)
    }

    fn hand_in(&mut self, index: usize, input: &mut BytesMut) -> Step {
        let now = self.time();
        let connection = &mut self.connections[index];
        let block_bytes = input.capacity();
        let end = connection.taken_bytes + input.len() as u64;
        let ahead = &connection.said[connection.taken..];
        let messages: Vec<_> = (ahead.iter())
            .take_while(|(frame_end, _)| *frame_end <= end)
            .map(|(_, number)| *number)
            .collect();
        let session = connection.session.as_mut().expect("its task runs");
        let step = session.gather(&mut self.scratch, input, now);
        connection.taken_bytes += step.consumed as u64;
        let taken = (ahead.iter())
            .take_while(|(frame_end, _)| *frame_end <= connection.taken_bytes)
            .count();
        connection.taken += taken;
        tell!(
            self,
            "{index} takes {:?} of {messages:?}: {:?}",
            &messages[..taken],
            step.halt
        );
        let halt = step.halt.as_ref();
        (self.model).receive(index, &messages, taken, halt, block_bytes, now.mono);
        let connection = &self.connections[index];
        let before = connection
            .taken
            .checked_sub(1)
            .map(|last| connection.said[last].0);
        assert_eq!(
            connection.taken_bytes,
            before.unwrap_or(0),
            "intake: half a frame is gone"
        );
        self.observe();
        step
    }

    fn follow(&mut self, index: usize, step: Step) -> Took {
        self.connections[index].intake = match step.halt {
            None => Intake::Open,
            Some(Halt::Pause(pause)) => Intake::Paused(pause),
            Some(Halt::AnswersFull) => Intake::AnswersFull,
            Some(Halt::Storing) => unreachable!("no name is durable"),
            Some(Halt::Close | Halt::Refused) => return Took::End(End::Orderly),
        };
        Took::Something
    }

    // ---- output ----

    fn write(&mut self, index: usize, budget: usize) -> io::Result<Progress> {
        let now = self.now;
        let connection = &mut self.connections[index];
        let (seed, model) = (&mut self.seed, &mut self.model);
        let session = connection.session.as_mut().expect("its task runs");
        let (outbound, line) = (&mut connection.outbound, connection.line);
        let kernel_bytes = connection.kernel_bytes;
        let (bytes, progress) = session.transmit(budget, &mut |slices| {
            let room = kernel_bytes.saturating_sub(*outbound);
            match line {
                Line::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
                _ if room == 0 => return Err(io::ErrorKind::WouldBlock.into()),
                _ if seed.once_in(50) => return Err(io::ErrorKind::Interrupted.into()),
                _ => {}
            }
            let most = seed.pick(&[1, 30, 500, usize::MAX]);
            let mut left = room.min(most);
            let before = left;
            for slice in slices {
                let part = &slice[..slice.len().min(left)];
                model.wrote(index, part);
                left -= part.len();
            }
            *outbound += before - left;
            Ok(before - left)
        })?;
        connection.blocked = progress == Progress::Blocked;
        let has_answers = connection.session().has_answers();
        if bytes > 0 || !has_answers {
            connection.stalled_since = None;
        }
        if connection.blocked && has_answers {
            connection.stalled_since.get_or_insert(now);
        }
        tell!(self, "{index} writes {bytes} bytes: {progress:?}");
        self.observe();
        Ok(progress)
    }

    // ---- deadlines ----

    pub(super) fn meet_deadline(&mut self, index: usize) {
        let now = self.now;
        let connection = &mut self.connections[index];
        if connection.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if connection.closing.is_some() {
            return self.lose(index);
        }
        if (connection.stalled_since).is_some_and(|since| since + ANSWER_STALL_TIMEOUT <= now) {
            return self.close(index, &End::Broken);
        }
        connection.expired = true;
        connection.wakes.add(TIME);
    }

    // ---- the end ----

    /// The closing sequence.
    fn close(&mut self, index: usize, end: &End) {
        tell!(self, "{index} is closed: {end:?}");
        let closing = self.now + CLOSE_WRITE_TIMEOUT;
        let connection = &mut self.connections[index];
        connection.session().end_input();
        connection.intake = Intake::Ended;
        connection.closing = Some(closing);
        connection.stalled_since = None;
        self.model.end_input(index);
        let _ = self.handle_reports(index);
        self.observe();
        match end {
            End::Broken => self.lose(index),
            End::Orderly => self.go_on_closing(index),
        }
    }

    fn go_on_closing(&mut self, index: usize) {
        let budget = self.amount();
        match self.write(index, budget) {
            Ok(Progress::Idle) => {
                tell!(self, "{index} has written its rest");
                self.connections[index].session = None;
                self.model.leave(index, true);
            }
            Ok(Progress::Blocked) => {}
            Ok(Progress::More) => self.connections[index].wakes.add(ITSELF),
            Err(_) => self.lose(index),
        }
    }

    /// Ends the session, with or without a rest to be written.
    pub(super) fn lose(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.session.take().is_some() {
            connection.intake = Intake::Ended;
            self.model.leave(index, false);
            self.observe();
        }
    }
}
