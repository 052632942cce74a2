//! One connection's life, from the welcome to its end. [Reading](reading),
//! [writing] and the clocks run side by side in the session's task.

mod reading;
mod writing;

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::reading::Reading;
use super::Disconnect;
use super::greet::Welcomed;
use super::outbox::Outbox;
use super::session::Session;
use super::shared::frame_bytes_max;
use super::silence::{self, SilenceCheck};
use crate::poller::{Connected, Poller};

pub(super) struct Connection<'a> {
    session: &'a Session,
    frame_bytes_max: usize,
    /// Whether messages are kept until they are answered, for the next connection.
    keeps: bool,
    /// The positions before this were handed to an earlier connection.
    repeats_before: u64,
    silence_max: Duration,
    /// Welcomes that are due for probes. Only the session's task uses it.
    probes_due: AtomicU64,
    /// Cancelled when the server has said that it takes nothing more.
    parting: CancellationToken,
    /// Cancelled when it has said why, and that there is no coming back.
    doomed: CancellationToken,
    /// Keeps the thread that polls from sleeping, if there is one.
    _connected: Option<Connected>,
}

impl<'a> Connection<'a> {
    pub(super) fn new<S>(session: &'a Session, welcomed: &Welcomed<S>) -> Self {
        let mut state = session.state();
        state.unanswered.connected();
        session.signs.connected();
        let stall_timeout = welcomed.welcome.limits.stall_timeout_ms;
        Self {
            session,
            silence_max: silence::limit(
                session.config.answer_timeout,
                stall_timeout.map(Duration::from_millis),
            ),
            frame_bytes_max: frame_bytes_max(&welcomed.welcome),
            keeps: state.registration.is_resumable(),
            probes_due: AtomicU64::new(0),
            repeats_before: state.unanswered.next_position(),
            parting: CancellationToken::new(),
            doomed: CancellationToken::new(),
            _connected: session.poller.as_ref().map(Poller::connected),
        }
    }

    /// Serves the connection to its end. Messages not handed over stay in `outbox`.
    pub(super) async fn run<S>(self, welcomed: Welcomed<S>, outbox: &mut Outbox) -> Disconnect
    where
        S: AsyncRead + AsyncWrite,
    {
        let Welcomed {
            mut input,
            mut writer,
            early,
            welcome,
            ..
        } = welcomed;
        let mut reading = Reading::new(&self, &welcome);
        reading.take_early(early);
        let end = tokio::select! {
            // Reading first: a write that fails doesn't tell how much was taken.
            biased;
            end = reading.read(&mut input) => end,
            end = self.write_to_the_end(&mut writer, outbox) => end,
            end = self.close_deadline() => end,
            end = self.watch_for_silence() => end,
            never = self.session.expire_answers() => match never {},
        };
        self.end_output(outbox);
        end
    }

    /// Comes back when the server has been silent for too long.
    async fn watch_for_silence(&self) -> Disconnect {
        let signs = &self.session.signs;
        let mut check = SilenceCheck::new(self.silence_max, Instant::now());
        loop {
            sleep_until(check.next_at()).await;
            let now = Instant::now();
            let unread = signs.take_unread(now);
            let silent = check.sample(self.sample(), now, unread).is_some();
            if !silent || !signs.is_reading() {
                continue;
            }
            self.read_all_arrived().await;
            let silent = check.sample(self.sample(), now, Duration::ZERO);
            if let Some(silence) = silent.filter(|_| signs.is_reading()) {
                let limit = self.silence_max;
                return Disconnect::Silent { silence, limit };
            }
        }
    }

    /// Lets reading go on until the socket would block, or for `silence_max`: a server
    /// that never ends delivering is silent too.
    async fn read_all_arrived(&self) {
        let signs = &self.session.signs;
        let begin = Instant::now();
        loop {
            let before = signs.frames();
            // The task looks at the sockets, and reads, before it comes back here.
            tokio::task::yield_now().await;
            if signs.frames() == before || begin.elapsed() >= self.silence_max {
                return;
            }
        }
    }

    fn sample(&self) -> silence::Sample {
        let signs = &self.session.signs;
        let owes = self.session.state().unanswered.is_owed(signs.answers());
        signs.sample(owes, self.parting.is_cancelled())
    }

    /// Comes back when a close, or one that the server announced, took too long. A
    /// server that shuts down may take its time: it still delivers.
    async fn close_deadline(&self) -> Disconnect {
        let closing = &self.session.shared.closing;
        tokio::select! {
            () = closing.cancelled() => {}
            () = self.doomed.cancelled() => {}
        }
        self.session.inbox.look_again();
        sleep(self.session.config.close_timeout).await;
        Disconnect::Broken(io::ErrorKind::TimedOut.into())
    }
}
