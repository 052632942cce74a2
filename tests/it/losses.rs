//! The log and the counters tell of lost messages: where the sender is gone,
//! nothing else does.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tickwire::{ServerHandle, loss};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server_with, within};

/// An event that tells of lost messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Loss {
    message: String,
    name: Option<String>,
    count: Option<u64>,
}

/// A program's own subscriber, that keeps these events only.
#[derive(Debug, Clone, Default)]
struct Losses(Arc<Mutex<Vec<Loss>>>);

impl Losses {
    fn so_far(&self) -> Vec<Loss> {
        self.0.lock().expect("no panic").clone()
    }

    /// Waits until there are so many.
    async fn wait_for(&self, count: usize) -> Vec<Loss> {
        within("events", async {
            while self.so_far().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.so_far()
    }
}

impl Subscriber for Losses {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        loss::is_loss(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut loss = Loss::default();
        event.record(&mut loss);
        self.0.lock().expect("no panic").push(loss);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Loss {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            loss::NAME => self.name = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == loss::COUNT {
            self.count = Some(value);
        }
    }
}

async fn start() -> ServerHandle {
    start_server_with(|server| server.linger(Duration::ZERO).queue_bytes(64 * 1024 * 1024)).await
}

/// Sends more than the kernel takes to `slow`, from as many connections.
async fn fill(server: &ServerHandle, senders: usize) -> Vec<RawClient> {
    let mut all = Vec::new();
    for _ in 0..senders {
        all.push(RawClient::speaking_for_others(server.local_addr()).await);
    }
    for _ in 0..60 {
        for sender in &mut all {
            let order = Draft::order("sender", "slow").padded(100_000);
            sender.ask_acked(&order).await;
        }
    }
    all
}

#[tokio::test]
async fn what_is_given_up_is_one_event_a_name_and_is_counted() {
    let losses = Losses::default();
    let _default = tracing::subscriber::set_default(losses.clone());
    let server = start().await;
    let slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let senders = fill(&server, 2).await;
    assert_eq!(server.stats().given_up, 0);
    for sender in senders {
        sender.leave().await;
    }
    // No sender is left that could be told.
    slow.reset();
    let told = losses.wait_for(1).await;
    let given_up = server.stats().given_up;
    assert!(given_up > 0);
    let expected = Loss {
        message: "undelivered".to_owned(),
        name: Some("slow".to_owned()),
        count: Some(given_up),
    };
    assert_eq!(told, [expected]);
}

#[tokio::test]
async fn an_end_without_a_shutdown_can_say_what_is_lost() {
    let losses = Losses::default();
    let _default = tracing::subscriber::set_default(losses.clone());
    let server = start().await;
    let _slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    assert_eq!(server.abandon(), 0);
    let _senders = fill(&server, 1).await;
    let lost = server.abandon();
    assert!(lost > 0);
    assert_eq!(server.stats().given_up, lost);
    let told = losses.so_far();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].name.as_deref(), Some("slow"));
    assert_eq!(told[0].count, Some(lost));
}
