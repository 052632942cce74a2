use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

/// The outcome of connecting to a server that answers the hello like this.
async fn connecting_to(
    answer: impl AsyncFnOnce(&mut ServerEnd<DuplexStream>, &Message),
) -> Result<(Client, Receiver), ConnectError> {
    let (near, far) = duplex(4096);
    let server = async {
        let mut peer = ServerEnd::on(far);
        let hello = peer.hear().await.unwrap();
        answer(&mut peer, &hello).await;
    };
    tokio::join!(Client::over(near, config()), server).0
}

#[tokio::test]
async fn says_hello_over_tcp_and_is_welcomed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let mut peer = ServerEnd::on(listener.accept().await.unwrap().0);
        let hello = peer.welcome().await;
        peer.hear_and_ack().await;
        hello
    };
    let program = async {
        let (client, _receiver) = Client::connect(address, config()).await.unwrap();
        client.send(note("over TCP")).await.unwrap();
        client
    };
    let (hello, client) = tokio::join!(server, program);
    assert_eq!(hello.source.as_str(), "quantower-connector");
    assert_eq!(hello_in(&hello), &usual_hello());
    assert_eq!(client.name(), &hello.source);
    assert_eq!(client.welcome().server.name.as_str(), SERVER);
}

#[tokio::test]
async fn the_hello_asks_for_what_was_configured() {
    let (near, far) = duplex(4096);
    let mut peer = ServerEnd::on(far);
    let config = config().names(["a", "b"]).register(true).token("secret");
    assert!(!format!("{config:?}").contains("secret"));
    let (client, message) = tokio::join!(Client::over(near, config), peer.welcome());
    client.unwrap();
    let hello = hello_in(&message);
    assert_eq!(hello.names.as_ref().unwrap().len(), 2);
    assert_eq!(hello.register, Some(true));
    assert_eq!(hello.token.as_ref().unwrap().expose(), "secret");
}

#[tokio::test]
async fn a_configured_name_that_is_none_is_refused_before_anything_is_sent() {
    for config in [ClientConfig::new(""), config().names(["a", "b\n"])] {
        let (near, mut far) = duplex(4096);
        let connection = Client::over(near, config).await;
        assert!(matches!(connection, Err(ConnectError::InvalidName(_))));
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut sent)
            .await
            .unwrap();
        assert!(sent.is_empty());
    }
}

