//! Settings from flags, environment and file, in this order of precedence, and
//! errors that name the key, the value and the values allowed.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::draft::Draft;
use crate::due::Due;
use crate::process::{Serve, run, tickwire};
use crate::raw_client::{RawClient, Received, within};

/// A configuration file that goes with its folder.
fn config(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("tickwire.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    (folder, path)
}

async fn name_of(serve: &Serve) -> String {
    let mut peer = RawClient::connect(serve.address).await;
    let welcome = peer.greet(&Draft::hello("a")).await;
    welcome.text("/payload/server/name").to_owned()
}

#[tokio::test]
async fn serve_prints_one_line_and_needs_no_command() {
    let mut serve = Serve::spawn(tickwire(&[]).env("TICKWIRE_LISTEN", "127.0.0.1:0")).await;
    assert_eq!(serve.address.ip().to_string(), "127.0.0.1");
    assert_ne!(serve.address.port(), 0);
    assert_eq!(name_of(&serve).await, "tickwire");
    // That line is all there is, to the very end.
    serve.kill().await;
    let more = within("the end", serve.stdout.next_line()).await;
    assert_eq!(more.expect("UTF-8"), None);
}

#[tokio::test]
async fn a_flag_outweighs_the_environment_and_that_the_file() {
    let (_folder, path) = config("name = \"from-file\"\nframe_bytes_max = 4096\n");
    let listen = ["serve", "--listen", "127.0.0.1:0", "--config", &path];

    let serve = Serve::spawn(&mut tickwire(&listen)).await;
    assert_eq!(name_of(&serve).await, "from-file");
    let mut peer = RawClient::connect(serve.address).await;
    let welcome = peer.greet(&Draft::hello("b")).await;
    assert_eq!(welcome.json["payload"]["limits"]["frame_bytes"], 4096);

    let mut command = tickwire(&listen);
    let serve = Serve::spawn(command.env("TICKWIRE_NAME", "from-environment")).await;
    assert_eq!(name_of(&serve).await, "from-environment");

    let mut command = tickwire(&[&listen[..], &["--name", "from-flag"]].concat());
    let serve = Serve::spawn(command.env("TICKWIRE_NAME", "from-environment")).await;
    assert_eq!(name_of(&serve).await, "from-flag");
}

#[tokio::test]
async fn print_config_shows_what_holds() {
    let mut command = tickwire(&["serve", "--name", "mine", "--print-config"]);
    let outcome = run(command.env("TICKWIRE_QUEUE_MESSAGES", "1000")).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("mine"), "{outcome:?}");
    assert!(outcome.stdout.contains("queue_messages"), "{outcome:?}");
    assert!(outcome.stdout.contains("1000"), "{outcome:?}");
}

#[tokio::test]
async fn a_setting_that_is_not_allowed_is_named_with_its_value() {
    for (text, key, value) in [
        ("queue_bytes = 17\n", "queue_bytes", "17"),
        ("queue_messages = 3\n", "queue_messages", "3"),
        ("memory_max = \"1MiB\"\n", "memory_max", "1048576"),
        ("frame_bytes_max = 99\n", "frame_bytes_max", "99"),
        ("name = \"\"\n", "name", ""),
        ("listen = \"nowhere\"\n", "listen", "nowhere"),
        ("queue_bites = 100000\n", "queue_bites", ""),
        ("queue_bytes = \"many\"\n", "queue_bytes", "many"),
        ("validation = \"none\"\n", "validation", "none"),
    ] {
        let (_folder, path) = config(text);
        let outcome = run(&mut tickwire(&["serve", "--config", &path])).await;
        assert!(matches!(outcome.code, Some(1 | 2)), "{text}: {outcome:?}");
        assert!(outcome.stderr.contains(key), "{text}: {outcome:?}");
        assert!(outcome.stderr.contains(value), "{text}: {outcome:?}");
        assert!(outcome.stdout.is_empty(), "{text}: {outcome:?}");
    }
    let mut command = tickwire(&["serve"]);
    let outcome = run(command.env("TICKWIRE_QUEUE_BYTES", "17")).await;
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert!(outcome.stderr.contains("queue_bytes"), "{outcome:?}");

    let outcome = run(&mut tickwire(&["serve", "--config", "/no/such/file.toml"])).await;
    assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    assert!(outcome.stderr.contains("/no/such/file.toml"), "{outcome:?}");
}

