//! Calls about a connection that differ between operating systems.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::loopback;

/// An idle peer is asked whether it lives after so long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// And again after so long, while it doesn't answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// After so many questions without an answer it is dead.
#[cfg(not(windows))]
const KEEPALIVE_RETRIES: u32 = 3;

/// Lets small messages leave at once, and finds a peer that vanished while idle.
pub(super) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    loopback::set_up(stream);
    Ok(())
}

/// The time since the peer acknowledged anything, while segments, or probes of a
/// closed window, are not acknowledged. Never any where the kernel can't tell.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no such call")]
pub(super) fn in_flight(stream: &TcpStream) -> Option<Duration> {
    use std::os::fd::AsRawFd;

    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor belongs to `stream` and is open while it is
    // borrowed; the kernel writes at most `length` bytes to `info`, which has
    // so many.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    } != 0;
    if failed {
        return None;
    }
    // SAFETY: `tcp_info` consists of integers; it was zeroed, and the kernel
    // has filled in as much as it knows.
    let info = unsafe { info.assume_init() };
    let is_in_flight = info.tcpi_unacked > 0 || info.tcpi_probes > 0;
    is_in_flight.then(|| Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn in_flight(_stream: &TcpStream) -> Option<Duration> {
    None
}

/// Judges from samples whether a peer died with data in flight: one that merely
/// doesn't read still acknowledges segments, and window probes after that.
#[derive(Debug, Default)]
pub(super) struct LivenessCheck {
    /// Since when samples show data in flight and no acknowledgement.
    silent_since: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerState {
    /// Nothing is in flight: no further sample is needed.
    Quiet,
    /// Data is in flight: look again.
    Waiting,
    /// Silent for too long.
    Dead,
}

impl LivenessCheck {
    pub(super) fn sample(
        &mut self,
        in_flight: Option<Duration>,
        now: Duration,
        silence_max: Duration,
    ) -> PeerState {
        let Some(silence) = in_flight else {
            self.silent_since = None;
            return PeerState::Quiet;
        };
        let since = *self.silent_since.get_or_insert(now);
        let silent = now.saturating_sub(since);
        if silence < silent {
            // Something was acknowledged since; this may be later data.
            self.silent_since = Some(now);
            return PeerState::Waiting;
        }
        if silent >= silence_max {
            PeerState::Dead
        } else {
            PeerState::Waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    fn sample(unacknowledged: bool, silence_s: u64) -> Option<Duration> {
        unacknowledged.then(|| Duration::from_secs(silence_s))
    }

    #[test]
    fn finds_a_peer_dead_that_stays_silent_towards_data() {
        let mut check = LivenessCheck::default();
        // It was idle for an hour before the data was sent.
        let at = Duration::from_secs;
        assert_eq!(
            check.sample(sample(true, 3_600), at(0), MAX),
            PeerState::Waiting
        );
        assert_eq!(
            check.sample(sample(true, 3_605), at(5), MAX),
            PeerState::Waiting
        );
        assert_eq!(
            check.sample(sample(true, 3_610), at(10), MAX),
            PeerState::Dead
        );
    }

    #[test]
    fn a_peer_that_acknowledges_lives_however_long_data_is_in_flight() {
        let mut check = LivenessCheck::default();
        for second in 0..60 {
            let verdict = check.sample(sample(true, 1), Duration::from_secs(second), MAX);
            assert_eq!(verdict, PeerState::Waiting);
        }
        assert_eq!(
            check.sample(sample(false, 60), MAX * 12, MAX),
            PeerState::Quiet
        );
        assert_eq!(check.sample(None, MAX * 13, MAX), PeerState::Quiet);
    }
}
