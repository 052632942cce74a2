//! The owners of names.

use super::*;

fn names(client: &TestClient) -> Vec<&str> {
    client.session.names().map(|name| name.as_str()).collect()
}

#[test]
fn the_first_accepted_message_claims_its_source_and_only_that() {
    let router = router();
    let mut client = TestClient::new(&router);
    let _ = client.say(&order(1, "refused", "nobody"));
    assert!(
        names(&client).is_empty(),
        "a refused message claims nothing"
    );
    let _ = client.say(&heartbeat(2, "first", "health-monitor"));
    let _ = client.say(&heartbeat(3, "second", "health-monitor"));
    assert_eq!(names(&client), ["first"]);
}

#[test]
fn passes_messages_on_under_a_name_that_somebody_else_owns_and_claims_it_once_free() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let owner = TestClient::named(&router, "me");
    let mut stranger = TestClient::new(&router);
    let _ = stranger.say(&order(1, "me", "gateway"));
    assert_eq!(kinds(&stranger.read()), ["ack"]);
    assert!(names(&stranger).is_empty());
    assert_eq!(ids(&gateway.read()), [id(1)]);
    drop(owner);
    let _ = stranger.say(&order(2, "other", "gateway"));
    assert_eq!(names(&stranger), ["me"]);
}

#[test]
fn a_hello_takes_a_name_over_at_once() {
    let router = router();
    let mut first = TestClient::named(&router, "me");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say(&order(1, "a", "me"));
    let mut second = TestClient::claiming(&router, "me");
    let _ = sender.say(&order(2, "a", "me"));
    assert_eq!(
        first.handle_reports(),
        Attention::Close,
        "it owns nothing else"
    );
    let told = first.read();
    assert_eq!(kinds(&told), ["NAME_TAKEN_OVER"]);
    assert_eq!(told[0]["target"], "me");
    // Messages that were queued but not yet written go to the new owner.
    assert_eq!(ids(&second.read())[1..], [id(1), id(2)]);
    assert_eq!(names(&second), ["me"]);
    assert!(names(&first).is_empty());
}

/// The bytes of a dead connection may be read only after its client has come back.
#[test]
fn a_first_hello_takes_no_name_from_a_connection_that_was_made_later() {
    let router = router();
    let mut dead = TestClient::new(&router);
    let mut back = TestClient::named(&router, "me");
    for (options, at) in [(json!({}), 1), (json!({"names": ["free", "me"]}), 2)] {
        let step = dead.say(&hello("me", options));
        assert!(matches!(step.halt, Some(Halt::Close)));
        let told = dead.read();
        assert_eq!(kinds(&told), ["NAME_TAKEN_OVER"], "hello {at}");
        assert!(told[0]["payload"]["details"]["msg_id"].is_string());
        assert!(names(&dead).is_empty());
    }
    assert_eq!(back.handle_reports(), Attention::Continue);
    assert_eq!(names(&back), ["me"]);
    // Who has said hello may do it again.
    let mut first = TestClient::named(&router, "first");
    let mut second = TestClient::named(&router, "second");
    let step = first.say(&hello("first", json!({"names": ["second"]})));
    assert!(step.halt.is_none());
    assert_eq!(second.handle_reports(), Attention::Close);
}

#[test]
fn who_lost_one_of_two_names_goes_on_with_the_other() {
    let router = router();
    let mut first = TestClient::new(&router);
    let _ = first.say(&hello("x", json!({"names": ["a", "b"]})));
    assert_eq!(names(&first), ["a", "b"]);
    let _second = TestClient::named(&router, "a");
    assert_eq!(first.handle_reports(), Attention::Continue);
    assert_eq!(names(&first), ["b"]);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say(&order(1, "c", "b"));
    assert_eq!(
        kinds(&first.read()),
        ["welcome", "NAME_TAKEN_OVER", "ingest_event"]
    );
}

