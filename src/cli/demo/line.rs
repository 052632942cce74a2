//! One message as one line for people.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use tickwire::wire::{DomainEvent, IngestEvent, Message, Payload};

use crate::cli::DIM;

/// Returns the kind of a message: its type, and the type of an event.
pub fn kind(message: &Message) -> String {
    match &message.payload {
        Payload::IngestEvent(event) => format!("event/{}", event.event_type),
        payload => payload.msg_type().to_owned(),
    }
}

/// Returns the line of a message that was answered after `round_trip`.
pub fn line(message: &Message, round_trip: Duration) -> String {
    line_saying(message, round_trip, &summary(message))
}

/// Returns the line of a message with a summary of its own.
pub fn line_saying(message: &Message, round_trip: Duration, summary: &str) -> String {
    let style = colour(&message.payload);
    let target = message.target.as_ref();
    let target = target.map_or("everyone", |name| name.as_str());
    format!(
        "{DIM}{:>8}{DIM:#}  {:>19} → {:<19}  {style}{:<20}{style:#}  {summary}",
        milliseconds(round_trip),
        message.source.as_str(),
        target,
        kind(message),
    )
}

pub fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

fn colour(payload: &Payload) -> Style {
    let colour = match payload {
        Payload::IngestEvent(_) => AnsiColor::Cyan,
        Payload::LogRecord(_) => AnsiColor::Blue,
        Payload::Heartbeat(_) => AnsiColor::Magenta,
        Payload::Error(_) => AnsiColor::Red,
        _ => AnsiColor::Green,
    };
    colour.on_default()
}

fn summary(message: &Message) -> String {
    match &message.payload {
        Payload::IngestEvent(event) => event_summary(event),
        Payload::LogRecord(log) => format!("{} {}: {}", log.level, log.name, log.message),
        Payload::Heartbeat(heartbeat) => heartbeat.status.clone(),
        Payload::Error(error) => format!("{}: {}", error.code, error.message),
        Payload::Ack(ack) => format!("confirms {}", ack.acknowledged_msg_id),
        _ => String::new(),
    }
}

fn event_summary(event: &IngestEvent) -> String {
    let event = match event.domain() {
        Ok(event) => event,
        Err(error) => return error.to_string(),
    };
    match event {
        DomainEvent::Order(order) => {
            let at = order.price.map(|price| format!(" at {price}"));
            let order_type = order.order_type.map(|kind| format!(" {kind}"));
            let (at, order_type) = (at.unwrap_or_default(), order_type.unwrap_or_default());
            format!(
                "{} {} {}{at}{order_type} ({})",
                order.side, order.quantity, order.symbol, order.order_id
            )
        }
        DomainEvent::Execution(execution) => format!(
            "filled {} {} at {} ({})",
            execution.quantity,
            execution.symbol.unwrap_or_default(),
            execution.price,
            execution.order_id
        ),
        DomainEvent::MarketData(data) => format!(
            "{} {} {} → {}, volume {}",
            data.symbol, data.timeframe, data.bar.open, data.bar.close, data.bar.volume
        ),
        DomainEvent::Strategy(strategy) => {
            let instance = strategy.instance;
            let name = instance.instance_name.unwrap_or(instance.instance_id);
            format!("{} {name}", strategy.event)
        }
        DomainEvent::OcoGroup(group) => format!(
            "{} {}: {}",
            group.event,
            group.oco_group.oco_group_id,
            group.oco_group.order_ids.join(", ")
        ),
        DomainEvent::Batch(batch) => {
            let kinds = batch.events.iter().map(|event| event.event_type.as_str());
            let kinds: Vec<_> = kinds.collect();
            format!("{}: {}", batch.event, kinds.join(", "))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_examples_are_told_in_a_few_words() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
        let mut paths: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let told: Vec<String> = paths
            .iter()
            .map(|path| {
                let json = std::fs::read(path).unwrap();
                summary(&Message::from_json(&json).unwrap())
            })
            .collect();
        let expected = [
            "BUY 0.1 BTCUSDT at 45000.0 LIMIT (ord-456)",
            "filled 0.1 BTCUSDT at 45000.0 (ord-456)",
            "BTCUSDT 1m 45000.0 → 45020.0, volume 1.23",
            "INFO trade_service: Trade reconstructed successfully",
            "ERROR order_handler: Failed to process order: Invalid quantity",
            "alive",
            "CONNECTION_LOST: Lost connection to exchange API",
            "confirms 550e8400-e29b-41d4-a716-446655440000",
            "instance_updated BTC Trend Following",
            "oco_group_created oco-111: ord-456, ord-457, ord-458",
            "batch_ingest: order, execution",
        ];
        assert_eq!(told, expected);
    }
}
