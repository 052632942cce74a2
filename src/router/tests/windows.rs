//! The messages that a connection with a flow-control window is handed.

use super::*;

/// A client that owns `name` and is handed so many messages.
fn windowed(router: &Router, name: &str, messages: u32) -> TestClient {
    let mut client = TestClient::new(router);
    let _ = client.say(&hello(name, json!({"window": messages})));
    let welcome = &client.read()[0];
    assert_eq!(welcome["payload"]["granted"]["window"], messages);
    client
}

fn orders(numbers: std::ops::Range<usize>, target: &str) -> Vec<Value> {
    numbers.map(|number| order(number, "me", target)).collect()
}

fn id_list(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(id).collect()
}

fn broadcast(number: usize, symbol: &str) -> Value {
    let mut order = order(number, "me", Value::Null);
    order["payload"]["payload_json"]["symbol"] = symbol.into();
    order
}

#[test]
fn what_is_beyond_the_window_goes_to_the_next_owner_once() {
    let one = framed(&order(0, "me", "desk")).len();
    for in_one_read in [true, false] {
        for room in 0..4 * one {
            let router = router();
            let mut first = windowed(&router, "desk", 2);
            let mut sender = TestClient::anonymous(&router);
            match in_one_read {
                true => drop(sender.say_all(&orders(0..5, "desk"))),
                false => orders(0..5, "desk").iter().for_each(|order| {
                    let _ = sender.say(order);
                }),
            }
            first.write_up_to(room);
            let mut second = TestClient::claiming(&router, "desk");
            let _ = first.handle_reports();
            first.write_up_to(usize::MAX);
            let seen = messages(&first.written);
            let begun = room.div_ceil(one).min(2);
            assert_eq!(ids(&seen[..begun]), id_list(0..begun), "room {room}");
            assert_eq!(kinds(&seen[begun..]), ["NAME_TAKEN_OVER"], "room {room}");
            // A frame that was begun is finished, and goes to both.
            let whole = (room / one).min(2);
            let expected = id_list(whole..5);
            assert_eq!(ids(&second.read()[1..]), expected, "room {room}");
            assert!(router.0.registry.kept(b"desk").unwrap().load().is_empty());
        }
    }
}

#[test]
fn answers_go_on_while_the_window_is_used_up() {
    let router = router();
    let mut desk = windowed(&router, "desk", 1);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..3, "desk"));
    let _ = desk.say(&order(9, "desk", "nobody"));
    let read = desk.read();
    assert_eq!(kinds(&read), ["TARGET_UNAVAILABLE", "ingest_event"]);
    let _ = desk.say(&heartbeat(10, "desk", "health-monitor"));
    assert_eq!(kinds(&desk.read()), ["ack"]);
}

#[test]
fn an_ack_to_the_server_releases_one_and_no_more_than_were_handed_over() {
    let router = router();
    let mut desk = windowed(&router, "desk", 2);
    // Nothing was handed over: these release nothing.
    let _ = desk.say_all(&[ack(20, "desk", "tickwire"), ack(21, "desk", "tickwire")]);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..9, "desk"));
    assert_eq!(ids(&desk.read()), id_list(0..2));
    let _ = desk.say(&ack(22, "desk", "tickwire"));
    assert_eq!(ids(&desk.read()), id_list(2..3));
    let _ = desk.say_all(&[ack(23, "desk", "tickwire"), ack(24, "desk", "tickwire")]);
    assert_eq!(ids(&desk.read()), id_list(3..5));
    // An ack to somebody else, or an error, releases nothing.
    let _ = desk.say(&ack(25, "desk", "health-monitor"));
    let error = message(
        "error",
        26,
        "desk",
        "tickwire".into(),
        json!({"code": "X", "message": "y"}),
    );
    let _ = desk.say(&error);
    assert_eq!(kinds(&desk.read()), ["ack"]);
}

