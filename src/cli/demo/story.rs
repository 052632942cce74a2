//! The messages of the participants: the platform's eleven examples, varied.

use serde_json::json;
use tickwire::ids::NameError;
use tickwire::wire::{
    Bar, Batch, DomainEvent, ErrorReport, Execution, Level, LogRecord, MarketData, Message, Number,
    OcoGroup, OcoGroupEvent, Order, OrderType, RawObject, Side, StrategyEvent, StrategyInstance,
    Target, Timestamp,
};
use tickwire_load::messages::Random;

/// The platform's participants: every name in the example messages.
pub const PARTICIPANTS: [&str; 9] = [
    CONNECTOR, GATEWAY, FEED, TRADES, LOGS, HEALTH, STRATEGIES, ORDERS, BATCHES,
];
/// Sends orders and executions.
pub const CONNECTOR: &str = "quantower-connector";
/// Takes them, and confirms orders.
pub const GATEWAY: &str = "api-gateway";
const FEED: &str = "market-data-feed";
const TRADES: &str = "trade-service";
const LOGS: &str = "log-aggregator";
const HEALTH: &str = "health-monitor";
const STRATEGIES: &str = "strategy-manager";
const ORDERS: &str = "order-manager";
const BATCHES: &str = "batch-processor";

type Act = fn(&mut Story) -> Result<Message, NameError>;

/// The messages of a round. An `ack` is sent by the gateway for each order.
const ROUND: [Act; 20] = [
    Story::heartbeat,
    Story::bar,
    Story::order,
    Story::execution,
    Story::trade_log,
    Story::bar,
    Story::order,
    Story::execution,
    Story::strategy,
    Story::bar,
    Story::order,
    Story::error_log,
    Story::heartbeat,
    Story::bar,
    Story::oco_group,
    Story::order,
    Story::execution,
    Story::error,
    Story::bar,
    Story::batch,
];

#[derive(Debug)]
struct Instrument {
    symbol: &'static str,
    price: f64,
    decimals: usize,
}

