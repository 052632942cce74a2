//! The servers that are compared: found on the machine, or said to be missing.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tickwire_load::process::Process;
use tickwire_load::protocol::{
    Framed, JetStream, Mqtt, Nats, Protocol, Redis, RedisStreams, SUBJECT,
};
use tickwire_load::server::{Ready, Server, free_address};

use crate::copy_loop;
use crate::machine::{Cores, find_program};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The limit.
    CopyLoop,
    /// The server that is judged.
    Tickwire,
    /// Another build of it, to be compared with.
    OtherTickwire,
    /// NATS core.
    Nats,
    /// NATS with JetStream, for clients that want acks.
    JetStream,
    /// Redis pub/sub.
    Redis,
    /// tickwire with a durable name.
    TickwireDurable,
    /// JetStream with files that are synced before it acknowledges.
    JetStreamSynced,
    /// JetStream with files that are synced every two minutes, as by default.
    JetStreamUnsynced,
    /// Redis with a stream, and a file that is synced before it answers.
    RedisStreams,
    /// No server: a file, and a sync for each message.
    Disk,
    /// An MQTT broker in Rust.
    Rumqttd,
    /// An MQTT broker in C.
    Mosquitto,
}

/// The place of the servers' files.
const FILES: &str = env!("CARGO_TARGET_TMPDIR");

/// The brokers that tickwire is compared with.
pub const RIVALS: [Kind; 4] = [Kind::Nats, Kind::Redis, Kind::Rumqttd, Kind::Mosquitto];

impl Kind {
    /// Its name in tables, its program, and its language.
    fn facts(self) -> (&'static str, &'static str, &'static dyn Protocol) {
        match self {
            Self::CopyLoop => ("copy loop", "peers", &Framed::CopyLoop),
            Self::Tickwire => ("tickwire", "tickwire", &Framed::Tickwire),
            Self::OtherTickwire => ("other tickwire", "tickwire", &Framed::Tickwire),
            Self::Nats => ("NATS", "nats-server", &Nats),
            Self::JetStream => ("JetStream", "nats-server", &Nats),
            Self::Redis => ("Redis", "redis-server", &Redis),
            Self::TickwireDurable => ("tickwire", "tickwire", &Framed::Tickwire),
            Self::JetStreamSynced => ("JetStream, synced", "nats-server", &JetStream),
            Self::JetStreamUnsynced => ("JetStream, unsynced", "nats-server", &JetStream),
            Self::RedisStreams => ("Redis Streams, synced", "redis-server", &RedisStreams),
            Self::Disk => ("disk", "peers", &Framed::Tickwire),
            Self::Rumqttd => ("rumqttd", "rumqttd", &Mqtt),
            Self::Mosquitto => ("Mosquitto", "mosquitto", &Mqtt),
        }
    }

    /// Its name in tables.
    pub fn label(self) -> &'static str {
        self.facts().0
    }

    /// The name of its program.
    pub fn program(self) -> &'static str {
        self.facts().1
    }

    /// Other uses of the program.
    pub fn uses(self) -> &'static [Self] {
        match self {
            Self::CopyLoop => &[Self::Disk],
            Self::Tickwire => &[Self::TickwireDurable],
            Self::Nats => &[
                Self::JetStream,
                Self::JetStreamSynced,
                Self::JetStreamUnsynced,
            ],
            Self::Redis => &[Self::RedisStreams],
            _ => &[],
        }
    }

    /// Whether it is tickwire.
    pub fn is_tickwire(self) -> bool {
        self.program() == "tickwire"
    }

    /// Whether it keeps messages on disk: each run begins with empty files.
    pub fn keeps(self) -> bool {
        matches!(
            self,
            Self::TickwireDurable
                | Self::JetStreamSynced
                | Self::JetStreamUnsynced
                | Self::RedisStreams
                | Self::Disk
        )
    }

    /// Its language.
    pub fn protocol(self) -> &'static dyn Protocol {
        self.facts().2
    }
}

/// A server that is on this machine.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// Its program.
    pub program: PathBuf,
    /// Its version, as it says.
    pub version: String,
}

impl Found {
    /// Looks for a server, at `given` if there is a path.
    pub fn find(kind: Kind, given: Option<&Path>) -> Option<Self> {
        let program = match kind {
            Kind::CopyLoop | Kind::Disk => std::env::current_exe().ok()?,
            _ => find_program(kind.program(), given)?,
        };
        let version = version(kind, &program);
        Some(Self {
            kind,
            program,
            version,
        })
    }

    /// The server in each of its uses.
    pub fn of_all_uses(self) -> Vec<Self> {
        let others = self.kind.uses().iter().map(|&kind| Self {
            kind,
            ..self.clone()
        });
        let mut all: Vec<Self> = others.collect();
        all.push(self);
        all
    }

    /// Its name and version.
    pub fn text(&self) -> String {
        format!("{} {}", self.kind.label(), self.version)
    }

    /// Starts it on its core, with a thread that polls its sockets.
    pub fn start_polling(&self, cores: Cores) -> Result<Running, String> {
        let mut command = cores.on_server_core(&self.program);
        command.envs([("TICKWIRE_THREADS", "1"), ("TICKWIRE_BUSY_POLL", "1")]);
        self.start_as(command)
    }

