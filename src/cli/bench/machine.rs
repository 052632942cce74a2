//! The machine that a result is from.

use std::fs;

use serde::{Deserialize, Serialize};

/// What of a machine makes its figures differ from another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores, as far as this program may use them.
    pub cores: usize,
    /// The system and its version.
    pub system: String,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kilobytes = memory.and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        let version = read("/proc/sys/kernel/osrelease");
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, version.trim())
                .trim()
                .to_owned(),
            memory_bytes: kilobytes.map(|kilobytes| kilobytes * 1_024),
        }
    }
}
