//! A comparison from its beginning, the servers that are there, to its end, the
//! files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tickwire_load::statistics::Verdict;

use crate::options::{Options, Pace};
use crate::report::{self, RowReport};
use crate::rows::{COPY_LOOP_BY_NATS_MIN, Experiment, IDLE_CONNECTIONS, NEIGHBOURS, Row};
use crate::server::{Found, Kind, RIVALS};
use crate::{against, charts, machine, publish, rounds, say};

/// The tickwire that cargo has built for this.
const BUILT_TICKWIRE: &str = env!("CARGO_BIN_EXE_tickwire");
/// The package's folder.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A comparison.
#[derive(Debug)]
pub struct Session<'a> {
    options: &'a Options,
    pace: Pace,
    found: Vec<Found>,
}

impl<'a> Session<'a> {
    /// Looks for the servers, and pins this process.
    pub fn new(options: &'a Options) -> Result<Self, String> {
        let found = find_servers(options)?;
        let servers = found.iter().filter(|found| is_told(found.kind));
        let versions: Vec<String> = servers.map(Found::text).collect();
        say(&format!("{}\n", versions.join(", ")));
        options.cores.pin_load()?;
        Ok(Self {
            options,
            pace: options.pace(),
            found,
        })
    }

    /// Measures the rows, prints them as they come, and returns whether no bound
    /// is missed.
    pub fn compare_rivals(&self, rows: &[Row]) -> Result<bool, String> {
        let mut reports: Vec<RowReport> = Vec::new();
        let mut experiments: Vec<Experiment> = rows.iter().map(|row| row.experiment).collect();
        experiments.dedup();
        if experiments
            .iter()
            .any(|experiment| matches!(experiment, Experiment::Clients(_)))
        {
            say(&congestion_text());
        }
        for experiment in experiments {
            let of_it = |row: &&Row| row.experiment == experiment;
            let rows: Vec<&Row> = rows.iter().filter(of_it).collect();
            match too_many_files(experiment) {
                Some(reason) => say(&format!("{}: skipped: {reason}\n", rows[0].id)),
                None => reports.extend(self.measure(experiment, &rows)),
            }
        }
        self.write(&reports)?;
        let judged = || reports.iter().flat_map(|report| &report.judged);
        Ok(!judged().any(|judged| judged.judgement.is_bad()))
    }

    /// Compares two builds of tickwire, and returns whether every run succeeded.
    pub fn compare_builds(&self) -> Result<bool, String> {
        let words = &self.options.only;
        let only = |row: &Row| words.is_empty() || words.iter().any(|word| row.is_meant_by(word));
        let (results, done) =
            against::compare(&self.found, only, self.options.cores, self.pace, say)?;
        self.write_json("against.json", &results)?;
        Ok(done)
    }

    fn measure(&self, experiment: Experiment, rows: &[&Row]) -> Vec<RowReport> {
        let outcome = rounds::run(experiment, rows, &self.found, self.options.cores, self.pace);
        let outrun = match experiment {
            Experiment::Throughput => report::outrun(&outcome),
            _ => None,
        };
        if let Some((verdict, ratio)) = outrun {
            let conclusion = match verdict {
                Verdict::Holds => "the load outruns the servers",
                Verdict::HoldsWithinNoise => "the load outruns the servers, within noise",
                Verdict::Missed => {
                    "the load is what is measured, so the rows of throughput don't count"
                }
                Verdict::TooFew => "too few pairs to tell whether the load outruns the servers",
            };
            say(&format!(
                "the copy loop reaches {:.2} [{:.2}, {:.2}] × NATS, of {COPY_LOOP_BY_NATS_MIN} that \
                 are asked: {conclusion}\n",
                ratio.median, ratio.low, ratio.high,
            ));
        }
        let outrun = outrun.map(|(verdict, _)| verdict);
        let report = |row: &&Row| RowReport::new(row, &outcome, outrun);
        let reports: Vec<RowReport> = rows.iter().map(report).collect();
        for report in &reports {
            say(&report.text());
        }
        reports
    }

