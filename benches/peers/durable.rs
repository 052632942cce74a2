//! Messages that are on disk when they are answered, and that nobody receives yet.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tickwire_load::drive::{self, Parties, Plan};
use tickwire_load::frame;
use tickwire_load::latency::Latency;
use tickwire_load::load::Load;
use tickwire_load::messages::{DISTINCT, Example, Selection, Target, variants};
use tickwire_load::one_at_a_time::{self, Waiting};
use tickwire_load::process::CpuClock;
use tickwire_load::protocol::{Acks, Party, SUBJECT};

use crate::clients;
use crate::figures::{Figures, Metric};
use crate::machine::Cores;
use crate::options::Pace;
use crate::rows::{ClientWork, Contestant, Experiment, Reference, Row};
use crate::server::{self, Kind, Running};

/// The hidden argument by which this program writes and syncs without a server, with the
/// milliseconds before the figures and those of the figures behind it.
pub const ARGUMENT: &str = "--bare-disk";
/// Messages that wait for their answers at most.
pub const IN_FLIGHT: u64 = 1_024;
/// Bytes of the file of the bare disk: as many as a segment of the journal has.
const FILE_BYTES: usize = 64 * 1024 * 1024;

const TICKWIRE: Contestant = Contestant::of(Kind::TickwireDurable);
const DISK: Contestant = Contestant::of(Kind::Disk);
const SYNCED: Contestant = Contestant::of(Kind::JetStreamSynced);
const UNSYNCED: Contestant = Contestant::of(Kind::JetStreamUnsynced);
const STREAMS: Contestant = Contestant::of(Kind::RedisStreams);

/// The rows of messages on disk.
pub fn rows() -> [Row; 3] {
    let row = |id: &str, answered: &str, work, acks, metric| {
        let (id, work_text) = (
            format!("durable/{id}"),
            format!("1 → disk, orders, {answered}"),
        );
        let mut row = Row::new(&id, &work_text, Experiment::Durable(work), metric);
        row.subject = Contestant { acks, ..TICKWIRE };
        row
    };
    let stream = |id, acks, answered| {
        let answered = format!("{IN_FLIGHT} in flight, {answered}");
        row(
            id,
            &answered,
            ClientWork::Throughput,
            acks,
            Metric::PerSecond,
        )
        .at_least(100.0, Reference::One(SYNCED))
        .at_least(2.0, Reference::One(UNSYNCED))
        .at_least(5.0, Reference::One(STREAMS))
    };
    let single = row(
        "one-at-a-time",
        "one at a time, until its ack: p50",
        ClientWork::OneAtATime,
        Acks::Each,
        Metric::P50Micros,
    );
    [
        stream("each", Acks::Each, "an ack each"),
        stream("batch", Acks::Batch, "acks in batches"),
        single
            .at_most(1.5, Reference::One(DISK))
            .showing(&[SYNCED, UNSYNCED, STREAMS]),
    ]
}

fn sender(server: &Running, acks: Acks) -> Result<Party, String> {
    let sender = server.protocol().sender(server.address(), acks);
    sender.map_err(|error| format!("connecting: {error}"))
}

/// Makes one run with many messages in flight.
pub fn run_stream(
    server: &Running,
    load: &Load,
    plan: &Plan,
    acks: Acks,
) -> Result<Figures, String> {
    let parties = Parties {
        senders: vec![sender(server, acks)?],
        receivers: Vec::new(),
    };
    let clock = CpuClock::start(Some(server.process()));
    let outcome = drive::run(load, parties, plan, |_, _| {}).map_err(|error| error.to_string())?;
    let cpu = clock.stop();
    let faults = outcome.faults(&outcome.totals());
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    if outcome.answers_per_second == 0.0 {
        return Err("its answers came in fits".to_owned());
    }
    let micros = |time: Option<Duration>| {
        let time = time.ok_or("the server has ended")?;
        Ok::<f64, String>(time.as_secs_f64() * 1e6 / outcome.sent as f64)
    };
    Ok(vec![
        (Metric::PerSecond, outcome.answers_per_second),
        (Metric::CpuMicros, micros(cpu.server)?),
        (Metric::LoadMicros, micros(cpu.load)?),
    ])
}

/// Makes one run with one message at a time.
pub fn run_one_at_a_time(
    server: &Running,
    load: &Load,
    plan: &Plan,
    acks: Acks,
) -> Result<Figures, String> {
    let sender = sender(server, acks)?;
    let run = one_at_a_time::run(load, sender, None, plan, Waiting::Asleep, |_, _| {});
    let (outcome, stop) = run.map_err(|error| error.to_string())?;
    match stop {
        Some(stop) => Err(stop.to_string()),
        None => Ok(vec![
            (Metric::P50Micros, outcome.both.percentile_us(50.0)),
            (Metric::P99Micros, outcome.both.percentile_us(99.0)),
        ]),
    }
}

/// Makes one run of the bare disk, on the servers' core: another one may be told sooner
/// that the disk is done.
pub fn run_disk(cores: Cores, pace: Pace) -> Result<Figures, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = cores.on_server_core(&this);
    command.arg(ARGUMENT);
    for time in [pace.warm_up, pace.measured] {
        command.arg(time.as_millis().to_string());
    }
    let text = clients::output(command, pace.warm_up + pace.measured + clients::GRACE)?;
    let result: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let figure = |key: &str| result[key].as_f64().ok_or("the disk has no figures");
    Ok(vec![
        (Metric::P50Micros, figure("p50")?),
        (Metric::P99Micros, figure("p99")?),
    ])
}

/// Writes and syncs frames as the arguments say, and prints the time that one takes.
pub fn serve_disk(arguments: &[String]) -> Result<(), String> {
    let millis = |index: usize| {
        arguments
            .get(index)?
            .parse()
            .ok()
            .map(Duration::from_millis)
    };
    let (warm_up, measured) = millis(0).zip(millis(1)).ok_or("two times are needed")?;
    let latency = write_and_sync(warm_up, measured).map_err(|error| error.to_string())?;
    let [p50, p99] = [50.0, 99.0].map(|percentile| latency.percentile_us(percentile));
    println!("{}", json!({"p50": p50, "p99": p99}));
    Ok(())
}

/// Writes and syncs tickwire's frames one after the other, without any server: into a file
/// that is there already, as a segment of the journal is.
fn write_and_sync(warm_up: Duration, measured: Duration) -> std::io::Result<Latency> {
    let orders = Selection::One(Example::Order);
    let bodies = variants(&orders, DISTINCT, None, Target::Name(SUBJECT));
    let frames = bodies.iter().map(|body| {
        let mut frame = Vec::new();
        frame::write(&mut frame, body);
        frame
    });
    let frames: Vec<Vec<u8>> = frames.collect();
    let folder = server::folder()?;
    let file = File::create(folder.path().join("frames"))?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let (mut latency, mut place) = (Latency::new(), 0);
    let start = Instant::now();
    for frame in frames.iter().cycle() {
        let begin = Instant::now();
        if begin - start >= warm_up + measured {
            break;
        }
        if place + frame.len() > FILE_BYTES {
            place = 0;
        }
        file.write_all_at(frame, place as u64)?;
        file.sync_data()?;
        place += frame.len();
        if begin - start >= warm_up {
            latency.record(begin.elapsed());
        }
    }
    Ok(latency)
}
