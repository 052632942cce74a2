use futures_util::future::join;

use super::*;

#[tokio::test]
async fn messages_arrive_byte_for_byte_and_in_order() {
    let (_client, receiver, mut peer) = connected(config()).await;
    let odd = "{ \"source\" : \"\\u0061pi\", \"target\":\"tickwire\", \"n\": 1e400 }";
    peer.say_json(odd).await;
    peer.say(from_gateway("second")).await;
    // A stream like any other.
    let events: Vec<Event> = receiver.take(2).collect().await;
    let [Event::Message(first), Event::Message(second)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(first.json(), odd.as_bytes());
    assert!(first.message().is_err());
    assert_eq!(text_of(&second.message().unwrap()).trim(), "second");
}

/// Bytes that share their buffer with others keep all of it alive.
#[tokio::test]
async fn a_message_that_the_program_keeps_keeps_no_others_alive() {
    let (client, receiver, mut peer) = connected(config()).await;
    let server = async {
        let asked = peer.hear().await.unwrap();
        for number in 0..400 {
            if number == 200 {
                peer.ack(&asked).await;
            }
            let json = Bytes::from(from_gateway(&number.to_string()).to_json());
            peer.frames.feed(json).await.unwrap();
        }
        SinkExt::<Bytes>::flush(&mut peer.frames).await.unwrap();
    };
    let (answer, ()) = join(client.send(note("among them")), server).await;
    answer.unwrap();
    let events: Vec<Event> = receiver.take(400).collect().await;
    let mut kept = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let Event::Message(inbound) = event else {
            panic!("{event:?}");
        };
        let text = inbound.message().unwrap();
        assert_eq!(text_of(&text).trim(), number.to_string());
        kept.push(inbound.into_json());
    }
    assert!(kept.iter().all(Bytes::is_unique));
}

#[tokio::test]
async fn what_the_server_reports_comes_at_its_place_in_the_stream() {
    let (_client, mut receiver, mut peer) = connected(config()).await;
    peer.say(from_gateway("before")).await;
    peer.say(error("MESSAGES_DROPPED", None)).await;
    peer.say(from_gateway("after")).await;
    peer.say(error("NAME_TAKEN_OVER", None)).await;
    drop(peer);
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "before");
    assert_eq!(notice(&mut receiver).await, "MESSAGES_DROPPED");
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "after");
    assert_eq!(notice(&mut receiver).await, "NAME_TAKEN_OVER");
    let last = receiver.receive().await;
    assert!(
        matches!(last, Some(Event::Closed(Disconnect::TakenOver(_)))),
        "{last:?}"
    );
    assert!(receiver.receive().await.is_none());
}

#[tokio::test]
async fn a_server_that_shuts_down_tells_the_sender_and_the_receiver() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    let server = async {
        let heard = peer.hear().await.unwrap();
        peer.refuse(&heard, "SERVER_SHUTTING_DOWN").await;
    };
    let (outcome, ()) = join(client.send(note("x")), server).await;
    assert!(matches!(outcome, Err(SendError::Refused(_))));
    assert_eq!(notice(&mut receiver).await, "SERVER_SHUTTING_DOWN");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_receive_holds_the_server_back_until_it_does() {
    let config = config().inbound_bytes(2000);
    let (_client, mut receiver, mut peer) = connected_through(1000, config).await;
    let mut said = 0;
    while tokio::time::timeout(
        Duration::from_secs(1),
        peer.say(from_gateway(&said.to_string())),
    )
    .await
    .is_ok()
    {
        said += 1;
        assert!(said < 100, "read without end");
    }
    // The one that the server was held back with is still in its codec.
    let _server = tokio::spawn(async move {
        SinkExt::<Bytes>::flush(&mut peer.frames).await.unwrap();
        peer.say(from_gateway("more")).await;
        peer
    });
    for n in 0..=said {
        assert_eq!(text_of(&message(&mut receiver).await).trim(), n.to_string());
    }
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "more");
}

