//! The command line of `tickwire bench`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use tickwire_load::drive::Extent;
use tickwire_load::protocol::Acks;

use crate::cli::blocking_client;

const EXAMPLES: &str = "\
Examples:
  tickwire bench                                   a server of its own, 5 seconds
  tickwire bench --to 127.0.0.1:7411 --seconds 20
  tickwire bench --senders 4 --receivers 4 --message mix --acks batch
  tickwire bench paced --rate 50000 --connections 100
  tickwire bench one-at-a-time
  tickwire bench --client                          as programs send: the library's own client
  tickwire bench fan-out --receivers 100
  tickwire bench connections --connections 10000
  tickwire bench --stalled-peer                    do receivers that don't read slow others?
  tickwire bench --save before.json                then change something …
  tickwire bench --compare before.json             … and see what came of it
  tickwire bench --compare before.json after.json  compares, and runs nothing

All messages are checked, routed and answered, and every one is accounted for: \
the exit code is 1 if any was lost, refused, out of order or not answered.

Messages are prepared beforehand, ten thousand different ones or more, with \
other ids and numbers of other lengths. Without --to a server is started in a \
process of its own, and ended at the end. CPU times are those of the processes; \
the server's is known if it runs on this machine.

With --client one client of the library posts to another, in one runtime with a \
thread a core, and as many messages are under way as the client allows without an \
answer. Each is a copy of a typed message under a fresh id, which the client encodes; \
so it shows the speed of a program, and without --client that of the server.";

const MESSAGE_HELP: &str = "\
What to send: order, execution, market-data, info-log, error-log, heartbeat, error, ack, strategy, \
oco-group, batch; all of these in turn (mix); orders whose text is full of escapes \
(escaped-order); or the messages of a file";

const PACED_HELP: &str = "\
Examples:
  tickwire bench paced --rate 10000
  tickwire bench paced --rate 50000 --connections 1000 --message mix

The messages are due at even intervals, from one connection after the other, \
whether or not those before them have arrived. Latency is counted from when a \
message was due to its arrival at the receiver: if the server or this program \
is late, all that waits behind counts as late too. How late this program wrote \
is shown beside; where that comes near the latency, the rate is too high for \
this machine. It keeps one core busy while messages are due.";

const ONE_AT_A_TIME_HELP: &str = "\
Examples:
  tickwire bench one-at-a-time
  tickwire bench one-at-a-time --message heartbeat --messages 20000
  tickwire bench one-at-a-time --busy-poll
  tickwire bench one-at-a-time --client

Writes one message, waits until it has arrived at the receiver and its ack at \
the sender, and only then writes the next. Two figures come of it: from writing \
to the arrival of the message, and to the arrival of both.

With --client one client of the library sends to another, and the figure is that of \
`send` until its ack: what a program waits that awaits each message. Acks among the \
messages are left out, for they are never answered.

With --busy-poll nobody sleeps while waiting for a message: neither this program nor the \
server that it starts. One with --to is asked to by its own `serve --busy-poll`. Each \
keeps a core at 100 %; with --client each client keeps one, and they share those there are.";

const FAN_OUT_HELP: &str = "\
Examples:
  tickwire bench fan-out
  tickwire bench fan-out --receivers 1000 --seconds 10

One connection broadcasts, and stays at most 2 MiB ahead of the slowest \
receiver, so that nothing needs to be dropped; if anything is, that is a \
failure. Everybody who owns a name on the server gets the broadcasts, so don't \
run it where others are at work.";

const CONNECTIONS_HELP: &str = "\
Examples:
  tickwire bench connections
  tickwire bench connections --connections 15000

Opens connections one after the other; each sends a heartbeat under a name of \
its own and reads its ack. Then all stay open and idle, and what they cost the \
server is looked at. The limit of open files counts here and at the server: \
`ulimit -n 65536` raises it for what is started from that shell.";

const STALLED_PEER_HELP: &str = "\
Examples:
  tickwire bench --stalled-peer
  tickwire bench --stalled-peer --pairs 40 --senders 4 --receivers 4

Does a receiver that doesn't read slow others down? Measures throughput, latency \
at a fixed rate (from when a message was due) and latency one at a time: without \
such receivers, and with two of them, one that reads nothing and one that reads a \
byte a second. Each is sent orders by a sender of its own until its queue is full \
and the server refuses them, and 1,000 a second from then on. That is as many as a \
busy connector sends: as many as the server can refuse would measure how \
processors are shared, and not whether anybody waits for somebody else.

Runs with and without alternate, and what is judged is the median of the ratios of \
the pairs: throughput is to be 0.95 at least, and the 99th percentile of each \
latency 1.2 at most, of what it is without. That is missed, with exit code 1, only \
if the whole 95 % interval of the median is beyond. Fewer than 6 pairs have no such \
interval and miss nothing.

It takes about 6 times --seconds and 4 more for each pair: three and a half minutes \
unless told otherwise. Nothing else should run on the machine.";

/// Measure how fast a server passes messages on
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What is measured
    #[command(subcommand)]
    pub mode: Option<Mode>,
    /// Without a mode: throughput
    #[command(flatten)]
    pub throughput: Throughput,
}

