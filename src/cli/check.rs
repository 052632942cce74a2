//! `tickwire check`: validates messages without a server.

use std::io::{self, ErrorKind, Write};

use clap::Args;
use serde::Serialize;
use tickwire::limits::FRAME_BYTES_MAX_DEFAULT;
use tickwire::wire::{ErrorCode, Parser, Refusal, Validation, locate};

use super::input::{Event, Input, InputError};
use super::split::{self, Position, SplitError};
use super::{ERROR, Failure, Outcome, print, say_error};

const JSON_BEGIN: &str = "{\"problems\":[";

const EXAMPLES: &str = "\
Examples:
  tickwire check order.json
  tickwire check messages/*.json
  generate-orders | tickwire check -
  tickwire check --json orders.jsonl | jq '.problems[].field'

Each message is held to the rules that a server holds it to. What is wrong is \
printed with its place, so that an editor can go there:
  orders.jsonl:12:87: INVALID_PAYLOAD payload.event_utc: …

A file holds messages one after another: one pretty-printed object, several, or \
JSON Lines; byte order marks and record separators (RFC 7464) between them are \
passed over. What is no message counts as a wrong one, and the next is looked for \
at the next line that begins with {. All is printed as soon as it is found.

Exit codes: 0 all right, 1 something is wrong, 2 wrong usage.";

/// Check messages without a server
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Files with messages; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Problem<'a> {
    file: &'a str,
    line: u64,
    column: u64,
    code: &'static str,
    field: Option<&'a str>,
    message: &'a str,
    msg_id: Option<String>,
}

/// The findings: their counts, and the text that was not shown yet.
#[derive(Debug, Default)]
struct Findings {
    json: bool,
    messages: u64,
    wrong: u64,
    unshown: String,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut findings = Findings {
        json: arguments.json,
        ..Findings::default()
    };
    let mut readable = true;
    for argument in &arguments.files {
        match check(&Input::new(argument), &mut findings, show) {
            Ok(()) => {}
            // The reader has left after it was shown a problem.
            Err(InputError::Stopped(error)) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(Outcome::Failed);
            }
            Err(InputError::Stopped(error)) => {
                return Err(Failure::failed(format!("can't write: {error}")));
            }
            Err(error) => {
                readable = false;
                say_error(&error);
            }
        }
    }
    findings.end();
    print(format_args!("{}", findings.unshown))?;
    Ok(Outcome::of(readable && findings.wrong == 0))
}

fn show(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Checks one input. Calls `show` with the findings whenever no more is at hand.
fn check(
    input: &Input,
    findings: &mut Findings,
    mut show: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), InputError> {
    let mut parser = Parser::new(Validation::Payload);
    input.each_piece_or_fault(|event| {
        match event {
            Ok(Event::Piece(piece)) => {
                findings.messages += 1;
                if let Err(refusal) = judge(&mut parser, piece.json) {
                    let at = locate(piece.json, &refusal).unwrap_or(0);
                    let position = piece.position.after(&piece.json[..at]);
                    findings.add(&problem(input, position, &refusal));
                }
            }
            Err(fault) => {
                findings.messages += 1;
                findings.add(&problem(input, fault.position, &refusal_of(&fault)));
            }
            Ok(Event::Idle) if findings.unshown.is_empty() => {}
            Ok(Event::Idle) => {
                show(&findings.unshown).map_err(InputError::Stopped)?;
                findings.unshown.clear();
            }
        }
        Ok(())
    })
}

fn judge(parser: &mut Parser, frame: &[u8]) -> Result<(), Refusal> {
    if frame.len() > FRAME_BYTES_MAX_DEFAULT {
        return Err(Refusal::new(
            ErrorCode::FrameTooLarge,
            format!(
                "the message has {} bytes, a server takes {FRAME_BYTES_MAX_DEFAULT} unless its \
                 frame_bytes_max says otherwise",
                frame.len()
            ),
        ));
    }
    parser.parse(frame).map(|_| ())
}

fn problem<'a>(input: &'a Input, position: Position, refusal: &'a Refusal) -> Problem<'a> {
    Problem {
        file: input.name(),
        line: position.line,
        column: position.column,
        code: refusal.code.as_str(),
        field: refusal.field.as_deref(),
        message: &refusal.reason,
        msg_id: refusal.msg_id.map(|msg_id| msg_id.to_string()),
    }
}

/// Returns the refusal of text in the place of a message.
fn refusal_of(fault: &SplitError) -> Refusal {
    let code = match fault.problem {
        split::Problem::TooLarge => ErrorCode::FrameTooLarge,
        _ => ErrorCode::InvalidJson,
    };
    Refusal::new(code, fault.problem.to_string())
}

impl Findings {
    /// Adds a problem as a line of text, or to the list in JSON, which stands
    /// before the counts so that it can grow.
    fn add(&mut self, problem: &Problem<'_>) {
        self.wrong += 1;
        if self.json {
            self.unshown += if self.wrong == 1 { JSON_BEGIN } else { "," };
            self.unshown.push('\n');
            self.unshown += &serde_json::to_string(problem).expect("texts and numbers are JSON");
            return;
        }
        let position = format!("{}:{}:{}", problem.file, problem.line, problem.column);
        let (code, message) = (problem.code, problem.message);
        let field = problem.field.map(|field| format!(" {field}"));
        let field = field.unwrap_or_default();
        self.unshown += &format!("{position}: {ERROR}{code}{ERROR:#}{field}: {message}\n");
    }

    fn end(&mut self) {
        let (messages, wrong) = (self.messages, self.wrong);
        if self.json {
            self.unshown += if wrong == 0 { JSON_BEGIN } else { "\n" };
            self.unshown += &format!("],\"messages\":{messages},\"wrong\":{wrong}}}\n");
            return;
        }
        let plural = if messages == 1 { "" } else { "s" };
        self.unshown += &format!(
            "{messages} message{plural} checked: {} right, {wrong} wrong\n",
            messages - wrong
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// All that is shown of these files, text or JSON.
    fn shown(paths: &[&str], json: bool) -> String {
        let mut findings = Findings {
            json,
            ..Findings::default()
        };
        let mut shown = String::new();
        for path in paths {
            let show = |text: &str| {
                shown += text;
                Ok(())
            };
            check(&Input::new(path), &mut findings, show).unwrap();
        }
        findings.end();
        shown + &findings.unshown
    }

    fn shown_of(text: &str, json: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.jsonl");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        shown(&[path], json).replace(path, "m.jsonl")
    }

    fn findings(text: &str) -> Value {
        serde_json::from_str(&shown_of(text, true)).unwrap()
    }

    fn heartbeat(timestamp: &str) -> String {
        format!(
            "{{\n  \"msg_id\": \"550e8400-e29b-41d4-a716-446655440005\",\n  \
             \"msg_type\": \"heartbeat\",\n  \"timestamp\": \"2026-01-03T12:41:25.000Z\",\n  \
             \"source\": \"a\",\n  \"payload\": {{\"status\": \"ä\", \"timestamp\": {timestamp}}}\n}}\n"
        )
    }

    #[test]
    fn the_platforms_examples_are_right() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
        let entries = std::fs::read_dir(directory).unwrap();
        let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            shown(&paths, false),
            "11 messages checked: 11 right, 0 wrong\n"
        );
        assert_eq!(
            shown(&paths, true),
            "{\"problems\":[],\"messages\":11,\"wrong\":0}\n"
        );
    }

    #[test]
    fn says_where_the_wrong_field_stands() {
        let right = heartbeat("\"2026-01-03T12:41:25Z\"");
        let wrong = heartbeat("\"yesterday\"");
        let found = findings(&format!("{right}{wrong}"));
        assert_eq!(
            (&found["messages"], &found["wrong"]),
            (&json!(2), &json!(1))
        );
        let problem = &found["problems"][0];
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&json!(13), &json!(43))
        );
        assert_eq!(problem["code"], "INVALID_PAYLOAD");
        assert_eq!(problem["field"], "payload.timestamp");
        assert_eq!(problem["msg_id"], "550e8400-e29b-41d4-a716-446655440005");
    }

    #[test]
    fn says_where_json_goes_wrong() {
        let found = findings(&heartbeat("NaN"));
        let problem = &found["problems"][0];
        assert_eq!(problem["code"], "INVALID_JSON");
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&json!(6), &json!(43))
        );
    }

    #[test]
    fn what_is_no_message_hides_none_of_the_next() {
        let right = heartbeat("\"2026-01-03T12:41:25Z\"").replace('\n', " ");
        let cut = &right[..right.len() / 2];
        let text = format!("\u{FEFF}{right}\n{cut}\n{right}\nhello\n\u{1E}{right}\n{{");
        let shown = shown_of(&text, false);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].starts_with("m.jsonl:2:"), "{shown}");
        assert!(lines[1].starts_with("m.jsonl:4:1: "), "{shown}");
        assert!(lines[2].starts_with("m.jsonl:6:1: "), "{shown}");
        assert_eq!(lines[3], "6 messages checked: 3 right, 3 wrong");
        let found = findings(&text);
        assert_eq!(found["problems"].as_array().unwrap().len(), 3);
        assert_eq!(
            (&found["messages"], &found["wrong"]),
            (&json!(6), &json!(3))
        );
    }

    #[test]
    fn a_message_larger_than_servers_take_is_wrong() {
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(FRAME_BYTES_MAX_DEFAULT));
        assert_eq!(findings(&text)["problems"][0]["code"], "FRAME_TOO_LARGE");
    }
}
