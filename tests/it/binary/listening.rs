//! On which addresses a server listens: on all that it was told, or it doesn't
//! start.

use std::net::SocketAddr;

use crate::draft::Draft;
use crate::process::{Serve, run, tickwire};
use crate::raw_client::{RawClient, within};

/// All addresses that `serve` prints when it is told to listen like this.
async fn listening(listen: &[&str], count: usize) -> (Serve, Vec<SocketAddr>) {
    let flags = listen.iter().flat_map(|address| ["--listen", address]);
    let arguments: Vec<&str> = ["serve"].into_iter().chain(flags).collect();
    listening_by(&mut tickwire(&arguments), count).await
}

async fn listening_by(
    command: &mut tokio::process::Command,
    count: usize,
) -> (Serve, Vec<SocketAddr>) {
    let mut serve = Serve::spawn(command).await;
    let mut addresses = vec![serve.address];
    while addresses.len() < count {
        let line = within("another address", serve.stdout.next_line()).await;
        let line = line.expect("UTF-8").expect("another line");
        let address = line.strip_prefix("listening tcp ").expect(&line);
        addresses.push(address.parse().expect("an address"));
    }
    (serve, addresses)
}

async fn assert_serves(address: SocketAddr) {
    RawClient::connect(address)
        .await
        .assert_no_answer_waits()
        .await;
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[tokio::test]
async fn several_addresses_share_one_server() {
    if !cfg!(target_os = "linux") {
        return; // Elsewhere 127.0.0.2 may be no address of the machine.
    }
    let (serve, addresses) = listening(&["127.0.0.1:0", "127.0.0.2:0"], 2).await;
    assert_eq!(addresses[0].port(), addresses[1].port());
    let mut owner = RawClient::owning(addresses[0], &["owner"]).await;
    let mut sender = RawClient::speaking_for_others(addresses[1]).await;
    let order = Draft::order("sender", "owner");
    sender.ask_acked(&order).await;
    assert_eq!(owner.receive().await.frame, order.frame());
    // A server that asks for one of them as well gets none.
    let taken = addresses[1].to_string();
    for listen in [&taken[..], &format!("127.0.0.3:0,{taken}")] {
        let outcome = run(&mut tickwire(&["serve", "--listen", listen])).await;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(&taken), "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    }
    drop(serve);
}

#[tokio::test]
async fn both_families_and_both_wildcards_are_listened_on() {
    if !has_ipv6() {
        return;
    }
    for (listen, v6) in [
        (["[::]:0", "0.0.0.0:0"], "[::1]"),
        (["127.0.0.1:0", "[::1]:0"], "[::1]"),
        (["[::]:0", "127.0.0.1:0"], "[::1]"),
    ] {
        let (_serve, addresses) = listening(&listen, 2).await;
        let port = addresses[0].port();
        assert_eq!(addresses[1].port(), port, "{listen:?}");
        assert_serves(format!("127.0.0.1:{port}").parse().expect("v4")).await;
        assert_serves(format!("{v6}:{port}").parse().expect("v6")).await;
    }
    // The wildcard of IPv6 alone takes both, as before.
    let (_serve, addresses) = listening(&["[::]:0"], 1).await;
    let port = addresses[0].port();
    assert_serves(format!("127.0.0.1:{port}").parse().expect("v4")).await;
    // So nobody else can be given one of them.
    let v4 = format!("127.0.0.1:{port}");
    let outcome = run(&mut tickwire(&["serve", "--listen", &v4])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_left_out_unless_it_is_the_only_one() {
    // Reserved for documents: nobody's address.
    let absent = "192.0.2.1:0";
    let (_serve, addresses) = listening(&[absent, "127.0.0.1:0"], 1).await;
    assert_eq!(addresses[0].ip().to_string(), "127.0.0.1");
    assert_serves(addresses[0]).await;
    let outcome = run(&mut tickwire(&["serve", "--listen", absent])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(absent), "{outcome:?}");
}

#[tokio::test]
async fn file_variable_and_flags_may_hold_several() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tickwire.toml");
    std::fs::write(&path, "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n").expect("written");
    let path = path.display().to_string();
    let shown = async |mut command: tokio::process::Command| {
        let outcome = run(command.arg("--print-config")).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let line = outcome
            .stdout
            .lines()
            .find(|line| line.starts_with("listen = "));
        line.expect("it is shown").to_owned()
    };
    let from_file = shown(tickwire(&["serve", "--config", &path])).await;
    assert!(from_file.starts_with("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"] "));
    let mut command = tickwire(&["serve", "--config", &path]);
    command.env("TICKWIRE_LISTEN", "a:1, b:2");
    assert!(
        shown(command)
            .await
            .starts_with("listen = [\"a:1\", \"b:2\"] ")
    );
    let flags = ["serve", "--listen", "a:1", "--listen", "[::1]:2"];
    assert!(
        shown(tickwire(&flags))
            .await
            .starts_with("listen = [\"a:1\", \"[::1]:2\"] ")
    );
    // An address that stands there twice is listened on once.
    let (mut serve, _) = listening_by(&mut tickwire(&["serve", "--config", &path]), 1).await;
    assert_serves(serve.address).await;
    serve.kill().await;
    let more = within("the end", serve.stdout.next_line()).await;
    assert_eq!(more.expect("UTF-8"), None);
}
