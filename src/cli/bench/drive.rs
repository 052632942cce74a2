//! The threads of a load: one writes, one reads the answers, one receives. The
//! caller's thread watches them.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tickwire::limits::WINDOW_BYTES;

use super::count::{Answers, Count, Deliveries};
use super::load::{DISTINCT, Load};
use crate::cli::frames::{Frames, is_timeout};
use crate::cli::peer::Peer;

/// Nothing arrived for so long: it won't any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Once all is answered, what will still be delivered arrives within this.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// How often the threads look around while nothing arrives.
const TICK: Duration = Duration::from_millis(50);

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// After so many messages.
    Messages(u64),
    /// After so long.
    Time(Duration),
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Messages written.
    pub sent: u64,
    /// What arrived at the receiver.
    pub deliveries: Deliveries<'a>,
    /// What arrived at the sender.
    pub answers: Answers<'a>,
    /// From the first write to the last delivery.
    pub delivering: Duration,
    /// From the first write to the last answer.
    pub answering: Duration,
    /// Whether it was given up because nothing arrived any more.
    pub stalled: bool,
    /// What broke, if anything did.
    pub broken: Vec<String>,
}

/// How far a load has come, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages written, once all are; until then all bits are set.
    total: AtomicU64,
    /// Messages that the receiver has seen.
    delivered: AtomicU64,
    /// Messages that have been answered.
    answered: AtomicU64,
}

impl Progress {
    const UNKNOWN: u64 = u64::MAX;

    /// Messages that the receiver has seen.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// How writing ended, once it has.
    fn end(&self) -> End {
        if self.total.load(Ordering::Acquire) == Self::UNKNOWN {
            End::Broken
        } else if self.is_complete(self.answered.load(Ordering::Relaxed)) {
            End::Answered
        } else {
            End::NotYet
        }
    }

    fn is_complete(&self, settled: u64) -> bool {
        settled >= self.total.load(Ordering::Acquire)
    }
}

/// Sends `load` from `sender` to `receiver` up to `extent`, and calls `watch`
/// from time to time.
pub fn run<'a>(
    load: &'a Load,
    sender: &'a mut Peer,
    receiver: &'a mut Peer,
    extent: Extent,
    mut watch: impl FnMut(&Progress, Duration),
) -> io::Result<Outcome<'a>> {
    for stream in [&sender.stream, &receiver.stream] {
        stream.set_read_timeout(Some(TICK))?;
    }
    let progress = Progress::default();
    progress.total.store(Progress::UNKNOWN, Ordering::Release);
    let mut deliveries = Deliveries::new(load, &receiver.server);
    let mut answers = Answers::new(load, &sender.server);
    let start = Instant::now();
    let mut vigil = Vigil::new([&sender.stream, &receiver.stream]);
    let (written, delivering, answering) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let sent = write(load, &sender.stream, extent, start);
            if let Ok(sent) = &sent {
                progress.total.store(*sent, Ordering::Release);
            }
            sent
        });
        let (delivered, answered) = (&progress.delivered, &progress.answered);
        let delivering =
            scope.spawn(|| read(&mut receiver.frames, &mut deliveries, delivered, &progress));
        let answering = scope.spawn(|| read(&mut sender.frames, &mut answers, answered, &progress));
        while !(delivering.is_finished() && answering.is_finished() && writing.is_finished()) {
            std::thread::sleep(TICK);
            watch(&progress, start.elapsed());
            vigil.look(&progress, writing.is_finished());
        }
        let joined = "a thread of the load doesn't panic";
        (
            writing.join().expect(joined),
            delivering.join().expect(joined),
            answering.join().expect(joined),
        )
    });
    let mut broken = Vec::new();
    broken.extend(written.as_ref().err().map(|e| format!("writing: {e}")));
    // After giving up, the end of a connection is our own doing.
    if vigil.given_up.is_none() {
        broken.extend(delivering.error.map(|e| format!("receiving: {e}")));
        broken.extend(answering.error.map(|e| format!("reading answers: {e}")));
    }
    let since_start = |last: Option<Instant>| last.map_or(Duration::ZERO, |last| last - start);
    Ok(Outcome {
        sent: written.unwrap_or(answers.settled()),
        delivering: since_start(delivering.last),
        answering: since_start(answering.last),
        deliveries,
        answers,
        stalled: vigil.given_up == Some(End::NotYet),
        broken,
    })
}

