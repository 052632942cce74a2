//! Settling the printed messages, where the name is durable.

use tickwire::Client;
use tickwire::client::Inbound;
use tickwire::ids::Name;
use tickwire::limits::{LISTEN_SETTLE_TIMEOUT, LISTEN_UNSETTLED_MAX};
use tickwire::wire::Welcome;
use tokio::time::timeout;

/// The messages that were written to the output and are still to be settled.
pub struct Settling {
    client: Client,
    name: Name,
    is_wanted: bool,
    is_on: bool,
    written: Vec<Inbound>,
    has_settled: bool,
    has_failed: bool,
}

/// Nobody knows whether the server has read the last settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server didn't confirm within {} s that the printed messages are settled: the last of \
     them may be delivered again",
    LISTEN_SETTLE_TIMEOUT.as_secs()
)]
pub struct NotSettled;

impl Settling {
    /// Settles the messages to `name` if that is wanted, and the server says it is durable.
    pub fn new(client: &Client, name: &Name, is_wanted: bool) -> Self {
        let mut settling = Self {
            client: client.clone(),
            name: name.clone(),
            is_wanted,
            is_on: false,
            written: Vec::new(),
            has_settled: false,
            has_failed: false,
        };
        settling.welcomed(&client.welcome());
        settling
    }

    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Notes the welcome of a connection.
    pub fn welcomed(&mut self, welcome: &Welcome) {
        self.is_on = self.is_wanted && welcome.is_durable(&self.name);
        if self.has_settled {
            let client = self.client.clone();
            // Takes the settlements that the former connection may not have read: their
            // messages come again, so they are no failure at the end.
            tokio::spawn(async move {
                let _ = client.flush().await;
            });
        }
    }

    /// Notes a message that was written and not flushed. Returns whether there are so many
    /// that they are to be flushed and settled.
    pub fn written(&mut self, message: Inbound) -> bool {
        if self.is_on {
            self.written.push(message);
        }
        self.written.len() >= LISTEN_UNSETTLED_MAX
    }

    /// Settles the messages that were written, and by now flushed.
    pub async fn flushed(&mut self) {
        for message in self.written.drain(..) {
            self.has_settled = true;
            if self.client.settle_json(message.json()).await.is_err() {
                // The client has come to its end, and the next event says why.
                self.has_failed = true;
            }
        }
    }

    /// Waits until the server has read all settlements.
    ///
    /// # Errors
    /// It may not have, and doesn't say so in time.
    pub async fn finish(self) -> Result<(), NotSettled> {
        if !self.has_settled {
            return Ok(());
        }
        match timeout(LISTEN_SETTLE_TIMEOUT, self.client.flush()).await {
            Ok(Ok(())) if !self.has_failed => Ok(()),
            _ => Err(NotSettled),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tickwire::ClientConfig;
    use tickwire::client::Receiver;
    use tickwire::wire::{Message, Payload};
    use tokio::io::{DuplexStream, duplex};

    use super::super::arguments::tests::arguments;
    use super::super::leaving::Leaving;
    use super::super::output::tests::{hear, say, welcome_to};
    use super::super::output::{EarlyEnd, Output};
    use super::*;

    const DURABLE: &str = ",\"durable\":[\"n\"]";

    /// The lines that were flushed.
    #[derive(Debug, Clone, Default)]
    struct Shown {
        written: Vec<u8>,
        lines: Arc<Mutex<usize>>,
    }

    impl Shown {
        fn lines(&self) -> usize {
            *self.lines.lock().unwrap()
        }
    }

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            let lines = self.written.iter().filter(|byte| **byte == b'\n').count();
            *self.lines.lock().unwrap() = lines;
            Ok(())
        }
    }

    /// A listener, and the server that welcomes it with `more`.
    async fn connected(more: &str) -> (Client, Receiver, DuplexStream) {
        let (near, mut far) = duplex(1 << 20);
        let connecting = Client::over(near, ClientConfig::new("n"));
        let server = async {
            let welcome = welcome_to(&hear(&mut far).await, more);
            say(&mut far, &[welcome.as_bytes()]).await;
        };
        let (connected, ()) = tokio::join!(connecting, server);
        let (client, receiver) = connected.unwrap();
        (client, receiver, far)
    }

    fn messages(count: usize) -> Vec<Message> {
        let message = |n: usize| Message::error("sender", "n", "NOTE", n.to_string()).unwrap();
        (0..count).map(message).collect()
    }

