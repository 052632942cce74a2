//! The messages that a session takes, and their consequences.

mod commit;

use std::collections::BTreeMap;
use std::time::Duration;

use super::names::Claiming;
use super::windows::Window;
use super::{Expected, Fate, Model};
use crate::limits::{QUEUE_RESERVE_DIVISOR, REFUSED_IN_A_ROW_MAX};
use crate::router::tests::sim::messages::{Acks, Hello, Meaning, Message, SERVER};
use crate::router::{HEALTH_MONITOR, Halt, LOG_AGGREGATOR, Overflow};
use crate::wire::Kind;

/// Messages, and those that were dropped behind them.
pub(super) type BroadcastParts = (Vec<usize>, Vec<usize>);

/// The results of a read so far.
#[derive(Default)]
pub(super) struct Read {
    now: Duration,
    named: Vec<Batch>,
    pub(super) audience: Option<Vec<usize>>,
    /// Broadcasts by receiver: parts of them, each with the drops behind it.
    pub(super) broadcasts: BTreeMap<usize, Vec<BroadcastParts>>,
    /// Kind, source and target of the run.
    run: Option<RunKey>,
    /// Whether anybody chooses among the broadcasts.
    is_matched: bool,
    /// Whether each message is taken by itself: one of the run is known, or may
    /// turn out to be once it was given to a receiver.
    one_by_one: bool,
    /// The run goes to a service of the server's, also if its first message
    /// claims the name of that.
    to_service: bool,
    /// Receivers that missed a broadcast of the run: they miss all that follow
    /// in it, up to the first that is not for them.
    pub(super) missed: Vec<usize>,
}

/// Kind, source and target.
type RunKey = (Kind, String, Option<String>);

/// Frames that are queued for a name together, and the drops behind them.
struct Batch {
    name: String,
    /// The mailbox of that name.
    instance: u64,
    frames: Vec<usize>,
    missed: Vec<usize>,
}