/// How writing ended, and what is still to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Messages are still being written, or wait for their answers.
    NotYet,
    /// All messages have been answered; refused ones will not be delivered.
    Answered,
    /// The connection broke.
    Broken,
}

impl End {
    /// For how long nothing may arrive.
    fn patience(self) -> Duration {
        match self {
            Self::NotYet => STALL_TIMEOUT,
            Self::Answered => SETTLE_TIME,
            Self::Broken => Duration::ZERO,
        }
    }
}

/// Notices when nothing moves any more, and then closes the connections, which
/// ends the threads.
struct Vigil<'a> {
    streams: [&'a TcpStream; 2],
    seen: (u64, u64),
    since: Instant,
    /// How things stood when it was given up.
    given_up: Option<End>,
}

impl<'a> Vigil<'a> {
    fn new(streams: [&'a TcpStream; 2]) -> Self {
        Self {
            streams,
            seen: (0, 0),
            since: Instant::now(),
            given_up: None,
        }
    }

    fn look(&mut self, progress: &Progress, all_written: bool) {
        let now = (
            progress.delivered(),
            progress.answered.load(Ordering::Relaxed),
        );
        if now != self.seen {
            self.seen = now;
            self.since = Instant::now();
        }
        let end = if all_written {
            progress.end()
        } else {
            End::NotYet
        };
        if self.given_up.is_none() && self.since.elapsed() > end.patience() {
            self.given_up = Some(end);
            for stream in self.streams {
                // Fails only if the connection is gone, which serves as well.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Writes the load round and round, 64 KiB at a time; how many messages that
/// were.
fn write(load: &Load, mut stream: &TcpStream, extent: Extent, start: Instant) -> io::Result<u64> {
    let mut rounds = 0;
    let mut at = 0;
    // How far the last round goes, once that is known.
    let mut end = None;
    if let Extent::Messages(messages) = extent {
        let full = messages / DISTINCT as u64;
        end = Some((
            full,
            (load.bytes_of(messages) - load.bytes_of(full * DISTINCT as u64)) as usize,
        ));
    }
    loop {
        let limit = match end {
            Some((last, limit)) if last == rounds => limit,
            _ => load.bytes.len(),
        };
        if at == limit {
            let sent = rounds * DISTINCT as u64 + load.messages_before(at) as u64;
            if end.is_some_and(|(last, _)| last == rounds) {
                return Ok(sent);
            }
            rounds += 1;
            at = 0;
            continue;
        }
        let chunk = &load.bytes[at..limit.min(at + WINDOW_BYTES)];
        stream.write_all(chunk)?;
        at += chunk.len();
        if let Extent::Time(time) = extent
            && end.is_none()
            && start.elapsed() >= time
        {
            // The message that was begun is still finished.
            end = Some((rounds, load.ends[load.messages_before(at) - 1]));
        }
    }
}

/// How reading ended.
struct Read {
    /// When something was read last.
    last: Option<Instant>,
    /// Why it ended early.
    error: Option<String>,
}

/// Counts frames until all have come, and shows the count in `seen` after each
/// read.
fn read(
    frames: &mut Frames<TcpStream>,
    counter: &mut impl Count,
    seen: &AtomicU64,
    progress: &Progress,
) -> Read {
    let mut last = None;
    let error = loop {
        match frames.fill() {
            Ok(0) => break Some("the server closed the connection".to_owned()),
            Ok(_) => last = Some(Instant::now()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => break Some(error.to_string()),
        }
        let lost = loop {
            match frames.next_at_hand() {
                Ok(Some(frame)) => counter.take(frame),
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        let settled = counter.settled();
        seen.store(settled, Ordering::Relaxed);
        if lost.is_some() || progress.is_complete(settled) {
            break lost;
        }
    };
    Read { last, error }
}
