//! The lines that the log writes about itself, in the form of all others.

use anstyle::{AnsiColor, Style as Colour};
use tickwire::loss;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::repeats::Sum;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Callsite {
    pub target: &'static str,
    pub file: Option<&'static str>,
    pub line: Option<u32>,
}

impl Callsite {
    pub fn of(metadata: &'static tracing::Metadata<'static>) -> Self {
        Self {
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Coloured,
}

impl Style {
    pub fn dropped(self, count: u64) -> String {
        let text = format!("{count} lines are missing here: they were written faster than read");
        self.warning("tickwire::log", &text)
    }

    pub fn repeated(self, sum: &Sum<Callsite>) -> String {
        let (count, last) = (sum.count, &sum.last);
        self.warning(sum.callsite.target, &format!("{count} more like: {last}"))
    }

    pub fn loss(self, text: &str) -> String {
        self.warning(loss::TARGET, text)
    }

    fn warning(self, target: &str, text: &str) -> String {
        let mut time = String::new();
        // It fails only where the string does.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let (dim, yellow) = match self {
            Self::Plain => (Colour::new(), Colour::new()),
            Self::Coloured => (Colour::new().dimmed(), AnsiColor::Yellow.on_default()),
        };
        format!(
            "{dim}{time}{dim:#} {yellow} WARN{yellow:#} {dim}{target}{dim:#}{dim}:{dim:#} {text}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The line as `tracing` writes it.
    fn usual(coloured: bool) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(coloured)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "tickwire::loss", "a text");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn without_digits(line: &str) -> String {
        line.chars().filter(|c| !c.is_ascii_digit()).collect()
    }

    #[test]
    fn its_own_lines_look_as_all_others() {
        for (style, coloured) in [(Style::Plain, false), (Style::Coloured, true)] {
            let own = style.loss("a text");
            assert_eq!(without_digits(&own), without_digits(&usual(coloured)));
        }
    }
}