    /// Starts it on its core.
    pub fn start(&self, cores: Cores) -> Result<Running, String> {
        let mut command = cores.on_server_core(&self.program);
        match self.kind.program() {
            "tickwire" => command.env("TICKWIRE_THREADS", "1"),
            "nats-server" => command.env("GOMAXPROCS", "1"),
            _ => &mut command,
        };
        self.start_as(command)
    }

    /// Starts it on both cores, with as many threads as it takes by itself.
    pub fn start_beside_clients(&self, cores: Cores) -> Result<Running, String> {
        self.start_as(cores.on_both(&self.program))
    }

    fn start_as(&self, command: Command) -> Result<Running, String> {
        self.try_start(command)
            .map_err(|reason| format!("{}: {reason}", self.kind.label()))
    }

    fn try_start(&self, mut command: Command) -> Result<Running, String> {
        let folder = folder().map_err(|error| error.to_string())?;
        command.current_dir(folder.path());
        command.stderr(Stdio::null());
        let address = free_address().map_err(|error| format!("no free port: {error}"))?;
        let ready = match self.kind {
            Kind::CopyLoop => {
                command.arg(copy_loop::ARGUMENT);
                Ready::Says
            }
            Kind::Tickwire | Kind::OtherTickwire => {
                command.args(["serve", "--listen", "127.0.0.1:0"]);
                Ready::Says
            }
            Kind::TickwireDurable => {
                command.args(["serve", "--listen", "127.0.0.1:0"]);
                command.args(["--data-dir", "journal", "--durable", SUBJECT]);
                Ready::Says
            }
            _ => {
                configure_rival(self.kind, &mut command, address, folder.path())
                    .map_err(|error| error.to_string())?;
                Ready::Listens(address)
            }
        };
        let server = Server::start(command, ready).map_err(|error| error.to_string())?;
        Ok(Running {
            kind: self.kind,
            server,
            _folder: folder,
        })
    }
}

/// Makes a folder for the files of a server. It is not in memory, as the system's
/// temporary folder may be.
pub fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(FILES)
}

/// Returns once the disk has nothing to do any more for files that were removed.
pub fn settle_disk() -> std::io::Result<()> {
    fs::File::open(FILES)?.sync_all()
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    kind: Kind,
    server: Server,
    /// A folder for its files.
    _folder: tempfile::TempDir,
}

impl Running {
    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.server.process()
    }

    /// Its language.
    pub fn protocol(&self) -> &'static dyn Protocol {
        self.kind.protocol()
    }
}

/// Nothing on disk but for those that are compared by it, and no limit at which a receiver
/// would be cut off.
fn configure_rival(
    kind: Kind,
    command: &mut Command,
    address: SocketAddr,
    folder: &Path,
) -> std::io::Result<()> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    match kind {
        Kind::Nats => {
            command.args(["-a", &host, "-p", &port]);
        }
        Kind::JetStream => {
            // The stream itself is asked for in memory.
            command
                .args(["-a", &host, "-p", &port, "-js", "-sd"])
                .arg(folder);
        }
        Kind::Redis => {
            command.args(["--port", &port, "--bind", &host]);
            command.args(["--save", "", "--appendonly", "no", "--maxclients", "15000"]);
            command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
        }
        Kind::JetStreamUnsynced => {
            // The stream itself is asked for in files.
            command
                .args(["-a", &host, "-p", &port, "-js", "-sd"])
                .arg(folder);
        }
        Kind::JetStreamSynced => {
            let path = folder.join("nats.conf");
            let files = folder.join("jetstream");
            let settings = format!("jetstream {{ store_dir: {files:?}, sync_interval: always }}\n");
            fs::write(&path, settings)?;
            command.args(["-a", &host, "-p", &port, "-c"]).arg(path);
        }
        Kind::RedisStreams => {
            command.args(["--port", &port, "--bind", &host, "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            command.args(["--auto-aof-rewrite-percentage", "0"]);
        }
        Kind::Rumqttd => {
            let path = folder.join("rumqttd.toml");
            fs::write(
                &path,
                RUMQTTD_SETTINGS.replace("ADDRESS", &address.to_string()),
            )?;
            command.arg("-c").arg(path);
        }
        Kind::Mosquitto => {
            let path = folder.join("mosquitto.conf");
            fs::write(
                &path,
                MOSQUITTO_SETTINGS.replace("ADDRESS", &format!("{port} {host}")),
            )?;
            command.arg("-c").arg(path);
        }
        Kind::CopyLoop
        | Kind::Tickwire
        | Kind::OtherTickwire
        | Kind::TickwireDurable
        | Kind::Disk => {}
    }
    Ok(())
}

/// Its sample settings, of which the first listener is left.
const RUMQTTD_SETTINGS: &str = "\
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = \"v4-1\"
listen = \"ADDRESS\"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
";

const MOSQUITTO_SETTINGS: &str = "\
listener ADDRESS
allow_anonymous true
max_queued_messages 0
set_tcp_nodelay true
";

/// The number in the version that the program tells.
fn version(kind: Kind, program: &Path) -> String {
    let argument = match kind {
        Kind::CopyLoop | Kind::Disk => return String::new(),
        Kind::Mosquitto => "-h",
        _ => "--version",
    };
    let output = Command::new(program).arg(argument).output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    text.split_whitespace()
        .map(|word| word.trim_start_matches("v=").trim_start_matches('v'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or("of unknown version")
        .to_owned()
}
