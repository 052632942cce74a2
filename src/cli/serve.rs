//! `tickwire serve`: the server.

use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use tickwire::journal::OpenError;
use tickwire::loss;
use tickwire::server::{Server, ServerFailure, ServerHandle, StartError};

use super::settings::{Flags, Key, Settings, help};
use super::stop::StopSignal;
use super::{Failure, Outcome, allocator, log, print, say};

/// Returns the end of its help. Not in [`Arguments`], which the whole program has
/// too: its help ends otherwise.
pub fn after_help() -> String {
    let (all, of_names) = (help::list(), help::list_of_names());
    format!(
        "\
Examples:
  tickwire serve
  tickwire serve --listen 0.0.0.0:7411 --threads 4
  tickwire serve --busy-poll            a core at 100 % for the least latency
  tickwire serve --config tickwire.toml
  tickwire serve --data-dir journal --durable order-manager --durable 'feed-*'
  TICKWIRE_QUEUE_BYTES=64MiB tickwire serve
  tickwire serve --print-config > tickwire.toml    a file to start from

Settings come from flags, then environment, then file, then defaults. The file \
is TOML; every setting in it is also a variable, as queue_bytes is \
TICKWIRE_QUEUE_BYTES and snapshot.keys is TICKWIRE_SNAPSHOT__KEYS. An empty \
variable is as if unset, and so is what Kubernetes sets for a Service called \
tickwire; one that is nearly a setting is an error, any other a warning.
A size is a whole number of bytes, or has a unit: kB, MB, GB, TB (1 kB is 1,000 \
bytes) or KiB, MiB, GiB, TiB (1 KiB is 1,024). A duration has its unit: ms, s, m \
or h; 0 needs none. A list is as in TOML, [\"/a\", \"/b\"]; a variable may hold \
pointers plainly, as /a,/b, and so addresses.
{all}
A section [names.\"api-gateway\"] says what is different for that name, and \
[names.\"feed-*\"] for all that begin with feed-; of several the name's own counts, \
or else that of the longest beginning, alone:
{of_names}As a variable it is for a name in lower case, without two underscores in a row: \
TICKWIRE_NAMES__API-GATEWAY__OVERFLOW (env or a service file can set it; a shell's \
own variables have no hyphens).
A message to a durable name outlives its receiver, the server and a loss of power: it \
is delivered again until its receiver settles it, by an ack of its own. tickwire \
listen does so for what it has printed, a program by Client::settle or as \
docs/protocol.md describes.

When ready it prints `listening tcp ADDR` for each address on standard output; logs \
go to standard error. Nobody has to read either: lines that are not read are dropped \
and counted, losses of messages summed up by name. SIGTERM, ctrl-c or the end of its \
terminal writes what is queued and ends it with 0. Without a terminal SIGHUP is \
ignored, and what was ignored from the start stays so (nohup)."
    )
}

/// Returns the help of the flag of a setting. A shell needs no quotes.
fn flag_help(key: &str) -> String {
    let key = Key::named(key).expect("a flag is a setting");
    help::text(key).replace('"', "")
}

/// Serve: check, route and acknowledge messages
///
/// Listens for connections, checks each message, routes it to the connection
/// that owns its target, and acknowledges it.
#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(long, value_name = "HOST:PORT", help = flag_help("listen") + "; may be repeated")]
    pub listen: Vec<String>,
    #[arg(long, help = flag_help("name"))]
    pub name: Option<String>,
    #[arg(long, value_name = "N", help = flag_help("threads"))]
    pub threads: Option<String>,
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    #[arg(require_equals = true, help = flag_help("busy_poll") + " Without N: 1")]
    pub busy_poll: Option<String>,
    #[arg(long, value_name = "DIR", help = flag_help("data_dir"))]
    pub data_dir: Option<String>,
    /// Keep the messages to NAME in the data dir until its receiver settles them with an
    /// ack of its own; 'feed-*' is all names that begin with feed-; may be repeated
    #[arg(long, value_name = "NAME")]
    pub durable: Vec<String>,
    #[arg(long, help = flag_help("accept_loss"))]
    pub accept_loss: bool,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings in effect and where each comes from, and exit
    #[arg(long)]
    pub print_config: bool,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let settings = arguments.settings()?;
    if arguments.print_config {
        for variable in &settings.ignored {
            say(format_args!("{}", unknown_variable(variable)));
        }
        print(format_args!("{}", settings.to_toml()))?;
        return Ok(Outcome::Done);
    }
    // Ends after all others: it is to have the last word.
    let _log = log::start(&settings.log)
        .map_err(|error| Failure::failed(format!("can't start the log: {error}")))?;
    for variable in &settings.ignored {
        tracing::warn!("{}", unknown_variable(variable));
    }
    allocator::set_up();
    if let Err(error) = tickwire::server::raise_descriptor_limit() {
        tracing::warn!(%error, "can't raise the number of files that may be open");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .thread_name("tickwire")
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("can't start {} threads: {error}", settings.threads))
        })?;
    let outcome = runtime.block_on(serve(settings));
    // Tasks that still run have been told to end and had their time.
    runtime.shutdown_background();
    outcome
}

