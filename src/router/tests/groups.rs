//! Names that several connections share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::limits::GROUP_SORT_BYTES;

fn member(router: &Router, options: Value) -> TestClient {
    let mut client = TestClient::new(router);
    let mut all = json!({"names": ["workers"], "group": true});
    all.as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    let _ = client.say(&hello("w", all));
    client
}

fn joined(router: &Router) -> TestClient {
    let mut client = member(router, json!({}));
    assert_eq!(kinds(&client.read()), ["welcome"]);
    client
}

fn orders(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers
        .map(|number| order(number, "me", "workers"))
        .collect()
}

/// An order for one of several runs.
fn of_run(number: usize, run: usize) -> Value {
    let mut order = order(number, "me", "workers");
    order["payload"]["run_id"] = format!("run-{run}").into();
    order
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn each_message_goes_to_one_member() {
    let router = router();
    let mut members = [joined(&router), joined(&router), joined(&router)];
    assert_eq!(router.name_count(), 1);
    let mut sender = TestClient::anonymous(&router);
    let mut seen = Vec::new();
    for first in (0..300).step_by(10) {
        let _ = sender.say_all(&orders(first..first + 10));
        for member in &mut members {
            seen.extend(ids(&member.read()));
        }
    }
    assert_eq!(acked(&sender.read()).len(), 300);
    assert_eq!(sorted(seen), (0..300).map(id).collect::<Vec<_>>());
}

#[test]
fn a_member_that_does_not_read_takes_64_kib_at_most() {
    let router = router();
    let mut slow = joined(&router);
    let mut quick = joined(&router);
    let mut sender = TestClient::anonymous(&router);
    let one = framed(&order(1_000, "me", "workers")).len();
    let _ = sender.say_all(&orders(1_000..1_001));
    // The slow one has begun a frame and gets no further.
    slow.write_up_to(10);
    for number in 1_001..2_000 {
        let _ = sender.say(&order(number, "me", "workers"));
        let _ = sender.read();
    }
    let by_quick = quick.read();
    assert_eq!(by_quick.len(), 999, "what the slow one has not taken");
    // With room for one frame more it takes a share, and not all.
    for number in 2_000..3_000 {
        let _ = sender.say(&order(number, "me", "workers"));
        let _ = sender.read();
    }
    slow.write_up_to(one);
    let by_quick = quick.read();
    let at_most = 64 * 1024 / one + 1;
    assert!(by_quick.len() >= 1_000 - at_most, "{}", by_quick.len());
    assert!(!by_quick.is_empty());
}

#[test]
fn what_a_leaving_member_had_not_begun_goes_to_the_others_in_order() {
    let one = framed(&order(0, "me", "workers")).len();
    for room in 0..3 * one {
        let router = router();
        let mut leaves = joined(&router);
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.say_all(&orders(0..3));
        leaves.write_up_to(room);
        let mut stays = joined(&router);
        let _ = sender.say_all(&orders(3..5));
        leaves.session.end_input();
        let finished = messages(&leaves.read_bytes());
        assert_eq!(finished.len(), room.div_ceil(one), "room {room}");
        let expected: Vec<_> = (room / one..5).map(id).collect();
        assert_eq!(ids(&stays.read()), expected, "room {room}");
        assert_eq!(router.name_count(), 1);
        assert!(kinds(&sender.read()).iter().all(|kind| *kind == "ack"));
    }
}

#[test]
fn what_members_give_back_is_in_its_order_whoever_leaves_first() {
    for first_leaves_first in [true, false] {
        let router = router();
        let mut first = joined(&router);
        let mut second = joined(&router);
        let mut sender = TestClient::anonymous(&router);
        // Each takes two, and has begun the first of them.
        for (member, taken) in [(&mut first, 0..2), (&mut second, 2..4)] {
            let _ = sender.say_all(&orders(taken));
            member.write_up_to(10);
        }
        let _ = sender.say(&order(4, "me", "workers"));
        let members = match first_leaves_first {
            true => [first, second],
            false => [second, first],
        };
        drop(members);
        let mut next = TestClient::new(&router);
        let _ = next.say(&hello("workers", json!({})));
        let expected: Vec<_> = (0..5).map(id).collect();
        assert_eq!(ids(&next.read())[1..], expected);
    }
}

#[test]
fn what_the_last_member_leaves_lingers_and_goes_to_whoever_comes() {
    for group in [true, false] {
        let router = router();
        let first = joined(&router);
        let mut sender = TestClient::anonymous(&router);
        let _ = sender.say_all(&orders(0..3));
        drop(first);
        assert_eq!(router.lingering_count(), 1);
        assert_eq!(router.name_count(), 0);
        let _ = sender.say(&order(9, "me", "workers"));
        let mut next = TestClient::new(&router);
        let _ = next.say(&hello("w", json!({"names": ["workers"], "group": group})));
        assert_eq!(ids(&next.read())[1..], [id(0), id(1), id(2)]);
        let _ = sender.say(&order(3, "me", "workers"));
        assert_eq!(ids(&next.read()), [id(3)]);
        assert_eq!(
            kinds(&sender.read()),
            ["ack", "ack", "ack", "TARGET_UNAVAILABLE", "ack"]
        );
    }
}

#[test]
fn a_group_and_an_owner_exclude_each_other() {
    let router = router();
    let mut first = joined(&router);
    let mut plain = TestClient::claiming(&router, "workers");
    assert_eq!(kinds(&plain.read()), ["SOURCE_NOT_ALLOWED"]);
    assert_eq!(first.handle_reports(), Attention::Continue);
    assert!(first.read().is_empty(), "nothing was taken from it");
    // Without hello it is a stranger.
    let mut stranger = TestClient::new(&router);
    let _ = stranger.say(&heartbeat(1, "workers", "health-monitor"));
    assert_eq!(stranger.session.names().count(), 0);

    let _owner = TestClient::named(&router, "own");
    let mut other = TestClient::new(&router);
    let _ = other.say(&hello(
        "w",
        json!({"names": ["free", "own"], "group": true}),
    ));
    let refused = other.read();
    assert_eq!(kinds(&refused), ["SOURCE_NOT_ALLOWED"]);
    assert_eq!(
        refused[0]["payload"]["details"]["field"],
        "payload.names[1]"
    );
    assert_eq!(router.name_count(), 2, "all or nothing");
    // Once the group has gone, it is free for an owner.
    drop(first);
    let _ = plain.say(&hello("workers", json!({})));
    assert_eq!(kinds(&plain.read()), ["welcome"]);
}

#[test]
fn members_agree_on_the_key_or_are_refused() {
    let router = router();
    let mut first = member(&router, json!({"group_key": "/payload/run_id"}));
    let welcome = first.read().remove(0);
    assert_eq!(welcome["payload"]["granted"]["group"], true);
    assert_eq!(
        welcome["payload"]["granted"]["group_key"],
        "/payload/run_id"
    );
    let mut second = member(&router, json!({"group_key": "/payload/run_id"}));
    assert_eq!(kinds(&second.read()), ["welcome"]);
    let mut third = member(&router, json!({"group_key": "/source"}));
    assert_eq!(kinds(&third.read()), ["SOURCE_NOT_ALLOWED"]);
    let mut fourth = member(&router, json!({}));
    assert_eq!(kinds(&fourth.read()), ["SOURCE_NOT_ALLOWED"]);
    let mut fifth = TestClient::new(&router);
    let _ = fifth.say(&hello("w", json!({"group_key": "/source"})));
    assert_eq!(kinds(&fifth.read()), ["INVALID_PAYLOAD"]);
    // The only member may change its mind.
    drop(second);
    let _ = first.say(&hello("w", json!({"group_key": "/source"})));
    assert_eq!(kinds(&first.read()), ["welcome"]);
    let _ = third.say(&hello(
        "w",
        json!({"names": ["workers"], "group": true, "group_key": "/source"}),
    ));
    assert_eq!(kinds(&third.read()), ["welcome"]);
    let _ = first.say(&hello("w", json!({"group": false})));
    assert_eq!(kinds(&first.read()), ["SOURCE_NOT_ALLOWED"]);
    drop(third);
    let _ = first.say(&hello("w", json!({"group": false})));
    let welcome = first.read().remove(0);
    assert_eq!(welcome["payload"]["granted"]["group"], false);
    assert_eq!(welcome["payload"]["names"], json!(["workers"]));
}

#[test]
fn an_owner_that_turns_its_name_into_a_group_loses_nothing() {
    let router = router();
    let mut owner = TestClient::named(&router, "workers");
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..2));
    let _ = owner.say(&hello("workers", json!({"group": true})));
    let _ = sender.say(&order(2, "me", "workers"));
    let mut second = member(&router, json!({}));
    let mut seen = ids(&owner.read())[1..].to_vec();
    seen.extend(ids(&second.read())[1..].to_vec());
    assert_eq!(sorted(seen), [id(0), id(1), id(2)]);
    assert_eq!(kinds(&sender.read()), ["ack", "ack", "ack"]);
}

