//! Constructors of messages: a fresh id, the current time, and the fields of a type.

use std::convert::Infallible;
use std::time::Duration;

use super::{
    Ack, DomainEvent, ErrorReport, Heartbeat, Hello, IngestEvent, Level, LogRecord, Message,
    Payload, Timestamp, UnknownFields,
};
use crate::ids::{MsgId, Name, NameError, unix_time};
use crate::limits::{HEALTH_MONITOR, LOG_AGGREGATOR};

/// The target of a message. An argument `impl TryInto<Target>` can be a text, a [`Name`] or [`Target::Everyone`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Target {
    /// Every connection but the sender's.
    #[default]
    Everyone,
    /// The connection that owns this name.
    Name(Name),
}

impl Message {
    /// A message with a fresh id and the current time. The id is a UUID of version 7:
    /// ids sort by time. For one that tells no time, set `msg_id` to a
    /// [`MsgId::random`].
    ///
    /// # Errors
    /// `source` or `target` is not a name.
    pub fn new(
        source: impl TryInto<Name, Error: Into<NameError>>,
        target: impl TryInto<Target, Error: Into<NameError>>,
        payload: impl Into<Payload>,
    ) -> Result<Self, NameError> {
        let now = unix_time();
        Self::at(now, Timestamp::at(now), source, target, payload)
    }

    /// A message of the time `unix` after 1970, which `timestamp` spells.
    fn at(
        unix: Duration,
        timestamp: Timestamp,
        source: impl TryInto<Name, Error: Into<NameError>>,
        target: impl TryInto<Target, Error: Into<NameError>>,
        payload: impl Into<Payload>,
    ) -> Result<Self, NameError> {
        Ok(Self {
            msg_id: MsgId::fresh_at(unix),
            timestamp,
            source: source.try_into().map_err(Into::into)?,
            target: target.try_into().map_err(Into::into)?.into(),
            payload: payload.into(),
            unknown: UnknownFields::new(),
        })
    }

    /// An event of the run `run_id` that happens now: an order, an execution, a
    /// bar, …
    ///
    /// ```
    /// use tickwire::wire::{Message, Number, Order, OrderType, Side, Target};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let order = Order {
    ///     order_type: Some(OrderType::Limit),
    ///     price: Some("45000.0".parse()?),
    ///     ..Order::new("ord-456", "BTCUSDT", Side::Buy, Number::try_from(0.1)?)
    /// };
    /// let message = Message::event("quantower-connector", "api-gateway", "run-123", order.clone())?;
    /// let broadcast = Message::event("quantower-connector", Target::Everyone, "run-123", order)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `source` or `target` is not a name.
    pub fn event(
        source: impl TryInto<Name, Error: Into<NameError>>,
        target: impl TryInto<Target, Error: Into<NameError>>,
        run_id: impl Into<String>,
        event: impl Into<DomainEvent>,
    ) -> Result<Self, NameError> {
        let event = event.into();
        let unix = unix_time();
        let now = Timestamp::at(unix);
        let payload = IngestEvent::new(
            run_id,
            event.event_type(),
            now.clone(),
            now.clone(),
            event.to_payload_json(),
        );
        Self::at(unix, now, source, target, payload)
    }

    /// A sign of life, for `health-monitor`.
    ///
    /// # Errors
    /// `source` is not a name.
    pub fn heartbeat(
        source: impl TryInto<Name, Error: Into<NameError>>,
        status: impl Into<String>,
    ) -> Result<Self, NameError> {
        Self::new(
            source,
            HEALTH_MONITOR,
            Heartbeat::new(status, Timestamp::now()),
        )
    }

