//! Queued messages of a name wait for its next owner.

use super::*;

/// A gateway that left with two orders unread, and their sender.
fn left() -> (Router, TestClient) {
    let router = router();
    let gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&[order(1, "me", "gateway"), order(2, "me", "gateway")]);
    assert_eq!(kinds(&sender.read()), ["ack", "ack"]);
    drop(gateway);
    assert_eq!(router.lingering_count(), 1);
    assert_eq!(router.name_count(), 0);
    (router, sender)
}

impl Router {
    fn tend_at(&self, seconds: u64) {
        self.expire(at_ms(seconds * 1_000));
    }
}

#[test]
fn who_comes_back_gets_what_was_queued_and_then_what_is_new() {
    for hello_first in [true, false] {
        let (router, mut sender) = left();
        router.tend_at(0);
        router.tend_at(29);
        let _ = sender.say(&order(3, "me", "gateway"));
        assert_eq!(kinds(&sender.read()), ["TARGET_UNAVAILABLE"]);
        let mut next = TestClient::new(&router);
        let _ = match hello_first {
            true => next.say(&hello("gateway", json!({}))),
            false => next.say(&heartbeat(9, "gateway", "health-monitor")),
        };
        assert_eq!(router.lingering_count(), 0);
        let _ = sender.say(&order(4, "me", "gateway"));
        assert_eq!(kinds(&sender.read()), ["ack"]);
        router.tend_at(100);
        assert_eq!(ids(&next.read())[1..], [id(1), id(2), id(4)]);
        assert!(sender.read().is_empty(), "nothing was given up");
    }
}

#[test]
fn is_given_up_in_the_end_and_reported() {
    let (router, mut sender) = left();
    router.tend_at(10);
    router.tend_at(39);
    assert!(sender.read().is_empty());
    router.tend_at(40);
    let told = sender.read();
    assert_eq!(kinds(&told), ["UNDELIVERED"]);
    assert_eq!(told[0]["payload"]["details"]["count"], 2);
    assert_eq!(told[0]["payload"]["details"]["first_msg_id"], id(1));
    assert_eq!(router.lingering_count(), 0);
    let mut late = TestClient::claiming(&router, "gateway");
    assert_eq!(kinds(&late.read()), ["welcome"]);
}

#[test]
fn nothing_lingers_without_anything_to_keep() {
    let router = router();
    drop(TestClient::named(&router, "gateway"));
    assert_eq!(router.lingering_count(), 0);
    assert_eq!(router.name_count(), 0);
}

#[test]
fn a_service_answers_while_its_name_lingers() {
    let router = router();
    let monitor = TestClient::named(&router, "health-monitor");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say(&heartbeat(1, "me", "health-monitor"));
    drop(monitor);
    let _ = sender.say(&heartbeat(2, "me", "health-monitor"));
    assert_eq!(kinds(&sender.read()), ["ack", "ack"]);
    let mut next = TestClient::claiming(&router, "health-monitor");
    assert_eq!(ids(&next.read())[1..], [id(1)]);
}

#[test]
fn a_frame_begun_before_the_end_goes_whole_to_the_next_owner() {
    let one = framed(&order(1, "me", "gateway")).len();
    for room in 0..=2 * one {
        let router = router();
        let mut gateway = TestClient::named(&router, "gateway");
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.say_all(&[order(1, "me", "gateway"), order(2, "me", "gateway")]);
        let _ = gateway.write_up_to(room);
        // It sends no more, and a message that it was sent in part is finished.
        gateway.session.end_input();
        let finished = messages(&gateway.read_bytes()).len();
        assert_eq!(finished, room.div_ceil(one), "room {room}");
        let mut next = TestClient::claiming(&router, "gateway");
        let expected: Vec<_> = (1 + room / one..3).map(id).collect();
        assert_eq!(ids(&next.read())[1..], expected, "room {room}");
    }
}

#[test]
fn the_end_of_the_server_gives_up_what_waits_and_what_would() {
    let (router, mut sender) = left();
    let other = TestClient::named(&router, "other");
    let _ = sender.say(&order(3, "me", "other"));
    router.stop_lingering();
    assert_eq!(kinds(&sender.read()), ["ack", "UNDELIVERED"]);
    drop(other);
    assert_eq!(kinds(&sender.read()), ["UNDELIVERED"]);
    assert_eq!(router.lingering_count(), 0);
}
