//! A client with a network that cuts at any byte or falls silent there, and a
//! server that forgets now and then, held against the promises of the
//! documentation.

use std::collections::{HashMap, HashSet};

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::Decoder;

use super::*;

const MESSAGES: usize = 60;

/// Xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// The server's knowledge, and the test's knowledge of it.
#[derive(Default)]
struct World {
    /// The messages that the server remembers to have accepted: none after a
    /// restart.
    remembered: Option<HashSet<MsgId>>,
    /// The messages that it has delivered, in order.
    delivered: Vec<MsgId>,
    /// The messages that it has answered so that the client must have heard it.
    answered: HashMap<MsgId, bool>,
    /// How often the client ended a connection that had fallen silent.
    silences: usize,
}

/// Says nothing more, takes nothing more or swallows it, and waits until the
/// client has had enough.
async fn be_silent(stream: &mut DuplexStream, world: &mut World, swallows: bool) {
    let start = tokio::time::Instant::now();
    if !swallows {
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    let mut bytes = [0; 4096];
    while let Ok(1..) = stream.read(&mut bytes).await {}
    world.silences += usize::from(start.elapsed() >= Duration::from_secs(30));
}

/// Serves one connection until it has read and written so many bytes.
async fn serve(
    stream: &mut DuplexStream,
    world: &mut World,
    random: &mut Random,
    (mut may_read, mut may_write): (usize, usize),
) {
    let mut codec = FrameCodec::default();
    let mut input = BytesMut::new();
    let mut answers: Vec<(Message, Option<(MsgId, bool)>)> = Vec::new();
    loop {
        while let Some(frame) = codec.decode(&mut input).unwrap() {
            let heard = Message::from_json(&frame).unwrap();
            answers.push(match &heard.payload {
                Payload::Hello(hello) => {
                    let resume = hello.resume == Some(true) && world.remembered.is_some();
                    world.remembered.get_or_insert_default();
                    (welcome_with(&heard, granted(true, resume)), None)
                }
                _ => answer(&heard, world),
            });
        }
        // Now and then the answers wait for more to come.
        if random.below(3) > 0 || input.is_empty() {
            for (message, settles) in answers.drain(..) {
                let frame = message.to_frame();
                let part = frame.len().min(may_write);
                may_write -= part;
                if stream.write_all(&frame[..part]).await.is_err() || part < frame.len() {
                    return;
                }
                world.answered.extend(settles);
            }
        }
        let mut bytes = [0; 700];
        let most = may_read.min(1 + random.below(bytes.len()));
        match stream.read(&mut bytes[..most]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => input.extend_from_slice(&bytes[..read]),
        }
        may_read -= input.len().min(may_read).min(most);
    }
}

/// The server's handling of a message: its answer, and the promises that
/// follow.
fn answer(heard: &Message, world: &mut World) -> (Message, Option<(MsgId, bool)>) {
    let id = heard.msg_id;
    assert!(
        !world.answered.contains_key(&id),
        "what was answered came again"
    );
    // Always the same ones are refused: one that was refused without a word and
    // is accepted when it comes again is delivered late.
    if id.as_str().ends_with(['0', '1']) {
        return (error("QUEUE_FULL", Some(heard)), Some((id, false)));
    }
    if world.remembered.get_or_insert_default().insert(id) {
        world.delivered.push(id);
    }
    let ack = Message::ack_of(SERVER, heard).unwrap();
    (ack, Some((id, true)))
}

/// Whatever the network and the server do: each send resolves once, to the fate
/// of its message; nothing is delivered twice, out of order, or again after its
/// answer; and a message that is told to be unsent never came.
#[tokio::test(start_paused = true)]
async fn every_send_resolves_once_and_nothing_is_doubled_whatever_happens() {
    let seeds = std::env::var("TICKWIRE_SEEDS").ok();
    let seeds = seeds.and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut tally = [0; 4];
    let mut silences = 0;
    for seed in 0..seeds {
        let (outcomes, world) = live(seed).await;
        silences += world.silences;
        let ids: Vec<MsgId> = outcomes.iter().map(|(id, _)| *id).collect();
        let place = |id| ids.iter().position(|known| *known == id).unwrap();
        let mut places: Vec<usize> = world.delivered.iter().map(|id| place(*id)).collect();
        assert!(places.is_sorted(), "seed {seed}: out of order {places:?}");
        places.dedup();
        assert_eq!(places.len(), world.delivered.len(), "seed {seed}: doubled");
        for (id, outcome) in outcomes {
            let delivered = world.delivered.contains(&id);
            match (&outcome, world.answered.get(&id)) {
                (Ok(ack), Some(true)) => {
                    assert_eq!(ack.acknowledged_msg_id, id, "seed {seed}");
                    assert!(delivered, "seed {seed}");
                    tally[0] += 1;
                }
                (Err(SendError::Refused(report)), Some(false)) => {
                    assert_eq!(report.msg_id(), Some(id), "seed {seed}");
                    assert!(!delivered, "seed {seed}");
                    tally[1] += 1;
                }
                (Err(SendError::FateUnknown), None) => tally[2] += 1,
                (Err(SendError::Closed), None) => {
                    assert!(!delivered, "seed {seed}: told to be unsent");
                    tally[3] += 1;
                }
                (_, answer) => panic!("seed {seed}: {answer:?} became {outcome:?}"),
            }
        }
    }
    assert!(tally.iter().all(|count| *count > 0), "{tally:?}");
    assert!(silences > 0);
}

/// One client's life.
async fn live(seed: u64) -> (Vec<(MsgId, Result<Ack, SendError>)>, World) {
    let mut random = Random::new(seed);
    let mut world = World::default();
    // Large messages fill more than a batch.
    let scale = [1, 1, 1, 22][seed as usize % 4];
    let unanswered_max = 1 + scale.min(3) * random.below(30);
    let config = config().unanswered_max(unanswered_max);
    let (dial, mut network) = network(scale * (300 + random.below(3000)));
    // The first connection must come about.
    let server = async {
        let mut lives = 3 + random.below(30);
        loop {
            let Some(mut stream) = network.accepted.recv().await else {
                break;
            };
            lives = lives.saturating_sub(1);
            let first = world.remembered.is_none() && world.delivered.is_empty();
            let mut bytes = match first {
                true => (1000 + scale * random.below(3000), 1000 + random.below(3000)),
                false => (scale * random.below(6000), random.below(6000)),
            };
            if lives == 0 {
                bytes = (usize::MAX, usize::MAX);
            }
            serve(&mut stream, &mut world, &mut random, bytes).await;
            if lives > 0 && random.below(6) == 0 {
                let swallows = random.below(2) == 0;
                be_silent(&mut stream, &mut world, swallows).await;
            }
            drop(stream);
            if random.below(4) == 0 {
                world.remembered = None;
            }
        }
    };
    let program = async {
        let connected = Client::connect_through("the network", dial, config).await;
        let (client, receiver) = connected.unwrap();
        let sends = (0..MESSAGES).map(|n| {
            let message = note(&format!("{n:<width$}", width = 80 * scale));
            let id = message.msg_id;
            let send = client.send(message);
            async move { (id, send.await) }
        });
        let close_early = seed.is_multiple_of(5);
        let outcomes = join_all(sends);
        let closing = async {
            if close_early {
                tokio::time::sleep(Duration::from_millis(seed % 300)).await;
                let _ = client.clone().close().await;
            }
        };
        let (outcomes, ()) = tokio::join!(outcomes, closing);
        let flushed = client.flush().await;
        assert_eq!(flushed, Ok(()), "seed {seed}: nothing was posted");
        assert_all_room_is_free(&client, unanswered_max);
        drop(receiver);
        outcomes
    };
    let (outcomes, ()) = tokio::join!(program, server);
    (outcomes, world)
}
