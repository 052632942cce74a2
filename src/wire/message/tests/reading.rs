//! Reading and writing lose nothing, and errors name the fault.

use super::*;

#[test]
fn reading_and_writing_an_example_loses_nothing() {
    for json in MESSAGES {
        assert_written_alike(json);
    }
}

#[test]
fn a_message_is_written_as_serde_would_write_it() {
    use crate::wire::testing::generate::{Seed, message};
    let mut compared = 0;
    let generated = (0..20_000).map(|seed| message(&mut Seed::new(seed)));
    for json in generated.chain(MESSAGES.map(str::to_owned)) {
        let Ok(message) = Message::from_json(json.as_bytes()) else {
            continue;
        };
        compared += 1;
        assert_eq!(message.to_json(), serde_json::to_string(&message).unwrap());
        if let Payload::IngestEvent(event) = &message.payload
            && let Ok(domain) = event.domain()
        {
            let by_serde = match &domain {
                DomainEvent::Order(event) => serde_json::to_string(event),
                DomainEvent::OcoGroup(event) => serde_json::to_string(event),
                DomainEvent::Execution(event) => serde_json::to_string(event),
                DomainEvent::MarketData(event) => serde_json::to_string(event),
                DomainEvent::Strategy(event) => serde_json::to_string(event),
                DomainEvent::Batch(event) => serde_json::to_string(event),
                DomainEvent::Other { payload_json, .. } => serde_json::to_string(payload_json),
            };
            assert_eq!(domain.to_payload_json().as_str(), by_serde.unwrap());
        }
    }
    assert!(compared > 2_000, "only {compared} messages could be read");
}

#[test]
fn every_event_among_the_examples_has_a_type_that_loses_nothing() {
    for (what, json) in EXAMPLES.into_iter().zip(MESSAGES) {
        let Payload::IngestEvent(event) = read(json).payload else {
            continue;
        };
        let domain = event.domain().unwrap();
        let found = match &domain {
            DomainEvent::Order(_) => "order",
            DomainEvent::OcoGroup(_) => "oco group",
            DomainEvent::Execution(_) => "execution",
            DomainEvent::MarketData(_) => "market data",
            DomainEvent::Strategy(_) => "strategy",
            DomainEvent::Batch(_) => "batch",
            DomainEvent::Other { .. } => "other",
        };
        assert_eq!(found, what);
        assert_eq!(domain.event_type(), event.event_type);
        assert_eq!(
            canonical(domain.to_payload_json().as_str()),
            canonical(event.payload_json.as_str())
        );
    }
}

#[test]
fn the_entities_hold_what_the_examples_say() {
    let DomainEvent::Order(order) = domain_of(&example(1)) else {
        panic!("no order");
    };
    assert_eq!(
        (order.order_id.as_str(), order.side),
        ("ord-456", Side::Buy)
    );
    assert_eq!(order.order_type, Some(OrderType::Limit));
    assert_eq!(order.price.unwrap().as_str(), "45000.0");

    let DomainEvent::MarketData(data) = domain_of(&example(3)) else {
        panic!("no market data");
    };
    assert_eq!(data.bar.close.to_f64(), 45020.0);

    let DomainEvent::Strategy(StrategyEvent { instance, .. }) = domain_of(&example(9)) else {
        panic!("no strategy event");
    };
    assert_eq!(instance.symbols_json.unwrap(), ["BTCUSDT", "ETHUSDT"]);

    let DomainEvent::OcoGroup(OcoGroupEvent { oco_group, .. }) = domain_of(&example(10)) else {
        panic!("no group");
    };
    assert_eq!(oco_group.order_ids.len(), 3);

    let DomainEvent::Batch(batch) = domain_of(&example(11)) else {
        panic!("no batch");
    };
    let inner: Vec<_> = batch.events.iter().map(|e| e.domain().unwrap()).collect();
    assert!(matches!(
        &inner[..],
        [DomainEvent::Order(order), DomainEvent::Execution(execution)]
            if order.side == Side::Sell && execution.price.as_str() == "2800.0"
    ));
}

