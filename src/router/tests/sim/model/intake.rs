//! What a session takes, and what must follow from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::names::{Claiming, Held};
use super::queue::Entry;
use super::{Expected, Fate, Model};
use crate::limits::{QUEUE_RESERVE_DIVISOR, REFUSED_IN_A_ROW_MAX, RUN_PIN_BYTES_MIN};
use crate::router::tests::sim::messages::{Acks, Hello, Meaning, SERVER};
use crate::router::{HEALTH_MONITOR, Halt, LOG_AGGREGATOR, Overflow};
use crate::wire::Kind;

/// Messages, and those that were dropped behind them.
type LaneParts = (Vec<usize>, Vec<usize>);

/// What a read has come to so far.
#[derive(Default)]
struct Read {
    now: Duration,
    named: Vec<Batch>,
    audience: Option<Vec<usize>>,
    /// Broadcasts by receiver: parts of them, each with what was dropped behind.
    lanes: BTreeMap<usize, Vec<LaneParts>>,
    /// Kind, source and target of the run.
    run: Option<(Kind, String, Option<String>)>,
    /// Receivers that missed a broadcast of the run: they miss all that follow
    /// in it.
    missed: Vec<usize>,
}

/// Frames that are queued for a name together, and what was dropped behind
/// them.
struct Batch {
    name: String,
    /// Which outbox of that name.
    instance: u64,
    frames: Vec<usize>,
    missed: Vec<usize>,
}

impl Read {
    /// The batch of `name` to which frames can be added, or what was dropped.
    fn batch(&mut self, name: &str, instance: u64, for_frames: bool) -> &mut Batch {
        let known = self
            .named
            .iter()
            .rposition(|batch| batch.instance == instance);
        let known = known.filter(|&index| !for_frames || self.named[index].missed.is_empty());
        let index = known.unwrap_or(self.named.len());
        if known.is_none() {
            self.named.push(Batch {
                name: name.to_owned(),
                instance,
                frames: Vec::new(),
                missed: Vec::new(),
            });
        }
        &mut self.named[index]
    }
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Done,
    /// It waits until this time at most.
    Waits(Duration),
    /// It ends the connection.
    Closes,
}

impl Model {
    /// The session of `connection` was handed the whole frames of `messages`.
    /// It took the first `taken` and said `halt`.
    pub(in super::super) fn receive(
        &mut self,
        connection: usize,
        messages: &[usize],
        taken: usize,
        halt: Option<&Halt>,
        window_bytes: usize,
        now: Duration,
    ) {
        self.calls += 1;
        self.retry_claim(connection);
        let mut read = Read {
            now,
            ..Read::default()
        };
        let mut ended = Taken::Done;
        for (index, &message) in messages.iter().enumerate() {
            if index == taken && !matches!(halt, Some(Halt::Pause(_))) {
                break;
            }
            ended = self.take(connection, message, &mut read);
            if ended != Taken::Done {
                let expected = index + usize::from(ended == Taken::Closes);
                assert_eq!(taken, expected, "intake: frames taken before it {ended:?}");
                break;
            }
            assert!(index < taken, "intake: a pause where nothing is full");
        }
        match (halt, ended) {
            (None, Taken::Done) => assert_eq!(taken, messages.len(), "intake: a frame was left"),
            (Some(Halt::AnswersFull), Taken::Done) => self.meet("answers fill their lane"),
            (Some(Halt::Close), Taken::Closes) => {}
            (Some(Halt::Pause(pause)), Taken::Waits(deadline)) => {
                assert_eq!(pause.deadline, deadline, "intake: deadline of a pause");
                self.meet("an event waits for room");
                let waits = &self.records[messages[taken]].message.id;
                assert_eq!(pause.msg_id.as_str(), waits, "intake: what waits");
            }
            (halt, ended) => panic!("intake: {halt:?}, and should be {ended:?}"),
        }
        self.commit(read, window_bytes);
    }

    fn take(&mut self, connection: usize, number: usize, read: &mut Read) -> Taken {
        let message = self.records[number].message.clone();
        if !matches!(message.meaning, Meaning::Route) {
            read.run = None;
        }
        match message.meaning {
            Meaning::Route => {
                self.connections[connection].invalid_in_a_row = 0;
                let run = Some((message.kind, message.source.clone(), message.target.clone()));
                if read.run != run {
                    read.run = run;
                    read.missed.clear();
                }
                match &message.target {
                    None => self.broadcast(connection, number, read),
                    Some(target) => return self.address(connection, number, target, read),
                }
            }
            Meaning::Hello(hello) => {
                return self.hello(connection, number, &message.source, hello, read);
            }
            Meaning::Refuse { code, tells_id } => {
                return self.refuse(connection, number, code, tells_id);
            }
            Meaning::Close { code } => {
                self.refuse(connection, number, code, false);
                return Taken::Closes;
            }
        }
        Taken::Done
    }

