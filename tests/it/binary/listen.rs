//! `tickwire listen` with a subscription, as it is typed.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::draft::Draft;
use crate::peer::{Peer, start_server, within};
use crate::process::{run, tickwire};

const SYMBOL: &str = "payload.payload_json.symbol";

/// A running `tickwire listen` that owns its name and has subscribed.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Kept open, so that it can go on talking.
    _stderr: Lines<BufReader<ChildStderr>>,
}

impl Listening {
    async fn start(server: SocketAddr, options: &[&str]) -> Self {
        let to = server.to_string();
        let arguments = [&["listen", "desk", "--to", &to], options].concat();
        let mut child = tickwire(&arguments).spawn().expect("starts");
        let stderr = child.stderr.take().expect("it is piped");
        let mut stderr = BufReader::new(stderr).lines();
        let line = within("its first words", stderr.next_line()).await;
        let line = line.expect("UTF-8").expect("a line");
        assert!(line.contains("listening as desk"), "{line}");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            _stderr: stderr,
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = within("a line, or the end", self.lines.next_line()).await;
        line.expect("UTF-8")
    }

    /// What it printed until it ended by itself, in order.
    async fn read_to_end(mut self) -> Vec<String> {
        let mut printed = Vec::new();
        while let Some(line) = self.line().await {
            printed.push(line);
        }
        let status = within("the listener to end", self.child.wait()).await;
        assert!(status.expect("it is ours to wait for").success());
        printed
    }
}

fn bar(symbol: &str, close: u64) -> Draft {
    let bar = json!({"symbol": symbol, "close": close});
    Draft::order("feed", Value::Null).payload("payload_json", bar)
}

fn texts(bars: &[&Draft]) -> Vec<String> {
    let texts = bars.iter().map(|bar| String::from_utf8(bar.frame()));
    texts.map(|text| text.expect("UTF-8")).collect()
}

#[tokio::test]
async fn prints_what_meets_all_conditions_and_ends_after_as_many_as_it_was_told() {
    let server = start_server().await;
    let conditions = [
        "--where",
        "payload.payload_json.symbol=BTCUSDT",
        "--where",
        "payload.payload_json.close>45000",
    ];
    let once = [&conditions[..], &["--count", "1"]].concat();
    let listening = Listening::start(server.local_addr(), &once).await;
    let mut feed = Peer::speaking_for_others(server.local_addr()).await;
    let bars = [
        bar("ETHUSDT", 50_000),
        bar("BTCUSDT", 45_000),
        bar("BTCUSDT", 45_001),
        bar("BTCUSDT", 45_002),
    ];
    for bar in &bars {
        feed.ask_acked(bar).await;
    }
    assert_eq!(listening.read_to_end().await, texts(&[&bars[2]]));
}

#[tokio::test]
async fn a_late_listener_begins_with_the_last_of_each() {
    let server = start_server().await;
    let options = ["--latest", SYMBOL, "--snapshot", "--count", "2"];
    // With the first, which finds nothing, the server begins to keep them.
    let first = Listening::start(server.local_addr(), &options).await;
    let mut feed = Peer::speaking_for_others(server.local_addr()).await;
    let bars = [bar("BTC", 1), bar("ETH", 2), bar("BTC", 3)];
    for bar in &bars {
        feed.ask_acked(bar).await;
    }
    drop(first);
    let options = [&options[..], &["--where", "payload.payload_json.close>0"]].concat();
    let late = Listening::start(server.local_addr(), &options).await;
    let mut printed = late.read_to_end().await;
    printed.sort();
    let mut expected = texts(&[&bars[1], &bars[2]]);
    expected.sort();
    assert_eq!(printed, expected);
}

// Its output isn't read, so it reads nothing itself: far more is sent than the
// pipe, the client, the kernel and the server's queue could hold.
#[tokio::test]
async fn a_terminal_that_is_behind_shows_the_latest_and_misses_nothing_else() {
    const BARS: u64 = 96;
    let server = start_server().await;
    let mut listening = Listening::start(server.local_addr(), &["--latest", SYMBOL]).await;
    let mut feed = Peer::speaking_for_others(server.local_addr()).await;
    let bars: Vec<Draft> = (0..BARS)
        .map(|close| bar("BTC", close).padded(900_000))
        .collect();
    for bar in &bars {
        let ack = feed.ask_acked(bar).await;
        assert_eq!(ack.dropped(), 0, "one takes the place of another");
    }
    let close = |line: &str| {
        let bar: Value = serde_json::from_str(line).expect("a message");
        bar["payload"]["payload_json"]["close"].as_u64()
    };
    let mut shown = Vec::new();
    while shown.last() != Some(&(BARS - 1)) {
        let line = listening.line().await.expect("it goes on");
        shown.push(close(&line).expect("a bar"));
    }
    assert!(shown.is_sorted(), "{shown:?}");
    assert!((shown.len() as u64) < BARS, "nothing was replaced");
}

#[tokio::test]
async fn wrong_usage_ends_at_once_and_says_what_to_write_instead() {
    // Nothing listens there, and nothing is asked.
    for (options, says) in [
        (
            &["--where", "x==="][..],
            "there is no === : the operators are = < <= > >= and ^=",
        ),
        (&["--where", "x=<5"], "there is no =<"),
        (&["--where", "x!=5"], "there is no !="),
        (&["--where", "x= =5"], "write \"=5\""),
        (&["--where", "=5"], "payload.payload_json.symbol"),
        (&["--where", "x<true"], "\"true\" in quotes"),
        (&["--latest", "a..b"], "payload.payload_json.symbol"),
        (&["--snapshot"], "--key"),
        (&["--key", "a"], "--snapshot"),
        (&["--count", "many"], "--count"),
    ] {
        let arguments = [&["listen", "desk", "--to", "127.0.0.1:1"], options].concat();
        let outcome = run(&mut tickwire(&arguments)).await;
        assert_eq!(outcome.code, Some(2), "{options:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{options:?}: {outcome:?}");
        assert!(outcome.stdout.is_empty(), "{options:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_quoted_value_may_begin_like_an_operator() {
    let server = start_server().await;
    let options = ["--where", "payload.run_id=\"=1\"", "--count", "1"];
    let listening = Listening::start(server.local_addr(), &options).await;
    let mut feed = Peer::speaking_for_others(server.local_addr()).await;
    let [other, matching] = ["1", "=1"].map(|run| bar("BTC", 1).payload("run_id", run));
    feed.ask_acked(&other).await;
    feed.ask_acked(&matching).await;
    assert_eq!(listening.read_to_end().await, texts(&[&matching]));
}
