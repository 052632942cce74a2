//! The messages of a server, as far as the tools heed them. Fields that another
//! version of the server may lack or write otherwise are optional here.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tickwire::ids::MsgId;

/// A message that the server itself may have sent.
pub type ServerMessage = tickwire::wire::internal::ServerMessage<Body>;

/// The fields of its payload; each type of message has some of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    // Of an ack.
    acknowledged_msg_id: Option<String>,
    acknowledged_msg_ids: Option<Vec<String>>,
    dropped: Option<Dropped>,
    // Of an error.
    pub code: Option<String>,
    pub message: Option<String>,
    pub details: Details,
    // Of a welcome.
    pub hello_msg_id: Option<String>,
    pub server: Option<Server>,
    pub limits: Option<Limits>,
    granted: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dropped {
    Sum(u64),
    OfEach(Vec<u64>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    pub msg_id: Option<String>,
    pub field: Option<String>,
    /// The number of messages that a report is about.
    pub count: Option<u64>,
    /// The owner of the queue that a report is about.
    pub target: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Server {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Limits {
    /// The largest frame, without its prefix.
    pub frame_bytes: usize,
    #[serde(default)]
    stall_timeout_ms: Value,
}

impl Limits {
    pub fn stall_timeout(&self) -> Option<Duration> {
        self.stall_timeout_ms.as_u64().map(Duration::from_millis)
    }
}

impl Body {
    /// Returns whether this is the welcome that answers the hello `id`.
    pub fn welcomes(&self, id: &MsgId) -> bool {
        self.hello_msg_id.as_deref() == Some(id.as_str())
    }

    /// Returns whether after this welcome accepted messages get no acks.
    pub fn silences_acks(&self) -> bool {
        self.granted["acks"] == "none"
    }

    /// The ids of the messages that an ack covers.
    pub fn covered(&self) -> impl Iterator<Item = &str> {
        let alone = match self.acknowledged_msg_ids {
            Some(_) => None,
            None => self.acknowledged_msg_id.as_deref(),
        };
        let together = self.acknowledged_msg_ids.iter().flatten();
        together.map(String::as_str).chain(alone)
    }

    /// The receivers that missed the messages of an ack, in sum.
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