    /// To a name.
    fn address(
        &mut self,
        connection: usize,
        number: usize,
        target: &str,
        read: &mut Read,
    ) -> Taken {
        let kind = self.records[number].message.kind;
        let size = self.records[number].message.frame.len();
        if target == SERVER && matches!(kind, Kind::Ack | Kind::Error) {
            self.accept(connection, number, 0);
            return Taken::Done;
        }
        let held = self.names.get_mut(target);
        let Some(held) = held.filter(|held| held.is_owned()) else {
            if target == HEALTH_MONITOR || target == LOG_AGGREGATOR {
                self.accept(connection, number, 0);
                return Taken::Done;
            }
            return self.refuse(connection, number, "TARGET_UNAVAILABLE", true);
        };
        let ordinary = (held.capacity).part(QUEUE_RESERVE_DIVISOR - 1, QUEUE_RESERVE_DIVISOR);
        let capacity = match kind {
            Kind::Ack | Kind::Error => held.capacity,
            _ => ordinary,
        };
        let (instance, reliefs) = (held.instance, held.queue.reliefs());
        let stalls = &mut self.connections[connection].stalls;
        if held.queue.fits(size, capacity) {
            held.queue.reserve(size);
            if kind == Kind::IngestEvent {
                stalls.admitted(instance, reliefs, read.now);
            }
            self.records[number].due += 1;
            self.accept(connection, number, 0);
            read.batch(target, instance, true).frames.push(number);
            return Taken::Done;
        }
        match (kind, held.overflow) {
            (Kind::LogRecord | Kind::Heartbeat, _) | (Kind::IngestEvent, Overflow::Drop) => {
                self.accept(connection, number, 1);
                read.batch(target, instance, false).missed.push(number);
                self.meet("a message is dropped for a name");
                Taken::Done
            }
            (Kind::IngestEvent, Overflow::Pause) => {
                let timeout = self.config.stall_timeout;
                match stalls.full(instance, reliefs, read.now, timeout) {
                    Some(deadline) => Taken::Waits(deadline),
                    None => {
                        self.meet("an event has waited long enough");
                        self.refuse(connection, number, "QUEUE_FULL", true)
                    }
                }
            }
            _ => self.refuse(connection, number, "QUEUE_FULL", true),
        }
    }

    /// To everyone who owns a name, but the sender.
    fn broadcast(&mut self, connection: usize, number: usize, read: &mut Read) {
        let size = self.records[number].message.frame.len();
        let audience = read.audience.get_or_insert_with(|| {
            let owners = self.names.values().flat_map(Held::owners);
            let mut others: Vec<_> = owners.filter(|&owner| owner != connection).collect();
            others.sort_unstable();
            others.dedup();
            others
        });
        let capacity = self.config.capacity();
        let mut missed = 0;
        for &receiver in &*audience {
            let lane = &mut self.connections[receiver].lane;
            if read.missed.contains(&receiver) || !lane.fits(size, capacity) {
                read.missed.push(receiver);
                let parts = read.lanes.entry(receiver).or_default();
                match parts.last_mut() {
                    Some((_, dropped)) => dropped.push(number),
                    None => parts.push((Vec::new(), vec![number])),
                }
                missed += 1;
                continue;
            }
            lane.reserve(size);
            let parts = read.lanes.entry(receiver).or_default();
            match parts.last_mut() {
                Some((frames, dropped)) if dropped.is_empty() => frames.push(number),
                _ => parts.push((vec![number], Vec::new())),
            }
            self.records[number].due += 1;
        }
        if missed > 0 {
            self.meet("a broadcast is dropped");
        }
        self.accept(connection, number, missed);
    }

    fn accept(&mut self, connection: usize, number: usize, missed: u32) {
        let record = &mut self.records[number];
        record.fate = Fate::Accepted;
        self.done.accepted += 1;
        self.done.dropped += u64::from(missed);
        let sender = &mut self.connections[connection];
        let batch = match sender.acks.unwrap_or(Acks::Each) {
            _ if record.message.kind == Kind::Ack => None,
            Acks::None => None,
            Acks::Each => Some(None),
            Acks::Batch => Some(Some(self.calls)),
        };
        if let Some(batch) = batch {
            sender.expected.push_back(Expected::Ack {
                message: number,
                missed,
                details: sender.details,
                batch,
            });
        }
        if sender.claiming == Claiming::Unsettled {
            let source = record.message.source.clone();
            sender.claiming = Claiming::Wanted(source);
            self.retry_claim(connection);
        }
    }

