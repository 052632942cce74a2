//! The thread that reads the inputs and writes the frames.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tickwire::limits::READ_BUFFER_BYTES;
use tickwire::wire::{ErrorCode, Kind, Parser, Validation, write_frame};

use super::Shared;
use super::report::{RefusedMessage, Report};
use crate::cli::frames::is_timeout;
use crate::cli::input::{Event, Input, InputError};
use crate::cli::ledger::SentMessage;
use crate::cli::split::Piece;

pub struct Writer {
    stream: TcpStream,
    out: Vec<u8>,
    /// Bytes that have left `out`.
    flushed: u64,
    /// Reads as much of a message as the server can, whatever its payload.
    parser: Parser,
    frame_bytes_max: usize,
    shared: Arc<Shared>,
    report: Arc<Report>,
}

impl Writer {
    pub fn new(
        stream: TcpStream,
        frame_bytes_max: usize,
        shared: Arc<Shared>,
        report: Arc<Report>,
    ) -> Self {
        Self {
            stream,
            out: Vec::with_capacity(2 * READ_BUFFER_BYTES),
            flushed: 0,
            parser: Parser::new(Validation::Envelope),
            frame_bytes_max,
            shared,
            report,
        }
    }

    /// Sends all inputs, and the fence also after an error of an input.
    pub fn send_all(mut self, inputs: &[Input], fence: &[u8]) -> Result<(), InputError> {
        let mut result = Ok(());
        for (index, input) in inputs.iter().enumerate() {
            result = input.each_piece(|event| match event {
                Event::Piece(piece) => self.queue(index, piece),
                // Nothing more is at hand, so nothing is to wait for it.
                Event::Idle => self.flush(),
            });
            if result.is_err() {
                break;
            }
        }
        self.out.extend_from_slice(fence);
        // The reader of the answers learns why the connection ended.
        let _ = self.flush();
        self.shared.fence_sent.store(true, Ordering::Release);
        match result {
            // The connection is gone, which is not the input's fault.
            Err(InputError::Stopped(_)) => Ok(()),
            result => result,
        }
    }

    fn queue(&mut self, input: usize, piece: Piece<'_>) -> io::Result<()> {
        let line = piece.position.line;
        if piece.json.len() > self.frame_bytes_max {
            self.shared.ledger().refused_unsent();
            self.report.refused(RefusedMessage {
                file: self.report.file(input),
                line,
                code: ErrorCode::FrameTooLarge.as_str().to_owned(),
                field: None,
                reason: format!(
                    "the message has {} bytes, the server takes {}: not sent",
                    piece.json.len(),
                    self.frame_bytes_max
                ),
                target: target_of(piece.json),
                msg_id: None,
            });
            return Ok(());
        }
        write_frame(&mut self.out, piece.json).map_err(io::Error::other)?;
        let end = self.out.len();
        let frame = &mut self.out[end - piece.json.len()..];
        let (msg_id, kind, target) = match self.parser.parse(frame) {
            Ok(header) => {
                let target = self.parser.target(frame, &header.names);
                let target = target.map(|target| String::from_utf8_lossy(target).into());
                (Some(header.msg_id), Some(header.kind), target)
            }
            Err(refusal) => (refusal.msg_id, None, target_of(piece.json).map(Into::into)),
        };
        self.shared.ledger().sent(SentMessage {
            msg_id,
            is_ack: kind == Some(Kind::Ack),
            is_hello: kind == Some(Kind::Hello),
            end: self.flushed + end as u64,
            target,
            input,
            line,
        });
        if self.out.len() >= READ_BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.unwritten.store(true, Ordering::Release);
        let written = self.write_all();
        self.shared.unwritten.store(false, Ordering::Release);
        self.flushed += self.out.len() as u64;
        self.out.clear();
        written
    }

    /// Writes all of `out`. The reader of the answers decides when it takes too long.
    fn write_all(&self) -> io::Result<()> {
        let mut rest = &self.out[..];
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    rest = &rest[taken..];
                    self.shared.taken.fetch_add(taken as u64, Ordering::AcqRel);
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The `target` of a message that may be invalid.
fn target_of(json: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        target: Option<String>,
    }
    serde_json::from_slice::<Head>(json).ok()?.target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_target_of_what_is_otherwise_wrong() {
        assert_eq!(
            target_of(b"{\"target\":\"a\",\"x\":1}"),
            Some("a".to_owned())
        );
        assert_eq!(target_of(b"{\"target\":null}"), None);
        assert_eq!(target_of(b"{\"target\":1}"), None);
        assert_eq!(target_of(b"nonsense"), None);
    }
}
