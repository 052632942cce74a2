//! tickwire inside a program: making messages, and sending them between two endpoints
//! of one process.
//!
//! One way is counted from before a message is sent until its receiver has it. Both
//! tasks share one thread there (`current thread`) or have one each (`two workers`).

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::events::Event;
use tickwire::server::{EndpointReceiver, EndpointSender};
use tickwire::wire::{Message, Number, Order, OrderType, Side};
use tickwire::{Server, ServerHandle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Messages sent in a row where throughput is measured.
const BURST: u64 = 2_000;

fn order(number: u64) -> Order {
    Order {
        order_type: Some(OrderType::Limit),
        price: Some(Number::from(45_000 + number % 100)),
        ..Order::new("ord-456", "BTCUSDT", Side::Buy, 1)
    }
}

fn message(number: u64) -> Message {
    Message::order("sender", "receiver", "run-123", order(number)).expect("names")
}

fn making(c: &mut Criterion) {
    let mut group = c.benchmark_group("making");
    let mut number = 0;
    group.bench_function("a typed order", |b| {
        b.iter(|| {
            number += 1;
            message(number)
        });
    });
    group.bench_function("encoding it", |b| {
        b.iter_batched_ref(
            || message(7),
            |message| message.to_frame(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

struct Pair {
    runtime: Runtime,
    server: ServerHandle,
    sender: EndpointSender,
    receiver: Option<EndpointReceiver>,
}

impl Pair {
    fn new(runtime: Runtime) -> Self {
        let builder = Server::builder().listen("127.0.0.1:0");
        let server = runtime.block_on(builder.start()).expect("a free port");
        let (sender, _) = server.attach("sender").expect("a free name");
        let (_, receiver) = server.attach("receiver").expect("a free name");
        Self {
            runtime,
            server,
            sender,
            receiver: Some(receiver),
        }
    }

    /// Sends `count` messages that `make` makes, one after the other has arrived.
    fn one_way(&mut self, count: u64, make: impl Fn(u64) -> Message + Send + 'static) -> Duration {
        let mut receiver = self.receiver.take().expect("given back");
        let sender = self.sender.clone();
        let (arrived, mut arrivals) = mpsc::channel(1);
        let receiving = self.runtime.spawn(async move {
            for _ in 0..count {
                let Some(Event::Message(inbound)) = receiver.receive().await else {
                    panic!("a message was lost");
                };
                black_box(inbound.json());
                arrived
                    .send(Instant::now())
                    .await
                    .expect("the sender waits");
            }
            receiver
        });
        let sending = self.runtime.spawn(async move {
            let mut all = Duration::ZERO;
            for number in 0..count {
                let message = make(number);
                let sent = Instant::now();
                sender.post(&message).await.expect("accepted");
                all += arrivals.recv().await.expect("it arrives") - sent;
            }
            all
        });
        self.runtime.block_on(async {
            let all = sending.await.expect("no panic");
            self.receiver = Some(receiving.await.expect("no panic"));
            all
        })
    }

    /// Sends [`BURST`] messages in a row, `count` times.
    fn burst(&mut self, count: u64, make: impl Fn(u64) -> Message + Send + 'static) -> Duration {
        let mut receiver = self.receiver.take().expect("given back");
        let sender = self.sender.clone();
        let start = Instant::now();
        let receiving = self.runtime.spawn(async move {
            for _ in 0..count * BURST {
                let Some(Event::Message(inbound)) = receiver.receive().await else {
                    panic!("a message was lost");
                };
                black_box(inbound.json());
            }
            receiver
        });
        let sending = self.runtime.spawn(async move {
            for number in 0..count * BURST {
                sender.post(&make(number)).await.expect("accepted");
            }
        });
        self.runtime.block_on(async {
            sending.await.expect("no panic");
            self.receiver = Some(receiving.await.expect("no panic"));
        });
        start.elapsed()
    }
}

fn endpoints(c: &mut Criterion) {
    let mut group = c.benchmark_group("endpoints");
    for (name, mut builder) in [
        ("current thread", Builder::new_current_thread()),
        ("two workers", Builder::new_multi_thread()),
    ] {
        let runtime = builder.worker_threads(2).enable_all().build();
        let mut pair = Pair::new(runtime.expect("a runtime"));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("one way, typed orders, {name}"), |b| {
            b.iter_custom(|count| pair.one_way(count, message));
        });
        group.throughput(Throughput::Elements(BURST));
        group.bench_function(format!("in a row, typed orders, {name}"), |b| {
            b.iter_custom(|count| pair.burst(count, message));
        });
        pair.runtime.block_on(pair.server.shutdown());
    }
    group.finish();
}

criterion_group!(benches, making, endpoints);
criterion_main!(benches);
