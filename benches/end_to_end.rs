//! A message's whole way over loopback TCP: sent, checked, routed, delivered
//! and acknowledged, with the server in this process.

mod load;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire::Server;
use tickwire::wire::{FrameState, frame_state};
use tickwire_load::messages::Example;
use uuid::Uuid;

use load::{stream, variants};

/// Messages sent at once.
const BURST: usize = 2_000;

fn connect(address: SocketAddr, source: &str, register: bool) -> TcpStream {
    let mut peer = TcpStream::connect(address).expect("the server listens");
    peer.set_nodelay(true).expect("a TCP socket");
    let hello = format!(
        r#"{{"msg_id":"{}","msg_type":"hello","timestamp":"2026-01-03T12:41:00Z","source":"{source}","payload":{{"protocol":1,"register":{register}}}}}"#,
        Uuid::new_v4()
    );
    let hello = stream(&[hello.into_bytes()].to_vec());
    peer.write_all(&hello).expect("the server reads");
    read_frames(&mut peer, 1, &mut Vec::new());
    peer
}

/// Reads until `count` frames came.
fn read_frames(peer: &mut TcpStream, count: usize, buffer: &mut Vec<u8>) {
    let mut chunk = vec![0; 64 * 1024];
    let mut seen = 0;
    buffer.clear();
    while seen < count {
        let bytes = peer.read(&mut chunk).expect("the server writes");
        assert!(bytes > 0, "the server closed the connection");
        buffer.extend_from_slice(&chunk[..bytes]);
        let mut at = 0;
        while let Ok(FrameState::Complete { len }) = frame_state(&buffer[at..], 1024 * 1024) {
            at += 4 + len;
            seen += 1;
        }
        buffer.drain(..at);
    }
    assert_eq!(seen, count);
}

fn end_to_end(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime
        .block_on(Server::builder().listen("127.0.0.1:0").start())
        .expect("a server on a free port");
    let mut receiver = connect(server.local_addr(), "api-gateway", true);
    let mut sender = connect(server.local_addr(), "quantower-connector", false);
    let burst = stream(&variants(Example::Order, BURST));
    let one = stream(&variants(Example::Order, 1));

    let mut group = c.benchmark_group("end to end over TCP");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("a burst of orders, delivered and acknowledged", |b| {
        b.iter(|| {
            thread::scope(|scope| {
                scope.spawn(|| read_frames(&mut receiver, BURST, &mut Vec::new()));
                let mut writer = sender.try_clone().expect("a second handle");
                let burst = &burst;
                scope.spawn(move || writer.write_all(burst).expect("the server reads"));
                read_frames(&mut sender, BURST, &mut Vec::new());
            });
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut buffer = Vec::new();
    group.bench_function("one order at a time, until it is acknowledged", |b| {
        b.iter(|| {
            sender.write_all(&one).expect("the server reads");
            read_frames(&mut sender, 1, &mut buffer);
            read_frames(&mut receiver, 1, &mut buffer);
        });
    });
    group.finish();
    runtime.block_on(server.shutdown());
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
