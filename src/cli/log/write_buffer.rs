//! The lines being written, and the delay after a stream has failed.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use tickwire::limits::{LOG_RETRY_DELAY_FIRST, LOG_RETRY_DELAY_MAX};

/// Bytes that are written at once. A pipe takes so many whole, so that lines of
/// other processes can't get in between.
pub const WRITE_BYTES: usize = 4096;

/// The lines being written. It keeps the bytes that a stream has not taken, so
/// nothing is lost or written twice.
#[derive(Debug)]
pub struct WriteBuffer {
    bytes: Vec<u8>,
    written: usize,
    delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// It is to be tried again after `delay`.
    Failed {
        delay: Duration,
        /// The stream has no reader, and perhaps never will.
        is_gone: bool,
    },
}

impl Default for WriteBuffer {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(WRITE_BYTES),
            written: 0,
            delay: LOG_RETRY_DELAY_FIRST,
        }
    }
}

impl WriteBuffer {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes that may be added. The first line may have any length.
    pub fn room(&self) -> usize {
        match self.bytes.len() {
            0 => usize::MAX,
            held => WRITE_BYTES.saturating_sub(held),
        }
    }

    /// Adds a line. To be called before any of it is written.
    pub fn add(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
    }

    pub fn write(&mut self, out: &mut impl Write) -> Progress {
        while let Some(rest) = self.bytes.get(self.written..)
            && !rest.is_empty()
        {
            match out.write(rest) {
                Ok(0) => return self.failed(ErrorKind::WriteZero),
                Ok(bytes) => {
                    self.written += bytes;
                    self.delay = LOG_RETRY_DELAY_FIRST;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.failed(error.kind()),
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(WRITE_BYTES);
        self.written = 0;
        Progress::Done
    }

    /// Tries soon again, however often it has failed before.
    pub fn hurry(&mut self) {
        self.delay = LOG_RETRY_DELAY_FIRST;
    }

    fn failed(&mut self, kind: ErrorKind) -> Progress {
        let delay = self.delay;
        self.delay = (delay * 2).min(LOG_RETRY_DELAY_MAX);
        Progress::Failed {
            delay,
            is_gone: kind == ErrorKind::BrokenPipe,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use libc::{EAGAIN, EINTR, EIO, ENOSPC, EPIPE};

    use super::*;

    /// Takes so many bytes at each call, or fails with an error of the system.
    struct Script {
        results: VecDeque<Result<usize, i32>>,
        taken: Vec<u8>,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.results.pop_front().unwrap_or(Ok(usize::MAX)) {
                Ok(most) => {
                    let bytes = &bytes[..most.min(bytes.len())];
                    self.taken.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
                Err(code) => Err(io::Error::from_raw_os_error(code)),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn script(results: impl IntoIterator<Item = Result<usize, i32>>) -> Script {
        Script {
            results: results.into_iter().collect(),
            taken: Vec::new(),
        }
    }

    fn delay(progress: Progress) -> Duration {
        match progress {
            Progress::Failed { delay, .. } => delay,
            Progress::Done => panic!("nothing failed"),
        }
    }

    #[test]
    fn whatever_fails_all_bytes_are_written_once_and_in_order() {
        for code in [EPIPE, EIO, ENOSPC, EAGAIN] {
            let mut out = script([Ok(2), Err(code), Err(code), Ok(0), Ok(1), Err(EINTR)]);
            let mut buffer = WriteBuffer::default();
            buffer.add(b"one\n");
            buffer.add(b"two\n");
            for failures in [code, code, 0] {
                let Progress::Failed { is_gone, .. } = buffer.write(&mut out) else {
                    panic!("it failed");
                };
                assert_eq!(is_gone, failures == EPIPE);
                assert!(!buffer.is_empty());
            }
            assert_eq!(buffer.write(&mut out), Progress::Done);
            assert_eq!(out.taken, b"one\ntwo\n");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn delays_grow_up_to_a_bound_and_begin_anew_once_it_flows() {
        let mut out = script(
            [ENOSPC; 20]
                .map(Err)
                .into_iter()
                .chain([Ok(1), Err(ENOSPC)]),
        );
        let mut buffer = WriteBuffer::default();
        buffer.add(b"line\n");
        let delays: Vec<_> = (0..20).map(|_| delay(buffer.write(&mut out))).collect();
        assert_eq!(delays[0], LOG_RETRY_DELAY_FIRST);
        assert!(delays.is_sorted());
        assert_eq!(delays[19], LOG_RETRY_DELAY_MAX);
        assert_eq!(delay(buffer.write(&mut out)), LOG_RETRY_DELAY_FIRST);
        assert_eq!(buffer.write(&mut out), Progress::Done);
    }

    #[test]
    fn lines_are_gathered_up_to_what_a_pipe_takes_whole() {
        let mut buffer = WriteBuffer::default();
        assert_eq!(buffer.room(), usize::MAX);
        buffer.add(&[b'x'; 4000]);
        assert_eq!(buffer.room(), 96);
        buffer.add(&[b'x'; 96]);
        assert_eq!(buffer.room(), 0);
    }
}
