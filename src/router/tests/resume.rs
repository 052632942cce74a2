//! Messages that a resumed connection sends again are acknowledged again, and
//! delivered once.

use std::sync::{Arc, Weak};

use super::*;
use crate::ids::Name;
use crate::limits::RESUME_IDS_MAX;
use crate::router::connection::accepted_ids::AcceptedIds;

mod broadcasts;
mod grants;
mod model;
mod threads;

/// A client that owns `name` and asks to be resumable, with the options that it
/// was granted.
fn coming(router: &Router, name: &str, options: Value) -> (TestClient, bool, bool) {
    let mut client = TestClient::claiming_with(router, name, options);
    let told = client.read();
    let welcome = told.iter().find(|told| told["msg_type"] == "welcome");
    let (resumable, resume) = granted(welcome.unwrap());
    (client, resumable, resume)
}

fn granted(welcome: &Value) -> (bool, bool) {
    let granted = &welcome["payload"]["granted"];
    let is = |option: &str| granted[option].as_bool().unwrap();
    (is("resumable"), is("resume"))
}

fn resumable(router: &Router, name: &str) -> TestClient {
    let (client, resumable, resume) = coming(router, name, json!({"resumable": true}));
    assert!(resumable && !resume);
    client
}

fn resumed(router: &Router, name: &str) -> TestClient {
    let options = json!({"resumable": true, "resume": true});
    let (client, resumable, resume) = coming(router, name, options);
    assert!(resumable && resume);
    client
}

impl TestClient {
    fn claiming_with(router: &Router, name: &str, options: Value) -> Self {
        let mut client = Self::new(router);
        let _ = client.say(&hello(name, options));
        client
    }

    /// Says `hello` again, and returns the granted options.
    fn says_again(&mut self, options: Value) -> (bool, bool) {
        let _ = self.say(&hello("me", options));
        granted(self.read().last().unwrap())
    }

    /// Cuts the connection: unread answers are lost.
    fn cut(self) {
        drop(self);
    }

    /// Sends new orders to `target`, and returns the answers.
    fn order(&mut self, target: &str, numbers: &[usize]) -> Vec<String> {
        let orders: Vec<Value> = numbers.iter().map(|&n| order(n, "me", target)).collect();
        let _ = self.say_all(&orders);
        acked(&self.read())
    }
}

fn id_list(numbers: &[usize]) -> Vec<String> {
    numbers.iter().copied().map(id).collect()
}

#[test]
fn a_resend_after_a_lost_ack_is_acknowledged_again_and_delivered_once() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let _ = first.say_all(&[order(1, "me", "gateway"), order(2, "me", "gateway")]);
    first.cut();
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[2, 3, 2]), id_list(&[2, 3, 2]));
    assert_eq!(second.order("gateway", &[3, 1, 4]), id_list(&[3, 1, 4]));
    assert_eq!(ids(&gateway.read()), id_list(&[1, 2, 3, 4]));
    assert_eq!((router.stats().accepted, router.stats().duplicates), (7, 4));
}

/// An order with letters in its id, in upper or lower case.
fn spelled(id: &str) -> Value {
    let mut order = order(0, "me", "gateway");
    order["msg_id"] = id.into();
    order
}

#[test]
fn ids_are_the_same_in_either_case_and_acknowledged_as_they_were_written() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let (lower, upper) = (
        "0b1e8f9c-6f0e-4f0a-8d8e-3f0f1c2b7a10",
        "0B1E8F9C-6F0E-4F0A-8D8E-3F0F1C2B7A10",
    );
    let mut first = resumable(&router, "me");
    let _ = first.say(&spelled(lower));
    first.cut();
    let mut second = resumed(&router, "me");
    let _ = second.say(&spelled(upper));
    assert_eq!(acked(&second.read()), [upper]);
    assert_eq!(ids(&gateway.read()), [lower]);
}

#[test]
fn what_is_known_is_acknowledged_as_the_client_wants_it() {
    for (options, told) in [
        (json!({"acks": "none"}), json!([])),
        (
            json!({"acks": "batch"}),
            json!([[id(3), [id(1), id(2), id(3)], null]]),
        ),
        (
            json!({"acks": "batch", "ack_details": true}),
            json!([[id(3), [id(1), id(2), id(3)], [0, 0, 0]]]),
        ),
        (
            json!({"ack_details": true}),
            json!([[id(1), null, 0], [id(2), null, 0], [id(3), null, 0]]),
        ),
    ] {
        let router = router();
        let mut gateway = TestClient::named(&router, "gateway");
        let mut first = resumable(&router, "me");
        assert_eq!(first.order("gateway", &[1, 3]).len(), 2);
        first.cut();
        let mut options = options;
        options["resume"] = true.into();
        let (mut second, ..) = coming(&router, "me", options);
        let _ = second.say_all(&[1, 2, 3].map(|n| order(n, "me", "gateway")));
        let answers = second.read();
        let seen = answers.iter().map(|ack| {
            let payload = &ack["payload"];
            json!([
                payload["acknowledged_msg_id"],
                payload["acknowledged_msg_ids"],
                payload["dropped"]
            ])
        });
        assert_eq!(Value::from_iter(seen), told);
        assert_eq!(ids(&gateway.read()), id_list(&[1, 3, 2]));
    }
}

