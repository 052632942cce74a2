//! The time, memory and files of a process of this machine, as Linux tells them.
//! Elsewhere nothing is known.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ticks a second in which `/proc` counts, on every Linux there is.
const TICKS_PER_SECOND: u64 = 100;

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    folder: PathBuf,
}

impl Process {
    /// This process.
    pub fn this() -> Self {
        Self {
            folder: PathBuf::from("/proc/self"),
        }
    }

    /// The process with this id.
    pub fn of(id: u32) -> Self {
        Self {
            folder: PathBuf::from(format!("/proc/{id}")),
        }
    }

    /// The process that has the other end of `stream`, if it is on this machine
    /// and may be looked at.
    pub fn behind(stream: &TcpStream) -> Option<Self> {
        let (here, there) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
        let inode = inode_of(there, here)?;
        let socket = PathBuf::from(format!("socket:[{inode}]"));
        let processes = fs::read_dir("/proc").ok()?.flatten();
        processes
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.bytes().all(|byte| byte.is_ascii_digit())
            })
            .find(|path| holds(path, &socket))
            .map(|folder| Self { folder })
    }

    /// The time its running threads have spent on processors.
    pub fn cpu_of_threads(&self) -> Option<Duration> {
        let mut ns = 0;
        for task in fs::read_dir(self.folder.join("task")).ok()?.flatten() {
            let Some(statistics) = read(&task.path(), "schedstat") else {
                // A kernel without these statistics, or a thread that has just
                // ended.
                return self.cpu();
            };
            ns += statistics.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(ns))
    }

    /// The time all its threads have spent on processors, also those that have
    /// ended; to a hundredth of a second.
    pub fn cpu(&self) -> Option<Duration> {
        let statistics = read(&self.folder, "stat")?;
        // Behind the name, which may hold anything: the 14th and 15th field.
        let fields: Vec<&str> = statistics.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks = ticks(11)? + ticks(12)?;
        Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }

    /// Bytes of memory that are resident.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = read(&self.folder, "status")?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1_024)
    }

    /// The number of files that it may have open: now, and after its owner has
    /// raised that as far as the system allows.
    pub fn open_files_max(&self) -> Option<(u64, u64)> {
        let limits = read(&self.folder, "limits")?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        let mut fields = line.split_whitespace().map(|field| match field {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        Some((fields.next()??, fields.next()??))
    }

    /// The number of files that it has open.
    pub fn open_files(&self) -> Option<u64> {
        Some(fs::read_dir(self.folder.join("fd")).ok()?.count() as u64)
    }
}

/// The processor time that a server and its load spend from here on.
#[derive(Debug)]
pub struct CpuClock {
    server: Option<Process>,
    server_before: Option<Duration>,
    load_before: Option<Duration>,
}

/// Processor times, where they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// The server's.
    pub server: Option<Duration>,
    /// That of this process; to a hundredth of a second.
    pub load: Option<Duration>,
}

impl CpuClock {
    /// Starts counting.
    pub fn start(server: Option<Process>) -> Self {
        Self {
            server_before: server.as_ref().and_then(Process::cpu_of_threads),
            load_before: Process::this().cpu(),
            server,
        }
    }

    /// The time that has been spent since.
    pub fn stop(self) -> Cpu {
        let since = |before: Option<Duration>, now: Option<Duration>| now?.checked_sub(before?);
        let server = self.server.as_ref().and_then(Process::cpu_of_threads);
        Cpu {
            server: since(self.server_before, server),
            load: since(self.load_before, Process::this().cpu()),
        }
    }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

fn holds(process: &Path, socket: &Path) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut links = files.flatten().map(|file| fs::read_link(file.path()));
    links.any(|link| link.is_ok_and(|link| link == socket))
}

/// The inode of this machine's socket with these two ends.
fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| {
            table.lines().skip(1).find_map(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let ends = (address(fields.next()?)?, address(fields.next()?)?);
                (ends == (plain(local), plain(remote))).then_some(())?;
                // Behind state, queues, timer, retransmits, user, timeout.
                let inode: u64 = fields.nth(6)?.parse().ok()?;
                (inode != 0).then_some(inode)
            })
        })
}

/// An address as the kernel's tables spell it: words in the byte order of the
/// machine, in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(8 * at..8 * at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, port)))
}

/// The address in its shortest form: an IPv4 address may stand in an IPv6 one.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_addresses() {
        #[cfg(target_endian = "little")]
        {
            assert_eq!(
                address("0100007F:1CF3"),
                Some("127.0.0.1:7411".parse().unwrap())
            );
            assert_eq!(
                address("0000000000000000FFFF00000100007F:1CF3"),
                Some("127.0.0.1:7411".parse().unwrap())
            );
            assert_eq!(
                address("00000000000000000000000001000000:1CF3"),
                Some("[::1]:7411".parse().unwrap())
            );
        }
        assert_eq!(address("nonsense"), None);
        assert_eq!(address("00:1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn finds_the_process_behind_a_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _accepted = listener.accept().unwrap();
        let process = Process::behind(&stream).unwrap();
        assert_eq!(process, Process::of(std::process::id()));
        assert!(process.cpu_of_threads().is_some());
        assert!(process.cpu().is_some());
        assert!(process.resident_bytes().unwrap() > 100_000);
        let (soft, hard) = process.open_files_max().unwrap();
        assert!(3 < soft && soft <= hard);
        assert!(process.open_files().unwrap() > 3);
    }

    #[test]
    fn knows_nothing_of_a_process_that_is_not_there() {
        let process = Process::of(u32::MAX);
        assert_eq!(process.cpu(), None);
        assert_eq!(process.cpu_of_threads(), None);
        assert_eq!(process.resident_bytes(), None);
        assert_eq!(process.open_files_max(), None);
    }
}
