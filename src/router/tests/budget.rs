//! The bound of the total memory, as names, connections and broadcasts meet it.

mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::budget::Purpose;
use crate::ids::Name;
use crate::router::{NameConfig, Overflow};

const TOTAL: usize = 1024 * 1024;
/// Bytes that one order here holds in a queue, about.
const ORDER: usize = 1_000;

fn scarce(overflow: Overflow, names: &[&str]) -> Router {
    let own = NameConfig {
        overflow,
        ..NameConfig::default()
    };
    let named = |name: &&str| (Name::new(*name).unwrap(), own);
    Router::new(RouterConfig {
        memory_max: TOTAL,
        linger: Duration::ZERO,
        names: names.iter().map(named).collect(),
        ..RouterConfig::default()
    })
}

/// An order of [`ORDER`] bytes.
fn large_order(number: usize, target: &str) -> Value {
    let mut order = order(number, "me", target);
    let rest = ORDER - framed(&order).len();
    order["note"] = "x".repeat(rest - r#","note":"""#.len()).into();
    assert_eq!(framed(&order).len(), ORDER);
    order
}

/// Sends orders to `target` until one is refused. Returns the number of
/// accepted ones, and the reason of the refusal.
fn fill(sender: &mut TestClient, target: &str, most: usize) -> (usize, Option<Value>) {
    for count in 0..most {
        let step = sender.say(&large_order(count, target));
        assert!(!is_paused(&step));
        let answers = sender.read();
        if kinds(&answers) == ["QUEUE_FULL"] {
            return (count, Some(answers[0]["payload"].clone()));
        }
        assert_eq!(kinds(&answers), ["ack"]);
    }
    (most, None)
}

fn used(router: &Router) -> usize {
    router.0.budget.tell_own();
    router.0.budget.used(Purpose::Queued)
}

#[test]
fn a_name_that_holds_most_is_refused_and_others_keep_their_share() {
    let router = scarce(Overflow::Refuse, &["hog", "late", "latest"]);
    let _hog = TestClient::named(&router, "hog");
    let mut late = TestClient::named(&router, "late");
    let _latest = TestClient::named(&router, "latest");
    let mut sender = TestClient::anonymous(&router);
    let (count, refusal) = fill(&mut sender, "hog", 2 * TOTAL / ORDER);
    // A queue that is alone may have half of the total.
    assert!(count * ORDER + 2 * ORDER > TOTAL / 2, "{count}");
    assert!(count * ORDER <= TOTAL / 2, "{count}");
    let refusal = refusal.expect("it doesn't fit");
    assert_eq!(refusal["details"]["reason"], "memory");
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.starts_with("the server's memory is used up"),
        "{message}"
    );
    let (count, _) = fill(&mut sender, "late", 2 * TOTAL / ORDER);
    assert!(count * ORDER > TOTAL / 9, "{count}");
    // A queue that comes when all shares are taken gets something, too.
    assert!(fill(&mut sender, "latest", 2 * TOTAL / ORDER).0 * ORDER > TOTAL / 8 / 8);
    // A receiver that reads gets all it is sent, however long.
    for _ in 0..10 {
        late.read();
        assert_eq!(fill(&mut sender, "late", 15).0, 15);
    }
    assert!(used(&router) <= TOTAL * 3 / 4 + 2 * ORDER);
}

#[test]
fn a_queue_that_is_full_by_itself_says_so() {
    let own = NameConfig {
        overflow: Overflow::Refuse,
        queue_bytes: Some(8 * ORDER),
        ..NameConfig::default()
    };
    let router = Router::new(RouterConfig {
        memory_max: TOTAL,
        names: [(Name::new("small").unwrap(), own)].into(),
        ..RouterConfig::default()
    });
    let _small = TestClient::named(&router, "small");
    let mut sender = TestClient::anonymous(&router);
    let (_, refusal) = fill(&mut sender, "small", 10);
    let refusal = refusal.expect("it doesn't fit");
    assert_eq!(refusal["details"]["reason"], "queue");
}

#[test]
fn many_names_of_one_connection_share_one_share() {
    let router = scarce(Overflow::Refuse, &["a", "b", "c", "other"]);
    let mut owner = TestClient::new(&router);
    let _ = owner.say(&hello("a", json!({"names": ["a", "b", "c"]})));
    assert_eq!(kinds(&owner.read()), ["welcome"]);
    let _other = TestClient::named(&router, "other");
    let mut sender = TestClient::anonymous(&router);
    let most = 2 * TOTAL / ORDER;
    let sum: usize = ["a", "b", "c"]
        .map(|name| fill(&mut sender, name, most).0)
        .iter()
        .sum();
    assert!(sum * ORDER <= TOTAL / 2 + 2 * ORDER, "{sum}");
    let (count, _) = fill(&mut sender, "other", most);
    // Four queues hold something.
    assert!(count * ORDER > TOTAL / 9, "{count}");
}

#[test]
fn an_event_that_waits_for_memory_is_woken_when_another_name_frees_some() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let router = scarce(Overflow::Refuse, &["hog"]);
    let mut hog = TestClient::named(&router, "hog");
    let mut owner = TestClient::new(&router);
    let _ = owner.say(&hello("paused", json!({"names": ["paused", "b"]})));
    owner.read();
    let mut sender = TestClient::anonymous(&router);
    fill(&mut sender, "hog", 2 * TOTAL / ORDER);
    let mut pause = None;
    for number in 0..TOTAL / ORDER {
        let step = sender.say(&large_order(number, "paused"));
        if let Some(Halt::Pause(waits)) = step.halt {
            pause = Some(waits);
            break;
        }
        sender.read();
    }
    let mut pause = pause.expect("there is no memory for all");
    let woken = Arc::new(Flag(AtomicBool::new(false)));
    pause.wait(&Waker::from(Arc::clone(&woken)));
    assert!(!pause.has_room());
    hog.read();
    assert!(woken.0.load(Ordering::Relaxed), "memory was freed");
    assert!(pause.has_room());
    drop(pause);
    assert!(sender.arrive(&[]).halt.is_none());
}