#[derive(Debug)]
pub struct Story {
    random: Random,
    step: usize,
    heartbeats: usize,
    run_id: String,
    instruments: [Instrument; 3],
    next_order: u64,
    /// The order that an execution will be about.
    order: Option<Order>,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let instrument = |symbol, price, decimals| Instrument {
            symbol,
            price,
            decimals,
        };
        let mut random = Random::new(seed);
        Self {
            run_id: format!("run-{}", 100 + random.below(900)),
            random,
            step: 0,
            heartbeats: 0,
            instruments: [
                instrument("BTCUSDT", 45_000.0, 2),
                instrument("ETHUSDT", 2_800.0, 2),
                instrument("DOGEUSDT", 0.31, 5),
            ],
            next_order: 456,
            order: None,
        }
    }

    pub fn next(&mut self) -> Message {
        let message = ROUND[self.step % ROUND.len()](self);
        self.step += 1;
        message.expect("the participants' names are names")
    }

    fn order(&mut self) -> Result<Message, NameError> {
        let order = self.new_order();
        self.order = Some(order.clone());
        Message::order(CONNECTOR, GATEWAY, &self.run_id, order)
    }

    fn execution(&mut self) -> Result<Message, NameError> {
        let order = self.order.take().unwrap_or_else(|| self.new_order());
        let execution = self.execution_of(order);
        Message::execution(CONNECTOR, GATEWAY, &self.run_id, execution)
    }

    fn bar(&mut self) -> Result<Message, NameError> {
        let volume = self.random.below(10_000) as f64 / 1_000.0;
        let wick = self.random.below(1_000) as f64 / 1_000_000.0;
        let (symbol, open, close, decimals) = self.moved_price();
        let price = |price: f64| decimal(price, decimals);
        let bar = Bar::new(
            Timestamp::now(),
            price(open),
            price(open.max(close) * (1.0 + wick)),
            price(open.min(close) * (1.0 - wick)),
            price(close),
            decimal(volume, 3),
        );
        let series = format!("series-{}-1m", symbol.to_ascii_lowercase());
        let market_data = MarketData::new(series, symbol, "1m", bar);
        Message::market_data(FEED, Target::Everyone, &self.run_id, market_data)
    }

    fn trade_log(&mut self) -> Result<Message, NameError> {
        let meta = json!({
            "trade_id": format!("trade-{}", 100 + self.random.below(900)),
            "run_id": self.run_id,
            "pnl": (self.swing() * 5_000.0).round() / 100.0,
            "duration_ms": 1_000 + self.random.below(90_000),
        });
        let text = "Trade reconstructed successfully";
        Message::new(TRADES, LOGS, log(Level::Info, "trade_service", text, &meta))
    }

    fn error_log(&mut self) -> Result<Message, NameError> {
        let meta = json!({
            "order_id": format!("ord-{}", self.next_order),
            "error_code": "INVALID_QUANTITY",
            "client_ip": format!("192.168.1.{}", 100 + self.random.below(100)),
        });
        let text = "Failed to process order: Invalid quantity";
        let record = log(Level::Error, "order_handler", text, &meta);
        Message::new(GATEWAY, LOGS, record)
    }

    /// Everybody is alive, one after another.
    fn heartbeat(&mut self) -> Result<Message, NameError> {
        let mut others = PARTICIPANTS.iter().filter(|name| **name != HEALTH).cycle();
        let source = others.nth(self.heartbeats).expect("a cycle never ends");
        self.heartbeats = (self.heartbeats + 1) % (PARTICIPANTS.len() - 1);
        Message::heartbeat(*source, "alive")
    }

    fn error(&mut self) -> Result<Message, NameError> {
        let details = json!({
            "exchange": "binance",
            "last_successful_ping": Timestamp::now(),
            "retry_count": 1 + self.random.below(5),
        });
        let report = ErrorReport {
            details: Some(object(&details)),
            ..ErrorReport::new("CONNECTION_LOST", "Lost connection to exchange API")
        };
        Message::new(FEED, GATEWAY, report)
    }

    fn strategy(&mut self) -> Result<Message, NameError> {
        let fast = 8 + self.random.below(8);
        let parameters = json!({
            "fast_period": fast,
            "slow_period": fast * 2 + 2,
            "signal_period": 9,
        });
        let instance = StrategyInstance {
            instance_name: Some("BTC Trend Following".to_owned()),
            parameters_json: Some(object(&parameters)),
            symbols_json: Some(vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()]),
            timeframe: Some("1h".to_owned()),
            venue: Some("binance".to_owned()),
            created_utc: Some(Timestamp::now()),
            ..StrategyInstance::new("inst-789", "str-123")
        };
        let event = StrategyEvent::new("instance_updated", instance);
        Message::strategy_event(STRATEGIES, GATEWAY, &self.run_id, event)
    }

    fn oco_group(&mut self) -> Result<Message, NameError> {
        let first = self.next_order;
        self.next_order += 3;
        let ids: Vec<String> = (first..first + 3).map(|n| format!("ord-{n}")).collect();
        let roles = json!({
            "entry_order": ids[0],
            "stop_loss": ids[1],
            "take_profit": ids[2],
        });
        let group = OcoGroup {
            run_id: Some(self.run_id.clone()),
            created_utc: Some(Timestamp::now()),
            label: Some("BTC Entry with SL/TP".to_owned()),
            extra_json: Some(object(&roles)),
            ..OcoGroup::new(format!("oco-{first}"), ids)
        };
        let event = OcoGroupEvent::new("oco_group_created", group);
        Message::oco_group(ORDERS, GATEWAY, &self.run_id, event)
    }

    fn batch(&mut self) -> Result<Message, NameError> {
        let order = self.new_order();
        let execution = self.execution_of(order.clone());
        let batch = Batch::of([DomainEvent::from(order), DomainEvent::from(execution)]);
        Message::batch(BATCHES, GATEWAY, &self.run_id, batch)
    }

    /// Returns a number from -1 to 1.
    fn swing(&mut self) -> f64 {
        self.random.below(2_001) as f64 / 1_000.0 - 1.0
    }

    fn new_order(&mut self) -> Order {
        let (symbol, _, price, decimals) = self.moved_price();
        let order_id = format!("ord-{}", self.next_order);
        self.next_order += 1;
        let side = [Side::Buy, Side::Sell][self.random.below(2) as usize].clone();
        let quantity = decimal((1 + self.random.below(2_000)) as f64 / 1_000.0, 3);
        let price = (self.random.below(4) > 0).then(|| decimal(price, decimals));
        let order_type = price
            .as_ref()
            .map_or(OrderType::Market, |_| OrderType::Limit);
        Order {
            order_type: Some(order_type),
            price,
            ..Order::new(order_id, symbol, side, quantity)
        }
    }

    fn execution_of(&mut self, order: Order) -> Execution {
        let instrument = self.instruments.iter().find(|i| i.symbol == order.symbol);
        let (last, decimals) = instrument.map_or((1.0, 2), |i| (i.price, i.decimals));
        let price = order.price.unwrap_or_else(|| decimal(last, decimals));
        let commission = price.to_f64() * order.quantity.to_f64() / 1_000.0;
        let id = format!("exec-{}", 100 + self.random.below(900));
        Execution {
            symbol: Some(order.symbol),
            side: Some(order.side),
            commission: Some(decimal(commission, 4)),
            ..Execution::new(id, order.order_id, order.quantity, price)
        }
    }

    /// Moves a price. Returns its symbol, the price before and after, its decimals.
    fn moved_price(&mut self) -> (&'static str, f64, f64, usize) {
        let swing = self.swing();
        let chosen = self.random.below(self.instruments.len() as u64) as usize;
        let instrument = &mut self.instruments[chosen];
        let before = instrument.price;
        instrument.price *= 1.0 + swing / 500.0;
        let Instrument {
            symbol,
            price,
            decimals,
        } = *instrument;
        (symbol, before, price, decimals)
    }
}