#[test]
fn a_repeated_hello_changes_exactly_what_it_names() {
    let router = router();
    let mut client = TestClient::named(&router, "a");
    let _ = client.say(&hello("a", json!({"names": ["b", "c", "b"]})));
    assert_eq!(names(&client), ["b", "c"]);
    let _ = client.say(&hello("z", json!({})));
    assert_eq!(names(&client), ["b", "c"], "an absent key leaves the names");
    let _ = client.say(&hello("z", json!({"names": ["c"], "replay": true})));
    assert_eq!(
        names(&client),
        ["b", "c"],
        "all is granted or nothing changes"
    );
    let _ = client.say(&hello("z", json!({"names": ["d", "tickwire"]})));
    assert_eq!(names(&client), ["b", "c"]);
    let _ = client.say(&hello("z", json!({"register": false})));
    assert!(names(&client).is_empty());
    assert_eq!(
        kinds(&client.read()),
        [
            "welcome",
            "welcome",
            "PROTOCOL_UNSUPPORTED",
            "SOURCE_NOT_ALLOWED",
            "welcome",
        ]
    );
    assert_eq!(router.name_count(), 0);
}

#[test]
fn a_repeated_hello_is_a_fence() {
    let router = router();
    let _gateway = TestClient::named(&router, "gateway");
    let mut client = TestClient::anonymous(&router);
    let _ = client.say_all(&[
        order(1, "a", "gateway"),
        order(2, "a", "nobody"),
        ack(3, "a", "gateway"),
        hello("tool", json!({"register": false})),
        order(4, "a", "gateway"),
    ]);
    assert_eq!(
        kinds(&client.read()),
        ["ack", "TARGET_UNAVAILABLE", "welcome", "ack"]
    );
}

#[test]
fn the_servers_own_name_can_be_neither_source_nor_claimed() {
    let router = router();
    let mut client = TestClient::new(&router);
    let _ = client.say(&hello("tickwire", json!({})));
    let _ = client.say(&heartbeat(1, "tickwire", "health-monitor"));
    assert_eq!(
        kinds(&client.read()),
        ["SOURCE_NOT_ALLOWED", "SOURCE_NOT_ALLOWED"]
    );
    assert!(names(&client).is_empty());
}

#[test]
fn a_name_is_free_once_its_connection_ends() {
    let router = router();
    let mut first = TestClient::named(&router, "me");
    first.session.end_input();
    assert_eq!(router.name_count(), 0);
    let mut second = TestClient::new(&router);
    let _ = second.say(&heartbeat(1, "me", "health-monitor"));
    assert_eq!(names(&second), ["me"]);
    assert_eq!(
        first.handle_reports(),
        Attention::Continue,
        "nothing was taken over"
    );
    let code = crate::wire::ErrorCode::ServerShuttingDown;
    first
        .session
        .close_with(code, "the server stops", None, at_ms(0));
    assert_eq!(first.read()[0]["target"], "me", "it is told under its name");
}

#[test]
fn a_frame_begun_before_a_takeover_is_finished_and_goes_whole_to_the_new_owner() {
    let mut run = Vec::new();
    for number in 0..3 {
        run.extend(framed(&order(number, "a", "me")));
    }
    let frame = run.len() / 3;
    for room in 0..run.len() {
        let router = router();
        let mut first = TestClient::named(&router, "me");
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.arrive(&run);
        assert_eq!(first.write_up_to(room), Progress::Blocked);
        let mut second = TestClient::claiming(&router, "me");
        assert_eq!(first.handle_reports(), Attention::Close);
        let whole_frames = room / frame;
        let begun = usize::from(room % frame > 0);
        let seen_by_first = messages(&first.read_bytes());
        assert_eq!(seen_by_first.len(), whole_frames + begun + 1, "room {room}");
        assert_eq!(*kinds(&seen_by_first).last().unwrap(), "NAME_TAKEN_OVER");
        let expected: Vec<_> = (whole_frames..3).map(id).collect();
        assert_eq!(ids(&second.read())[1..], expected, "room {room}");
    }
}

#[test]
fn who_takes_a_name_back_hears_of_its_loss_before_the_welcome() {
    let router = router();
    let mut first = TestClient::named(&router, "me");
    let mut second = TestClient::named(&router, "me");
    let step = first.say(&hello("me", json!({"names": ["me"]})));
    assert!(step.halt.is_none());
    assert_eq!(kinds(&first.read()), ["NAME_TAKEN_OVER", "welcome"]);
    assert_eq!(names(&first), ["me"]);
    // A hello without names leaves them as they are: none.
    let step = second.say(&hello("me", json!({})));
    assert!(matches!(step.halt, Some(Halt::Close)));
    assert_eq!(kinds(&second.read()), ["NAME_TAKEN_OVER", "welcome"]);
}
