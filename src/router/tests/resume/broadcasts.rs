//! A broadcast that is sent again reaches nobody twice, however it is heard.

use super::super::subscriptions::{SYMBOL, bar, symbol_is};
use super::*;

fn bars(numbers: &[usize]) -> Vec<Value> {
    let bars = numbers
        .iter()
        .map(|&number| bar(number, "me", "BTC", number));
    bars.collect()
}

/// Says them in one read, and sees each of them acknowledged.
fn broadcast(sender: &mut TestClient, numbers: &[usize]) {
    let _ = sender.say_all(&bars(numbers));
    assert_eq!(acked(&sender.read()), id_list(numbers));
}

fn latest() -> Value {
    json!({"where": symbol_is("BTC"), "mode": "latest", "key": SYMBOL})
}

#[test]
fn whoever_hears_it_gets_a_broadcast_that_is_sent_again_once() {
    let router = router();
    let mut everything = TestClient::named(&router, "everything");
    let mut chooser = TestClient::anonymous(&router);
    chooser.subscribe("btc", json!({"where": symbol_is("BTC")}));
    let mut newest = TestClient::anonymous(&router);
    newest.subscribe("btc", latest());
    let mut first = resumable(&router, "me");
    let _ = first.say_all(&bars(&[1, 2]));
    first.cut();
    let mut second = resumed(&router, "me");
    // All known; some known; one twice.
    broadcast(&mut second, &[1, 2]);
    broadcast(&mut second, &[2, 3, 1]);
    broadcast(&mut second, &[4, 4, 5]);
    for hearer in [&mut everything, &mut chooser] {
        assert_eq!(ids(&hearer.read()), id_list(&[1, 2, 3, 4, 5]));
    }
    assert_eq!(ids(&newest.read()), id_list(&[5]));
    assert_eq!(router.stats().duplicates, 5);
    assert_eq!(router.stats().conflated, 4);
}

#[test]
fn what_another_connection_passes_over_is_queued_before_what_follows() {
    let router = router();
    let mut chooser = TestClient::anonymous(&router);
    chooser.subscribe("btc", json!({"where": symbol_is("BTC")}));
    let mut first = resumable(&router, "me");
    let mut second = resumed(&router, "me");
    // The first connection is still at work on messages that the second sends
    // again.
    let _ = first.gather_all(&bars(&[1]));
    broadcast(&mut second, &[1, 2]);
    first.scratch.queue_gathered();
    assert_eq!(ids(&chooser.read()), id_list(&[1, 2]));
}

#[test]
fn a_broadcast_that_is_sent_again_is_not_taken_for_the_latest() {
    let router = router();
    let snapshot = json!({"where": symbol_is("BTC"), "key": SYMBOL, "snapshot": true});
    let mut early = TestClient::anonymous(&router);
    early.subscribe("btc", snapshot.clone());
    let mut first = resumable(&router, "me");
    let _ = first.say_all(&bars(&[1, 2]));
    first.cut();
    let mut second = resumed(&router, "me");
    broadcast(&mut second, &[3, 1]);
    let mut late = TestClient::anonymous(&router);
    let _ = late.say(&message("subscribe", 901, "late", Value::Null, {
        let mut options = snapshot;
        options["id"] = "btc".into();
        options
    }));
    let told = late.read();
    assert_eq!(acked(&told[..1]), [id(901)]);
    assert_eq!(ids(&told[1..]), id_list(&[3]));
    assert_eq!(ids(&early.read()), id_list(&[1, 2, 3]));
}
