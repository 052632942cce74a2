//! `tickwire check`: validates messages without a server.

use clap::Args;
use serde::Serialize;
use tickwire::limits::FRAME_BYTES_MAX_DEFAULT;
use tickwire::wire::{ErrorCode, Parser, Refusal, Validation, locate};

use super::input::{Event, Input, InputError};
use super::split::{Piece, Place};
use super::{ERROR, Failure, Outcome, print, say_error};

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
JSON Lines.

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

/// What is wrong with a message, or with a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Problem {
    file: String,
    line: u64,
    column: u64,
    code: &'static str,
    field: Option<String>,
    message: String,
    msg_id: Option<String>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    messages: u64,
    wrong: u64,
    problems: Vec<Problem>,
}

/// Checks each message of each file.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut findings = Findings::default();
    let mut readable = true;
    for argument in &arguments.files {
        let input = Input::new(argument);
        if let Err(error) = check(&input, &mut findings) {
            readable = false;
            say_error(&error);
        }
    }
    let text = if arguments.json {
        let mut json = serde_json::to_string(&findings).map_err(Failure::failed)?;
        json.push('\n');
        json
    } else {
        findings.to_text()
    };
    print(format_args!("{text}"))?;
    Ok(if readable && findings.problems.is_empty() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Checks the messages of one input. What ends its being read as messages is a
/// finding like others.
fn check(input: &Input, findings: &mut Findings) -> Result<(), InputError> {
    let mut parser = Parser::new(Validation::Payload);
    let mut frame = Vec::new();
    let result = input.each_piece(|event| {
        let Event::Piece(piece) = event else {
            return Ok(());
        };
        findings.messages += 1;
        frame.clear();
        frame.extend_from_slice(piece.json);
        if let Err(refusal) = judge(&mut parser, &mut frame) {
            findings.wrong += 1;
            findings.problems.push(problem(input, piece, &refusal));
        }
        Ok(())
    });
    match result {
        Err(InputError::NotMessages { name, error }) => {
            findings.problems.push(Problem {
                file: name,
                line: error.place.line,
                column: error.place.column,
                code: ErrorCode::InvalidJson.as_str(),
                field: None,
                message: error.problem.to_string(),
                msg_id: None,
            });
            Ok(())
        }
        other => other,
    }
}

fn judge(parser: &mut Parser, frame: &mut [u8]) -> Result<(), Refusal> {
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

fn problem(input: &Input, piece: Piece<'_>, refusal: &Refusal) -> Problem {
    let at = locate(piece.json, refusal).unwrap_or(0);
    let Place { line, column } = piece.place.after(&piece.json[..at]);
    Problem {
        file: input.name().to_owned(),
        line,
        column,
        code: refusal.code.as_str(),
        field: refusal.field.as_deref().map(str::to_owned),
        message: refusal.reason.to_string(),
        msg_id: refusal.msg_id.map(|msg_id| msg_id.to_string()),
    }
}

impl Findings {
    fn to_text(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let Problem {
                file,
                line,
                column,
                code,
                field,
                message,
                ..
            } = problem;
            let field = field
                .as_deref()
                .map_or_else(String::new, |field| format!(" {field}"));
            text += &format!("{file}:{line}:{column}: {ERROR}{code}{ERROR:#}{field}: {message}\n");
        }
        let plural = if self.messages == 1 { "" } else { "s" };
        text += &format!(
            "{} message{plural} checked: {} right, {} wrong\n",
            self.messages,
            self.messages - self.wrong,
            self.wrong
        );
        let broken_off = self.problems.len() as u64 - self.wrong;
        if broken_off > 0 {
            let files = if broken_off == 1 { "file" } else { "files" };
            text += &format!("{broken_off} {files} could not be read to the end\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut findings = Findings::default();
        check(&Input::new(path.to_str().unwrap()), &mut findings).unwrap();
        findings
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
        let mut found = Findings::default();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            check(&Input::new(path.to_str().unwrap()), &mut found).unwrap();
        }
        assert_eq!(found.problems, []);
        assert_eq!(found.messages, 11);
        assert_eq!(found.to_text(), "11 messages checked: 11 right, 0 wrong\n");
    }

    #[test]
    fn says_where_the_wrong_field_stands() {
        let right = heartbeat("\"2026-01-03T12:41:25Z\"");
        let wrong = heartbeat("\"yesterday\"");
        let found = findings(&format!("{right}{wrong}"));
        assert_eq!((found.messages, found.wrong), (2, 1));
        let problem = &found.problems[0];
        assert_eq!((problem.line, problem.column), (13, 43));
        assert_eq!(problem.code, "INVALID_PAYLOAD");
        assert_eq!(problem.field.as_deref(), Some("payload.timestamp"));
        assert_eq!(
            problem.msg_id.as_deref(),
            Some("550e8400-e29b-41d4-a716-446655440005")
        );
    }

    #[test]
    fn says_where_json_goes_wrong() {
        let found = findings(&heartbeat("NaN"));
        let problem = &found.problems[0];
        assert_eq!(problem.code, "INVALID_JSON");
        assert_eq!((problem.line, problem.column), (6, 43));
    }

    #[test]
    fn a_file_that_breaks_off_is_a_finding() {
        let found = findings("{}\n{");
        assert_eq!((found.messages, found.wrong), (1, 1));
        assert_eq!(found.problems.len(), 2);
        assert_eq!((found.problems[1].line, found.problems[1].column), (2, 1));
        let text = found.to_text();
        assert!(
            text.ends_with("1 file could not be read to the end\n"),
            "{text}"
        );
    }

    #[test]
    fn a_message_larger_than_servers_take_is_wrong() {
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(FRAME_BYTES_MAX_DEFAULT));
        assert_eq!(findings(&text).problems[0].code, "FRAME_TOO_LARGE");
    }
}