#[test]
fn every_member_hears_broadcasts() {
    let router = router();
    let mut members = [joined(&router), joined(&router)];
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say(&order(1, "me", Value::Null));
    for member in &mut members {
        assert_eq!(ids(&member.read()), [id(1)]);
    }
}

#[test]
fn a_key_binds_equal_values_to_one_member_in_order() {
    let router = router();
    let options = json!({"group_key": "/payload/run_id"});
    let mut members: Vec<TestClient> = (0..3).map(|_| member(&router, options.clone())).collect();
    for member in &mut members {
        assert_eq!(kinds(&member.read()), ["welcome"]);
    }
    let mut sender = TestClient::anonymous(&router);
    let mut by_run: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut order_of_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = 0;
    for round in 0..30 {
        let all: Vec<_> = (0..40)
            .map(|number| of_run(round * 40 + number, number % 17))
            .collect();
        let _ = sender.say_all(&all);
        assert_eq!(sender.read().len(), 40);
        // Now and then one of them doesn't read.
        for (index, member) in members.iter_mut().enumerate() {
            if (round + index) % 4 == 0 && round < 29 {
                continue;
            }
            for message in member.read() {
                let run = message["payload"]["run_id"].as_str().unwrap().to_owned();
                by_run.entry(run.clone()).or_default().insert(index);
                let id = message["msg_id"].as_str().unwrap().to_owned();
                order_of_run.entry(run).or_default().push(id);
                seen += 1;
            }
        }
    }
    // A member that reads may find a message for another, and wakes it.
    for _ in 0..2 {
        for member in &mut members {
            seen += member.read().len();
        }
    }
    assert_eq!(seen, 1_200);
    assert_eq!(by_run.len(), 17);
    let mut used: BTreeSet<usize> = BTreeSet::new();
    for (run, members) in &by_run {
        assert_eq!(members.len(), 1, "{run} went to {members:?}");
        used.extend(members.iter());
    }
    assert!(used.len() > 1, "all went to one member");
    for (run, seen) in &order_of_run {
        assert!(seen.is_sorted(), "{run}: {seen:?}");
    }
}