    fn write(&self, reports: &[RowReport]) -> Result<(), String> {
        let machine = machine::describe(self.options.cores);
        let servers: Vec<Value> = (self.found.iter())
            .filter(|found| is_told(found.kind))
            .map(|found| json!({"name": found.kind.label(), "version": found.version}))
            .collect();
        let results = json!({
            "machine": machine,
            "servers": servers,
            "rounds": self.pace.rounds,
            "measured_ms": self.pace.measured.as_millis() as u64,
            "rows": reports.iter().map(RowReport::json).collect::<Vec<_>>(),
        });
        self.write_json("results.json", &results)?;
        let folder = self.folder();
        let mut files = charts::draw(reports, &folder)
            .map_err(|error| format!("can't draw into {}: {error}", folder.display()))?;
        let named = [&["results.json"], files.as_slice()].concat().join(", ");
        say(&format!("in {}: {named}", folder.display()));
        if self.options.publish {
            files.push("results.json");
            let blocks = publish::blocks(&machine, &self.found, self.pace.rounds, reports);
            let written = publish::publish(Path::new(ROOT), &folder, &files, &blocks)?;
            say(&format!("published: {}", written.join(", ")));
        }
        Ok(())
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), String> {
        let folder = self.folder();
        let path = folder.join(name);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, format!("{value:#}\n")))
            .map_err(|error| format!("can't write {}: {error}", path.display()))
    }

    fn folder(&self) -> PathBuf {
        let given = self.options.out.clone();
        given.unwrap_or_else(|| Path::new(ROOT).join("target/peers"))
    }
}

/// Returns whether a server is told with its version: other uses of it have the same.
fn is_told(kind: Kind) -> bool {
    RIVALS.contains(&kind) || matches!(kind, Kind::Tickwire | Kind::OtherTickwire)
}

/// The congestion control of connections between clients and servers: libraries take
/// the system's default, and tickwire's server takes Reno.
fn congestion_text() -> String {
    match machine::congestion().as_str() {
        default @ ("reno" | "cubic") => format!("congestion control of all clients: {default}\n"),
        default => format!(
            "the system's congestion control is {default}, and tickwire's server takes reno: \
             --congestion reno has one for all\n"
        ),
    }
}

/// The reason why an experiment can't be made here, if there is one.
fn too_many_files(experiment: Experiment) -> Option<String> {
    let connections = match experiment {
        Experiment::IdleNeighbours => NEIGHBOURS,
        Experiment::IdleMemory => IDLE_CONNECTIONS,
        Experiment::Paced(connections) => connections,
        _ => 0,
    };
    let needed = connections as u64 + 100;
    let allowed = machine::open_files_max();
    (allowed < needed).then(|| {
        format!(
            "{connections} connections need {needed} open files, here and in the server, and \
             {allowed} are allowed: `ulimit -n {needed}` in this shell allows them"
        )
    })
}

fn find_servers(options: &Options) -> Result<Vec<Found>, String> {
    let built = Path::new(BUILT_TICKWIRE);
    let tickwire = options.tickwire.as_deref().unwrap_or(built);
    let mut needed = vec![(Kind::Tickwire, tickwire)];
    if let Some(other) = &options.against {
        needed.push((Kind::OtherTickwire, other));
    } else {
        needed.push((Kind::CopyLoop, built));
    }
    let mut found = Vec::new();
    for (kind, path) in needed {
        let server = Found::find(kind, Some(path));
        let missing = || format!("there is no {} at {}", kind.label(), path.display());
        let server = server.ok_or_else(missing)?;
        found.extend(server.of_all_uses());
    }
    if options.against.is_some() {
        return Ok(found);
    }
    for kind in RIVALS {
        let given = match kind {
            Kind::Nats => &options.nats_server,
            Kind::Redis => &options.redis_server,
            Kind::Rumqttd => &options.rumqttd,
            _ => &options.mosquitto,
        };
        match Found::find(kind, given.as_deref()) {
            Some(server) => found.extend(server.of_all_uses()),
            None => say(&format!(
                "{}: no {} on this machine, so it is skipped",
                kind.label(),
                kind.program()
            )),
        }
    }
    Ok(found)
}
