//! `tickwire serve`: the server.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;
use tickwire::server::{Server, StartError};
use tracing_subscriber::EnvFilter;

use super::settings::{Flags, Settings};
use super::stop::StopSignal;
use super::{Failure, Outcome, allocator, print};

/// What its help ends with. Not part of [`Arguments`]: those are also the whole
/// program's, whose help ends otherwise.
pub const EXAMPLES: &str = "\
Examples:
  tickwire serve
  tickwire serve --listen 0.0.0.0:7411 --threads 4
  tickwire serve --config tickwire.toml
  TICKWIRE_QUEUE_BYTES=64MiB tickwire serve
  tickwire serve --print-config > tickwire.toml    a file to start from

Settings come from flags, then environment, then file, then defaults. The file \
is TOML; every setting in it is also a variable, as queue_bytes is \
TICKWIRE_QUEUE_BYTES and snapshot.keys is TICKWIRE_SNAPSHOT__KEYS:
  listen            HOST:PORT; port 0 picks a free one
  name              the server's own name: the source of its answers
  threads           worker threads
  frame_bytes_max   largest message, such as \"1MiB\"
  queue_bytes       bytes that a name's queue may hold
  queue_messages    messages that a name's queue may hold
  memory_max        bytes that may be held for all together, such as \"2GiB\"; unless
                    set, half of what the machine or the cgroup has
  stall_timeout     how long a full queue pauses a sender, such as \"2s\"
  linger            how long what is queued for a name waits for its next owner
  drain_timeout     how long queued messages may take to be written at shutdown
  connections_max   connections served at once
  validation        \"payload\" checks all of a message, \"envelope\" less
  snapshot.keys     JSON pointers: the last broadcast for each value is kept
  log               a level or filter, such as \"info,tickwire::server=debug\"

A section [names.\"api-gateway\"] says what is different for that name's queue:
  queue_bytes, queue_messages
  overflow          what becomes of events that don't fit: \"pause\" their sender,
                    \"refuse\" them, or \"drop\" them
As a variable it is for a name in lower case, without two underscores in a row: \
TICKWIRE_NAMES__API-GATEWAY__OVERFLOW (env or a service file can set it; a shell's \
own variables have no hyphens).

When ready it prints `listening tcp ADDR` on standard output; logs go to \
standard error. SIGTERM or ctrl-c writes what is queued and ends it with 0.";

/// Serve: check, route and acknowledge messages
///
/// Listens for connections, checks each message, routes it to the connection
/// that owns its target, and acknowledges it.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:7411]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The server's own name, the source of its answers [default: tickwire]
    #[arg(long)]
    pub name: Option<String>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings in effect and where each comes from, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// Serves until told to stop.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let settings = arguments.settings()?;
    if arguments.print_config {
        print(format_args!("{}", settings.to_toml()))?;
        return Ok(Outcome::Done);
    }
    log_to_stderr(&settings.log);
    allocator::set_up();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .thread_name("tickwire")
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("can't start {} threads: {error}", settings.threads))
        })?;
    let outcome = runtime.block_on(serve(settings));
    // What is still running has been told to end and had its time.
    runtime.shutdown_background();
    outcome
}

async fn serve(settings: Settings) -> Result<Outcome, Failure> {
    // Before anybody can know that the server is ready: a signal that arrives
    // right after that must find somebody.
    let mut stop = StopSignal::new().map_err(Failure::failed)?;
    let server = Server::start(settings.server).await.map_err(explain)?;
    let ready = format!("listening tcp {}\n", server.local_addr());
    let mut stdout = io::stdout().lock();
    // A parent that doesn't want to know where is no reason not to serve.
    let _ = stdout.write_all(ready.as_bytes());
    let _ = stdout.flush();
    drop(stdout);

    stop.received().await;
    tracing::info!("stopping; once more to stop at once");
    tokio::select! {
        () = server.shutdown() => Ok(Outcome::Done),
        () = stop.received() => {
            tracing::warn!("stopped at once: what was queued is lost");
            Ok(Outcome::Failed)
        }
    }
}

/// What to do about a server that doesn't start.
fn explain(error: StartError) -> Failure {
    match error {
        StartError::Listen { address, source } => match source.kind() {
            ErrorKind::AddrInUse => Failure::failed(format!(
                "can't listen on {address}: something else does. Stop it, or choose another \
                 address with --listen HOST:PORT (port 0 picks a free one)"
            )),
            ErrorKind::PermissionDenied => Failure::failed(format!(
                "can't listen on {address}: {source}. Ports below 1024 need special rights; \
                 choose another with --listen HOST:PORT"
            )),
            ErrorKind::AddrNotAvailable => Failure::failed(format!(
                "can't listen on {address}: it is no address of this machine. --listen \
                 0.0.0.0:PORT listens on all it has"
            )),
            _ => Failure::failed(format!("can't listen on {address}: {source}")),
        },
        StartError::Config(error) => Failure::usage(error),
        error => Failure::failed(error),
    }
}

fn log_to_stderr(filter: &str) {
    let coloured = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    // Fails only if the process logs already, and then it logs.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(coloured)
        .try_init();
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let given = [
            ("listen", &self.listen),
            ("name", &self.name),
            ("threads", &self.threads),
        ];
        let flags = Flags {
            config: self.config.as_deref(),
            settings: given
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_deref()?)))
                .collect(),
        };
        Settings::load(&flags, std::env::vars_os()).map_err(Failure::usage)
    }
}
