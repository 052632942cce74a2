//! What `send` says: refusals as they come, progress, the summary.

use std::sync::{Arc, Mutex};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::summary;
use crate::cli::fence::Tally;
use crate::cli::input::{Amount, Input};
use crate::cli::{ERROR, Failure, print, say};

/// From so many messages on, progress is shown.
const MANY_MESSAGES: u64 = 1_000;
/// From so many bytes on, progress is shown.
const MANY_BYTES: u64 = 1024 * 1024;

/// A message that was refused.
#[derive(Debug)]
pub struct Refused {
    /// Which of the inputs it stands in.
    pub input: usize,
    /// On which line.
    pub line: u64,
    /// The error's code.
    pub code: String,
    /// The field that is wrong.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// Whom the message is for.
    pub target: Option<String>,
    /// The message's id.
    pub msg_id: Option<String>,
}

/// Says what happens, from both threads.
#[derive(Debug)]
pub struct Report {
    inputs: Vec<String>,
    bar: ProgressBar,
    /// With `--json`: what the summary will list.
    json: Option<Mutex<Vec<Listed>>>,
}

/// A refusal in the JSON summary.
#[derive(Debug, Serialize)]
struct Listed {
    file: String,
    line: u64,
    code: String,
    field: Option<String>,
    message: String,
    target: Option<String>,
    msg_id: Option<String>,
}

impl Report {
    /// A report about `inputs` of together `amount`.
    pub fn new(inputs: &[Input], amount: Amount, json: bool) -> Arc<Self> {
        let many = amount.messages > MANY_MESSAGES || amount.bytes > MANY_BYTES;
        let bar = if many && !amount.open_ended {
            // Draws to standard error, and only if that is a terminal.
            ProgressBar::new(amount.messages).with_style(
                ProgressStyle::with_template(
                    "{bar:32} {human_pos}/{human_len} answered, {per_sec}",
                )
                .expect("a template of indicatif's own words"),
            )
        } else {
            ProgressBar::hidden()
        };
        Arc::new(Self {
            inputs: inputs.iter().map(|input| input.name().to_owned()).collect(),
            bar,
            json: json.then(Mutex::default),
        })
    }

    /// Shows that `settled` messages have been answered.
    pub fn progress(&self, settled: u64) {
        self.bar.set_position(settled);
    }

    /// Says that a message was refused, or notes it for the summary.
    pub fn refused(&self, refused: Refused) {
        let Refused {
            input,
            line,
            code,
            field,
            reason,
            target,
            msg_id,
        } = refused;
        let file = &self.inputs[input];
        if let Some(listed) = &self.json {
            let mut listed = listed.lock().expect("nobody panics while noting a refusal");
            listed.push(Listed {
                file: file.clone(),
                line,
                code,
                field,
                message: reason,
                target,
                msg_id,
            });
            return;
        }
        let field = field.map_or_else(String::new, |field| format!(" {field}"));
        let target = target.map_or_else(String::new, |target| {
            format!(" (to {})", target.escape_debug())
        });
        self.bar.suspend(|| {
            say(format_args!(
                "{file}:{line}: {ERROR}{code}{ERROR:#}{field}: {reason}{target}"
            ));
        });
    }

    /// Says what the server says about the connection.
    pub fn notice(&self, code: &str, reason: &str) {
        self.bar.suspend(|| {
            say(format_args!(
                "the server says {ERROR}{code}{ERROR:#}: {reason}"
            ))
        });
    }

    /// Takes the progress away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints what became of all messages.
    pub fn summary(&self, tally: &Tally) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Summary<'a> {
            #[serde(flatten)]
            tally: &'a Tally,
            refusals: &'a [Listed],
        }
        let line = match &self.json {
            None => summary(tally),
            Some(listed) => {
                let refusals = &*listed.lock().expect("nobody panics while noting a refusal");
                serde_json::to_string(&Summary { tally, refusals }).map_err(Failure::failed)?
            }
        };
        print(format_args!("{line}\n"))
    }
}
