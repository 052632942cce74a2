//! What one connection writes, and in which order: the rest of a frame that is
//! partly written, then answers, then what is addressed to its names and
//! broadcasts, in turns.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::answers::Answers;
use super::claim::Claim;
use super::conflation::{ConflatingLane, Taken};
use super::in_flight::{InFlight, Slices, Write};
use super::outbox::{Delivery, NotOwner};
use super::peer::Peer;
use super::queue::Entry;
use super::run_bytes::RunBytes;
use super::snapshots::KeptFrame;
use super::subscriptions::Keys;

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
    /// What is being written of a conflating lane.
    conflated: Taken,
    /// Messages that were replaced while others were being written.
    replaced: u64,
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
                Some(claim) => claim.take(),
                None => self.take_broadcast(peer),
            };
            if run.is_some() {
                self.turn = lane + 1;
                return run;
            }
        }
        None
    }

    /// Takes the next run of broadcasts whole.
    fn take_broadcast(&mut self, peer: &Peer) -> Option<Bytes> {
        if let Some(entry) = self.broadcasts.pop(&peer.broadcasts) {
            let (frames, charge) = (entry.frames as usize, entry.charge);
            peer.release(frames, charge);
            return Some(entry.bytes.into());
        }
        let taken = self.conflated.take_one(peer.conflating_lane()?);
        peer.release_share();
        taken
    }

    // ---- snapshots ----

    /// Has what is queued for everyone written before what comes now.
    pub(crate) fn take_broadcasts(&mut self, peer: &Peer) {
        self.broadcasts.fill_whole(&peer.broadcasts);
    }

    /// The connection hears no more broadcasts: what was taken and is not begun
    /// is gone.
    pub(crate) fn forget_broadcasts(&mut self) {
        self.broadcasts.forget();
    }

    /// How many runs of broadcasts were taken out of their queue, or wait in a
    /// lane whose messages are counted one by one.
    pub(crate) fn waiting(&self, peer: &Peer) -> usize {
        let in_lane = peer.conflating_lane().map_or(0, ConflatingLane::waiting);
        self.broadcasts.len() + in_lane
    }

    /// Adds a message of a snapshot behind the broadcasts that were taken. It
    /// takes no room in their queue.
    pub(crate) fn add_snapshot(&mut self, peer: &Peer, frame: KeptFrame, keys: &Keys) {
        let bytes = RunBytes::Kept(frame, 0);
        match peer.conflating_lane() {
            Some(lane) => {
                lane.push_snapshot(bytes, keys);
            }
            None => self.broadcasts.push(Entry {
                bytes,
                frames: 0,
                order: 0,
                charge: 0,
                origin: None,
            }),
        }
    }

    /// How many messages were replaced while others were being written, since
    /// this was last asked.
    pub(crate) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// Gives back what an idle connection doesn't need.
    pub(crate) fn shrink(&mut self, claims: &[Claim]) {
        for claim in claims {
            claim.shrink();
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
        let written = self.write_lanes(answers, claims, peer, write);
        if let Some(lane) = peer.conflating_lane() {
            // What waits may be replaced until it is begun.
            self.replaced += self.conflated.give_back(lane);
        }
        written
    }

    fn write_lanes(
        &mut self,
        answers: &mut Answers,
        claims: &[Claim],
        peer: &Peer,
        write: Write<'_>,
    ) -> io::Result<Option<usize>> {
        if let Some(bytes) = self.finish_frame(peer, write)? {
            return Ok(Some(bytes));
        }
        let count = claims.len() + 1;
        let ahead = answers.unwritten().len();
        let first = self.turn;
        let mut lanes = Lanes::default();
        let mut broadcasts = Some((&mut self.broadcasts, &mut self.conflated));
        for index in (0..count).map(|step| (first + step) % count) {
            let lane = match claims.get(index) {
                Some(claim) => Lane::of_mail(claim, lanes.is_empty()),
                None => broadcasts
                    .take()
                    .and_then(|(own, conflated)| Lane::of_broadcasts(own, conflated, peer)),
            };
            if let Some(lane) = lane {
                if lanes.is_empty() {
                    self.turn = index + 1;
                }
                if !lanes.push(lane) {
                    break;
                }
            }
        }
        if ahead == 0 && lanes.is_empty() {
            return Ok(None);
        }
        let written = lanes.write(answers.unwritten(), write)?;
        Ok(written.map(|written| {
            answers.advance(written.bytes.min(ahead));
            self.partial = written.partial;
            written.bytes
        }))
    }

    /// Goes on with the frame that is partly written, if one is.
    fn finish_frame(&mut self, peer: &Peer, write: Write<'_>) -> io::Result<Option<usize>> {
        if self.broadcasts.is_partial() {
            let mut lanes = Lanes::default();
            lanes.push(Lane::Broadcasts(&mut self.broadcasts, peer));
            let written = lanes.write(&[], write)?;
            return Ok(written.map(|written| written.bytes));
        }
        if self.conflated.is_partial()
            && let Some(lane) = peer.conflating_lane()
        {
            let mut lanes = Lanes::default();
            lanes.push(Lane::Conflated(&mut self.conflated, lane, peer));
            let written = lanes.write(&[], write)?;
            return Ok(written.map(|written| written.bytes));
        }
        if let Some(claim) = self.partial.take() {
            match finish_mail(&claim, write) {
                Ok(Ok(written)) => {
                    let written = written.unwrap_or_default();
                    self.partial = written.partial;
                    return Ok(Some(written.bytes));
                }
                Ok(Err(error)) => {
                    self.partial = Some(claim);
                    return Err(error);
                }
                Err(NotOwner) => self.unfinished = peer.take_unfinished(),
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
}

fn finish_mail(claim: &Claim, write: Write<'_>) -> Result<io::Result<Option<Written>>, NotOwner> {
    let mut lanes = Lanes::default();
    lanes.push(Lane::Mail(claim, claim.deliver()?));
    Ok(lanes.write(&[], write))
}

/// Lanes that one write takes from.
const LANES_AT_ONCE: usize = 8;

/// What one write takes from: the first lane first, until it has enough.
#[derive(Debug, Default)]
struct Lanes<'a>(SmallVec<[Lane<'a>; LANES_AT_ONCE]>);

/// Where what is to be written comes from.
#[derive(Debug)]
enum Lane<'a> {
    /// What is addressed to a name.
    Mail(&'a Claim, Delivery<'a>),
    /// What is for everyone.
    Broadcasts(&'a mut InFlight, &'a Peer),
    /// The same, of which newer messages replace older ones.
    Conflated(&'a mut Taken, &'a ConflatingLane, &'a Peer),
}

/// What a write came to.
#[derive(Debug, Default)]
struct Written {
    bytes: usize,
    /// The name of whose mail a run is partly written.
    partial: Option<Claim>,
}

impl<'a> Lane<'a> {
    /// What is addressed to a name, if anything is and the name wasn't lost. The
    /// first lane of a write waits for whoever else is at the name; others are
    /// left for the next write if somebody is ([`Claim::try_deliver`]), which
    /// there will be, for this one has something to write.
    fn of_mail(claim: &'a Claim, is_first: bool) -> Option<Self> {
        if !claim.outbox.has_mail() {
            return None;
        }
        let delivery = match is_first {
            true => claim.deliver(),
            false => claim.try_deliver()?,
        };
        // What is about to be queued will be announced.
        let delivery = delivery.ok().filter(|delivery| !delivery.is_empty())?;
        Some(Self::Mail(claim, delivery))
    }

    /// What is for everyone. What was queued before the connection had a
    /// conflating lane comes before what is there.
    fn of_broadcasts(
        in_flight: &'a mut InFlight,
        conflated: &'a mut Taken,
        peer: &'a Peer,
    ) -> Option<Self> {
        in_flight.fill(&peer.broadcasts);
        if !in_flight.is_empty() {
            return Some(Self::Broadcasts(in_flight, peer));
        }
        let lane = peer.conflating_lane()?;
        conflated.fill(lane);
        (!conflated.is_empty()).then_some(Self::Conflated(conflated, lane, peer))
    }

    fn offer<'s>(&'s self, slices: &mut Slices<'s>) -> usize {
        match self {
            Self::Mail(_, delivery) => delivery.offer(slices),
            Self::Broadcasts(in_flight, _) => in_flight.offer(slices),
            Self::Conflated(taken, ..) => taken.offer(slices),
        }
    }

    /// `bytes` were written. Gives the name of whose mail a run is partly
    /// written.
    fn advance(&mut self, bytes: usize) -> Option<Claim> {
        match self {
            Self::Mail(claim, delivery) => delivery.advance(bytes).then(|| claim.clone()),
            Self::Broadcasts(in_flight, peer) => {
                let (frames, charge) = in_flight.advance(bytes);
                peer.release(frames, charge);
                None
            }
            Self::Conflated(taken, lane, peer) => {
                taken.advance(bytes, lane);
                peer.release_share();
                None
            }
        }
    }
}

impl<'a> Lanes<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a lane behind the others. Says whether there is room for another.
    fn push(&mut self, lane: Lane<'a>) -> bool {
        self.0.push(lane);
        self.0.len() < LANES_AT_ONCE
    }

    /// Offers `ahead`, and then the lanes, to `write` once, and accounts for
    /// what it took. Without anything to write, nothing is offered.
    fn write(&mut self, ahead: &[u8], write: Write<'_>) -> io::Result<Option<Written>> {
        let mut offered = [0; LANES_AT_ONCE];
        let bytes = {
            let mut slices = Slices::default();
            slices.push(ahead);
            for (lane, offered) in self.0.iter().zip(&mut offered) {
                *offered = lane.offer(&mut slices);
            }
            if slices.as_slice().is_empty() {
                return Ok(None);
            }
            write(slices.as_slice())?
        };
        let mut written = Written {
            bytes,
            partial: None,
        };
        let mut left = written.bytes.saturating_sub(ahead.len());
        for (lane, offered) in self.0.iter_mut().zip(offered) {
            let own = left.min(offered);
            left -= own;
            // Only where the write ended can a run be partly written.
            written.partial = written.partial.or(lane.advance(own));
        }
        Ok(Some(written))
    }
}
