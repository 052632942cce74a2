//! `tickwire bench`: the speed at which a server passes messages on.
//!
//! The load is `tickwire_load`; here are its command line, server and results.

use self::arguments::Mode;
use self::report::Report;
use super::{Failure, Outcome, print, say};

mod arguments;
mod client;
mod compare;
mod connections;
mod one_at_a_time;
mod report;
mod selection;
mod setup;
mod stalled_peer;
mod streams;

pub use self::arguments::Arguments;

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (mode, common) = match &arguments.mode {
        None => ("throughput", &arguments.throughput.load.common),
        Some(Mode::Throughput(mode)) => ("throughput", &mode.load.common),
        Some(Mode::Paced(mode)) => ("paced", &mode.load.common),
        Some(Mode::OneAtATime(mode)) => ("one-at-a-time", &mode.load.common),
        Some(Mode::FanOut(mode)) => ("fan-out", &mode.common),
        Some(Mode::Connections(mode)) => ("connections", &mode.common),
        Some(Mode::StalledPeer(mode)) => ("stalled-peer", &mode.common),
    };
    // Read before the run: a wrong file should not cost one.
    let saved = common.compare.iter().map(|path| Report::load(path));
    let saved: Vec<Report> = saved.collect::<Result<_, _>>().map_err(Failure::usage)?;
    if let [old, new] = &saved[..] {
        let table = compare::table(old, new).map_err(Failure::usage)?;
        print(format_args!("{table}"))?;
        return Ok(Outcome::Done);
    }
    if let [old] = &saved[..] {
        compare::check(&old.mode, mode).map_err(Failure::usage)?;
    }
    if let Some(path) = &common.save {
        report::check_folder(path).map_err(Failure::usage)?;
    }
    let report = match &arguments.mode {
        None => streams::throughput(&arguments.throughput),
        Some(Mode::Throughput(mode)) => streams::throughput(mode),
        Some(Mode::Paced(mode)) => streams::paced(mode),
        Some(Mode::OneAtATime(mode)) => one_at_a_time::run(mode),
        Some(Mode::FanOut(mode)) => streams::fan_out(mode),
        Some(Mode::Connections(mode)) => connections::run(mode),
        Some(Mode::StalledPeer(mode)) => stalled_peer::run(mode),
    }?;
    let text = if common.json {
        report.json()
    } else {
        report.text()
    };
    print(format_args!("{text}"))?;
    if let Some(path) = &common.save {
        report.save(path).map_err(Failure::failed)?;
    }
    if let [old] = &saved[..] {
        let table = compare::table(old, &report).map_err(Failure::usage)?;
        if common.json {
            say(format_args!("{}", table.trim_end()));
        } else {
            print(format_args!("\n{table}"))?;
        }
    }
    for fault in &report.faults {
        say(format_args!("{fault}"));
    }
    Ok(Outcome::of(report.faults.is_empty()))
}
