//! A server inside another program: what its handle tells.

use serde_json::Value;

use crate::draft::Draft;
use crate::peer::{Peer, start_server};

#[tokio::test]
async fn liveness_and_log_see_what_is_accepted_whoever_owns_the_name() {
    let server = start_server().await;
    let mut peer = Peer::speaking_for_others(server.local_addr()).await;
    let mut monitor = Peer::owning(server.local_addr(), &["health-monitor"]).await;
    let record = |text: &str, target: Value| {
        Draft::log_record("trade-service", target).payload("message", text)
    };
    let heartbeat = Draft::heartbeat("connector", "health-monitor").payload("status", "degraded");
    peer.ask_acked(&heartbeat).await;
    assert_eq!(monitor.receive().await.frame, heartbeat.frame());
    peer.ask_acked(&Draft::heartbeat("feed", Value::Null)).await;
    let first = record("first", "log-aggregator".into());
    let second = record("second", "health-monitor".into());
    peer.ask_acked(&first).await;
    peer.ask_acked(&second).await;
    // What is refused is not seen.
    let refused = record("refused", "nobody".into());
    peer.ask_refused(&refused, "TARGET_UNAVAILABLE").await;
    let refused = Draft::heartbeat("stranger", "nobody");
    peer.ask_refused(&refused, "TARGET_UNAVAILABLE").await;

    let mut seen: Vec<_> = server
        .liveness()
        .into_iter()
        .map(|liveness| {
            (
                liveness.source.to_string(),
                liveness.status,
                liveness.heartbeats,
            )
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            ("connector".to_owned(), Some("degraded".to_owned()), 1),
            ("feed".to_owned(), Some("alive".to_owned()), 1),
        ]
    );
    let logs = server.recent_logs();
    assert_eq!(logs, [first.frame(), second.frame()]);
}
