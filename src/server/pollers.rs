//! The threads that poll, and which of them gets a connection.

use std::io;

use tokio::net::TcpStream;

use crate::poller::Poller;

/// None unless the server is to poll.
#[derive(Debug)]
pub(super) struct Pollers(Vec<Poller>);

impl Pollers {
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let pollers: io::Result<_> = (0..count).map(|_| Poller::start()).collect();
        pollers.map(Self)
    }

    /// The one for the next connection, which it keeps to its end.
    pub(super) fn least_connected(&self) -> Option<&Poller> {
        self.0.iter().min_by_key(|poller| poller.connections())
    }

    /// Hands a socket that was accepted over to the thread that polls it, if one does.
    pub(super) fn hand_over(stream: TcpStream, poller: Option<&Poller>) -> io::Result<TcpStream> {
        match poller {
            Some(poller) => poller.adopt(stream),
            None => Ok(stream),
        }
    }
}
