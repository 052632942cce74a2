//! Two connections that share accepted ids, on two threads.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::ids::MsgId;

const MESSAGES: usize = 20_000;

/// Sends the same orders by a connection and by another that has resumed it:
/// step by step at once, of each step so many. Returns the orders that the
/// gateway gets.
fn delivered_of_both(step: usize, of_first: usize, of_second: usize) -> Vec<String> {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let mut second = resumed(&router, "me");
    let mut delivered = Vec::new();
    for number in (1..=MESSAGES).step_by(step) {
        // Threads of each step's own: one that fails keeps nobody waiting.
        let together = &Barrier::new(2);
        thread::scope(|scope| {
            let senders = [(&mut first, of_first), (&mut second, of_second)];
            let senders = senders.map(|(client, count)| {
                let some = number..number + count;
                let some: Vec<_> = some.map(|n| order(n, "me", "gateway")).collect();
                scope.spawn(move || {
                    together.wait();
                    let mut step = client.say_all(&some);
                    for _ in 0..TRIES_MAX {
                        if !is_paused(&step) {
                            break;
                        }
                        thread::yield_now();
                        step = client.arrive(&[]);
                    }
                    assert_eq!(acked(&client.read()).len(), count);
                })
            });
            while senders.iter().any(|sender| !sender.is_finished()) {
                delivered.extend(ids(&gateway.read()));
            }
        });
    }
    delivered.extend(ids(&gateway.read()));
    delivered
}

#[test]
fn what_two_connections_send_at_once_is_delivered_once() {
    let mut delivered = delivered_of_both(20, 20, 20);
    delivered.sort();
    assert_eq!(delivered, (1..=MESSAGES).map(id).collect::<Vec<_>>());
}

/// An order that one connection has accepted, and the other therefore passes
/// over, must be queued before the next order: the other would bring that
/// first.
#[test]
fn what_two_connections_send_at_once_is_delivered_in_order() {
    let delivered = delivered_of_both(20, 10, 20);
    assert_eq!(delivered, (1..=MESSAGES).map(id).collect::<Vec<_>>());
}

#[test]
fn who_is_about_to_accept_a_message_keeps_others_from_finding_it_new() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut first = resumable(&router, "me");
    let second = resumed(&router, "me");
    let accepted_ids = second.session.accepted_ids().unwrap();
    thread::scope(|scope| {
        let turn = accepted_ids.lock_order();
        let other = scope.spawn(|| first.order("gateway", &[1]));
        // Without the lock it would come to an end now.
        for _ in 0..10_000 {
            thread::yield_now();
        }
        accepted_ids.remember(&[MsgId::from_text(id(1).as_bytes()).unwrap()]);
        drop(turn);
        assert_eq!(other.join().unwrap(), [id(1)]);
    });
    assert!(gateway.read().is_empty(), "it was known when its turn came");
}

#[test]
fn what_is_given_up_while_it_is_sent_again_is_never_lost() {
    for round in 0..300 {
        let router = without_linger();
        let gateway = TestClient::named(&router, "gateway");
        let mut first = resumable(&router, "me");
        let sent: Vec<_> = (1..=50).collect();
        assert_eq!(first.order("gateway", &sent).len(), 50);
        let mut second = resumed(&router, "me");
        let (mut next, told) = thread::scope(|scope| {
            let next = scope.spawn(|| {
                drop(gateway);
                // It may get resent messages before its welcome is read.
                TestClient::claiming(&router, "gateway")
            });
            let mut told = Vec::new();
            for number in &sent {
                let _ = second.say(&order(*number, "me", "gateway"));
                told.extend(second.read());
            }
            (next.join().unwrap(), told)
        });
        told_of(&told, &mut next, round);
    }
}

/// An order acknowledged after the report was delivered; a reported one was
/// acknowledged before.
fn told_of(told: &[Value], next: &mut TestClient, round: usize) {
    let delivered = ids(&next.read()).split_off(1);
    let report = told
        .iter()
        .position(|told| kinds(std::slice::from_ref(told)) == ["UNDELIVERED"]);
    let (before, after) = told.split_at(report.unwrap_or(told.len()));
    let acked_after = acked(after);
    assert_eq!(delivered, acked_after, "round {round}");
    assert!(acked(before).iter().all(|id| !delivered.contains(id)));
}
