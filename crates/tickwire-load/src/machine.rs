//! Facts about the machine, as Linux tells them.

use std::fs;

/// The facts that make a machine's figures differ from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name.
    pub processor: Option<String>,
    /// Its cores.
    pub cores: usize,
    /// Whether it is a virtual machine.
    pub is_virtual: bool,
    /// KiB of memory.
    pub memory_kib: Option<u64>,
    /// The kernel's version.
    pub kernel: String,
    /// The system's name and version.
    pub system: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (cpu, release) = (read("/proc/cpuinfo"), read("/etc/os-release"));
        let flags = cpu.lines().find(|line| line.starts_with("flags"));
        let memory = field(&read("/proc/meminfo"), "MemTotal", ':');
        let kib = memory.and_then(|text| text.strip_suffix(" kB")?.parse().ok());
        let system = field(&release, "PRETTY_NAME", '=');
        Self {
            processor: field(&cpu, "model name", ':'),
            cores: cores(),
            is_virtual: flags.is_some_and(|flags| flags.contains(" hypervisor")),
            memory_kib: kib,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: system.map(|name| name.trim_matches('"').to_owned()),
        }
    }
}

/// The value of the first line with this key.
fn field(text: &str, key: &str, separator: char) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn cores() -> usize {
    let is_core = |name: &str| {
        let number = name.strip_prefix("cpu");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = fs::read_dir("/sys/devices/system/cpu");
    entries.map_or(0, |entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter(|name| is_core(&name.to_string_lossy()))
            .count()
    })
}
