//! Senders and receivers that a seed decides about, in a server with little
//! memory: a refused sender has its share, an accepted one had room, nobody
//! waits for room that is there, and the total is kept.

use super::*;
use crate::budget::Allowance;
use crate::router::Pause;
use crate::router::mailbox::queue_state::QueueState;
use crate::wire::testing::generate::Seed;

const SEEDS: u64 = 20;
const STEPS: usize = 400;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Sender {
    client: TestClient,
    /// The queue that it waits for, and whether it was woken since it last
    /// looked.
    waits: Option<(Pause, Arc<Flag>)>,
}

struct Hall {
    router: Router,
    seed: Seed,
    /// Each with the names that it owns.
    receivers: Vec<(TestClient, Vec<&'static str>)>,
    senders: Vec<Sender>,
    sent: usize,
    refused: usize,
    paused: usize,
}

/// The state of a name right before a message comes to it.
struct Before {
    own: QueueState,
    others: usize,
    allowances: [Allowance; 2],
}

impl Hall {
    fn new(number: u64) -> Self {
        let mut seed = Seed::new(number);
        let mut names = std::collections::HashMap::new();
        for name in NAMES {
            let own = NameConfig {
                overflow: seed.pick(&[Overflow::Pause, Overflow::Refuse]),
                ..NameConfig::default()
            };
            names.insert(Name::new(name).unwrap(), own);
        }
        let router = Router::new(RouterConfig {
            memory_max: seed.pick(&[40_000, 100_000, 300_000]),
            stall_timeout: Duration::from_secs(1_000),
            linger: Duration::from_secs(seed.pick(&[0, 5])),
            names,
            ..RouterConfig::default()
        });
        let senders = (0..3).map(|_| Sender {
            client: TestClient::anonymous(&router),
            waits: None,
        });
        let mut hall = Self {
            senders: senders.collect(),
            receivers: Vec::new(),
            router,
            seed,
            sent: 0,
            refused: 0,
            paused: 0,
        };
        for names in [&NAMES[..1], &NAMES[1..3], &NAMES[3..6]] {
            hall.connect(names.to_vec());
        }
        hall
    }

    fn connect(&mut self, names: Vec<&'static str>) {
        let mut client = TestClient::new(&self.router);
        let _ = client.say(&hello(
            names[0],
            json!({"names": names, "broadcasts": "none"}),
        ));
        self.receivers.push((client, names));
    }

    /// The outcome is known but for whether the queue counts already.
    fn before(&self, name: &str) -> Option<Before> {
        let budget = &self.router.0.budget;
        budget.tell_own();
        let own = self.router.0.registry.lookup(name.as_bytes())?.load();
        let owner = self
            .receivers
            .iter()
            .find(|(_, names)| names.contains(&name))?;
        let others = owner.0.session.receiver().handle.charged_bytes() - own.bytes();
        let allowance = |holding| {
            let (used, queues) = (budget.used(Purpose::Queued), budget.queues());
            budget.division().allowance(used, holding, queues)
        };
        let holding = budget.holding();
        Some(Before {
            own,
            others,
            allowances: [allowance(holding), allowance(holding + 1)],
        })
    }

    fn send(&mut self) {
        let index = self.seed.below(self.senders.len());
        if self.senders[index].waits.is_some() {
            return;
        }
        let name = self.seed.pick(&NAMES);
        let mut message = order(self.sent, "me", name);
        let most = self.seed.pick(&[1, 1_000, 8_000]);
        message["note"] = "x".repeat(self.seed.below(most)).into();
        let size = framed(&message).len();
        let before = self.before(name);
        self.sent += 1;
        let sender = &mut self.senders[index];
        let step = sender.client.say(&message);
        let mut answers = sender.client.read();
        answers.retain(|answer| answer["payload"]["code"] != "UNDELIVERED");
        let Some(before) = before else {
            assert_eq!(kinds(&answers), ["TARGET_UNAVAILABLE"]);
            return;
        };
        let empty = before.own.messages() == 0;
        let takes = (before.allowances)
            .map(|allowance| allowance.takes(size, before.own.bytes(), before.others, empty));
        if let Some(Halt::Pause(pause)) = step.halt {
            assert!(takes.contains(&false), "it waits below its share");
            self.paused += 1;
            self.wait(index, pause);
        } else if kinds(&answers) == ["QUEUE_FULL"] {
            assert_eq!(answers[0]["payload"]["details"]["reason"], "memory");
            assert!(takes.contains(&false), "it is refused below its share");
            self.refused += 1;
        } else {
            assert_eq!(kinds(&answers), ["ack"]);
            assert!(takes.contains(&true), "it is accepted above its share");
        }
    }

