//! The ways in which accepted messages are acknowledged.

use proptest::prelude::*;

use super::*;

/// A client that owns "me" and has chosen these options.
fn choosing(router: &Router, options: Value) -> TestClient {
    let mut client = TestClient::new(router);
    let _ = client.say(&hello("me", options));
    assert_eq!(kinds(&client.read()), ["welcome"]);
    client
}

fn batching(router: &Router) -> TestClient {
    choosing(router, json!({"acks": "batch"}))
}

/// Which messages an ack covers; the last of them is the one that it names.
fn covered(ack: &Value) -> Vec<String> {
    let payload = &ack["payload"];
    let named = payload["acknowledged_msg_id"].as_str().unwrap().to_owned();
    let Some(list) = payload.get("acknowledged_msg_ids") else {
        return vec![named];
    };
    let list = list.as_array().unwrap().iter();
    let list: Vec<_> = list.map(|id| id.as_str().unwrap().to_owned()).collect();
    assert!((1..=1_024).contains(&list.len()));
    assert_eq!(list.last(), Some(&named));
    list
}

fn beats(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers
        .map(|number| heartbeat(number, "me", "health-monitor"))
        .collect()
}

#[test]
fn a_read_is_acknowledged_together_in_acks_of_1024_messages_at_most() {
    for (messages, sizes) in [
        (1, vec![1]),
        (1_023, vec![1_023]),
        (1_024, vec![1_024]),
        (1_025, vec![1_024, 1]),
        (2_048, vec![1_024, 1_024]),
        (2_500, vec![1_024, 1_024, 452]),
    ] {
        let router = router();
        let mut sender = batching(&router);
        assert!(sender.say_all(&beats(0..messages)).halt.is_none());
        let answers = sender.read();
        let lists: Vec<_> = answers.iter().map(covered).collect();
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        let expected: Vec<_> = (0..messages).map(id).collect();
        assert_eq!(lists.concat(), expected);
        for ack in &answers {
            assert_eq!(ack["target"], "me");
            assert!(ack["payload"].get("dropped").is_none());
        }
    }
}

#[test]
fn a_batch_ends_with_its_read() {
    let router = router();
    let mut sender = batching(&router);
    for (first, count) in [(0, 3), (3, 1), (4, 2)] {
        let _ = sender.say_all(&beats(first..first + count));
    }
    let answers = sender.read();
    let lists: Vec<_> = answers.iter().map(covered).collect();
    let expected = [0..3, 3..4, 4..6].map(|ids| ids.map(id).collect::<Vec<_>>());
    assert_eq!(lists, expected);
}

#[test]
fn a_batch_is_addressed_to_the_first_name_whoever_the_messages_are_from() {
    let router = router();
    for (options, target) in [
        (json!({"names": ["b", "a"]}), json!("b")),
        (json!({"register": false}), Value::Null),
    ] {
        let mut options = options;
        options["acks"] = "batch".into();
        let mut sender = choosing(&router, options);
        let _ = sender.say_all(&[
            heartbeat(1, "x", "health-monitor"),
            heartbeat(2, "y", "health-monitor"),
        ]);
        let answers = sender.read();
        assert_eq!(kinds(&answers), ["ack"]);
        assert_eq!(covered(&answers[0]), [id(1), id(2)]);
        assert_eq!(answers[0]["target"], target);
    }
}

#[test]
fn a_batch_leaves_before_every_other_answer() {
    let router = router();
    let _gateway = TestClient::named(&router, "gateway");
    let mut sender = batching(&router);
    let _ = sender.say_all(&[
        order(1, "me", "gateway"),
        heartbeat(2, "me", "health-monitor"),
        order(3, "me", "nobody"),
        // A message without an answer parts nothing.
        order(4, "me", "gateway"),
        ack(5, "me", "gateway"),
        order(6, "me", "gateway"),
        hello("me", json!({})),
        order(7, "me", "gateway"),
        order(8, "tickwire", "gateway"),
        message("subscribe", 9, "me", Value::Null, json!({"id": "x"})),
        order(10, "me", "gateway"),
    ]);
    let answers = sender.read();
    let expected = [
        "ack",
        "TARGET_UNAVAILABLE",
        "ack",
        "welcome",
        "ack",
        "SOURCE_NOT_ALLOWED",
        "ack",
        "ack",
    ];
    assert_eq!(kinds(&answers), expected);
    let acks = answers.iter().filter(|answer| answer["msg_type"] == "ack");
    let lists: Vec<_> = acks.map(covered).collect();
    let expected: [&[usize]; 5] = [&[1, 2], &[4, 6], &[7], &[9], &[10]];
    assert_eq!(
        lists,
        expected.map(|list| list.iter().map(|&n| id(n)).collect::<Vec<_>>())
    );
}

