//! `serve --busy-poll`: its thread keeps a core while anybody is connected, and
//! sleeps otherwise.

use std::fs;
use std::time::Duration;

use crate::process::{Serve, run, tickwire};
use crate::raw_client::{RawClient, within};

/// The processor time of the thread that polls, in ticks of the system.
fn ticks(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    for thread in threads {
        let folder = thread.expect("its threads").path();
        let name = fs::read_to_string(folder.join("comm")).expect("its name");
        if name.trim() == "tickwire-poll" {
            let stat = fs::read_to_string(folder.join("stat")).expect("its times");
            // Behind the name, which is in brackets: the 14th field and the 15th.
            let (_, fields) = stat.rsplit_once(')').expect("a name");
            let times = fields.split_whitespace().skip(11).take(2);
            return times
                .map(|ticks| ticks.parse::<u64>().expect("a number"))
                .sum();
        }
    }
    panic!("no thread polls");
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn serve_keeps_a_core_while_anybody_is_connected_and_sleeps_otherwise() {
    let serve = Serve::start(&["--busy-poll"]).await;
    for _ in 0..2 {
        let peer = RawClient::owning(serve.address, &["name"]).await;
        let before = ticks(serve.id());
        wait_until("the thread to run", || ticks(serve.id()) > before + 20).await;
        peer.leave().await;
        let mut last = u64::MAX;
        wait_until("the thread to sleep", || {
            std::mem::replace(&mut last, ticks(serve.id())) == last
        })
        .await;
    }
    assert!(serve.end_by("-TERM").await.success());
}

#[tokio::test]
async fn more_threads_than_cores_are_refused() {
    let outcome = run(&mut tickwire(&["serve", "--busy-poll=100000"])).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("busy_poll = "), "{outcome:?}");
    assert!(
        outcome.stderr.contains("must be between 0 and"),
        "{outcome:?}"
    );
}
