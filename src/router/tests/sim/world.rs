//! Clients, a network and a clock that a seed decides about, around one router.
//!
//! Nothing happens by itself: each step one client speaks, one end of a
//! connection moves some bytes, one connection's task runs, or time passes.
//! A task runs only if it was woken, as in the shell.

mod clients;
mod connection;
mod task;
mod wakes;

use std::collections::HashMap;
use std::time::Duration;

use self::connection::Connection;
use super::messages::{Author, NAMES};
use super::model::{Met, Model};
use crate::ids::Name;
use crate::limits::READ_BUFFER_BYTES;
use crate::router::{NameConfig, Now, Overflow, ReadScratch, Router, RouterConfig};
use crate::wire::testing::generate::Seed;

/// Steps of one run, before it is led to its end.
const STEPS: usize = 400;
/// Rounds until everything must have come to rest.
const ROUNDS_MAX: usize = 20_000;

/// How one run differs from others.
#[derive(Debug)]
pub(super) struct Habits {
    /// A task looks only at the cause of its wake-up, instead of at everything.
    exact: bool,
    actors: usize,
    names: usize,
    /// Bytes that the kernel holds for a receiver.
    kernel_bytes: usize,
    /// One connection in so many is cut, or stalls, at each of these steps.
    calm: usize,
    /// Whether connections say `hello`.
    hellos: bool,
    /// One message in so many is for everyone.
    broadcasts: usize,
    /// Most bytes by which a message is longer than it need be.
    padding: usize,
    /// Most messages said at once.
    burst: usize,
    /// One message in so many is refused wherever it comes.
    wrong: usize,
    /// Whether connections share names.
    groups: bool,
    /// Whether connections choose among broadcasts.
    subscriptions: bool,
    /// Whether connections send unanswered messages again.
    resends: bool,
    /// Whether connections ask for no more than so many messages.
    windows: bool,
}

/// See the [module](self).
pub(super) struct World {
    pub(super) router: Router,
    pub(super) scratch: ReadScratch,
    pub(super) model: Model,
    pub(super) connections: Vec<Connection>,
    pub(super) seed: Seed,
    pub(super) now: Duration,
    pub(super) habits: Habits,
    author: Author,
    /// The connection that each actor uses.
    actors: Vec<Option<usize>>,
    trace: bool,
}

/// Tells a step in the trace.
macro_rules! tell {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            eprintln!("{:>9.3} {}", $world.now.as_secs_f64(), format_args!($($what)*));
        }
    };
}
use tell;

/// Names with their own rules for the queue.
fn own_rules(seed: &mut Seed) -> HashMap<Name, NameConfig> {
    let mut rules = HashMap::new();
    for name in NAMES {
        if seed.once_in(4) {
            let own = NameConfig {
                queue_bytes: seed.pick(&[None, Some(2_000)]),
                queue_messages: seed.pick(&[None, Some(16)]),
                overflow: seed.pick(&[Overflow::Pause, Overflow::Refuse, Overflow::Drop]),
                ..NameConfig::default()
            };
            rules.insert(Name::new(name).expect("a name"), own);
        }
    }
    rules
}

impl World {
    /// The world of `number`.
    pub(super) fn new(number: u64, trace: bool) -> Self {
        let mut seed = Seed::new(number);
        let config = RouterConfig {
            queue_bytes: seed.pick(&[1_000, 3_000, 8_000, 30_000, 200_000]),
            queue_messages: seed.pick(&[8, 16, 24, 100]),
            stall_timeout: Duration::from_millis(seed.pick(&[0, 500, 2_000])),
            linger: Duration::from_millis(seed.pick(&[0, 1_000, 5_000, 60_000])),
            names: own_rules(&mut seed),
            ..RouterConfig::default()
        };
        let subscriptions = seed.once_in(3);
        let habits = Habits {
            exact: seed.once_in(2),
            actors: 2 + seed.below(5),
            names: 1 + seed.below(NAMES.len()),
            kernel_bytes: seed.pick(&[100, 1_000, 5_000, 100_000]),
            calm: seed.pick(&[1, 3, 10, 1_000]),
            hellos: !seed.once_in(4),
            broadcasts: seed.pick(&[2, 5, 1_000]),
            padding: seed.pick(&[0, 100, 1_000, 8_000]),
            burst: match seed.below(20) {
                0 => 800,
                _ => seed.pick(&[3, 12, 40]),
            },
            wrong: match seed.below(40) {
                0 => 1,
                _ => 40,
            },
            groups: seed.once_in(4),
            subscriptions,
            resends: seed.once_in(3),
            // Not of the seed: its other decisions stay as they are.
            windows: number % 5 == 3,
        };
        let world = Self {
            model: Model::new(&config),
            router: Router::new(config),
            scratch: ReadScratch::default(),
            connections: Vec::new(),
            actors: vec![None; habits.actors],
            now: Duration::ZERO,
            author: Author::default(),
            seed,
            habits,
            trace,
        };
        tell!(world, "{:?} {:?}", world.habits, world.router.0.config);
        world
    }

