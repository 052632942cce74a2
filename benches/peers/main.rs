//! tickwire beside the brokers that people would otherwise take, on this machine
//! and in the same rounds.
//!
//! `cargo bench --bench peers --features peers` measures everything in about a
//! quarter of an hour; `-- --help` says how to measure less. What is measured,
//! and what tickwire is held to, stands in `rows.rs`; how the servers are spoken
//! to in `protocol/`, how they are driven in `drive/`, who takes turns with whom
//! in `rounds.rs`, and how it is judged in `statistics.rs`.

#![forbid(unsafe_code)]

mod arena;
mod copy_loop;
mod drive;
mod machine;
mod options;
mod process;
mod protocol;
mod report;
mod rounds;
mod rows;
mod server;
mod statistics;
mod stream;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

use machine::Cores;
use options::{Options, Pace};
use report::RowReport;
use rows::{Experiment, NEIGHBOURS, Row};
use server::{Found, Kind, PEERS};

/// The tickwire that cargo has built for this.
const BUILT_TICKWIRE: &str = env!("CARGO_BIN_EXE_tickwire");

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(copy_loop::ARGUMENT) {
        return match copy_loop::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("the copy loop can't listen: {error}")),
        };
    }
    let options = Options::parse();
    let rows = match chosen_rows(&options.only) {
        Ok(rows) => rows,
        Err(text) => {
            eprintln!("error: {text}");
            return ExitCode::from(2);
        }
    };
    if options.list {
        list(&rows);
        return ExitCode::SUCCESS;
    }
    match compare(&options, &rows) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => fail(&text),
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::FAILURE
}

fn chosen_rows(words: &[String]) -> Result<Vec<Row>, String> {
    let all = rows::all();
    for word in words {
        if !all.iter().any(|row| row.is_meant_by(word)) {
            let known: Vec<&str> = all.iter().map(|row| row.id.as_str()).collect();
            return Err(format!(
                "there is no row {word:?}; there are {}",
                known.join(", ")
            ));
        }
    }
    let chosen = |row: &Row| words.is_empty() || words.iter().any(|word| row.is_meant_by(word));
    Ok(all.into_iter().filter(chosen).collect())
}

fn list(rows: &[Row]) {
    for row in rows {
        println!("{:<18} {}", row.id, row.work);
        for bound in &row.bounds {
            println!("{:<18} {}", "", bound.text());
        }
    }
}

/// Measures the rows, prints them as they come, and returns whether every bound
/// holds.
fn compare(options: &Options, rows: &[Row]) -> Result<bool, String> {
    let found = find_servers(options)?;
    let pace = options.pace();
    options.cores.pin_load()?;
    let mut reports: Vec<RowReport> = Vec::new();
    for experiment in experiments(rows) {
        if let Some(reason) = impossible(experiment) {
            println!("{reason}\n");
            continue;
        }
        let mine: Vec<&Row> = rows
            .iter()
            .filter(|row| row.experiment == experiment)
            .collect();
        reports.extend(measure(experiment, &mine, &found, options.cores, pace));
    }
    let folder = out_folder(options);
    write_results(&folder, &found, options.cores, pace, &reports)?;
    println!("figures: {}", folder.join("results.json").display());
    Ok(!reports
        .iter()
        .any(|report| report.judged.iter().any(|judged| judged.judgement.is_bad())))
}

fn measure(
    experiment: Experiment,
    rows: &[&Row],
    found: &[Found],
    cores: Cores,
    pace: Pace,
) -> Vec<RowReport> {
    let outcome = rounds::run(experiment, rows, found, cores, pace);
    let outrun = match experiment {
        Experiment::Throughput => report::outrun(&outcome),
        _ => None,
    };
    if let Some((enough, ratio)) = outrun {
        println!(
            "the copy loop reaches {:.2} [{:.2}, {:.2}] × NATS, of {} that are asked: {}\n",
            ratio.median,
            ratio.low,
            ratio.high,
            rows::COPY_LOOP_BY_NATS_MIN,
            if enough {
                "the load outruns the servers"
            } else {
                "the load is what is measured, so the rows below don't count"
            }
        );
    }
    let enough = outrun.map(|(enough, _)| enough);
    (rows.iter())
        .map(|row| {
            let report = RowReport::new(row, &outcome, enough);
            println!("{}", report.text());
            report
        })
        .collect()
}

/// In the order of their first rows.
fn experiments(rows: &[Row]) -> Vec<Experiment> {
    let mut experiments: Vec<Experiment> = rows.iter().map(|row| row.experiment).collect();
    experiments.dedup();
    experiments
}

/// What keeps an experiment from being made here.
fn impossible(experiment: Experiment) -> Option<String> {
    let connections = match experiment {
        Experiment::IdleNeighbours => NEIGHBOURS,
        Experiment::IdleMemory => rows::IDLE_CONNECTIONS,
        Experiment::Paced(connections) => connections,
        _ => 0,
    };
    let needed = connections as u64 + 100;
    let allowed = machine::open_files_max();
    (allowed < needed).then(|| {
        format!(
            "skipped: {connections} connections need {needed} open files in this process and in \
             the server's, and {allowed} are allowed: `ulimit -n {needed}` in this shell allows them"
        )
    })
}

fn find_servers(options: &Options) -> Result<Vec<Found>, String> {
    let tickwire = options
        .tickwire
        .as_deref()
        .unwrap_or(Path::new(BUILT_TICKWIRE));
    let mut found = Vec::new();
    for (kind, given) in [(Kind::Tickwire, Some(tickwire)), (Kind::CopyLoop, None)] {
        let server = Found::find(kind, given);
        let missing = || format!("there is no {} at {}", kind.label(), tickwire.display());
        found.push(server.ok_or_else(missing)?);
    }
    for kind in PEERS {
        let given = match kind {
            Kind::Nats => &options.nats_server,
            Kind::Redis => &options.redis_server,
            Kind::Rumqttd => &options.rumqttd,
            _ => &options.mosquitto,
        };
        match Found::find(kind, given.as_deref()) {
            Some(server) => found.push(server),
            None => println!(
                "{}: no {} on this machine, so it is skipped",
                kind.label(),
                kind.program()
            ),
        }
    }
    let versions: Vec<String> = (found.iter())
        .filter(|found| found.kind != Kind::CopyLoop)
        .map(|found| format!("{} {}", found.kind.label(), found.version))
        .collect();
    println!("{}\n", versions.join(", "));
    Ok(found)
}

fn out_folder(options: &Options) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    options.out.clone().unwrap_or_else(default)
}

fn write_results(
    folder: &Path,
    found: &[Found],
    cores: Cores,
    pace: Pace,
    reports: &[RowReport],
) -> Result<(), String> {
    let servers: Vec<Value> = (found.iter())
        .filter(|found| found.kind != Kind::CopyLoop)
        .map(|found| json!({"name": found.kind.label(), "version": found.version}))
        .collect();
    let results = json!({
        "machine": machine::describe(cores),
        "servers": servers,
        "rounds": pace.rounds,
        "measured_ms": pace.measured.as_millis() as u64,
        "rows": reports.iter().map(RowReport::json).collect::<Vec<_>>(),
    });
    let path = folder.join("results.json");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, format!("{results:#}\n")))
        .map_err(|error| format!("can't write {}: {error}", path.display()))
}
