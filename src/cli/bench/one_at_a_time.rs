//! One message at a time: each is sent when the one before has arrived and been
//! answered. Blocking sockets and one thread, so that what is measured is what
//! any client sees.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tickwire::limits::FRAME_PREFIX_BYTES;

use super::arguments::OneAtATime;
use super::count::{Acks, Answers, Deliveries};
use super::drive::Extent;
use super::latency::Latency;
use super::load::{Lane, Load, names};
use super::messages::Selection;
use super::progress;
use super::report::{Report, number, per_second};
use super::selection;
use super::setup::{CpuClock, Setup, name};
use crate::cli::Failure;
use crate::cli::frames::{Frames, FramesError, is_timeout};
use crate::cli::peer::{self, Claim, Peer};

/// For so long a message may be under way.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// What arrives beside is looked at for so long when something is missing.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// The two ends, and what has been seen of each.
struct Exchange<'a> {
    lane: &'a Lane,
    sender: Peer,
    receiver: Peer,
    answers: Answers<'a>,
    deliveries: Deliveries<'a>,
    acks: Acks,
    sent: u64,
    arrival: Latency,
    both: Latency,
}

/// Why there are no further messages.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("message {0} did not arrive within {STALL_TIMEOUT:?}")]
    Missing(u64),
    #[error("message {0} was not answered within {STALL_TIMEOUT:?}")]
    Unanswered(u64),
    #[error("the server closed the connection")]
    Closed,
    #[error(transparent)]
    Frames(FramesError),
    #[error("writing: {0}")]
    Write(#[from] std::io::Error),
}

/// Runs `one-at-a-time`.
pub fn run(arguments: &OneAtATime) -> Result<Report, Failure> {
    let (message, acks) = (&arguments.messages.message, arguments.messages.acks);
    let selection = selection::of(message, false).map_err(Failure::usage)?;
    let setup = Setup::new(arguments.common.to.as_deref(), 4)?;
    let extent = arguments.extent.extent();
    let plan = Plan {
        message,
        acks,
        extent,
    };
    measure(&plan, &selection, &setup, || progress::bar(extent))
}

/// What is sent, and for how long.
pub struct Plan<'a> {
    /// What, as it was asked for.
    pub message: &'a str,
    /// What acks the sender asks for.
    pub acks: Acks,
    /// When it ends.
    pub extent: Extent,
}

/// Connects, and does what is planned. The bar begins when the load does.
pub fn measure(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
    bar: impl FnOnce() -> ProgressBar,
) -> Result<Report, Failure> {
    let &Plan {
        message,
        acks,
        extent,
    } = plan;
    let (senders, receivers) = (names("tx", 1), names("rx", 1));
    let load = Load::new(selection, &senders, &receivers, false);
    let connect = |text: &str, acks| setup.connect(&name(text), acks);
    let receiver = connect(&receivers[0], Acks::Each).map_err(Failure::failed)?;
    let sender = connect(&senders[0], acks).map_err(Failure::failed)?;
    for stream in [&receiver.stream, &sender.stream] {
        stream
            .set_read_timeout(Some(STALL_TIMEOUT))
            .map_err(Failure::failed)?;
    }
    let (fence_id, fence) = peer::hello(&name(&senders[0]), Claim::Source);
    let mut exchange = Exchange {
        lane: &load.lanes[0],
        answers: Answers::new(&load, 0, &sender.server, acks, fence_id),
        deliveries: Deliveries::new(&load, 0, &receiver.server),
        sender,
        receiver,
        acks,
        sent: 0,
        arrival: Latency::new(),
        both: Latency::new(),
    };

    let bar = bar();
    let clock = CpuClock::start(setup);
    let start = Instant::now();
    let result = exchange.exchange_all(extent, start, &bar);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = clock.stop();
    bar.finish_and_clear();
    let broken = result.and_then(|()| exchange.await_fence(&fence)).err();

    let title = format!(
        "one-at-a-time: {} messages ({message}) of {:.0} bytes, acks {}, through {}",
        number(exchange.sent),
        load.frame_bytes_mean() - FRAME_PREFIX_BYTES as f64,
        acks.as_str(),
        setup.shown()
    );
    let mut report = Report::new("one-at-a-time", title);
    report.option("server", setup.option());
    report.option("message", message);
    report.option("acks", acks.as_str());
    progress::options(&mut report, extent);
    exchange.report(&mut report, seconds);
    report.cpu(cpu, exchange.sent, "message");
    report.faults.extend(broken.map(|error| error.to_string()));
    Ok(report)
}

