//! The results of a run: for people, for programs, and for the next run to be
//! compared with.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tickwire::wire::Timestamp;
use tickwire_load::drive::Extent;
use tickwire_load::latency::Latency;
use tickwire_load::machine;
use tickwire_load::process::Cpu;
use tickwire_load::progress::{number, per_second};

/// The form of a saved result; another one is not read.
const FORM: u64 = 1;
/// Below this the load's processor time is known too coarsely to be divided.
const CPU_MIN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORM`].
    tickwire_bench: u64,
    pub mode: String,
    pub time: String,
    pub version: String,
    pub machine: Machine,
    pub options: Map<String, Value>,
    pub counts: Map<String, Value>,
    /// Speeds and costs.
    pub figures: Map<String, Value>,
    pub latency_us: Map<String, Value>,
    /// Everything that did not go as it should.
    pub faults: Vec<String>,
    #[serde(skip)]
    title: String,
    /// The figures for people.
    #[serde(skip)]
    lines: String,
}

/// The facts that make a machine's figures differ from another's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    cpu: String,
    /// Those that this program may use.
    cores: usize,
    /// The system and its version.
    system: String,
    memory_bytes: Option<u64>,
}

impl Machine {
    fn this() -> Self {
        let machine = machine::Machine::this();
        let system = format!("{} {}", std::env::consts::OS, machine.kernel);
        Self {
            cpu: (machine.processor).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: system.trim().to_owned(),
            memory_bytes: machine.memory_kib.map(|kib| kib * 1_024),
        }
    }
}

impl Report {
    pub fn new(mode: &str, title: String) -> Self {
        Self {
            tickwire_bench: FORM,
            mode: mode.to_owned(),
            time: Timestamp::now().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::this(),
            title,
            ..Self::default()
        }
    }

    pub fn option(&mut self, name: &str, value: impl Into<Value>) {
        self.options.insert(name.to_owned(), value.into());
    }

    /// Notes when the run was to end.
    pub fn extent(&mut self, extent: Extent) {
        let (seconds, messages) = match extent {
            Extent::Time(time) => (Value::from(time.as_secs()), Value::Null),
            Extent::Messages(messages) => (Value::Null, Value::from(messages)),
        };
        self.option("seconds", seconds);
        self.option("messages", messages);
    }

    pub fn count(&mut self, name: &str, count: u64) {
        self.counts.insert(name.to_owned(), count.into());
    }

    /// Notes a figure, if it is known.
    pub fn figure(&mut self, name: &str, value: Option<f64>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    pub fn line(&mut self, label: &str, text: &str) {
        writeln!(self.lines, "{label:<15}{text}").expect("a String takes everything");
    }

    /// Adds latencies, for people and programs.
    pub fn latency(&mut self, name: &str, label: &str, latency: &Latency) {
        let (mut shown, mut percentiles) = (Vec::new(), Map::new());
        for (name, us) in latency.percentiles_us() {
            shown.push(format!("{name} {}", micros(us)));
            percentiles.insert(name.to_owned(), us.into());
        }
        self.line(label, &shown.join("  "));
        self.latency_us.insert(name.to_owned(), percentiles.into());
    }

    /// Adds the processor time of server and load for each of `count` things.
    pub fn cpu(&mut self, cpu: Cpu, count: u64, thing: &str) {
        let load = cpu.load.filter(|time| *time >= CPU_MIN);
        for (who, time) in [("server", cpu.server), ("load", load)] {
            let time = time.filter(|_| count > 0);
            let us = time.map(|time| time.as_secs_f64() * 1e6 / count as f64);
            self.figure(&format!("{who}_cpu_us_per_{thing}"), us);
            if let Some(us) = us {
                let shown = match us {
                    us if us < 10.0 => format!("{us:.3} µs"),
                    us => micros(us),
                };
                self.line(&format!("{who} CPU"), &format!("{shown} a {thing}"));
            }
        }
    }

    /// The result for people.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.title, self.lines)
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("nothing in it can fail to be JSON") + "\n"
    }

    pub fn save(&self, path: &Path) -> Result<(), String> {
        std::fs::write(path, self.json())
            .map_err(|error| format!("can't write {}: {error}", path.display()))
    }

    pub fn load(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("can't read {shown}: {error}"))?;
        match serde_json::from_str::<Self>(&text) {
            Ok(report) if report.tickwire_bench == FORM => Ok(report),
            _ => Err(format!(
                "{shown} is no result of this version: make one with `bench --save {shown}`"
            )),
        }
    }
}

/// Checks before the run that there is a folder to save a file in.
pub fn check_folder(path: &Path) -> Result<(), String> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match folder.is_none_or(Path::is_dir) && !path.is_dir() {
        true => Ok(()),
        false => Err(format!(
            "--save {}: name a file in a folder that exists",
            path.display()
        )),
    }
}

/// The number of things in a second.
pub fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// Words such as `1 sender` or `2,000 senders`.
pub fn some(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count))
}

/// A number of things and their rate as people read them.
pub fn counted(count: u64, rate: f64) -> String {
    format!("{:>14} {:>16}", number(count), per_second(rate))
}

/// A time in microseconds as people read it.
pub fn micros(us: f64) -> String {
    match us {
        us if us < 100.0 => format!("{us:.1} µs"),
        us if us < 10_000.0 => format!("{us:.0} µs"),
        us if us < 1_000_000.0 => format!("{:.1} ms", us / 1_000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_result_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        let mut report = Report::new("throughput", String::new());
        report.option("senders", 3);
        report.count("sent", 12);
        report.figure("messages_per_second", Some(1_234_567.25));
        report.figure("server_cpu_us_per_message", None);
        report.faults.push("a fault".to_owned());
        let mut latency = Latency::new();
        latency.record_ns(1_500);
        report.latency("from_due", "latency", &latency);
        report.save(&path).unwrap();
        let mut read = Report::load(&path).unwrap();
        read.lines = report.lines.clone();
        assert_eq!(read, report);
        assert!(report.text().contains("latency        p50 1.5 µs  p90 "));
    }

    #[test]
    fn what_is_no_result_is_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        let error = Report::load(&path).unwrap_err();
        assert!(error.starts_with("can't read "), "{error}");
        for text in ["", "{}", "nonsense", "{\"tickwire_bench\": 1}"] {
            std::fs::write(&path, text).unwrap();
            let error = Report::load(&path).unwrap_err();
            assert!(error.contains("is no result"), "{error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn times_are_shown_in_a_fitting_unit() {
        assert_eq!(micros(26.04), "26.0 µs");
        assert_eq!(micros(260.4), "260 µs");
        assert_eq!(micros(26_040.0), "26.0 ms");
        assert_eq!(micros(2_604_000.0), "2.60 s");
    }
}