#[test]
fn every_message_that_draws_an_ack_is_remembered_whoever_it_was_for() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let said = || {
        [
            heartbeat(1, "me", "health-monitor"),
            order(2, "me", Value::Null),
            message(
                "error",
                3,
                "me",
                "gateway".into(),
                json!({"code": "X", "message": "y"}),
            ),
            heartbeat(4, "other", "gateway"),
            ack(5, "me", "gateway"),
        ]
    };
    let mut first = resumable(&router, "me");
    let _ = first.say_all(&said());
    first.cut();
    let mut second = resumed(&router, "me");
    let _ = second.say_all(&said());
    assert_eq!(acked(&second.read()), id_list(&[1, 2, 3, 4]));
    let mut got = ids(&gateway.read());
    got.sort();
    assert_eq!(got, id_list(&[2, 3, 4, 5, 5]), "an ack draws none");
    let beats: u64 = router.liveness().iter().map(|seen| seen.heartbeats).sum();
    assert_eq!(beats, 2, "the services see them once");
}

#[test]
fn what_was_refused_is_new_when_it_is_sent_again() {
    let router = router();
    let mut first = resumable(&router, "me");
    assert!(first.order("gateway", &[1]).is_empty());
    first.cut();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), [id(1)]);
}

#[test]
fn what_waited_in_a_pause_is_new_when_it_is_sent_again() {
    let router = Router::new(RouterConfig {
        queue_messages: 16,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let all: Vec<_> = (1..=20).map(|n| order(n, "me", "gateway")).collect();
    assert!(is_paused(&first.say_all(&all)));
    first.cut();
    let mut second = resumed(&router, "me");
    // An eighth of the queue is kept for acks and errors.
    assert!(is_paused(&second.say_all(&all[13..])));
    assert_eq!(acked(&second.read()), [id(14)]);
    assert_eq!(gateway.read().len(), 14);
    let step = second.arrive(&[]);
    assert!(step.halt.is_none() && second.input.is_empty());
    let rest: Vec<_> = (15..=20).map(id).collect();
    assert_eq!(acked(&second.read()), rest);
    assert_eq!(ids(&gateway.read()), rest);
}

#[test]
fn the_oldest_of_very_many_are_forgotten() {
    let router = router();
    let mut first = resumable(&router, "me");
    for number in 0..=RESUME_IDS_MAX {
        let _ = first.say(&heartbeat(number, "me", "health-monitor"));
        if number % 100 == 0 {
            let _ = first.read_bytes();
        }
    }
    first.cut();
    let mut second = resumed(&router, "me");
    let _ = second.say_all(&[RESUME_IDS_MAX, 1, 0].map(|n| heartbeat(n, "me", "health-monitor")));
    assert_eq!(second.read().len(), 3);
    assert_eq!(router.stats().duplicates, 2, "all but the oldest");
    assert_eq!(
        router.liveness()[0].heartbeats,
        RESUME_IDS_MAX as u64 + 2,
        "which was taken for new"
    );
}

#[test]
fn what_was_given_up_is_delivered_afresh_and_reported_before_that() {
    let router = router();
    let gateway = TestClient::named(&router, "gateway");
    let mut other = TestClient::named(&router, "other");
    let mut first = resumable(&router, "me");
    assert_eq!(first.order("gateway", &[1, 2]).len(), 2);
    assert_eq!(first.order("other", &[3]).len(), 1);
    first.cut();
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[1]), [id(1)], "known, and queued");
    drop(gateway);
    router.expire(at_ms(0));
    router.expire(at_ms(30_000));
    let mut gateway = TestClient::named(&router, "gateway");
    let _ = second.say_all(&[order(2, "me", "gateway"), order(3, "me", "other")]);
    let progress = second.write_up_to(usize::MAX);
    assert_eq!(progress, Progress::Idle);
    let told = messages(&std::mem::take(&mut second.written));
    assert_eq!(kinds(&told), ["UNDELIVERED", "ack", "ack"]);
    assert_eq!(told[0]["payload"]["details"]["count"], 2);
    assert_eq!(told[0]["payload"]["details"]["first_msg_id"], id(1));
    assert!(second.read().is_empty(), "it is told once");
    assert_eq!(second.order("gateway", &[1, 2]), id_list(&[1, 2]));
    assert_eq!(ids(&gateway.read()), id_list(&[2, 1]));
    assert_eq!(ids(&other.read()), [id(3)]);
}

#[test]
fn what_is_given_up_behind_the_senders_back_is_forgotten_without_a_resume() {
    let router = without_linger();
    let gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    assert_eq!(first.order("gateway", &[1]), [id(1)]);
    drop(gateway);
    assert_eq!(kinds(&first.read()), ["UNDELIVERED"]);
    let mut gateway = TestClient::named(&router, "gateway");
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[1]), [id(1)]);
    assert_eq!(ids(&gateway.read()), [id(1)]);
}

