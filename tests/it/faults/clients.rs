//! The library's client at both ends of a bad network. It connects again by
//! itself whenever the network ends a connection.

pub mod receiver;
pub mod sender;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tickwire::client::{Client, ClientConfig, Receiver};
use tokio::net::TcpStream;

use super::proxy::{Ending, Link, Plan};
use crate::hostile::Random;
use crate::raw_client::{DEADLINE, within};

/// The faults of one client's connections, one after the other.
struct Network {
    server: SocketAddr,
    weather: Mutex<Weather>,
}

struct Weather {
    random: Random,
    /// So many connections are yet ended when some bytes have gone through.
    endings: u64,
    /// Whether that may come before the welcome, but for the first.
    cuts_greetings: bool,
    links: Vec<Link>,
}

impl Network {
    fn to(server: SocketAddr, random: Random, endings: u64, cuts_greetings: bool) -> Arc<Self> {
        Arc::new(Self {
            server,
            weather: Mutex::new(Weather {
                random,
                endings,
                cuts_greetings,
                links: Vec::new(),
            }),
        })
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().expect("nobody panics with it")
    }

    async fn connect(self: &Arc<Self>, config: ClientConfig) -> (Client, Receiver) {
        let network = Arc::clone(self);
        let dial = move || {
            let network = Arc::clone(&network);
            async move { network.dial().await }
        };
        // Answers stay out for as long as the network likes.
        let config = config
            .answer_timeout(Duration::from_secs(3600))
            .connect_timeout(DEADLINE)
            .reconnect_delays(Duration::from_millis(1), Duration::from_millis(20));
        let connecting = Client::connect_through(self.server, dial, config);
        let connected = within("the welcome", connecting).await;
        connected.expect("the first connection stands")
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let plan = self.weather().plan();
        let mut link = Link::to(self.server, plan).await;
        let stream = TcpStream::connect(link.address).await?;
        stream.set_nodelay(true)?;
        if plan.ending.is_some_and(|(_, bytes)| bytes > 0) {
            link.arm();
        }
        self.weather().links.push(link);
        Ok(stream)
    }

    /// Cuts the connection that stands.
    fn cut(&self) {
        if let Some(link) = self.weather().links.last_mut() {
            link.arm();
        }
    }

    /// Waits until all connections have come to their end.
    async fn passed(&self) {
        let links = std::mem::take(&mut self.weather().links);
        for link in links {
            link.passed().await;
        }
    }
}

impl Weather {
    fn plan(&mut self) -> Plan {
        Plan {
            seed: self.random.next(),
            rough_percent: self.random.below(20),
            buffer_bytes: (16 * 1024) << self.random.below(4),
            ending: Some(self.ending()),
        }
    }

    /// One after 0 bytes waits until it is wanted.
    fn ending(&mut self) -> (Ending, u64) {
        let cut_off = Ending::CutOff(Duration::from_millis(self.random.below(400)));
        if self.endings == 0 {
            let ending = [Ending::Cut, cut_off][usize::from(self.random.below(2) == 0)];
            return (ending, 0);
        }
        self.endings -= 1;
        let ending = match self.random.below(6) {
            0..2 => Ending::Cut,
            2..4 => cut_off,
            4 => Ending::NoMoreUp,
            _ => Ending::NoMoreDown,
        };
        let is_early = self.cuts_greetings && !self.links.is_empty() && self.random.below(3) == 0;
        let bytes = match is_early {
            true => 1 + self.random.below(900),
            false => 2_000 + self.random.below(600_000),
        };
        (ending, bytes)
    }
}
