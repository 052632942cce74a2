//! What a server says, as far as the tools heed it.

use std::time::Duration;

use serde::Deserialize;

/// A message that the server itself may have sent.
pub type ServerMessage = tickwire::wire::internal::ServerMessage<Body>;

/// What the server's answers say; each type has some of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    /// Of an ack: the message.
    acknowledged_msg_id: Option<String>,
    /// Of a batch ack: all messages.
    acknowledged_msg_ids: Option<Vec<String>>,
    /// Of an ack: how many receivers missed the message, or each.
    dropped: Option<Dropped>,
    /// Of an error.
    pub code: Option<String>,
    /// Of an error.
    pub message: Option<String>,
    /// Of an error.
    pub details: Details,
    /// Of a welcome: what it answers.
    hello_msg_id: Option<String>,
    /// Of a welcome: who welcomes.
    pub server: Option<Server>,
    /// Of a welcome: what is allowed.
    pub limits: Option<Limits>,
    /// Of a welcome: the options in force.
    granted: Option<Granted>,
}

/// The two forms of `dropped`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dropped {
    Sum(u64),
    OfEach(Vec<u64>),
}

/// The options in force.
#[derive(Debug, Deserialize)]
struct Granted {
    #[serde(default)]
    acks: Option<String>,
}

/// An error's details.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The offending message.
    pub msg_id: Option<String>,
    /// The offending field.
    pub field: Option<String>,
    /// How many messages a report is about.
    pub count: Option<u64>,
    /// Whose queue a report is about.
    pub target: Option<String>,
}

/// Who welcomes.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// The server's own name.
    pub name: String,
}

/// What is allowed.
#[derive(Debug, Deserialize)]
pub struct Limits {
    /// The largest frame, without its prefix.
    pub frame_bytes: usize,
    /// How long a full queue may pause a sender, in milliseconds. Not every
    /// server tells, and none that tells it in another form is turned away.
    #[serde(default)]
    stall_timeout_ms: serde_json::Value,
}

impl Limits {
    /// How long a full queue may pause a sender, if the server tells.
    pub fn stall_timeout(&self) -> Option<Duration> {
        self.stall_timeout_ms.as_u64().map(Duration::from_millis)
    }
}

impl Body {
    /// Of a welcome: the hello that it answers.
    pub fn hello_msg_id(&self) -> Option<&str> {
        self.hello_msg_id.as_deref()
    }

    /// Of a welcome: whether accepted messages get no acks from now on.
    pub fn silences_acks(&self) -> bool {
        let granted = self.granted.as_ref();
        granted.and_then(|granted| granted.acks.as_deref()) == Some("none")
    }

    /// Of an ack: the messages that it covers.
    pub fn covered(&self) -> impl Iterator<Item = &str> {
        let alone = match self.acknowledged_msg_ids {
            Some(_) => None,
            None => self.acknowledged_msg_id.as_deref(),
        };
        let together = self.acknowledged_msg_ids.iter().flatten();
        together.map(String::as_str).chain(alone)
    }

    /// Of an ack: how many receivers missed the messages, in sum.
    pub fn dropped(&self) -> u64 {
        match &self.dropped {
            Some(Dropped::Sum(sum)) => *sum,
            Some(Dropped::OfEach(list)) => list.iter().sum(),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_servers_messages_from_others() {
        let ack = br#"{"msg_type":"ack","source":"tickwire","payload":{"acknowledged_msg_id":"x","dropped":2}}"#;
        let message = ServerMessage::of("tickwire", ack).unwrap();
        assert_eq!(message.payload.covered().collect::<Vec<_>>(), ["x"]);
        assert_eq!(message.payload.dropped(), 2);
        assert!(ServerMessage::of("other", ack).is_none());
        assert!(ServerMessage::of("tickwire", b"{}").is_none());
        assert!(ServerMessage::of("tickwire", b"nonsense").is_none());
    }

    #[test]
    fn reads_the_pauses_of_a_server_as_far_as_it_tells_them() {
        for (told, expected) in [
            ("", None),
            (",\"stall_timeout_ms\":2000", Some(2_000)),
            (",\"stall_timeout_ms\":18446744073709551615", Some(u64::MAX)),
            (",\"stall_timeout_ms\":-1", None),
            (",\"stall_timeout_ms\":\"2s\"", None),
            (",\"stall_timeout_ms\":2.5", None),
        ] {
            let limits = format!("{{\"frame_bytes\":9{told}}}");
            let limits: Limits = serde_json::from_str(&limits).unwrap();
            let expected = expected.map(Duration::from_millis);
            assert_eq!(limits.stall_timeout(), expected, "{told}");
        }
    }

    #[test]
    fn reads_an_ack_of_many_messages() {
        for (dropped, sum) in [("3", 3), ("[1,2]", 3), ("[0,0]", 0)] {
            let ack = format!(
                r#"{{"msg_type":"ack","source":"tickwire","payload":{{"acknowledged_msg_id":"y",
                "acknowledged_msg_ids":["x","y"],"dropped":{dropped}}}}}"#
            );
            let message = ServerMessage::of("tickwire", ack.as_bytes()).unwrap();
            assert_eq!(message.payload.covered().collect::<Vec<_>>(), ["x", "y"]);
            assert_eq!(message.payload.dropped(), sum);
        }
    }
}
