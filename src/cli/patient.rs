//! Streams that some other process has set to fail instead of waiting.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(5);

/// A stream that waits for room, though somebody has set `O_NONBLOCK`: all
/// processes at a terminal or a pipe share that flag.
#[derive(Debug)]
pub struct PatientWriter<W>(pub W);

impl<W: Write> Write for PatientWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        patiently(|| self.0.flush())
    }
}

fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(DELAY),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a byte at every second call, and has no room at the others.
    #[derive(Debug, Default)]
    struct Slow {
        calls: usize,
        taken: Vec<u8>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..1]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.calls += 1;
            match self.calls % 2 {
                1 => Err(ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_stream_without_room_is_waited_for() {
        let mut out = PatientWriter(Slow::default());
        out.write_all(b"line\n").unwrap();
        out.flush().unwrap();
        assert_eq!(out.0.taken, b"line\n");
    }
}
