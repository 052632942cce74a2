use super::flushing::{flushing, heard, not_accepted};
use super::*;

/// An event for the client, from another participant.
fn order() -> Message {
    from_gateway("buy")
}

/// Hears the ack that settles `message`.
async fn hear_settled(peer: &mut ServerEnd<DuplexStream>, message: &Message) {
    let ack = peer.hear().await.unwrap();
    assert_eq!(ack.source, *message.target.as_ref().unwrap());
    assert_eq!(ack.target.as_ref(), Some(&message.source));
    match ack.payload {
        Payload::Ack(ack) => assert_eq!(ack.acknowledged_msg_id, message.msg_id),
        other => panic!("no ack: {other:?}"),
    }
}

/// Hears a hello without options, as a flush says it behind acks.
async fn hear_probe(peer: &mut ServerEnd<DuplexStream>) -> Message {
    let hello = peer.hear().await.unwrap();
    assert_eq!(*hello_in(&hello), Hello::default());
    hello
}

#[tokio::test]
async fn a_settlement_is_an_ack_of_the_messages_target() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    let order = order();
    peer.say(order.clone()).await;
    let Some(Event::Message(inbound)) = receiver.receive().await else {
        panic!("no message");
    };
    client.settle(&inbound.message().unwrap()).await.unwrap();
    client.settle_json(inbound.json()).await.unwrap();
    for _ in 0..2 {
        hear_settled(&mut peer, &order).await;
    }
}

#[tokio::test]
async fn what_needs_no_settling_sends_nothing_and_nothing_settles_itself() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    let broadcast = Message::error("feed", Target::Everyone, "NOTE", "n").unwrap();
    let ack = Message::ack_of("api-gateway", &note("x")).unwrap();
    for said in [&broadcast, &ack, &order()] {
        peer.say(said.clone()).await;
        let _ = message(&mut receiver).await;
    }
    for needless in [&broadcast, &ack] {
        client.settle(needless).await.unwrap();
        let json = needless.to_json();
        client.settle_json(json.as_bytes()).await.unwrap();
    }
    client.settle_json(b"no message").await.unwrap();
    client.post(note("the first")).await.unwrap();
    assert_eq!(text_of(&peer.hear().await.unwrap()), "the first");
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_until_the_server_has_read_the_settlements() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let order = order();
    client.settle(&order).await.unwrap();
    let flush = flushing(&client);
    settle_down().await;
    client.post(note("behind it")).await.unwrap();
    hear_settled(&mut peer, &order).await;
    let probe = hear_probe(&mut peer).await;
    assert_eq!(text_of(&peer.hear().await.unwrap()), "behind it");
    settle_down().await;
    assert!(!flush.is_finished());
    peer.say(welcome_to(&probe)).await;
    assert_eq!(flush.await.unwrap(), Ok(()));
    assert_all_queued_bytes_are_free(&client);
}

#[tokio::test(start_paused = true)]
async fn an_answer_behind_the_settlements_is_as_good_as_a_welcome() {
    let (client, _receiver, mut peer) = connected(config()).await;
    client.settle(&order()).await.unwrap();
    client.post(note("behind it")).await.unwrap();
    let flush = flushing(&client);
    let [_ack, posted] = heard(&mut peer).await;
    assert!(!flush.is_finished());
    peer.ack(&posted).await;
    assert_eq!(flush.await.unwrap(), Ok(()), "without a hello");

    client.settle(&order()).await.unwrap();
    let sent = sending(&client, note("answered"));
    let [_ack, sent_there] = heard(&mut peer).await;
    peer.ack(&sent_there).await;
    sent.await.unwrap().unwrap();
    assert_eq!(client.flush().await, Ok(()), "without a hello");
}

#[tokio::test(start_paused = true)]
async fn settlements_that_a_lost_connection_may_not_have_read_are_told_once() {
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config(), granted(false, false)).await;
    client.settle(&order()).await.unwrap();
    client.settle(&order()).await.unwrap();
    let flush = flushing(&client);
    let [_first, _second, _probe] = heard(&mut peer).await;
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    assert_eq!(flush.await.unwrap(), not_accepted(0, 2, 0));
    // One that waits for a connection is read by the next.
    let order = order();
    client.settle(&order).await.unwrap();
    let flush = flushing(&client);
    network.set_up(true);
    let mut peer = network.welcome(granted(false, false)).await;
    hear_settled(&mut peer, &order).await;
    let probe = hear_probe(&mut peer).await;
    peer.say(welcome_to(&probe)).await;
    assert_eq!(flush.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_was_partly_written_goes_whole_to_the_next_connection() {
    // The pipe holds the first ack and a part of the second.
    let (client, mut receiver, mut peer, mut network) =
        networked(400, config(), granted(true, false)).await;
    let (first, second) = (order(), order());
    for message in [&first, &second] {
        client.settle(message).await.unwrap();
    }
    let flush = flushing(&client);
    settle_down().await;
    hear_settled(&mut peer, &first).await;
    drop(peer);
    disconnected(&mut receiver).await;
    let mut peer = network.welcome(granted(true, true)).await;
    hear_settled(&mut peer, &second).await;
    let probe = hear_probe(&mut peer).await;
    peer.say(welcome_to(&probe)).await;
    assert_eq!(flush.await.unwrap(), not_accepted(0, 1, 0));
    assert_all_queued_bytes_are_free(&client);
}

#[tokio::test(start_paused = true)]
async fn a_welcome_that_stays_out_leaves_the_fate_of_settlements_unknown() {
    let config = config().answer_timeout(Duration::from_secs(7));
    let (client, _receiver, mut peer) = connected(config).await;
    client.settle(&order()).await.unwrap();
    assert_eq!(client.flush().await, not_accepted(0, 1, 0));
    let [_ack, _probe] = heard(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_until_the_server_has_read_the_settlements() {
    for reads in [true, false] {
        let (client, _receiver, mut peer) = connected(config()).await;
        let order = order();
        client.settle(&order).await.unwrap();
        let server = async {
            hear_settled(&mut peer, &order).await;
            let probe = hear_probe(&mut peer).await;
            assert!(peer.hear().await.is_none());
            if reads {
                peer.say(welcome_to(&probe)).await;
            }
            drop(peer);
        };
        let (closed, ()) = tokio::join!(client.close(), server);
        let left = CloseError::Unfinished {
            fate_unknown: 1,
            unsent: 0,
        };
        assert_eq!(closed, if reads { Ok(()) } else { Err(left) });
    }
}

fn assert_all_queued_bytes_are_free(client: &Client) {
    let bytes = client.handle.shared.queue_room.available_permits();
    assert_eq!(bytes, CLIENT_QUEUE_BYTES);
}
