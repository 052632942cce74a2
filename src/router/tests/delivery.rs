//! The delivery of messages, and the answers to their senders.

use super::*;

#[test]
fn forwards_a_frame_byte_for_byte_and_acknowledges_it() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::new(&router);
    let body = serde_json::to_string_pretty(&order(1, "me", "gateway"))
        .unwrap()
        .replace("\"source\"", "\"sour\\u0063e\"")
        .replace("ord-1", "ord-\\u0031 ü 1e400");
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body.as_bytes());
    let _ = sender.arrive(&frame);
    let answers = sender.read();
    assert_eq!(acked(&answers), [id(1)]);
    assert_eq!(answers[0]["source"], "tickwire");
    assert_eq!(answers[0]["target"], "me");
    assert_eq!(answers[0]["timestamp"], "2026-01-03T12:41:00.000Z");
    assert_eq!(gateway.read_bytes(), frame);
}

#[test]
fn refuses_what_is_addressed_to_nobody() {
    let router = router();
    let mut sender = TestClient::new(&router);
    let _ = sender.say(&order(1, "me", "nobody"));
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["TARGET_UNAVAILABLE"]);
    assert_eq!(answers[0]["payload"]["details"]["msg_id"], id(1));
    assert_eq!(answers[0]["target"], "me");
}

#[test]
fn routes_an_ack_in_silence_and_refuses_one_that_leads_nowhere() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&[
        ack(1, "me", "gateway"),
        ack(2, "me", "nobody"),
        ack(3, "me", "tickwire"),
    ]);
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["TARGET_UNAVAILABLE"]);
    assert_eq!(answers[0]["payload"]["details"]["msg_id"], id(2));
    assert_eq!(ids(&gateway.read()), [id(1)]);
}

#[test]
fn discards_errors_addressed_to_the_server_and_refuses_the_rest() {
    let router = router();
    let mut sender = TestClient::anonymous(&router);
    let payload = json!({"code": "X", "message": "y"});
    let _ = sender.say(&message("error", 1, "me", "tickwire".into(), payload));
    let _ = sender.say(&order(2, "me", "tickwire"));
    assert_eq!(kinds(&sender.read()), ["ack", "TARGET_UNAVAILABLE"]);
}

#[test]
fn serves_heartbeats_and_logs_until_somebody_owns_the_name() {
    let router = router();
    let mut sender = TestClient::new(&router);
    let _ = sender.say(&heartbeat(1, "me", "health-monitor"));
    assert_eq!(kinds(&sender.read()), ["ack"]);
    let mut monitor = TestClient::named(&router, "health-monitor");
    let _ = sender.say(&heartbeat(2, "me", "health-monitor"));
    assert_eq!(kinds(&sender.read()), ["ack"]);
    assert_eq!(ids(&monitor.read()), [id(2)]);
    drop(monitor);
    let _ = sender.say(&heartbeat(3, "me", "health-monitor"));
    assert_eq!(kinds(&sender.read()), ["ack"]);
    let seen = router.liveness();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].heartbeats, 3,
        "liveness sees them whoever owns the name"
    );
    assert_eq!(seen[0].status.as_deref(), Some("alive"));
}

#[test]
fn broadcasts_to_all_who_own_a_name_but_the_sender() {
    let router = router();
    let mut a = TestClient::named(&router, "a");
    let mut b = TestClient::new(&router);
    let _ = b.say(&hello("b", json!({"names": ["b1", "b2"]})));
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    let _ = sender.say_all(&[
        order(1, "sender", Value::Null),
        order(2, "sender", "a"),
        order(3, "sender", Value::Null),
    ]);
    assert_eq!(acked(&sender.read()), [id(1), id(2), id(3)]);
    let mut to_a = ids(&a.read());
    to_a.sort();
    assert_eq!(to_a, [id(1), id(2), id(3)]);
    let to_b = b.read();
    assert_eq!(kinds(&to_b), ["welcome", "ingest_event", "ingest_event"]);
    assert_eq!(
        ids(&to_b)[1..],
        [id(1), id(3)],
        "once, though it owns two names"
    );
    assert!(tool.read().is_empty(), "who owns nothing hears nothing");
}

#[test]
fn a_broadcast_without_audience_is_accepted() {
    let router = router();
    let mut sender = TestClient::new(&router);
    let _ = sender.say(&order(1, "me", Value::Null));
    let answers = sender.read();
    assert_eq!(kinds(&answers), ["ack"]);
    assert!(answers[0]["payload"].get("dropped").is_none());
}

#[test]
fn keeps_the_order_to_each_name_whatever_stands_between() {
    let router = router();
    let targets = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut receivers = targets.map(|name| TestClient::named(&router, name));
    let mut sender = TestClient::anonymous(&router);
    let mut expected = vec![Vec::new(); targets.len()];
    let mut batch = Vec::new();
    for number in 0..5_000 {
        let to = (number * number + number / 7) % targets.len();
        expected[to].push(id(number));
        batch.push(order(number, "me", targets[to]));
        if batch.len() == 97 {
            let _ = sender.say_all(&std::mem::take(&mut batch));
            assert_eq!(sender.read().len(), 97);
        }
    }
    let _ = sender.say_all(&batch);
    for (receiver, expected) in receivers.iter_mut().zip(expected) {
        assert_eq!(ids(&receiver.read()), expected);
    }
}

#[test]
fn large_runs_are_forwarded_without_being_copied() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let run: Vec<u8> = (0..200)
        .flat_map(|number| framed(&order(number, "me", "gateway")))
        .collect();
    sender.input.extend_from_slice(&run);
    let input = sender.input.as_ptr_range();
    let _ = sender.arrive(&[]);
    let mut inside = false;
    let outcome = gateway.session.transmit(usize::MAX, &mut |slices| {
        inside = input.contains(&slices[0].as_ptr());
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    assert_eq!(outcome.unwrap(), (run.len(), Progress::Idle));
    assert!(inside, "the slice written is the input that was read");
}
