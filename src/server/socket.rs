//! Calls of the operating system about a connection that differ between
//! systems.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// An idle peer is asked whether it lives after so long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// And again after so long, while it doesn't answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// After so many questions without an answer it is dead.
#[cfg(not(windows))]
const KEEPALIVE_RETRIES: u32 = 3;

/// Bytes that the kernel holds of a local sender that is faster than tickwire.
/// More would only lie in a buffer until it has left the processor's caches.
const LOCAL_RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// Sets a new connection up: small messages leave at once, and a peer that
/// vanished while idle is found.
pub(super) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    if stream.peer_addr()?.ip().is_loopback() {
        stay_within_the_machine(stream);
    }
    Ok(())
}

/// Sets a connection within this machine up: no network can be congested, and
/// no delay asks for large TCP windows. A setting that the system refuses is no
/// reason not to serve.
fn stay_within_the_machine(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_recv_buffer_size(LOCAL_RECEIVE_BUFFER_BYTES);
    // Where the system's default is BBR, its pacing costs a timer for every few
    // segments.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_congestion(b"reno");
}

/// The kernel's view of data in flight to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InFlight {
    /// Whether segments, or probes of a window that is closed, were sent that
    /// the peer has not acknowledged.
    pub(super) unacknowledged: bool,
    /// How long ago the peer acknowledged anything.
    pub(super) silence: Duration,
}

/// Asks the kernel. `None` where it can't tell.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no such call")]
pub(super) fn in_flight(stream: &TcpStream) -> Option<InFlight> {
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
    Some(InFlight {
        unacknowledged: info.tcpi_unacked > 0 || info.tcpi_probes > 0,
        silence: Duration::from_millis(info.tcpi_last_ack_recv.into()),
    })
}

/// Asks the kernel. `None` where it can't tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn in_flight(_stream: &TcpStream) -> Option<InFlight> {
    None
}

/// Judges from samples whether a peer died with data in flight.
///
/// A peer that merely doesn't read acknowledges the data that arrives, and
/// window probes after that, so only silence towards sent segments counts.
#[derive(Debug, Default)]
pub(super) struct LivenessCheck {
    /// Monotonic time since when samples show data in flight and no
    /// acknowledgement.
    silent_since: Option<Duration>,
}

/// The state of the peer as a sample shows it.
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
        in_flight: Option<InFlight>,
        now: Duration,
        silence_max: Duration,
    ) -> PeerState {
        let Some(sample) = in_flight.filter(|sample| sample.unacknowledged) else {
            self.silent_since = None;
            return PeerState::Quiet;
        };
        let since = *self.silent_since.get_or_insert(now);
        let silent = now.saturating_sub(since);
        if sample.silence < silent {
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

    fn sample(unacknowledged: bool, silence_s: u64) -> Option<InFlight> {
        Some(InFlight {
            unacknowledged,
            silence: Duration::from_secs(silence_s),
        })
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
