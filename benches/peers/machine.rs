//! The machine: the cores of server and load, its limits, and its description.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tickwire_load::machine::Machine;
use tickwire_load::process::Process;

/// The congestion control of new connections, as the system has it.
const CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// A core for the servers and another for the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// The core of every server.
    pub server: usize,
    /// The core of this process.
    pub load: usize,
}

impl Cores {
    /// Pins this process, and with it every thread it starts from now on.
    pub fn pin_load(self) -> Result<(), String> {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        if available < 2 {
            return Err("a server and its load need a core each, and there is one".to_owned());
        }
        if self.server == self.load {
            return Err("a server and its load need a core each: --cores SERVER,LOAD".to_owned());
        }
        let id = std::process::id().to_string();
        let pinned = Command::new("taskset")
            .args(["-p", "-c", &self.load.to_string(), &id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match pinned {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(format!(
                "taskset can't pin this process to core {}: choose others with --cores SERVER,LOAD",
                self.load
            )),
            Err(error) => Err(format!(
                "taskset, of util-linux, pins servers and load to cores of their own, and can't \
                 be started: {error}"
            )),
        }
    }

    /// A command that runs `program` on the servers' core.
    pub fn on_server_core(self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.server.to_string()]).arg(program);
        command
    }

    /// A command that runs `program` on both cores.
    pub fn on_both(self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        let cores = format!("{},{}", self.server, self.load);
        command.args(["-c", &cores]).arg(program);
        command
    }
}

/// The system's default congestion control.
pub fn congestion() -> String {
    let name = std::fs::read_to_string(CONGESTION).unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// Finds a program: at `given`, or in the path or the system's own folders.
pub fn find_program(name: &str, given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return path.is_file().then(|| path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The number of files that this process, and a server that it starts, may open.
pub fn open_files_max() -> u64 {
    let limits = Process::this().open_files_max();
    limits.map_or(u64::MAX, |(soft, _)| soft)
}

/// Describes the machine for a reader of the figures.
pub fn describe(cores: Cores) -> Value {
    let machine = Machine::this();
    json!({
        "processor": machine.processor,
        "cores": machine.cores,
        "virtual": machine.is_virtual,
        "memory_gib": machine.memory_kib.map(|kib| kib.div_ceil(1 << 20)),
        "kernel": machine.kernel,
        "system": machine.system,
        "congestion_control": congestion(),
        "server_core": cores.server,
        "load_core": cores.load,
    })
}
