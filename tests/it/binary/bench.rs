//! `tickwire bench` in each of its modes, small: counts, and no times.

use serde_json::Value;

use crate::process::{Outcome, Serve, run, tickwire};

async fn bench(arguments: &[&str]) -> Outcome {
    run(&mut tickwire(&[&["bench"], arguments].concat())).await
}

/// The result of a run that went well.
async fn result(arguments: &[&str]) -> Value {
    let outcome = bench(&[arguments, &["--json"]].concat()).await;
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
    assert_eq!(outcome.stderr, "", "{arguments:?}");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn count(result: &Value, name: &str) -> u64 {
    let count = result["counts"][name].as_u64();
    count.unwrap_or_else(|| panic!("no {name} in {result}"))
}

/// That all was delivered, and so many acknowledged.
fn assert_counts(result: &Value, delivered: u64, acknowledged: u64) {
    assert_eq!(count(result, "delivered"), delivered, "{result}");
    assert_eq!(count(result, "acknowledged"), acknowledged, "{result}");
    for none in ["undelivered", "dropped", "refused", "unanswered"] {
        assert_eq!(count(result, none), 0, "{none}: {result}");
    }
    assert_eq!(result["faults"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn throughput_accounts_for_every_message_with_each_kind_of_ack() {
    let serve = Serve::start(&[]).await;
    let to = &*serve.address.to_string();
    for (acks, acknowledged) in [("each", 12_000), ("batch", 12_000), ("none", 0)] {
        let arguments = ["--to", to, "--messages", "12000", "--acks", acks];
        let result = result(&arguments).await;
        assert_counts(&result, 12_000, acknowledged);
        assert_eq!(result["mode"], "throughput");
        assert_eq!(result["options"]["server"], to);
        let frames = count(&result, "ack_frames");
        match acks {
            "each" => assert_eq!(frames, 12_000),
            "batch" => assert!((12..6_000).contains(&frames), "{frames}"),
            _ => assert_eq!(frames, 0),
        }
        #[cfg(target_os = "linux")]
        assert!(result["figures"]["server_cpu_us_per_message"].as_f64() > Some(0.0));
    }
}

#[tokio::test]
async fn many_senders_send_a_mix_to_many_receivers() {
    let arguments = ["throughput", "--senders", "3", "--receivers", "4"];
    let rest = ["--messages", "11000", "--message", "mix"];
    let result = result(&[&arguments[..], &rest].concat()).await;
    assert_eq!(count(&result, "delivered"), 11_000);
    // One in eleven is an ack, which gets none.
    assert!(count(&result, "acknowledged").abs_diff(10_000) < 10);
    assert_eq!(count(&result, "unanswered"), 0);
    assert_eq!(result["options"]["server"], "own");
}

#[tokio::test]
async fn the_messages_of_a_file_make_a_load() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
    let file = format!("{folder}/09-strategy-instance-update.json");
    let result = result(&["--message", &file, "--messages", "500"]).await;
    assert_counts(&result, 500, 500);
}

#[tokio::test]
async fn a_paced_run_has_a_latency_for_each_message() {
    let arguments = ["paced", "--rate", "5000", "--connections", "20"];
    let rest = ["--messages", "1500", "--acks", "batch"];
    let result = result(&[&arguments[..], &rest].concat()).await;
    assert_counts(&result, 1_500, 1_500);
    let latency = &result["latency_us"]["from_due"];
    let percentiles = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let values = percentiles.map(|name| latency[name].as_f64().expect("a number"));
    assert!(values[0] > 0.0 && values.is_sorted(), "{latency}");
    assert!(result["latency_us"]["written_late"].is_object());
}

#[tokio::test]
async fn one_at_a_time_sees_each_message_and_its_ack() {
    for (message, acks, acknowledged) in [("order", "each", 330), ("mix", "batch", 300)] {
        let arguments = ["one-at-a-time", "--messages", "330"];
        let rest = ["--message", message, "--acks", acks];
        let result = result(&[&arguments[..], &rest].concat()).await;
        assert_eq!(count(&result, "delivered"), 330);
        assert_eq!(count(&result, "acknowledged"), acknowledged);
        assert!(result["latency_us"]["arrival"]["p50"].as_f64() > Some(0.0));
        assert!(result["latency_us"]["arrival_and_ack"].is_object());
    }
}

#[tokio::test]
async fn the_librarys_clients_are_measured_as_programs_use_them() {
    let serve = Serve::start(&[]).await;
    let to = &*serve.address.to_string();
    for (message, acks, acknowledged) in [("order", "each", 5_500), ("mix", "batch", 5_000)] {
        let arguments = ["--client", "--to", to, "--messages", "5500"];
        let rest = ["--message", message, "--acks", acks];
        let result = result(&[&arguments[..], &rest].concat()).await;
        assert_eq!(result["mode"], "throughput");
        assert_eq!(result["options"]["client"], true);
        assert_eq!(count(&result, "delivered"), 5_500);
        assert_eq!(count(&result, "acknowledged"), acknowledged);
        assert!(result["figures"]["acks_per_second"].as_f64() > Some(0.0));
    }
    let arguments = ["one-at-a-time", "--client", "--messages", "330"];
    let result = result(&[&arguments[..], &["--message", "mix"]].concat()).await;
    // Acks are left out, for nothing answers them.
    assert_eq!(count(&result, "delivered"), 330);
    assert_eq!(count(&result, "acknowledged"), 330);
    assert!(result["latency_us"]["answer"]["p99"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn a_broadcast_reaches_every_receiver_and_nothing_is_dropped() {
    let arguments = ["fan-out", "--receivers", "20", "--messages", "6000"];
    let result = result(&arguments).await;
    assert_counts(&result, 20 * 6_000, 6_000);
    assert_eq!(count(&result, "sent"), 6_000);
}

#[tokio::test]
async fn connections_stay_open_while_they_are_idle() {
    let result = result(&["connections", "--connections", "150"]).await;
    assert_eq!(count(&result, "opened"), 150);
    assert_eq!(count(&result, "closed"), 0);
    #[cfg(target_os = "linux")]
    assert!(result["figures"]["resident_bytes_per_connection"].is_number());
}

#[tokio::test]
async fn receivers_that_do_not_read_are_measured_with_and_without() {
    let small = [
        ("TICKWIRE_STALL_TIMEOUT", "100ms"),
        ("TICKWIRE_QUEUE_BYTES", "1MiB"),
    ];
    let serve = &mut tickwire(&["serve", "--listen", "127.0.0.1:0"]);
    let serve = Serve::spawn(serve.envs(small)).await;
    let to = serve.address.to_string();
    let arguments = ["--stalled-peer", "--to", &to, "--pairs", "1"];
    let result = result(&[&arguments[..], &["--rate", "500", "--acks", "batch"]].concat()).await;
    assert_eq!(result["mode"], "stalled-peer");
    assert!(count(&result, "stalled_acknowledged") > 0);
    assert!(count(&result, "stalled_refused") > 0);
    for figure in ["throughput", "paced_p99", "one_at_a_time_p99"] {
        let ratio = &result["figures"][format!("{figure}_ratio")];
        assert!(ratio.as_f64() > Some(0.0), "{figure}: {result}");
        // One pair tells nothing of the noise.
        assert!(result["figures"][format!("{figure}_ratio_low")].is_null());
    }
}

#[tokio::test]
async fn a_result_is_saved_and_compared_with_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (old, new) = (path("old.json"), path("new.json"));
    let outcome = bench(&["--messages", "300", "--save", &old]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("300 messages (order)"),
        "{outcome:?}"
    );
    let arguments = ["--messages", "400", "--compare", &old, "--save", &new];
    let outcome = bench(&arguments).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("messages_per_second"));

    let outcome = bench(&["--compare", &old, &new]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("new/old"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("note: messages was 300, is 400"),
        "{outcome:?}"
    );
    // Of another mode, and no result at all: known before anything runs.
    let outcome = bench(&["fan-out", "--compare", &old]).await;
    assert_one_line(&outcome, 2, "can't compare throughput with fan-out");
    std::fs::write(path("no.json"), "{}").expect("written");
    let outcome = bench(&["--compare", &path("no.json")]).await;
    assert_one_line(&outcome, 2, "is no result");
}

fn assert_one_line(outcome: &Outcome, code: i32, what: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains(what), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[tokio::test]
async fn wrong_use_gets_one_line_that_says_what_to_change() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = free.local_addr().expect("its address").to_string();
    drop(free);
    for mode in [&[][..], &["paced"], &["one-at-a-time"], &["connections"]] {
        let outcome = bench(&[mode, &["--to", &to]].concat()).await;
        assert_one_line(&outcome, 1, "start `tickwire serve` or pass --to");
    }
    let outcome = bench(&["--message", "ordr"]).await;
    assert_one_line(&outcome, 2, "none of order, execution");
    let outcome = bench(&["fan-out", "--message", "ack"]).await;
    assert_one_line(&outcome, 2, "choose another message");
    let outcome = bench(&["--client", "--acks", "none"]).await;
    assert_one_line(&outcome, 2, "choose each or batch");
    let outcome = bench(&["one-at-a-time", "--client", "--message", "ack"]).await;
    assert_one_line(&outcome, 2, "an ack is never answered");
    let outcome = bench(&["--save", "/nowhere/at/all.json"]).await;
    assert_one_line(&outcome, 2, "in a folder that exists");
    #[cfg(target_os = "linux")]
    {
        let outcome = bench(&["connections", "--connections", "1000000"]).await;
        assert_one_line(&outcome, 2, "connections don't fit");
        let outcome = bench(&["fan-out", "--receivers", "1000000"]).await;
        assert_one_line(&outcome, 2, "ulimit -n");
    }
    // The parser adds a line about --help.
    let outcome = bench(&["paced", "--rate", "0"]).await;
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("1 or more"), "{outcome:?}");
    for senders in [&["--client", "--senders", "2"][..], &["paced", "--client"]] {
        let outcome = bench(senders).await;
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains("'--client'"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_full_server_is_told_in_one_line() {
    let serve = Serve::spawn(
        tickwire(&["serve", "--listen", "127.0.0.1:0"]).env("TICKWIRE_CONNECTIONS_MAX", "5"),
    )
    .await;
    let to = serve.address.to_string();
    let outcome = bench(&["fan-out", "--receivers", "9", "--to", &to]).await;
    assert_one_line(&outcome, 1, "TICKWIRE_CONNECTIONS_MAX");
}