#[tokio::test]
async fn a_refused_hello_says_why() {
    let connection = connecting_to(async |peer, hello| {
        peer.refuse(hello, "PROTOCOL_UNSUPPORTED").await;
        // The server keeps the connection open: it is for the client to go.
        assert!(peer.hear().await.is_none());
    })
    .await;
    match connection {
        Err(ConnectError::Refused(report)) => assert_eq!(report.code, "PROTOCOL_UNSUPPORTED"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_older_server_is_asked_for_less_on_the_same_connection() {
    for field in ["payload.resumable", "payload.resume"] {
        let connection = connecting_to(async |peer, hello| {
            assert_eq!(hello_in(hello).resumable, Some(true));
            peer.say(refusal_of(field, hello)).await;
            let hello = peer.welcome().await;
            let rest = Hello {
                resumable: None,
                ..usual_hello()
            };
            assert_eq!(hello_in(&hello), &rest);
        });
        let (client, _receiver) = connection.await.unwrap();
        assert!(!client.is_closed());
    }
    for field in ["payload.acks", "payload.ack_details"] {
        let connection = connecting_to(async |peer, hello| {
            peer.say(refusal_of(field, hello)).await;
            let hello = peer.hear().await.unwrap();
            assert_eq!(hello_in(&hello).resumable, Some(true));
            peer.say(refusal_of("payload.resumable", &hello)).await;
            let hello = peer.welcome().await;
            assert_eq!(hello_in(&hello), &Hello::default());
        });
        assert!(connection.await.is_ok());
    }
    // It asks only once for less.
    let connection = connecting_to(async |peer, hello| {
        peer.say(refusal_of("payload.resumable", hello)).await;
        let hello = peer.hear().await.unwrap();
        peer.say(refusal_of("payload.resumable", &hello)).await;
    });
    assert!(matches!(connection.await, Err(ConnectError::Refused(_))));
}

/// The hello of a client without options of its own.
fn usual_hello() -> Hello {
    Hello {
        acks: Some(crate::wire::Acks::Batch),
        ack_details: Some(true),
        resumable: Some(true),
        ..Hello::default()
    }
}

fn refusal_of(field: &str, hello: &Message) -> Message {
    let mut report = ErrorReport::new("PROTOCOL_UNSUPPORTED", "not yet");
    let details = format!(r#"{{"msg_id":"{}","field":"{field}"}}"#, hello.msg_id);
    report.details = Some(RawObject::from_text(details).unwrap());
    Message::new(SERVER, Target::Everyone, report).unwrap()
}

#[tokio::test]
async fn asks_to_be_resumable_only_where_that_can_hold() {
    for (config, asks) in [
        (config(), true),
        (config().resumable(false), false),
        (config().register(false), false),
        (config().names([""; 0]), false),
        (config().unanswered_max(32_768), true),
        (config().unanswered_max(32_769), false),
    ] {
        let (near, far) = duplex(4096);
        let mut peer = ServerEnd::on(far);
        let (_client, hello) = tokio::join!(Client::over(near, config), peer.welcome());
        assert_eq!(hello_in(&hello).resumable, asks.then_some(true));
    }
}

#[tokio::test]
async fn a_server_that_is_full_says_so_without_having_read_the_hello() {
    let (near, far) = duplex(4096);
    let mut peer = ServerEnd::on(far);
    peer.say(error("LIMIT_EXCEEDED", None)).await;
    drop(peer);
    match Client::over(near, config()).await {
        Err(ConnectError::Refused(report)) => assert_eq!(report.code, "LIMIT_EXCEEDED"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_welcome_only_so_long() {
    let (near, _far) = duplex(4096);
    let start = tokio::time::Instant::now();
    let connection = Client::over(near, config()).await;
    assert!(matches!(connection, Err(ConnectError::Timeout { .. })));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_is_not_tickwire_is_an_error() {
    let closed = connecting_to(async |_, _| {}).await;
    assert!(matches!(closed, Err(ConnectError::ClosedByServer { .. })));

    let http = connecting_to(async |peer, _| {
        let stream = peer.frames.get_mut();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    assert!(
        matches!(http, Err(ConnectError::NotTickwire { .. })),
        "{http:?}"
    );

    let odd_welcome = connecting_to(async |peer, hello| {
        peer.say_json(welcome_to(hello).to_json().replace("protocol", "p"))
            .await;
        assert!(peer.hear().await.is_none());
    })
    .await;
    assert!(matches!(odd_welcome, Err(ConnectError::NotTickwire { .. })));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let unreachable = Client::connect(nowhere, config()).await;
    assert!(matches!(unreachable, Err(ConnectError::Unreachable { .. })));
}

#[tokio::test]
async fn what_arrives_before_the_welcome_is_not_lost() {
    let connection = connecting_to(async |peer, hello| {
        peer.say(from_gateway("early")).await;
        peer.say_json("{\"not\":\"a message\"}").await;
        peer.say(welcome_to(hello)).await;
    })
    .await;
    let (_client, mut receiver) = connection.unwrap();
    assert_eq!(text_of(&message(&mut receiver).await).trim(), "early");
    match receiver.receive().await {
        Some(Event::Message(inbound)) => assert_eq!(inbound.json(), b"{\"not\":\"a message\"}"),
        other => panic!("{other:?}"),
    }
}

/// Sends a message and closes, with every kind of activity going on; fails if
/// the client's task doesn't come to its end in good order. Returns whether the
/// message was accepted.
async fn lives_and_ends(config: ClientConfig) -> bool {
    let (dial, mut network) = network(1 << 16);
    let server = tokio::spawn(async move {
        while let Some(stream) = network.accepted.recv().await {
            let mut peer = ServerEnd::on(stream);
            while let Some(heard) = peer.hear().await {
                match &heard.payload {
                    Payload::Hello(_) => peer.say(welcome_to(&heard)).await,
                    _ => peer.ack(&heard).await,
                }
                if text_in(&heard) == Some("leave") {
                    break;
                }
            }
        }
    });
    let connected = Client::connect_through("the network", dial, config).await;
    let (client, mut receiver) = match connected {
        Ok(connected) => connected,
        Err(ConnectError::Timeout { .. }) => return false,
        Err(other) => panic!("{other:?}"),
    };
    let accepted = client.send(note("1")).await.is_ok();
    let _ = client.post(note("leave")).await;
    // Late ticks, and all that can happen in a while.
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ = client.send(note("2")).await;
    let _ = client.clone().close().await;
    let ended = tokio::time::timeout(Duration::from_secs(3600), async {
        while receiver.receive().await.is_some() {}
        client.flush().await
    });
    let flushed = ended.await.expect("an end");
    assert_ne!(flushed, Err(FlushError::Lost), "the task panicked");
    server.abort();
    accepted
}

fn text_in(message: &Message) -> Option<&str> {
    match &message.payload {
        Payload::Error(report) => Some(&report.message),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_duration_may_be_as_short_and_as_long_as_durations_are() {
    type Set = fn(ClientConfig, Duration) -> ClientConfig;
    let settings: [(&str, Set); 8] = [
        ("connect_timeout", ClientConfig::connect_timeout),
        ("answer_timeout", ClientConfig::answer_timeout),
        ("close_timeout", ClientConfig::close_timeout),
        ("heartbeat", ClientConfig::heartbeat),
        ("probe", ClientConfig::probe),
        ("reconnect_within", ClientConfig::reconnect_within),
        ("reconnect_delays", |config, first| {
            config.reconnect_delays(first, Duration::from_secs(1))
        }),
        ("reconnect_delays", |config, longest| {
            config.reconnect_delays(Duration::from_millis(1), longest)
        }),
    ];
    let short = || config().reconnect_delays(Duration::from_millis(1), Duration::from_millis(1));
    for duration in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1)] {
        for (name, set) in settings {
            let accepted = lives_and_ends(set(short(), duration)).await;
            let in_time =
                duration == Duration::MAX || !["connect_timeout", "answer_timeout"].contains(&name);
            assert!(accepted || !in_time, "{name}: {duration:?}");
        }
        let all = settings
            .iter()
            .filter(|(name, _)| *name != "connect_timeout")
            .fold(config(), |config, (_, set)| set(config, duration));
        let accepted = lives_and_ends(all).await;
        assert!(accepted || duration != Duration::MAX, "all: {duration:?}");
    }
}
