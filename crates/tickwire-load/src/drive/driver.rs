//! One thread of a load: some senders, some receivers, and a poll for them all.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::ends::{Receiver, Sender};
use super::gauge::Gauge;
use super::schedule::Schedule;
use super::shared::{Flow, Shared};
use super::{EXCESS_TIME, Outcome, Pace, Plan, TICK, WRITES_PER_TURN};
use crate::connection::Scratch;
use crate::count::{Counting, Replies};
use crate::latency::Latency;
use crate::load::Load;

/// Wakes a thread with senders that wait for room.
const WAKE: Token = Token(usize::MAX);

/// A thread's work. Call [`run`](Self::run) once, in that thread.
#[derive(Debug)]
pub struct Driver<'a, 's> {
    shared: &'s Shared,
    plan: &'s Plan,
    load: &'a Load,
    poll: Poll,
    scratch: Scratch,
    senders: Vec<Sender<'a>>,
    receivers: Vec<Receiver<'a>>,
    /// Senders that may write, as far as is known.
    queue: VecDeque<usize>,
    paced: Option<Paced>,
    /// Of its receivers' bytes, or if it has none, of its senders' answers.
    gauge: Option<Gauge>,
    /// Answers that its senders have got.
    answered: u64,
    /// Bytes that its receivers have got.
    received: u64,
    /// The time since which all was delivered.
    complete_since: Option<Instant>,
    last_delivery: Option<Instant>,
    last_answer: Option<Instant>,
    broken: Vec<String>,
}

/// The part of a load at a rate.
#[derive(Debug)]
struct Paced {
    schedule: Schedule,
    may_spin: bool,
    joins_late: bool,
    latency: Latency,
    late: Latency,
}

impl<'a, 's> Driver<'a, 's> {
    /// A thread that serves these.
    pub fn new(
        shared: &'s Shared,
        plan: &'s Plan,
        load: &'a Load,
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
        let paced = match &plan.pace {
            Pace::FlatOut(_) => None,
            Pace::Scheduled {
                schedule,
                may_spin,
                joins_late,
            } => Some(Paced {
                schedule: schedule.clone(),
                may_spin: *may_spin,
                joins_late: *joins_late,
                latency: Latency::new(),
                late: Latency::new(),
            }),
        };
        Ok(Self {
            shared,
            plan,
            load,
            poll,
            scratch: Scratch::new(),
            senders,
            receivers,
            queue: VecDeque::new(),
            paced,
            gauge: None,
            answered: 0,
            received: 0,
            complete_since: None,
            last_delivery: None,
            last_answer: None,
            broken: Vec::new(),
        })
    }