#[tokio::test(start_paused = true)]
async fn an_answer_behind_messages_is_reached_though_nobody_receives_them() {
    let config = config().inbound_bytes(1000).inbound_bytes_max(1_000_000);
    let (client, mut receiver, mut peer) = connected_through(1000, config).await;
    let server = async {
        let heard = peer.hear().await.unwrap();
        for n in 0..500 {
            peer.say(from_gateway(&n.to_string())).await;
        }
        peer.ack(&heard).await;
    };
    // A program that receives, sends and awaits, one after the other.
    join(client.send(note("x")), server).await.0.unwrap();
    for n in 0..500 {
        assert_eq!(text_of(&message(&mut receiver).await).trim(), n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_wakes_a_client_that_had_stopped_reading() {
    let config = config().inbound_bytes(1000).inbound_bytes_max(1_000_000);
    let (client, _receiver, mut peer) = connected_through(1000, config).await;
    let server = tokio::spawn(async move {
        for n in 0..50 {
            peer.say(from_gateway(&n.to_string())).await;
        }
        peer.hear_and_ack().await;
    });
    settle_down().await;
    assert!(!server.is_finished(), "the client was to stop reading");
    client.send(note("x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn even_with_an_answer_due_a_client_keeps_only_so_much() {
    let config = config().inbound_bytes(1000).inbound_bytes_max(10_000);
    let (client, mut receiver, mut peer) = connected_through(1000, config).await;
    let mut said = 0;
    let server = async {
        let heard = peer.hear().await.unwrap();
        loop {
            peer.say(from_gateway("again")).await;
            said += 1;
            assert!(
                said < 1000,
                "kept without end, and {} never answered",
                heard.msg_id
            );
        }
    };
    let outcome = tokio::select! {
        outcome = client.send(note("x")) => outcome,
        () = server => unreachable!("it never ends"),
    };
    assert_eq!(outcome, Err(SendError::FateUnknown));
    for _ in 0..said {
        message(&mut receiver).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_receiver_everything_but_answers_is_discarded() {
    let config = config().inbound_bytes(1000).inbound_bytes_max(1000);
    let (client, receiver, mut peer) = connected_through(1000, config).await;
    let chatter = tokio::spawn(async move {
        for n in 0..500 {
            peer.say(from_gateway(&n.to_string())).await;
        }
        peer
    });
    settle_down().await;
    assert!(!chatter.is_finished());
    drop(receiver);
    let mut peer = chatter.await.unwrap();
    let server = async {
        peer.hear_and_ack().await;
    };
    join(client.send(note("x")), server).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whatever_a_server_says_is_an_event_and_never_a_panic() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    let id = note("").msg_id;
    let odd = [
        "x".to_owned(),
        "[]".to_owned(),
        "\"tickwire\"".to_owned(),
        "{\"source\":\"tickwire\"}".to_owned(),
        "{\"source\":\"tickwire\",\"msg_type\":\"ack\",\"payload\":7}".to_owned(),
        "{\"source\":\"tickwire\",\"msg_type\":\"ack\",\"payload\":{}}".to_owned(),
        "{\"source\":\"tickwire\",\"msg_type\":\"error\",\"payload\":{\"code\":7}}".to_owned(),
        format!("{{\"source\":\"tickwire\",{}", "[".repeat(100_000)),
    ];
    for json in &odd {
        peer.say_json(json.clone()).await;
        match receiver.receive().await {
            Some(Event::Message(inbound)) => {
                assert_eq!(inbound.json(), json.as_bytes());
                assert!(inbound.message().is_err());
            }
            other => panic!("{json}: {other:?}"),
        }
    }
    // Answers to messages that were never sent.
    let mut ack = Ack::new(id, crate::wire::Timestamp::now());
    ack.unknown
        .insert("acknowledged_msg_ids", &Vec::<MsgId>::new())
        .unwrap();
    peer.say(Message::new(SERVER, Target::Everyone, ack).unwrap())
        .await;
    peer.ack(&note("")).await;

    tokio::io::AsyncWriteExt::write_all(peer.frames.get_mut(), &[0; 4])
        .await
        .unwrap();
    let last = receiver.receive().await;
    assert!(
        matches!(last, Some(Event::Closed(Disconnect::Framing(_)))),
        "{last:?}"
    );
    assert_eq!(client.post(note("")).await, Err(SendError::Closed));
}
