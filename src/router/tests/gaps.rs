//! Reports to a receiver about messages that were dropped for it.

use super::*;
use crate::ids::Name;
use crate::router::{NameConfig, Overflow};

const QUEUE_MESSAGES: usize = 16;
const ORDINARY: usize = QUEUE_MESSAGES - QUEUE_MESSAGES / 8;

fn small(overflow: Overflow) -> Router {
    let own = NameConfig {
        queue_messages: Some(QUEUE_MESSAGES),
        overflow,
        ..NameConfig::default()
    };
    Router::new(RouterConfig {
        names: [(Name::new("gateway").unwrap(), own)].into(),
        ..RouterConfig::default()
    })
}

fn orders(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers
        .map(|number| order(number, "me", "gateway"))
        .collect()
}

/// Of each message its number, or how many were dropped in its place, and the
/// first and the last of them.
fn seen(client: &mut TestClient) -> Vec<String> {
    let shown = |message: &Value| {
        if message["payload"]["code"] != "MESSAGES_DROPPED" {
            return message["msg_id"].as_str().unwrap()[24..]
                .trim_start_matches('0')
                .to_owned();
        }
        assert_eq!(message["source"], "tickwire");
        assert_eq!(message["target"], "gateway");
        let details = &message["payload"]["details"];
        assert_eq!(details["name"], "gateway");
        let id = |key: &str| details[key].as_str().unwrap()[32..].to_owned();
        format!(
            "{} from {} to {}",
            details["count"],
            id("first_msg_id"),
            id("last_msg_id")
        )
    };
    client.read().iter().map(shown).collect()
}

#[test]
fn stands_between_what_came_before_and_what_comes_after() {
    let router = small(Overflow::Pause);
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let mut all = orders(1..ORDINARY + 1);
    // The reserve takes an ack between heartbeats that don't fit.
    all.push(heartbeat(0x20, "me", "gateway"));
    all.push(heartbeat(0x21, "me", "gateway"));
    all.push(ack(0x22, "me", "gateway"));
    all.push(heartbeat(0x23, "me", "gateway"));
    let _ = sender.say_all(&all);
    let _ = sender.say(&heartbeat(0x24, "me", "gateway"));
    let mut expected: Vec<String> = (1..ORDINARY + 1).map(|n| format!("{n:x}")).collect();
    expected.extend(["2 from 0020 to 0021", "22", "2 from 0023 to 0024"].map(str::to_owned));
    assert_eq!(seen(&mut gateway), expected);
    let _ = sender.say(&heartbeat(0x25, "me", "gateway"));
    assert_eq!(seen(&mut gateway), ["25"]);
    assert_eq!(router.stats().dropped, 4);
}

#[test]
fn goes_to_the_next_owner_of_the_name() {
    let router = small(Overflow::Pause);
    let gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(1..ORDINARY + 1));
    let _ = sender.say(&heartbeat(0x20, "me", "gateway"));
    drop(gateway);
    let mut next = TestClient::claiming(&router, "gateway");
    let told = next.read();
    assert_eq!(*kinds(&told).last().unwrap(), "MESSAGES_DROPPED");
    assert_eq!(told.len(), 1 + ORDINARY + 1);
}

#[test]
fn events_to_a_name_that_drops_are_dropped_and_told_to_both() {
    let router = small(Overflow::Drop);
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let step = sender.say_all(&orders(1..20));
    assert!(step.halt.is_none());
    let answers = sender.read();
    assert_eq!(acked(&answers).len(), 19);
    let dropped = |answer: &&Value| answer["payload"]["dropped"] == 1;
    assert_eq!(answers.iter().filter(dropped).count(), 19 - ORDINARY);
    let seen = seen(&mut gateway);
    assert_eq!(seen.len(), ORDINARY + 1);
    assert_eq!(seen[ORDINARY], "5 from 000f to 0013");
}

#[test]
fn events_to_a_name_that_refuses_are_refused_at_once() {
    let router = small(Overflow::Refuse);
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let step = sender.say_all(&orders(1..ORDINARY + 2));
    assert!(step.halt.is_none());
    assert_eq!(*kinds(&sender.read()).last().unwrap(), "QUEUE_FULL");
    assert_eq!(gateway.read().len(), ORDINARY);
    // Other names are as the server says.
    let mut other = TestClient::named(&router, "other");
    for number in 0..40 {
        let _ = sender.say(&order(number, "me", "other"));
    }
    assert_eq!(other.read().len(), 40);
}
