//! The machine: its cores and who runs on which, its limits, and its
//! description.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A core for the servers and another for the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Where every server runs.
    pub server: usize,
    /// Where this process runs.
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
}

/// Where a program is: at `given`, or in the path or the system's own folders.
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

/// How many files this process, and a server that it starts, may open.
pub fn open_files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| {
        let numbers = line.strip_prefix("Max open files")?;
        numbers.split_whitespace().next()
    });
    match soft {
        Some("unlimited") | None => u64::MAX,
        Some(number) => number.parse().unwrap_or(u64::MAX),
    }
}

/// What a reader of the figures has to know about the machine.
pub fn describe(cores: Cores) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = |text: &str| -> Option<u64> { text.split_whitespace().next()?.parse().ok() };
    json!({
        "processor": field(&cpu, "model name"),
        "cores": std::fs::read_dir("/sys/devices/system/cpu").map_or(0, |folder| {
            folder.flatten().filter(|entry| is_core(&entry.file_name().to_string_lossy())).count()
        }),
        "virtual": cpu.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor")),
        "memory_gib": field(&memory, "MemTotal").and_then(kilobytes).map(|kb| kb.div_ceil(1 << 20)),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "system": system(),
        "server_core": cores.server,
        "load_core": cores.load,
    })
}

/// The value of the first line `key : value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn is_core(name: &str) -> bool {
    name.strip_prefix("cpu")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn system() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}
