//! The payload of each message type.

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::fields::fields;
use super::words::closed_words;
use super::{
    Hello, MessageError, RawObject, Subscribe, Timestamp, Unsubscribe, Welcome, WriteJson,
};
use crate::ids::{MsgId, Name};
use crate::wire::refusal::ErrorCode;

/// Defines [`Payload`]: its types by their `msg_type`, a large one in a box.
macro_rules! payloads {
    ($($msg_type:literal: $variant:ident($type:ident) as $held:ty,)*) => {
        /// The payload of a message, by its `msg_type`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Payload {
            $(#[doc = concat!("`", $msg_type, "`")] $variant($held),)*
        }

        impl Payload {
            /// The `msg_type` of a message that carries this.
            #[must_use]
            pub const fn msg_type(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $msg_type,)*
                }
            }

            pub(super) fn read(msg_type: &str, payload: &str) -> Result<Self, MessageError> {
                let read = match msg_type {
                    $($msg_type => serde_json::from_str(payload).map(Self::$variant),)*
                    _ => return Err(MessageError::UnknownType(msg_type.into())),
                };
                read.map_err(|error| MessageError::in_object("payload", &error))
            }
        }

        impl WriteJson for Payload {
            fn write_json(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(payload) => payload.write_json(out),)*
                }
            }
        }

        impl Serialize for Payload {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(payload) => payload.serialize(serializer),)*
                }
            }
        }

        $(impl From<$type> for Payload {
            fn from(payload: $type) -> Self {
                Self::$variant(payload.into())
            }
        })*
    };
}
payloads! {
    "ingest_event": IngestEvent(IngestEvent) as IngestEvent,
    "log_record": LogRecord(LogRecord) as LogRecord,
    "heartbeat": Heartbeat(Heartbeat) as Heartbeat,
    "error": Error(ErrorReport) as ErrorReport,
    "ack": Ack(Ack) as Ack,
    "hello": Hello(Hello) as Box<Hello>,
    "welcome": Welcome(Welcome) as Box<Welcome>,
    "subscribe": Subscribe(Subscribe) as Box<Subscribe>,
    "unsubscribe": Unsubscribe(Unsubscribe) as Unsubscribe,
}

fields! {
    /// An event of a run; `payload_json` is its subject.
    pub struct IngestEvent {
        /// The run that it belongs to.
        run_id: String,
        /// The type of the event.
        event_type: EventType,
        /// When it happened.
        event_utc: Timestamp,
        /// When its source received it.
        received_utc: Timestamp,
        /// The event itself. [`IngestEvent::domain`] gives it its type.
        payload_json: RawObject,
    }
}

fields! {
    /// A line of a log.
    pub struct LogRecord {
        /// When it was logged.
        timestamp: Timestamp,
        /// The level of the record.
        level: Level,
        /// The logger.
        name: String,
        /// The text.
        message: String,
    } optional {
        /// Further details.
        meta: RawObject,
    }
}

fields! {
    /// A sign of life.
    pub struct Heartbeat {
        /// The state of the source: `alive`.
        status: String,
        /// When it was so.
        timestamp: Timestamp,
    }
}

fields! {
    /// An error, of the server or of a participant.
    pub struct ErrorReport {
        /// The error for programs. The server's are [`ErrorCode`]s.
        code: String,
        /// The error for people.
        message: String,
    } optional {
        /// Further details.
        details: RawObject,
    }
}

fields! {
    /// Says that a message was taken.
    pub struct Ack {
        /// The message that was taken, its id spelled as its sender spelled it.
        acknowledged_msg_id: MsgId,
        /// When it was taken.
        timestamp: Timestamp,
    }
}

closed_words! {
    /// The type of an [`IngestEvent`].
    pub enum EventType {
        /// An order, or a group of orders.
        Order = "order",
        /// An order was filled.
        Execution = "execution",
        /// Prices.
        MarketData = "market_data",
        /// Something about a strategy.
        StrategyEvent = "strategy_event",
        /// Something about the platform.
        SystemEvent = "system_event",
    }
}