#[test]
fn unknown_fields_survive_at_every_level() {
    assert_written_alike(
        r#"{"x": null, "msg_id":"550E8400-e29b-41d4-A716-446655440000","msg_type":"ingest_event",
        "timestamp":"2026-01-03T14:41:00+02:00","source":"s\u00e9","extra":[1.0,{"deep":1e400}],
        "payload":{"run_id":"r","event_type":"order","event_utc":"2026-01-03t12:41:00z","seq":01234,
        "received_utc":"2026-01-03T12:41:00.1000Z","payload_json":{}}}"#
            .replace("01234", "1234567890123456789012345")
            .as_str(),
    );
}

#[test]
fn entities_keep_unknown_fields_and_the_spelling_of_numbers() {
    let json = r#"{"order_id":"o","symbol":"S","side":"SHORT","quantity":1234567890123456789012345,
        "price":1e400,"order_type":null,"tags":{"a":[0.10]},"venue":null}"#;
    let order: Order = serde_json::from_str(json).unwrap();
    assert_eq!(order.quantity.as_str(), "1234567890123456789012345");
    assert_eq!(order.side.as_str(), "SHORT");
    assert_eq!(order.order_type, None);
    assert_eq!(order.unknown.get("tags").unwrap().get(), r#"{"a":[0.10]}"#);
    assert_eq!(
        canonical(&serde_json::to_string(&order).unwrap()),
        canonical(json)
    );
    let event = DomainEvent::from(order);
    assert_eq!(canonical(event.to_payload_json().as_str()), canonical(json));
}