    fn refuse(
        &mut self,
        connection: usize,
        number: usize,
        code: &'static str,
        tells_id: bool,
    ) -> Taken {
        self.records[number].fate = Fate::Refused;
        self.done.refused += 1;
        let sender = &mut self.connections[connection];
        sender.expected.push_back(Expected::Error {
            code,
            message: tells_id.then_some(number),
        });
        if !is_invalid_frame(code) {
            sender.invalid_in_a_row = 0;
            return Taken::Done;
        }
        sender.invalid_in_a_row += 1;
        if sender.invalid_in_a_row < REFUSED_IN_A_ROW_MAX {
            return Taken::Done;
        }
        sender.expected.push_back(Expected::Error {
            code: "TOO_MANY_REFUSED",
            message: None,
        });
        self.meet("too many are refused");
        Taken::Closes
    }

    fn hello(
        &mut self,
        connection: usize,
        number: usize,
        source: &str,
        hello: Hello,
        _read: &mut Read,
    ) -> Taken {
        let nameless = self.tell(connection);
        let ended = match hello.refused {
            Some(code) => self.refuse(connection, number, code, true),
            None => {
                if !self.grant(connection, source, &hello) {
                    return self.refuse(connection, number, "SOURCE_NOT_ALLOWED", true);
                }
                let sender = &mut self.connections[connection];
                sender.claiming = Claiming::ByHello;
                sender.acks = hello.acks.or(sender.acks);
                sender.details = hello.details.unwrap_or(sender.details);
                sender.invalid_in_a_row = 0;
                let names = sender.claims.iter().map(|(name, _)| name.clone()).collect();
                sender.expected.push_back(Expected::Welcome {
                    message: number,
                    names,
                });
                self.records[number].fate = Fate::Accepted;
                self.done.accepted += 1;
                Taken::Done
            }
        };
        if nameless && self.connections[connection].claims.is_empty() {
            return Taken::Closes;
        }
        ended
    }

    /// Queues what was reserved, and notes what was dropped.
    fn commit(&mut self, read: Read, window_bytes: usize) {
        for Batch {
            name,
            instance,
            frames,
            missed,
        } in read.named
        {
            let entry = self.entry(&frames, window_bytes);
            match self.names.get_mut(&name) {
                Some(held) if held.instance == instance => {
                    if !frames.is_empty() {
                        held.queue.push(entry);
                    }
                    if !missed.is_empty() {
                        held.queue.miss(&missed);
                    }
                }
                // Its owner was the sender, and gave it up in the same read.
                _ => {
                    self.meet("a name ends before what was reserved is queued");
                    self.give_up(&name, &frames);
                }
            }
        }
        for (receiver, parts) in read.lanes {
            for (frames, dropped) in parts {
                let entry = self.lane_entry(&frames, window_bytes);
                let lane = &mut self.connections[receiver].lane;
                if !frames.is_empty() {
                    lane.push(entry);
                }
                if !dropped.is_empty() {
                    lane.miss(&dropped);
                }
            }
        }
    }

    /// Frames for a name. A slice keeps its window in memory, a copy lies in a
    /// buffer that was used before.
    fn entry(&self, frames: &[usize], window_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let lie_side_by_side = frames.windows(2).all(|pair| {
            let [first, second] = [pair[0], pair[1]].map(|number| &self.records[number]);
            first.end + second.message.frame.len() == second.end
        });
        let pins = lie_side_by_side && bytes >= RUN_PIN_BYTES_MIN && bytes >= window_bytes / 4;
        let charge = match pins {
            true => window_bytes..=window_bytes,
            false => bytes..=2 * bytes,
        };
        Entry::new(frames, charge)
    }

    /// Broadcasts for one receiver. Whether they are a slice depends on what
    /// others get of them.
    fn lane_entry(&self, frames: &[usize], window_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let most = match bytes >= RUN_PIN_BYTES_MIN {
            true => window_bytes.max(2 * bytes),
            false => 2 * bytes,
        };
        Entry::new(frames, bytes..=most)
    }

    fn bytes(&self, frames: &[usize]) -> usize {
        let size = |&number: &usize| self.records[number].message.frame.len();
        frames.iter().map(size).sum()
    }
}

fn is_invalid_frame(code: &str) -> bool {
    matches!(
        code,
        "INVALID_JSON"
            | "DUPLICATE_FIELD"
            | "INVALID_ENVELOPE"
            | "UNKNOWN_MSG_TYPE"
            | "INVALID_PAYLOAD"
    )
}
