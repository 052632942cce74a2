use futures_util::FutureExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_under_the_same_names_and_options() {
    let config = config().names(["a", "b"]).token("secret").batch_acks(true);
    let (client, mut receiver, peer, mut network) =
        networked(4096, config, granted(true, false)).await;
    drop(peer);
    assert!(matches!(
        disconnected(&mut receiver).await,
        Disconnect::ByServer
    ));
    assert!(!client.is_closed());
    let mut peer = network.accept().await;
    let hello = peer.grant(granted(true, true)).await;
    let said = hello_in(&hello);
    assert_eq!(said.names.as_ref().unwrap().len(), 2);
    assert_eq!(said.token.as_ref().unwrap().expose(), "secret");
    assert_eq!(said.acks, Some(crate::wire::Acks::Batch));
    assert_eq!((said.resumable, said.resume), (Some(true), Some(true)));
    let reconnection = reconnected(&mut receiver).await;
    assert_eq!((reconnection.resent, reconnection.fate_unknown), (0, 0));
    assert_eq!(client.welcome(), reconnection.welcome);
    assert_eq!(reconnection.welcome.hello_msg_id, hello.msg_id);

    peer.say(from_gateway("again")).await;
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "again");
    let send = sending(&client, note("again"));
    peer.hear_and_ack().await;
    send.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_window_is_of_all_connections_together() {
    let (_client, mut receiver, peer, mut network) =
        networked(4096, config().window(3), Granted::new()).await;
    let mut peer = peer;
    for text in ["one", "two"] {
        peer.say(from_gateway(text)).await;
    }
    // Also those that the program has not received yet.
    peer.say(error("MESSAGES_DROPPED", None)).await;
    drop(peer);
    let mut peer = network.accept().await;
    let hello = peer.welcome().await;
    assert_eq!(hello_in(&hello).window, Some(1));
    for _ in 0..2 {
        peer.say(from_gateway("more than was asked for")).await;
    }
    drop(peer);
    let hello = network.accept().await.welcome().await;
    assert_eq!(hello_in(&hello).window, Some(0));
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "one");
}

#[tokio::test]
async fn it_comes_back_over_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        for _ in 0..3 {
            let mut peer = Peer::on(listener.accept().await.unwrap().0);
            peer.welcome().await;
        }
        let mut peer = Peer::on(listener.accept().await.unwrap().0);
        peer.welcome().await;
        peer
    };
    let program = async {
        let first = Duration::from_millis(1);
        let config = config().reconnect_delays(first, first);
        let (client, mut receiver) = Client::connect(address, config).await.unwrap();
        for _ in 0..3 {
            disconnected(&mut receiver).await;
            reconnected(&mut receiver).await;
        }
        client
    };
    let (_peer, client) = tokio::join!(server, program);
    assert!(!client.is_closed());
}