#[test]
fn a_batch_leaves_before_a_pause_and_before_a_close() {
    let router = Router::new(RouterConfig {
        queue_messages: 16,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = batching(&router);
    let orders: Vec<_> = (0..20).map(|n| order(n, "me", "gateway")).collect();
    assert!(is_paused(&sender.say_all(&orders)));
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["ack"]);
    assert_eq!(covered(&answers[0]), (0..14).map(id).collect::<Vec<_>>());
    assert!(is_paused(&sender.arrive(&[])));
    assert!(sender.read().is_empty());
    let _ = gateway.read();
    let mut broken = framed(&order(20, "me", "gateway"));
    broken.extend_from_slice(&[0; 4]);
    assert!(matches!(sender.arrive(&broken).halt, Some(Halt::Close)));
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["ack", "FRAME_EMPTY"]);
    assert_eq!(covered(&answers[0]), (14..21).map(id).collect::<Vec<_>>());
}

#[test]
fn a_batch_comes_before_the_report_about_what_it_acknowledges() {
    let router = without_linger();
    let mut sender = batching(&router);
    let _ = sender.say_all(&[
        order(1, "me", "me"),
        order(2, "me", "me"),
        hello("me", json!({"register": false})),
    ]);
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["ack", "welcome", "UNDELIVERED"]);
    assert_eq!(covered(&answers[0]), [id(1), id(2)]);
}

#[test]
fn a_batch_says_what_was_dropped_in_sum_or_of_each_message() {
    let router = Router::new(RouterConfig {
        queue_messages: 16,
        ..RouterConfig::default()
    });
    let _slow = TestClient::named(&router, "slow");
    let _slower = TestClient::named(&router, "slower");
    let mut sender = batching(&router);
    let load = |first: usize| {
        let mut messages: Vec<_> = (first..first + 17)
            .map(|n| order(n, "me", Value::Null))
            .collect();
        messages.push(heartbeat(first + 17, "me", "health-monitor"));
        messages
    };
    let _ = sender.say_all(&load(0));
    assert_eq!(sender.read()[0]["payload"]["dropped"], 2);
    let _ = sender.say(&hello("me", json!({"ack_details": true})));
    let _ = sender.read();
    let _ = sender.say_all(&load(100));
    let mut expected = vec![2; 17];
    expected.push(0);
    assert_eq!(sender.read()[0]["payload"]["dropped"], json!(expected));
    // And of each where each has its ack.
    let _ = sender.say(&hello("me", json!({"acks": "each"})));
    let _ = sender.read();
    let _ = sender.say_all(&load(200));
    let dropped: Vec<_> = sender
        .read()
        .iter()
        .map(|ack| ack["payload"]["dropped"].clone())
        .collect();
    assert_eq!(dropped, expected);
}

#[test]
fn without_acks_everything_but_an_ack_is_still_said() {
    let router = without_linger();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = choosing(&router, json!({"acks": "none"}));
    let _ = sender.say_all(&[
        order(1, "me", "gateway"),
        order(2, "me", "nobody"),
        heartbeat(3, "me", "health-monitor"),
        hello("me", json!({})),
        order(4, "me", "gateway"),
    ]);
    assert_eq!(kinds(&sender.read()), ["TARGET_UNAVAILABLE", "welcome"]);
    assert_eq!(ids(&gateway.read()), [id(1), id(4)]);
    let _ = sender.say(&order(5, "me", "gateway"));
    drop(gateway);
    assert_eq!(kinds(&sender.read()), ["UNDELIVERED"]);
}

#[test]
fn a_welcome_says_which_acks_are_in_force() {
    let router = router();
    let mut client = TestClient::new(&router);
    let mut granted = |options: Value| {
        let _ = client.say(&hello("me", options));
        let answers = client.read();
        let granted = &answers[0]["payload"]["granted"];
        (granted["acks"].clone(), granted["ack_details"].clone())
    };
    let options = |acks: &str, details: bool| (json!(acks), json!(details));
    assert_eq!(granted(json!({})), options("each", false));
    assert_eq!(granted(json!({"acks": "batch"})), options("batch", false));
    assert_eq!(
        granted(json!({"ack_details": true})),
        options("batch", true)
    );
    assert_eq!(granted(json!({})), options("batch", true));
    assert_eq!(granted(json!({"acks": "none"})), options("none", true));
    // All of a hello is granted, or nothing changes.
    let refused = json!({"acks": "each", "ack_details": false, "names": ["tickwire"]});
    assert_eq!(granted(refused), (Value::Null, Value::Null));
    assert_eq!(granted(json!({})), options("none", true));
}

/// A step of a generated client.
#[derive(Debug, Clone)]
enum Deed {
    Order {
        source: &'static str,
        target: Option<&'static str>,
    },
    Beat {
        target: &'static str,
    },
    Ack,
    Invalid,
    Choose {
        acks: Option<&'static str>,
        details: Option<bool>,
    },
    /// A refused `hello`: its options must not come into force.
    ChooseInVain,
    /// The end of a read.
    Cut,
    /// The receivers read.
    Drain,
}

