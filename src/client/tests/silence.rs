use futures_util::future::join_all;

use super::*;

const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The rest of the test, with a client whose own timeout is shorter.
const LIMIT: Duration = Duration::from_secs(4);

/// A welcome that tells of pauses up to [`STALL_TIMEOUT`], and of frames up to
/// 1 MiB.
fn telling_welcome(hello: &Message, granted: Granted) -> Message {
    let mut limits = GrantedLimits::new(1_048_576_u64, 8_388_608_u64, 65_536_u64);
    limits.stall_timeout_ms = Some(STALL_TIMEOUT.as_millis() as u64);
    welcome_within(hello, granted, limits)
}

async fn greet(peer: &mut Peer<DuplexStream>, granted: Granted) {
    let hello = peer.hear().await.unwrap();
    peer.say(telling_welcome(&hello, granted)).await;
}

/// A client that counts silence in seconds, and its first connection.
async fn impatient(
    bytes: usize,
    config: ClientConfig,
    granted: Granted,
) -> (Client, Receiver, Peer<DuplexStream>, Network) {
    let (dial, mut network) = network(bytes);
    let config = config.answer_timeout(Duration::from_secs(1));
    let server = async {
        let mut peer = network.accept().await;
        greet(&mut peer, granted).await;
        peer
    };
    let connecting = Client::connect_through("the network", dial, config);
    let (client, peer) = tokio::join!(connecting, server);
    let (client, receiver) = client.unwrap();
    (client, receiver, peer, network)
}

#[track_caller]
fn assert_silent(end: &Disconnect, expected: Silence) {
    match end {
        Disconnect::Silent { silence, limit } => {
            assert_eq!((*silence, *limit), (expected, LIMIT));
        }
        other => panic!("{other:?}"),
    }
}

/// How the connection ends, if it does.
async fn lost(receiver: &mut Receiver) -> Disconnect {
    let end = tokio::time::timeout(LIMIT * 100, disconnected(receiver)).await;
    end.expect("an end of the connection")
}

