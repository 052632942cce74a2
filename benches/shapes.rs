//! The checks of a frame, by a learned shape and by the parser: the same
//! rules, the same messages, nanoseconds a message.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::wire::internal::{Hints, Shapes};
use tickwire::wire::{Parser, Validation, write_frame};
use tickwire_load::messages::{Example, Selection, Target, variants};

const DISTINCT: usize = 1_000;

/// Frames side by side, as a read has them.
struct Stream {
    bytes: Vec<u8>,
    frames: Vec<std::ops::Range<usize>>,
}

impl Stream {
    fn of(selection: &Selection) -> Self {
        let mut stream = Self {
            bytes: Vec::new(),
            frames: Vec::new(),
        };
        for json in variants(selection, DISTINCT, None, Target::Keep) {
            write_frame(&mut stream.bytes, &json).expect("an example fits a frame");
            let end = stream.bytes.len();
            stream.frames.push(end - json.len()..end);
        }
        stream
    }
}

fn by_shape(stream: &Stream, shapes: &Shapes, hints: &mut Hints) -> usize {
    let table = shapes.load();
    let recognized = |frame: &std::ops::Range<usize>| {
        black_box(hints.recognize(&table, &stream.bytes[frame.start..], frame.len(), 0)).is_some()
    };
    stream
        .frames
        .iter()
        .map(recognized)
        .filter(|yes| *yes)
        .count()
}

fn by_parser(stream: &Stream, parser: &mut Parser) {
    for frame in &stream.frames {
        let json = &stream.bytes[frame.clone()];
        black_box(parser.parse(json).expect("the examples are valid"));
    }
}

/// Learns until all of the stream is recognised.
fn learn(stream: &Stream, shapes: &Shapes, parser: &mut Parser, hints: &mut Hints) {
    for frame in &stream.frames {
        let table = shapes.load();
        let bytes = &stream.bytes[frame.start..];
        if hints.recognize(&table, bytes, frame.len(), 0).is_none() {
            let json = &bytes[..frame.len()];
            let header = parser.parse(json).expect("the examples are valid");
            hints.note(shapes.learn(json, &header, 0), frame.len());
        }
    }
}

fn checks(c: &mut Criterion) {
    let each = Example::ALL.map(|example| (example.name(), Selection::One(example)));
    let mut group = c.benchmark_group("check");
    let others = [
        ("mix", Selection::Mix),
        ("escaped order", Selection::EscapedOrder),
    ];
    for (name, selection) in each.into_iter().chain(others) {
        let stream = Stream::of(&selection);
        let mut parser = Parser::new(Validation::Payload);
        let (shapes, mut hints) = (Shapes::new(Validation::Payload), Hints::default());
        learn(&stream, &shapes, &mut parser, &mut hints);
        assert_eq!(by_shape(&stream, &shapes, &mut hints), DISTINCT, "{name}");
        group.throughput(Throughput::Elements(DISTINCT as u64));
        group.bench_function(BenchmarkId::new("shape", name), |b| {
            b.iter(|| by_shape(&stream, &shapes, &mut hints));
        });
        group.bench_function(BenchmarkId::new("parser", name), |b| {
            b.iter(|| by_parser(&stream, &mut parser));
        });
    }
    group.finish();
}

criterion_group!(benches, checks);
criterion_main!(benches);
