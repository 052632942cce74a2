use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;

use super::*;

#[tokio::test]
async fn a_send_resolves_to_the_servers_ack() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let mut order = note("an order");
    order.msg_id = MsgId::from_text(b"550E8400-E29B-41D4-A716-44665544000A").unwrap();
    let server = async { peer.hear_and_ack().await };
    let (ack, heard) = join(client.send(order.clone()), server).await;
    assert_eq!(heard, order);
    assert_eq!(ack.unwrap().acknowledged_msg_id, order.msg_id);
}

#[tokio::test]
async fn a_refused_send_says_of_which_field_and_why() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let server = async {
        let heard = peer.hear().await.unwrap();
        peer.refuse(&heard, "INVALID_PAYLOAD").await;
    };
    match join(client.send(note("x")), server).await.0 {
        Err(SendError::Refused(report)) => {
            assert_eq!(
                report.known_code(),
                Some(crate::wire::ErrorCode::InvalidPayload)
            );
            assert_eq!(report.field().unwrap(), "payload.run_id");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_find_their_sends_in_any_order() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let sends = (0..10).map(|n| client.send(note(&n.to_string())));
    let server = async {
        let mut heard = Vec::new();
        for n in 0..10 {
            heard.push(peer.hear().await.unwrap());
            assert_eq!(text_of(&heard[n]), n.to_string(), "sent in another order");
        }
        for (n, message) in heard.iter().enumerate().rev() {
            match n % 2 {
                0 => peer.ack(message).await,
                _ => peer.refuse(message, &format!("CODE_{n}")).await,
            }
        }
    };
    let (outcomes, ()) = join(join_all(sends), server).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => assert_eq!(n % 2, 0),
            Err(SendError::Refused(report)) => assert_eq!(report.code, format!("CODE_{n}")),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn json_is_sent_byte_for_byte_and_answered_under_its_own_id() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let message = note("as it is");
    // Another spelling than the library's.
    let json = message.to_json().replace("\":", "\" : ");
    let server = async {
        let heard = peer.hear_json().await;
        assert_eq!(heard, json);
        peer.ack(&message).await;
        peer.hear_json().await
    };
    let sends = async {
        let ack = client.send_json(json.as_bytes()).await;
        client.post_json(json.as_bytes()).await.unwrap();
        ack
    };
    let (ack, posted) = join(sends, server).await;
    assert_eq!(ack.unwrap().acknowledged_msg_id, message.msg_id);
    assert_eq!(posted, json);
}

#[tokio::test]
async fn json_that_is_no_message_is_refused_and_not_sent() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let good = note("x").to_json();
    for (json, code, field) in [
        ("", "INVALID_JSON", None),
        ("{} {}", "INVALID_JSON", None),
        (
            &good.replace("msg_type", "type"),
            "INVALID_ENVELOPE",
            Some("msg_type"),
        ),
    ] {
        let posted = client.post_json(json.as_bytes()).await;
        let sent = client.send_json(json.as_bytes()).await.map(|_| ());
        for outcome in [posted, sent] {
            match outcome {
                Err(SendError::Refused(report)) => {
                    assert_eq!(report.code, code);
                    assert_eq!(report.field().as_deref(), field);
                    assert!(!report.message.is_empty());
                }
                other => panic!("{json}: {other:?}"),
            }
        }
    }
    let hello = Message::hello(client.name(), Hello::default())
        .unwrap()
        .to_json();
    let outcome = client.post_json(hello.as_bytes()).await;
    assert_eq!(outcome, Err(SendError::OfTheConnection));
    let ack = Message::ack_of("somebody", &note("y")).unwrap().to_json();
    let outcome = client.send_json(ack.as_bytes()).await;
    assert_eq!(outcome, Err(SendError::NeverAnswered));
    let large = vec![b' '; client.welcome().limits.frame_bytes as usize + 1];
    let outcome = client.post_json(&large).await;
    assert!(
        matches!(outcome, Err(SendError::TooLarge { .. })),
        "{outcome:?}"
    );
    // An ack is posted.
    client.post_json(ack.as_bytes()).await.unwrap();
    assert_eq!(peer.hear_json().await, ack, "the first that was sent");
}

