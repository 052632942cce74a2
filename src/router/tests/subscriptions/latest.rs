//! Of those that wait, the newest for each key.

use super::*;

fn latest(filter: Value) -> Value {
    json!({"where": filter, "mode": "latest", "key": SYMBOL})
}

/// Bars that close below 100, or above.
fn close(op: &str) -> Value {
    json!([{"field": "/payload/payload_json/close", "op": op, "value": 100}])
}

/// A client that wants the latest of all bars, and one that sends them.
fn latest_bars() -> (Router, TestClient, TestClient) {
    let router = router();
    let mut slow = TestClient::anonymous(&router);
    let sender = TestClient::named(&router, "sender");
    slow.subscribe("bars", latest(json!([])));
    (router, slow, sender)
}

#[test]
fn a_newer_message_takes_the_place_of_the_older_one_with_its_key() {
    let (router, mut slow, mut sender) = latest_bars();
    let bars = |list: &[(usize, &str)]| -> Vec<Value> {
        let bar = |(number, symbol): &(usize, &str)| bar(*number, "sender", *symbol, *number);
        list.iter().map(bar).collect()
    };
    let _ = sender.say_all(&bars(&[(1, "A"), (2, "B"), (3, "A")]));
    let mut keyless = bar(4, "sender", "A", 1);
    keyless["payload"]["payload_json"] = json!({"symbol": ["A"]});
    let _ = sender.say(&keyless);
    let _ = sender.say_all(&bars(&[(5, "C"), (6, "B"), (7, "A")]));
    let acks = sender.read();
    assert!(
        acks.iter()
            .all(|ack| ack["payload"].get("dropped").is_none())
    );
    assert_eq!(router.stats().conflated, 3);
    assert_eq!(ids(&slow.read()), id_list([7, 6, 4, 5]));
    let _ = sender.say_all(&bars(&[(8, "A"), (9, "A")]));
    assert_eq!(ids(&slow.read()), id_list([9]));
    assert_eq!(router.stats().conflated, 4);
    assert_eq!(router.stats().dropped, 0);
}

#[test]
fn what_is_begun_is_finished_and_only_what_is_not_can_be_replaced() {
    let (_router, mut slow, mut sender) = latest_bars();
    let bars = |numbers: std::ops::Range<usize>| -> Vec<Value> {
        let symbol = |number: usize| ["A", "B"][number % 2];
        numbers
            .map(|n| bar(n, "sender", symbol(n), 100 + n))
            .collect()
    };
    let frame = framed(&bars(0..1)[0]).len();
    for cut in [0, 1, frame - 1, frame, frame + 1, 2 * frame] {
        let _ = sender.say_all(&bars(0..2));
        assert_eq!(slow.write_up_to(cut) == Progress::Idle, cut == 2 * frame);
        let _ = sender.say_all(&bars(2..4));
        let expected: &[usize] = match cut {
            0 => &[2, 3],
            // Begun, and so not in the queue any more: a newer one comes last.
            _ if cut < frame => &[0, 3, 2],
            _ if cut == frame => &[0, 3, 2],
            _ => &[0, 1, 2, 3],
        };
        assert_eq!(
            ids(&slow.read()),
            id_list(expected.iter().copied()),
            "{cut}"
        );
    }
}

#[test]
fn what_is_replaced_while_a_write_has_it_is_not_delivered() {
    let (router, mut slow, mut sender) = latest_bars();
    let _ = sender.say_all(&[bar(1, "sender", "A", 1), bar(2, "sender", "B", 1)]);
    // The socket takes nothing, and meanwhile a newer one comes.
    let outcome = slow.session.transmit(usize::MAX, &mut |_| {
        let _ = sender.say(&bar(3, "sender", "A", 2));
        Err(io::ErrorKind::WouldBlock.into())
    });
    let (written, progress) = outcome.expect("this socket does not fail");
    assert_eq!((written, progress), (0, Progress::Blocked));
    assert_eq!(ids(&slow.read()), id_list([2, 3]));
    assert_eq!(router.stats().conflated, 1);
}

#[test]
fn what_a_write_has_keeps_its_place_before_one_that_is_wanted_by_itself() {
    let (router, mut slow, mut sender) = latest_bars();
    slow.subscribe("high", json!({"where": close("gt")}));
    let _ = sender.say(&bar(1, "sender", "A", 1));
    // The socket takes nothing, and meanwhile others come.
    let outcome = slow.session.transmit(usize::MAX, &mut |_| {
        let _ = sender.say(&bar(2, "sender", "A", 101));
        Err(io::ErrorKind::WouldBlock.into())
    });
    assert_eq!(outcome.expect("this socket does not fail").0, 0);
    let _ = sender.say(&bar(3, "sender", "A", 2));
    // The third must not take the place of the first: it is newer than the second.
    assert_eq!(ids(&slow.read()), id_list([1, 2, 3]));
    assert_eq!(router.stats().conflated, 0);
}

