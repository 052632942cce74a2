use super::*;
use crate::wire::{Condition, Subscribe};

fn subscribe_in(message: &Message) -> &Subscribe {
    match &message.payload {
        Payload::Subscribe(subscribe) => subscribe,
        other => panic!("no subscribe: {other:?}"),
    }
}

fn bars(id: &str) -> Subscribe {
    Subscribe::new(id)
        .with(Condition::eq("msg_type", "ingest_event"))
        .with_snapshot("/payload/payload_json/symbol")
}

fn subscribing(client: &Client, subscribe: Subscribe) -> JoinHandle<Result<Ack, SendError>> {
    let client = client.clone();
    tokio::spawn(async move { client.subscribe(subscribe).await })
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_said_again_on_each_connection_and_before_messages() {
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    for id in ["a", "b", "c"] {
        let asking = subscribing(&client, bars(id));
        let heard = peer.hear().await.unwrap();
        assert_eq!(subscribe_in(&heard), &bars(id));
        peer.ack(&heard).await;
        asking.await.unwrap().unwrap();
    }
    let ending = {
        let client = client.clone();
        tokio::spawn(async move { client.unsubscribe("b").await })
    };
    let heard = peer.hear().await.unwrap();
    assert_eq!(heard.msg_type(), "unsubscribe");
    peer.ack(&heard).await;
    ending.await.unwrap().unwrap();
    let refused = subscribing(&client, Subscribe::new("refused"));
    let heard = peer.hear().await.unwrap();
    peer.refuse(&heard, "INVALID_FILTER").await;
    assert!(matches!(refused.await.unwrap(), Err(SendError::Refused(_))));
    let handed = sending(&client, note("handed over"));
    peer.hear().await.unwrap();

    for round in 0..3 {
        drop(peer);
        disconnected(&mut receiver).await;
        peer = network.welcome(granted(true, true)).await;
        assert_eq!(reconnected(&mut receiver).await.resent, 1);
        let ids: &[&str] = if round < 2 { &["a", "c"] } else { &["c"] };
        for id in ids {
            let heard = peer.hear().await.unwrap();
            assert_eq!(subscribe_in(&heard), &bars(id));
            match (round, *id) {
                // A subscription that the server no longer grants isn't asked
                // for again.
                (1, "a") => {
                    peer.refuse(&heard, "LIMIT_EXCEEDED").await;
                    assert_eq!(notice(&mut receiver).await, "LIMIT_EXCEEDED");
                }
                _ => peer.ack(&heard).await,
            }
        }
        assert_eq!(text_of(&peer.hear().await.unwrap()), "handed over");
    }
    assert!(!handed.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_waits_for_its_answer_is_said_to_each_connection() {
    for resume in [false, true] {
        let (client, _receiver, mut peer, mut network) =
            networked(4096, config().unanswered_max(2), granted(true, false)).await;
        let handed = sending(&client, note("handed over"));
        peer.hear().await.unwrap();
        let asking = subscribing(&client, bars("a"));
        let first = peer.hear().await.unwrap();
        drop(peer);
        let mut peer = network.welcome(granted(true, resume)).await;
        let again = peer.hear().await.unwrap();
        assert_eq!(subscribe_in(&again), &bars("a"));
        // No server must take it for one that it has seen.
        assert_ne!(again.msg_id, first.msg_id);
        assert!(!asking.is_finished());
        if resume {
            assert_eq!(text_of(&peer.hear().await.unwrap()), "handed over");
        }
        peer.ack(&first).await;
        settle_down().await;
        assert!(!asking.is_finished());
        peer.ack(&again).await;
        asking.await.unwrap().unwrap();
        assert_eq!(handed.is_finished(), !resume);
        // Its place is free again, and it is said again once.
        drop(peer);
        let mut peer = network.welcome(granted(true, true)).await;
        assert_eq!(subscribe_in(&peer.hear().await.unwrap()), &bars("a"));
        client.post(note("more")).await.unwrap();
        while text_of(&peer.hear().await.unwrap()) != "more" {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_without_an_answer_is_given_up() {
    let (client, _receiver, mut peer, _network) =
        networked(4096, config(), granted(true, false)).await;
    let asking = subscribing(&client, bars("a"));
    peer.hear().await.unwrap();
    assert_eq!(asking.await.unwrap(), Err(SendError::FateUnknown));
}

#[tokio::test]
async fn subscriptions_are_not_sent_like_messages() {
    let (client, _receiver, _peer) = connected(config()).await;
    for payload in [
        Payload::from(bars("a")),
        crate::wire::Unsubscribe::new("a").into(),
    ] {
        let message = Message::new("me", Target::Everyone, payload).unwrap();
        assert_eq!(client.post(message).await, Err(SendError::OfTheConnection));
    }
}
