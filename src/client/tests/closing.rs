use futures_util::future::join;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_close_writes_what_is_queued_and_awaits_the_answers() {
    let (client, mut receiver, mut peer) = connected_through(300, config()).await;
    let mut sends: Vec<_> = (0..20)
        .map(|n| Box::pin(client.send(note(&n.to_string()))))
        .collect();
    for send in &mut sends {
        assert!(is_pending(send).await);
    }
    let server = async {
        let mut heard = Vec::new();
        // Ends when the client has ended its output.
        while let Some(message) = peer.hear().await {
            heard.push(message);
        }
        assert_eq!(heard.len(), 20);
        for message in &heard {
            peer.ack(message).await;
        }
        peer.say(from_gateway("the last word")).await;
        drop(peer);
    };
    let (closed, ()) = join(client.clone().close(), server).await;
    assert_eq!(closed, Ok(()));
    for send in sends {
        send.await.unwrap();
    }
    assert_eq!(client.send(note("later")).await, Err(SendError::Closed));
    assert_eq!(
        text_of(&message(&mut receiver).await).trim(),
        "the last word"
    );
    assert!(
        receiver.receive().await.is_none(),
        "a close is no disconnect"
    );
    // Once more is once too often, but no harm.
    assert_eq!(client.close().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_close_gives_up_on_answers_that_stay_out() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    client.post(note("1")).await.unwrap();
    let mut send = std::pin::pin!(client.send(note("2")));
    assert!(is_pending(&mut send).await);
    let start = tokio::time::Instant::now();
    let closed = client.clone().close().await;
    assert_eq!(
        closed,
        Err(CloseError::Unfinished {
            fate_unknown: 2,
            unsent: 0
        })
    );
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(send.await, Err(SendError::FateUnknown));
    assert!(receiver.receive().await.is_none());
    assert_eq!(text_of(&peer.hear().await.unwrap()), "1");
}

#[tokio::test(start_paused = true)]
async fn a_close_is_not_kept_up_by_a_server_that_does_not_read() {
    let (client, _receiver, _peer) = connected_through(300, config()).await;
    let mut sends: Vec<_> = (0..1000)
        .map(|n| Box::pin(client.send(note(&n.to_string()))))
        .collect();
    for send in &mut sends {
        assert!(is_pending(send).await);
    }
    assert!(client.clone().close().await.is_err());
    let mut closed = 0;
    for send in sends {
        match send.await {
            Err(SendError::Closed) => closed += 1,
            other => assert_eq!(other, Err(SendError::FateUnknown)),
        }
    }
    assert!(closed > 0, "most were never written");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_is_closed_by_a_close() {
    let (client, _receiver, _peer) = connected(config().unanswered_max(1)).await;
    client.post(note("1")).await.unwrap();
    let mut waiting = std::pin::pin!(client.send(note("2")));
    assert!(is_pending(&mut waiting).await);
    let mut close = std::pin::pin!(client.clone().close());
    assert!(is_pending(&mut close).await);
    assert_eq!(waiting.await, Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_closes_in_good_order_once_the_receiver_is_gone_too() {
    let (client, receiver, mut peer) = connected(config()).await;
    client.post(note("written all the same")).await.unwrap();
    drop(client);
    let heard = peer.hear_and_ack().await;
    assert_eq!(text_of(&heard), "written all the same");
    let open = tokio::time::timeout(Duration::from_secs(60), peer.hear()).await;
    assert!(open.is_err(), "the receiver still wants to receive");
    drop(receiver);
    assert!(peer.hear().await.is_none());
}

#[tokio::test]
async fn a_close_after_the_connection_was_lost_is_done_at_once() {
    let (client, mut receiver, peer) = connected(config()).await;
    drop(peer);
    assert!(matches!(receiver.receive().await, Some(Event::Closed(_))));
    assert_eq!(client.close().await, Ok(()));
}
