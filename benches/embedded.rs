//! tickwire inside a program: making messages, and sending them between two endpoints
//! of one process.
//!
//! One way is counted from before a message is sent until its receiver has it. Both
//! tasks share one thread there (`current thread`) or have one each (`two workers`).

use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::events::Event;
use tickwire::server::{EndpointReceiver, EndpointSender};
use tickwire::wire::{Message, Number, Order, OrderType, Side, ValidFrame};
use tickwire::{Server, ServerHandle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Messages sent in a row where throughput is measured.
const BURST: u64 = 2_000;
/// Messages of a batch.
const BATCH: usize = 200;

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

    /// Sends `count` messages, one after the other has arrived: typed orders, or `json`.
    /// Returns `count` times the median of their ways, each between two clock reads: an
    /// interrupt of the processor changes one of them only.
    fn one_way(&mut self, count: u64, json: Option<Vec<u8>>) -> Duration {
        let mut receiver = self.receiver.take().expect("given back");
        let sender = self.sender.clone();
        let (arrived, mut arrivals) = mpsc::channel(1);
        let receiving = async move {
            for _ in 0..count {
                receive(&mut receiver).await;
                let now = Instant::now();
                arrived.send(now).await.expect("the sender waits");
            }
            receiver
        };
        let sending = async move {
            let mut ways = Vec::with_capacity(count as usize);
            for number in 0..count {
                let order = json.is_none().then(|| message(number));
                let sent = Instant::now();
                let posted = match (&order, &json) {
                    (Some(order), _) => sender.post(order).await,
                    (None, json) => sender.post_json(json.as_deref().unwrap_or_default()).await,
                };
                posted.expect("accepted");
                ways.push(arrivals.recv().await.expect("it arrives") - sent);
            }
            let middle = ways.len() / 2;
            let (_, median, _) = ways.select_nth_unstable(middle);
            median.mul_f64(count as f64)
        };
        self.run(receiving, sending)
    }

    /// Has `send` send `count` times [`BURST`] messages in a row.
    fn burst<S: Future<Output = ()> + Send + 'static>(
        &mut self,
        count: u64,
        send: impl FnOnce(EndpointSender, u64) -> S,
    ) -> Duration {
        let mut receiver = self.receiver.take().expect("given back");
        let start = Instant::now();
        let sending = send(self.sender.clone(), count * BURST);
        let receiving = async move {
            for _ in 0..count * BURST {
                receive(&mut receiver).await;
            }
            receiver
        };
        self.run(receiving, sending);
        start.elapsed()
    }

    /// Runs the two tasks, and returns the result of `sending`.
    fn run<T: Send + 'static>(
        &mut self,
        receiving: impl Future<Output = EndpointReceiver> + Send + 'static,
        sending: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let receiving = self.runtime.spawn(receiving);
        let sending = self.runtime.spawn(sending);
        self.runtime.block_on(async {
            let outcome = sending.await.expect("no panic");
            self.receiver = Some(receiving.await.expect("no panic"));
            outcome
        })
    }
}

async fn receive(receiver: &mut EndpointReceiver) {
    let Some(Event::Message(inbound)) = receiver.receive().await else {
        panic!("a message was lost");
    };
    black_box(inbound.json());
}

/// Sends messages one at a time.
async fn post(sender: EndpointSender, count: u64) {
    for number in 0..count {
        let message = message(number);
        sender.post(&message).await.expect("accepted");
    }
}

/// Makes typed orders and sends them in batches.
async fn post_in_batches(sender: EndpointSender, count: u64) {
    let mut batch = sender.batch();
    for number in 0..count {
        batch.push_message(&message(number)).expect("small");
        if batch.len() == BATCH || number + 1 == count {
            batch.post_all().await.expect("accepted");
        }
    }
}

/// Sends prepared frames in batches, each with a fresh id.
async fn post_prepared(sender: EndpointSender, count: u64) {
    let frame = ValidFrame::new(&message(7)).expect("valid");
    let mut batch = sender.batch();
    for number in 0..count {
        batch.push(&frame).expect("small");
        if batch.len() == BATCH || number + 1 == count {
            batch.post_all().await.expect("accepted");
        }
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
            b.iter_custom(|count| pair.one_way(count, None));
        });
        group.bench_function(format!("one way, JSON passed on, {name}"), |b| {
            b.iter_custom(|count| pair.one_way(count, Some(message(7).to_json().into_bytes())));
        });
        group.throughput(Throughput::Elements(BURST));
        group.bench_function(format!("in a row, typed orders, {name}"), |b| {
            b.iter_custom(|count| pair.burst(count, post));
        });
        group.bench_function(format!("in batches, typed orders, {name}"), |b| {
            b.iter_custom(|count| pair.burst(count, post_in_batches));
        });
        group.bench_function(format!("in batches, prepared frames, {name}"), |b| {
            b.iter_custom(|count| pair.burst(count, post_prepared));
        });
        pair.runtime.block_on(pair.server.shutdown());
    }
    group.finish();
}

criterion_group!(benches, making, endpoints);
criterion_main!(benches);
