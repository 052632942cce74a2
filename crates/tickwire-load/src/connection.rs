//! One connection of a load, without blocking: bytes in, a stream out.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::net::TcpStream;

use crate::frame::FrameError;
use crate::protocol::Party;
use crate::stream::Stream;

/// Bytes written at once: as many as tickwire reads at once.
const WRITE_BYTES: usize = 64 * 1024;
/// Bytes read at once: more than a server writes at once, so that reading is the
/// cheaper part.
const READ_BYTES: usize = 4 * WRITE_BYTES;

/// A socket, and the part of a frame that has come so far.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
    /// Whether the socket may take bytes, as far as is known.
    writable: bool,
}

/// A reason why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The server has ended it.
    #[error("the server closed the connection")]
    Closed,
    /// It can't be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It carries no frames any more.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An answer is none.
    #[error("it answers {0:?}")]
    Answer(String),
}

/// Room that all connections of a thread read into.
#[derive(Debug)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// Room for a read.
    pub fn new() -> Self {
        Self(vec![0; READ_BYTES])
    }
}

impl Connection {
    /// Goes on with the connection of `party`.
    pub fn new(party: Party) -> io::Result<Self> {
        party.stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(party.stream),
            rest: party.unread,
            writable: true,
        })
    }

    /// The socket, to register it.
    pub fn source(&mut self) -> &mut impl Source {
        &mut self.stream
    }

    /// The socket takes bytes again.
    pub fn set_writable(&mut self) {
        self.writable = true;
    }

    /// Whether the socket may take bytes.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Reads all there is, and hands the bytes of each read to `take`, behind
    /// those that it has not taken before: it returns how many it is done with.
    pub fn read(
        &mut self,
        scratch: &mut Scratch,
        mut take: impl FnMut(&[u8]) -> Result<usize, Broken>,
    ) -> Result<(), Broken> {
        let scratch = &mut scratch.0;
        let mut held = self.rest.len();
        if scratch.len() < held + READ_BYTES {
            scratch.resize(held + READ_BYTES, 0);
        }
        scratch[..held].copy_from_slice(&self.rest);
        self.rest.clear();
        let ended = loop {
            match self.stream.read(&mut scratch[held..]) {
                Ok(0) => break Err(Broken::Closed),
                Ok(bytes) => {
                    held += bytes;
                    match take(&scratch[..held]) {
                        Ok(taken) => {
                            scratch.copy_within(taken..held, 0);
                            held -= taken;
                        }
                        Err(error) => break Err(error),
                    }
                    if held == scratch.len() {
                        scratch.resize(held + READ_BYTES, 0);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error.into()),
            }
        };
        self.rest.extend_from_slice(&scratch[..held]);
        ended
    }

    /// Reads one byte, if there is one.
    pub fn read_byte(&mut self) -> Result<(), Broken> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Err(Broken::Closed),
            Ok(_) => {
                self.rest.extend_from_slice(&byte);
                Ok(())
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes once from `bytes`, and returns how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }
}

/// The place up to which a stream has been written, round after round, and up to
/// which it may be.
#[derive(Debug)]
pub struct Cursor<'a> {
    stream: &'a Stream,
    /// Bytes written of all rounds.
    written: u64,
    /// Bytes that may be written.
    limit: u64,
    /// The place in the round's bytes where it goes on.
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Nothing is written of `stream`, and nothing may be.
    pub fn new(stream: &'a Stream) -> Self {
        Self {
            stream,
            written: 0,
            limit: 0,
            offset: 0,
        }
    }

    /// So many messages may be written in all.
    pub fn allow(&mut self, messages: u64) {
        self.limit = self.stream.bytes_of(messages);
    }

    /// Any number of messages may be written.
    pub fn allow_all(&mut self) {
        self.limit = u64::MAX;
    }

    /// No message may be begun any more.
    pub fn end(&mut self) {
        let begun = self.stream.messages_before(self.written);
        self.limit = self.limit.min(self.stream.bytes_of(begun));
    }

    /// Bytes that may be written now.
    pub fn left(&self) -> u64 {
        self.limit - self.written
    }

    /// Messages that have been begun.
    pub fn messages(&self) -> u64 {
        self.stream.messages_before(self.written)
    }

    /// Bytes that are left of the message that has been begun: a server waits for
    /// them only so long.
    pub fn left_of_message(&self) -> u64 {
        self.stream.bytes_of(self.messages()) - self.written
    }

    /// Bytes to the end of the message that is written next, or goes on.
    pub fn left_of_next(&self) -> u64 {
        let messages = self.stream.messages_before(self.written + 1);
        self.stream.bytes_of(messages) - self.written
    }

    /// Writes once to `connection`, `room` bytes at most, and returns how many it
    /// took.
    pub fn write(&mut self, connection: &mut Connection, room: u64) -> io::Result<u64> {
        let most = self.left().min(room).min(WRITE_BYTES as u64) as usize;
        let end = (self.offset + most).min(self.stream.bytes.len());
        let taken = connection.write(&self.stream.bytes[self.offset..end])?;
        self.written += taken as u64;
        self.offset += taken;
        if self.offset == self.stream.bytes.len() {
            self.offset = 0;
        }
        Ok(taken as u64)
    }
}