    /// Lets things happen, leads them to an end, and checks the outcome.
    pub(super) fn run(mut self) -> Met {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.come_to_rest();
        self.check_rest();
        for connection in 0..self.connections.len() {
            self.lose(connection);
        }
        while let Some(next) = self.model.lingers_until(self.now) {
            self.pass(next - self.now);
        }
        assert_eq!(self.router.name_count(), 0, "names: some are left");
        let audience = self.router.0.registry.hearers.audience();
        assert_eq!(audience.receivers.len(), 0, "names: an audience is left");
        assert!(audience.index.is_none(), "names: a subscriber is left");
        let mut stats = self.router.stats();
        if self.model.offers() > 0 {
            // Drops and replacements in conflated queues were checked already.
            stats.dropped = self.model.done().dropped;
            stats.conflated = 0;
        }
        assert_eq!(stats, self.model.done(), "what was done");
        self.model.audit();
        self.model.met()
    }

    pub(super) fn time(&self) -> Now {
        Now {
            mono: self.now,
            unix_ms: 1_767_444_060_000 + self.now.as_millis() as i64,
        }
    }

    // ---- steps ----

    fn step(&mut self) {
        match self.seed.below(40) {
            0..=3 => self.speak(),
            4..=11 => self.send_some(),
            12..=27 => {
                self.run_one();
            }
            28..=33 => self.read_some(),
            34..=36 => self.pass_time(),
            37 => self.connect_one(),
            _ if self.seed.once_in(self.habits.calm) => self.disturb(),
            _ => {}
        }
    }

    /// Some connection that `wanted` wants.
    fn some(&mut self, wanted: impl Fn(&Connection) -> bool) -> Option<usize> {
        let all = self.connections.iter().enumerate();
        let found = all.filter(|(_, connection)| wanted(connection));
        let found: Vec<_> = found.map(|(index, _)| index).collect();
        (!found.is_empty()).then(|| self.seed.pick(&found))
    }

    /// A client writes a part of its messages.
    fn send_some(&mut self) {
        if let Some(index) = self.some(Connection::has_outgoing) {
            let bytes = self.amount();
            let sent = self.connections[index].send(bytes);
            tell!(self, "{index} sends {sent} bytes");
        }
    }

    /// A client reads a part of its stream.
    fn read_some(&mut self) {
        if let Some(index) = self.some(Connection::can_read) {
            let bytes = self.amount();
            let read = self.connections[index].read(bytes);
            tell!(self, "{index} reads {read} bytes");
        }
    }

    /// Some number of bytes, small ones as often as large ones.
    pub(super) fn amount(&mut self) -> usize {
        let most = self
            .seed
            .pick(&[1, 10, 100, 1_000, 10_000, READ_BUFFER_BYTES]);
        1 + self.seed.below(most)
    }

    /// One of the tasks that were woken runs.
    fn run_one(&mut self) -> bool {
        let woken = self.some(Connection::is_woken);
        if let Some(index) = woken {
            self.run_task(index);
        }
        woken.is_some()
    }

