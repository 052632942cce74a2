//! One thread of a load: some senders, some receivers, and a poll for them all.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::super::connection::{Connection, Pen, Scratch};
use super::super::count::{Answers, Deliveries};
use super::super::latency::Latency;
use super::super::load::Lane;
use super::schedule::Schedule;
use super::shared::{Flow, Shared};
use super::{Outcome, TICK};
use crate::cli::peer::Peer;

/// Wakes a thread whose senders wait for room.
const WAKE: Token = Token(usize::MAX);

/// A connection that sends.
#[derive(Debug)]
pub struct Sender<'a> {
    connection: Connection,
    lane: &'a Lane,
    pen: Pen<'a>,
    /// Messages that may be sent.
    allowed: u64,
    /// Whether no more will be.
    is_final: bool,
    /// The `hello` behind all messages, as far as it has not been written.
    fence: Vec<u8>,
    answers: Answers<'a>,
    /// Whether it waits in the queue of those that may write.
    is_queued: bool,
}

impl<'a> Sender<'a> {
    /// A sender of `lane`, which may send nothing yet.
    pub fn new(
        peer: Peer,
        lane: &'a Lane,
        answers: Answers<'a>,
        fence: Vec<u8>,
    ) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::new(peer)?,
            lane,
            pen: Pen::new(lane),
            allowed: 0,
            is_final: false,
            fence,
            answers,
            is_queued: false,
        })
    }

    /// It may send so many messages and no more.
    pub fn allow_in_all(&mut self, messages: u64) {
        self.pen.allow(messages);
        self.is_final = true;
    }

    /// It may send until it is told to end.
    pub fn allow_all(&mut self) {
        self.pen.allow_all();
    }

    /// One more message is due.
    fn allow_next(&mut self) {
        self.allowed += 1;
        self.pen.allow(self.allowed);
    }

    /// It finishes the message that it has begun, and sends no more.
    fn end(&mut self) {
        self.pen.end();
        self.is_final = true;
    }

    /// Whether there is something that it may write.
    fn wants_to_write(&self) -> bool {
        self.pen.left() > 0 || self.wants_to_fence()
    }

    fn wants_to_fence(&self) -> bool {
        self.is_final && self.pen.left() == 0 && !self.fence.is_empty()
    }

    /// Writes once, `room` bytes of messages at most; how many it were.
    fn write(&mut self, room: u64) -> io::Result<u64> {
        if self.wants_to_fence() {
            let taken = self.connection.write(&self.fence)?;
            self.fence.drain(..taken);
            return Ok(0);
        }
        self.pen.write(&mut self.connection, room)
    }
}

/// A connection that receives.
#[derive(Debug)]
pub struct Receiver<'a> {
    connection: Connection,
    number: usize,
    deliveries: Deliveries<'a>,
}

impl<'a> Receiver<'a> {
    /// Receiver `number` of the load.
    pub fn new(peer: Peer, number: usize, deliveries: Deliveries<'a>) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::new(peer)?,
            number,
            deliveries,
        })
    }
}

/// A thread's work. Call [`run`](Self::run) once, in that thread.
#[derive(Debug)]
pub struct Driver<'a, 's> {
    shared: &'s Shared,
    poll: Poll,
    scratch: Scratch,
    senders: Vec<Sender<'a>>,
    receivers: Vec<Receiver<'a>>,
    /// Senders that may write, as far as is known.
    queue: VecDeque<usize>,
    paced: Option<Paced>,
    last_delivery: Option<Instant>,
    last_answer: Option<Instant>,
    broken: Vec<String>,
}

/// What a load at a rate has beside.
#[derive(Debug)]
struct Paced {
    schedule: Schedule,
    may_spin: bool,
    latency: Latency,
    late: Latency,
}