#[test]
fn a_broadcast_counts_once_whoever_has_it_queued() {
    let router = scarce(Overflow::Pause, &[]);
    let names: Vec<String> = (0..40).map(|number| format!("listener-{number}")).collect();
    let listeners: Vec<TestClient> = names
        .iter()
        .map(|name| TestClient::named(&router, name))
        .collect();
    let mut sender = TestClient::anonymous(&router);
    for read in 0..4 {
        let broadcasts: Vec<Value> = (0..8)
            .map(|number| {
                let mut broadcast = large_order(8 * read + number, "x");
                broadcast["target"] = Value::Null;
                broadcast
            })
            .collect();
        let _ = sender.say_all(&broadcasts);
        let answers = sender.read();
        assert_eq!(acked(&answers).len(), 8);
        assert!(
            answers
                .iter()
                .all(|ack| ack["payload"]["dropped"].is_null()),
            "{answers:?}"
        );
    }
    assert!(used(&router) < TOTAL / 2, "{}", used(&router));
    drop(listeners);
}

#[test]
fn broadcasts_to_who_does_not_read_are_dropped_and_others_get_them() {
    let router = scarce(Overflow::Refuse, &["hog"]);
    let _hog = TestClient::named(&router, "hog");
    let mut reads = TestClient::named(&router, "reads");
    let mut sender = TestClient::anonymous(&router);
    fill(&mut sender, "hog", 2 * TOTAL / ORDER);
    let mut dropped = 0;
    for number in 0..TOTAL / ORDER {
        let mut broadcast = large_order(number, "x");
        broadcast["target"] = Value::Null;
        let _ = sender.say(&broadcast);
        let answers = sender.read();
        dropped += answers[0]["payload"]["dropped"].as_u64().unwrap_or(0);
        assert_eq!(kinds(&reads.read()).len(), 1, "who reads misses nothing");
    }
    // But for one: an empty queue takes any one message.
    assert_eq!(
        dropped as usize,
        TOTAL / ORDER - 1,
        "the hog has more than its share"
    );
    assert!(used(&router) <= TOTAL * 3 / 4);
}

#[test]
fn while_memory_is_short_few_answers_wait_and_nothing_new_is_remembered() {
    let router = scarce(Overflow::Refuse, &["hog", "hog2", "hog3"]);
    let names = ["hog", "hog2", "hog3"];
    let _hogs = names.map(|name| TestClient::named(&router, name));
    let mut earlier = TestClient::new(&router);
    let _ = earlier.say(&hello("earlier", json!({"resumable": true})));
    earlier.read();
    let mut sender = TestClient::anonymous(&router);
    for name in names {
        fill(&mut sender, name, 2 * TOTAL / ORDER);
    }
    let mut one = TestClient::new(&router);
    let _ = one.say(&hello("one", json!({"resumable": true})));
    let welcome = one.read();
    assert_eq!(welcome[0]["payload"]["granted"]["resumable"], false);
    // A message that can't be remembered isn't accepted.
    let mut codes = Vec::new();
    for number in 0..100 {
        let _ = earlier.say(&heartbeat(number, "earlier", "health-monitor"));
        codes.extend(kinds(&earlier.read()).iter().map(ToString::to_string));
    }
    assert_eq!(codes.last().unwrap(), "QUEUE_FULL", "{codes:?}");
    let beats: Vec<Value> = (0..200)
        .map(|n| heartbeat(n, "me", "health-monitor"))
        .collect();
    let _ = sender.say_all(&beats[..100]);
    let step = sender.say_all(&beats[100..]);
    assert!(matches!(step.halt, Some(Halt::AnswersFull)), "{step:?}");
}

#[test]
fn all_that_was_counted_is_given_back() {
    let router = scarce(Overflow::Refuse, &["hog"]);
    let hog = TestClient::named(&router, "hog");
    let mut other = TestClient::new(&router);
    let _ = other.say(&hello("other", json!({"resumable": true})));
    let snapshot = json!({
        "id": "s", "where": [], "mode": "latest", "snapshot": true,
        "key": "/payload/payload_json/order_id",
    });
    let _ = other.say(&message("subscribe", 7, "other", Value::Null, snapshot));
    assert_eq!(kinds(&other.read()), ["welcome", "ack"]);
    let mut sender = TestClient::anonymous(&router);
    let mut broadcast = large_order(1, "x");
    broadcast["target"] = Value::Null;
    let _ = sender.say_all(&[broadcast.clone(), broadcast]);
    sender.read();
    fill(&mut sender, "hog", 2 * TOTAL / ORDER);
    fill(&mut sender, "other", 10);
    let budget = Arc::clone(&router.0.budget);
    assert!(budget.holding() >= 2);
    drop((hog, other, sender, router));
    budget.tell_own();
    assert_eq!(
        (budget.used(Purpose::Queued), budget.used(Purpose::Input)),
        (0, 0)
    );
    assert_eq!((budget.holding(), budget.queues()), (0, 0));
}
