//! Builders make messages that keep the rules.

use super::*;
use crate::wire::{Parser, Validation};

/// One message of each builder.
fn built() -> Vec<Message> {
    let (from, to, run) = ("quantower-connector", "api-gateway", "run-123");
    let order = Order {
        order_type: Some(OrderType::Limit),
        price: Some("45000.0".parse().unwrap()),
        ..Order::new(
            "ord-456",
            "BTCUSDT",
            Side::Buy,
            Number::try_from(0.1).unwrap(),
        )
    };
    let execution = Execution::new("exec-789", "ord-456", 1, 45_000);
    let bar = Bar::new(Timestamp::now(), 1, 3, 1, 2, 10_u64);
    let data = MarketData::new("series-btc-1m", "BTCUSDT", "1m", bar);
    let instance = StrategyInstance::new("inst-789", "str-123")
        .with_parameters(&BTreeMap::from([("fast_period", 12)]))
        .unwrap();
    let strategy = StrategyEvent::new("instance_updated", instance);
    let group = OcoGroup::new("oco-111", vec!["ord-456".to_owned()]);
    let batch = Batch::of([DomainEvent::from(order.clone()), execution.clone().into()]);
    let addressed = Message::order(from, to, run, order).unwrap();
    vec![
        Message::ack_of(to, &addressed).unwrap(),
        addressed,
        Message::execution(from, to.to_owned(), run, execution).unwrap(),
        Message::market_data(from, Target::Everyone, run, data).unwrap(),
        Message::strategy_event(from, to, run, strategy).unwrap(),
        Message::oco_group(
            from,
            to,
            run,
            OcoGroupEvent::new("oco_group_created", group),
        )
        .unwrap(),
        Message::batch(from, to, run, batch).unwrap(),
        Message::heartbeat(from, "alive").unwrap(),
        Message::log(from, Level::Warning, "trade_service", "reconnected").unwrap(),
        Message::error(
            from,
            to,
            "CONNECTION_LOST",
            "Lost connection to exchange API",
        )
        .unwrap(),
        Message::hello(from, Hello::default()).unwrap(),
    ]
}

#[test]
fn built_messages_read_back_as_they_are() {
    for message in built() {
        assert_eq!(read(&message.to_json()), message);
        let frame = message.to_frame();
        let (prefix, json) = frame.split_at(4);
        assert_eq!(prefix, u32::try_from(json.len()).unwrap().to_be_bytes());
        assert_eq!(json, message.to_json().as_bytes());
    }
}

#[test]
fn built_messages_keep_every_rule_that_the_server_checks() {
    for message in built() {
        let json = message.to_json();
        let frame = json.as_bytes();
        let mut parser = Parser::new(Validation::Payload);
        let header = match parser.parse(frame) {
            Ok(header) => header,
            Err(refusal) => panic!("{refusal}: {json}"),
        };
        assert_eq!(header.msg_id, message.msg_id);
        assert_eq!(
            parser.source(frame, &header.names),
            message.source.as_bytes()
        );
        let target = message.target.as_ref().map(Name::as_bytes);
        assert_eq!(parser.target(frame, &header.names), target);
    }
}

#[test]
fn each_built_message_has_an_id_of_its_own_and_the_current_time() {
    let before = chrono::Utc::now() - chrono::TimeDelta::milliseconds(1);
    let messages = built();
    for (index, message) in messages.iter().enumerate() {
        assert!(
            messages[..index]
                .iter()
                .all(|other| other.msg_id != message.msg_id)
        );
        assert!(message.timestamp.to_utc() >= before);
        assert!(message.timestamp.to_utc() <= chrono::Utc::now());
    }
}

#[test]
fn a_built_batch_holds_events_with_their_types() {
    let batch = built()
        .into_iter()
        .find_map(|message| match message.payload {
            Payload::IngestEvent(event) => match event.domain().unwrap() {
                DomainEvent::Batch(batch) => Some(batch),
                _ => None,
            },
            _ => None,
        });
    let batch = batch.unwrap();
    assert_eq!(batch.event, "batch_ingest");
    assert!(matches!(
        batch.events[0].domain(),
        Ok(DomainEvent::Order(_))
    ));
    assert!(matches!(
        batch.events[1].domain(),
        Ok(DomainEvent::Execution(_))
    ));
}

#[test]
fn an_ack_goes_back_to_the_sender_with_its_spelling_of_the_id() {
    let mut order = example(1);
    order.msg_id = MsgId::from_text(b"550E8400-E29B-41D4-A716-44665544000A").unwrap();
    let ack = Message::ack_of("api-gateway", &order).unwrap();
    assert_eq!(ack.target.as_ref().unwrap(), &order.source);
    assert!(
        ack.to_json()
            .contains("550E8400-E29B-41D4-A716-44665544000A")
    );
}

#[test]
fn builders_refuse_what_is_not_a_name() {
    assert!(Message::heartbeat("", "alive").is_err());
    assert!(Message::error("a", "b\n", "CODE", "text").is_err());
    assert!(Message::error("a", "b".repeat(129), "CODE", "text").is_err());
}