#[test]
fn a_target_of_null_stays_null_and_an_absent_one_absent() {
    let null = example(3);
    assert_eq!(null.target, None);
    assert!(null.to_json().contains(r#""target":null"#));

    let absent = Message::new(
        "a",
        Target::Everyone,
        Heartbeat::new("alive", Timestamp::now()),
    );
    assert!(!absent.unwrap().to_json().contains("target"));

    let mut addressed = null;
    addressed.target = Some(Name::new("api-gateway").unwrap());
    assert_eq!(addressed.to_json().matches("target").count(), 1);
    assert_eq!(read(&addressed.to_json()).target, addressed.target);
}

#[test]
fn an_unknown_field_never_repeats_a_known_one() {
    let mut order = Order::new("o", "S", Side::Buy, 1);
    order.unknown.insert("order_id", "another").unwrap();
    order.unknown.insert("price", &2).unwrap();
    order.price = Some(1.into());
    let json = serde_json::to_string(&order).unwrap();
    assert_eq!(json.matches("order_id").count(), 1);
    assert_eq!(json.matches("price").count(), 1);
    assert_eq!(
        serde_json::from_str::<Order>(&json).unwrap().price,
        order.price
    );
}

#[test]
fn errors_name_the_field_that_is_wrong() {
    let heartbeat = MESSAGES[5];
    let field_of = |from: &str, to: &str| {
        assert!(heartbeat.contains(from));
        match Message::from_json(heartbeat.replacen(from, to, 1).as_bytes()) {
            Err(MessageError::Field { field, .. }) => field.into_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field_of("550e8400-", "550e8400"), "msg_id");
    assert_eq!(field_of("\"msg_type\"", "\"type\""), "msg_type");
    assert_eq!(field_of("2026-01-03T", "2026-01-03 "), "timestamp");
    assert_eq!(field_of("\"quantower-connector\"", "\"\""), "source");
    assert_eq!(field_of("\"health-monitor\"", "7"), "target");
    assert_eq!(field_of("\"alive\"", "7"), "payload.status");
    assert_eq!(field_of("\"status\"", "\"state\""), "payload.status");
    assert_eq!(
        field_of(
            "\"status\"",
            "\"timestamp\":\"2026-01-03T12:41:25Z\",\"status\""
        ),
        "payload.timestamp"
    );
    assert_eq!(field_of("\"source\"", "\"msg_id\""), "msg_id");

    let bad_bar = MESSAGES[2].replace("45050.0", "\"45050.0\"");
    let Payload::IngestEvent(event) = read(&bad_bar).payload else {
        panic!("no event");
    };
    assert_eq!(
        event.domain().unwrap_err().to_string(),
        "payload.payload_json.bar.high: must be a number"
    );
}

#[test]
fn what_is_not_one_json_object_is_an_error() {
    for json in [
        "",
        " ",
        "{",
        "[]",
        "7",
        "{} {}",
        "{\"msg_id\":}",
        "{\"msg_id\":\"a",
        "\u{feff}{}",
        "{\"msg_id\":\"\\ud800\"}x",
        "{\"payload\":NaN}",
    ] {
        assert!(
            matches!(
                Message::from_json(json.as_bytes()),
                Err(MessageError::NotJson { .. })
            ),
            "{json}"
        );
    }
    assert!(Message::from_json(b"{\"msg_id\":\"\xff\"}").is_err());
    assert!(Message::from_json(b"{\"msg_id\":\"\\ud800\"}").is_err());
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(Message::from_json(deep.as_bytes()).is_err());
}

#[test]
fn a_message_of_a_type_without_a_payload_type_says_so() {
    let json = MESSAGES[5].replace("\"heartbeat\"", "\"weather\"");
    assert_eq!(
        Message::from_json(json.as_bytes()),
        Err(MessageError::UnknownType("weather".into()))
    );
}

#[test]
fn control_messages_are_typed() {
    let welcome = r#"{"protocol":1,"hello_msg_id":"550E8400-E29B-41D4-A716-446655440000",
        "server":{"name":"tickwire","version":"0.1.0","build":"x"},"names":["a","b"],
        "limits":{"frame_bytes":1048576,"queue_bytes":8388608,"queue_messages":65536,"later":1},
        "granted":{"register":true,"acks":"sometimes","new_option":7}}"#;
    let typed: Welcome = serde_json::from_str(welcome).unwrap();
    assert_eq!(typed.server.name.as_str(), "tickwire");
    assert_eq!(typed.granted.acks, Some(Acks::Other("sometimes".into())));
    assert_eq!(
        canonical(&serde_json::to_string(&typed).unwrap()),
        canonical(welcome)
    );

    let hello = Hello {
        register: Some(false),
        token: Some(Token::new("secret")),
        ..Hello::default()
    };
    let message = Message::hello("tool", hello).unwrap();
    assert!(!format!("{message:?}").contains("secret"));
    assert_eq!(read(&message.to_json()), message);
    assert!(message.to_json().contains(r#""protocol":1"#));
}

#[test]
fn answers_say_what_they_are_about() {
    let report: ErrorReport = serde_json::from_str(
        r#"{"code":"INVALID_PAYLOAD","message":"m","details":
        {"msg_id":"550e8400-e29b-41d4-a716-446655440000","field":"payload.run_id"}}"#,
    )
    .unwrap();
    assert_eq!(
        report.known_code(),
        Some(crate::wire::ErrorCode::InvalidPayload)
    );
    assert_eq!(
        report.msg_id().unwrap().as_str(),
        "550e8400-e29b-41d4-a716-446655440000"
    );
    assert_eq!(report.field().unwrap(), "payload.run_id");
    let bare: ErrorReport =
        serde_json::from_str(r#"{"code":"X","message":"m","details":{"msg_id":7}}"#).unwrap();
    assert_eq!(
        (bare.known_code(), bare.msg_id(), bare.field()),
        (None, None, None)
    );

    let ack: Ack = serde_json::from_str(
        r#"{"acknowledged_msg_id":"550e8400-e29b-41d4-a716-446655440001",
        "timestamp":"2026-01-03T12:41:35Z","dropped":2,"acknowledged_msg_ids":
        ["550e8400-e29b-41d4-a716-446655440000","550e8400-e29b-41d4-a716-446655440001"]}"#,
    )
    .unwrap();
    assert_eq!((ack.dropped(), ack.covered().len()), (2, 2));
    let dropped = |ack: Ack| -> Vec<u64> { ack.split().iter().map(Ack::dropped).collect() };
    assert_eq!(dropped(ack.clone()), [0, 0], "of which two is not said");
    let mut detailed = ack.clone();
    detailed.unknown.insert("dropped", &[0, 3]).unwrap();
    assert_eq!(detailed.dropped(), 3);
    assert_eq!(dropped(detailed), [0, 3]);
    let ids: Vec<_> = ack.clone().split().iter().map(Ack::covered).collect();
    assert_eq!(ids.concat(), ack.covered());
    let mut alone = ack;
    let only = [alone.acknowledged_msg_id];
    alone.unknown.insert("acknowledged_msg_ids", &only).unwrap();
    assert_eq!(dropped(alone), [2]);
    let Payload::Ack(alone) = example(8).payload else {
        panic!("no ack");
    };
    assert_eq!(
        (alone.dropped(), alone.covered()),
        (0, vec![alone.acknowledged_msg_id])
    );
}

#[test]
fn a_welcome_names_the_durable_names_only_if_there_are_any() {
    let name = |text: &str| Name::new(text).unwrap();
    let server = ServerIdentity::new(name("tickwire"), "0.1.0");
    let limits = GrantedLimits::new(1_u64, 2_u64, 3_u64);
    let names = vec![name("a"), name("b")];
    let welcome = Welcome::new(
        1_u64,
        MsgId::random(),
        server,
        names,
        limits,
        Granted::new(),
    );
    let welcome = welcome.with_durable(Vec::new());
    assert!(!serde_json::to_string(&welcome).unwrap().contains("durable"));
    assert!(!welcome.is_durable(&name("a")));

    let welcome = welcome.with_durable(vec![name("b")]);
    assert!(!welcome.is_durable(&name("a")) && welcome.is_durable(&name("b")));
    let message = Message::new("tickwire", "a", welcome).unwrap();
    assert!(message.to_json().contains(r#""durable":["b"]"#));
    assert_eq!(read(&message.to_json()), message);
}

#[test]
fn an_ack_tells_where_the_message_was_kept_if_the_server_does() {
    let ack = |more: &str| -> Ack {
        serde_json::from_str(&format!(
            r#"{{"acknowledged_msg_id":"550e8400-e29b-41d4-a716-446655440001",
            "timestamp":"2026-01-03T12:41:35Z"{more}}}"#
        ))
        .unwrap()
    };
    let ids = r#","acknowledged_msg_ids":["550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-446655440001"]"#;
    let split = |ack: Ack| -> Vec<_> { ack.split().iter().map(Ack::durability).collect() };
    let (os, disk) = (Some(Durability::Os), Some(Durability::Disk));

    let one = ack(r#","durability":"disk""#);
    assert_eq!(one.durability(), disk);
    assert_eq!(split(one), [disk]);
    let of_all = ack(&format!(r#"{ids},"durability":"os""#));
    assert_eq!(split(of_all), [os, os]);
    let of_each = ack(&format!(r#"{ids},"durability":["disk","os"]"#));
    assert_eq!(of_each.durability(), os, "the least");
    assert_eq!(split(of_each), [disk, os]);
    // Neither is told, nor does a word of a later server make the ack unreadable.
    for none in ["", r#","durability":"orbit""#, r#","durability":7"#] {
        assert_eq!(ack(none).durability(), None, "{none}");
    }
    let unsaid = Ack::new(MsgId::random(), Timestamp::now()).with_durability(None);
    assert!(
        !serde_json::to_string(&unsaid)
            .unwrap()
            .contains("durability")
    );
}

#[test]
fn an_event_that_has_no_type_is_kept_as_it_is() {
    for (event_type, json) in [
        ("order", r#"{"event":"order_book_reset","n":1.50}"#),
        ("market_data", r#"{"tick":{"bid":1.0}}"#),
        ("system_event", "{}"),
    ] {
        let object = RawObject::from_text(json).unwrap();
        let now = Timestamp::now();
        let event_type: EventType = event_type.parse().unwrap();
        let event = IngestEvent::new("r", event_type, now.clone(), now, object.clone());
        let domain = event.domain().unwrap();
        assert_eq!(domain.event_type(), event_type);
        assert_eq!(domain.to_payload_json(), object);
        assert!(matches!(domain, DomainEvent::Other { .. }));
    }
}
