//! The allocations that a message costs, from its bytes to its ack: next to none
//! once the buffers are warm. A program of its own, for it counts the calls of
//! its allocator.

#![allow(missing_docs, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::time::Duration;

use bytes::BytesMut;
use tickwire::router::{Now, ReadScratch, Router, RouterConfig, Session};
use tickwire::wire::write_frame;
use tickwire_load::messages::{Example, Selection, Target, variants};

struct Counting;

thread_local! {
    /// Of this thread, for other tests run beside it.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: everything is left to the system's allocator; only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn count() {
    // A thread that ends has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

/// Frames in a read: the fewest for which the promise holds.
const FRAMES_A_READ: usize = 64;
/// Allocations a message at most, in the steady state.
const ALLOCATIONS_A_MESSAGE: f64 = 0.05;

/// A session that is fed by hand; its output is thrown away.
struct Endpoint {
    session: Session,
    workspace: ReadScratch,
}

impl Endpoint {
    fn saying(router: &Router, hello: &str) -> Self {
        let mut endpoint = Self {
            session: router.connect(),
            workspace: ReadScratch::default(),
        };
        let mut window = BytesMut::new();
        write_frame(&mut window, hello.as_bytes()).unwrap();
        endpoint.receive(&mut window);
        endpoint.discard_output();
        endpoint
    }

    fn receive(&mut self, window: &mut BytesMut) {
        let now = Now {
            mono: Duration::from_secs(1),
            unix_ms: 1_767_444_060_000,
        };
        let step = self.session.receive(&mut self.workspace, window, now);
        assert!(step.halt.is_none() && window.is_empty());
    }

    fn discard_output(&mut self) -> usize {
        let mut all = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
        let written = self.session.transmit(usize::MAX, &mut all);
        written.unwrap().0
    }
}

fn hello(source: &str, payload: &str) -> String {
    format!(
        r#"{{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"hello","timestamp":"2026-01-03T12:41:00Z","source":"{source}","payload":{{"protocol":1,{payload}}}}}"#
    )
}

/// Fills `window` with the messages of a read: as in the server it is used again
/// when nothing holds it.
fn fill(window: &mut BytesMut, messages: &[impl AsRef<[u8]>], read: usize) {
    window.clear();
    if !window.try_reclaim(64 * 1024) {
        *window = BytesMut::with_capacity(64 * 1024);
    }
    let first = read % 20 * FRAMES_A_READ;
    for json in &messages[first..first + FRAMES_A_READ] {
        write_frame(window, json.as_ref()).unwrap();
    }
}

/// Allocations a message of reads that were taken, delivered and acknowledged.
fn allocations_a_message(selection: &Selection) -> f64 {
    const WARM_READS: usize = 400;
    const READS: usize = 200;

    let router = Router::new(RouterConfig::default());
    let names =
        r#""names":["api-gateway","log-aggregator","health-monitor","quantower-connector"]"#;
    let mut receiver = Endpoint::saying(&router, &hello("everybody", names));
    let mut sender = Endpoint::saying(&router, &hello("load", r#""register":false"#));
    let messages = variants(selection, FRAMES_A_READ * 20, None, Target::Keep);
    let mut window = BytesMut::new();
    let mut counted = 0;
    for read in 0..WARM_READS + READS {
        fill(&mut window, &messages, read);
        let bytes = window.len();
        let before = ALLOCATIONS.get();
        sender.receive(&mut window);
        assert!(sender.discard_output() > 0, "acks");
        assert_eq!(receiver.discard_output(), bytes, "all is delivered");
        if read >= WARM_READS {
            counted += ALLOCATIONS.get() - before;
        }
    }
    counted as f64 / (READS * FRAMES_A_READ) as f64
}

/// Symbols of bars, and subscribers that want one each.
const SYMBOLS: usize = 8;

/// Bars of all symbols, mixed.
fn bars(count: usize) -> Vec<String> {
    let bar = |number: usize| {
        let symbol = number * 5 % SYMBOLS;
        let close = 10_000 + number;
        format!(
            r#"{{"msg_id":"550e8400-e29b-41d4-a716-4466{number:08}","msg_type":"ingest_event","timestamp":"2026-01-03T12:41:10.000Z","source":"market-data-feed","target":null,"payload":{{"run_id":"run-123","event_type":"market_data","event_utc":"2026-01-03T12:41:10.000Z","payload_json":{{"symbol":"SYM{symbol}USDT","interval":"1m","open":45000.5,"high":45010.25,"low":44990.75,"close":{close}.5,"volume":12.375,"timestamp":"2026-01-03T12:41:00.000Z"}},"received_utc":"2026-01-03T12:41:10.100Z"}}}}"#
        )
    };
    (0..count).map(bar).collect()
}

fn subscribe(source: &str, payload: &str) -> String {
    format!(
        r#"{{"msg_id":"550e8400-e29b-41d4-a716-446655440001","msg_type":"subscribe","timestamp":"2026-01-03T12:41:00Z","source":"{source}","payload":{{"id":"bars",{payload}}}}}"#
    )
}

/// Allocations a broadcast of which each subscriber gets its share; with `latest`
/// one more subscriber gets the newest of each symbol.
fn allocations_a_broadcast(latest: bool) -> f64 {
    const WARM_READS: usize = 400;
    const READS: usize = 200;

    let router = Router::new(RouterConfig::default());
    let subscriber = |name: &str, payload: &str| {
        let mut endpoint = Endpoint::saying(&router, &hello(name, r#""register":false"#));
        let mut window = BytesMut::new();
        write_frame(&mut window, subscribe(name, payload).as_bytes()).unwrap();
        endpoint.receive(&mut window);
        endpoint.discard_output();
        endpoint
    };
    let mut subscribers: Vec<Endpoint> = (0..SYMBOLS)
        .map(|symbol| {
            let payload = format!(
                r#""where":[{{"field":"/payload/payload_json/symbol","op":"eq","value":"SYM{symbol}USDT"}}]"#
            );
            subscriber(&format!("subscriber-{symbol}"), &payload)
        })
        .collect();
    let mut newest = latest.then(|| {
        let payload = r#""mode":"latest","key":"/payload/payload_json/symbol""#;
        subscriber("newest", payload)
    });
    let mut sender = Endpoint::saying(&router, &hello("feed", r#""register":false"#));
    let messages = bars(FRAMES_A_READ * 20);
    let mut window = BytesMut::new();
    let mut counted = 0;
    for read in 0..WARM_READS + READS {
        fill(&mut window, &messages, read);
        let bytes = window.len();
        let before = ALLOCATIONS.get();
        sender.receive(&mut window);
        assert!(sender.discard_output() > 0, "acks");
        let delivered = subscribers.iter_mut().map(Endpoint::discard_output);
        assert_eq!(delivered.sum::<usize>(), bytes, "each to one of them");
        if let Some(newest) = &mut newest {
            assert!(newest.discard_output() > 0, "the newest of each");
        }
        if read >= WARM_READS {
            counted += ALLOCATIONS.get() - before;
        }
    }
    counted as f64 / (READS * FRAMES_A_READ) as f64
}

/// Messages of a batch between two endpoints of a server.
#[cfg(feature = "server")]
const BATCH: u64 = 128;

#[cfg(feature = "server")]
#[test]
fn a_prepared_frame_between_endpoints_costs_one_allocation() {
    use tickwire::Server;
    use tickwire::events::Event;
    use tickwire::wire::{Message, Order, Side, ValidFrame};

    const ROUNDS: usize = 200;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let (counted, received) = runtime.block_on(async {
        let server = Server::builder().listen("127.0.0.1:0").start().await;
        let server = server.expect("a free port");
        let (sender, _) = server.attach("a").expect("a free name");
        let (_, mut receiver) = server.attach("b").expect("a free name");
        let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
        let message = Message::order("a", "b", "run-123", order).expect("names");
        let frame = ValidFrame::new(&message).expect("valid");
        let mut batch = sender.batch();
        let (mut counted, mut received) = (0, 0);
        for round in 0..ROUNDS {
            let before = ALLOCATIONS.get();
            for _ in 0..BATCH {
                batch.push(&frame).expect("small");
            }
            batch.post_all().await.expect("accepted");
            for _ in 0..BATCH {
                let event = receiver.receive().await;
                assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
            }
            if round >= ROUNDS / 2 {
                counted += ALLOCATIONS.get() - before;
                received += BATCH;
            }
        }
        (counted, received)
    });
    let allocations = counted as f64 / received as f64;
    println!("{allocations:.4} allocations a prepared frame");
    // The frame that is received, and little beside it.
    assert!(allocations <= 1.0 + ALLOCATIONS_A_MESSAGE, "{allocations}");
}

#[test]
fn a_broadcast_to_subscribers_costs_next_to_no_allocation() {
    for latest in [false, true] {
        let allocations = allocations_a_broadcast(latest);
        println!("{allocations:.4} allocations a broadcast, latest: {latest}");
        assert!(
            allocations <= ALLOCATIONS_A_MESSAGE,
            "{allocations} allocations a broadcast, latest: {latest}"
        );
    }
}

#[test]
fn a_message_costs_next_to_no_allocation() {
    for selection in [Selection::One(Example::Order), Selection::Mix] {
        let allocations = allocations_a_message(&selection);
        println!("{allocations:.4} allocations a message: {selection:?}");
        assert!(
            allocations <= ALLOCATIONS_A_MESSAGE,
            "{allocations} allocations a message: {selection:?}"
        );
    }
}