    /// A line of the log `name`, for `log-aggregator`.
    ///
    /// # Errors
    /// `source` is not a name.
    pub fn log(
        source: impl TryInto<Name, Error: Into<NameError>>,
        level: Level,
        name: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<Self, NameError> {
        let payload = LogRecord::new(Timestamp::now(), level, name, message);
        Self::new(source, LOG_AGGREGATOR, payload)
    }

    /// An error to report to `target`.
    ///
    /// # Errors
    /// `source` or `target` is not a name.
    pub fn error(
        source: impl TryInto<Name, Error: Into<NameError>>,
        target: impl TryInto<Target, Error: Into<NameError>>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<Self, NameError> {
        Self::new(source, target, ErrorReport::new(code, message))
    }

    /// An acknowledgment of `message` by `source`, for the message's sender.
    ///
    /// # Errors
    /// `source` is not a name.
    pub fn ack_of(
        source: impl TryInto<Name, Error: Into<NameError>>,
        message: &Message,
    ) -> Result<Self, NameError> {
        Self::new(
            source,
            &message.source,
            Ack::new(message.msg_id, Timestamp::now()),
        )
    }

    /// The ack that settles this message: of the name that it was addressed to, for its
    /// sender. `None` of a broadcast or an `ack`, which need no settling.
    #[must_use]
    pub fn settlement(&self) -> Option<Self> {
        if matches!(self.payload, Payload::Ack(_)) {
            return None;
        }
        let ack = Ack::new(self.msg_id, Timestamp::now());
        let settled_by = self.target.as_ref()?;
        Self::new(settled_by, &self.source, ack).ok()
    }

    /// The first message of a client. Claims `source` unless `hello` says otherwise.
    /// Start from [`Hello::default`].
    ///
    /// # Errors
    /// `source` is not a name.
    pub fn hello(
        source: impl TryInto<Name, Error: Into<NameError>>,
        hello: Hello,
    ) -> Result<Self, NameError> {
        Self::new(source, Target::Everyone, hello)
    }
}

macro_rules! event_builders {
    ($($(#[$doc:meta])* $builder:ident($entity:ident);)*) => {
        impl Message {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// `source` or `target` is not a name.
            pub fn $builder(
                source: impl TryInto<Name, Error: Into<NameError>>,
                target: impl TryInto<Target, Error: Into<NameError>>,
                run_id: impl Into<String>,
                $builder: super::$entity,
            ) -> Result<Self, NameError> {
                Self::event(source, target, run_id, $builder)
            }
        )*}
    };
}
event_builders! {
    /// An order of the run `run_id`; see [`Message::event`].
    order(Order);
    /// An execution of the run `run_id`; see [`Message::event`].
    execution(Execution);
    /// A bar, seen by the run `run_id`; see [`Message::event`].
    market_data(MarketData);
    /// News of a strategy's instance; see [`Message::event`].
    strategy_event(StrategyEvent);
    /// News of a group of orders; see [`Message::event`].
    oco_group(OcoGroupEvent);
    /// Several events of the run `run_id` in one message; see
    /// [`Message::event`].
    batch(Batch);
}

impl From<Target> for Option<Name> {
    fn from(target: Target) -> Self {
        match target {
            Target::Everyone => None,
            Target::Name(name) => Some(name),
        }
    }
}

impl From<Option<Name>> for Target {
    fn from(name: Option<Name>) -> Self {
        name.map_or(Self::Everyone, Self::Name)
    }
}

impl From<Name> for Target {
    fn from(name: Name) -> Self {
        Self::Name(name)
    }
}

impl From<&Name> for Target {
    fn from(name: &Name) -> Self {
        Self::Name(name.clone())
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

macro_rules! try_from_text {
    ($($text:ty => $target:ty, $named:expr;)*) => {$(
        impl TryFrom<$text> for $target {
            type Error = NameError;
            fn try_from(text: $text) -> Result<Self, NameError> {
                Name::new(text).map($named)
            }
        }
    )*};
}
try_from_text! {
    &str => Target, Target::Name;
    &String => Target, Target::Name;
    String => Target, Target::Name;
    String => Name, |name| name;
    &String => Name, |name| name;
}

/// Lets a [`Name`] be an argument `impl TryInto<Name>`.
impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
