//! The command line: one file a command.
//!
//! It uses the library as any other program would.
//!
//! Standard output carries the result of a command, standard error all words about
//! it. A command returns [`Outcome`] or a [`Failure`], and only [`main`] turns them
//! into exit codes: 0 done, 1 failed, 2 wrong usage.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::{Parser, Subcommand};

mod allocator;
mod answer;
mod bench;
mod blocking_client;
mod check;
mod compact;
mod demo;
mod frames;
mod input;
#[cfg(unix)]
mod journal;
mod ledger;
mod listen;
mod log;
mod patient;
mod send;
mod serve;
mod settings;
mod split;
mod stop;
mod units;

use patient::PatientWriter;

/// The end of a command that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A part of the command did not succeed, and it has said which.
    Failed,
}

impl Outcome {
    pub fn of(succeeded: bool) -> Self {
        match succeeded {
            true => Self::Done,
            false => Self::Failed,
        }
    }
}

/// The reason why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command was asked for something it can't do.
    #[error(transparent)]
    Usage(Box<dyn std::error::Error>),
    #[error(transparent)]
    Failed(Box<dyn std::error::Error>),
}

impl Failure {
    pub fn usage(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self::Usage(error.into())
    }

    pub fn failed(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self::Failed(error.into())
    }
}

const LONG_ABOUT: &str = "\
A message switch for trading platforms.

Connectors open a TCP connection and send length-prefixed JSON messages. \
tickwire checks each one, routes it to the connection that owns its target, \
and acknowledges it. Without a command it serves.";

const EXAMPLES: &str = "\
Examples:
  tickwire demo                       see it work: a server and nine participants
  tickwire                            serve on 127.0.0.1:7411
  tickwire listen api-gateway         print what is sent to api-gateway
  tickwire send order.json            send a message, and say what became of it
  tickwire check messages/*.json      check messages without a server

Every command explains itself with --help.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

#[derive(Debug, Parser)]
#[command(
    name = "tickwire",
    version,
    about = "A validating, acknowledging message switch for trading platforms",
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_long_help = serve::after_help())]
    Serve(serve::Arguments),
    Send(send::Arguments),
    Listen(listen::Arguments),
    Check(check::Arguments),
    Demo(demo::Arguments),
    #[cfg(unix)]
    Journal(journal::Arguments),
    Bench(Box<bench::Arguments>),
}

pub fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    let result = match &command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Send(arguments) => send::run(arguments),
        Command::Listen(arguments) => listen::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        #[cfg(unix)]
        Command::Journal(arguments) => journal::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(failure) => {
            match &command {
                // A program that waits for a server must see that it has ended.
                Command::Serve(_) => drop(log::announce_on_error(&error_line(&failure))),
                _ => say_error(&failure),
            }
            ExitCode::from(match failure {
                Failure::Failed(_) => 1,
                Failure::Usage(_) => 2,
            })
        }
    }
}

pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The style of explanations.
pub const DIM: Style = Style::new().dimmed();

pub fn say_error(error: &dyn std::fmt::Display) {
    let _ = PatientWriter(io::stderr()).write_all(&error_line(error));
}

fn error_line(error: &dyn std::fmt::Display) -> Vec<u8> {
    let choice = AutoStream::choice(&io::stderr());
    rendered(format_args!("{ERROR}error:{ERROR:#} {error}\n"), choice)
}

/// Writes a line to standard error. That nobody reads it is no reason to fail.
///
/// In one write, or another process with the same terminal could put its own
/// line into the middle.
pub fn say(line: std::fmt::Arguments<'_>) {
    let choice = AutoStream::choice(&io::stderr());
    let line = rendered(format_args!("{line}\n"), choice);
    let _ = PatientWriter(io::stderr()).write_all(&line);
}

/// Writes a result to standard output. A reader that has left is no failure.
pub fn print(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    match write_out(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("can't write: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `text` to standard output, coloured on a terminal only.
fn write_out(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    let choice = AutoStream::choice(&io::stdout());
    let mut out = PatientWriter(io::stdout().lock());
    out.write_all(&rendered(text, choice))?;
    out.flush()
}

fn rendered(text: std::fmt::Arguments<'_>, choice: ColorChoice) -> Vec<u8> {
    let mut stream = AutoStream::new(Vec::new(), choice);
    stream
        .write_fmt(text)
        .expect("a vector takes all that is written");
    stream.into_inner()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn colours_are_left_out_where_nobody_sees_them() {
        let text = |choice| {
            let bytes = rendered(format_args!("{ERROR}error:{ERROR:#} no\n"), choice);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text(ColorChoice::Never), "error: no\n");
        assert!(text(ColorChoice::AlwaysAnsi).contains("\u{1b}["));
    }

    #[test]
    fn no_command_is_serve() {
        let arguments =
            CommandLine::try_parse_from(["tickwire", "--listen", "127.0.0.1:0"]).unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.serve.listen, ["127.0.0.1:0"]);
    }

    #[test]
    fn every_help_ends_with_examples_of_its_own() {
        let mut command = CommandLine::command();
        let help = command.render_long_help().to_string();
        assert!(help.contains("tickwire demo  "), "{help}");
        let commands = command.get_subcommands_mut();
        for command in commands.filter(|command| command.get_name() != "help") {
            let example = format!("\n  tickwire {}", command.get_name());
            let help = command.render_long_help().to_string();
            assert!(
                help.contains("Examples:") && help.contains(&example),
                "{help}"
            );
        }
    }

    #[test]
    fn a_flag_of_serve_before_another_command_is_refused() {
        assert!(
            CommandLine::try_parse_from(["tickwire", "--listen", "a:1", "check", "f"]).is_err()
        );
    }
}
