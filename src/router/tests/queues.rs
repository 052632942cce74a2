//! Queues that are full, and queues that end.

use std::sync::Arc;

use super::*;

const QUEUE_MESSAGES: usize = 16;
/// The room of ordinary messages: an eighth is kept for acks and errors.
const ORDINARY: usize = QUEUE_MESSAGES - QUEUE_MESSAGES / 8;

fn small() -> Router {
    Router::new(RouterConfig {
        queue_messages: QUEUE_MESSAGES,
        stall_timeout: Duration::from_secs(2),
        linger: Duration::ZERO,
        ..RouterConfig::default()
    })
}

fn orders(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers
        .map(|number| order(number, "me", "gateway"))
        .collect()
}

/// A gateway, and a sender with a next order that doesn't fit.
fn full() -> (Router, TestClient, TestClient) {
    let router = small();
    let gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let step = sender.say_all(&orders(0..ORDINARY));
    assert!(step.halt.is_none());
    assert_eq!(acked(&sender.read()).len(), ORDINARY);
    (router, gateway, sender)
}

#[test]
fn pauses_in_front_of_the_event_that_does_not_fit_and_resumes_without_repeating() {
    let router = small();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let step = sender.say_all(&orders(0..20));
    assert!(is_paused(&step));
    assert_eq!(
        acked(&sender.read()).len(),
        ORDINARY,
        "answers so far leave"
    );
    assert!(is_paused(&sender.arrive(&[])), "still full");
    assert!(sender.read().is_empty());
    assert_eq!(gateway.read().len(), ORDINARY);
    let step = sender.arrive(&[]);
    assert!(step.halt.is_none());
    let expected: Vec<_> = (ORDINARY..20).map(id).collect();
    assert_eq!(acked(&sender.read()), expected);
    assert_eq!(ids(&gateway.read()), expected);
}

#[test]
fn refuses_after_the_stall_timeout_and_then_at_once() {
    let (_router, mut gateway, mut sender) = full();
    let step = sender.say(&order(100, "me", "gateway"));
    let Some(Halt::Pause(pause)) = step.halt else {
        panic!("must pause")
    };
    assert_eq!(pause.deadline, Duration::from_secs(2));
    assert_eq!(pause.msg_id.as_str(), id(100));
    sender.now = at_ms(1_999);
    assert!(is_paused(&sender.arrive(&[])));
    sender.now = at_ms(2_000);
    assert!(sender.arrive(&[]).halt.is_none());
    assert_eq!(kinds(&sender.read()), ["QUEUE_FULL"]);
    assert!(sender.say(&order(101, "me", "gateway")).halt.is_none());
    assert_eq!(kinds(&sender.read()), ["QUEUE_FULL"], "at once from now on");
    // Other targets are not affected, and neither is this one once it is read.
    let _ = sender.say(&heartbeat(102, "me", "health-monitor"));
    assert_eq!(kinds(&sender.read()), ["ack"]);
    assert_eq!(gateway.read().len(), ORDINARY);
    assert!(sender.say(&order(103, "me", "gateway")).halt.is_none());
    assert_eq!(kinds(&sender.read()), ["ack"]);
}

#[test]
fn pauses_for_one_queue_add_up_until_it_falls_below_half() {
    let (_router, mut gateway, mut sender) = full();
    let one = framed(&order(0, "me", "gateway")).len();
    // A slot is freed every 1.5 s: the second pause may last half a second.
    assert!(is_paused(&sender.say(&order(100, "me", "gateway"))));
    sender.now = at_ms(1_500);
    // One run of all: nothing is released before the whole of it is written.
    let _ = gateway.write_up_to(one);
    assert!(is_paused(&sender.arrive(&[])));
    sender.now = at_ms(1_600);
    let _ = gateway.read();
    assert!(sender.arrive(&[]).halt.is_none());
    assert_eq!(kinds(&sender.read()), ["ack"]);
    // The queue fell below half: the sum begins anew.
    let _ = gateway.read();
    let _ = sender.say_all(&orders(200..200 + ORDINARY));
    let step = sender.say(&order(300, "me", "gateway"));
    let Some(Halt::Pause(pause)) = step.halt else {
        panic!("must pause")
    };
    assert_eq!(pause.deadline, Duration::from_millis(1_600 + 2_000));
}

