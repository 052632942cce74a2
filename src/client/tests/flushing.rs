use super::*;

/// A flush in a task of its own.
pub(super) fn flushing(client: &Client) -> JoinHandle<Result<(), FlushError>> {
    let client = client.clone();
    tokio::spawn(async move { client.flush().await })
}

pub(super) fn not_accepted(
    refused: usize,
    fate_unknown: usize,
    unsent: usize,
) -> Result<(), FlushError> {
    Err(FlushError::NotAccepted {
        refused,
        fate_unknown,
        unsent,
    })
}

pub(super) async fn heard<const N: usize>(peer: &mut ServerEnd<DuplexStream>) -> [Message; N] {
    let mut all = Vec::new();
    for _ in 0..N {
        all.push(peer.hear().await.unwrap());
    }
    all.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_the_answers_to_all_before_and_to_nothing_after() {
    let (client, _receiver, mut peer) = connected(config()).await;
    assert_eq!(client.flush().await, Ok(()), "nothing was sent");
    client.post(note("1")).await.unwrap();
    let sent = sending(&client, note("2"));
    settle_down().await;
    let flush = flushing(&client);
    settle_down().await;
    client.post(note("3")).await.unwrap();
    let [first, second, _third] = heard(&mut peer).await;
    for message in [&second, &first] {
        settle_down().await;
        assert!(!flush.is_finished());
        peer.ack(message).await;
    }
    assert_eq!(flush.await.unwrap(), Ok(()));
    sent.await.unwrap().unwrap();
}

// The answers on both sides of the flush arrive in one read.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_flush_is_told_to_the_next_however_the_answers_arrive() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    client.post(note("1")).await.unwrap();
    client.post(note("2")).await.unwrap();
    let flush = flushing(&client);
    settle_down().await;
    client.post(note("3")).await.unwrap();
    let [first, second, third] = heard(&mut peer).await;
    let answers = [
        error("QUEUE_FULL", Some(&first)),
        Message::ack_of(SERVER, &second).unwrap(),
        error("QUEUE_FULL", Some(&third)),
    ];
    for answer in answers {
        let json = Bytes::from(answer.to_json());
        peer.frames.feed(json).await.unwrap();
    }
    SinkExt::<Bytes>::flush(&mut peer.frames).await.unwrap();
    assert_eq!(flush.await.unwrap(), not_accepted(1, 0, 0));
    assert_eq!(client.flush().await, not_accepted(1, 0, 0));
    for _ in 0..2 {
        assert_eq!(notice(&mut receiver).await, "QUEUE_FULL");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_tells_how_many_posts_were_refused_and_each_once() {
    let (client, mut receiver, mut peer) = connected(config()).await;
    for text in ["1", "2", "3"] {
        client.post(note(text)).await.unwrap();
    }
    let sent = sending(&client, note("4"));
    settle_down().await;
    let [first, second, third, fourth] = heard(&mut peer).await;
    peer.refuse(&first, "QUEUE_FULL").await;
    peer.ack(&second).await;
    assert_eq!(notice(&mut receiver).await, "QUEUE_FULL");
    // Given up: its word is for the next.
    let given_up = flushing(&client);
    settle_down().await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let flush = flushing(&client);
    settle_down().await;
    peer.refuse(&third, "TARGET_UNAVAILABLE").await;
    peer.refuse(&fourth, "TARGET_UNAVAILABLE").await;
    assert_eq!(flush.await.unwrap(), not_accepted(2, 0, 0));
    assert!(sent.await.unwrap().is_err(), "that is the sender's to know");
    assert_eq!(client.flush().await, Ok(()), "it was told");
}

#[tokio::test(start_paused = true)]
async fn a_flush_outlives_the_connection() {
    // The pipe holds the first message and a part of the second.
    let (client, mut receiver, mut peer, mut network) =
        networked(700, config(), granted(true, false)).await;
    for text in ["1", "2", "3"] {
        client.post(note(&format!("{text:<300}"))).await.unwrap();
    }
    let flush = flushing(&client);
    settle_down().await;
    client.post(note("4")).await.unwrap();
    let [_first] = heard(&mut peer).await;
    drop(peer);
    disconnected(&mut receiver).await;
    assert!(!flush.is_finished());
    let mut peer = network.welcome(granted(true, true)).await;
    for n in 1..4 {
        settle_down().await;
        assert!(!flush.is_finished(), "{n}");
        let [message] = heard(&mut peer).await;
        assert_eq!(text_of(&message).trim(), n.to_string());
        peer.ack(&message).await;
    }
    assert_eq!(flush.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_flush_tells_what_has_an_unknown_fate() {
    let config = config().answer_timeout(Duration::from_secs(7));
    let (client, mut receiver, mut peer, mut network) =
        networked(4096, config, granted(false, false)).await;
    client.post(note("late")).await.unwrap();
    assert_eq!(client.flush().await, not_accepted(0, 1, 0));
    client.post(note("lost")).await.unwrap();
    let flush = flushing(&client);
    let [_late, _lost] = heard(&mut peer).await;
    drop(peer);
    disconnected(&mut receiver).await;
    let _peer = network.welcome(granted(false, false)).await;
    assert_eq!(flush.await.unwrap(), not_accepted(0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_tells_what_was_left_at_the_end() {
    let (client, mut receiver, mut peer, network) =
        networked(4096, config().reconnect(false), granted(true, false)).await;
    client.post(note("handed over")).await.unwrap();
    let [_handed] = heard(&mut peer).await;
    peer.say(error("SERVER_SHUTTING_DOWN", None)).await;
    notice(&mut receiver).await;
    client.post(note("unsent")).await.unwrap();
    let flush = flushing(&client);
    settle_down().await;
    drop(peer);
    closed(&mut receiver).await;
    assert_eq!(flush.await.unwrap(), not_accepted(0, 1, 1));
    assert_eq!(client.flush().await, not_accepted(0, 1, 1));
    network.assert_no_more_attempts().await;
}

#[tokio::test(start_paused = true)]
async fn flushes_that_are_given_up_do_not_pile_up() {
    let (client, mut receiver, peer, mut network) =
        networked(4096, config(), granted(true, false)).await;
    network.set_up(false);
    drop(peer);
    disconnected(&mut receiver).await;
    client.post(note("queued")).await.unwrap();
    for _ in 0..100 {
        let flush = tokio::time::timeout(Duration::from_millis(1), client.flush());
        assert!(flush.await.is_err());
    }
    let flush = flushing(&client);
    network.set_up(true);
    let mut peer = network.welcome(granted(true, true)).await;
    let [message] = heard(&mut peer).await;
    peer.ack(&message).await;
    assert_eq!(flush.await.unwrap(), Ok(()));
}

/// Counts the warnings of this thread.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Returns how many warnings there are while a client's last handle is dropped,
/// in different states.
fn warnings(posts: bool, flushes: bool, runtime_ends: bool) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let subscriber = Warnings(count.clone());
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let (client, receiver, mut peer) = connected(config()).await;
            if posts {
                client.post(note("1")).await.unwrap();
            }
            if flushes {
                let flush = flushing(&client);
                let [message] = heard(&mut peer).await;
                peer.ack(&message).await;
                flush.await.unwrap().unwrap();
            }
            drop(receiver);
            client
        });
        if runtime_ends {
            drop(runtime);
            drop(client);
        } else {
            runtime.block_on(async { drop(client) });
        }
    });
    count.load(Ordering::Relaxed)
}

#[test]
fn a_client_that_is_dropped_with_messages_unanswered_or_without_a_runtime_warns() {
    assert_eq!(warnings(true, false, false), 1);
    assert_eq!(warnings(true, true, false), 0);
    assert_eq!(warnings(false, false, false), 0);
    assert_eq!(warnings(false, false, true), 1);
    assert_eq!(warnings(true, false, true), 1);
}
