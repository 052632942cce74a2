//! A thread that looks at its sockets without pause while anybody is connected. A
//! thread that sleeps takes longer to wake than a message takes to pass.
//!
//! Its runtime has one thread. Among several, one waits for the sockets and the
//! others sleep until it wakes them, whatever their tasks do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[cfg(feature = "server")]
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

/// The thread and its runtime. They end, and all their tasks, when this is dropped.
#[derive(Debug)]
pub(crate) struct Poller {
    handle: Handle,
    load: Arc<Load>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Load {
    connections: AtomicUsize,
    /// There is a connection where there was none.
    first_came: Notify,
}

/// A connection: while one lives, its poller does not sleep.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Load>);

impl Poller {
    /// Starts the thread, which sleeps until there is a connection.
    ///
    /// # Errors
    /// The system has no thread, or no descriptor for its runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let poller = Self {
            handle: runtime.handle().clone(),
            load: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (load, stop) = (Arc::clone(&poller.load), poller.stop.clone());
        let thread = thread::Builder::new().name("tickwire-poll".to_owned());
        thread.spawn(move || {
            runtime.spawn(poll(load));
            runtime.block_on(stop.cancelled());
        })?;
        Ok(poller)
    }

    /// The runtime of the thread.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Counts one connection more, until that is dropped.
    pub(crate) fn connected(&self) -> Connected {
        if self.load.connections.fetch_add(1, Ordering::Relaxed) == 0 {
            self.load.first_came.notify_one();
        }
        Connected(Arc::clone(&self.load))
    }

    /// The number of connections now.
    #[cfg(feature = "server")]
    pub(crate) fn connections(&self) -> usize {
        self.load.connections.load(Ordering::Relaxed)
    }

    /// Takes a socket over from the runtime that it belongs to.
    ///
    /// # Errors
    /// The system can't watch it for this thread.
    #[cfg(feature = "server")]
    pub(crate) fn adopt(&self, stream: TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let _context = self.handle.enter();
        TcpStream::from_std(stream)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps the runtime from sleeping while there are connections: between two turns of
/// a task that yields it asks the system for events and does not wait for them.
async fn poll(load: Arc<Load>) {
    loop {
        while load.connections.load(Ordering::Relaxed) > 0 {
            yield_now().await;
            // Two threads that poll may share a core.
            thread::yield_now();
        }
        load.first_came.notified().await;
    }
}
