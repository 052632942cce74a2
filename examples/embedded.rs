//! A server and a participant in one program: the participant joins without
//! TCP, everybody else by connecting.
//!
//! Run it with `cargo run --example embedded`.

use tickwire::events::Event;
use tickwire::wire::{Message, Number, Order, Side};
use tickwire::{Client, ClientConfig, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0").start().await?;
    println!("listening on {}", server.local_addr());

    // The order manager lives in this process.
    let (manager, mut orders) = server.attach("order-manager")?;

    // A connector comes over TCP, here from the same program.
    let config = ClientConfig::new("quantower-connector");
    let (connector, mut confirmations) = Client::connect(server.local_addr(), config).await?;
    let order = Order::new("ord-1", "BTCUSDT", Side::Buy, "0.1".parse::<Number>()?);
    let message = Message::order(connector.name(), "order-manager", "run-1", order)?;
    let ack = connector.send(message).await?;
    println!(
        "connector: tickwire has accepted {}",
        ack.acknowledged_msg_id
    );

    // The manager receives it and confirms it with an ack of its own.
    let Some(Event::Message(inbound)) = orders.receive().await else {
        return Err("the order did not arrive".into());
    };
    let received = inbound.message()?;
    println!(
        "order manager: got {} from {}",
        received.msg_id, received.source
    );
    manager
        .post(&Message::ack_of(manager.name(), &received)?)
        .await?;

    let Some(Event::Message(inbound)) = confirmations.receive().await else {
        return Err("the confirmation did not arrive".into());
    };
    println!("connector: {} has confirmed it", inbound.message()?.source);

    connector.close().await?;
    server.shutdown().await;
    Ok(())
}