    async fn deliver(far: &mut DuplexStream, messages: &[Message]) {
        for message in messages {
            say(far, &[message.to_json().as_bytes()]).await;
        }
    }

    /// Prints until as many messages have come as the options say.
    async fn print(
        client: Client,
        receiver: &mut Receiver,
        shown: Shown,
        more: &[&str],
    ) -> Result<(), EarlyEnd> {
        let arguments = arguments(more).unwrap();
        let settling = Settling::new(&client, client.name(), !arguments.no_ack);
        let output = Output::new(shown, &arguments, settling);
        output.print(receiver, &mut Leaving::new()).await
    }

    #[tokio::test]
    async fn what_was_printed_is_settled_and_at_the_end_the_server_has_read_it() {
        let (client, mut receiver, mut far) = connected(DURABLE).await;
        let orders = messages(3);
        let shown = Shown::default();
        let printing = print(client, &mut receiver, shown.clone(), &["--count", "3"]);
        let server = async {
            // The first alone, and the other two together.
            for orders in orders.chunks(2) {
                deliver(&mut far, orders).await;
                for order in orders {
                    let ack = hear(&mut far).await;
                    assert!(shown.lines() > 0, "settled before it was shown");
                    assert_eq!(ack.target.as_ref(), Some(&order.source));
                    let Payload::Ack(ack) = ack.payload else {
                        panic!("no ack");
                    };
                    assert_eq!(ack.acknowledged_msg_id, order.msg_id);
                }
            }
            let fence = hear(&mut far).await;
            assert_eq!(fence.msg_type(), "hello");
            say(&mut far, &[welcome_to(&fence, DURABLE).as_bytes()]).await;
        };
        let (printed, ()) = tokio::join!(printing, server);
        printed.unwrap();
        assert_eq!(shown.lines(), 3);
    }

    #[tokio::test]
    async fn many_that_come_at_once_are_settled_now_and_then() {
        let (client, mut receiver, mut far) = connected(DURABLE).await;
        let orders = messages(LISTEN_UNSETTLED_MAX + 1);
        deliver(&mut far, &orders).await;
        let count = (2 * orders.len()).to_string();
        let options = ["--count", &count];
        let shown = Shown::default();
        let printing = print(client, &mut receiver, shown.clone(), &options);
        let server = async {
            for _ in &orders {
                assert_eq!(hear(&mut far).await.msg_type(), "ack");
            }
        };
        tokio::select! {
            ended = printing => panic!("{ended:?}"),
            () = server => {}
        }
        assert!(shown.lines() >= orders.len());
    }

    #[tokio::test]
    async fn without_a_durable_name_or_by_no_ack_nothing_is_settled() {
        let other = ",\"durable\":[\"m\"]";
        for (more, options) in [
            ("", &["--count", "2"][..]),
            (other, &["--count", "2"]),
            (DURABLE, &["--count", "2", "--no-ack"]),
        ] {
            let (client, mut receiver, mut far) = connected(more).await;
            deliver(&mut far, &messages(2)).await;
            let printed = print(client.clone(), &mut receiver, Shown::default(), options);
            printed.await.unwrap();
            client.post(messages(1).remove(0)).await.unwrap();
            assert_eq!(
                hear(&mut far).await.msg_type(),
                "error",
                "and nothing before"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_confirms_nothing_is_an_error_after_a_while() {
        let (client, mut receiver, mut far) = connected(DURABLE).await;
        deliver(&mut far, &messages(1)).await;
        let begin = tokio::time::Instant::now();
        let printed = print(client, &mut receiver, Shown::default(), &["--count", "1"]).await;
        let error = printed.unwrap_err().to_string();
        assert!(
            error.starts_with("the server didn't confirm within 5 s"),
            "{error}"
        );
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_before_the_server_confirms_is_an_error() {
        let (client, mut receiver, mut far) = connected(DURABLE).await;
        deliver(&mut far, &messages(1)).await;
        let printing = print(client, &mut receiver, Shown::default(), &["--count", "1"]);
        let server = async {
            let _ack = hear(&mut far).await;
            drop(far);
        };
        let (printed, ()) = tokio::join!(printing, server);
        assert!(matches!(printed, Err(EarlyEnd::NotSettled(NotSettled))));
    }
}
