//! What `listen` prints.

use std::io::{self, Write};

use tickwire::wire::frame_prefix;

use crate::cli::compact::append_compact;

/// Messages as lines, or as frames.
pub struct Output<W> {
    /// Where they go.
    pub out: W,
    /// Whether they are written as frames.
    pub raw: bool,
    /// The line at hand.
    pub line: Vec<u8>,
}

impl<W: Write> Output<W> {
    /// Writes one message.
    pub fn write(&mut self, json: &[u8]) -> io::Result<()> {
        if self.raw {
            let prefix = frame_prefix(json.len()).map_err(io::Error::other)?;
            self.out.write_all(&prefix)?;
            return self.out.write_all(json);
        }
        self.line.clear();
        append_compact(json, &mut self.line);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}
