//! The fast way inside a program: orders that are checked once and sent many times,
//! without TCP. Whoever else connects, over TCP, meets the same rules.
//!
//! Run it with `cargo run --release --example embedded`.

use tickwire::Server;
use tickwire::events::Event;
use tickwire::wire::{Message, Order, Side, ValidFrame};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0").start().await?;
    let (strategy, _) = server.attach("strategy")?;
    let (_, mut orders) = server.attach("order-manager")?;

    let order = Order::new("ord-1", "BTCUSDT", Side::Buy, 1);
    let message = Message::order("strategy", "order-manager", "run-1", order)?;
    let prepared = ValidFrame::new(&message)?;

    let mut batch = strategy.batch();
    for _ in 0..1_000 {
        batch.push(&prepared)?; // a fresh id each time
    }
    batch.post_all().await?; // all of them were accepted

    for _ in 0..1_000 {
        if let Some(Event::Message(inbound)) = orders.receive().await {
            let (kind, id) = (inbound.kind(), inbound.msg_id());
            println!("got {kind:?} {id:?}, {} bytes", inbound.json().len());
        }
    }
    server.shutdown().await;
    Ok(())
}
