//! The frames that a receiver is due: the messages queued for it, in order, and
//! in the place of dropped ones a report of exactly those.

use std::collections::VecDeque;

use serde_json::Value;

use crate::raw_client::{RawClient, Received};

#[derive(Debug)]
struct Sent {
    id: String,
    dropped: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Due {
    name: String,
    sent: VecDeque<Sent>,
}

impl Due {
    /// Nothing yet, for the owner of `name`.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sent: VecDeque::new(),
        }
    }

    /// A message was queued behind all others.
    pub fn queued(&mut self, id: impl Into<String>) {
        self.push(id.into(), false);
    }

    /// A message was dropped behind all others.
    pub fn dropped(&mut self, id: impl Into<String>) {
        self.push(id.into(), true);
    }

    fn push(&mut self, id: String, dropped: bool) {
        self.sent.push_back(Sent { id, dropped });
    }

    /// How many messages are to come; reports not counted.
    pub fn messages(&self) -> usize {
        self.sent.iter().filter(|sent| !sent.dropped).count()
    }

    /// Whether all has come.
    pub fn is_done(&self) -> bool {
        self.sent.is_empty()
    }

    /// The messages before `id` have gone to somebody else.
    pub fn skip_to(&mut self, id: &str) {
        let place = self.sent.iter().position(|sent| sent.id == id);
        self.sent.drain(..place.expect("it was sent"));
    }

    /// `received` must be the next that is due: a message, or the report of the
    /// next dropped ones. How many of those one report covers is the server's
    /// business, unless a message lies between them.
    #[track_caller]
    pub fn take(&mut self, received: &Received) {
        if received.code() != "MESSAGES_DROPPED" {
            let sent = self.sent.pop_front().expect("no more than was sent");
            assert!(!sent.dropped, "a drop was not reported: {sent:?}");
            assert_eq!(received.text("/msg_id"), sent.id);
            return;
        }
        assert_eq!(received.text("/source"), "tickwire");
        assert_eq!(received.text("/target"), self.name);
        self.take_report(&received.json["payload"]["details"]);
    }

    /// The same for the details of a `MESSAGES_DROPPED`.
    #[track_caller]
    pub fn take_report(&mut self, details: &Value) {
        assert_eq!(details["name"], self.name, "{details}");
        let count = details["count"].as_u64().expect("a count");
        let count = usize::try_from(count).expect("small");
        assert!((1..=self.sent.len()).contains(&count), "{details}");
        let missed: Vec<Sent> = self.sent.drain(..count).collect();
        assert!(missed.iter().all(|sent| sent.dropped), "{details}");
        assert_eq!(details["first_msg_id"], missed[0].id);
        assert_eq!(details["last_msg_id"], missed[count - 1].id);
    }

    /// Receives all of it, and nothing else in between.
    pub async fn receive_all(&mut self, peer: &mut RawClient) {
        while !self.is_done() {
            self.take(&peer.receive().await);
        }
    }
}
