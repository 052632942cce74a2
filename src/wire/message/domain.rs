//! The platform's domain: the objects in an event's `payload_json`.

use serde::Serialize;

use super::fields::fields;
use super::words::open_words;
use super::{
    EventType, IngestEvent, MessageError, Number, RawObject, RawObjectError, Timestamp,
    UnknownFields,
};
use crate::wire::json::Members;

/// Defines [`DomainEvent`]: its kinds with the event type under which each is sent, and
/// the key that tells it; the first that is there decides. The words in `event` are not
/// ours to list.
macro_rules! domain_events {
    ($(
        $(#[$doc:meta])*
        $variant:ident($entity:ident) = $event_type:ident with $key:literal,
    )*) => {
        /// The subject of an event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum DomainEvent {
            $($(#[$doc])* $variant($entity),)*
            /// Something that this version has no type for.
            Other {
                /// The type of the event.
                event_type: EventType,
                /// The event as it stood in `payload_json`.
                payload_json: RawObject,
            },
        }

        impl DomainEvent {
            /// The event type under which this is sent.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$variant(_) => EventType::$event_type,)*
                    Self::Other { event_type, .. } => *event_type,
                }
            }

            /// The object that stands for this in `payload_json`.
            #[must_use]
            pub fn to_payload_json(&self) -> RawObject {
                match self {
                    $(Self::$variant(entity) => RawObject::of_fields(entity),)*
                    Self::Other { payload_json, .. } => payload_json.clone(),
                }
            }

            /// Reads the event in `payload_json`.
            fn read(event_type: EventType, payload_json: &RawObject) -> Result<Self, MessageError> {
                let members = serde_json::from_str(payload_json.as_str()).ok();
                let has = |key| members.as_ref().and_then(|all: &Members<'_>| all.first(key)).is_some();
                let read = match event_type {
                    $(EventType::$event_type if has($key) => {
                        payload_json.read().map(Self::$variant)
                    })*
                    _ => Ok(Self::Other { event_type, payload_json: payload_json.clone() }),
                };
                read.map_err(|error| MessageError::in_object("", &error))
            }
        }

        $(impl From<$entity> for DomainEvent {
            fn from(entity: $entity) -> Self {
                Self::$variant(entity)
            }
        })*
    };
}
domain_events! {
    /// Something about a group of orders of which one cancels the others.
    OcoGroup(OcoGroupEvent) = Order with "oco_group",
    /// An order.
    Order(Order) = Order with "order_id",
    /// An order was filled, wholly or in part.
    Execution(Execution) = Execution with "execution_id",
    /// A bar of prices.
    MarketData(MarketData) = MarketData with "bar",
    /// Something about an instance of a strategy.
    Strategy(StrategyEvent) = StrategyEvent with "instance",
    /// Several events at once.
    Batch(Batch) = SystemEvent with "events",
}

fields! {
    /// An order.
    pub struct Order {
        /// The order's id.
        order_id: String,
        /// The instrument.
        symbol: String,
        /// The side: to buy or to sell.
        side: Side,
        /// The quantity, in units of the instrument.
        quantity: Number,
    } optional {
        /// The type of the order.
        order_type: OrderType,
        /// The limit, in the quote currency.
        price: Number,
    }
}

fields! {
    /// An order was filled, wholly or in part.
    pub struct Execution {
        /// The execution's id.
        execution_id: String,
        /// The order that was filled.
        order_id: String,
        /// The quantity that was filled.
        quantity: Number,
        /// At which price.
        price: Number,
    } optional {
        /// The instrument.
        symbol: String,
        /// The side: bought or sold.
        side: Side,
        /// The fee of the venue.
        commission: Number,
    }
}

fields! {
    /// A bar of a series of prices.
    pub struct MarketData {
        /// The series.
        series_id: String,
        /// The instrument.
        symbol: String,
        /// The length of a bar: `1m`.
        timeframe: String,
        /// The bar.
        bar: Bar,
    }
}

fields! {
    /// The prices of one interval.
    pub struct Bar {
        /// When the interval began.
        ts_utc: Timestamp,
        /// The first price.
        open: Number,
        /// The highest price.
        high: Number,
        /// The lowest price.
        low: Number,
        /// The last price.
        close: Number,
        /// The quantity that was traded.
        volume: Number,
    }
}

fields! {
    /// Something about an instance of a strategy.
    pub struct StrategyEvent {
        /// The event: `instance_updated`.
        event: String,
        /// The instance as it is now.
        instance: StrategyInstance,
    }
}

fields! {
    /// A strategy with the parameters that it runs with.
    pub struct StrategyInstance {
        /// The instance's id.
        instance_id: String,
        /// The strategy that it is an instance of.
        strategy_id: String,
    } optional {
        /// The instance's name for people.
        instance_name: String,
        /// The parameters that it runs with.
        parameters_json: RawObject,
        /// The instrument that it trades.
        symbols_json: Vec<String>,
        /// The length of its bars: `1h`.
        timeframe: String,
        /// The venue.
        venue: String,
        /// When it was created.
        created_utc: Timestamp,
    }
}

fields! {
    /// Something about a group of orders.
    pub struct OcoGroupEvent {
        /// The event: `oco_group_created`.
        event: String,
        /// The group as it is now.
        oco_group: OcoGroup,
    }
}

fields! {
    /// Orders of which one cancels the others.
    pub struct OcoGroup {
        /// The group's id.
        oco_group_id: String,
        /// Its orders.
        order_ids: Vec<String>,
    } optional {
        /// The run that it belongs to.
        run_id: String,
        /// When it was created.
        created_utc: Timestamp,
        /// Its name for people.
        label: String,
        /// Further fields.
        extra_json: RawObject,
    }
}

fields! {
    /// Several events at once.
    pub struct Batch {
        /// The event: `batch_ingest`.
        event: String,
        /// The events in order.
        events: Vec<BatchedEvent>,
    }
}

fields! {
    /// One event of a [`Batch`]: its type beside its own fields.
    pub struct BatchedEvent {
        /// The type of the event. Its fields are in `unknown`.
        event_type: EventType,
    }
}

open_words! {
    /// The side of an order or execution.
    pub enum Side {
        Buy = "BUY",
        Sell = "SELL",
    }
}

open_words! {
    /// The type of an order: the way in which it is to be filled.
    pub enum OrderType {
        /// At once, at any price.
        Market = "MARKET",
        /// At this price or a better one.
        Limit = "LIMIT",
        /// At any price, once this price was reached.
        Stop = "STOP",
        /// At the limit, once the stop price was reached.
        StopLimit = "STOP_LIMIT",
    }
}

impl IngestEvent {
    /// Reads the subject of the event from `payload_json`.
    ///
    /// # Errors
    /// It breaks the rules of its type; the server didn't look into it.
    pub fn domain(&self) -> Result<DomainEvent, MessageError> {
        DomainEvent::read(self.event_type, &self.payload_json)
            .map_err(|e| e.within("payload.payload_json"))
    }
}

impl BatchedEvent {
    /// The subject of the event.
    ///
    /// # Errors
    /// It breaks the rules of its type.
    pub fn domain(&self) -> Result<DomainEvent, MessageError> {
        DomainEvent::read(self.event_type, &self.fields())
    }

    /// The event's own fields, without its type.
    #[must_use]
    pub fn fields(&self) -> RawObject {
        RawObject::of(&self.unknown).expect("fields are written as an object")
    }
}

impl From<DomainEvent> for BatchedEvent {
    fn from(event: DomainEvent) -> Self {
        let mut unknown: UnknownFields = event
            .to_payload_json()
            .read()
            .expect("an object has fields");
        unknown.remove("event_type");
        Self {
            event_type: event.event_type(),
            unknown,
        }
    }
}

impl StrategyInstance {
    /// Sets the parameters.
    ///
    /// # Errors
    /// `parameters` are not written as a JSON object.
    pub fn with_parameters(
        mut self,
        parameters: &(impl Serialize + ?Sized),
    ) -> Result<Self, RawObjectError> {
        self.parameters_json = Some(RawObject::of(parameters)?);
        Ok(self)
    }
}

impl Batch {
    /// A batch of these events.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = impl Into<DomainEvent>>) -> Self {
        let events: Vec<BatchedEvent> = events
            .into_iter()
            .map(|event| event.into().into())
            .collect();
        Self::new("batch_ingest", events)
    }
}
