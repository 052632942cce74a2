//! The layer between events and lines.

use std::fmt;
use std::io;
use std::time::Instant;

use tickwire::loss;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::background_writer::BackgroundWriter;
use super::losses::Loss;
use super::text::Callsite;

/// Decides which events become lines, and takes the lines.
#[derive(Debug, Clone)]
pub struct LogLayer(pub BackgroundWriter);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let callsite = Callsite::of(event.metadata());
        let now = Instant::now();
        if loss::is_loss(event.metadata()) {
            let loss = || Fields::of(event).loss();
            return (self.0).with(|backlog| backlog.admit_loss(callsite, loss, now));
        }
        // Details are written only where they are asked for: then all of them.
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let text = || Fields::of(event).what;
        self.0.with(|backlog| backlog.admit(callsite, text, now))
    }
}

impl<'a> MakeWriter<'a> for LogLayer {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        let of_loss = None;
        LineWriter {
            writer: &self.0,
            of_loss,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        LineWriter {
            writer: &self.0,
            of_loss: loss::is_loss(metadata).then(|| metadata.name()),
        }
    }
}

/// Takes one line, and never fails.
#[derive(Debug)]
pub struct LineWriter<'a> {
    writer: &'a BackgroundWriter,
    /// The origin of a line that is about a loss.
    of_loss: Option<&'static str>,
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.of_loss {
            None => self.writer.with(|backlog| backlog.push(line)),
            Some(callsite) => {
                // There was room for it when it was admitted, so this is rare.
                let loss = || (Loss::unnamed(callsite), 0);
                let now = Instant::now();
                (self.writer).with(|backlog| backlog.push_loss(line, loss, now));
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Fields {
    what: String,
    name: Option<String>,
    count: Option<u64>,
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn loss(self) -> (Loss, u64) {
        let loss = Loss {
            what: self.what,
            name: self.name,
        };
        (loss, self.count.unwrap_or(0))
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.what = format!("{value:?}"),
            loss::NAME => self.name = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == loss::COUNT {
            self.count = Some(value);
        }
    }
}
