//! A connector as a separate program: it connects under a name, sends
//! heartbeats on a timer and an order, and prints whatever arrives.
//!
//! Start a server with `tickwire serve`, a receiver with
//! `tickwire listen api-gateway`, and then
//! `cargo run --example connector [HOST:PORT]`.

use std::process::ExitCode;
use std::time::Duration;

use tickwire::events::Event;
use tickwire::wire::{Message, Number, Order, Side};
use tickwire::{Client, ClientConfig, limits};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| limits::LISTEN_DEFAULT.to_owned());
    let config = ClientConfig::new("quantower-connector").heartbeat(Duration::from_secs(5));
    let (client, mut receiver) = Client::connect(&address, config).await?;
    println!("connected to {address} as {}", client.name());

    let order = Order::new("ord-1", "BTCUSDT", Side::Buy, "0.1".parse::<Number>()?);
    let order = Message::order(client.name(), "api-gateway", "run-1", order)?;
    match client.send(order).await {
        Ok(ack) => println!("accepted: {}", ack.acknowledged_msg_id),
        Err(error) => println!("not accepted: {error}"),
    }

    println!("listening; ctrl-c ends it");
    loop {
        let event = tokio::select! {
            event = receiver.receive() => event,
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            Some(Event::Message(inbound)) => {
                let message = inbound.message()?;
                println!("{} from {}", message.msg_type(), message.source);
                // Its work is done: where the name is durable it isn't to come again.
                if client.welcome().is_durable(client.name()) {
                    client.settle(&message).await?;
                }
            }
            Some(Event::Notice(report)) => println!("{}: {}", report.code, report.message),
            Some(Event::Disconnected(why)) => println!("{why}; connecting again"),
            Some(Event::Reconnected(_)) => println!("connected again"),
            Some(Event::Closed(why)) => return Err(why.into()),
            Some(_) => {}
            None => return Ok(()),
        }
    }
    client.close().await?;
    Ok(())
}