/// On a runtime of one thread, with room for all: only the program itself can stop.
#[tokio::test]
async fn a_program_that_posts_without_a_pause_gives_others_a_turn() {
    const POSTS: usize = 4_000;
    let (client, _receiver, _peer) = connected(config()).await;
    let posted = Arc::new(AtomicUsize::new(0));
    let posting = tokio::spawn({
        let posted = Arc::clone(&posted);
        let frame = ValidFrame::new(&note("again")).unwrap();
        async move {
            for _ in 0..POSTS {
                client.post_frame(&frame).await.unwrap();
                posted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut turns = 0;
    while !posting.is_finished() {
        let before = posted.load(Ordering::Relaxed);
        tokio::task::yield_now().await;
        let more = posted.load(Ordering::Relaxed) - before;
        assert!(more <= POSTS / 4, "{more} posts in a row");
        turns += 1;
    }
    assert_eq!(posted.load(Ordering::Relaxed), POSTS);
    assert!(turns > 4);
}

// More at once than a task does before tokio makes it yield; and where room for
// two becomes free at once and the later one is polled first, as `join!` may.
#[tokio::test]
async fn messages_of_a_task_are_sent_in_the_order_in_which_they_are_first_polled() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let sends: FuturesUnordered<_> = (0..300)
        .map(|n| client.send(note(&n.to_string())))
        .collect();
    let server = async {
        for n in 0..300 {
            let heard = peer.hear_and_ack().await;
            assert_eq!(text_of(&heard), n.to_string(), "sent in another order");
        }
    };
    join(sends.count(), server).await;

    let (client, _receiver, mut peer) = connected(config().unanswered_max(2)).await;
    let send = |n: u32| Box::pin(client.send(note(&n.to_string())));
    let mut sends: Vec<_> = (0..4).map(send).collect();
    for send in &mut sends {
        assert!(is_pending(send).await);
    }
    for n in 0..2 {
        let heard = peer.hear_and_ack().await;
        assert_eq!(text_of(&heard), n.to_string());
    }
    // Once these have their answers there is room for both of the others.
    for send in sends.drain(..2) {
        send.await.unwrap();
    }
    for send in sends.iter_mut().rev() {
        assert!(is_pending(send).await);
    }
    let server = async {
        for n in 2..4 {
            let heard = peer.hear_and_ack().await;
            assert_eq!(text_of(&heard), n.to_string(), "sent in another order");
        }
    };
    join(join_all(sends), server).await;
}

#[tokio::test]
async fn an_ack_of_many_answers_all_that_it_covers() {
    let (client, _receiver, mut peer) = connected(config()).await;
    let server = async {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(peer.hear().await.unwrap().msg_id);
        }
        let mut ack = Ack::new(ids[2], crate::wire::Timestamp::now());
        ack.unknown.insert("acknowledged_msg_ids", &ids).unwrap();
        ack.unknown.insert("dropped", &[0, 2, 0]).unwrap();
        peer.say(Message::new(SERVER, Target::Everyone, ack).unwrap())
            .await;
        ids
    };
    let sends = join_all((0..3).map(|n| client.send(note(&n.to_string()))));
    let (acks, ids) = join(sends, server).await;
    let acked: Vec<_> = acks
        .into_iter()
        .map(|ack| ack.unwrap())
        .map(|ack| (ack.acknowledged_msg_id, ack.dropped()))
        .collect();
    assert_eq!(acked, [(ids[0], 0), (ids[1], 2), (ids[2], 0)]);
}

#[tokio::test]
async fn the_ack_of_another_participant_is_a_message_and_no_answer() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    let server = async {
        let heard = peer.hear().await.unwrap();
        peer.say(Message::ack_of("api-gateway", &heard).unwrap())
            .await;
        peer.refuse(&heard, "QUEUE_FULL").await;
    };
    let (outcome, ()) = join(client.send(note("x")), server).await;
    assert!(matches!(outcome, Err(SendError::Refused(_))));
    assert_eq!(message(&mut receiver).await.msg_type(), "ack");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_gives_up_the_answer_and_not_the_message() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    {
        let mut send = std::pin::pin!(client.send(note("kept")));
        assert!(is_pending(&mut send).await);
    }
    let heard = peer.hear().await.unwrap();
    assert_eq!(text_of(&heard), "kept");
    peer.refuse(&heard, "QUEUE_FULL").await;
    peer.say(error("MESSAGES_DROPPED", None)).await;
    assert_eq!(notice(&mut receiver).await, "MESSAGES_DROPPED");
}

#[tokio::test]
async fn a_refusal_of_what_was_posted_is_a_notice() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    client.post(note("accepted")).await.unwrap();
    client.post(note("refused")).await.unwrap();
    client
        .post(Message::ack_of("quantower-connector", &note("")).unwrap())
        .await
        .unwrap();
    let (accepted, refused) = (peer.hear().await.unwrap(), peer.hear().await.unwrap());
    let ack = peer.hear().await.unwrap();
    peer.ack(&accepted).await;
    peer.refuse(&refused, "TARGET_UNAVAILABLE").await;
    peer.refuse(&ack, "QUEUE_FULL").await;
    assert_eq!(notice(&mut receiver).await, "TARGET_UNAVAILABLE");
    assert_eq!(notice(&mut receiver).await, "QUEUE_FULL");
}

