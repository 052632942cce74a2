//! The arguments of `listen`, and the subscription that they ask for.

use clap::Args;
use tickwire::limits::LISTEN_DEFAULT;
use tickwire::wire::{Condition, Subscribe};

use super::condition::{condition, pointer};
use crate::cli::blocking_client;

const EXAMPLES: &str = "\
Examples:
  tickwire listen api-gateway
  tickwire listen api-gateway | jq .payload
  tickwire listen api-gateway --count 1        wait for one message
  tickwire listen api-gateway --raw > capture  the exact bytes
  tickwire listen order-manager --no-ack       look at what a durable name keeps
  tickwire listen desk --where payload.payload_json.symbol=BTCUSDT
  tickwire listen desk --where msg_type=ingest_event --where 'payload.payload_json.bar.close>45000'
  tickwire listen desk --latest payload.payload_json.symbol --snapshot

Claims the name, from whoever owns it, and prints each message that is sent to \
it, and every broadcast, on a line of its own: white space outside strings is \
removed, all else stays as it was sent. --raw writes the exact bytes instead, \
each message after its length as a big-endian u32.

With --where, --latest or --snapshot it subscribes: of the broadcasts only those \
are printed for which all conditions hold. A condition is a path, an operator \
and a value:
  path      source, msg_type, a dotted path like payload.payload_json.symbol, or \
a JSON pointer like /payload/payload_json/symbol
  operator  =  <  <=  >  >=  and ^= for the beginning of a text; a path alone: the \
field is there
  value     a number, true, false or null is taken as such, everything else as \
a text, and so is what stands in quotes: 'payload.run_id=\"42\"'. One that \
begins with = < > ^ ! or ~ stands in quotes: 'payload.note=\"=1\"'
A number never equals a text. The first broadcast that has a text where a number was asked for is told, with what to write for the text.
--count N takes no more than N messages from the server, broadcasts among them: what else is queued for the name stays there for whoever owns it next. When it is said that the server can't do that, messages beyond may be lost at the end.

The messages to a durable name (tickwire serve --durable) are kept until they are \
settled. Each is settled once it is printed, by an ack to its sender; at the end, \
also by ctrl-c, it waits for up to 5 s until the server has heard of that. With \
--no-ack nothing is settled, and whoever owns the name next gets it all again.

--latest KEY: while this terminal is behind, a newer message takes the place of \
the older one with the same value at KEY. --snapshot: first the last broadcast \
for each value of that key, so that all is there at once.

When the connection is lost, or the server falls silent, it connects again, for \
as long as it takes, and says so. What is printed then may lack what came meanwhile.

Exit codes: 0 after --count messages, or at once when nobody reads the output \
any more; \
1 if another connection took the name over, if the server can't be reached \
or refuses, or if the last messages may not be settled; 2 wrong usage.";

/// Print what is sent to a name
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The name to own
    pub name: String,
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN_DEFAULT, value_parser = blocking_client::address)]
    pub to: String,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Write the exact bytes, each message after its length
    #[arg(long)]
    pub raw: bool,
    /// Leave the messages to a durable name unsettled: all are delivered again
    #[arg(long)]
    pub no_ack: bool,
    /// Of the broadcasts only those with this; several must all hold
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    pub conditions: Vec<Condition>,
    /// While behind, of each value at this path only the newest broadcast
    #[arg(long, value_name = "KEY", value_parser = pointer)]
    latest: Option<String>,
    /// Begin with the last broadcast for each value of the key
    #[arg(long)]
    snapshot: bool,
    /// The key of --snapshot, where --latest doesn't name it
    #[arg(long, value_name = "KEY", value_parser = pointer, requires = "snapshot",
        conflicts_with = "latest")]
    key: Option<String>,
}

impl Arguments {
    /// Returns the most messages to take from the server.
    pub fn window(&self) -> Option<u32> {
        u32::try_from(self.count?).ok()
    }

    /// Returns the subscription, unless all broadcasts are wanted.
    pub fn subscribe(&self) -> Result<Option<Subscribe>, &'static str> {
        if self.conditions.is_empty() && self.latest.is_none() && !self.snapshot {
            return Ok(None);
        }
        let all = Subscribe::new("listen");
        let mut subscribe = self.conditions.iter().cloned().fold(all, Subscribe::with);
        if let Some(key) = &self.latest {
            subscribe = subscribe.latest(key);
        }
        if self.snapshot {
            let key = self.latest.as_ref().or(self.key.as_ref()).ok_or(
                "--snapshot has the last broadcast for each value of a key: name the key with \
                 --key payload.payload_json.symbol, or use --latest",
            )?;
            subscribe = subscribe.with_snapshot(key);
        }
        Ok(Some(subscribe))
    }
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: Arguments,
    }

    pub fn arguments(more: &[&str]) -> Result<Arguments, clap::Error> {
        let all = [&["listen", "n"], more].concat();
        CommandLine::try_parse_from(all).map(|line| line.arguments)
    }

    #[test]
    fn subscribes_only_where_it_is_asked_for_less_or_for_more() {
        let symbol = "/payload/payload_json/symbol";
        let dotted = "payload.payload_json.symbol";
        let with = |more: &[&str]| arguments(more).unwrap().subscribe();
        let all = || Subscribe::new("listen");
        assert_eq!(with(&["--count", "1"]), Ok(None));
        let conditions = ["--where", "source=feed", "--where", "payload.run_id"];
        let expected = all()
            .with(Condition::eq("source", "feed"))
            .with(Condition::present("/payload/run_id"));
        assert_eq!(with(&conditions), Ok(Some(expected)));
        let expected = all().latest(symbol);
        assert_eq!(with(&["--latest", dotted]), Ok(Some(expected.clone())));
        let expected = expected.with_snapshot(symbol);
        assert_eq!(
            with(&["--latest", dotted, "--snapshot"]),
            Ok(Some(expected))
        );
        let expected = all().with_snapshot(symbol);
        assert_eq!(with(&["--snapshot", "--key", symbol]), Ok(Some(expected)));
    }

    #[test]
    fn wrong_usage_says_what_to_do() {
        let error = arguments(&["--snapshot"]).unwrap().subscribe().unwrap_err();
        assert!(error.contains("--key"), "{error}");
        for wrong in [
            &["--where", "a!=b"][..],
            &["--latest", "a..b"],
            &["--key", "a"],
            &["--snapshot", "--key", "a", "--latest", "a"],
        ] {
            let error = arguments(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
