//! Being told to stop: by ctrl-c, SIGTERM, or SIGHUP when a terminal closes.
//!
//! A signal that was ignored when the process began stays ignored: `nohup` does
//! that to SIGHUP, and a shell without job control to SIGINT in the background.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that tell the process to stop. They no longer end it by themselves.
#[cfg(unix)]
#[derive(Debug)]
pub struct StopSignal {
    interrupt: Option<Signal>,
    terminate: Signal,
    hangup: Option<Signal>,
    on_hangup: OnHangup,
}

/// The meaning of a SIGHUP.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnHangup {
    /// None: the process was started with it ignored.
    StayIgnored,
    /// The process's terminal has closed.
    Stop,
    /// There is no terminal. Services are told so to read their settings again,
    /// which this one doesn't.
    Note,
}

#[cfg(unix)]
impl OnHangup {
    fn of(was_ignored: bool, has_terminal: bool) -> Self {
        match (was_ignored, has_terminal) {
            (true, _) => Self::StayIgnored,
            (false, true) => Self::Stop,
            (false, false) => Self::Note,
        }
    }
}

#[cfg(unix)]
impl StopSignal {
    /// Takes the signals over. Call it within a runtime, once.
    pub fn new() -> io::Result<Self> {
        // Before anything is changed. A closed terminal is the process's no longer.
        let on_hangup = OnHangup::of(is_ignored(libc::SIGHUP)?, has_terminal());
        let heeds_interrupt = !is_ignored(libc::SIGINT)?;
        let take = |taken: bool, kind| taken.then(|| signal(kind)).transpose();
        Ok(Self {
            interrupt: take(heeds_interrupt, SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: take(on_hangup != OnHangup::StayIgnored, SignalKind::hangup())?,
            on_hangup,
        })
    }

    /// Waits until the process is told to stop. Calls `ignored` for each SIGHUP
    /// that doesn't.
    pub async fn received(&mut self, ignored: impl Fn()) {
        loop {
            tokio::select! {
                () = next(&mut self.interrupt) => return,
                _ = self.terminate.recv() => return,
                () = next(&mut self.hangup) => match self.on_hangup {
                    OnHangup::Stop => return,
                    OnHangup::Note | OnHangup::StayIgnored => ignored(),
                },
            }
        }
    }

    /// Waits until the process is told to stop once more. A SIGHUP doesn't: for
    /// one closed terminal there may be several, from the kernel and the shell.
    pub async fn received_again(&mut self) {
        tokio::select! {
            () = next(&mut self.interrupt) => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(unix)]
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Returns whether the process has a controlling terminal: that is `/dev/tty`.
#[cfg(unix)]
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library can't tell")]
fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut present = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed, and there is room for the present action.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), present.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written the present action.
    Ok(unsafe { present.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// The same where ctrl-c is all there is.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct StopSignal(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl StopSignal {
    pub fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    pub async fn received(&mut self, _ignored: impl Fn()) {
        self.0.recv().await;
    }

    pub async fn received_again(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_was_ignored_stays_so() {
        assert_eq!(OnHangup::of(true, true), OnHangup::StayIgnored);
        assert_eq!(OnHangup::of(true, false), OnHangup::StayIgnored);
    }

    #[test]
    fn a_hangup_stops_only_what_has_a_terminal() {
        assert_eq!(OnHangup::of(false, true), OnHangup::Stop);
        assert_eq!(OnHangup::of(false, false), OnHangup::Note);
    }

    #[test]
    fn knows_what_is_ignored() {
        // Rust's runtime ignores SIGPIPE, and nothing ignores SIGUSR2 here.
        assert!(is_ignored(libc::SIGPIPE).unwrap());
        assert!(!is_ignored(libc::SIGUSR2).unwrap());
        assert!(is_ignored(-1).is_err());
    }
}