#[test]
fn a_queue_that_is_emptied_ends_the_stall_although_it_was_never_half_full() {
    let one = framed(&order(100, "me", "gateway")).len();
    // Two don't fit seven eighths, and one is less than half.
    let router = Router::new(RouterConfig {
        queue_bytes: 2 * one + one / 8,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say(&order(100, "me", "gateway"));
    for round in 0..3 {
        let step = sender.say(&order(200 + round, "me", "gateway"));
        let Some(Halt::Pause(pause)) = step.halt else {
            panic!("must pause")
        };
        assert_eq!(pause.deadline, sender.now.mono + Duration::from_secs(2));
        sender.now = at_ms(1_500 * (round as u64 + 1));
        assert_eq!(gateway.read().len(), 1);
        assert!(sender.arrive(&[]).halt.is_none());
    }
}

#[test]
fn a_receiver_that_frees_a_slot_now_and_then_does_not_hold_its_sender_for_ever() {
    let router = small();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    // One message a read, so that each is an entry that is freed by itself.
    for number in 0..ORDINARY {
        let _ = sender.say(&order(number, "me", "gateway"));
    }
    let _ = sender.read();
    for accepted in 0..2 {
        let paused = is_paused(&sender.say(&order(100 + accepted, "me", "gateway")));
        assert!(paused);
        sender.now = at_ms(900 * (accepted as u64 + 1));
        gateway.write_up_to(framed(&order(accepted, "me", "gateway")).len());
        let step = sender.arrive(&[]);
        assert!(step.halt.is_none());
        assert_eq!(kinds(&sender.read()), ["ack"]);
    }
    // 1.8 s of pauses are used up: 0.2 s are left.
    let step = sender.say(&order(200, "me", "gateway"));
    let Some(Halt::Pause(pause)) = step.halt else {
        panic!("must pause")
    };
    assert_eq!(pause.deadline, Duration::from_millis(2_000));
}

#[test]
fn acks_and_errors_never_pause_and_use_the_reserve() {
    let (_router, mut gateway, mut sender) = full();
    let reserve = QUEUE_MESSAGES - ORDINARY;
    for number in 0..reserve {
        assert!(
            sender
                .say(&ack(100 + number, "me", "gateway"))
                .halt
                .is_none()
        );
    }
    assert!(sender.read().is_empty(), "routed");
    assert!(sender.say(&ack(200, "me", "gateway")).halt.is_none());
    let payload = json!({"code": "X", "message": "y"});
    let _ = sender.say(&message("error", 201, "me", "gateway".into(), payload));
    assert_eq!(kinds(&sender.read()), ["QUEUE_FULL", "QUEUE_FULL"]);
    assert_eq!(gateway.read().len(), QUEUE_MESSAGES);
}

#[test]
fn heartbeats_are_dropped_for_a_full_queue_and_the_ack_says_so() {
    let (router, mut gateway, mut sender) = full();
    let step = sender.say(&heartbeat(100, "me", "gateway"));
    assert!(step.halt.is_none());
    let answers = sender.read();
    assert_eq!(acked(&answers), [id(100)]);
    assert_eq!(answers[0]["payload"]["dropped"], 1);
    let seen = gateway.read();
    assert_eq!(seen.len(), ORDINARY + 1);
    assert_eq!(kinds(&seen)[ORDINARY], "MESSAGES_DROPPED");
    assert_eq!(router.stats().dropped, 1);
}

#[test]
fn broadcasts_are_dropped_for_the_receiver_that_is_behind_only() {
    let router = small();
    let mut slow = TestClient::named(&router, "slow");
    let mut quick = TestClient::named(&router, "quick");
    let mut sender = TestClient::anonymous(&router);
    let broadcasts = |numbers: std::ops::Range<usize>| -> Vec<Value> {
        numbers.map(|n| order(n, "me", Value::Null)).collect()
    };
    let _ = sender.say_all(&broadcasts(0..10));
    assert_eq!(quick.read().len(), 10);
    let step = sender.say_all(&broadcasts(10..20));
    assert!(step.halt.is_none(), "broadcasts never pause");
    let answers = sender.read();
    assert_eq!(acked(&answers).len(), 20);
    let dropped: Vec<_> = answers
        .iter()
        .map(|answer| answer["payload"]["dropped"].as_u64().unwrap_or(0))
        .collect();
    assert_eq!(dropped[..QUEUE_MESSAGES], [0; QUEUE_MESSAGES]);
    assert_eq!(dropped[QUEUE_MESSAGES..], [1; 20 - QUEUE_MESSAGES]);
    assert_eq!(ids(&quick.read()), (10..20).map(id).collect::<Vec<_>>());
    let seen = slow.read();
    assert_eq!(
        ids(&seen)[..QUEUE_MESSAGES],
        (0..QUEUE_MESSAGES).map(id).collect::<Vec<_>>()
    );
    let [gap] = &seen[QUEUE_MESSAGES..] else {
        panic!("one report of all that it missed: {seen:?}");
    };
    assert_eq!(kinds(&seen)[QUEUE_MESSAGES], "MESSAGES_DROPPED");
    assert_eq!(gap["target"], Value::Null);
    let details = json!({
        "name": null, "count": 4, "first_msg_id": id(QUEUE_MESSAGES), "last_msg_id": id(19),
    });
    assert_eq!(gap["payload"]["details"], details);
    assert_eq!(router.stats().dropped, 4);
}

#[test]
fn what_was_queued_when_the_owner_left_is_reported_to_each_who_sent_it() {
    let router = without_linger();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = TestClient::named(&router, "first");
    let mut second = TestClient::anonymous(&router);
    let _ = first.say_all(&[order(1, "first", "gateway"), order(2, "first", "gateway")]);
    let _ = second.say(&order(3, "x", "gateway"));
    let _ = first.say(&order(4, "first", "gateway"));
    assert_eq!(first.read().len(), 3);
    assert_eq!(second.read().len(), 1);
    // The first frame reaches the kernel, the second only in part.
    let frame = framed(&order(1, "first", "gateway")).len();
    gateway.write_up_to(frame + 10);
    drop(gateway);
    let told = first.read();
    assert_eq!(kinds(&told), ["UNDELIVERED"]);
    assert_eq!(told[0]["target"], "first");
    let details = &told[0]["payload"]["details"];
    assert_eq!(details["target"], "gateway");
    assert_eq!(details["count"], 2);
    assert_eq!(details["first_msg_id"], id(2));
    let told = second.read();
    assert_eq!(kinds(&told), ["UNDELIVERED"]);
    assert_eq!(told[0]["payload"]["details"]["count"], 1);
    assert_eq!(told[0]["payload"]["details"]["first_msg_id"], id(3));
    let _ = first.say(&order(5, "first", "gateway"));
    assert_eq!(kinds(&first.read()), ["TARGET_UNAVAILABLE"]);
}

#[test]
fn a_paused_sender_learns_that_the_target_left() {
    let (_router, gateway, mut sender) = full();
    assert!(is_paused(&sender.say(&order(100, "me", "gateway"))));
    drop(gateway);
    assert!(sender.arrive(&[]).halt.is_none());
    assert_eq!(kinds(&sender.read()), ["TARGET_UNAVAILABLE", "UNDELIVERED"]);
}

#[test]
fn a_pause_lasts_until_its_own_event_fits() {
    let mut large = order(1, "me", "gateway");
    large["note"] = "x".repeat(5_000).into();
    let router = Router::new(RouterConfig {
        queue_bytes: 8_000,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..8));
    let Some(Halt::Pause(pause)) = sender.say(&large).halt else {
        panic!("must pause")
    };
    assert!(
        !pause.has_room(),
        "less than three quarters are taken, and still it doesn't fit"
    );
    let _ = gateway.read();
    assert!(pause.has_room());
    assert!(sender.arrive(&[]).halt.is_none());
    assert_eq!(ids(&gateway.read()), [id(1)]);
}

#[test]
fn a_pause_that_is_given_up_leaves_no_waker_behind() {
    struct Task;
    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (_router, _gateway, mut sender) = full();
    let Some(Halt::Pause(mut pause)) = sender.say(&order(100, "me", "gateway")).halt else {
        panic!("must pause")
    };
    let task = Arc::new(Task);
    pause.wait(&Arc::clone(&task).into());
    assert_eq!(Arc::strong_count(&task), 2);
    drop(pause);
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn an_empty_queue_takes_any_one_message() {
    let router = Router::new(RouterConfig {
        queue_bytes: 64,
        ..RouterConfig::default()
    });
    let mut gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::anonymous(&router);
    let step = sender.say_all(&orders(0..2));
    assert!(is_paused(&step));
    assert_eq!(ids(&gateway.read()), [id(0)]);
    assert!(sender.arrive(&[]).halt.is_none());
    assert_eq!(ids(&gateway.read()), [id(1)]);
}

#[test]
fn broadcasts_die_with_their_receiver_but_for_a_frame_that_is_begun() {
    for (room, finished) in [(0, 0), (10, 1)] {
        let router = router();
        let mut leaves = TestClient::named(&router, "leaves");
        let mut sender = TestClient::anonymous(&router);
        for number in 1..=3 {
            let _ = sender.say(&order(number, "me", Value::Null));
        }
        leaves.write_up_to(room);
        leaves.session.end_input();
        assert_eq!(leaves.read().len(), finished);
    }
}
