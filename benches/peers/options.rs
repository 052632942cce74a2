//! The command line of the comparison.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::machine::Cores;

/// Rounds that a bound takes.
pub const ROUNDS: u32 = 20;

const HELP: &str = "\
Examples:
  cargo bench --bench peers --features peers
  cargo bench --bench peers --features peers -- --only throughput --only mix
  cargo bench --bench peers --features peers -- --against target/before/tickwire

Servers that aren't found are said and skipped. Exit codes: 0 every bound holds, \
1 one is missed or couldn't be measured, 2 wrong usage.";

/// Compare tickwire with other brokers on this machine
#[derive(Debug, Parser)]
#[command(name = "peers", after_long_help = HELP)]
pub struct Options {
    /// Only this row, or the rows that begin with it and a slash; may be repeated
    #[arg(long, value_name = "ROW")]
    pub only: Vec<String>,
    /// List the rows and their bounds
    #[arg(long)]
    pub list: bool,
    /// Few and short rounds: shows that everything works, judges nothing
    #[arg(long)]
    pub quick: bool,
    /// Interleaved rounds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Compare the built tickwire with the one at PATH, by processor time a message
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// The tickwire to measure, instead of the one just built
    #[arg(long, value_name = "PATH")]
    pub tickwire: Option<PathBuf>,
    /// Where NATS is, if not in the path
    #[arg(long, value_name = "PATH")]
    pub nats_server: Option<PathBuf>,
    /// Where Redis is
    #[arg(long, value_name = "PATH")]
    pub redis_server: Option<PathBuf>,
    /// Where rumqttd is
    #[arg(long, value_name = "PATH")]
    pub rumqttd: Option<PathBuf>,
    /// Where Mosquitto is
    #[arg(long, value_name = "PATH")]
    pub mosquitto: Option<PathBuf>,
    /// The servers' core and the load's
    #[arg(long, value_name = "SERVER,LOAD", default_value = "0,1", value_parser = cores)]
    pub cores: Cores,
    /// One congestion control for all: in a network of its own, whose default it is
    #[arg(long, value_name = "NAME")]
    pub congestion: Option<String>,
    /// Where the figures and charts go [default: target/peers]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also put figures and charts into docs/; of a whole run only
    #[arg(long, conflicts_with_all = ["only", "quick", "against"])]
    pub publish: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// The lengths and the number of runs.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Interleaved rounds.
    pub rounds: u32,
    /// The time until a run's figures begin.
    pub warm_up: Duration,
    /// The time in which they are taken.
    pub measured: Duration,
    /// That time at a fixed rate, where less happens.
    pub measured_paced: Duration,
}

impl Options {
    /// The pace that was asked for.
    pub fn pace(&self) -> Pace {
        let pace = if self.quick {
            Pace {
                rounds: 3,
                warm_up: Duration::from_millis(100),
                measured: Duration::from_millis(300),
                measured_paced: Duration::from_millis(500),
            }
        } else {
            Pace {
                rounds: ROUNDS,
                warm_up: Duration::from_millis(200),
                measured: Duration::from_secs(1),
                measured_paced: Duration::from_secs(2),
            }
        };
        Pace {
            rounds: self.rounds.unwrap_or(pace.rounds),
            ..pace
        }
    }
}

fn cores(text: &str) -> Result<Cores, String> {
    let cores = text.split_once(',').and_then(|(server, load)| {
        Some(Cores {
            server: server.trim().parse().ok()?,
            load: load.trim().parse().ok()?,
        })
    });
    cores.ok_or_else(|| "two numbers with a comma, as in 0,1".to_owned())
}