    fn wait(&mut self, index: usize, mut pause: Pause) {
        let flag = Arc::<Flag>::default();
        pause.wait(&Waker::from(Arc::clone(&flag)));
        if pause.has_room() {
            flag.0.store(true, Ordering::Relaxed);
        }
        self.senders[index].waits = Some((pause, flag));
    }

    /// The woken senders try again.
    fn run_woken(&mut self) {
        for index in 0..self.senders.len() {
            let sender = &mut self.senders[index];
            let Some((pause, flag)) = sender.waits.take() else {
                continue;
            };
            if !flag.0.load(Ordering::Relaxed) {
                assert!(!pause.has_room(), "nobody woke who may go on");
                sender.waits = Some((pause, flag));
                continue;
            }
            drop(pause);
            let step = sender.client.arrive(&[]);
            sender.client.read();
            if let Some(Halt::Pause(pause)) = step.halt {
                self.wait(index, pause);
            }
        }
    }

    fn step(&mut self) {
        match self.seed.below(20) {
            0..=14 => self.send(),
            15..=17 => {
                let index = self.seed.below(self.receivers.len());
                let bytes = self.seed.pick(&[100, 3_000, 100_000]);
                let receiver = &mut self.receivers[index].0;
                let _ = receiver.write_up_to(bytes);
                receiver.written.clear();
            }
            18 => {
                let index = self.seed.below(self.receivers.len());
                let (client, names) = self.receivers.swap_remove(index);
                if self.seed.once_in(2) {
                    drop(client);
                    self.connect(names);
                } else {
                    // The next one takes them over.
                    self.connect(names);
                    drop(client);
                }
            }
            _ => self.router.expire(at_ms(self.sent as u64 * 20)),
        }
        self.run_woken();
        let budget = &self.router.0.budget;
        budget.tell_own();
        // Beside it there may be one message, answers, and the rest of a frame
        // that a taken name left behind.
        let most = budget.division().queued_max() + 10_000 + 4_000;
        let used = budget.used(Purpose::Queued);
        assert!(used <= most, "{used} bytes of {most}");
    }
}

#[test]
fn shares_are_kept_and_nobody_waits_for_what_is_there() {
    let (mut refused, mut paused) = (0, 0);
    for number in 0..SEEDS {
        let mut hall = Hall::new(number);
        for _ in 0..STEPS {
            hall.step();
        }
        // With everything read, all waiting senders get through.
        for _ in 0..1_000 {
            for (receiver, _) in &mut hall.receivers {
                receiver.read_bytes();
            }
            hall.run_woken();
        }
        let waits = hall.senders.iter().any(|sender| sender.waits.is_some());
        assert!(!waits, "seed {number}: somebody waits for ever");
        refused += hall.refused;
        paused += hall.paused;
        let budget = Arc::clone(&hall.router.0.budget);
        drop(hall);
        budget.tell_own();
        assert_eq!(
            budget.used(Purpose::Queued),
            0,
            "seed {number}: bytes that nobody has"
        );
        assert_eq!((budget.holding(), budget.queues()), (0, 0), "seed {number}");
    }
    assert!(
        refused > 50 && paused > 50,
        "{refused} refused, {paused} paused"
    );
}
