//! The log of `tickwire serve`.
//!
//! Logging only puts a line into a bounded buffer ([`backlog`]). A thread writes it
//! to standard error ([`background_writer`]), and again where that fails
//! ([`write_buffer`]): a standard error that is closed, full or slow neither ends
//! the server nor holds it up. Ordinary lines that don't fit are dropped and
//! counted, lines about losses ([`tickwire::loss`]) and panics are summed up.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use tickwire::limits::LOG_END_TIMEOUT;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod background_writer;
mod backlog;
mod layer;
mod line_queue;
mod losses;
mod panics;
mod repeats;
mod text;
mod write_buffer;

use background_writer::BackgroundWriter;
use layer::LogLayer;
use text::Style;

/// A writer that is given a moment to write the rest when this is dropped.
#[derive(Debug)]
pub struct Log(BackgroundWriter);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish(LOG_END_TIMEOUT);
    }
}

/// Has the process log to standard error the events that `filter` admits.
pub fn start(filter: &str) -> io::Result<Log> {
    let coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let style = match coloured {
        true => Style::Coloured,
        false => Style::Plain,
    };
    let writer = BackgroundWriter::start(unlocked(io::stderr()), style)?;
    let layer = LogLayer(writer.clone());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(layer.clone())
        .with_ansi(coloured)
        // It would write straight to standard error.
        .log_internal_errors(false);
    // Fails only if the process logs already, and then it logs.
    let _ = tracing_subscriber::registry()
        .with(EnvFilter::new(filter))
        .with(layer)
        .with(lines)
        .try_init();
    panics::write_to(writer.clone());
    Ok(Log(writer))
}

/// Writes `text` to standard output, and doesn't wait for its reader.
pub fn announce(text: &str) -> Option<Log> {
    write_out(unlocked(io::stdout()), text.as_bytes())
}

/// Writes `text` to standard error in the same way.
pub fn announce_on_error(text: &[u8]) -> Option<Log> {
    write_out(unlocked(io::stderr()), text)
}

fn write_out(out: impl Write + Send + 'static, text: &[u8]) -> Option<Log> {
    // Without a thread nobody can be told without waiting.
    let writer = BackgroundWriter::start(out, Style::Plain).ok()?;
    writer.with(|backlog| backlog.push(text));
    writer.end();
    Some(Log(writer))
}

/// Returns a stream without the standard library's lock, which a thread that
/// waits for a full pipe would hold.
#[cfg(unix)]
fn unlocked(stream: impl Write + std::os::fd::AsFd + Send + 'static) -> Box<dyn Write + Send> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(own) => Box::new(std::fs::File::from(own)),
        Err(_) => Box::new(stream),
    }
}

#[cfg(not(unix))]
fn unlocked(stream: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(stream)
}
