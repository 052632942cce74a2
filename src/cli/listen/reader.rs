//! The reader of standard output, and its leaving.

use std::future::pending;

/// Waits until nobody reads standard output any more, also while nothing is
/// written. Pipes and terminals show it; at a socket only a write does.
pub async fn reader_gone() {
    #[cfg(unix)]
    {
        let (told, gone) = tokio::sync::oneshot::channel();
        // It sleeps until then, and doesn't hold the end of the process up.
        let watch = move || {
            if let Ok(()) = wait_until_gone() {
                let _ = told.send(());
            }
        };
        let watching = std::thread::Builder::new()
            .name("reader".to_owned())
            .stack_size(64 * 1024)
            .spawn(watch);
        if watching.is_ok() && gone.await.is_ok() {
            return;
        }
    }
    pending().await
}

/// Waits for the error condition of a pipe's end: nobody has the other one.
#[cfg(unix)]
fn wait_until_gone() -> std::io::Result<()> {
    use std::io::{self, ErrorKind};
    use std::os::fd::AsRawFd;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    let output = io::stdout().as_raw_fd();
    let mut poll = Poll::new()?;
    // Errors are always told. A stream that can't be watched is refused.
    let mut source = SourceFd(&output);
    (poll.registry()).register(&mut source, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ if events.iter().any(|event| event.is_error()) => return Ok(()),
            _ => {}
        }
    }
}
