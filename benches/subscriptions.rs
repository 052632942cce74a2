//! The cost of choosing among broadcasts: a hundred subscribers with a hundred
//! different symbols, against one receiver that gets everything.
//!
//! Bars go through sessions as a connection's do: checked by their shape, routed,
//! acknowledged, queued, and written into a sink, in the turns of a connection
//! that is kept busy. Throughput is in messages.

mod load;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire::limits::READ_BUFFER_BYTES;
use tickwire::router::{Router, RouterConfig};
use uuid::Uuid;

use load::endpoint::{Endpoint, control};
use load::stream;

const SYMBOLS: usize = 100;
/// As often as a connection reads before it writes, unless something is gathered
/// for subscribers, and before others get their turn.
const READS_PER_ROUND: usize = 4;
const READS_PER_TURN: usize = 8;

/// Windows as a thread keeps them: one that nothing holds a slice of is used
/// again at once.
#[derive(Default)]
struct Windows(VecDeque<BytesMut>);

impl Windows {
    fn take(&mut self) -> BytesMut {
        if self
            .0
            .back()
            .is_some_and(|last| last.capacity() >= READ_BUFFER_BYTES)
        {
            return self.0.pop_back().expect("it was looked at");
        }
        let mut first = self.0.pop_front().unwrap_or_default();
        if !first.try_reclaim(READ_BUFFER_BYTES) {
            if first.capacity() > 0 {
                self.0.push_front(first);
            }
            first = BytesMut::with_capacity(READ_BUFFER_BYTES);
        }
        first
    }

    fn give(&mut self, mut window: BytesMut) {
        window.clear();
        self.0.push_back(window);
    }
}

fn symbol(number: usize) -> String {
    format!("SYM{number:03}USDT")
}

/// Whole windows of bars of all symbols, mixed.
fn windows() -> Vec<BytesMut> {
    let mut bars = (0..).map(|number: usize| {
        let id = Uuid::new_v4();
        let symbol = symbol(number * 37 % SYMBOLS);
        let close = 10_000 + number % 9_973;
        format!(
            r#"{{"msg_id":"{id}","msg_type":"ingest_event","timestamp":"2026-01-03T12:41:10.000Z","source":"market-data-feed","target":null,"payload":{{"run_id":"run-123","event_type":"market_data","event_utc":"2026-01-03T12:41:10.000Z","payload_json":{{"symbol":"{symbol}","interval":"1m","open":45000.5,"high":45010.25,"low":44990.75,"close":{close}.5,"volume":12.375,"timestamp":"2026-01-03T12:41:00.000Z"}},"received_utc":"2026-01-03T12:41:10.100Z"}}}}"#
        )
        .into_bytes()
    });
    let mut windows = Vec::new();
    for _ in 0..READS_PER_TURN {
        let mut messages = Vec::new();
        let mut bytes = 0;
        while bytes < READ_BUFFER_BYTES - 1_024 {
            let bar: Vec<u8> = bars.next().expect("without end");
            bytes += bar.len() + 4;
            messages.push(bar);
        }
        windows.push(stream(&messages));
    }
    windows
}

fn hello(name: &str, register: bool) -> String {
    let payload = format!(r#"{{"protocol":1,"register":{register}}}"#);
    control("hello", name, &payload)
}

fn receivers(router: &Router, audience: &str) -> Vec<Endpoint> {
    let subscriber = |number| {
        let payload = format!(
            r#"{{"id":"bars","where":[{{"field":"/payload/payload_json/symbol","op":"eq","value":"{}"}}]}}"#,
            symbol(number)
        );
        let name = format!("subscriber {number}");
        let subscribe = control("subscribe", &name, &payload);
        Endpoint::saying(router, &[hello(&name, true), subscribe])
    };
    match audience {
        "to one receiver, everything" => {
            vec![Endpoint::saying(router, &[hello("receiver", true)])]
        }
        "to nobody" => Vec::new(),
        _ => (0..SYMBOLS).map(subscriber).collect(),
    }
}

fn fan_out(c: &mut Criterion) {
    let windows = windows();
    let messages = windows.iter().map(|window| count(window)).sum::<usize>();
    let mut group = c.benchmark_group("broadcast bars");
    group.throughput(Throughput::Elements(messages as u64));
    for audience in [
        "to one receiver, everything",
        "to 100 subscribers, a symbol each",
        "to nobody",
    ] {
        let router = Router::new(RouterConfig::default());
        let mut receivers = receivers(&router, audience);
        let mut sender = Endpoint::saying(&router, &[hello("market-data-feed", false)]);
        let mut pool = Windows::default();
        let mut turn = || -> (Duration, usize) {
            let mut spent = Duration::ZERO;
            let mut reads = (1..).zip(&windows).peekable();
            while reads.peek().is_some() {
                let mut round = sender.begin();
                for (read, bars) in reads.by_ref() {
                    let mut window = pool.take();
                    window.extend_from_slice(bars);
                    let begun = Instant::now();
                    round.read(&mut window);
                    spent += begun.elapsed();
                    pool.give(window);
                    let is_over = read % READS_PER_ROUND == 0 && !round.is_growing();
                    if is_over || read == READS_PER_TURN {
                        break;
                    }
                }
                let begun = Instant::now();
                drop(round);
                black_box(sender.discard_output());
                spent += begun.elapsed();
            }
            let begun = Instant::now();
            let bytes = receivers.iter_mut().map(Endpoint::discard_output).sum();
            (spent + begun.elapsed(), bytes)
        };
        // Each bar arrives once.
        let bytes: usize = windows.iter().map(|window| window.len()).sum();
        let expected = if audience == "to nobody" { 0 } else { bytes };
        assert_eq!(turn().1, expected);
        group.bench_function(audience, |b| {
            b.iter_custom(|iterations| (0..iterations).map(|_| turn().0).sum());
        });
    }
    group.finish();
}

fn count(mut window: &[u8]) -> usize {
    let mut frames = 0;
    while let Some((prefix, rest)) = window.split_first_chunk::<4>() {
        window = &rest[u32::from_be_bytes(*prefix) as usize..];
        frames += 1;
    }
    frames
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
