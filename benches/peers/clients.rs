//! Runs of client libraries, each in a process of its own beside that of its server.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::figures::{Figures, Metric};
use crate::machine::Cores;
use crate::nats_clients::{self, Mode};
use crate::options::Pace;
use crate::rows::{ClientWork, Contestant};
use crate::server::{Kind, Running};

/// The time for connecting, and for a load that doesn't move.
pub const GRACE: Duration = Duration::from_secs(30);
/// The interval at which a process is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Makes one run of a contestant's clients. `tickwire` is the program that has
/// tickwire's.
pub fn run(
    server: &Running,
    contestant: Contestant,
    work: ClientWork,
    tickwire: &Path,
    cores: Cores,
    pace: Pace,
) -> Result<Figures, String> {
    let seconds = pace.measured.as_secs().max(1);
    let address = server.address().to_string();
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = cores.on_both(match contestant.kind {
        Kind::Tickwire => tickwire,
        _ => &this,
    });
    let mode = match (contestant.kind, work) {
        (Kind::JetStream, _) => Mode::JetStream,
        (_, ClientWork::Throughput) => Mode::Publish,
        (_, ClientWork::OneAtATime) => Mode::Request,
    };
    let length = seconds.to_string();
    if contestant.kind == Kind::Tickwire {
        command.arg("bench");
        if work == ClientWork::OneAtATime {
            command.arg("one-at-a-time");
        }
        command.args(["--client", "--json", "--acks", contestant.acks.as_str()]);
        command.args(["--to", &address, "--seconds", &length]);
    } else {
        command.args([nats_clients::ARGUMENT, mode.word(), &address, &length]);
    }
    figures(
        &output(command, Duration::from_secs(seconds) + GRACE)?,
        work,
    )
}

/// Returns the output of a process, which is ended if it takes longer than `patience`.
pub fn output(mut command: Command, patience: Duration) -> Result<String, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("can't start clients: {error}"))?;
    let end = Instant::now() + patience;
    // Both are far shorter than a pipe holds.
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() < end => thread::sleep(TICK),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("its clients took longer than {patience:?}"));
            }
        }
    };
    let (printed, complaint) = printed(&mut child);
    if status.success() {
        return Ok(printed);
    }
    Err(complaint.trim().lines().collect::<Vec<_>>().join("; "))
}

fn printed(child: &mut Child) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    // A failure to read is seen as a text that is no result.
    if let Some(pipe) = &mut child.stdout {
        let _ = pipe.read_to_string(&mut out);
    }
    if let Some(pipe) = &mut child.stderr {
        let _ = pipe.read_to_string(&mut err);
    }
    (out, err)
}

/// Takes the figures of a run out of its result in JSON.
fn figures(text: &str, work: ClientWork) -> Result<Figures, String> {
    let result: Value = serde_json::from_str(text)
        .map_err(|error| format!("its clients print no result: {error}"))?;
    let faults = result["faults"].as_array().into_iter().flatten();
    let faults: Vec<&str> = faults.filter_map(Value::as_str).collect();
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let (figure, answer) = (&result["figures"], &result["latency_us"]["answer"]);
    let mut wanted = vec![
        (Metric::CpuMicros, &figure["server_cpu_us_per_message"]),
        (Metric::LoadMicros, &figure["load_cpu_us_per_message"]),
    ];
    match work {
        ClientWork::Throughput => wanted.push((Metric::PerSecond, &figure["messages_per_second"])),
        ClientWork::OneAtATime => wanted.extend([
            (Metric::P50Micros, &answer["p50"]),
            (Metric::P99Micros, &answer["p99"]),
        ]),
    }
    let mut figures = Figures::new();
    for (metric, value) in wanted {
        let value = value.as_f64();
        figures.push((
            metric,
            value.ok_or_else(|| format!("its clients tell no {metric:?}"))?,
        ));
    }
    let both = figures[0].1 + figures[1].1;
    figures.push((Metric::BothMicros, both));
    Ok(figures)
}