impl Exchange<'_> {
    fn exchange_all(
        &mut self,
        extent: Extent,
        start: Instant,
        bar: &ProgressBar,
    ) -> Result<(), Broken> {
        let mut begin = 0;
        let mut index = 0;
        loop {
            let is_over = match extent {
                Extent::Messages(messages) => self.sent >= messages,
                Extent::Time(time) => start.elapsed() >= time,
            };
            if is_over {
                return Ok(());
            }
            let end = self.lane.ends[index];
            self.exchange(begin..end)?;
            (begin, index) = (end, index + 1);
            if index == self.lane.messages() {
                (begin, index) = (0, 0);
            }
            if self.sent.is_multiple_of(1_000) {
                progress::show(bar, extent, self.sent, start.elapsed());
            }
        }
    }

    fn exchange(&mut self, frame: std::ops::Range<usize>) -> Result<(), Broken> {
        let number = self.sent;
        self.sent += 1;
        let is_answered = self.acks != Acks::None
            && self.lane.answered_of(number + 1) > self.lane.answered_of(number);
        let settled = self.answers.settled() + u64::from(is_answered);
        let start = Instant::now();
        self.sender.stream.write_all(&self.lane.bytes[frame])?;
        let deliveries = &mut self.deliveries;
        let arrived = until(&mut self.receiver.frames, |frame| {
            let delivery = deliveries.take(frame);
            delivery.is_some_and(|delivery| delivery.number == number)
        });
        if let Err(error) = arrived {
            // The server may have said why.
            self.look_at_answers();
            return Err(error.unwrap_or(Broken::Missing(number)));
        }
        self.arrival.record(start.elapsed());
        if is_answered {
            let answers = &mut self.answers;
            let answered = until(&mut self.sender.frames, |frame| {
                answers.take(frame);
                answers.settled() >= settled
            });
            answered.map_err(|error| error.unwrap_or(Broken::Unanswered(number)))?;
            self.both.record(start.elapsed());
        }
        Ok(())
    }

    /// Reads the answers that have come.
    fn look_at_answers(&mut self) {
        // Only to word a failure: if it can't be waited, nothing is added.
        let _ = self.sender.stream.set_read_timeout(Some(LAST_LOOK));
        let answers = &mut self.answers;
        let _ = until(&mut self.sender.frames, |frame| {
            answers.take(frame);
            false
        });
    }

    /// Waits for the answers to all that was sent.
    fn await_fence(&mut self, fence: &[u8]) -> Result<(), Broken> {
        self.sender.stream.write_all(fence)?;
        let answers = &mut self.answers;
        let fenced = until(&mut self.sender.frames, |frame| {
            answers.take(frame);
            answers.fenced
        });
        let last = self.sent;
        fenced.map_err(|error| error.unwrap_or(Broken::Unanswered(last)))
    }

    fn report(&self, report: &mut Report, seconds: f64) {
        let (deliveries, answers) = (&self.deliveries, &self.answers);
        let rate = deliveries.delivered as f64 / seconds.max(1e-9);
        report.count("sent", self.sent);
        report.count("delivered", deliveries.delivered);
        report.count("acknowledged", answers.acknowledged);
        report.count("refused", answers.refused_in_all());
        report.figure("seconds", Some(seconds));
        report.figure("messages_per_second", Some(rate));
        report.line(
            "delivered",
            &format!(
                "{:>14} {:>16}",
                number(deliveries.delivered),
                per_second(rate)
            ),
        );
        report.latency("arrival", "arrival", &self.arrival);
        if self.acks != Acks::None {
            report.latency("arrival_and_ack", "and its ack", &self.both);
        }
        let mut fault = |count: u64, text: &str| {
            if count > 0 {
                report.faults.push(format!("{} {text}", number(count)));
            }
        };
        fault(deliveries.missing, "passed over");
        fault(deliveries.foreign, "frames arrived that were not sent here");
        fault(answers.dropped, "dropped by the server");
        for (code, count) in &answers.refused {
            fault(*count, &format!("refused: {code}"));
        }
        let notices = deliveries.notices.iter().chain(&answers.notices);
        let notices = notices.map(|notice| format!("the server says {notice}"));
        report.faults.extend(notices);
    }
}

/// Reads frames until `is_it` says so. Without an error if the time is up.
fn until(
    frames: &mut Frames<TcpStream>,
    mut is_it: impl FnMut(&[u8]) -> bool,
) -> Result<(), Option<Broken>> {
    loop {
        match frames.next() {
            Ok(Some(frame)) if is_it(frame) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => return Err(Some(Broken::Closed)),
            Err(FramesError::Io(error)) if is_timeout(&error) => return Err(None),
            Err(error) => return Err(Some(Broken::Frames(error))),
        }
    }
}
