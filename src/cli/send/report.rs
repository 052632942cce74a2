//! The words of `send`: refusals as they come, progress, the summary.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::summary;
use crate::cli::input::{Amount, Input};
use crate::cli::ledger::{SentMessage, Tally};
use crate::cli::{ERROR, Failure, print, say};

/// Progress is shown for more than this.
const MANY_MESSAGES: u64 = 1_000;
const MANY_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Serialize)]
pub struct RefusedMessage {
    pub file: String,
    pub line: u64,
    pub code: String,
    pub field: Option<String>,
    #[serde(rename = "message")]
    pub reason: String,
    pub target: Option<String>,
    pub msg_id: Option<String>,
}

/// Tells of events, from both threads.
#[derive(Debug)]
pub struct Report {
    inputs: Vec<String>,
    bar: ProgressBar,
    /// With `--json`: the lists of the summary.
    json: Option<Mutex<Lists>>,
}

#[derive(Debug, Default, Serialize)]
struct Lists {
    refusals: Vec<RefusedMessage>,
    /// Messages of unknown fate.
    unknown: Vec<UnansweredMessage>,
}

#[derive(Debug, Serialize)]
struct UnansweredMessage {
    file: String,
    line: u64,
    target: Option<Box<str>>,
    msg_id: Option<String>,
}

impl Report {
    pub fn new(inputs: &[Input], amount: Amount, json: bool) -> Arc<Self> {
        let many = amount.messages > MANY_MESSAGES || amount.bytes > MANY_BYTES;
        let bar = if many && !amount.open_ended {
            // Draws to standard error, and only if that is a terminal.
            let template = "{bar:32} {human_pos}/{human_len} answered, {per_sec}";
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(amount.messages)
                .with_style(style.expect("a template of indicatif's own words"))
        } else {
            ProgressBar::hidden()
        };
        Arc::new(Self {
            inputs: inputs.iter().map(|input| input.name().to_owned()).collect(),
            bar,
            json: json.then(Mutex::default),
        })
    }

    /// The name of the input with this index.
    pub fn file(&self, input: usize) -> String {
        self.inputs[input].clone()
    }

    pub fn progress(&self, settled: u64) {
        self.bar.set_position(settled);
    }

    /// Says that a message was refused, or notes it for the summary.
    pub fn refused(&self, refused: RefusedMessage) {
        if let Some(mut lists) = self.lists() {
            return lists.refusals.push(refused);
        }
        let RefusedMessage {
            file,
            line,
            code,
            reason,
            ..
        } = &refused;
        let field = refused.field.as_ref().map(|field| format!(" {field}"));
        let target = refused.target.as_ref();
        let target = target.map(|target| format!(" (to {})", target.escape_debug()));
        let (field, target) = (field.unwrap_or_default(), target.unwrap_or_default());
        self.bar.suspend(|| {
            say(format_args!(
                "{file}:{line}: {ERROR}{code}{ERROR:#}{field}: {reason}{target}"
            ));
        });
    }

    /// Passes on an error that is about the connection.
    pub fn notice(&self, code: &str, reason: &str) {
        let line = format!("the server says {ERROR}{code}{ERROR:#}: {reason}");
        self.bar.suspend(|| say(format_args!("{line}")));
    }

    /// Says that the fate of `messages` is unknown, or notes it for the summary.
    pub fn unanswered(&self, messages: &VecDeque<SentMessage>) {
        if let Some(mut lists) = self.lists() {
            lists.unknown = messages
                .iter()
                .map(|sent| UnansweredMessage {
                    file: self.file(sent.input),
                    line: sent.line,
                    target: sent.target.clone(),
                    msg_id: sent.msg_id.map(|msg_id| msg_id.to_string()),
                })
                .collect();
            return;
        }
        self.bar.suspend(|| {
            for line in unknown_fates(&self.inputs, messages) {
                say(format_args!("{line}"));
            }
        });
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub fn summary(&self, tally: &Tally) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Summary<'a> {
            #[serde(flatten)]
            tally: &'a Tally,
            #[serde(flatten)]
            lists: &'a Lists,
        }
        let line = match self.lists() {
            None => summary(tally),
            Some(lists) => {
                let lists = &*lists;
                serde_json::to_string(&Summary { tally, lists }).map_err(Failure::failed)?
            }
        };
        print(format_args!("{line}\n"))
    }

    fn lists(&self) -> Option<MutexGuard<'_, Lists>> {
        let lists = self.json.as_ref()?.lock();
        Some(lists.expect("nobody panics while noting a refusal"))
    }
}

/// Returns a line for each input with messages of unknown fate: the last ones, for
/// answers come in order.
fn unknown_fates(inputs: &[String], messages: &VecDeque<SentMessage>) -> Vec<String> {
    let of = |input: usize| messages.iter().filter(move |sent| sent.input == input);
    let line = |(input, file): (usize, &String)| {
        let (first, last) = (of(input).next()?, of(input).next_back()?);
        let first = first.line;
        Some(match of(input).count() {
            1 => format!("{file}:{first}: no answer came: its fate is unknown"),
            count => format!(
                "{file}:{first}: no answer came from here to line {}: the fate of {count} \
                 messages is unknown",
                last.line
            ),
        })
    };
    inputs.iter().enumerate().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_in_a_line_an_input_what_has_no_answer() {
        let sent = |input, line| SentMessage {
            msg_id: None,
            is_ack: false,
            is_hello: false,
            end: 0,
            target: None,
            input,
            line,
        };
        let inputs = ["a", "b", "c"].map(str::to_owned);
        let messages = [sent(1, 7), sent(1, 9), sent(1, 12), sent(2, 1)].into();
        assert_eq!(
            unknown_fates(&inputs, &messages),
            [
                "b:7: no answer came from here to line 12: the fate of 3 messages is unknown",
                "c:1: no answer came: its fate is unknown"
            ]
        );
        assert!(unknown_fates(&inputs, &VecDeque::new()).is_empty());
    }
}
