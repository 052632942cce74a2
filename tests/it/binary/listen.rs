//! `tickwire listen` with a subscription, as it is typed.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::draft::Draft;
use crate::process::{run, tickwire, until_owned};
use crate::raw_client::{RawClient, framed, start_server, within};

const SYMBOL: &str = "payload.payload_json.symbol";

/// A running `tickwire listen` that owns its name and has subscribed.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Also kept open so that it can go on talking.
    stderr: Lines<BufReader<ChildStderr>>,
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
            stderr,
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = within("a line, or the end", self.lines.next_line()).await;
        line.expect("UTF-8")
    }

    /// The lines that it printed until it ended by itself, in order.
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
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
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
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
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
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
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
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
    let [other, matching] = ["1", "=1"].map(|run| bar("BTC", 1).payload("run_id", run));
    feed.ask_acked(&other).await;
    feed.ask_acked(&matching).await;
    assert_eq!(listening.read_to_end().await, texts(&[&matching]));
}

// Ten acknowledged orders must all be printed by somebody: the first listener
// wants one, and must leave the others to whoever comes next.
#[tokio::test]
async fn who_wants_one_message_leaves_the_others_to_the_next() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let orders: Vec<Draft> = (0..10).map(|_| Draft::order("feed", "desk")).collect();
    // Queued messages lie there when the listener comes.
    let mut holder = RawClient::connect(server.local_addr()).await;
    holder
        .greet(&Draft::hello("desk").payload("window", 0))
        .await;
    for order in &orders {
        sender.ask_acked(order).await;
    }
    let once = Listening::start(server.local_addr(), &["--count", "1"]).await;
    let mut printed = once.read_to_end().await;
    let others = Listening::start(server.local_addr(), &["--count", "9"]).await;
    printed.extend(others.read_to_end().await);
    let expected: Vec<_> = orders.iter().collect();
    assert_eq!(printed, texts(&expected));
    // Exactly those: nothing is left, and nothing is said to be lost.
    assert_eq!(sender.fence().await.len(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn ends_when_its_reader_does_and_gives_the_name_up() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let to = server.local_addr().to_string();
    let mut listen = tickwire(&["listen", "desk", "--to", &to])
        .stderr(Stdio::inherit())
        .spawn()
        .expect("starts");
    let output = listen.stdout.take().expect("it is piped");
    let mut head = Command::new("head")
        .arg("-n1")
        .stdin(output.into_owned_fd().expect("a pipe"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    until_owned(server.local_addr(), "desk").await;
    // The message that showed it was the one that `head` waited for. Nothing
    // more arrives, and both end.
    for child in [&mut head, &mut listen] {
        let status = within("both to end", child.wait()).await;
        assert!(status.expect("it is ours to wait for").success());
    }
    within("the name to be free", async {
        while server.name_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let order = Draft::order("feed", "desk");
    sender.ask_refused(&order, "TARGET_UNAVAILABLE").await;
}

#[tokio::test]
async fn a_file_has_no_reader_that_could_leave() {
    let server = start_server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let to = server.local_addr().to_string();
    let mut command = tickwire(&["listen", "desk", "--to", &to, "--count", "2"]);
    let file = std::fs::File::create(&path).expect("a file");
    let mut child = command.stdout(file).spawn().expect("starts");
    until_owned(server.local_addr(), "desk").await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let order = Draft::order("feed", "desk");
    sender.ask_acked(&order).await;
    let status = within("the listener to end", child.wait()).await;
    assert!(status.expect("it is ours to wait for").success());
    let printed = std::fs::read_to_string(&path).expect("it was written");
    assert_eq!(printed.lines().last(), Some(&*texts(&[&order])[0]));
}

#[tokio::test]
async fn says_where_a_server_can_not_be_asked_for_so_many() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = listener.local_addr().expect("an address").to_string();
    let mut command = tickwire(&["listen", "desk", "--to", &to, "--count", "3"]);
    let mut child = command.spawn().expect("starts");
    // A server that knows no windows.
    let (mut stream, _) = within("a connection", listener.accept())
        .await
        .expect("one");
    let length = within("its hello", stream.read_u32())
        .await
        .expect("a length");
    let mut hello = vec![0; length as usize];
    stream.read_exact(&mut hello).await.expect("a hello");
    let hello: Value = serde_json::from_slice(&hello).expect("JSON");
    assert_eq!(hello["payload"]["window"], 3);
    let welcome = json!({
        "msg_id": "b43e1a3c-4f0b-4a89-9be4-6a3d1b0b8d52",
        "msg_type": "welcome",
        "timestamp": "2026-01-03T12:40:59.001Z",
        "source": "tickwire",
        "payload": {
            "protocol": 1,
            "hello_msg_id": hello["msg_id"],
            "server": {"name": "tickwire", "version": "0.0.9"},
            "names": ["desk"],
            "limits": {"frame_bytes": 9999, "queue_bytes": 9999, "queue_messages": 9},
            "granted": {},
        },
    });
    let welcome = framed(welcome.to_string().as_bytes());
    stream.write_all(&welcome).await.expect("it reads");
    let stderr = child.stderr.take().expect("it is piped");
    let mut stderr = BufReader::new(stderr).lines();
    let line = within("a word about it", stderr.next_line()).await;
    let line = line.expect("UTF-8").expect("a line");
    assert!(line.contains("can't be asked for 3 messages"), "{line}");
}

#[tokio::test]
async fn a_text_where_a_number_was_asked_for_is_told_once() {
    let server = start_server().await;
    let condition = format!("{SYMBOL}=600519");
    let options = ["--where", &condition, "--count", "1"];
    let mut listening = Listening::start(server.local_addr(), &options).await;
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
    let text = |close| bar("600519", close);
    feed.ask_acked(&text(1)).await;
    let line = within("a word about it", listening.stderr.next_line()).await;
    let line = line.expect("UTF-8").expect("a line");
    assert!(line.contains(&format!("'{SYMBOL}=\"600519\"'")), "{line}");
    // Nothing of it is printed, counted, or told again.
    feed.ask_acked(&text(2)).await;
    let payload = json!({"symbol": 600_519});
    let number = Draft::order("feed", Value::Null).payload("payload_json", payload);
    feed.ask_acked(&number).await;
    assert_eq!(listening.line().await, Some(texts(&[&number]).remove(0)));
    let more = within("the end", listening.stderr.next_line()).await;
    assert_eq!(more.expect("UTF-8"), None);
}
