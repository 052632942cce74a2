//! The parts of a message's way, each by itself: cut the stream into frames,
//! parse and check, route, acknowledge.
//!
//! Throughput is in messages (elements) or in bytes of JSON with its prefix.

mod load;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::ids::{MsgId, Name};
use tickwire::limits::READ_BUFFER_BYTES;
use tickwire::router::{Router, RouterConfig};
use tickwire::wire::internal::{AckTemplate, AnswerIds, BatchAck};
use tickwire::wire::{FrameState, Parser, Validation, frame_state};
use tickwire_load::messages::{self, Example, Selection, Target};
use uuid::Uuid;

use load::endpoint::Endpoint;
use load::{stream, variants};

/// Distinct messages of each kind.
const VARIANTS: usize = 1_000;
const FRAME_BYTES_MAX: usize = 1024 * 1024;

fn frame_decode(c: &mut Criterion) {
    let bytes = stream(&variants(Example::Order, VARIANTS));
    let mut group = c.benchmark_group("frame decode");
    group.throughput(Throughput::Elements(VARIANTS as u64));
    group.bench_function("orders", |b| {
        b.iter(|| {
            let mut rest = &bytes[..];
            let mut frames = 0;
            while let Ok(FrameState::Complete { len }) = frame_state(rest, FRAME_BYTES_MAX) {
                rest = &rest[4 + len..];
                frames += 1;
            }
            assert_eq!(frames, VARIANTS);
        });
    });
    group.finish();
}

fn envelope_parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope parse");
    for example in Example::ALL {
        let name = example.name();
        let messages = variants(example, VARIANTS);
        let bytes: usize = messages.iter().map(Vec::len).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut parser = Parser::new(Validation::Payload);
        group.bench_function(BenchmarkId::new("tickwire", name), |b| {
            b.iter(|| {
                for message in &messages {
                    black_box(parser.parse(message).expect("the examples are valid"));
                }
            });
        });
        group.bench_function(BenchmarkId::new("serde_json Value", name), |b| {
            b.iter(|| {
                for message in &messages {
                    let value: serde_json::Value =
                        serde_json::from_slice(message).expect("the examples are JSON");
                    black_box(value);
                }
            });
        });
    }
    group.finish();
}

/// One read of 64 frames: checked, routed to a queue, acknowledged, and both
/// outputs taken.
fn route(c: &mut Criterion) {
    const FRAMES: usize = 64;
    let messages = variants(Example::Order, FRAMES);
    let window = stream(&messages);
    let mut group = c.benchmark_group("route");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (what, owner) in [
        ("to one receiver", "api-gateway"),
        ("refused", "somebody-else"),
    ] {
        let router = Router::new(RouterConfig::default());
        let mut receiver = Endpoint::owning(&router, owner);
        let mut sender = Endpoint::new(&router);
        group.bench_function(what, |b| {
            b.iter_batched(
                || window.clone(),
                |mut window| {
                    sender.receive(&mut window);
                    black_box(sender.discard_output());
                    black_box(receiver.discard_output());
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Two threads that route at once: on one router, and on one each. Their shared
/// state must not slow them.
fn two_threads(c: &mut Criterion) {
    const FRAMES: usize = 64;
    let mut group = c.benchmark_group("two threads");
    group.throughput(Throughput::Elements(2 * FRAMES as u64));
    for what in ["on one router", "on a router each"] {
        let shared = Router::new(RouterConfig::default());
        let mut pairs: Vec<(Endpoint, Endpoint, BytesMut)> = ["gateway-one", "gateway-two"]
            .into_iter()
            .map(|name| {
                let router = match what {
                    "on one router" => shared.clone(),
                    _ => Router::new(RouterConfig::default()),
                };
                let receiver = Endpoint::owning(&router, name);
                let orders = Selection::One(Example::Order);
                let target = Target::Name(name);
                let bytes = stream(&messages::variants(&orders, FRAMES, None, target));
                (Endpoint::new(&router), receiver, bytes)
            })
            .collect();
        group.bench_function(what, |b| {
            b.iter_custom(|rounds| {
                let start = std::sync::Barrier::new(pairs.len());
                let took = std::thread::scope(|scope| {
                    let threads: Vec<_> = pairs
                        .iter_mut()
                        .map(|(sender, receiver, bytes)| {
                            let start = &start;
                            scope.spawn(move || {
                                let mut window = BytesMut::new();
                                start.wait();
                                let began = std::time::Instant::now();
                                for _ in 0..rounds {
                                    window.clear();
                                    if !window.try_reclaim(READ_BUFFER_BYTES) {
                                        window = BytesMut::with_capacity(READ_BUFFER_BYTES);
                                    }
                                    window.extend_from_slice(bytes);
                                    sender.receive(&mut window);
                                    black_box(sender.discard_output());
                                    black_box(receiver.discard_output());
                                }
                                began.elapsed()
                            })
                        })
                        .collect();
                    let took = threads.into_iter().map(|thread| thread.join());
                    took.map(|took| took.expect("it doesn't panic")).max()
                });
                took.unwrap_or_default()
            });
        });
    }
    group.finish();
}

fn ack(c: &mut Criterion) {
    let name = |text| Name::new(text).expect("a name");
    let template = AckTemplate::new(&name("tickwire"), Some(&name("quantower-connector")));
    let mut ids = AnswerIds::new(Uuid::new_v4());
    let acknowledged = MsgId::from(Uuid::new_v4());
    let mut out = Vec::with_capacity(64 * 1024);
    let mut group = c.benchmark_group("ack");
    group.throughput(Throughput::Elements(1));
    group.bench_function("from the template", |b| {
        b.iter(|| {
            if out.len() > 60 * 1024 {
                out.clear();
            }
            template.append(&mut out, &mut ids, black_box(&acknowledged));
        });
    });
    const TOGETHER: usize = 64;
    let mut batch = BatchAck::new(&name("tickwire"), Some(&name("quantower-connector")), false);
    let messages = [acknowledged; TOGETHER];
    group.throughput(Throughput::Elements(TOGETHER as u64));
    group.bench_function("64 together", |b| {
        b.iter(|| {
            out.clear();
            batch.append(&mut out, &mut ids, 0, black_box(&messages), &[]);
            batch.close(&mut out);
        });
    });
    group.finish();
}

criterion_group!(
    benches,
    frame_decode,
    envelope_parse,
    route,
    two_threads,
    ack
);
criterion_main!(benches);
