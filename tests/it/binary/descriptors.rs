//! A process that may have few files open, and more connections than it can
//! serve: those beyond are told so, and the log stays short.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::draft::Draft;
use crate::process::{Serve, tickwire};
use crate::raw_client::{RawClient, within};

/// Starts `command` with its log in a file.
async fn logging(command: &mut Command) -> (Serve, NamedTempFile) {
    let log = NamedTempFile::new().expect("a file");
    let stderr = File::create(log.path()).expect("it can be written");
    let serve = Serve::spawn_logging(command.stderr(stderr)).await;
    (serve, log)
}

fn lines(log: &NamedTempFile) -> Vec<String> {
    let text = std::fs::read_to_string(log.path()).expect("a text");
    text.lines().map(str::to_owned).collect()
}

/// Says hello and gives the connection if it is served, or `None` if it is told
/// that there are too many.
async fn try_to_join(serve: &Serve, number: usize) -> Result<RawClient, RawClient> {
    let mut peer = RawClient::connect(serve.address).await;
    peer.send(&Draft::hello(&format!("peer-{number}"))).await;
    let answer = peer.receive().await;
    if answer.kind() == "welcome" {
        return Ok(peer);
    }
    assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{answer:?}");
    peer.reader.expect_end().await;
    Err(peer)
}

#[tokio::test]
async fn all_beyond_what_few_descriptors_allow_are_told_so() {
    const PEERS: usize = 150;
    let program = env!("CARGO_BIN_EXE_tickwire");
    let mut command = tickwire(&[]);
    let script = format!("ulimit -n 64 && exec {program} serve --listen 127.0.0.1:0 --threads 2");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::null());
    shell.stdout(Stdio::piped()).kill_on_drop(true);
    for (key, value) in command.as_std_mut().get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    let (serve, log) = logging(&mut shell).await;
    let mut peers = Vec::new();
    for number in 0..PEERS {
        let mut peer = RawClient::connect(serve.address).await;
        peer.send(&Draft::hello(&format!("peer-{number}"))).await;
        peers.push(peer);
    }
    // Nobody is left without a word, though none of them lets go.
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    for mut peer in peers {
        let answer = peer.receive().await;
        if answer.kind() == "welcome" {
            served.push(peer);
        } else {
            assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{answer:?}");
            peer.reader.expect_end().await;
            refused.push(peer);
        }
    }
    assert!(served.len() >= 20, "{} are served", served.len());
    assert!(served.len() <= 64 - 16, "{} are served", served.len());
    for peer in &mut served {
        peer.assert_no_answer_waits().await;
    }
    // A place that becomes free is given, whoever is about.
    served.pop().expect("many").leave().await;
    assert!(try_to_join(&serve, PEERS).await.is_ok());
    let lines = lines(&log);
    assert!(
        lines.iter().any(|line| line.contains("RLIMIT_NOFILE")),
        "{lines:#?}"
    );
    assert!(lines.len() <= 6, "{lines:#?}");
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let program = env!("CARGO_BIN_EXE_tickwire");
    let mut shell = Command::new("sh");
    let script = format!("ulimit -Sn 64 && exec {program} serve --listen 127.0.0.1:0 --threads 2");
    shell.args(["-c", &script]).stdin(Stdio::null());
    shell.stdout(Stdio::piped()).kill_on_drop(true);
    shell.env_remove("TICKWIRE_LISTEN");
    let serve = Serve::spawn(&mut shell).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serve.id()));
    let limits = limits.expect("the process runs");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let fields: Vec<_> = line.expect("the limit").split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "soft and hard");
    assert_ne!(fields[3], "64", "the hard limit of this machine");
}

/// The smallest number that no open file of the process has: with a limit of
/// so many, it can open no other.
fn next_descriptor(process: u32) -> u64 {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let names = folder.map(|entry| entry.expect("an entry").file_name());
    let used: BTreeSet<u64> = names
        .map(|name| name.to_string_lossy().parse().expect("a number"))
        .collect();
    (0..).find(|number| !used.contains(number)).expect("one")
}

/// Waits until the process has closed the copy of its standard output by which it
/// has announced itself: its number would be free once more.
async fn announcement_done(process: u32) {
    let target = |entry: std::io::Result<std::fs::DirEntry>| {
        // A file may be closed meanwhile.
        std::fs::read_link(entry.ok()?.path()).ok()
    };
    let stdout = std::fs::read_link(format!("/proc/{process}/fd/1")).expect("it is open");
    let copies = async {
        loop {
            let folder = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
            if folder.filter_map(target).filter(|at| *at == stdout).count() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the announcement's end", copies).await;
}

fn limit_descriptors(process: u32, limit: Option<u64>) -> Rlimit {
    let pid = Pid::from_raw(process.try_into().expect("small"));
    let limit = Rlimit {
        current: limit,
        maximum: prlimit_of(process).maximum,
    };
    prlimit(pid, Resource::Nofile, limit).expect("it is ours")
}

fn prlimit_of(_process: u32) -> Rlimit {
    // The child has the hard limit of this process.
    rustix::process::getrlimit(Resource::Nofile)
}

/// Others may open files in the process after a server has counted them.
#[tokio::test]
async fn who_comes_when_no_descriptor_is_left_is_told_so() {
    let (serve, log) = logging(&mut tickwire(&["serve", "--listen", "127.0.0.1:0"])).await;
    let mut served = Vec::new();
    for number in 0..3 {
        let peer = try_to_join(&serve, number).await;
        served.push(peer.map_err(|_| "refused").expect("it is served"));
    }
    announcement_done(serve.id()).await;
    let before = limit_descriptors(serve.id(), Some(next_descriptor(serve.id())));
    for number in 3..23 {
        let peer = try_to_join(&serve, number).await;
        assert!(peer.is_err(), "no descriptor is left");
    }
    for peer in &mut served {
        peer.assert_no_answer_waits().await;
    }
    // Whoever leaves makes room.
    served.pop().expect("three").leave().await;
    limit_descriptors(serve.id(), before.current);
    assert!(try_to_join(&serve, 23).await.is_ok());
    let lines = lines(&log);
    assert!(lines.len() <= 4, "{lines:#?}");
}

#[tokio::test]
async fn a_flood_of_refused_connections_is_two_lines_and_few_descriptors() {
    const REFUSED: usize = 300;
    let mut command = tickwire(&["serve", "--listen", "127.0.0.1:0"]);
    let (serve, log) = logging(command.env("TICKWIRE_CONNECTIONS_MAX", "1")).await;
    let mut served = try_to_join(&serve, 0)
        .await
        .map_err(|_| "refused")
        .expect("served");
    let mut refused = Vec::new();
    for _ in 0..REFUSED {
        refused.push(RawClient::connect(serve.address).await);
    }
    // They read why, and keep their sockets.
    for peer in &mut refused {
        peer.expect_last_words("LIMIT_EXCEEDED").await;
    }
    served.assert_no_answer_waits().await;
    assert!(next_descriptor(serve.id()) < 256 + 32);
    drop(refused);
    let status = serve.end_by("-TERM").await;
    assert_eq!(status.code(), Some(0));
    let lines = lines(&log);
    let about = |text| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(about("too many connections"), 1, "{lines:#?}");
    let sums = lines.iter().filter_map(|line| {
        let (_, rest) = line.split_once("refused ")?;
        rest.split_once(" connections in ")?.0.parse::<usize>().ok()
    });
    assert_eq!(sums.sum::<usize>(), REFUSED - 1, "{lines:#?}");
    assert!(lines.len() <= 8, "{lines:#?}");
}
