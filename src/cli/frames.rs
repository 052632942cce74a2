//! Frames out of a blocking stream.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use tickwire::limits::{FRAME_BYTES_MAX_MAX, FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};
use tickwire::wire::{FrameError, FrameState, frame_state, write_frame};

/// Returns whether a read ended because its time was up.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The reason why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Frames out of a stream of bytes.
#[derive(Debug)]
pub struct Frames<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The start of the unread bytes.
    begin: usize,
    /// Their end.
    end: usize,
    /// Frames that were read before somebody wanted them.
    early: VecDeque<Vec<u8>>,
    current: Vec<u8>,
    /// The last read got less than there was room for.
    emptied: bool,
}

impl<R: Read> Frames<R> {
    /// The frames of `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; READ_BUFFER_BYTES],
            begin: 0,
            end: 0,
            early: VecDeque::new(),
            current: Vec::new(),
            emptied: false,
        }
    }

    /// Gives `frames` again before all others.
    pub fn put_back(&mut self, frames: Vec<Vec<u8>>) {
        self.early.extend(frames);
    }

    /// Returns the bytes read and not given yet: frames with their prefixes, the
    /// last of them perhaps in part.
    pub fn into_unread(self) -> Vec<u8> {
        let mut unread = Vec::new();
        for frame in &self.early {
            write_frame(&mut unread, frame).expect("it was a frame before");
        }
        unread.extend_from_slice(&self.buffer[self.begin..self.end]);
        unread
    }

    /// Returns the next frame without its prefix, or `None` at the end of the
    /// stream, in the middle of a frame or not. After a timeout it can be called
    /// again.
    #[cfg(test)]
    pub fn next(&mut self) -> Result<Option<&[u8]>, FramesError> {
        while self.is_drained()? {
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        Ok(self.next_at_hand()?)
    }

    /// Returns the next frame if all of it is at hand.
    #[inline]
    pub fn next_at_hand(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(frame) = self.early.pop_front() {
            self.current = frame;
            return Ok(Some(&self.current));
        }
        // The limit of any server: memory follows the bytes, not the prefix.
        match frame_state(&self.buffer[self.begin..self.end], FRAME_BYTES_MAX_MAX)? {
            FrameState::Complete { len } => {
                let start = self.begin + FRAME_PREFIX_BYTES;
                self.begin = start + len;
                Ok(Some(&self.buffer[start..start + len]))
            }
            FrameState::Partial { .. } => Ok(None),
        }
    }

    /// Returns whether no whole frame is at hand, so that a reader has to wait.
    pub fn is_drained(&self) -> Result<bool, FrameError> {
        let unread = &self.buffer[self.begin..self.end];
        Ok(self.early.is_empty()
            && matches!(
                frame_state(unread, FRAME_BYTES_MAX_MAX)?,
                FrameState::Partial { .. }
            ))
    }

    /// Returns whether the last read left nothing that had come by then.
    pub fn has_read_all(&self) -> bool {
        self.emptied
    }

    /// Reads once. Returns the bytes read, 0 at the end of the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        self.emptied = true;
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        self.emptied = self.end < self.buffer.len();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut bytes = Vec::new();
        let long = vec![b'x'; 3 * READ_BUFFER_BYTES];
        for frame in [b"{}".as_slice(), &long, b"{\"a\":1}"] {
            write_frame(&mut bytes, frame).unwrap();
        }
        let mut frames = Frames::new(bytes.as_slice());
        assert_eq!(frames.next().unwrap(), Some(b"{}".as_slice()));
        assert_eq!(frames.next().unwrap(), Some(long.as_slice()));
        assert!(!frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), Some(b"{\"a\":1}".as_slice()));
        assert!(frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), None);
    }

    #[test]
    fn frames_that_were_put_back_come_first() {
        let mut frames = Frames::new(b"\0\0\0\x02{}".as_slice());
        frames.put_back(vec![b"{1}".to_vec()]);
        assert!(!frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), Some(b"{1}".as_slice()));
        assert_eq!(frames.next().unwrap(), Some(b"{}".as_slice()));
    }

    #[test]
    fn what_is_unread_can_be_taken_over() {
        let mut frames = Frames::new(b"\0\0\0\x02{}\0\0\0\x03{".as_slice());
        frames.fill().unwrap();
        frames.put_back(vec![b"{1}".to_vec()]);
        let unread = frames.into_unread();
        assert_eq!(unread, b"\0\0\0\x03{1}\0\0\0\x02{}\0\0\0\x03{");
    }
}