impl Read {
    /// The batch of `name` that frames or drops can be added to.
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

/// The fate of a frame.
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
        block_bytes: usize,
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
            let ahead = match halt {
                Some(Halt::Pause(_)) => &messages[index..],
                _ => &messages[index..taken],
            };
            self.follow_run(connection, ahead, &mut read);
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
            (Some(Halt::AnswersFull), Taken::Done) => self.meet("answers fill up"),
            (Some(Halt::Close), Taken::Closes) => {}
            (Some(Halt::Pause(pause)), Taken::Waits(deadline)) => {
                assert_eq!(pause.deadline, deadline, "intake: deadline of a pause");
                self.meet("an event waits for room");
                let waits = &self.records[messages[taken]].message.id;
                assert_eq!(pause.msg_id.as_str(), waits, "intake: what waits");
            }
            (halt, ended) => panic!("intake: {halt:?}, and should be {ended:?}"),
        }
        self.commit(read, block_bytes);
    }

    /// The key of the run to which a message belongs, if it belongs to one.
    fn run_key(&self, number: usize) -> Option<RunKey> {
        let message = &self.records[number].message;
        let is_routed = matches!(message.meaning, Meaning::Route);
        is_routed.then(|| (message.kind, message.source.clone(), message.target.clone()))
    }

    /// Whether a service takes messages to `target`, because nobody owns that.
    fn is_served(&self, target: &str) -> bool {
        let is_owned = self.names.get(target).is_some_and(super::Held::is_owned);
        (target == HEALTH_MONITOR || target == LOG_AGGREGATOR) && !is_owned
    }

    /// Finds out whether another run begins with the first of `ahead`.
    fn follow_run(&mut self, connection: usize, ahead: &[usize], read: &mut Read) {
        let run = ahead.first().and_then(|&number| self.run_key(number));
        if read.run != run {
            let others = ahead.iter().skip(1);
            let others = others.take_while(|&&number| self.run_key(number) == run);
            let run_ahead = &ahead[..ahead.len().min(1 + others.count())];
            let is_broadcast = run.as_ref().is_some_and(|(.., target)| target.is_none());
            if is_broadcast && read.audience.is_none() {
                read.audience = Some(self.hearers(connection));
                read.is_matched = self.somebody_chooses();
            }
            let is_remembered = self.connections[connection].accepted.is_some();
            read.one_by_one = run.is_some() && self.is_taken_one_by_one(connection, run_ahead)
                || is_broadcast && read.is_matched && is_remembered;
            let target = run.as_ref().and_then(|(.., target)| target.as_deref());
            read.to_service = target.is_some_and(|target| self.is_served(target));
            read.run = run;
            read.missed.clear();
        }
        if read.one_by_one {
            read.missed.clear();
        }
    }

    fn take(&mut self, connection: usize, number: usize, read: &mut Read) -> Taken {
        let message = self.records[number].message.clone();
        match message.meaning {
            Meaning::Route => {
                self.connections[connection].invalid_in_a_row = 0;
                if self.recognizes(connection, number) {
                    return Taken::Done;
                }
                match &message.target {
                    None => self.broadcast(connection, number, read),
                    Some(target) => return self.address(connection, number, target, read),
                }
            }
            Meaning::Hello(_) | Meaning::Subscribe(_) | Meaning::Unsubscribe(_) => {
                return self.control(connection, number, &message);
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
            if kind == Kind::Ack {
                self.release_one(connection);
            }
            self.accept(connection, number, 0, 0);
            return Taken::Done;
        }
        if read.to_service {
            self.accept(connection, number, 0, 0);
            return Taken::Done;
        }
        let held = self.names.get_mut(target);
        let Some(held) = held.filter(|held| held.is_owned()) else {
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
            self.accept(connection, number, 0, 0);
            read.batch(target, instance, true).frames.push(number);
            return Taken::Done;
        }
        match (kind, held.overflow) {
            (Kind::LogRecord | Kind::Heartbeat, _) | (Kind::IngestEvent, Overflow::Drop) => {
                self.accept(connection, number, 1, 0);
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
            (Kind::IngestEvent, Overflow::Refuse)
            | (Kind::Ack | Kind::Error | Kind::Hello | Kind::Subscribe | Kind::Unsubscribe, _) => {
                self.refuse(connection, number, "QUEUE_FULL", true)
            }
        }
    }

    pub(super) fn accept(&mut self, connection: usize, number: usize, missed: u32, unsure: u32) {
        self.done.dropped += u64::from(missed);
        self.acknowledge(connection, number, missed, unsure);
        self.remember(connection, number);
        self.note_accepted(connection, number);
    }

    pub(super) fn acknowledge(
        &mut self,
        connection: usize,
        number: usize,
        missed: u32,
        unsure: u32,
    ) {
        let kind = self.records[number].message.kind;
        let sender = &mut self.connections[connection];
        let batch = match sender.acks.unwrap_or(Acks::Each) {
            _ if kind == Kind::Ack => None,
            Acks::None => None,
            Acks::Each => Some(None),
            Acks::Batch => Some(Some(self.calls)),
        };
        if let Some(batch) = batch {
            sender.expected.push_back(Expected::Ack {
                message: number,
                missed,
                unsure,
                details: sender.details,
                batch,
            });
        }
    }

    pub(super) fn note_accepted(&mut self, connection: usize, number: usize) {
        let record = &mut self.records[number];
        record.fate = Fate::Accepted;
        self.done.accepted += 1;
        let sender = &mut self.connections[connection];
        if sender.claiming == Claiming::Undecided {
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

    fn control(&mut self, connection: usize, number: usize, message: &Message) -> Taken {
        let nameless = self.tell(connection);
        let ended = match &message.meaning {
            Meaning::Hello(hello) => self.hello(connection, number, &message.source, hello),
            Meaning::Subscribe(subscribe) => {
                self.subscribe(connection, number, subscribe);
                Taken::Done
            }
            Meaning::Unsubscribe(id) if self.unsubscribe(connection, number, id) => Taken::Done,
            _ => self.refuse(connection, number, "INVALID_PAYLOAD", true),
        };
        if nameless && self.connections[connection].claims.is_empty() {
            return Taken::Closes;
        }
        ended
    }

    fn hello(&mut self, connection: usize, number: usize, source: &str, hello: &Hello) -> Taken {
        if let Some(code) = hello.refused {
            return self.refuse(connection, number, code, true);
        }
        if let Err(code) = self.grant(connection, source, hello) {
            let refused = self.refuse(connection, number, code, true);
            return match code {
                "NAME_TAKEN_OVER" => Taken::Closes,
                _ => refused,
            };
        }
        self.connections[connection].claiming = Claiming::ByHello;
        self.choose_accepted(connection, hello);
        self.choose_window(connection, hello);
        let (resumable, resume) = (self.is_resumable(connection), self.has_resumed(connection));
        let sender = &mut self.connections[connection];
        sender.acks = hello.acks.or(sender.acks);
        sender.details = hello.details.unwrap_or(sender.details);
        if let Some(broadcasts) = hello.broadcasts {
            sender.subscriptions.wants_none = !broadcasts;
        }
        sender.invalid_in_a_row = 0;
        let names = sender.claims.iter().map(|(name, _)| name.clone()).collect();
        sender.expected.push_back(Expected::Welcome {
            message: number,
            names,
            resumable,
            resume,
            window: sender.window.as_ref().map(Window::size),
        });
        self.records[number].fate = Fate::Accepted;
        self.done.accepted += 1;
        Taken::Done
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
