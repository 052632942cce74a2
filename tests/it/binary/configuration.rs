//! Settings from flags, environment and file, in this order of precedence, and
//! errors that name the key, the value and what is allowed.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::draft::Draft;
use crate::due::Due;
use crate::peer::{Peer, within};
use crate::process::{Serve, run, tickwire};

/// A configuration file that goes with its folder.
fn config(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("tickwire.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    (folder, path)
}

async fn name_of(serve: &Serve) -> String {
    let mut peer = Peer::connect(serve.address).await;
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
    let mut peer = Peer::connect(serve.address).await;
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
    let mut slow = Peer::owning_narrow(serve.address, &["api-gateway"]).await;
    let _feed = Peer::owning_narrow(serve.address, &["feed"]).await;
    let mut sender = Peer::speaking_for_others(serve.address).await;

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
