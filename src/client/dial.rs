//! Opening a TCP connection to a host that may have several addresses.
//!
//! The addresses race (RFC 8305): where one gives no sign, the next is tried beside
//! it, so that an address that swallows packets doesn't hide a good one.

use std::net::SocketAddr;
use std::time::Duration;
use std::{io, iter};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep};

#[cfg(target_os = "linux")]
use crate::limits::CLIENT_UNSENT_BYTES;
use crate::limits::{CONNECT_ADDRESSES_MAX, CONNECT_STAGGER, KEEPALIVE_INTERVAL};
use crate::loopback;

/// Connects to the server at `address`, trying all its addresses within `timeout`.
pub(super) async fn tcp(address: String, timeout: Duration) -> io::Result<TcpStream> {
    let lookup = async { Ok(lookup_host(&address).await?.collect()) };
    let stream = first_to_connect(lookup, timeout, TcpStream::connect).await?;
    stream.set_nodelay(true)?;
    // So that a dead server is found while nothing is sent.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_INTERVAL)
        .with_interval(KEEPALIVE_INTERVAL);
    let socket = socket2::SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    loopback::set_up(&stream);
    // Bytes that lie unsent in the kernel can't have been answered.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(CLIENT_UNSENT_BYTES);
    Ok(stream)
}

/// The first connection that stands to an address that `lookup` finds.
async fn first_to_connect<S, F>(
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    timeout: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let start = Instant::now();
    let addresses = families_in_turn(lookup.await?);
    let stagger = stagger(timeout.saturating_sub(start.elapsed()), addresses.len());
    let mut left = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = None;
    loop {
        match left.next() {
            Some(address) => attempts.push(connect(address)),
            None if attempts.is_empty() => {
                return Err(last_error.unwrap_or(io::ErrorKind::AddrNotAvailable.into()));
            }
            None => {}
        }
        tokio::select! {
            biased;
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => last_error = Some(error),
            },
            () = sleep(stagger), if left.len() > 0 => {}
        }
    }
}

/// How long one of `addresses` has to itself: at most an equal part of the time left.
fn stagger(left: Duration, addresses: usize) -> Duration {
    let shares = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    (left / shares).min(CONNECT_STAGGER)
}

/// The addresses in their order, but with the families in turn: one may lead nowhere.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let pairs = iter::from_fn(|| {
        let pair = [first.next(), second.next()];
        (pair != [None, None]).then_some(pair)
    });
    let ordered = pairs.flatten().flatten();
    ordered.take(CONNECT_ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_begin_with_the_first() {
        for (given, expected) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"],
            ),
            (
                &["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"],
                &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"],
            ),
        ] {
            assert_eq!(families_in_turn(addresses(given)), addresses(expected));
        }
        let many = addresses(&["1.1.1.1:1"; 100]);
        assert_eq!(families_in_turn(many).len(), CONNECT_ADDRESSES_MAX);
    }

    #[test]
    fn each_address_has_its_share_of_the_time() {
        let ms = Duration::from_millis;
        assert_eq!(stagger(ms(5000), 2), CONNECT_STAGGER);
        assert_eq!(stagger(ms(100), 4), ms(25));
        assert_eq!(stagger(ms(100), 0), ms(100));
        assert_eq!(stagger(Duration::ZERO, 4), Duration::ZERO);
        assert_eq!(stagger(Duration::MAX, 1), CONNECT_STAGGER);
    }

    /// Ports that swallow, refuse, or lead to a connection.
    async fn behave(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        }
    }

    async fn found(texts: &[&str], timeout: Duration) -> Option<io::Result<u16>> {
        let all = addresses(texts);
        let first = first_to_connect(async { Ok(all) }, timeout, behave);
        tokio::time::timeout(timeout, first).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_swallow_or_refuse_do_not_hide_a_good_one() {
        for timeout in [Duration::from_millis(10), Duration::from_secs(5)] {
            for good in [
                &["1.1.1.1:1", "1.1.1.2:3"][..],
                &["1.1.1.1:2", "1.1.1.2:3"],
                &["1.1.1.1:1", "1.1.1.2:2", "1.1.1.3:1", "1.1.1.4:3"],
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.4:3"],
            ] {
                assert_eq!(found(good, timeout).await.unwrap().unwrap(), 3);
            }
            assert!(found(&["1.1.1.1:1", "1.1.1.2:2"], timeout).await.is_none());
            let refused = found(&["1.1.1.1:2", "1.1.1.2:2"], timeout).await;
            let error = refused.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(found(&[], timeout).await.unwrap().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_first_address_is_the_only_one_that_is_tried() {
        let tried = Mutex::new(Vec::new());
        let all = addresses(&["1.1.1.1:3", "1.1.1.2:4"]);
        let connect = |address: SocketAddr| {
            tried.lock().unwrap().push(address.port());
            behave(address)
        };
        let stream = first_to_connect(async { Ok(all) }, Duration::from_secs(5), connect).await;
        assert_eq!(stream.unwrap(), 3);
        assert_eq!(*tried.lock().unwrap(), [3]);
    }

    /// A listener with a full queue: Linux drops requests to connect to it.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_real_address_that_swallows_does_not_hide_a_good_one() {
        use socket2::{Domain, Socket, Type};

        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        full.bind(&any.into()).unwrap();
        full.listen(0).unwrap();
        let swallows = full.local_addr().unwrap().as_socket().unwrap();
        let _queued = std::net::TcpStream::connect(swallows).unwrap();
        let good = tokio::net::TcpListener::bind(any).await.unwrap();
        let all = vec![swallows, good.local_addr().unwrap()];
        let timeout = Duration::from_secs(60);
        let first = first_to_connect(async { Ok(all) }, timeout, TcpStream::connect);
        let stream = tokio::time::timeout(timeout, first).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good.local_addr().unwrap());
    }
}
