//! Reaching a server, for the first time and again.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::greet::{Welcomed, greet};
use super::outbox::Outbox;
use super::queue::Queue;
use super::session::Session;
use super::shared::Shared;
use super::{Client, ClientConfig, ConnectError, Handle, Receiver, dial, receiver};
use crate::ids::Name;
use crate::poller::Poller;
use crate::wire::Hello;

impl Client {
    /// Connects to the server at `address` (`HOST:PORT`) over TCP, once, says hello and
    /// waits for the welcome.
    ///
    /// The addresses of a host race: each begins 250 ms after the one before, or as
    /// soon as that fails, and the first connection that stands is taken.
    ///
    /// # Errors
    /// The reason for which there is no connection, and the side at fault.
    pub async fn connect(
        address: impl ToString,
        config: ClientConfig,
    ) -> Result<(Self, Receiver), ConnectError> {
        let address = address.to_string();
        let dial = {
            let (address, timeout) = (address.clone(), config.connect_timeout);
            move || dial::tcp(address.clone(), timeout)
        };
        Self::connect_through(address, dial, config).await
    }

    /// The same over streams that `dial` opens, one for each attempt: wrapped in TLS,
    /// say, or over a Unix socket. Errors call the server `address`.
    ///
    /// # Errors
    /// As of [`Client::connect`].
    pub async fn connect_through<S, F, D>(
        address: impl ToString,
        mut dial: D,
        config: ClientConfig,
    ) -> Result<(Self, Receiver), ConnectError>
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let dialer = Dialer {
            address: address.to_string(),
            dial: Box::new(move || dial().boxed()),
            timeout: config.connect_timeout,
        };
        if !config.busy_poll {
            return Self::connect_here(dialer, config, None).await;
        }
        let poller = Poller::start().map_err(ConnectError::Poll)?;
        let handle = poller.handle().clone();
        let connecting = handle.spawn(Self::connect_here(dialer, config, Some(poller)));
        // A caller that gives up wants no connection.
        match AbortOnDropHandle::new(connecting).await {
            Ok(connected) => connected,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Connects on the runtime that this is called in, which is that of `poller` if
    /// there is one.
    async fn connect_here<S: AsyncRead + AsyncWrite + Send + 'static>(
        mut dialer: Dialer<S>,
        config: ClientConfig,
        poller: Option<Poller>,
    ) -> Result<(Self, Receiver), ConnectError> {
        let registration = config.registration()?;
        let name = registration.source.clone();
        let first = dialer.attempt(&name, registration.hello()).await;
        let first = first.map_err(|failed| failed.error)?;
        let again = config.reconnect.then_some(dialer);

        let queue = Arc::new(Queue::default());
        let (ended_sender, ended) = watch::channel(None);
        let (inbox, receiver) = receiver::inbox(config.inbound_bytes, config.inbound_bytes_max);
        let shared = Arc::new(Shared::new(name, first.welcome.clone(), &config, ended));
        let session = Session::new(
            shared.clone(),
            config,
            registration,
            inbox,
            ended_sender,
            poller,
        );
        tokio::spawn(session.run(first, again, Outbox::new(Arc::clone(&queue))));
        let handle = Arc::new(Handle { shared, queue });
        let client = Self {
            handle: handle.clone(),
        };
        Ok((client, receiver(handle)))
    }

    /// The same over a stream that already stands, and is not made again when it is
    /// lost.
    ///
    /// # Errors
    /// As of [`Client::connect`].
    pub async fn over<S>(stream: S, config: ClientConfig) -> Result<(Self, Receiver), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut stream = Some(stream);
        let once = move || std::future::ready(stream.take().ok_or(io::ErrorKind::NotFound.into()));
        Self::connect_through("the stream", once, config.reconnect(false)).await
    }
}

/// The way to make connections.
pub(super) struct Dialer<S> {
    address: String,
    dial: Box<dyn FnMut() -> BoxFuture<'static, io::Result<S>> + Send>,
    /// How long one attempt may take.
    timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Dialer<S> {
    pub(super) async fn attempt(
        &mut self,
        source: &Name,
        hello: Hello,
    ) -> Result<Welcomed<S>, FailedAttempt> {
        let stream = (self.dial)();
        let address = &self.address;
        let mut greeting = false;
        let attempt = async {
            let stream = stream.await.map_err(|error| ConnectError::Unreachable {
                address: address.clone(),
                error,
            })?;
            greeting = true;
            greet(stream, address, source, hello).await
        };
        let result = tokio::time::timeout(self.timeout, attempt).await;
        let result = result.unwrap_or_else(|_| {
            Err(ConnectError::Timeout {
                address: address.clone(),
                timeout: self.timeout,
            })
        });
        result.map_err(|error| FailedAttempt {
            // All of a hello is granted, or nothing.
            may_be_welcomed: greeting && !matches!(error, ConnectError::Refused(_)),
            error,
        })
    }
}

pub(super) struct FailedAttempt {
    pub error: ConnectError,
    /// Whether the server may have granted the hello without the client's knowledge.
    pub may_be_welcomed: bool,
}
