//! The sources of one write: the mail of names, and broadcasts.

use std::io;

use smallvec::SmallVec;

use crate::router::broadcast::{BroadcastReceiver, ConflatedInFlight, ConflatedQueue};
use crate::router::mailbox::flow_window::{self, Ahead, Window};
use crate::router::mailbox::{Claim, Delivery, InFlight, NotOwner, Slices, Write};

pub(super) const SOURCES_AT_ONCE: usize = 8;

/// The sources of one write: the first source first, until the write has enough.
pub(super) type WriteSources<'a> = SmallVec<[WriteSource<'a>; SOURCES_AT_ONCE]>;

#[derive(Debug)]
pub(super) enum WriteSource<'a> {
    Mail(&'a Claim, Delivery<'a>),
    Broadcasts(&'a mut InFlight, &'a BroadcastReceiver),
    /// Broadcasts of which newer ones replace older ones.
    Conflated(
        &'a mut ConflatedInFlight,
        &'a ConflatedQueue,
        &'a BroadcastReceiver,
    ),
}

#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) bytes: usize,
    /// The name with a run that is partly written.
    pub(super) partial: Option<Claim>,
    /// Messages that were begun, counted only under a window.
    begun: usize,
}

/// Writes the rest of a run of a name that is partly written.
pub(super) fn finish_mail(
    claim: &Claim,
    room: Option<usize>,
    write: Write<'_>,
) -> Result<io::Result<Option<Written>>, NotOwner> {
    let source = WriteSource::Mail(claim, claim.deliver()?);
    Ok(write_once(&mut [source], &[], room, write))
}

impl Written {
    /// Counts the begun messages in the window, if there is one.
    #[inline]
    pub(super) fn count_in(self, window: &mut Option<Window>) -> Self {
        if let Some(window) = window {
            window.hand(self.begun);
        }
        self
    }
}

impl<'a> WriteSource<'a> {
    /// Returns the mail of a name, if there is any and the name wasn't lost. The
    /// first source of a write waits while another thread is at the mailbox; a further
    /// one is left out ([`Claim::try_deliver`]). The next write takes it: where a first
    /// source has something to write, another write follows.
    pub(super) fn of_mail(claim: &'a Claim, is_first: bool, room: Option<usize>) -> Option<Self> {
        if !claim.mailbox.has_mail() {
            return None;
        }
        let delivery = match is_first {
            true => claim.deliver_within(room),
            false => claim.try_deliver()?,
        };
        // A message that is just being queued wakes the connection.
        let delivery = delivery
            .ok()
            .filter(|delivery| !delivery.in_flight.is_empty())?;
        Some(Self::Mail(claim, delivery))
    }

    /// Returns the broadcasts, if any: first those queued before it conflated.
    pub(super) fn of_broadcasts(
        in_flight: &'a mut InFlight,
        conflated: &'a mut ConflatedInFlight,
        receiver: &'a BroadcastReceiver,
    ) -> Option<Self> {
        in_flight.fill(&receiver.queue);
        if !in_flight.is_empty() {
            return Some(Self::Broadcasts(in_flight, receiver));
        }
        let queue = receiver.conflated_queue()?;
        conflated.fill(queue);
        (!conflated.is_empty()).then_some(Self::Conflated(conflated, queue, receiver))
    }

    /// Returns the broadcasts that are partly written, if any are.
    pub(super) fn of_partial_broadcasts(
        in_flight: &'a mut InFlight,
        conflated: &'a mut ConflatedInFlight,
        receiver: &'a BroadcastReceiver,
    ) -> Option<Self> {
        if in_flight.is_partial() {
            return Some(Self::Broadcasts(in_flight, receiver));
        }
        if !conflated.is_partial() {
            return None;
        }
        let queue = receiver.conflated_queue()?;
        Some(Self::Conflated(conflated, queue, receiver))
    }

    /// Offers bytes, at most `room` messages beyond a begun one. Returns their number.
    fn offer<'s>(&'s self, slices: &mut Slices<'s>, room: Option<usize>) -> usize {
        let within = |room| self.count(|ahead| flow_window::bytes_within(ahead, room));
        let bytes_max = room.map_or(usize::MAX, within);
        match self {
            Self::Mail(_, delivery) => delivery.in_flight.offer(slices, bytes_max),
            Self::Broadcasts(in_flight, _) => in_flight.offer(slices, bytes_max),
            Self::Conflated(taken, ..) => taken.offer(slices, bytes_max),
        }
    }

    /// Counts something of the frames that are to be written, for a window.
    #[cold]
    fn count(&self, of: impl FnOnce(&mut dyn Iterator<Item = Ahead>) -> usize) -> usize {
        match self {
            Self::Mail(_, delivery) => of(&mut delivery.in_flight.ahead()),
            Self::Broadcasts(in_flight, _) => of(&mut in_flight.ahead()),
            Self::Conflated(taken, ..) => of(&mut taken.ahead()),
        }
    }

    /// Cuts a run behind its partly written frame. Returns the name of that, if mail.
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

    /// Notes written bytes. Returns the name, if a run of mail is now partly written.
    fn advance(&mut self, bytes: usize) -> Option<Claim> {
        match self {
            Self::Mail(claim, delivery) => delivery.advance(bytes).then(|| claim.clone()),
            Self::Broadcasts(in_flight, receiver) => {
                let (frames, charge) = in_flight.advance(bytes);
                receiver.release(frames, charge);
                None
            }
            Self::Conflated(taken, queue, receiver) => {
                taken.advance(bytes, queue);
                receiver.release_share();
                None
            }
        }
    }
}

/// Offers `ahead`, and then the sources, to `write` once, and accounts for the
/// bytes it took. Returns `None` if there is nothing to offer. Where only
/// `room` messages may be begun, there is one source at most.
pub(super) fn write_once(
    sources: &mut [WriteSource<'_>],
    ahead: &[u8],
    room: Option<usize>,
    write: Write<'_>,
) -> io::Result<Option<Written>> {
    let mut offered = [0; SOURCES_AT_ONCE];
    let bytes = {
        let mut slices = Slices::default();
        slices.push(ahead);
        for (source, offered) in sources.iter().zip(&mut offered) {
            *offered = source.offer(&mut slices, room);
        }
        if slices.0.is_empty() {
            return Ok(None);
        }
        write(&slices.0)?
    };
    let mut written = Written {
        bytes,
        ..Written::default()
    };
    let mut left = written.bytes.saturating_sub(ahead.len());
    for (source, offered) in sources.iter_mut().zip(offered) {
        let own = left.min(offered);
        left -= own;
        if room.is_some() {
            written.begun += source.count(|ahead| flow_window::begun_by(ahead, own));
            source.advance(own);
            written.partial = source.cut();
            continue;
        }
        // A run can be partly written only at the place where the write ended.
        written.partial = written.partial.or(source.advance(own));
    }
    Ok(Some(written))
}
