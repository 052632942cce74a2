//! `tickwire bench`: how fast a server passes messages on.
//!
//! One sender, one receiver, plain sockets and threads of their own: what is
//! measured is the server, so the load is prepared beforehand, written in large
//! pieces, and counted by its length prefixes.

use std::time::Duration;

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;
use tickwire::ids::Name;

use self::count::Count;
use self::drive::{Extent, Outcome as Run, Progress};
use self::load::Load;
use super::local::LocalServer;
use super::peer::{self, Claim, Peer};
use super::{Failure, Outcome, print, say};

mod count;
mod drive;
mod load;
#[allow(dead_code)]
mod messages;

const EXAMPLES: &str = "\
Examples:
  tickwire bench                                 a server of its own, 5 seconds
  tickwire bench --to 127.0.0.1:7411 --seconds 20
  tickwire bench --messages 1000000 --json

One connection sends order events of about 423 bytes to another, as fast as the \
server takes them. All of them are checked, routed and acknowledged, and every \
one is accounted for: the exit code is 1 if any was not delivered or not \
acknowledged.

Without --to it starts a server inside this process, which then shares the \
processor with the load; for figures worth comparing start `tickwire serve` on \
cores of its own.";

/// Measure how fast a server passes messages on
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The server [default: one of its own on a free port]
    #[arg(long, value_name = "HOST:PORT", value_parser = peer::address)]
    to: Option<String>,
    /// How long to send
    #[arg(long, value_name = "S", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many messages to send, instead of for how long
    #[arg(long, value_name = "N", conflicts_with = "seconds",
        value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the load and prints what came of it.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.to {
        Some(to) => measure(arguments, to),
        None => {
            let server = LocalServer::start().map_err(Failure::failed)?;
            let outcome = measure(arguments, &server.address());
            server.shutdown();
            outcome
        }
    }
}

