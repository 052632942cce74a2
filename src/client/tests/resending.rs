use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use super::*;

/// Sends notes of these texts and hears them, as bytes.
async fn send_and_hear(
    client: &Client,
    peer: &mut ServerEnd<DuplexStream>,
    texts: &[&str],
) -> (Vec<JoinHandle<Result<Ack, SendError>>>, Vec<Bytes>) {
    let (mut sends, mut heard) = (Vec::new(), Vec::new());
    for text in texts {
        sends.push(sending(client, note(text)));
        heard.push(peer.hear_json().await);
    }
    (sends, heard)
}

fn read(json: &Bytes) -> Message {
    Message::from_json(json).unwrap()
}

#[tokio::test(start_paused = true)]
async fn exactly_what_was_not_answered_is_sent_again_byte_for_byte_and_in_order() {
    let (client, mut receiver, mut peer, mut network) =
        networked(1 << 20, config(), granted(true, false)).await;
    let (sends, first) = send_and_hear(&client, &mut peer, &["0", "1", "2", "3", "4"]).await;
    client.post(note("posted")).await.unwrap();
    let posted = peer.hear_json().await;
    peer.ack(&read(&first[0])).await;
    peer.refuse(&read(&first[2]), "QUEUE_FULL").await;
    // The ack of one that the server has accepted is lost: it breaks off.
    let ack = Message::ack_of(SERVER, &read(&first[3]))
        .unwrap()
        .to_frame();
    let stream = peer.frames.get_mut();
    stream.write_all(&ack[..ack.len() - 1]).await.unwrap();
    drop(peer);
    assert!(matches!(
        disconnected(&mut receiver).await,
        Disconnect::Broken(_)
    ));
    let newer = sending(&client, note("newer"));
    settle_down().await;

    let mut peer = network.accept().await;
    let hello = peer.grant(granted(true, true)).await;
    assert_eq!(hello_in(&hello).resume, Some(true));
    let reconnection = reconnected(&mut receiver).await;
    assert_eq!((reconnection.resent, reconnection.fate_unknown), (4, 0));
    for expected in [&first[1], &first[3], &first[4], &posted] {
        let json = peer.hear_json().await;
        assert_eq!(&json, expected);
        peer.ack(&read(&json)).await;
    }
    let last = peer.hear_and_ack().await;
    assert_eq!(text_of(&last), "newer");
    newer.await.unwrap().unwrap();
    for (n, send) in sends.into_iter().enumerate() {
        let outcome = send.await.unwrap();
        assert_eq!(outcome.is_ok(), n != 2, "{outcome:?}");
    }
    // And nothing else.
    let end = async {
        assert!(peer.hear().await.is_none());
        drop(peer);
    };
    let (closed, ()) = tokio::join!(client.close(), end);
    assert_eq!(closed, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_accepted_is_not_sent_again_where_nobody_remembers() {
    for (resumable, resume) in [(true, false), (false, false), (false, true)] {
        let (client, mut receiver, mut peer, mut network) =
            networked(4096, config(), granted(resumable, false)).await;
        let (sends, _) = send_and_hear(&client, &mut peer, &["0", "1", "2"]).await;
        client.post(note("posted")).await.unwrap();
        peer.hear_json().await;
        drop(peer);
        disconnected(&mut receiver).await;
        let newer = sending(&client, note("newer"));
        settle_down().await;
        let mut peer = network.accept().await;
        let hello = peer.grant(granted(true, resume)).await;
        assert_eq!(hello_in(&hello).resume, resumable.then_some(true));
        let reconnection = reconnected(&mut receiver).await;
        assert_eq!((reconnection.resent, reconnection.fate_unknown), (0, 4));
        for send in sends {
            assert_eq!(send.await.unwrap(), Err(SendError::FateUnknown));
        }
        let heard = peer.hear_and_ack().await;
        assert_eq!(text_of(&heard), "newer");
        newer.await.unwrap().unwrap();
        // This connection can be resumed again.
        let (sends, first) = send_and_hear(&client, &mut peer, &["3"]).await;
        drop(peer);
        let mut peer = network.welcome(granted(true, true)).await;
        assert_eq!(peer.hear_json().await, first[0]);
        peer.ack(&read(&first[0])).await;
        for send in sends {
            send.await.unwrap().unwrap();
        }
    }
}

// A server that was started anew grants no resume but begins to remember. Had
// its welcome been lost, it would grant resume to the next hello: of nothing.
#[tokio::test(start_paused = true)]
async fn a_grant_is_not_believed_after_a_hello_whose_welcome_was_lost() {
    for hello_was_heard in [true, false] {
        let (client, mut receiver, mut peer, mut network) =
            networked(4096, config(), granted(true, false)).await;
        let (mut sends, first) = send_and_hear(&client, &mut peer, &["0"]).await;
        network.set_up(hello_was_heard);
        drop(peer);
        disconnected(&mut receiver).await;
        if hello_was_heard {
            let mut peer = network.accept().await;
            assert_eq!(hello_in(&peer.hear().await.unwrap()).resume, Some(true));
        } else {
            tokio::time::sleep(Duration::from_secs(10)).await;
            network.set_up(true);
        }
        // A server that is full has not heard the hello.
        let mut peer = network.accept().await;
        peer.say(error("LIMIT_EXCEEDED", None)).await;
        drop(peer);
        let mut peer = network.accept().await;
        let hello = peer.grant(granted(true, true)).await;
        let asked = hello_in(&hello).resume == Some(true);
        assert_eq!(asked, !hello_was_heard);
        let outcome = sends.remove(0);
        if hello_was_heard {
            assert_eq!(outcome.await.unwrap(), Err(SendError::FateUnknown));
        } else {
            assert_eq!(peer.hear_json().await, first[0]);
            peer.ack(&read(&first[0])).await;
            outcome.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_connection_got_in_full_is_sent_on_the_next() {
    let (client, mut receiver, mut peer, mut network) =
        networked(100, config(), granted(false, false)).await;
    let sends: Vec<_> = (0..10)
        .map(|n| sending(&client, note(&n.to_string())))
        .collect();
    let first = peer.hear().await.unwrap();
    assert_eq!(text_of(&first), "0");
    // Half of the second is on its way.
    settle_down().await;
    drop(peer);
    disconnected(&mut receiver).await;
    let mut peer = network.welcome(granted(false, false)).await;
    let reconnection = reconnected(&mut receiver).await;
    assert_eq!(reconnection.fate_unknown, 1);
    for n in 1..10 {
        let heard = peer.hear_and_ack().await;
        assert_eq!(text_of(&heard), n.to_string());
    }
    let outcomes = join_all(sends).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome.unwrap() {
            Err(SendError::FateUnknown) => assert_eq!(n, 0),
            outcome => {
                outcome.unwrap();
            }
        }
    }
    assert_all_room_is_free(&client, UNANSWERED_MAX_DEFAULT);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_that_is_cut_is_repeated_from_where_the_answers_end() {
    let (client, mut receiver, mut peer, mut network) =
        networked(1000, config(), granted(true, false)).await;
    let (sends, first) = send_and_hear(&client, &mut peer, &["0", "1", "2", "3", "4", "5"]).await;
    drop(peer);
    for (answered, expected) in first.iter().enumerate() {
        disconnected(&mut receiver).await;
        let mut peer = network.welcome(granted(true, true)).await;
        assert_eq!(reconnected(&mut receiver).await.resent, 6 - answered);
        let json = peer.hear_json().await;
        assert_eq!(&json, expected);
        peer.ack(&read(&json)).await;
        drop(peer);
    }
    for send in sends {
        send.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_answer_runs_on_without_a_connection() {
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    let (mut sends, first) = send_and_hear(&client, &mut peer, &["late"]).await;
    let start = tokio::time::Instant::now();
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    let queued = sending(&client, note("queued"));
    let outcome = sends.remove(0).await.unwrap();
    assert_eq!(outcome, Err(SendError::FateUnknown));
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    // It was told to be unknown, so it isn't sent again, though it could be.
    network.set_up(true);
    let mut peer = network.welcome(granted(true, true)).await;
    let heard = peer.hear_json().await;
    assert_ne!(heard, first[0]);
    // The time of a message that was never handed over has only begun.
    peer.ack(&read(&heard)).await;
    queued.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_long_disconnect_holds_the_program_back() {
    let (client, mut receiver, mut peer, mut network) =
        networked(1 << 20, config().unanswered_max(10), granted(true, false)).await;
    let (sends, _) = send_and_hear(&client, &mut peer, &["0", "1", "2"]).await;
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    // The three that are kept take their places.
    for n in 3..10 {
        client.post(note(&n.to_string())).await.unwrap();
    }
    let waiting = sending(&client, note("10"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!waiting.is_finished());
    network.set_up(true);
    let mut peer = network.welcome(granted(true, true)).await;
    for n in 0..=10 {
        let heard = peer.hear_and_ack().await;
        assert_eq!(text_of(&heard), n.to_string());
    }
    waiting.await.unwrap().unwrap();
    for send in sends {
        send.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_sending_it_again_is_bounded_in_bytes() {
    let config = config().unanswered_max(30_000);
    let (client, _receiver, mut peer, _network) =
        networked(1 << 20, config, granted(true, false)).await;
    let frame_bytes = note(&"x".repeat(1500)).to_frame().len();
    let fit = crate::limits::CLIENT_QUEUE_BYTES / frame_bytes;
    let posting = {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..=fit {
                client.post(note(&"x".repeat(1500))).await.unwrap();
            }
        })
    };
    let mut heard = Vec::new();
    for _ in 0..fit {
        heard.push(peer.hear().await.unwrap());
    }
    settle_down().await;
    assert!(
        !posting.is_finished(),
        "all are kept, though all are written"
    );
    peer.ack(&heard[0]).await;
    peer.hear().await.unwrap();
    posting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_only_bounded_until_it_is_written() {
    let config = config().unanswered_max(30_000);
    let (client, _receiver, mut peer, _network) =
        networked(1 << 20, config, granted(false, false)).await;
    let posting = tokio::spawn(async move {
        for _ in 0..4000 {
            client.post(note(&"x".repeat(1500))).await.unwrap();
        }
        client
    });
    for _ in 0..4000 {
        peer.hear().await.unwrap();
    }
    posting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_not_repeated_and_begin_anew() {
    let config = config().heartbeat(Duration::from_secs(3));
    let (_client, mut receiver, mut peer, mut network) =
        networked(4096, config, granted(true, false)).await;
    let first = peer.hear().await.unwrap();
    drop(peer);
    disconnected(&mut receiver).await;
    let mut peer = network.welcome(granted(true, true)).await;
    assert_eq!(reconnected(&mut receiver).await.resent, 0);
    let second = peer.hear().await.unwrap();
    assert_eq!(second.msg_type(), "heartbeat");
    assert_ne!(second.msg_id, first.msg_id);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_next_server_finds_too_large_is_not_sent() {
    let (client, _receiver, peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    network.set_up(false);
    drop(peer);
    settle_down().await;
    let large = sending(&client, note(&"x".repeat(1000)));
    let small = sending(&client, note("small"));
    settle_down().await;
    network.set_up(true);
    let mut peer = network.accept().await;
    let hello = peer.hear().await.unwrap();
    let mut welcome = welcome_to(&hello);
    let Payload::Welcome(payload) = &mut welcome.payload else {
        unreachable!("it is one")
    };
    payload.limits.frame_bytes = 500;
    peer.say(welcome).await;
    let heard = peer.hear_and_ack().await;
    assert_eq!(text_of(&heard), "small");
    small.await.unwrap().unwrap();
    assert!(matches!(
        large.await.unwrap(),
        Err(SendError::TooLarge { limit: 500, .. })
    ));
}