fn deed() -> impl Strategy<Value = Deed> {
    let source = prop::sample::select(vec!["me", "you", "tickwire"]);
    let target = prop::sample::select(vec![Some("gateway"), Some("nobody"), None]);
    let acks = prop::sample::select(vec![None, Some("each"), Some("batch"), Some("none")]);
    let details = prop::sample::select(vec![None, Some(false), Some(true)]);
    prop_oneof![
        8 => Just(Deed::Order { source: "me", target: Some("gateway") }),
        4 => (source, target).prop_map(|(source, target)| Deed::Order { source, target }),
        4 => prop::sample::select(vec!["gateway", "health-monitor", "nobody"])
            .prop_map(|target| Deed::Beat { target }),
        1 => Just(Deed::Ack),
        1 => Just(Deed::Invalid),
        1 => (acks, details).prop_map(|(acks, details)| Deed::Choose { acks, details }),
        1 => Just(Deed::ChooseInVain),
        2 => Just(Deed::Cut),
        1 => Just(Deed::Drain),
    ]
}

impl Deed {
    /// The message, if it is one. In the plain version no option is chosen.
    fn message(&self, number: usize, plain: bool) -> Option<Value> {
        let mut made = match self {
            Self::Order { source, target } => order(number, source, *target),
            Self::Beat { target } => heartbeat(number, "me", target),
            Self::Ack => ack(number, "me", "gateway"),
            Self::Invalid => message("heartbeat", number, "me", Value::Null, json!({})),
            Self::Choose { acks, details } => {
                let mut options = json!({});
                if let Some(acks) = acks.filter(|_| !plain) {
                    options["acks"] = acks.into();
                }
                if let Some(details) = details.filter(|_| !plain) {
                    options["ack_details"] = details.into();
                }
                hello("me", options)
            }
            Self::ChooseInVain => {
                let all = json!({"acks": "none", "ack_details": true, "names": ["tickwire"]});
                hello("me", all)
            }
            Self::Cut | Self::Drain => return None,
        };
        made["msg_id"] = id(number).into();
        Some(made)
    }
}

/// Everything that a client is answered that acts like this.
fn answers_to(deeds: &[Deed], first: Value, plain: bool) -> Vec<Value> {
    let router = Router::new(RouterConfig {
        queue_messages: 16,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut other = TestClient::named(&router, "other");
    let mut sender = choosing(&router, first);
    let mut bytes = Vec::new();
    let mut answers = Vec::new();
    for (number, deed) in deeds.iter().chain([&Deed::Cut]).enumerate() {
        if let Some(message) = deed.message(number, plain) {
            bytes.extend(framed(&message));
            continue;
        }
        let mut step = sender.arrive(&std::mem::take(&mut bytes));
        answers.extend(sender.read());
        let mut tries = 0;
        while is_paused(&step) {
            tries += 1;
            assert!(tries < TRIES_MAX, "the pause doesn't end");
            let _ = gateway.read();
            step = sender.arrive(&[]);
            answers.extend(sender.read());
        }
        if matches!(deed, Deed::Drain) {
            let _ = (gateway.read(), other.read());
        }
    }
    answers
}

/// The constant part of an answer that is no ack.
fn gist(answer: &Value) -> String {
    let payload = &answer["payload"];
    match answer["msg_type"].as_str().unwrap() {
        "welcome" => payload["hello_msg_id"].to_string(),
        _ => payload.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Held against a client that has each message acknowledged by itself, and
    /// in detail.
    #[test]
    fn however_it_is_acknowledged_nothing_is_lost_doubled_or_out_of_order(
        deeds in proptest::collection::vec(deed(), 0..120)
    ) {
        let plain = answers_to(&deeds, json!({"ack_details": true}), true);
        let chosen = answers_to(&deeds, json!({}), false);
        let (mut acks, mut details) = ("each", false);
        let options: Vec<_> = deeds
            .iter()
            .map(|deed| {
                if let Deed::Choose { acks: new_acks, details: new_details } = deed {
                    acks = new_acks.unwrap_or(acks);
                    details = new_details.unwrap_or(details);
                }
                (acks, details)
            })
            .collect();
        let options_of = |msg_id: &str| options[usize::from_str_radix(&msg_id[24..], 16).unwrap()];

        let mut expected = plain
            .iter()
            .filter(|answer| {
                answer["msg_type"] != "ack" || options_of(&covered(answer)[0]).0 != "none"
            });
        for answer in &chosen {
            if answer["msg_type"] != "ack" {
                prop_assert_eq!(expected.next().map(gist), Some(gist(answer)));
                continue;
            }
            let ids = covered(answer);
            let payload = &answer["payload"];
            let (acks, details) = options_of(&ids[0]);
            prop_assert_eq!(payload.get("acknowledged_msg_ids").is_some(), acks == "batch");
            let mut dropped = Vec::new();
            for msg_id in &ids {
                prop_assert_eq!(options_of(msg_id), (acks, details));
                let single = expected.next().expect("no ack is doubled");
                prop_assert_eq!(&single["payload"]["acknowledged_msg_id"], &json!(msg_id));
                dropped.push(single["payload"]["dropped"].as_u64().unwrap());
            }
            let sum: u64 = dropped.iter().sum();
            let said = match (acks, details) {
                ("batch", true) => json!(dropped),
                (_, true) => json!(sum),
                (_, false) if sum > 0 => json!(sum),
                _ => Value::Null,
            };
            prop_assert_eq!(&payload["dropped"], &said);
        }
        prop_assert!(expected.next().is_none(), "no answer is lost");
    }
}
