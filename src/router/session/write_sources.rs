//! What one write takes from: the mail of names, and broadcasts.

use std::io;

use smallvec::SmallVec;

use crate::router::broadcast::{BroadcastReceiver, ConflatedInFlight, ConflatedQueue};
use crate::router::mailbox::Claim;
use crate::router::mailbox::Delivery;
use crate::router::mailbox::NotOwner;
use crate::router::mailbox::flow_window::{self, Window};
use crate::router::mailbox::{InFlight, Slices, Write};

/// Goes on with the mail of a name whose first run is partly written.
pub(super) fn finish_mail(
    claim: &Claim,
    room: Option<usize>,
    write: Write<'_>,
) -> Result<io::Result<Option<Written>>, NotOwner> {
    let mut lanes = WriteSources::of(WriteSource::Mail(claim, claim.deliver()?));
    Ok(lanes.write(&[], room, write))
}

/// WriteSources that one write takes from.
pub(super) const SOURCES_AT_ONCE: usize = 8;

/// What one write takes from: the first lane first, until it has enough.
#[derive(Debug, Default)]
pub(super) struct WriteSources<'a>(SmallVec<[WriteSource<'a>; SOURCES_AT_ONCE]>);

/// Where what is to be written comes from.
#[derive(Debug)]
pub(super) enum WriteSource<'a> {
    /// What is addressed to a name.
    Mail(&'a Claim, Delivery<'a>),
    /// What is for everyone.
    Broadcasts(&'a mut InFlight, &'a BroadcastReceiver),
    /// The same, of which newer messages replace older ones.
    Conflated(
        &'a mut ConflatedInFlight,
        &'a ConflatedQueue,
        &'a BroadcastReceiver,
    ),
}

/// What a write came to.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: usize,
    /// The name of whose mail a run is partly written.
    pub(super) partial: Option<Claim>,
    /// Messages that were begun, where that is limited.
    handed: usize,
}

impl Written {
    /// Counts what was begun, where that is limited.
    #[inline]
    pub(super) fn count_in(self, window: &mut Option<Window>) -> Self {
        if let Some(window) = window {
            window.hand(self.handed);
        }
        self
    }
}

impl<'a> WriteSource<'a> {
    /// What is addressed to a name, if anything is and the name wasn't lost. The
    /// first lane of a write waits for whoever else is at the name; others are
    /// left for the next write if somebody is ([`Claim::try_deliver`]), which
    /// there will be, for this one has something to write.
    pub(super) fn of_mail(claim: &'a Claim, is_first: bool, room: Option<usize>) -> Option<Self> {
        if !claim.mailbox.has_mail() {
            return None;
        }
        let delivery = match is_first {
            true => claim.deliver_within(room),
            false => claim.try_deliver()?,
        };
        // What is about to be queued will be announced.
        let delivery = delivery.ok().filter(|delivery| !delivery.is_empty())?;
        Some(Self::Mail(claim, delivery))
    }

    /// What is for everyone. What was queued before the connection had a
    /// conflating lane comes before what is there.
    pub(super) fn of_broadcasts(
        in_flight: &'a mut InFlight,
        conflated: &'a mut ConflatedInFlight,
        receiver: &'a BroadcastReceiver,
    ) -> Option<Self> {
        in_flight.fill(&receiver.queue);
        if !in_flight.is_empty() {
            return Some(Self::Broadcasts(in_flight, receiver));
        }
        let lane = receiver.conflated_queue()?;
        conflated.fill(lane);
        (!conflated.is_empty()).then_some(Self::Conflated(conflated, lane, receiver))
    }

    /// Offers what is to be written, at most `room` messages of it beyond one
    /// that is begun.
    fn offer<'s>(&'s self, slices: &mut Slices<'s>, room: Option<usize>) -> usize {
        let most = room.map_or(usize::MAX, |room| self.bytes_within(room));
        match self {
            Self::Mail(_, delivery) => delivery.offer(slices, most),
            Self::Broadcasts(in_flight, _) => in_flight.offer(slices, most),
            Self::Conflated(taken, ..) => taken.offer(slices, most),
        }
    }

    #[cold]
    fn bytes_within(&self, room: usize) -> usize {
        match self {
            Self::Mail(_, delivery) => flow_window::bytes_within(delivery.ahead(), room),
            Self::Broadcasts(in_flight, _) => flow_window::bytes_within(in_flight.ahead(), room),
            Self::Conflated(taken, ..) => flow_window::bytes_within(taken.ahead(), room),
        }
    }

    /// The number of messages that are begun by writing `bytes`.
    #[cold]
    fn begun_by(&self, bytes: usize) -> usize {
        match self {
            Self::Mail(_, delivery) => flow_window::begun_by(delivery.ahead(), bytes),
            Self::Broadcasts(in_flight, _) => flow_window::begun_by(in_flight.ahead(), bytes),
            Self::Conflated(taken, ..) => flow_window::begun_by(taken.ahead(), bytes),
        }
    }

    /// Has what is partly written be so within a frame. Gives the name whose
    /// frame that is, if it is mail.
    #[cold]
    fn cut(&mut self) -> Option<Claim> {
        match self {
            Self::Mail(claim, delivery) => delivery.cut().then(|| claim.clone()),
            Self::Broadcasts(in_flight, receiver) => {
                let frames = in_flight.cut();
                receiver.release(frames, 0);
                None
            }
            Self::Conflated(..) => None,
        }
    }

    /// `bytes` were written. Gives the name of whose mail a run is partly
    /// written.
    fn advance(&mut self, bytes: usize) -> Option<Claim> {
        match self {
            Self::Mail(claim, delivery) => delivery.advance(bytes).then(|| claim.clone()),
            Self::Broadcasts(in_flight, receiver) => {
                let (frames, charge) = in_flight.advance(bytes);
                receiver.release(frames, charge);
                None
            }
            Self::Conflated(taken, lane, receiver) => {
                taken.advance(bytes, lane);
                receiver.release_share();
                None
            }
        }
    }
}

impl<'a> WriteSources<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a lane behind the others.
    pub(super) fn push(&mut self, lane: WriteSource<'a>) {
        self.0.push(lane);
    }

    /// One lane.
    pub(super) fn of(lane: WriteSource<'a>) -> Self {
        Self(smallvec::smallvec![lane])
    }

    /// Offers `ahead`, and then the lanes, to `write` once, and accounts for
    /// what it took. Without anything to write, nothing is offered. Where only
    /// `room` messages may be begun, there is one lane at most.
    pub(super) fn write(
        &mut self,
        ahead: &[u8],
        room: Option<usize>,
        write: Write<'_>,
    ) -> io::Result<Option<Written>> {
        let mut offered = [0; SOURCES_AT_ONCE];
        let bytes = {
            let mut slices = Slices::default();
            slices.push(ahead);
            for (lane, offered) in self.0.iter().zip(&mut offered) {
                *offered = lane.offer(&mut slices, room);
            }
            if slices.as_slice().is_empty() {
                return Ok(None);
            }
            write(slices.as_slice())?
        };
        let mut written = Written {
            bytes,
            ..Written::default()
        };
        let mut left = written.bytes.saturating_sub(ahead.len());
        for (lane, offered) in self.0.iter_mut().zip(offered) {
            let own = left.min(offered);
            left -= own;
            if room.is_some() {
                written.handed += lane.begun_by(own);
                lane.advance(own);
                written.partial = lane.cut();
                continue;
            }
            // Only where the write ended can a run be partly written.
            written.partial = written.partial.or(lane.advance(own));
        }
        Ok(Some(written))
    }
}
