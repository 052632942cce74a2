//! A thread that writes to a stream, so that nobody else waits for it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::text::Style;
use super::write_buffer::{Progress, WriteBuffer};

/// A stream with a thread of its own. However it fails, its users neither wait
/// nor fail. Clones share it.
#[derive(Debug, Clone)]
pub struct BackgroundWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells [`BackgroundWriter::finish`] that there is nothing to do.
    rest: Condvar,
    style: Style,
}

#[derive(Debug, Default)]
struct State {
    backlog: Backlog,
    /// The thread has written all, and waits.
    is_idle: bool,
    /// Nobody reads the stream, as the last write found.
    is_gone: bool,
    /// No more is to come: everything is due, and then the thread ends.
    is_ending: bool,
}

/// The event that ended a pause.
enum PauseEnd {
    Delay,
    /// [`BackgroundWriter::end`] was called.
    NearEnd,
    /// That was called before, and nobody reads the stream.
    End,
}

impl BackgroundWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(out: impl Write + Send + 'static, style: Style) -> io::Result<Self> {
        let writer = Self(Arc::new(Shared {
            style,
            ..Shared::default()
        }));
        let shared = Arc::clone(&writer.0);
        thread::Builder::new()
            .name("tickwire-log".to_owned())
            .spawn(move || shared.write_to(out))?;
        Ok(writer)
    }

    /// Calls `act` with the lines to be written. It must be short: the path of a
    /// message may wait for it.
    pub fn with<T>(&self, act: impl FnOnce(&mut Backlog) -> T) -> T {
        let mut state = self.0.lock();
        let result = act(&mut state.backlog);
        if state.is_idle && !state.is_ending {
            state.is_idle = false;
            self.0.work.notify_all();
        }
        result
    }

    /// Notes that no more is to come: the thread ends once all is written.
    pub fn end(&self) {
        let mut state = self.0.lock();
        if !state.is_ending {
            state.is_ending = true;
            state.is_idle = false;
            // One more try finds out.
            state.is_gone = false;
            self.0.work.notify_all();
        }
    }

    /// Ends it. Waits at most for `timeout`, until all is written or nobody reads.
    pub fn finish(&self, timeout: Duration) {
        self.end();
        let is_busy = |state: &mut State| !state.is_idle && !state.is_gone;
        let state = self.0.lock();
        drop(self.0.rest.wait_timeout_while(state, timeout, is_busy));
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write) {
        let mut buffer = WriteBuffer::default();
        while self.next(&mut buffer) {
            while let Progress::Failed { delay, is_gone } = buffer.write(&mut out) {
                match self.pause(delay, is_gone) {
                    PauseEnd::Delay => {}
                    PauseEnd::NearEnd => buffer.hurry(),
                    PauseEnd::End => return,
                }
            }
            self.lock().is_gone = false;
        }
    }

    /// Waits for the next lines to be written; `false` at the end.
    fn next(&self, buffer: &mut WriteBuffer) -> bool {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = (!state.is_ending).then_some(now);
            state.backlog.fill(buffer, self.style, due);
            if !buffer.is_empty() {
                return true;
            }
            state.is_idle = true;
            self.rest.notify_all();
            if state.is_ending {
                return false;
            }
            let due = state.backlog.due();
            state = self.wait(state, due.map(|due| due.saturating_duration_since(now)));
        }
    }

    /// Waits for `delay` before the next try, or until the end is near.
    fn pause(&self, delay: Duration, is_gone: bool) -> PauseEnd {
        let mut state = self.lock();
        let was_ending = state.is_ending;
        state.is_gone = is_gone;
        self.rest.notify_all();
        if is_gone && was_ending {
            return PauseEnd::End;
        }
        let until = Instant::now() + delay;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.is_ending != was_ending {
                return PauseEnd::NearEnd;
            }
            if left.is_zero() {
                return PauseEnd::Delay;
            }
            state = self.wait(state, Some(left));
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        most: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let waited = self.work.wait_timeout(state, most.unwrap_or(Duration::MAX));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Locks, also after a panic elsewhere: the log must tell of it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// The time that a test waits in vain before it fails.
    const DEADLINE: Duration = Duration::from_secs(30);
    const AT_ONCE: Duration = Duration::ZERO;

    /// A stream as one with a slow reader: every call waits for a result that the
    /// test decides.
    struct Stalled {
        results: Receiver<io::Result<()>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the test has ended nobody decides.
            self.results.recv().unwrap_or(Ok(()))?;
            let _ = self.taken.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        writer: BackgroundWriter,
        results: Sender<io::Result<()>>,
        taken: Receiver<Vec<u8>>,
    }

    fn start() -> Test {
        let (results, decided) = mpsc::channel();
        let (taken_by, taken) = mpsc::channel();
        let stalled = Stalled {
            results: decided,
            taken: taken_by,
        };
        Test {
            writer: BackgroundWriter::start(stalled, Style::Plain).unwrap(),
            results,
            taken,
        }
    }

    impl Test {
        fn push(&self, line: &str) {
            self.writer.with(|backlog| backlog.push(line.as_bytes()));
        }

        fn taken(&self) -> String {
            let bytes = self.taken.recv_timeout(DEADLINE).expect("it writes");
            String::from_utf8(bytes).unwrap()
        }
    }

    #[test]
    fn nobody_waits_for_a_stream_that_takes_nothing() {
        let test = start();
        for number in 0..30_000 {
            test.push(&format!("line {number}, which nobody reads for now\n"));
        }
        test.writer.finish(AT_ONCE);
        // A reader that starts late gets the lines kept, and the sum of the rest.
        drop(test.results);
        let mut all = String::new();
        while let Ok(bytes) = test.taken.recv_timeout(DEADLINE) {
            all.push_str(str::from_utf8(&bytes).unwrap());
        }
        let (sums, kept): (Vec<_>, Vec<_>) =
            (all.lines()).partition(|line| line.contains("tickwire::log: "));
        assert!(kept[0].starts_with("line 0,"), "{}", kept[0]);
        let missing = |sum: &&str| {
            let text = sum.split("tickwire::log: ").nth(1)?;
            text.split(' ').next()?.parse::<usize>().ok()
        };
        let missing: usize = sums.iter().filter_map(missing).sum();
        assert!(missing > 0);
        assert_eq!(kept.len() + missing, 30_000, "{sums:?}");
    }

    #[test]
    fn the_end_waits_for_what_is_being_written() {
        let test = start();
        test.push("one\n");
        test.results.send(Ok(())).unwrap();
        test.writer.finish(DEADLINE);
        assert_eq!(test.taken(), "one\n");
    }

    #[test]
    fn the_end_does_not_wait_where_nobody_reads() {
        let test = start();
        test.push("one\n");
        for _ in 0..2 {
            // Before the end, and the one more try that the end makes.
            let gone = io::ErrorKind::BrokenPipe.into();
            test.results.send(Err(gone)).unwrap();
        }
        // Without a deadline: a test that waits is a test that fails.
        test.writer.finish(Duration::MAX);
    }

    #[test]
    fn what_failed_is_written_once_it_can_be() {
        for kind in [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::StorageFull,
            io::ErrorKind::WouldBlock,
        ] {
            let test = start();
            test.push("one\n");
            for result in [Err(kind.into()), Err(kind.into()), Ok(()), Ok(())] {
                test.results.send(result).unwrap();
            }
            assert_eq!(test.taken(), "one\n");
            test.push("two\n");
            assert_eq!(test.taken(), "two\n");
        }
    }
}