    fn pass_time(&mut self) {
        let ms = self.seed.pick(&[1, 30, 200, 700, 2_500]);
        self.pass(Duration::from_millis(ms));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.expire();
        for index in 0..self.connections.len() {
            self.meet_deadline(index);
        }
    }

    fn expire(&mut self) {
        self.router.expire(self.time());
        self.model.expire(self.now);
        self.observe();
    }

    /// A connection stalls, is cut, or ends.
    fn disturb(&mut self) {
        let Some(index) = self.some(Connection::is_usable) else {
            return;
        };
        let connection = &mut self.connections[index];
        match self.seed.below(10) {
            0 => {
                tell!(self, "{index} hangs up");
                connection.hang_up();
            }
            1 => {
                tell!(self, "{index} is cut, and nobody notices yet");
                connection.cut();
            }
            2 => {
                tell!(self, "{index} is cut");
                connection.cut();
                connection.notice();
            }
            3 => {
                tell!(self, "the task of {index} dies");
                self.lose(index);
            }
            _ => {
                connection.reads = !connection.reads;
                let does = if connection.reads {
                    "reads again"
                } else {
                    "stops reading"
                };
                tell!(self, "{index} {does}");
            }
        }
    }

    // ---- the end ----

    /// Everybody reads and writes all there is, and everything that was woken
    /// runs, until nothing happens any more.
    fn come_to_rest(&mut self) {
        tell!(self, "come to rest");
        for connection in &mut self.connections {
            connection.reads = true;
            connection.kernel_bytes = READ_BUFFER_BYTES;
            if connection.is_cut() {
                connection.notice();
            }
        }
        for _ in 0..ROUNDS_MAX {
            for connection in &mut self.connections {
                connection.send(usize::MAX);
                connection.read(usize::MAX);
            }
            if self.run_one() {
                self.check();
                continue;
            }
            let deadlines = self.connections.iter().filter_map(Connection::deadline);
            let next = deadlines.chain(self.model.lingers_until(self.now)).min();
            let Some(next) = next else {
                return;
            };
            self.pass(next.saturating_sub(self.now));
        }
        panic!("rest: something goes on and on");
    }

    // ---- checks ----

    /// Checks what must hold after each step.
    fn check(&mut self) {
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let Some(session) = &connection.session else {
                continue;
            };
            let answers = self.model.has_answers(index);
            assert_eq!(
                session.has_answers(),
                answers,
                "answers: some wait for {index}"
            );
            let names: Vec<_> = session.names().map(|name| name.as_str()).collect();
            assert_eq!(names, self.model.names_of(index), "names of {index}");
            self.model.check_window(index, session.window());
            if let Some(asleep) = connection.sleeps_over(&self.model, index) {
                panic!("wake-up: {index} sleeps, and {asleep}");
            }
        }
        assert_eq!(
            self.router.name_count(),
            self.model.name_count(),
            "names: how many"
        );
        assert_eq!(
            self.router.lingering_count(),
            self.model.lingering_count(),
            "names: how many linger"
        );
    }

    /// Holds the load of each queue against the model.
    pub(super) fn observe(&mut self) {
        let registry = &self.router.0.registry;
        self.model.observe_names(|name| {
            let mailbox = registry.kept(name.as_bytes());
            mailbox.map(|mailbox| (mailbox.load(), mailbox.times_relieved()))
        });
        for (index, connection) in self.connections.iter().enumerate() {
            if let Some(session) = connection.session.as_ref().filter(|_| connection.is_open()) {
                let load = session.receiver().queue.load().into();
                self.model.observe_broadcasts(index, load);
            }
        }
    }

    /// Checks what must hold at rest.
    fn check_rest(&self) {
        self.model.check_latest(self.router.stats());
        let unread = self.model.unread_name();
        assert_eq!(
            unread, None,
            "rest: its owners read, and something waits for them"
        );
        for (index, connection) in self.connections.iter().enumerate() {
            if connection.session.is_none() {
                continue;
            }
            if let Some(waits) = self.model.waits_for(index) {
                panic!("rest: {waits} waits for {index}, which reads");
            }
            assert!(
                connection.took_everything(),
                "rest: {index} sent more than was taken"
            );
        }
    }
}