/// Fails if the client loses the connection, or its program a message.
async fn assert_undisturbed(receiver: &mut Receiver) {
    settle_down().await;
    let event = tokio::time::timeout(Duration::ZERO, receiver.receive()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_is_left_for_another_connection() {
    let (client, mut receiver, mut peer, mut network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    let start = tokio::time::Instant::now();
    // Too short a timeout of its own ends the send, and not the connection.
    assert_eq!(client.send(note("1")).await, Err(SendError::FateUnknown));
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_undisturbed(&mut receiver).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let last = sending(&client, note("2"));
    assert_silent(&lost(&mut receiver).await, Silence::NoAnswers);
    assert!(start.elapsed() >= LIMIT && start.elapsed() <= LIMIT * 3 / 2);
    assert_eq!(text_of(&peer.hear().await.unwrap()), "1");

    // Messages under way are sent again, for the server remembers.
    let mut peer = network.accept().await;
    greet(&mut peer, granted(true, true)).await;
    let again = peer.hear_and_ack().await;
    assert_eq!(text_of(&again), "2");
    last.await.unwrap().unwrap();
    assert_eq!(reconnected(&mut receiver).await.resent, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_unanswered_has_an_unknown_fate_where_the_server_forgets() {
    let (client, mut receiver, _peer, mut network) =
        impatient(1 << 16, config(), granted(false, false)).await;
    client.post(note("1")).await.unwrap();
    tokio::time::sleep(LIMIT).await;
    let send = sending(&client, note("2"));
    assert_silent(&lost(&mut receiver).await, Silence::NoAnswers);
    let mut peer = network.accept().await;
    greet(&mut peer, granted(false, false)).await;
    assert_eq!(send.await.unwrap(), Err(SendError::FateUnknown));
    assert_eq!(reconnected(&mut receiver).await.fate_unknown, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_tell_of_its_pauses_may_pause_for_long() {
    let config = config().answer_timeout(Duration::from_secs(1));
    let (client, mut receiver, _peer, _network) =
        networked(4096, config, granted(false, false)).await;
    client.post(note("1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_undisturbed(&mut receiver).await;
    assert!(matches!(
        lost(&mut receiver).await,
        Disconnect::Silent { limit, .. } if limit == Duration::from_secs(30)
    ));
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_delivered_are_no_answers() {
    let (client, mut receiver, mut peer, _network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    client.post(note("1")).await.unwrap();
    let delivering = tokio::spawn(async move {
        loop {
            peer.say(from_gateway("delivered")).await;
            peer.say(error("MESSAGES_DROPPED", None)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let start = tokio::time::Instant::now();
    loop {
        assert!(start.elapsed() <= LIMIT * 3 / 2, "it goes on");
        match receiver.receive().await.unwrap() {
            Event::Message(_) | Event::Notice(_) => {}
            Event::Disconnected(end) => break assert_silent(&end, Silence::NoAnswers),
            other => panic!("{other:?}"),
        }
    }
    delivering.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_bytes_is_silent() {
    let (client, mut receiver, _peer, _network) =
        impatient(1000, config(), granted(true, false)).await;
    // Its messages don't fit the pipe, so none is wholly handed over.
    client.post(note(&"x".repeat(5000))).await.unwrap();
    assert_silent(&lost(&mut receiver).await, Silence::NothingTaken);
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_with_heartbeats_or_probes_finds_the_server_silent() {
    let second = Duration::from_secs(1);
    for config in [config().heartbeat(second), config().probe(second)] {
        let (_client, mut receiver, mut peer, _network) =
            impatient(1 << 16, config, granted(true, false)).await;
        for _ in 0..10 {
            let heard = peer.hear().await.unwrap();
            match &heard.payload {
                Payload::Hello(hello) => {
                    assert_eq!(**hello, Hello::default(), "it changes nothing");
                    peer.say(telling_welcome(&heard, granted(true, false)))
                        .await;
                }
                _ => peer.ack(&heard).await,
            }
        }
        assert_undisturbed(&mut receiver).await;
        assert_silent(&lost(&mut receiver).await, Silence::NoAnswers);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_has_all_the_time_in_the_world() {
    let (client, mut receiver, mut peer, _network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    let send = sending(&client, note("1"));
    peer.hear_and_ack().await;
    send.await.unwrap().unwrap();
    tokio::time::sleep(LIMIT * 100).await;
    assert_undisturbed(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_pauses_its_sender_several_times_in_a_row_is_not_silent() {
    let (client, mut receiver, mut peer, _network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    let server = async {
        for _ in 0..5 {
            let heard = peer.hear().await.unwrap();
            tokio::time::sleep(STALL_TIMEOUT).await;
            peer.refuse(&heard, "QUEUE_FULL").await;
        }
    };
    let sends = join_all((0..5).map(|n| client.send(note(&n.to_string()))));
    tokio::join!(sends, server);
    for _ in 0..4 {
        // Given up before, so the refusals come as notices.
        assert_eq!(notice(&mut receiver).await, "QUEUE_FULL");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_over_a_slow_line_is_progress() {
    let (client, mut receiver, mut peer, _network) =
        impatient(4096, config(), granted(true, false)).await;
    client.post(note(&"x".repeat(300_000))).await.unwrap();
    // 300 KB at 20 KB/s.
    let mut read = 0;
    let mut buffer = [0; 2000];
    while read < 300_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stream = peer.frames.get_mut();
        read += tokio::io::AsyncReadExt::read(stream, &mut buffer)
            .await
            .unwrap();
    }
    assert_undisturbed(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_receive_makes_no_server_silent() {
    let config = config().inbound_bytes(1000).inbound_bytes_max(1000);
    let (client, mut receiver, mut peer, _network) =
        impatient(4096, config, granted(true, false)).await;
    client.post(note("1")).await.unwrap();
    let heard = peer.hear().await.unwrap();
    let server = tokio::spawn(async move {
        for n in 0..50 {
            peer.say(from_gateway(&n.to_string())).await;
        }
        // Behind all that the program does not receive.
        peer.ack(&heard).await;
        peer
    });
    tokio::time::sleep(LIMIT * 2).await;
    for n in 0..50 {
        assert_eq!(text_of(&message(&mut receiver).await).trim(), n.to_string());
        tokio::time::sleep(LIMIT / 20).await;
    }
    let _peer = server.await.unwrap();
    assert_undisturbed(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_stopped_makes_no_server_silent() {
    let (client, mut receiver, mut peer, _network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    client.post(note("1")).await.unwrap();
    let heard = peer.hear().await.unwrap();
    for _ in 0..3 {
        // Nothing runs meanwhile.
        tokio::time::advance(LIMIT * 2).await;
        settle_down().await;
    }
    peer.ack(&heard).await;
    assert_undisturbed(&mut receiver).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_may_deliver_for_long_but_not_be_silent() {
    let (client, mut receiver, mut peer, _network) =
        impatient(1 << 16, config(), granted(true, false)).await;
    client.post(note("1")).await.unwrap();
    settle_down().await;
    peer.say(error("SERVER_SHUTTING_DOWN", None)).await;
    assert_eq!(notice(&mut receiver).await, "SERVER_SHUTTING_DOWN");
    for n in 0..10 {
        tokio::time::sleep(LIMIT / 2).await;
        peer.say(from_gateway(&n.to_string())).await;
        message(&mut receiver).await;
    }
    assert_silent(&lost(&mut receiver).await, Silence::NoAnswers);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_reconnect_is_closed_by_silence() {
    let (client, mut receiver, _peer, _network) =
        impatient(1 << 16, config().reconnect(false), granted(true, false)).await;
    client.post(note("1")).await.unwrap();
    let end = tokio::time::timeout(LIMIT * 100, closed(&mut receiver)).await;
    assert_silent(&end.unwrap(), Silence::NoAnswers);
}
