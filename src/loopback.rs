//! Connections within one machine.

use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes that the kernel holds of a faster local sender: more leave the caches.
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// Sets a connection that stays within this machine up, as far as the system lets us:
/// no network can be congested, and no delay asks for large TCP windows.
pub(crate) fn set_up(stream: &TcpStream) {
    let is_local = stream
        .peer_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    if !is_local {
        return;
    }
    let socket = SockRef::from(stream);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    // BBR, the default of some systems, costs a timer for every few segments.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_congestion(b"reno");
}