#[tokio::test]
async fn a_name_has_the_queue_that_its_section_gives_it() {
    let (_folder, path) = config(
        "[names.\"api-gateway\"]\nqueue_bytes = \"64KiB\"\noverflow = \"drop\"\n\
         [names.feed]\nqueue_bytes = \"64KiB\"\noverflow = \"refuse\"\n",
    );
    let serve = Serve::start(&["--config", &path]).await;
    let mut slow = RawClient::owning_narrow(serve.address, &["api-gateway"]).await;
    let _feed = RawClient::owning_narrow(serve.address, &["feed"]).await;
    let mut sender = RawClient::speaking_for_others(serve.address).await;

    let mut due = Due::of("api-gateway");
    let mut dropped = 0;
    while dropped < 50 {
        let order = Draft::order("a", "api-gateway").padded(30_000);
        match sender.ask_acked(&order).await.dropped() {
            0 => due.queued(order.id),
            count => {
                dropped += count;
                due.dropped(order.id);
            }
        }
        assert!(due.messages() < 1_000, "the queue never fills");
    }
    due.receive_all(&mut slow).await;
    let order = Draft::order("a", "api-gateway");
    assert_eq!(sender.ask_acked(&order).await.dropped(), 0);
    assert_eq!(slow.receive().await.frame, order.frame());

    let mut sent = 0;
    let refused = loop {
        let order = Draft::order("a", "feed").padded(30_000);
        let answer = sender.ask(&order).await;
        if answer.kind() == "error" {
            break answer;
        }
        sent += 1;
        assert!(sent < 1_000, "the queue never fills");
    };
    assert_eq!(refused.code(), "QUEUE_FULL", "{refused:?}");
}

/// The messages that a late subscriber is sent at once.
async fn snapshot_of(serve: &Serve) -> Vec<Received> {
    let mut feed = RawClient::speaking_for_others(serve.address).await;
    for (symbol, close) in [("BTC", 1), ("ETH", 2), ("BTC", 3)] {
        let bar = json!({"symbol": symbol, "close": close});
        let bar = Draft::order("feed", Value::Null).payload("payload_json", bar);
        feed.ask_acked(&bar).await;
    }
    let mut late = RawClient::speaking_for_others(serve.address).await;
    let subscribe = Draft::new("subscribe", "late", Value::Null)
        .payload("id", "bars")
        .payload("key", "/payload/payload_json/symbol")
        .payload("snapshot", true);
    late.ask_acked(&subscribe).await;
    let mut snapshot = late.fence().await;
    snapshot.sort_by_key(|bar| bar.json["payload"]["payload_json"]["close"].as_u64());
    snapshot
}