#[test]
fn what_is_bound_to_a_member_that_leaves_goes_to_others() {
    let router = router();
    let options = json!({"group_key": "/payload/run_id"});
    let mut members: Vec<TestClient> = (0..3).map(|_| member(&router, options.clone())).collect();
    let mut sender = TestClient::anonymous(&router);
    let all: Vec<_> = (0..60).map(|number| of_run(number, number % 17)).collect();
    let _ = sender.say_all(&all);
    // One sorts, and takes its own.
    let mut seen = ids(&members[0].read())[1..].to_vec();
    drop(members.remove(1));
    for member in &mut members {
        let read = member.read();
        seen.extend(
            read.iter()
                .filter(|m| m["msg_type"] != "welcome")
                .map(|m| m["msg_id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(sorted(seen), (0..60).map(id).collect::<Vec<_>>());
    assert!(kinds(&sender.read()).iter().all(|kind| *kind == "ack"));
}

/// Whether a member's task is to run.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bell {
    /// Registers its waker for messages that come from now on.
    fn wait(self: &Arc<Self>, client: &TestClient) {
        self.0.store(false, Ordering::Relaxed);
        client.session.register(&Waker::from(Arc::clone(self)));
    }

    fn rings(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_a_leaving_member_gives_back_is_announced_to_the_others() {
    let router = router();
    let mut leaves = joined(&router);
    let mut stays = joined(&router);
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&orders(0..3));
    leaves.write_up_to(10);
    assert!(stays.read().is_empty(), "the other has taken all of them");
    let bell = Arc::new(Bell::default());
    bell.wait(&stays);
    drop(leaves);
    assert!(bell.rings());
    assert_eq!(ids(&stays.read()), (0..3).map(id).collect::<Vec<_>>());
}

#[test]
fn who_has_sorted_much_for_others_goes_on_in_its_next_turn() {
    let router = router();
    let options = json!({"group_key": "/payload/run_id"});
    let mut stalled = member(&router, options.clone());
    let mut reads = member(&router, options);
    for client in [&mut stalled, &mut reads] {
        assert_eq!(kinds(&client.read()), ["welcome"]);
    }
    let mut sender = TestClient::anonymous(&router);
    let _ = sender.say_all(&(0..40).map(|run| of_run(run, run)).collect::<Vec<_>>());
    let run_of = |seen: Vec<Value>| {
        ids(&seen)
            .pop()
            .map(|last| (0..40).position(|n| id(n) == last))
    };
    let [of_stalled, own] = [&mut stalled, &mut reads].map(|client| run_of(client.read()));
    let (of_stalled, own) = (of_stalled.flatten().unwrap(), own.flatten().unwrap());
    let one = framed(&of_run(0, of_stalled)).len();
    // The last of them is behind more than one call sorts.
    let count = 3 * GROUP_SORT_BYTES / one;
    let bell = Arc::new(Bell::default());
    bell.wait(&reads);
    for number in 0..count {
        let _ = sender.say(&of_run(number, of_stalled));
        let _ = sender.read();
    }
    let _ = sender.say(&of_run(count, own));
    let mut seen = Vec::new();
    for turn in 0.. {
        if !bell.rings() {
            break;
        }
        assert!(turn < TRIES_MAX, "the member is woken again and again");
        bell.wait(&reads);
        seen.extend(ids(&reads.read()));
    }
    assert_eq!(seen, [id(count)]);
}