#[tokio::test]
async fn what_can_not_be_sent_says_why() {
    let (client, _receiver, _peer) = connected(config()).await;
    let ack = Message::ack_of("quantower-connector", &note("")).unwrap();
    assert_eq!(client.send(ack).await, Err(SendError::NeverAnswered));
    let hello = Message::hello("quantower-connector", Default::default()).unwrap();
    assert_eq!(client.post(hello).await, Err(SendError::OfTheConnection));
    let large = client.send(note(&"x".repeat(2000))).await;
    assert!(matches!(large, Err(SendError::TooLarge { bytes, limit: 2000 }) if bytes > 2000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stays_out_leaves_the_fate_unknown() {
    let timeout = Duration::from_secs(3);
    let config = config().unanswered_max(1).answer_timeout(timeout);
    let (client, mut receiver, mut peer) = connected(config).await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.send(note("x")).await, Err(SendError::FateUnknown));
    assert_eq!(start.elapsed(), timeout);
    // Its answer may still come, and its room is free again.
    let late = peer.hear_and_ack().await;
    let server = async {
        peer.hear_and_ack().await;
    };
    join(client.send(note("y")), server).await.0.unwrap();
    peer.refuse(&late, "UNDELIVERED").await;
    assert_eq!(notice(&mut receiver).await, "UNDELIVERED");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_messages_are_under_way_without_an_answer() {
    let (client, _receiver, mut peer) = connected(config().unanswered_max(2)).await;
    client.post(note("1")).await.unwrap();
    let mut second = std::pin::pin!(client.send(note("2")));
    assert!(is_pending(&mut second).await);
    let mut third = std::pin::pin!(client.post(note("3")));
    settle_down().await;
    assert!(is_pending(&mut third).await);
    // An ack is never answered, so it needs no room.
    client
        .post(Message::ack_of("quantower-connector", &note("")).unwrap())
        .await
        .unwrap();

    peer.hear_and_ack().await;
    third.await.unwrap();
    let texts = [peer.hear().await.unwrap(), peer.hear().await.unwrap()];
    assert_eq!((text_of(&texts[0]), texts[1].msg_type()), ("2", "ack"));
    assert_eq!(text_of(&peer.hear().await.unwrap()), "3");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_at_once_and_then_by_the_clock() {
    let period = Duration::from_secs(3);
    let (_client, mut receiver, mut peer) = connected(config().heartbeat(period)).await;
    let start = tokio::time::Instant::now();
    for n in 0..4 {
        let heartbeat = peer.hear().await.unwrap();
        assert_eq!(heartbeat.msg_type(), "heartbeat");
        assert_eq!(
            heartbeat.target.as_ref().unwrap().as_str(),
            "health-monitor"
        );
        assert_eq!(start.elapsed().as_secs(), 3 * n);
        peer.ack(&heartbeat).await;
    }
    // Their acks are nobody's business.
    peer.say(from_gateway("first")).await;
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "first");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_tells_what_was_written_from_what_was_not() {
    // The pipe holds a few messages: the others stay in the queue.
    let (client, mut receiver, mut peer) = connected_through(1000, config()).await;
    let sends: Vec<_> = (0..600)
        .map(|n| {
            tokio::spawn({
                let client = client.clone();
                async move { client.send(note(&format!("{n:<200}"))).await }
            })
        })
        .collect();
    settle_down().await;
    peer.hear_and_ack().await;
    settle_down().await;
    drop(peer);

    let mut counts = HashMap::new();
    for send in sends {
        let outcome = match send.await.unwrap() {
            Ok(_) => "ack",
            Err(SendError::FateUnknown) => "unknown",
            Err(SendError::Closed) => "closed",
            Err(other) => panic!("{other:?}"),
        };
        *counts.entry(outcome).or_insert(0) += 1;
    }
    assert_eq!(counts["ack"], 1);
    assert!(
        counts["unknown"] >= 3 && counts["closed"] >= 100,
        "{counts:?}"
    );
    assert_eq!(client.send(note("later")).await, Err(SendError::Closed));
    assert_eq!(client.post(note("later")).await, Err(SendError::Closed));
    assert!(client.is_closed());
    assert!(matches!(receiver.receive().await, Some(Event::Closed(_))));
    assert!(receiver.receive().await.is_none());
}

/// Whatever a server does with messages, and wherever the connection ends, each
/// send gets one outcome, and it is the one that the server gave if it gave one.
#[tokio::test(start_paused = true)]
async fn every_send_gets_exactly_the_outcome_that_its_message_had() {
    for seed in 0..50_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = move |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let config = config().unanswered_max(1 + next(20) as usize);
        let (client, receiver, mut peer) =
            connected_through(500 + next(4000) as usize, config).await;
        let sends = (0..100).map(|n| {
            let message = note(&n.to_string());
            let id = message.msg_id;
            let send = client.send(message);
            async move { (id, send.await) }
        });
        let server = async {
            let mut fates = HashMap::new();
            let mut held: Vec<Message> = Vec::new();
            for _ in 0..next(150) {
                let heard = tokio::time::timeout(Duration::from_millis(10), peer.hear()).await;
                held.extend(heard.ok().flatten());
                if held.is_empty() || next(4) == 0 {
                    continue;
                }
                let message = held.swap_remove(next(held.len() as u64) as usize);
                let accept = next(2) == 0;
                fates.insert(message.msg_id, accept);
                match accept {
                    true => peer.ack(&message).await,
                    false => peer.refuse(&message, "QUEUE_FULL").await,
                }
            }
            drop(peer);
            (fates, held)
        };
        let (outcomes, (fates, held)) = join(join_all(sends), server).await;
        for (id, outcome) in outcomes {
            match (fates.get(&id), outcome) {
                (Some(true), Ok(ack)) => assert_eq!(ack.acknowledged_msg_id, id),
                (Some(false), Err(SendError::Refused(report))) => {
                    assert_eq!(report.msg_id(), Some(id));
                }
                (None, Err(SendError::FateUnknown)) => {}
                (None, Err(SendError::Closed)) => {
                    assert!(
                        held.iter().all(|message| message.msg_id != id),
                        "it was sent"
                    );
                }
                (fate, outcome) => panic!("seed {seed}: {fate:?} became {outcome:?}"),
            }
        }
        drop(receiver);
    }
}