async fn serve(settings: Settings) -> Result<Outcome, Failure> {
    // Before anybody can know that the server is ready, and send a signal.
    let mut stop = StopSignal::new().map_err(Failure::failed)?;
    let server = tokio::select! {
        started = Server::start(settings.server) => started.map_err(explain)?,
        // A name may take its time to be resolved.
        () = stop.received(hangup_ignored) => return Ok(Outcome::Done),
    };
    let addresses = server.local_addrs().iter();
    let ready = addresses.map(|address| format!("listening tcp {address}\n"));
    let _ready = log::announce(&ready.collect::<String>());
    let outcome = serve_until(&server, server.failed(), &mut stop).await;
    sum_up_losses(&server);
    outcome
}

fn hangup_ignored() {
    tracing::warn!("SIGHUP ignored: there is no terminal, and nothing is read again");
}

/// Serves until told to stop, or until the server has `failed`, and drains it.
async fn serve_until(
    server: &ServerHandle,
    failed: impl Future<Output = ServerFailure>,
    stop: &mut StopSignal,
) -> Result<Outcome, Failure> {
    let failure = tokio::select! {
        () = stop.received(hangup_ignored) => None,
        failure = failed => Some(failure),
    };
    match failure {
        None => tracing::info!("stopping; once more to stop at once"),
        Some(failure) => tracing::error!("stopping: {failure}"),
    }
    tokio::select! {
        () = server.shutdown() => match failure {
            None => Ok(Outcome::Done),
            Some(failure) => Err(Failure::failed(failure)),
        },
        () = stop.received_again() => {
            let count = server.abandon();
            tracing::warn!(
                target: loss::TARGET,
                count,
                "stopped at once: what was queued is lost"
            );
            Ok(Outcome::Failed)
        }
    }
}

/// Logs the sum of all losses, for readers that missed their lines.
fn sum_up_losses(server: &ServerHandle) {
    let count = server.stats().given_up;
    if count > 0 {
        tracing::warn!(target: loss::TARGET, count, "given up since the start");
    }
}

/// Returns the words about a variable with tickwire's prefix that is no setting.
fn unknown_variable(variable: &str) -> String {
    format!(
        "{} is no setting of tickwire, and ignored; tickwire serve --print-config shows all there \
         are",
        variable.escape_debug()
    )
}

fn explain(error: StartError) -> Failure {
    match error {
        StartError::Listen { address, source } => {
            let advice = match source.kind() {
                ErrorKind::AddrInUse => {
                    "something else does. Stop it, or choose another address with --listen \
                     HOST:PORT (port 0 picks a free one)"
                }
                ErrorKind::PermissionDenied => &format!(
                    "{source}. Ports below 1024 need special rights; choose another with --listen \
                     HOST:PORT"
                ),
                ErrorKind::AddrNotAvailable => {
                    "it is no address of this machine. --listen 0.0.0.0:PORT listens on all it has"
                }
                _ => &source.to_string(),
            };
            Failure::failed(format!("can't listen on {address}: {advice}"))
        }
        StartError::Config(error) => Failure::usage(error),
        StartError::Journal {
            path,
            source: OpenError::Storage(error),
        } if error.kind() == ErrorKind::StorageFull => Failure::failed(format!(
            "there is no room for the journal in {}: each of its files has 64 MiB. Make room, or \
             choose another folder with --data-dir DIR",
            path.display()
        )),
        error => Failure::failed(error),
    }
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let accept_loss = self.accept_loss.then(|| "true".to_owned());
        let given = [
            ("listen", &listen),
            ("name", &self.name),
            ("threads", &self.threads),
            ("busy_poll", &self.busy_poll),
            ("data_dir", &self.data_dir),
            ("accept_loss", &accept_loss),
        ];
        let flags = Flags {
            config: self.config.as_deref(),
            settings: given
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_deref()?)))
                .collect(),
            durable: &self.durable,
        };
        Settings::load(&flags, std::env::vars_os()).map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_remedy() {
        let error = explain(StartError::Journal {
            path: "/data".into(),
            source: OpenError::Storage(ErrorKind::StorageFull.into()),
        });
        let error = error.to_string();
        assert!(
            error.contains("/data") && error.contains("Make room"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_server_that_can_not_go_on_is_drained_and_ends_with_an_error() {
        let mut stop = StopSignal::new().unwrap();
        let server = Server::builder().listen("127.0.0.1:0").start().await;
        let server = server.unwrap();
        let failed = ready(ServerFailure::Tending);
        let outcome = serve_until(&server, failed, &mut stop).await;
        let error = outcome.expect_err("it has failed").to_string();
        assert!(error.contains("ended by a panic"), "{error}");
        let late = TcpStream::connect(server.local_addr()).await;
        assert!(late.is_err(), "it was shut down");
    }
}