impl<'a, 's> Driver<'a, 's> {
    /// A thread that serves these.
    pub fn new(
        shared: &'s Shared,
        mut senders: Vec<Sender<'a>>,
        mut receivers: Vec<Receiver<'a>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        for (number, receiver) in receivers.iter_mut().enumerate() {
            let source = receiver.connection.source();
            registry.register(source, Token(number), Interest::READABLE)?;
        }
        for (number, sender) in senders.iter_mut().enumerate() {
            let token = Token(receivers.len() + number);
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(sender.connection.source(), token, both)?;
        }
        if !senders.is_empty()
            && let Some(flow) = shared.flow()
        {
            flow.register(Waker::new(registry, WAKE)?);
        }
        Ok(Self {
            shared,
            poll,
            scratch: Scratch::new(),
            senders,
            receivers,
            queue: VecDeque::new(),
            paced: None,
            last_delivery: None,
            last_answer: None,
            broken: Vec::new(),
        })
    }

    /// Its senders write when `schedule` says so.
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.shared.set_pause(schedule.interval());
        self.paced = Some(Paced {
            schedule,
            may_spin: std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1),
            latency: Latency::new(),
            late: Latency::new(),
        });
        self
    }

    /// Works until all is done, or given up. Messages are due from `start` on,
    /// and none is begun after `end`.
    pub fn run(mut self, start: Instant, mut end: Option<Duration>) -> Self {
        let mut events = Events::with_capacity(1024);
        (0..self.senders.len()).for_each(|sender| self.enqueue(sender));
        while !self.is_done() {
            if end.is_some_and(|end| start.elapsed() >= end) {
                end = None;
                for number in 0..self.senders.len() {
                    self.senders[number].end();
                    self.enqueue(number);
                }
            }
            self.allow_what_is_due(start);
            let wait = self.write(start);
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.breaks("waiting", &error);
            }
            for event in &events {
                match event.token().0.checked_sub(self.receivers.len()) {
                    _ if event.token() == WAKE => {}
                    None => self.receive(event.token().0, start),
                    Some(sender) => {
                        if event.is_writable() {
                            self.senders[sender].connection.set_writable();
                            self.enqueue(sender);
                        }
                        if event.is_readable() {
                            self.read_answers(sender);
                        }
                    }
                }
            }
            if !self.receivers.is_empty()
                && let Some(flow) = self.shared.flow()
            {
                flow.wake();
            }
        }
        self
    }

    fn is_done(&self) -> bool {
        let answered = self.senders.iter().all(|sender| sender.answers.fenced);
        self.shared.is_stopped()
            || (answered && (self.receivers.is_empty() || self.shared.all_delivered()))
    }

    fn enqueue(&mut self, number: usize) {
        let sender = &mut self.senders[number];
        if !sender.is_queued && sender.connection.is_writable() && sender.wants_to_write() {
            sender.is_queued = true;
            self.queue.push_back(number);
        }
    }

    /// Lets the senders write what is due by now.
    fn allow_what_is_due(&mut self, start: Instant) {
        let Some(paced) = &mut self.paced else {
            return;
        };
        if paced.schedule.is_over() {
            return;
        }
        let now_ns = start.elapsed().as_nanos() as u64;
        let mut due = Vec::new();
        while let Some((lane, due_ns)) = paced.schedule.take_due(now_ns) {
            paced.late.record_ns(now_ns - due_ns);
            self.senders[lane].allow_next();
            due.push(lane);
        }
        if paced.schedule.is_over() {
            self.senders.iter_mut().for_each(|s| s.is_final = true);
            due = (0..self.senders.len()).collect();
        }
        due.into_iter().for_each(|lane| self.enqueue(lane));
    }

    /// Writes once for each sender that may; how long may be waited then.
    fn write(&mut self, start: Instant) -> Duration {
        for _ in 0..self.queue.len() {
            let Some(number) = self.queue.pop_front() else {
                break;
            };
            let sender = &mut self.senders[number];
            let room = match self.shared.flow().map_or(u64::MAX, Flow::room) {
                0 => sender.pen.left_of_message(),
                room => room,
            };
            if room == 0 && !sender.wants_to_fence() {
                self.queue.push_back(number);
                continue;
            }
            sender.is_queued = false;
            match sender.write(room) {
                Ok(bytes) => {
                    if let Some(flow) = self.shared.flow() {
                        flow.add_sent(bytes);
                    }
                    self.enqueue(number);
                }
                Err(error) => self.breaks("writing", &error),
            }
        }
        self.wait(start)
    }

    /// How long may be waited, if nothing arrives.
    fn wait(&self, start: Instant) -> Duration {
        if !self.queue.is_empty() {
            let room = self.shared.flow().map_or(u64::MAX, Flow::await_room);
            // Without room it is woken as soon as there is some.
            return if room > 0 { Duration::ZERO } else { TICK };
        }
        match &self.paced {
            Some(paced) if !paced.schedule.is_over() => {
                let now_ns = start.elapsed().as_nanos() as u64;
                paced.schedule.sleep(now_ns, paced.may_spin)
            }
            _ => TICK,
        }
    }

    fn receive(&mut self, number: usize, start: Instant) {
        let Receiver {
            connection,
            number,
            deliveries,
        } = &mut self.receivers[number];
        let before = deliveries.delivered;
        let read = connection.read(&mut self.scratch, |frames| match &mut self.paced {
            None => {
                for frame in frames {
                    deliveries.take(frame);
                }
            }
            Some(paced) => {
                let now_ns = start.elapsed().as_nanos() as u64;
                for frame in frames {
                    if let Some(delivery) = deliveries.take(frame) {
                        let due_ns = paced.schedule.due_ns(delivery.lane, delivery.number);
                        paced.latency.record_ns(now_ns.saturating_sub(due_ns));
                    }
                }
            }
        });
        if let Some(flow) = self.shared.flow() {
            flow.set_received(*number, deliveries.bytes);
        }
        let more = deliveries.delivered - before;
        if more > 0 {
            self.last_delivery = Some(Instant::now());
            self.shared.add_delivered(more);
        }
        if let Err(error) = read {
            self.breaks("receiving", &error);
        }
    }

    fn read_answers(&mut self, number: usize) {
        let sender = &mut self.senders[number];
        let answers = &mut sender.answers;
        let (before, was_fenced) = (answers.settled(), answers.fenced);
        let refused_before = answers.refused_bytes;
        let read = sender.connection.read(&mut self.scratch, |frames| {
            for frame in frames {
                answers.take(frame);
            }
        });
        let more = answers.settled() - before;
        if more > 0 {
            self.last_answer = Some(Instant::now());
            self.shared.add_answered(more);
        }
        let refused = answers.refused_bytes - refused_before;
        if refused > 0
            && let Some(flow) = self.shared.flow()
        {
            // They won't arrive anywhere.
            flow.take_back(refused);
        }
        if answers.fenced && !was_fenced {
            let copies = answers.copies();
            let arrived = sender.pen.messages() - answers.refused_in_all();
            let owed = (arrived * copies).saturating_sub(answers.dropped);
            self.shared.sender_ends(owed);
        }
        if let Err(error) = read {
            self.breaks("reading answers", &error);
        }
    }

    /// Without one of its connections, a load is of no use.
    fn breaks(&mut self, doing: &str, error: &dyn std::fmt::Display) {
        self.broken.push(format!("{doing}: {error}"));
        self.shared.stop();
    }

    /// Adds what came of it to `outcome`.
    pub fn add_to(self, outcome: &mut Outcome<'a>, start: Instant) {
        let since_start = |last: Option<Instant>| last.map_or(Duration::ZERO, |last| last - start);
        outcome.delivering = outcome.delivering.max(since_start(self.last_delivery));
        outcome.answering = outcome.answering.max(since_start(self.last_answer));
        for sender in self.senders {
            let sent = sender.pen.messages();
            outcome.sent += sent;
            outcome.answerable += sender.lane.answered_of(sent);
            outcome.answers.push(sender.answers);
        }
        let deliveries = self.receivers.into_iter().map(|r| r.deliveries);
        outcome.deliveries.extend(deliveries);
        if let Some(paced) = self.paced {
            outcome.latency = Some(paced.latency);
            outcome.late = Some(paced.late);
        }
        outcome.broken.extend(self.broken);
    }
}