#[test]
fn another_hello_begins_anew_and_without_the_key_the_window_stays() {
    let router = router();
    let mut desk = windowed(&router, "desk", 2);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..9, "desk"));
    assert_eq!(ids(&desk.read()), id_list(0..2));
    let _ = desk.say(&hello("desk", json!({})));
    let welcome = desk.read();
    assert_eq!(kinds(&welcome), ["welcome"]);
    assert_eq!(welcome[0]["payload"]["granted"]["window"], 2);
    let _ = desk.say(&hello("desk", json!({"window": 3})));
    let read = desk.read();
    assert_eq!(kinds(&read)[0], "welcome");
    assert_eq!(ids(&read[1..]), id_list(2..5));
    let _ = desk.say(&hello("desk", json!({"window": 0})));
    assert_eq!(kinds(&desk.read()), ["welcome"]);
    let _ = desk.say(&hello("desk", json!({"window": u32::MAX})));
    assert_eq!(ids(&desk.read()[1..]), id_list(5..9));
}

#[test]
fn a_window_that_comes_late_cuts_what_is_partly_written() {
    let one = framed(&order(0, "me", "desk")).len();
    for room in 0..3 * one {
        let router = router();
        let mut desk = TestClient::named(&router, "desk");
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.say_all(&orders(0..4, "desk"));
        desk.write_up_to(room);
        let _ = desk.say(&hello("desk", json!({"window": 1})));
        desk.write_up_to(usize::MAX);
        let read = messages(&desk.written);
        let begun = room.div_ceil(one);
        assert_eq!(kinds(&read)[begun], "welcome", "room {room}");
        assert_eq!(ids(&read[..begun]), id_list(0..begun), "room {room}");
        assert_eq!(ids(&read[begun + 1..]), [id(begun)], "room {room}");
        let mut next = TestClient::claiming(&router, "desk");
        assert_eq!(ids(&next.read()[1..]), id_list(begun + 1..4), "room {room}");
    }
}

#[test]
fn broadcasts_are_counted_with_what_is_addressed_to_the_name() {
    for latest in [false, true] {
        let router = router();
        let mut desk = windowed(&router, "desk", 3);
        if latest {
            let symbol = "/payload/payload_json/symbol";
            let payload = json!({"id": "s", "mode": "latest", "key": symbol});
            let _ = desk.say(&message("subscribe", 50, "desk", Value::Null, payload));
            assert_eq!(kinds(&desk.read()), ["ack"]);
        }
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.say_all(&[broadcast(0, "A"), broadcast(1, "B"), broadcast(2, "A")]);
        let _ = sender.say_all(&orders(3..7, "desk"));
        let read = desk.read();
        assert_eq!(read.len(), 3, "latest: {latest}");
        let mut all = ids(&read);
        for number in 80..90 {
            let _ = desk.say(&ack(number, "desk", "tickwire"));
            let more = desk.read();
            assert!(more.len() <= 1, "each releases one");
            all.extend(ids(&more));
        }
        all.sort();
        let expected = if latest { 1..7 } else { 0..7 };
        assert_eq!(all, id_list(expected), "latest: {latest}");
    }
}

#[test]
fn the_report_of_what_is_missing_comes_with_what_follows_it() {
    let config = RouterConfig {
        queue_messages: 8,
        ..RouterConfig::default()
    };
    let router = Router::new(config);
    let mut desk = windowed(&router, "desk", 7);
    let mut sender = TestClient::anonymous(&router);
    let all: Vec<_> = (0..9)
        .map(|number| heartbeat(number, "me", "desk"))
        .collect();
    // An eighth is kept for acks and errors, so two are dropped.
    let _ = sender.say_all(&all);
    assert_eq!(ids(&desk.read()), id_list(0..7));
    let mut next = TestClient::claiming(&router, "desk");
    let told = next.read();
    assert_eq!(kinds(&told), ["welcome", "MESSAGES_DROPPED"]);
    assert_eq!(told[1]["payload"]["details"]["count"], 2);
}