#[tokio::test(start_paused = true)]
async fn it_tries_for_ever_and_with_delays_that_are_bounded() {
    let (_client, mut receiver, peer, mut network) =
        networked(4096, config(), granted(false, false)).await;
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    // Half of 5 s apart on the average, once the delays have grown.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let attempts = network.attempts();
    assert!((1000..2500).contains(&attempts), "{attempts}");
    network.set_up(true);
    network.accept().await.welcome().await;
    reconnected(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn delays_begin_anew_only_after_a_connection_that_was_stable() {
    let mut attempts_after = Vec::new();
    for stood in [Duration::ZERO, Duration::from_secs(11)] {
        let (_client, mut receiver, peer, mut network) =
            networked(4096, config(), granted(false, false)).await;
        network.set_up(false);
        drop(peer);
        tokio::time::sleep(Duration::from_secs(600)).await;
        network.set_up(true);
        let mut peer = network.accept().await;
        peer.welcome().await;
        tokio::time::sleep(stood).await;
        network.set_up(false);
        drop(peer);
        disconnected(&mut receiver).await;
        reconnected(&mut receiver).await;
        disconnected(&mut receiver).await;
        let before = network.attempts();
        tokio::time::sleep(Duration::from_secs(1)).await;
        attempts_after.push(network.attempts() - before);
    }
    // 50 + 100 + 200 + 400 ms at most, as against one of up to 5 s.
    assert!(attempts_after[1] >= 4, "{attempts_after:?}");
    assert!(attempts_after[0] < attempts_after[1], "{attempts_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_to_reconnect_does_not() {
    let (client, mut receiver, peer, network) =
        networked(4096, config().reconnect(false), granted(true, false)).await;
    drop(peer);
    assert!(matches!(closed(&mut receiver).await, Disconnect::ByServer));
    assert!(client.is_closed());
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_the_time_that_it_was_given() {
    let time = Duration::from_secs(60);
    let (client, mut receiver, mut peer, network) =
        networked(4096, config().reconnect_within(time), granted(true, false)).await;
    let handed = sending(&client, note("handed over"));
    peer.hear().await.unwrap();
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    let lost = tokio::time::Instant::now();
    let queued = sending(&client, note("queued"));
    match closed(&mut receiver).await {
        Disconnect::GaveUp(after) => assert_eq!(after, time),
        other => panic!("{other:?}"),
    }
    assert_eq!(lost.elapsed(), time);
    // Its answer had stayed out for 30 s before.
    assert_eq!(handed.await.unwrap(), Err(SendError::FateUnknown));
    assert_eq!(queued.await.unwrap(), Err(SendError::Closed));
    assert_eq!(client.send(note("later")).await, Err(SendError::Closed));
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_final() {
    let (client, mut receiver, mut peer, network) =
        networked(4096, config(), granted(true, false)).await;
    let handed = sending(&client, note("handed over"));
    peer.hear().await.unwrap();
    peer.say(error("NAME_TAKEN_OVER", None)).await;
    assert_eq!(notice(&mut receiver).await, "NAME_TAKEN_OVER");
    // From here on nothing is sent, and the server may yet answer.
    assert_eq!(client.send(note("later")).await, Err(SendError::Closed));
    drop(peer);
    match closed(&mut receiver).await {
        Disconnect::TakenOver(report) => assert_eq!(report.code, "NAME_TAKEN_OVER"),
        other => panic!("{other:?}"),
    }
    assert_eq!(handed.await.unwrap(), Err(SendError::FateUnknown));
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_final_though_the_server_does_not_close() {
    let (_client, mut receiver, mut peer, network) =
        networked(4096, config(), granted(true, false)).await;
    peer.say(error("NAME_TAKEN_OVER", None)).await;
    notice(&mut receiver).await;
    assert!(matches!(
        closed(&mut receiver).await,
        Disconnect::TakenOver(_)
    ));
    assert!(peer.hear().await.is_none());
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_taken_over_is_given_up_and_the_others_are_kept() {
    let config = config().names(["a", "b"]);
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config, granted(true, false)).await;
    let taken_over = |name: &str| {
        let mut report = ErrorReport::new("NAME_TAKEN_OVER", "taken over");
        let details = format!(r#"{{"name":"{name}"}}"#);
        report.details = Some(RawObject::from_text(details).unwrap());
        Message::new(SERVER, Target::Everyone, report).unwrap()
    };
    peer.say(taken_over("b")).await;
    assert_eq!(notice(&mut receiver).await, "NAME_TAKEN_OVER");
    assert!(!client.is_closed());
    drop(peer);
    disconnected(&mut receiver).await;
    let mut peer = network.accept().await;
    let hello = peer.grant(granted(true, true)).await;
    let names = hello_in(&hello).names.as_deref().unwrap();
    assert_eq!(names, [Name::new("a").unwrap()]);
    reconnected(&mut receiver).await;
    peer.say(taken_over("a")).await;
    notice(&mut receiver).await;
    drop(peer);
    assert!(matches!(
        closed(&mut receiver).await,
        Disconnect::TakenOver(_)
    ));
    network.assert_no_more_attempts().await;
}

/// A server that gives a name to whoever asked for it last.
async fn serve_one_name(network: &mut Network) -> (usize, Option<Peer<DuplexStream>>) {
    let mut owner: Option<Peer<DuplexStream>> = None;
    let mut hellos = 0;
    while let Ok(mut peer) = tokio::time::timeout(Duration::from_secs(3600), network.accept()).await
    {
        peer.grant(granted(true, true)).await;
        hellos += 1;
        if let Some(mut former) = owner.replace(peer) {
            former.say(error("NAME_TAKEN_OVER", None)).await;
        }
        // A network that often fails, until all are tired.
        if hellos % 2 == 1 && hellos < 100 {
            owner = None;
        }
    }
    (hellos, owner)
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_name_do_not_evict_each_other_for_ever() {
    let (dial, mut network) = network(4096);
    let dial = Arc::new(Mutex::new(dial));
    let client = || {
        let dial = dial.clone();
        let dial = move || (dial.lock().unwrap())();
        Client::connect_through("the network", dial, config())
    };
    let programs = async {
        let first = client().await.unwrap();
        (first, client().await.unwrap())
    };
    let served = tokio::join!(serve_one_name(&mut network), programs);
    let ((hellos, _owner), ((_first, mut first), (_second, mut second))) = served;
    assert!(hellos < 200, "{hellos}");
    let mut taken_over = 0;
    for receiver in [&mut first, &mut second] {
        while let Some(Some(event)) = receiver.receive().now_or_never() {
            taken_over += usize::from(matches!(event, Event::Closed(Disconnect::TakenOver(_))));
        }
    }
    assert_eq!(taken_over, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_want_the_client_is_left_alone() {
    let (client, mut receiver, peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    drop(peer);
    disconnected(&mut receiver).await;
    // Temporary, and a connection that ends without a word.
    for code in [Some("LIMIT_EXCEEDED"), Some("SERVER_SHUTTING_DOWN"), None] {
        let mut peer = network.accept().await;
        peer.hear().await.unwrap();
        if let Some(code) = code {
            peer.say(error(code, None)).await;
        }
    }
    let mut peer = network.accept().await;
    let hello = peer.hear().await.unwrap();
    peer.refuse(&hello, "NOT_AUTHENTICATED").await;
    match closed(&mut receiver).await {
        Disconnect::Refused(report) => assert_eq!(report.code, "NOT_AUTHENTICATED"),
        other => panic!("{other:?}"),
    }
    assert!(client.is_closed());
    network.assert_no_more_attempts().await;
}

/// The answer of a load balancer without servers.
async fn say_503(peer: &mut Peer<DuplexStream>) {
    let http = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(peer.frames.get_mut(), http)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_foreign_answer_is_one_more_failure_with_a_long_delay() {
    let (client, mut receiver, peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    drop(peer);
    disconnected(&mut receiver).await;
    let queued = sending(&client, note("queued"));
    for _ in 0..3 {
        let mut peer = network.accept().await;
        let asked = tokio::time::Instant::now();
        say_503(&mut peer).await;
        drop(peer);
        let mut peer = network.accept().await;
        assert!(asked.elapsed() >= Duration::from_millis(2500));
        say_503(&mut peer).await;
    }
    let mut peer = network.welcome(granted(true, true)).await;
    reconnected(&mut receiver).await;
    peer.hear_and_ack().await;
    queued.await.unwrap().unwrap();

    // A connection that stands is no reason to give up either.
    let ended = tokio::time::Instant::now();
    say_503(&mut peer).await;
    assert!(matches!(
        disconnected(&mut receiver).await,
        Disconnect::Framing(_)
    ));
    let mut peer = network.accept().await;
    assert!(ended.elapsed() >= Duration::from_millis(2500));
    peer.grant(granted(true, true)).await;
    reconnected(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_refusals_are_not_tried_again() {
    let (_client, mut receiver, mut peer, network) =
        networked(4096, config(), granted(true, false)).await;
    peer.say(error("TOO_MANY_REFUSED", None)).await;
    drop(peer);
    notice(&mut receiver).await;
    assert!(matches!(
        closed(&mut receiver).await,
        Disconnect::Refused(_)
    ));
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_server_shuts_down_is_for_the_next() {
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    peer.say(error("SERVER_SHUTTING_DOWN", None)).await;
    assert_eq!(notice(&mut receiver).await, "SERVER_SHUTTING_DOWN");
    let send = sending(&client, note("for the next"));
    settle_down().await;
    // Messages that it still delivers are received, however long it takes.
    tokio::time::sleep(Duration::from_secs(20)).await;
    peer.say(from_gateway("drained")).await;
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "drained");
    assert!(!send.is_finished());
    drop(peer);
    disconnected(&mut receiver).await;
    let mut peer = network.welcome(granted(true, false)).await;
    let heard = peer.hear_and_ack().await;
    assert_eq!(text_of(&heard), "for the next");
    send.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_another_connection() {
    for state in ["backing off", "greeting"] {
        let (client, mut receiver, mut peer, mut network) =
            networked(4096, config(), granted(true, false)).await;
        let handed = sending(&client, note("handed over"));
        peer.hear().await.unwrap();
        client.post(note("handed over, too")).await.unwrap();
        peer.hear().await.unwrap();
        network.set_up(state != "backing off");
        drop(peer);
        disconnected(&mut receiver).await;
        let queued = sending(&client, note("queued"));
        let _peer = match state {
            "greeting" => Some(network.accept().await),
            _ => None,
        };
        settle_down().await;
        let start = tokio::time::Instant::now();
        let closed = client.clone().close().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "{state}");
        let expected = CloseError::Unfinished {
            fate_unknown: 2,
            unsent: 1,
        };
        assert_eq!(closed, Err(expected), "{state}");
        assert_eq!(handed.await.unwrap(), Err(SendError::FateUnknown));
        assert_eq!(queued.await.unwrap(), Err(SendError::Closed));
        assert!(receiver.receive().await.is_none());
        network.assert_no_more_attempts().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_left_and_nobody_connects_again() {
    let (client, receiver, peer, network) = networked(4096, config(), granted(true, false)).await;
    network.set_up(false);
    drop(peer);
    drop(client);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let attempts = network.attempts();
    assert!(attempts > 5, "the receiver still wants to receive");
    drop(receiver);
    network.assert_no_more_attempts().await;
}
