//! Counting the answers that come back to a sender.

use std::io::Read;
use std::net::TcpStream;

use memchr::memmem::Finder;

use super::{READ_BYTES, broken};
use crate::protocol::{Answers, for_each_frame};

/// Counts answers of one kind.
#[derive(Debug)]
pub struct AnswerCount {
    answers: Answers,
    ids_key: Finder<'static>,
    /// The length of the last frame that was seen to be an ack.
    ack_bytes: usize,
    /// Messages answered.
    answered: u64,
}

impl AnswerCount {
    /// `None` if nothing comes back.
    pub fn new(answers: Answers) -> Option<Self> {
        (answers != Answers::None).then(|| Self {
            answers,
            ids_key: Finder::new(b"\"acknowledged_msg_ids\":["),
            ack_bytes: 0,
            answered: 0,
        })
    }

    /// Reads until there are as many as `total` says, which is everything until
    /// it is known. It is asked before each read; so whoever announces it must
    /// do so before the last answer can arrive.
    pub fn read(&mut self, mut stream: TcpStream, total: impl Fn() -> u64) -> Result<(), String> {
        let mut buffer = vec![0; READ_BYTES];
        let mut left = 0;
        while self.answered < total() {
            let read = stream
                .read(&mut buffer[left..])
                .map_err(|error| broken("reading answers", &error))?;
            if read == 0 {
                return Err("reading answers: the server closed the connection".to_owned());
            }
            let filled = left + read;
            let taken = self.take(&buffer[..filled])?;
            buffer.copy_within(taken..filled, 0);
            left = filled - taken;
        }
        if left == 0 && self.answered == total() {
            return Ok(());
        }
        Err("reading answers: there are more than messages".to_owned())
    }

    /// Counts what is complete, and returns how many bytes that is.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, String> {
        match &self.answers {
            Answers::None => Ok(bytes.len()),
            Answers::Fixed(answer) => {
                let mut taken = 0;
                for candidate in bytes.chunks_exact(answer.len()) {
                    if candidate != answer.as_slice() {
                        return Err(format!("it answers {:?}", text(candidate)));
                    }
                    taken += answer.len();
                    self.answered += 1;
                }
                Ok(taken)
            }
            Answers::Frames => for_each_frame(bytes, |frame| {
                if frame.len() != self.ack_bytes {
                    check_ack(frame)?;
                    self.ack_bytes = frame.len();
                }
                self.answered += 1;
                Ok(())
            }),
            Answers::Batches => for_each_frame(bytes, |frame| {
                check_ack(frame)?;
                self.answered += self.ids_of(frame);
                Ok(())
            }),
        }
    }

    /// How many ids a batch has. An ack without the list has one.
    fn ids_of(&self, frame: &[u8]) -> u64 {
        let Some(at) = self.ids_key.find(frame) else {
            return 1;
        };
        let ids = &frame[at + self.ids_key.needle().len()..];
        let end = memchr::memchr(b']', ids).unwrap_or(ids.len());
        memchr::memchr_iter(b'"', &ids[..end]).count() as u64 / 2
    }
}

fn check_ack(frame: &[u8]) -> Result<(), String> {
    let head = &frame[..frame.len().min(256)];
    match memchr::memmem::find(head, b"\"msg_type\":\"ack\"") {
        Some(_) => Ok(()),
        None => Err(format!("it answers {}", text(frame))),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}