#[test]
fn a_match_by_a_subscription_of_mode_all_wins() {
    let (_router, mut slow, mut sender) = latest_bars();
    slow.subscribe("high", json!({"where": close("gt")}));
    let _ = sender.say_all(&[
        bar(1, "sender", "A", 1),
        bar(2, "sender", "A", 101),
        bar(3, "sender", "A", 102),
        bar(4, "sender", "A", 2),
        bar(5, "sender", "A", 3),
    ]);
    // None comes before one that is older.
    assert_eq!(ids(&slow.read()), id_list([1, 2, 3, 5]));
}

#[test]
fn none_takes_a_place_before_one_with_its_key_that_is_wanted_by_itself() {
    let (router, mut slow, mut sender) = latest_bars();
    slow.subscribe("low", latest(close("lt")));
    slow.subscribe("high", json!({"where": close("gt")}));
    let _ = sender.say_all(&[
        bar(1, "sender", "A", 1),
        bar(2, "sender", "A", 101),
        bar(3, "sender", "A", 2),
    ]);
    // The third is newer than both that "bars" had asked for.
    assert_eq!(ids(&slow.read()), id_list([2, 3]));
    assert_eq!(router.stats().conflated, 1);
}

#[test]
fn what_one_subscription_asks_for_replaces_nothing_of_another() {
    let router = router();
    let mut slow = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    let is = |kind: &str| json!([{"field": "/payload/event_type", "op": "eq", "value": kind}]);
    slow.subscribe("bars", latest(is("market_data")));
    slow.subscribe("orders", latest(is("order")));
    let event = |number, kind: &str| {
        let mut event = bar(number, "sender", "A", number);
        event["payload"]["event_type"] = kind.into();
        event
    };
    let _ = sender.say_all(&[
        event(1, "market_data"),
        event(2, "order"),
        event(3, "market_data"),
        event(4, "order"),
    ]);
    assert_eq!(ids(&slow.read()), id_list([3, 4]));
    slow.subscribe("any", latest(json!([])));
    let _ = sender.say_all(&[
        event(5, "market_data"),
        event(6, "order"),
        event(7, "market_data"),
        event(8, "order"),
    ]);
    // The last of all is also the last of its kind, and the bar before it still
    // the last bar.
    assert_eq!(ids(&slow.read()), id_list([7, 8]));
}

#[test]
fn a_full_queue_drops_new_keys_with_a_notice_and_still_replaces() {
    let router = Router::new(RouterConfig {
        queue_messages: 2,
        ..RouterConfig::default()
    });
    let mut slow = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    slow.subscribe("bars", latest(json!([])));
    let bars = [(1, "A"), (2, "B"), (3, "C"), (4, "D"), (5, "A")];
    let bars = bars.map(|(number, symbol)| bar(number, "sender", symbol, number));
    let _ = sender.say_all(&bars);
    let answers = sender.read();
    let dropped = |ack: &Value| ack["payload"]["dropped"].as_u64().unwrap_or(0);
    let dropped: Vec<_> = answers.iter().map(dropped).collect();
    assert_eq!(dropped, [0, 0, 1, 1, 0]);
    slow.write_up_to(framed(&bars[4]).len());
    let _ = sender.say(&bar(6, "sender", "E", 1));
    let seen = slow.read();
    assert_eq!(ids(&seen)[..2], id_list([5, 2]));
    assert_eq!(kinds(&seen)[2], "MESSAGES_DROPPED");
    let details = json!({"name": null, "count": 2, "first_msg_id": id(3), "last_msg_id": id(4)});
    assert_eq!(seen[2]["payload"]["details"], details);
    assert_eq!(ids(&seen)[3..], id_list([6]));
}

#[test]
fn numbers_that_an_f64_confuses_are_not_the_same_key() {
    let (_router, mut slow, mut sender) = latest_bars();
    let numbers = [
        9_007_199_254_740_992_u64,
        9_007_199_254_740_993,
        9_007_199_254_740_993,
        1,
    ];
    for (number, key) in numbers.into_iter().enumerate() {
        let _ = sender.say(&bar(number, "sender", key, 1));
    }
    let _ = sender.say(&bar(4, "sender", 1.0, 1));
    assert_eq!(ids(&slow.read()), id_list([0, 2, 4]));
}

#[test]
fn a_client_inside_the_process_takes_what_waits_in_the_queue() {
    let (_router, mut slow, mut sender) = latest_bars();
    let _ = sender.say_all(&[bar(1, "sender", "A", 1), bar(2, "sender", "A", 2)]);
    let run = slow.session.take_next().unwrap().frames;
    assert_eq!(ids(&messages(&run)), id_list([2]));
    assert!(slow.session.take_next().is_none());
}