#[test]
fn a_member_takes_no_more_of_a_shared_queue_than_it_may_be_handed() {
    for key in [None, Some("/payload/run_id")] {
        let router = router();
        let member = |window: Option<u32>| {
            let mut options = json!({"names": ["workers"], "group": true});
            if let Some(key) = key {
                options["group_key"] = key.into();
            }
            if let Some(window) = window {
                options["window"] = window.into();
            }
            let mut client = TestClient::new(&router);
            let _ = client.say(&hello("w", options));
            assert_eq!(kinds(&client.read()), ["welcome"]);
            client
        };
        let mut few = member(Some(2));
        let mut many = member(None);
        let mut sender = TestClient::anonymous(&router);
        let all: Vec<_> = (0..20)
            .map(|number| {
                let mut order = order(number, "me", "workers");
                match key {
                    // Without the value it goes to any.
                    Some(_) if number % 4 == 3 => order["payload"]["run_id"] = "".into(),
                    _ => order["payload"]["run_id"] = format!("run-{}", number % 4).into(),
                }
                order
            })
            .collect();
        let _ = sender.say_all(&all);
        let first = few.read();
        assert_eq!(first.len(), 2, "{key:?}");
        let rest = many.read();
        let mut seen = [ids(&first), ids(&rest)].concat();
        if key.is_none() {
            seen.sort();
            assert_eq!(seen, id_list(0..20));
            continue;
        }
        // A message that is bound to a member waits for it, and stays in order.
        let mut own = first;
        for number in 100..120 {
            let _ = few.say(&ack(number, "w", "tickwire"));
            own.extend(few.read());
        }
        seen = [ids(&own), ids(&rest)].concat();
        assert!(ids(&own).is_sorted() && ids(&rest).is_sorted());
        seen.sort();
        assert_eq!(seen, id_list(0..20));
    }
}

#[test]
fn what_a_member_had_taken_before_it_asked_for_a_window_goes_to_the_others() {
    let one = framed(&order(0, "me", "workers")).len();
    let router = router();
    let options = json!({"names": ["workers"], "group": true});
    let mut members: Vec<_> = (0..2).map(|_| TestClient::new(&router)).collect();
    for member in &mut members {
        let _ = member.say(&hello("w", options.clone()));
        let _ = member.read();
    }
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..9, "workers"));
    members[0].write_up_to(one + 10);
    assert_eq!(members[1].read().len(), 0, "the first has taken all");
    let _ = members[0].say(&hello("w", json!({"window": 1})));
    assert_eq!(ids(&members[1].read()), id_list(2..9));
    members[0].write_up_to(usize::MAX);
    let read = messages(&members[0].written);
    assert_eq!(ids(&read[..2]), id_list(0..2));
    assert_eq!(kinds(&read[2..]), ["welcome"]);
}

#[test]
fn what_a_member_has_taken_goes_to_the_others_when_something_else_uses_the_window_up() {
    let router = router();
    let mut few = TestClient::new(&router);
    let options = json!({"names": ["red", "blue"], "group": true, "window": 1});
    let _ = few.say(&hello("w", options));
    let mut many = TestClient::new(&router);
    let options = json!({"names": ["red", "blue"], "group": true});
    let _ = many.say(&hello("w", options));
    let _ = (few.read(), many.read());
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&[order(0, "me", "red"), order(1, "me", "blue")]);
    // It takes a message of each, and its socket takes nothing.
    for _ in 0..3 {
        few.write_up_to(0);
    }
    let mut seen = ids(&few.read());
    assert_eq!(seen.len(), 1);
    seen.extend(ids(&many.read()));
    seen.sort();
    assert_eq!(
        seen,
        id_list(0..2),
        "nothing is left with who may not have it"
    );
}

#[test]
fn who_releases_is_woken_for_what_waits() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let router = router();
    let mut desk = windowed(&router, "desk", 1);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..3, "desk"));
    assert_eq!(desk.read().len(), 1);
    let count = Arc::new(Count::default());
    desk.session.register(&Waker::from(count.clone()));
    let _ = desk.say(&ack(9, "desk", "tickwire"));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_member_that_gives_buffers_back_takes_nothing_from_the_others() {
    let router = router();
    let mut few = TestClient::new(&router);
    let group = json!({"names": ["workers"], "group": true, "window": 1});
    let _ = few.say(&hello("w", group));
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..1, "workers"));
    assert_eq!(
        few.read().len(),
        2,
        "the welcome, and the order that it may have"
    );
    let _ = sender.say_all(&orders(1..4, "workers"));
    few.session.shrink();
    let mut many = TestClient::new(&router);
    let group = json!({"names": ["workers"], "group": true});
    let _ = many.say(&hello("w", group));
    few.session.shrink();
    assert_eq!(ids(&many.read()[1..]), id_list(1..4));
}
