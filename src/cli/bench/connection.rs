//! One connection of a load, without blocking: frames in, a lane out.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::net::TcpStream;
use tickwire::limits::{FRAME_BYTES_MAX_MAX, FRAME_PREFIX_BYTES, WINDOW_BYTES};
use tickwire::wire::{FrameError, FrameState, frame_state};

use super::load::Lane;
use crate::cli::peer::Peer;

/// Bytes read at once: larger than a server's window, so that reading costs
/// less than being read from.
const READ_BYTES: usize = 4 * WINDOW_BYTES;
/// Bytes written at once.
const WRITE_BYTES: usize = WINDOW_BYTES;

/// A socket and what is left of a frame that has come in part.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
    /// Whether the socket may take bytes, as far as is known.
    writable: bool,
}

/// Why a connection is of no more use.
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
    /// Goes on with the connection of `peer`.
    pub fn new(peer: Peer) -> io::Result<Self> {
        peer.stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(peer.stream),
            rest: peer.frames.into_unread(),
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

    /// Reads all there is, and calls `take` with the frames of each read, which
    /// it must take all. Whether there were bytes.
    pub fn read(
        &mut self,
        scratch: &mut Scratch,
        mut take: impl FnMut(&mut Frames<'_>),
    ) -> Result<bool, Broken> {
        let scratch = &mut scratch.0;
        let mut held = self.rest.len();
        if scratch.len() < held + READ_BYTES {
            scratch.resize(held + READ_BYTES, 0);
        }
        scratch[..held].copy_from_slice(&self.rest);
        self.rest.clear();
        let mut any = false;
        let ended = loop {
            match self.stream.read(&mut scratch[held..]) {
                Ok(0) => break Err(Broken::Closed),
                Ok(bytes) => {
                    any = true;
                    held += bytes;
                    let mut frames = Frames::of(&scratch[..held]);
                    take(&mut frames);
                    let Frames { at, lost, .. } = frames;
                    scratch.copy_within(at..held, 0);
                    held -= at;
                    if let Some(error) = lost {
                        break Err(error.into());
                    }
                    if held == scratch.len() {
                        scratch.resize(held + READ_BYTES, 0);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(any),
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

    /// Writes once of `bytes`; how many were taken.
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

/// The whole frames at the front of what was read, each without its prefix.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    /// Where the next one begins.
    at: usize,
    lost: Option<FrameError>,
}

impl<'a> Frames<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            lost: None,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match frame_state(&self.bytes[self.at..], FRAME_BYTES_MAX_MAX) {
            Ok(FrameState::Complete { len }) => {
                let start = self.at + FRAME_PREFIX_BYTES;
                self.at = start + len;
                Some(&self.bytes[start..self.at])
            }
            Ok(FrameState::Partial { .. }) => None,
            Err(error) => {
                self.lost = Some(error);
                None
            }
        }
    }
}

/// How far a lane has been written, round after round, and how far it may be.
#[derive(Debug)]
pub struct Pen<'a> {
    lane: &'a Lane,
    /// Bytes written of all rounds.
    written: u64,
    /// Bytes that may be written.
    limit: u64,
    /// Where in the lane's bytes it goes on.
    offset: usize,
}

impl<'a> Pen<'a> {
    /// Nothing is written of `lane`, and nothing may be.
    pub fn new(lane: &'a Lane) -> Self {
        Self {
            lane,
            written: 0,
            limit: 0,
            offset: 0,
        }
    }

    /// As many messages may be written in all.
    pub fn allow(&mut self, messages: u64) {
        self.limit = self.lane.bytes_of(messages);
    }

    /// Any number of messages may be written.
    pub fn allow_all(&mut self) {
        self.limit = u64::MAX;
    }

    /// No message may be begun any more.
    pub fn end(&mut self) {
        let begun = self.lane.messages_before(self.written);
        self.limit = self.limit.min(self.lane.bytes_of(begun));
    }

    /// Bytes that may be written now.
    pub fn left(&self) -> u64 {
        self.limit - self.written
    }

    /// Messages that have been begun.
    pub fn messages(&self) -> u64 {
        self.lane.messages_before(self.written)
    }

    /// Bytes of the message that has been begun and are still to be written: a
    /// server waits for them only so long.
    pub fn left_of_message(&self) -> u64 {
        self.lane.bytes_of(self.messages()) - self.written
    }

    /// Writes once to `connection`, `room` bytes at most; how many it took.
    pub fn write(&mut self, connection: &mut Connection, room: u64) -> io::Result<u64> {
        let most = self.left().min(room).min(WRITE_BYTES as u64) as usize;
        let end = (self.offset + most).min(self.lane.bytes.len());
        let taken = connection.write(&self.lane.bytes[self.offset..end])?;
        self.written += taken as u64;
        self.offset += taken;
        if self.offset == self.lane.bytes.len() {
            self.offset = 0;
        }
        Ok(taken as u64)
    }
}