#[tokio::test]
async fn what_is_configured_to_be_kept_is_there_for_the_first_subscriber() {
    let keys = "keys = [\"/payload/payload_json/symbol\"]";
    let (_folder, path) = config(&format!("[snapshot]\n{keys}\n"));
    let (_other_folder, other) = config("[snapshot]\nkeys = [\"/payload/run_id\"]\n");
    let variable = "TICKWIRE_SNAPSHOT__KEYS";
    let pointer = "/payload/payload_json/symbol";
    for (arguments, value, kept) in [
        (vec!["--config", &path], None, 2),
        (vec![], Some(pointer.to_owned()), 2),
        (
            vec![],
            Some(format!("[\"/payload/run_id\", \"{pointer}\"]")),
            2,
        ),
        // The variable outweighs the file.
        (
            vec!["--config", &other],
            Some(format!("[\"{pointer}\"]")),
            2,
        ),
        (vec!["--config", &path], Some("[]".to_owned()), 0),
        (vec!["--config", &other], None, 0),
        (vec![], None, 0),
    ] {
        let start = [&["serve", "--listen", "127.0.0.1:0"], &arguments[..]].concat();
        let with = |more: &[&str]| {
            let mut command = tickwire(&[&start[..], more].concat());
            if let Some(value) = &value {
                command.env(variable, value);
            }
            command
        };
        let outcome = run(&mut with(&["--print-config"])).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let mut lines = outcome.stdout.lines();
        let shown = lines.find(|line| line.starts_with("snapshot.keys = ["));
        let shown = shown.unwrap_or_else(|| panic!("{outcome:?}"));
        assert_eq!(shown.contains(pointer), kept > 0, "{shown}");
        if value.is_some() {
            assert!(shown.contains(variable), "{shown}");
        }
        // The printed settings say the same when they are read.
        let (_again_folder, again) = config(&outcome.stdout);
        for mut command in [with(&[]), tickwire(&["serve", "--config", &again])] {
            let serve = Serve::spawn(&mut command).await;
            let snapshot = snapshot_of(&serve).await;
            assert_eq!(
                snapshot.len(),
                kept,
                "{arguments:?} {value:?}: {snapshot:?}"
            );
            if let [eth, btc] = &snapshot[..] {
                assert_eq!(eth.json["payload"]["payload_json"]["symbol"], "ETH");
                assert_eq!(btc.json["payload"]["payload_json"]["symbol"], "BTC");
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_key_that_is_no_pointer_is_named() {
    let (_folder, path) = config("[snapshot]\nkeys = [\"payload.symbol\"]\n");
    let outcome = run(&mut tickwire(&["serve", "--config", &path])).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    for word in ["snapshot.keys", "payload.symbol", "tickwire.toml:2"] {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
    }
    let mut command = tickwire(&["serve"]);
    let outcome = run(command.env("TICKWIRE_SNAPSHOT__KEYS", "[1]")).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("TICKWIRE_SNAPSHOT__KEYS"),
        "{outcome:?}"
    );
}

/// A variable's name has no case, so it can only mean a name in lower case.
#[tokio::test]
async fn a_variable_sets_the_queue_of_a_name_in_lower_case() {
    let mut command = tickwire(&["serve", "--print-config"]);
    command.env("TICKWIRE_NAMES__API-GATEWAY__OVERFLOW", "refuse");
    let outcome = run(&mut command).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let section = "[names.\"api-gateway\"]\noverflow = \"refuse\" ";
    assert!(outcome.stdout.contains(section), "{outcome:?}");
}

#[tokio::test]
async fn help_explains_each_setting() {
    let outcome = run(&mut tickwire(&["serve", "--help"])).await;
    let shown = run(&mut tickwire(&["serve", "--print-config"])).await;
    let keys = shown
        .stdout
        .lines()
        .filter_map(|line| line.split_once(" = "));
    let mut explained = 0;
    for (key, _) in keys {
        let line = format!("\n  {key} ");
        assert!(outcome.stdout.contains(&line), "{key}: {outcome:?}");
        explained += 1;
    }
    assert!(explained >= 12, "{shown:?}");
    for word in ["names.\"api-gateway\"", "overflow"] {
        assert!(outcome.stdout.contains(word), "{word}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let serve = Serve::start(&[]).await;
    let address = serve.address.to_string();
    let outcome = run(&mut tickwire(&["serve", "--listen", &address])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(&address), "{outcome:?}");
}

// Each of them was `unknown setting`, and exit code 2.
#[tokio::test]
async fn variables_of_others_dont_keep_a_server_from_starting() {
    let others = [
        ("TICKWIRE_PORT", "tcp://10.96.0.7:7411"),
        ("TICKWIRE_SERVICE_HOST", "10.96.0.7"),
        ("TICKWIRE_SERVICE_PORT_FRAMES", "7411"),
        ("TICKWIRE_PORT_7411_TCP_ADDR", "10.96.0.7"),
        ("TICKWIRE_LOG_SERVICE_HOST", "10.96.0.8"),
        ("TICKWIRE_LOG_PORT", "udp://10.96.0.8:514"),
        ("TICKWIRE_NAMES_PORT_1_SCTP_PROTO", "sctp"),
        ("TICKWIRE_HOME", "/opt/tickwire"),
        ("TICKWIRE_LINGER", ""),
        ("TICKWIRE_CONFIG", ""),
    ];
    let mut command = tickwire(&["serve", "--listen", "127.0.0.1:0"]);
    let serve = Serve::spawn(command.envs(others)).await;
    assert_eq!(name_of(&serve).await, "tickwire");

    let mut command = tickwire(&["serve", "--print-config"]);
    let outcome = run(command.envs(others)).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // One of them nobody knows, and that is said apart from the printed
    // settings.
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("TICKWIRE_HOME"), "{outcome:?}");
    let (_folder, path) = config(&outcome.stdout);
    let again = run(&mut tickwire(&[
        "serve",
        "--print-config",
        "--config",
        &path,
    ]))
    .await;
    assert_eq!(again.code, Some(0), "{again:?}");

    let mut command = tickwire(&["serve"]);
    let outcome = run(command.envs(others).env("TICKWIRE_LISTN", "x")).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    for word in ["TICKWIRE_LISTN", "did you mean TICKWIRE_LISTEN?"] {
        assert!(outcome.stderr.contains(word), "{outcome:?}");
    }
}

// A comma list was one pointer, and nothing was kept by it.
#[tokio::test]
async fn a_variable_holds_several_pointers() {
    let mut command = tickwire(&["serve", "--print-config"]);
    command.env("TICKWIRE_SNAPSHOT__KEYS", "/payload/a,b,/payload/c");
    let outcome = run(&mut command).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let keys = "snapshot.keys = [\"/payload/a,b\", \"/payload/c\"] ";
    assert!(outcome.stdout.contains(keys), "{outcome:?}");
}