closed_words! {
    /// Where a message was kept when it was acknowledged, the least first.
    pub enum Durability {
        /// In the memory of the server's process, which may end.
        Memory = "memory",
        /// In the operating system's hands: it outlives the process, not a loss of power.
        Os = "os",
        /// On the disk.
        Disk = "disk",
    }
}

closed_words! {
    /// The level of a [`LogRecord`].
    pub enum Level {
        Trace = "TRACE",
        Debug = "DEBUG",
        Info = "INFO",
        Warn = "WARN",
        Warning = "WARNING",
        Error = "ERROR",
        Critical = "CRITICAL",
        Fatal = "FATAL",
    }
}

impl ErrorReport {
    /// The code, if it is one of tickwire's own.
    #[must_use]
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_text(&self.code)
    }

    /// `details.msg_id`: the message that the error is about, if there is one.
    #[must_use]
    pub fn msg_id(&self) -> Option<MsgId> {
        self.detail("msg_id")
    }

    /// `details.field`: the field that is wrong, dotted.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        self.detail("field")
    }

    /// `details.name`: the name that the error concerns, if it concerns one.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.detail("name")
    }

    fn detail<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let details: super::UnknownFields = self.details.as_ref()?.read().ok()?;
        serde_json::from_str(details.get(key)?.get()).ok()
    }
}

impl Ack {
    /// `dropped`: how many receivers missed the message, or a batch in sum.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        match self.field("dropped") {
            Some(OneOrEach::One(sum)) => sum,
            Some(OneOrEach::Each(list)) => list.iter().sum(),
            None => 0,
        }
    }

    /// `durability`: where the message was kept when it was acknowledged, if the server
    /// tells; of a batch the least that holds for all. Later servers may know other words.
    #[must_use]
    pub fn durability(&self) -> Option<Durability> {
        match self.field("durability")? {
            OneOrEach::One(durability) => Some(durability),
            OneOrEach::Each(list) => list.into_iter().min_by_key(|it| *it as u8),
        }
    }

    /// All messages that the ack covers: the one, or those of a batch.
    #[must_use]
    pub fn covered(&self) -> Vec<MsgId> {
        self.field("acknowledged_msg_ids")
            .unwrap_or_else(|| vec![self.acknowledged_msg_id])
    }

    /// Splits the ack into one for each message. A sum of `dropped` over several
    /// messages is left out: it says nothing of each.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        let covered = self.covered();
        let dropped: Vec<u64> = match self.field("dropped") {
            Some(OneOrEach::Each(list)) => list,
            Some(OneOrEach::One(sum)) if covered.len() == 1 => vec![sum],
            _ => Vec::new(),
        };
        let durability: Vec<Durability> = match self.field("durability") {
            Some(OneOrEach::Each(list)) => list,
            Some(OneOrEach::One(of_all)) => vec![of_all; covered.len()],
            None => Vec::new(),
        };
        let ack_of = |(index, msg_id)| {
            Self::new(msg_id, self.timestamp.clone())
                .with_dropped(dropped.get(index).copied().unwrap_or(0))
                .with_durability(durability.get(index).copied())
        };
        covered.into_iter().enumerate().map(ack_of).collect()
    }

    /// Says that `dropped` receivers missed the message, if any did.
    pub(crate) fn with_dropped(mut self, dropped: u64) -> Self {
        if dropped > 0 {
            let written = self.unknown.insert("dropped", &dropped);
            written.expect("a number can always be written as JSON");
        }
        self
    }

    /// Says where the message was kept when it was acknowledged, if that is known.
    pub(crate) fn with_durability(mut self, durability: Option<Durability>) -> Self {
        if let Some(durability) = durability {
            let written = self.unknown.insert("durability", &durability);
            written.expect("a word can always be written as JSON");
        }
        self
    }

    fn field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.unknown.get(name)?.get()).ok()
    }
}

/// The two forms of a detail of an ack.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum OneOrEach<T> {
    /// Of the one message, or of all together.
    One(T),
    /// Of each message, in a batch ack with details.
    Each(Vec<T>),
}