    /// Works until all is done, or given up. Messages are due from `start` on,
    /// and none is begun after `end`.
    pub fn run(mut self, start: Instant, mut end: Option<Duration>) -> Self {
        let mut events = Events::with_capacity(1024);
        self.gauge = self.plan.window.map(|window| Gauge::new(window, start));
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
            for _ in 0..WRITES_PER_TURN {
                self.write();
            }
            let wait = self.wait(start);
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

    fn is_done(&mut self) -> bool {
        if self.shared.is_stopped() {
            return true;
        }
        if !self.senders.iter().all(|sender| sender.has_ended) {
            return false;
        }
        if self.receivers.is_empty() {
            return true;
        }
        if !self.shared.all_delivered() {
            return false;
        }
        let since = *self.complete_since.get_or_insert_with(Instant::now);
        self.plan.counting == Counting::Messages || since.elapsed() >= EXCESS_TIME
    }

    /// Queues a sender that may write, and tells of one that has ended.
    fn enqueue(&mut self, number: usize) {
        let sender = &mut self.senders[number];
        if sender.ends() {
            let owed = sender.owed(self.load, self.plan.counting);
            self.shared.sender_ends(owed);
        }
        if !sender.is_queued && sender.connection.is_writable() && sender.wants_to_write() {
            sender.is_queued = true;
            self.queue.push_back(number);
        }
    }

    /// Lets the senders write the messages that are due by now.
    fn allow_what_is_due(&mut self, start: Instant) {
        let Some(paced) = &mut self.paced else {
            return;
        };
        if paced.schedule.is_over() {
            return;
        }
        let now_ns = start.elapsed().as_nanos() as u64;
        let mut due = Vec::new();
        while let Some((sender, due_ns)) = paced.schedule.take_due(now_ns) {
            paced.late.record_ns(now_ns - due_ns);
            self.senders[sender].allow_next();
            due.push(sender);
        }
        if paced.schedule.is_over() {
            self.senders.iter_mut().for_each(|s| s.is_final = true);
            due = (0..self.senders.len()).collect();
        }
        due.into_iter().for_each(|sender| self.enqueue(sender));
    }

    /// Writes once for each sender that may.
    fn write(&mut self) {
        for _ in 0..self.queue.len() {
            let Some(number) = self.queue.pop_front() else {
                break;
            };
            let sender = &mut self.senders[number];
            let room = match self.shared.flow().map_or(u64::MAX, Flow::room) {
                0 => sender.cursor.left_of_message(),
                room => room,
            };
            if room == 0 && !sender.wants_to_fence() {
                self.queue.push_back(number);
                continue;
            }
            sender.is_queued = false;
            let room = match &self.paced {
                Some(paced) if !paced.joins_late => room.min(sender.cursor.left_of_next()),
                _ => room,
            };
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
    }

    /// The time to wait if nothing arrives.
    fn wait(&self, start: Instant) -> Duration {
        if self.complete_since.is_some() {
            return EXCESS_TIME;
        }
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
            arrivals,
        } = &mut self.receivers[number];
        let (units, bytes) = (arrivals.units(), arrivals.bytes());
        let (paced, gauge, flow) = (&mut self.paced, &mut self.gauge, self.shared.flow());
        let before = self.received;
        let read = connection.read(&mut self.scratch, |read| {
            let taken = match paced {
                None => arrivals.take(read, |_| {}),
                Some(paced) => {
                    let now_ns = start.elapsed().as_nanos() as u64;
                    arrivals.take(read, |delivery| {
                        let due_ns = paced.schedule.due_ns(delivery.stream, delivery.number);
                        paced.latency.record_ns(now_ns.saturating_sub(due_ns));
                    })
                }
            };
            if let Some(flow) = flow {
                flow.set_received(*number, arrivals.bytes());
            }
            if let Some(gauge) = gauge {
                gauge.note(Instant::now(), before + arrivals.bytes() - bytes);
            }
            taken
        });
        self.received += arrivals.bytes() - bytes;
        let more = arrivals.units() - units;
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
        let replies = &mut sender.replies;
        let refused_bytes = |replies: &Replies<'_>| replies.exact().map_or(0, |a| a.refused_bytes);
        let (before, refused_before) = (replies.settled(), refused_bytes(replies));
        let read = (sender.connection).read(&mut self.scratch, |bytes| replies.take(bytes));
        let more = replies.settled() - before;
        if more > 0 {
            let now = Instant::now();
            self.last_answer = Some(now);
            self.shared.add_answered(more);
            self.answered += more;
            if let Some(gauge) = self.gauge.as_mut().filter(|_| self.receivers.is_empty()) {
                gauge.note(now, self.answered);
            }
        }
        let refused = refused_bytes(replies) - refused_before;
        if refused > 0
            && let Some(flow) = self.shared.flow()
        {
            flow.take_back(refused);
        }
        sender.grant();
        match read {
            Ok(()) => self.enqueue(number),
            Err(error) => self.breaks("reading answers", &error),
        }
    }

    /// Gives the load up: without one of its connections it is of no use.
    fn breaks(&mut self, doing: &str, error: &dyn std::fmt::Display) {
        self.broken.push(format!("{doing}: {error}"));
        self.shared.stop();
    }

    /// Adds its results to `outcome`.
    pub fn add_to(self, outcome: &mut Outcome<'a>, start: Instant) {
        let since_start = |last: Option<Instant>| last.map_or(Duration::ZERO, |last| last - start);
        outcome.delivering = outcome.delivering.max(since_start(self.last_delivery));
        outcome.answering = outcome.answering.max(since_start(self.last_answer));
        outcome.broken.extend(self.broken);
        for sender in self.senders {
            let sent = sender.cursor.messages();
            outcome.add_sender(sender.number, sender.replies, sent);
        }
        match self.gauge.map(|gauge| gauge.per_second()) {
            None => {}
            Some(rate) if self.receivers.is_empty() => {
                outcome.answers_per_second += rate.unwrap_or(0.0);
            }
            Some(Ok(rate)) => outcome.bytes_per_second += rate,
            Some(Err(reason)) => outcome.broken.push(reason),
        }
        let arrivals = self.receivers.into_iter().map(|r| r.arrivals);
        outcome.arrivals.extend(arrivals);
        if let Some(paced) = self.paced {
            outcome.latency = Some(paced.latency);
            outcome.late = Some(paced.late);
        }
    }
}