#[test]
fn an_earlier_connection_that_still_has_input_shares_what_is_known() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    assert_eq!(first.order("gateway", &[1]), [id(1)]);
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[2]), [id(2)]);
    // These were on their way while the client came back.
    let _ = first.say_all(&[2, 3].map(|n| order(n, "me", "gateway")));
    assert_eq!(acked(&first.read()), id_list(&[2, 3]));
    assert_eq!(second.order("gateway", &[3, 1, 4]), id_list(&[3, 1, 4]));
    assert_eq!(ids(&gateway.read()), id_list(&[1, 2, 3, 4]));
    assert_eq!(first.says_again(json!({"names": ["x"]})), (false, false));
    assert_eq!(first.order("gateway", &[4]), [id(4)]);
    assert_eq!(second.says_again(json!({})), (true, true));
    assert!(gateway.read().is_empty());
}

#[test]
fn who_takes_the_name_without_resuming_ends_what_was_remembered() {
    type TakesOver = fn(&Router) -> TestClient;
    let ways: [TakesOver; 4] = [
        |router| TestClient::named(router, "me"),
        |router| coming(router, "me", json!({"resumable": true})).0,
        |router| {
            coming(
                router,
                "me",
                json!({"names": ["x", "me"], "resumable": true, "resume": true}),
            )
            .0
        },
        |router| {
            let mut client = TestClient::new(router);
            client.session.own(&Name::new("me").unwrap()).unwrap();
            client
        },
    ];
    for takes_over in ways {
        let router = router();
        let mut gateway = TestClient::named(&router, "gateway");
        let mut first = resumable(&router, "me");
        assert_eq!(first.order("gateway", &[1]), [id(1)]);
        let second = takes_over(&router);
        // This may resume the second one, which has sent nothing.
        let (mut third, ..) = coming(&router, "me", json!({"resume": true}));
        drop(second);
        assert_eq!(third.order("gateway", &[1]), [id(1)]);
        assert_eq!(ids(&gateway.read()), id_list(&[1, 1]));
    }
}

#[test]
fn a_message_that_claims_a_name_ends_what_was_remembered_for_it() {
    let router = router();
    let mut first = resumable(&router, "me");
    let _ = first.say(&heartbeat(1, "me", "health-monitor"));
    first.cut();
    let mut plain = TestClient::new(&router);
    let _ = plain.say(&heartbeat(2, "me", "health-monitor"));
    plain.cut();
    assert_eq!(router.lingering_count(), 0);
    let (_, resumable, resume) = coming(&router, "me", json!({"resume": true}));
    assert_eq!((resumable, resume), (true, false));
}

#[test]
fn lingers_although_nothing_is_queued_and_no_longer() {
    let router = router();
    resumable(&router, "me").cut();
    assert_eq!((router.lingering_count(), router.name_count()), (1, 0));
    router.expire(at_ms(0));
    router.expire(at_ms(29_999));
    let second = resumed(&router, "me");
    assert_eq!(router.lingering_count(), 0);
    second.cut();
    router.expire(at_ms(30_000));
    let accepted_ids = remembered(&router);
    router.expire(at_ms(60_000));
    assert_eq!(router.lingering_count(), 0);
    assert!(accepted_ids.upgrade().is_none(), "its room is given back");
    let options = json!({"resumable": true, "resume": true});
    let (_, resumable, resume) = coming(&router, "me", options);
    assert_eq!((resumable, resume), (true, false));
}

/// The accepted ids of "me", which has left.
fn remembered(router: &Router) -> Weak<AcceptedIds> {
    let (client, _, resume) = coming(router, "me", json!({"resume": true}));
    assert!(resume);
    let accepted_ids = client.session.accepted_ids().map(Arc::downgrade);
    client.cut();
    router.expire(at_ms(30_000));
    accepted_ids.unwrap()
}

#[test]
fn what_is_remembered_counts_among_the_bytes_that_linger() {
    let router = router();
    let mut client = resumable(&router, "me");
    let mailbox = router.0.registry.kept(b"me").unwrap();
    let empty = mailbox.kept_bytes();
    for number in 0..1_000 {
        let _ = client.say(&heartbeat(number, "me", "health-monitor"));
    }
    assert!((16_000..20_000).contains(&(mailbox.kept_bytes() - empty)));
    assert!(empty < 300, "{empty}");
}

#[test]
fn a_connection_that_ended_its_input_is_resumed_and_gets_its_answers() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let _ = first.say(&order(1, "me", "gateway"));
    first.session.end_input();
    let mut second = resumed(&router, "me");
    assert_eq!(second.order("gateway", &[1, 2]), id_list(&[1, 2]));
    assert_eq!(acked(&first.read()), [id(1)]);
    first.cut();
    assert_eq!(second.order("gateway", &[2]), [id(2)]);
    assert_eq!(ids(&gateway.read()), id_list(&[1, 2]));
}