fn log(level: Level, name: &str, text: &str, meta: &serde_json::Value) -> LogRecord {
    LogRecord {
        meta: Some(object(meta)),
        ..LogRecord::new(Timestamp::now(), level, name, text)
    }
}

fn object(value: &serde_json::Value) -> RawObject {
    RawObject::of(value).expect("an object is written as an object")
}

fn decimal(value: f64, decimals: usize) -> Number {
    format!("{value:.decimals$}")
        .parse()
        .expect("a finite decimal is a number of JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tickwire::wire::{Parser, Validation};

    use super::*;
    use crate::cli::demo::line::kind;

    #[test]
    fn every_kind_comes_within_one_round_and_keeps_the_rules() {
        let mut story = Story::new(7);
        let mut parser = Parser::new(Validation::Payload);
        let mut kinds = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for _ in 0..ROUND.len() * 20 {
            let message = story.next();
            parser.parse(message.to_json().as_bytes()).unwrap();
            assert!(ids.insert(message.msg_id.to_string()));
            if ids.len() <= ROUND.len() {
                kinds.insert(kind(&message));
            }
        }
        let expected = [
            "error",
            "event/execution",
            "event/market_data",
            "event/order",
            "event/strategy_event",
            "event/system_event",
            "heartbeat",
            "log_record",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_participants_speak_and_are_spoken_to() {
        let mut story = Story::new(1);
        for _ in 0..ROUND.len() * 9 {
            let message = story.next();
            assert!(PARTICIPANTS.contains(&message.source.as_str()));
            if let Some(target) = &message.target {
                assert!(PARTICIPANTS.contains(&target.as_str()));
                assert_ne!(*target, message.source);
            }
        }
    }
}
