//! The reasons from outside to end: nobody reads the output, or a signal.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::mpsc;
use std::{io, process, thread};

use tickwire::limits::LISTEN_SETTLE_TIMEOUT;
use tokio::sync::oneshot;

use super::reader::reader_gone;
use crate::cli::say_error;
use crate::cli::stop::StopSignal;

pub struct Leaving {
    reader_gone: Pin<Box<dyn Future<Output = ()>>>,
    stop: Option<oneshot::Receiver<()>>,
}

impl Leaving {
    /// Leaves signals as they are: they end the process at once.
    pub fn new() -> Self {
        Self {
            reader_gone: Box::pin(reader_gone()),
            stop: None,
        }
    }

    /// Has signals end the program in good order from here on.
    pub fn heed_signals(&mut self) -> io::Result<()> {
        if self.stop.is_none() {
            self.stop = Some(watch_signals()?);
        }
        Ok(())
    }

    /// Waits for a reason to end.
    pub async fn come(&mut self) {
        let stop = async {
            let told = match &mut self.stop {
                Some(stop) => stop.await.is_ok(),
                None => false,
            };
            if !told {
                pending().await
            }
        };
        tokio::select! {
            () = &mut self.reader_gone => {}
            () = stop => {}
        }
    }
}

/// Tells when a signal comes. The watch has a thread of its own: the output may take
/// nothing for as long as its reader likes, and a signal must end that wait, too.
fn watch_signals() -> io::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    let (ready, is_ready) = mpsc::channel();
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async {
            match StopSignal::new() {
                Ok(stop) => {
                    let _ = ready.send(Ok(()));
                    end_by(stop, tell).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)?;
    let watching = is_ready.recv();
    watching.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(told)
}

/// Tells of the first signal. Ends the process at the second, or if it still runs when all
/// should long be settled.
async fn end_by(mut stop: StopSignal, tell: oneshot::Sender<()>) {
    stop.received(|| {}).await;
    let _ = tell.send(());
    tokio::select! {
        () = stop.received_again() => {}
        () = tokio::time::sleep(2 * LISTEN_SETTLE_TIMEOUT) => {}
    }
    say_error(&"stopped at once: the last messages may not be settled, and be delivered again");
    process::exit(1);
}
