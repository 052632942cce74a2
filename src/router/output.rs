//! What one connection writes, and in which order: the rest of a frame that is
//! partly written, then answers, then what is addressed to its names and
//! broadcasts, in turns.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::answers::Answers;
use super::in_flight::{InFlight, Write};
use super::peer::Peer;
use super::registry::Claim;

/// How far the output got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to write.
    Idle,
    /// The socket takes no more for now.
    Blocked,
    /// The budget is used up; there is more.
    More,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The rest of a frame that was begun for a name that was lost.
    unfinished: Option<Bytes>,
    /// The name whose first run is partly written.
    partial: Option<Claim>,
    broadcasts: InFlight,
    /// Which lane comes next, so that none starves another.
    turn: usize,
}

impl Output {
    /// Writes until nothing is left, `write` would block, or `budget` bytes
    /// are written. Says how many were.
    ///
    /// # Errors
    /// What `write` says, but for `WouldBlock` and `Interrupted`.
    pub(crate) fn transmit(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        peer: &Peer,
        budget: usize,
        write: Write<'_>,
    ) -> io::Result<(usize, Progress)> {
        let mut total = 0;
        while total < budget {
            match self.write_once(answers, claims, peer, write) {
                Ok(None) => return Ok((total, Progress::Idle)),
                Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Some(bytes)) => total += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((total, Progress::Blocked));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((total, Progress::More))
    }

    /// Takes the next run of frames whole: how a peer inside the process
    /// receives.
    pub(crate) fn take(&mut self, claims: &[Claim], peer: &Peer) -> Option<Bytes> {
        let lanes = claims.len() + 1;
        let first = self.turn;
        for lane in (0..lanes).map(|step| (first + step) % lanes) {
            let run = match claims.get(lane) {
                Some(claim) => claim.outbox.take(claim.epoch).ok().flatten(),
                None => peer.take_broadcasts(),
            };
            if run.is_some() {
                self.turn = lane + 1;
                return run;
            }
        }
        None
    }

    /// Gives back what an idle connection doesn't need.
    pub(crate) fn shrink(&mut self, claims: &[Claim]) {
        for claim in claims {
            claim.outbox.shrink(claim.epoch);
        }
        self.broadcasts.shrink();
    }

    /// One write of what comes next; `None` if there is nothing.
    fn write_once(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        peer: &Peer,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        if let Some(bytes) = self.finish_frame(peer, write)? {
            return Ok(Some(bytes));
        }
        let ahead = answers.unwritten().len();
        let lanes = claims.len() + 1;
        let first = self.turn;
        for lane in (0..lanes).map(|step| (first + step) % lanes) {
            let bytes = match claims.get(lane) {
                Some(claim) => self.write_mail(claim, answers.unwritten(), write)?,
                None => self.write_broadcasts(peer, answers.unwritten(), write)?,
            };
            if bytes > 0 {
                self.turn = lane + 1;
                answers.advance(bytes.min(ahead));
                return Ok(Some(bytes));
            }
        }
        if ahead == 0 {
            return Ok(None);
        }
        let bytes = write(&[IoSlice::new(answers.unwritten())])?;
        answers.advance(bytes);
        Ok(Some(bytes))
    }

    /// Goes on with the frame that is partly written, if one is.
    fn finish_frame(&mut self, peer: &Peer, write: Write<'_>) -> io::Result<Option<usize>> {
        if self.broadcasts.is_partial() {
            return self.write_broadcasts(peer, &[], write).map(Some);
        }
        if let Some(claim) = &self.partial {
            match claim.outbox.deliver(claim.epoch, &[], write) {
                Ok(delivered) => {
                    let (bytes, partial) = delivered?;
                    if !partial {
                        self.partial = None;
                    }
                    return Ok(Some(bytes));
                }
                Err(_) => {
                    self.partial = None;
                    self.unfinished = peer.take_unfinished();
                }
            }
        }
        let Some(rest) = &mut self.unfinished else {
            return Ok(None);
        };
        let bytes = write(&[IoSlice::new(rest)])?;
        rest.advance(bytes);
        if rest.is_empty() {
            self.unfinished = None;
        }
        Ok(Some(bytes))
    }

    /// Writes `ahead` and what is addressed to one name; nothing at all if no
    /// mail waits.
    fn write_mail(&mut self, claim: &Claim, ahead: &[u8], write: Write<'_>) -> io::Result<usize> {
        if !claim.outbox.has_mail() {
            return Ok(0);
        }
        // Who lost the name has nothing to write for it.
        let Ok(delivered) = claim.outbox.deliver(claim.epoch, ahead, write) else {
            return Ok(0);
        };
        let (bytes, partial) = delivered?;
        if partial {
            self.partial = Some(claim.clone());
        }
        Ok(bytes)
    }

    /// Writes `ahead` and broadcasts; nothing at all if none waits.
    fn write_broadcasts(
        &mut self,
        peer: &Peer,
        ahead: &[u8],
        write: Write<'_>,
    ) -> io::Result<usize> {
        if self.broadcasts.is_empty() && peer.broadcasts.is_empty() {
            return Ok(0);
        }
        let written = self.broadcasts.write(&peer.broadcasts, ahead, write)?;
        peer.broadcasts.release(written.frames, written.charge);
        Ok(written.bytes)
    }
}
