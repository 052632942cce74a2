//! `tickwire listen`: prints the messages that are sent to a name.

use std::io::{self, BufWriter, ErrorKind};

use tickwire::client::{ConnectError, Receiver, SendError};
use tickwire::ids::Name;
use tickwire::limits::{LISTEN_PROBE_INTERVAL, READ_BUFFER_BYTES};
use tickwire::wire::{ErrorCode, Subscribe};
use tickwire::{Client, ClientConfig};
use tokio::runtime::Runtime;

pub use self::arguments::Arguments;
use self::leaving::Leaving;
use self::mismatch::Mismatch;
use self::output::{EarlyEnd, Output, say_if_more_is_taken};
use self::settling::Settling;
use super::blocking_client::ConnectionError;
use super::patient::PatientWriter;
use super::{DIM, Failure, Outcome, say};

mod arguments;
mod condition;
mod leaving;
mod mismatch;
mod output;
mod reader;
mod settling;

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let name = Name::new(&arguments.name)
        .map_err(|error| Failure::usage(format!("{:?}: {error}", arguments.name)))?;
    let subscribe = arguments.subscribe().map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    run_to_end(runtime, async {
        let mut leaving = Leaving::new();
        let (client, mut receiver) = tokio::select! {
            biased;
            connected = connect(arguments, &name, subscribe) => connected?,
            // Or it would own the name, and take the next message with it.
            () = leaving.come() => return Ok(Outcome::Done),
        };
        print_all(arguments, &name, &client, &mut receiver, &mut leaving).await
    })
}

/// Runs `work`, and waits for nothing that it has left behind: the lookup of a
/// host can't be cancelled, and may hang for long.
fn run_to_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

async fn connect(
    arguments: &Arguments,
    name: &Name,
    subscribe: Option<Subscribe>,
) -> Result<(Client, Receiver), Failure> {
    let mut config = config(name);
    if let Some(window) = arguments.window() {
        config = config.window(window);
    }
    let connecting = Client::connect(&arguments.to, config).await;
    let (client, receiver) = connecting.map_err(|error| explain(&arguments.to, error))?;
    if let Some(subscribe) = subscribe {
        let subscribed = client.subscribe(subscribe).await;
        subscribed.map_err(not_subscribed)?;
    }
    say_if_more_is_taken(arguments, &client.welcome());
    if let Some(mismatch) = Mismatch::of(&arguments.conditions) {
        mismatch.tell(&arguments.to, name).await;
    }
    Ok((client, receiver))
}

async fn print_all(
    arguments: &Arguments,
    name: &Name,
    client: &Client,
    receiver: &mut Receiver,
    leaving: &mut Leaving,
) -> Result<Outcome, Failure> {
    let settling = Settling::new(client, name, !arguments.no_ack);
    if settling.is_on() {
        leaving.heed_signals().map_err(Failure::failed)?;
    }
    say(format_args!(
        "{DIM}listening as {name} on {}{DIM:#}",
        arguments.to
    ));
    let out = BufWriter::with_capacity(READ_BUFFER_BYTES, PatientWriter(io::stdout().lock()));
    let output = Output::new(out, arguments, settling);
    match output.print(receiver, leaving).await {
        Ok(()) => Ok(Outcome::Done),
        Err(EarlyEnd::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Err(ended) => Err(Failure::failed(ended)),
    }
}

fn config(name: &Name) -> ClientConfig {
    ClientConfig::new(name.as_str())
        // It sends nothing that would have to be remembered …
        .resumable(false)
        // … and so no missing answer would show a silent server.
        .probe(LISTEN_PROBE_INTERVAL)
}

fn explain(to: &str, error: ConnectError) -> Failure {
    match error {
        ConnectError::Unreachable { error, .. } if error.kind() == ErrorKind::ConnectionRefused => {
            Failure::failed(ConnectionError::NothingListens(to.to_owned()))
        }
        error => Failure::failed(error),
    }
}

fn not_subscribed(error: SendError) -> Failure {
    match error {
        SendError::Refused(report) if report.known_code() == Some(ErrorCode::InvalidFilter) => {
            let field = report.field().unwrap_or_default();
            Failure::usage(format!("{field}: {}", report.message))
        }
        error => Failure::failed(format!("can't subscribe: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tickwire::client::{Disconnect, Event};
    use tokio::io::duplex;

    use super::output::tests::welcome;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_left() {
        let (near, mut far) = duplex(1 << 20);
        let connecting = Client::over(near, config(&Name::new("n").unwrap()));
        let (connected, ()) = tokio::join!(connecting, welcome(&mut far, &[]));
        let (_client, mut receiver) = connected.unwrap();
        let event = tokio::time::timeout(Duration::from_secs(60), receiver.receive());
        assert!(matches!(
            event.await.unwrap(),
            Some(Event::Closed(Disconnect::Silent { .. }))
        ));
    }

    #[test]
    fn a_lookup_that_hangs_does_not_hold_up_the_end() {
        let (hang_up, hangs) = std::sync::mpsc::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let lookup = async {
                let hanging = tokio::task::spawn_blocking(move || hangs.recv());
                tokio::time::timeout(Duration::from_millis(1), hanging).await
            };
            let timed_out = run_to_end(runtime, lookup).is_err();
            end.send(timed_out).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(true));
        drop(hang_up);
        running.join().unwrap();
    }
}