/// A measurement.
#[derive(Debug, Subcommand)]
pub enum Mode {
    /// As fast as the server takes them; also without a mode
    #[command(after_long_help = EXAMPLES)]
    Throughput(Throughput),
    /// At a fixed rate: latency from when a message was due
    #[command(after_long_help = PACED_HELP)]
    Paced(Paced),
    /// Each message when the one before has arrived: the round trip
    #[command(after_long_help = ONE_AT_A_TIME_HELP)]
    OneAtATime(OneAtATime),
    /// One broadcaster, many receivers
    #[command(after_long_help = FAN_OUT_HELP)]
    FanOut(FanOut),
    /// Many idle connections: what each costs
    #[command(after_long_help = CONNECTIONS_HELP)]
    Connections(Connections),
    /// Whether receivers that don't read slow others down
    #[command(long_flag = "stalled-peer", after_long_help = STALLED_PEER_HELP)]
    StalledPeer(StalledPeer),
}

/// `throughput`
#[derive(Debug, Args)]
pub struct Throughput {
    /// Connections that send, each to all receivers in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = connections())]
    pub senders: u64,
    /// Connections that receive
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = connections())]
    pub receivers: u64,
    /// Through the library's client, as programs send: one to one
    #[arg(long, conflicts_with_all = ["senders", "receivers"])]
    pub client: bool,
    #[command(flatten)]
    pub load: LoadArguments,
}

/// `one-at-a-time`
#[derive(Debug, Args)]
pub struct OneAtATime {
    /// Through the library's client, as programs send: each `send` awaited
    #[arg(long)]
    pub client: bool,
    /// Look at the sockets without pause, here and, unless --to, in the server
    #[arg(long)]
    pub busy_poll: bool,
    #[command(flatten)]
    pub load: LoadArguments,
}

/// `paced`
#[derive(Debug, Args)]
pub struct Paced {
    /// Messages a second, of all connections together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = rate)]
    pub rate: u64,
    /// Connections that send
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = connections())]
    pub connections: u64,
    /// Connections that receive, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = connections())]
    pub receivers: u64,
    #[command(flatten)]
    pub load: LoadArguments,
}

/// `fan-out`
#[derive(Debug, Args)]
pub struct FanOut {
    /// Connections that receive
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = connections())]
    pub receivers: u64,
    #[command(flatten)]
    pub extent: ExtentArguments,
    #[arg(long, value_name = "NAME|FILE", default_value = "market-data", help = MESSAGE_HELP)]
    pub message: String,
    /// Which acks the broadcaster asks for
    #[arg(long, default_value = "each", value_parser = acks())]
    pub acks: Acks,
    #[command(flatten)]
    pub common: Common,
}

/// `connections`
#[derive(Debug, Args)]
pub struct Connections {
    /// How many are opened
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = connections())]
    pub connections: u64,
    #[command(flatten)]
    pub common: Common,
}

/// `stalled-peer`
#[derive(Debug, Args)]
pub struct StalledPeer {
    /// How often to measure with and without them
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = within(1..=1_000))]
    pub pairs: u64,
    /// How long each of the three runs of either half sends
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = within(1..=60))]
    pub seconds: u64,
    /// Connections that send to those that read
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = connections())]
    pub senders: u64,
    /// Connections that receive and read
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = connections())]
    pub receivers: u64,
    /// Messages a second where they are sent at a rate, of all connections together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = rate)]
    pub rate: u64,
    #[command(flatten)]
    pub messages: MessageArguments,
    #[command(flatten)]
    pub common: Common,
}

/// A load to single receivers.
#[derive(Debug, Args)]
pub struct LoadArguments {
    #[command(flatten)]
    pub extent: ExtentArguments,
    #[command(flatten)]
    pub messages: MessageArguments,
    #[command(flatten)]
    pub common: Common,
}

/// The length of a load.
#[derive(Debug, Args)]
pub struct ExtentArguments {
    /// How long to send
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = within(1..=86_400))]
    pub seconds: u64,
    /// How many messages to send, instead of for how long
    #[arg(long, value_name = "N", conflicts_with = "seconds",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
}

impl ExtentArguments {
    /// The end of the load.
    pub fn extent(&self) -> Extent {
        match self.messages {
            Some(messages) => Extent::Messages(messages),
            None => Extent::Time(Duration::from_secs(self.seconds)),
        }
    }
}

/// The messages, and the answers to them.
#[derive(Debug, Args)]
pub struct MessageArguments {
    #[arg(long, value_name = "NAME|FILE", default_value = "order", help = MESSAGE_HELP)]
    pub message: String,
    /// Which acks the senders ask for
    #[arg(long, default_value = "each", value_parser = acks())]
    pub acks: Acks,
}

/// The arguments of all modes.
#[derive(Debug, Args)]
pub struct Common {
    /// The server [default: one of its own on a free port]
    #[arg(long, value_name = "HOST:PORT", value_parser = blocking_client::address)]
    pub to: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the result to a file too, to compare others with
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Compare this run with a saved one; or two saved ones, without a run
    #[arg(long, value_name = "FILE", num_args = 1..=2)]
    pub compare: Vec<PathBuf>,
}

fn within(range: RangeInclusive<u64>) -> RangedU64ValueParser {
    clap::value_parser!(u64).range(range)
}

fn connections() -> RangedU64ValueParser {
    within(1..=1_000_000)
}

fn acks() -> impl TypedValueParser<Value = Acks> {
    let kinds = [
        (Acks::Each, "One for each message"),
        (Acks::Batch, "One for up to 1,024 messages"),
        (Acks::None, "None; errors still come"),
    ];
    let values = kinds.map(|(acks, help)| PossibleValue::new(acks.as_str()).help(help));
    PossibleValuesParser::new(values).map(move |text| {
        let chosen = kinds.iter().find(|(acks, _)| acks.as_str() == text);
        chosen.expect("it is one of these").0
    })
}

fn rate(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(rate) if (1..=100_000_000).contains(&rate) => Ok(rate),
        _ => Err("must be messages a second, 1 or more, such as 10000".to_owned()),
    }
}
