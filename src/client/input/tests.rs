use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::*;

fn frame(json: &[u8]) -> Vec<u8> {
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(json);
    frame
}

/// Frames of many sizes, the largest beyond any buffer, and their JSON.
fn stream() -> (Vec<u8>, Vec<Vec<u8>>) {
    let sizes = (1..400).chain([70_000, 3, 300_000, 20, 65_536, 65_532, 20_000, 1]);
    let bodies: Vec<Vec<u8>> = sizes.map(|bytes| vec![bytes as u8; bytes]).collect();
    let stream = bodies.iter().flat_map(|body| frame(body)).collect();
    (stream, bodies)
}

/// A stream that gives at most `step` bytes a read.
struct Stepwise<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl AsyncRead for Stepwise<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.step.min(self.bytes.len()).min(into.remaining());
        let (now, later) = self.bytes.split_at(bytes);
        into.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn gives_the_frames_however_the_bytes_are_cut() {
    let (stream, bodies) = stream();
    for step in [1, 2, 3, 5, 77, 1_000, 4_096, 60_000, 1 << 20] {
        let bytes = &stream[..];
        let mut input = Input::new(Stepwise { bytes, step }, 1 << 20);
        for body in &bodies {
            let json = input.next().await.unwrap().unwrap();
            assert_eq!(json, body, "{step}");
        }
        assert!(input.next().await.is_none());
    }
}

#[tokio::test]
async fn an_end_within_a_frame_is_an_error() {
    for bytes in [&b"\0"[..], b"\0\0\0\x05", b"\0\0\0\x05{}"] {
        let mut input = Input::new(bytes, 100);
        let error = input.next().await.unwrap().unwrap_err();
        assert!(
            matches!(error, FrameCodecError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof)
        );
    }
    let mut input = Input::new(&b"\0\0\0\x05{}"[..], 4);
    let error = input.next().await.unwrap().unwrap_err();
    assert!(matches!(error, FrameCodecError::Frame(_)));
}

#[tokio::test]
async fn memory_follows_what_arrived_and_not_what_was_declared() {
    let mut input = Input::new(&[0x03, 0xFF, 0xFF, 0xFF, b'{'][..], 1 << 26);
    assert!(input.next().await.unwrap().is_err());
    assert!(input.buffer.allocated <= 2 * READ_BUFFER_BYTES);
    // Nor is the buffer of a large frame kept.
    let large = [frame(&vec![b'x'; 1 << 20]), frame(b"{}")].concat();
    let mut input = Input::new(&large[..], 1 << 26);
    while input.next().await.is_some() {
        assert!(input.buffer.allocated <= 3 << 20);
    }
    assert!(input.buffer.allocated <= 2 * READ_BUFFER_BYTES);
}

/// The bytes that `run` keeps alive are its own word; here they are as wide as the
/// addresses of its frames.
#[tokio::test]
async fn a_frame_that_is_kept_keeps_at_most_four_times_its_bytes() {
    let (stream, _) = stream();
    for step in [100, 5_000, 1 << 20] {
        let bytes = &stream[..];
        let mut input = Input::new(Stepwise { bytes, step }, 1 << 20);
        while input.read().await.unwrap() {
            let mut end = 0;
            while let Some(json) = input.buffer.frame_at(end).unwrap() {
                end = end_of(end, json);
            }
            let allocated = input.buffer.allocated;
            let run = input.buffer.take(0..end);
            assert!(end * PINNED_FACTOR >= run.pinned);
            assert!(run.pinned == allocated || run.pinned == end);
            let addresses = run.frames.as_ptr_range();
            let pinned = run.pinned;
            for json in run {
                let shares = addresses.contains(&json.as_ptr());
                assert_eq!(shares, json.len() * PINNED_FACTOR >= pinned);
            }
        }
    }
}