fn measure(arguments: &Arguments, to: &str) -> Result<Outcome, Failure> {
    // Names of its own, so that two loads at once don't take them from each
    // other.
    let suffix = &uuid::Uuid::new_v4().simple().to_string()[..4];
    let sender_name = format!("bench-tx-{suffix}");
    let receiver_name = format!("bench-rx-{suffix}");
    let name = |text: &str| Name::new(text).expect("letters, digits and hyphens are a name");
    let connect = |as_name: &str| Peer::connect(to, &name(as_name), Claim::Source);
    let mut receiver = connect(&receiver_name).map_err(Failure::failed)?;
    let mut sender = connect(&sender_name).map_err(Failure::failed)?;

    let load = Load::orders(&sender_name, &receiver_name, &peer::now());
    let extent = match arguments.messages {
        Some(messages) => Extent::Messages(messages),
        None => Extent::Time(Duration::from_secs(arguments.seconds)),
    };
    let bar = progress_bar(extent);
    let watch = |progress: &Progress, elapsed: Duration| {
        bar.set_position(match extent {
            Extent::Messages(_) => progress.delivered(),
            Extent::Time(_) => elapsed.as_millis() as u64,
        });
        let rate = progress.delivered() as f64 / elapsed.as_secs_f64();
        bar.set_message(format!("{}/s", HumanCount(rate as u64)));
    };
    let result = drive::run(&load, &mut sender, &mut receiver, extent, watch);
    bar.finish_and_clear();
    let run = result.map_err(Failure::failed)?;
    let figures = Figures::of(&run, &load);
    let text = if arguments.json {
        figures.json().to_string()
    } else {
        figures.text(to)
    };
    print(format_args!("{text}\n"))?;
    let faults = figures.faults();
    for fault in &faults {
        say(format_args!("{fault}"));
    }
    Ok(if faults.is_empty() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Draws to standard error, and only if that is a terminal.
fn progress_bar(extent: Extent) -> ProgressBar {
    let (length, template) = match extent {
        Extent::Messages(messages) => {
            (messages, "{bar:32} {human_pos}/{human_len} delivered {msg}")
        }
        Extent::Time(time) => (time.as_millis() as u64, "{bar:32} {msg}"),
    };
    ProgressBar::new(length).with_style(
        ProgressStyle::with_template(template).expect("a template of indicatif's own words"),
    )
}

/// What a run comes to.
struct Figures<'a> {
    run: &'a Run<'a>,
    messages_per_second: f64,
    acks_per_second: f64,
    megabytes_per_second: f64,
    frame_bytes_mean: f64,
}

impl<'a> Figures<'a> {
    fn of(run: &'a Run<'a>, load: &Load) -> Self {
        let per_second = |count: u64, time: Duration| match time.as_secs_f64() {
            0.0 => 0.0,
            seconds => count as f64 / seconds,
        };
        let delivered = run.deliveries.delivered;
        Self {
            run,
            messages_per_second: per_second(delivered, run.delivering),
            acks_per_second: per_second(run.answers.acknowledged, run.answering),
            megabytes_per_second: per_second(load.bytes_of(delivered), run.delivering) / 1e6,
            frame_bytes_mean: load.frame_bytes_mean(),
        }
    }

    /// Messages sent that did not arrive, for whatever reason.
    fn undelivered(&self) -> u64 {
        self.run.sent.saturating_sub(self.run.deliveries.delivered)
    }

    /// Messages sent that were neither acknowledged nor refused.
    fn unanswered(&self) -> u64 {
        let answers = &self.run.answers;
        (self.run.sent).saturating_sub(answers.acknowledged + answers.refused_in_all())
    }

    fn text(&self, to: &str) -> String {
        let run = self.run;
        format!(
            "{} messages of {:.0} bytes through {to} in {:.2} s\n\
             delivered  {:>12}  {:>12}/s  {:.0} MB/s\n\
             acked      {:>12}  {:>12}/s",
            HumanCount(run.sent),
            self.frame_bytes_mean,
            run.delivering.as_secs_f64(),
            HumanCount(run.deliveries.delivered).to_string(),
            HumanCount(self.messages_per_second as u64).to_string(),
            self.megabytes_per_second,
            HumanCount(run.answers.acknowledged).to_string(),
            HumanCount(self.acks_per_second as u64).to_string(),
        )
    }

    fn json(&self) -> serde_json::Value {
        let run = self.run;
        json!({
            "sent": run.sent,
            "delivered": run.deliveries.delivered,
            "undelivered": self.undelivered(),
            "acknowledged": run.answers.acknowledged,
            "refused": run.answers.refused,
            "unanswered": self.unanswered(),
            "seconds": run.delivering.as_secs_f64(),
            "messages_per_second": self.messages_per_second,
            "acks_per_second": self.acks_per_second,
            "megabytes_per_second": self.megabytes_per_second,
            "frame_bytes_mean": self.frame_bytes_mean,
        })
    }

    /// What did not go as it should.
    fn faults(&self) -> Vec<String> {
        let run = self.run;
        let mut faults = Vec::new();
        let mut fault = |count: u64, text: &str| {
            if count > 0 {
                faults.push(format!("{} {text}", HumanCount(count)));
            }
        };
        fault(self.undelivered(), "sent but not delivered");
        fault(
            self.unanswered(),
            "sent but neither acknowledged nor refused",
        );
        fault(
            run.deliveries.foreign,
            "frames arrived that were not sent here",
        );
        for (code, count) in &run.answers.refused {
            fault(*count, &format!("refused: {code}"));
        }
        // Gaps are counted forward, so whatever comes twice or too late looks
        // like a gap nearly as long as a round.
        if run.deliveries.settled() > run.sent {
            faults.push("messages arrived out of order or more than once".to_owned());
        }
        if run.answers.settled() > run.sent {
            faults.push("answers arrived out of order or more than once".to_owned());
        }
        if run.stalled {
            faults.push("nothing arrived any more, so it was given up".to_owned());
        }
        faults.extend(run.broken.clone());
        let notices = run.deliveries.notices.iter().chain(&run.answers.notices);
        faults.extend(notices.map(|notice| format!("the server says {notice}")));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong after 12,000 messages to `target` while somebody listens
    /// as `listener`.
    fn faults(target: &str, listener: &str) -> (u64, Vec<String>) {
        let server = LocalServer::start().unwrap();
        let connect = |name: &str| {
            Peer::connect(&server.address(), &Name::new(name).unwrap(), Claim::Source).unwrap()
        };
        let mut receiver = connect(listener);
        let mut sender = connect("tx");
        let load = Load::orders("tx", target, &peer::now());
        let extent = Extent::Messages(12_000);
        let run = drive::run(&load, &mut sender, &mut receiver, extent, |_, _| {}).unwrap();
        let result = (run.sent, Figures::of(&run, &load).faults());
        server.shutdown();
        result
    }

    #[test]
    fn every_message_of_a_load_is_accounted_for() {
        assert_eq!(faults("rx", "rx"), (12_000, Vec::new()));
    }

    #[test]
    fn says_what_was_not_delivered_and_why() {
        let (_, faults) = faults("rx", "somebody-else");
        assert_eq!(
            faults,
            [
                "12,000 sent but not delivered",
                "12,000 refused: TARGET_UNAVAILABLE"
            ]
        );
    }
}
