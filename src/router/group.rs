//! A name that several connections share: one queue, and for each member a
//! *seat* with what it has taken from there.
//!
//! A member takes up to [`GROUP_TAKE_BYTES`] when it has written what it took
//! before, so a slow one takes less. What it has not begun to write goes back
//! when it leaves. With a *key*, messages with equal values at that pointer go
//! to the same member, as long as no member joins or leaves.
//!
//! Locks are taken in this order: a seat, the group, the queue's consumer. The
//! last two are never held across a write.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::in_flight::InFlight;
use super::peer::{Peer, lock};
use super::queue::{Entry, Queue};
use super::run_bytes::RunBytes;
use crate::limits::{FRAME_PREFIX_BYTES, GROUP_SORT_BYTES, GROUP_TAKE_BYTES};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::wire;
use crate::wire::filter::{Field, Finite, Pointer, Probe, Value, Values};

/// A member's place in a group.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) peer: Arc<Peer>,
    pub(super) in_flight: Mutex<InFlight>,
    /// Changes under the lock of what is in flight.
    left: AtomicBool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Group(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    binding: Option<Binding>,
    /// Who is woken first, so that each is in turn.
    turn: usize,
}

#[derive(Debug)]
struct Member {
    seat: Arc<Seat>,
    /// What is bound to it but not yet taken.
    bound: VecDeque<Entry>,
}

/// What binds messages to members.
#[derive(Debug)]
struct Binding {
    key: Pointer,
    probe: Probe,
    values: Values,
    hasher: RandomState,
}

impl Seat {
    fn new(peer: &Arc<Peer>) -> Self {
        Self {
            peer: Arc::clone(peer),
            in_flight: Mutex::default(),
            left: AtomicBool::new(false),
        }
    }

    /// Whether the member has given its place up.
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl Group {
    /// The members' connections.
    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        let state = lock(&self.0);
        let peers = state.members.iter().map(|member| &member.seat.peer);
        peers.cloned().collect()
    }

    /// What the members have agreed on. Without members that means nothing.
    pub(super) fn key(&self) -> Option<Pointer> {
        lock(&self.0)
            .binding
            .as_ref()
            .map(|binding| binding.key.clone())
    }

    /// Wakes all members, each time another one first: whoever can write takes
    /// what there is.
    pub(super) fn wake(&self) {
        let mut state = lock(&self.0);
        let count = state.members.len();
        state.turn = state.turn.wrapping_add(1);
        for step in 0..count {
            state.members[(state.turn + step) % count].seat.peer.wake();
        }
    }

    /// Takes a member in. The first one decides about the key. `pool` is what
    /// was taken from the queue and given back.
    pub(super) fn join(
        &self,
        peer: &Arc<Peer>,
        key: Option<&Pointer>,
        pool: &Mutex<InFlight>,
    ) -> Arc<Seat> {
        let mut state = lock(&self.0);
        if state.members.is_empty() {
            state.binding = key.map(Binding::new);
        }
        state.unbind(pool);
        let seat = Arc::new(Seat::new(peer));
        state.members.push(Member {
            seat: Arc::clone(&seat),
            bound: VecDeque::new(),
        });
        drop(state);
        self.wake();
        seat
    }

    /// A member leaves. What it has not begun to write goes back; it finishes
    /// the frame that it has, and that goes back as well. Says how many frames
    /// of what it had begun are wholly written, and whether it was the last.
    pub(super) fn leave(&self, seat: &Seat, pool: &Mutex<InFlight>) -> (usize, bool) {
        let mut in_flight = lock(&seat.in_flight);
        seat.left.store(true, Ordering::Release);
        let broken_off = in_flight.break_off();
        if let Some(rest) = broken_off.rest {
            seat.peer.leave_unfinished(rest);
        }
        let mut state = lock(&self.0);
        // The oldest of it must come out first, so it is given back last.
        state.unbind(pool);
        lock(pool).give_back(in_flight.take_all());
        (state.members).retain(|member| !std::ptr::eq(&*member.seat, seat));
        let was_last = state.members.is_empty();
        drop(state);
        drop(in_flight);
        self.wake();
        (broken_off.frames, was_last)
    }

    /// Takes what a member writes next, if it has written all it took before.
    pub(super) fn fill<'s>(
        &self,
        seat: &'s Seat,
        pool: &Mutex<InFlight>,
        queue: &Queue,
    ) -> MutexGuard<'s, InFlight> {
        let mut in_flight = lock(&seat.in_flight);
        if in_flight.is_empty() && !seat.has_left() {
            let mut state = lock(&self.0);
            let mut pool = lock(pool);
            if state.binding.is_some() {
                let own = state.sort_for(seat, &mut pool, queue);
                if let Some(rest) = in_flight.take_some(|| own.pop_front(), GROUP_TAKE_BYTES) {
                    own.push_front(rest);
                }
            } else if let Some(rest) = in_flight.take_some(|| pool.pop(queue), GROUP_TAKE_BYTES) {
                pool.give_back([rest]);
            }
        }
        in_flight
    }
}

impl State {
    /// Gives back what was bound to members: who comes or goes changes that.
    fn unbind(&mut self, pool: &Mutex<InFlight>) {
        let mut pool = lock(pool);
        for member in &mut self.members {
            pool.give_back(member.bound.drain(..));
        }
    }

    /// Sorts what is queued by the members that it is bound to, until there is
    /// something for `seat`, and gives what is.
    fn sort_for(
        &mut self,
        seat: &Seat,
        pool: &mut InFlight,
        queue: &Queue,
    ) -> &mut VecDeque<Entry> {
        let Self {
            members, binding, ..
        } = self;
        let own = (members.iter()).position(|member| std::ptr::eq(&*member.seat, seat));
        let own = own.unwrap_or_default();
        let mut sorted = 0;
        while members[own].bound.is_empty() {
            let Some(entry) = pool.pop(queue) else { break };
            if sorted > GROUP_SORT_BYTES {
                // Others want their turn: go on in the next one.
                pool.give_back([entry]);
                seat.peer.wake();
                break;
            }
            sorted += entry.bytes.len();
            let Some(binding) = binding else { break };
            binding.sort(entry, own, members);
        }
        &mut members[own].bound
    }
}

impl Binding {
    fn new(key: &Pointer) -> Self {
        Self {
            key: key.clone(),
            probe: Probe::new([Field::At(key.clone())]),
            values: Values::default(),
            hasher: RandomState::new(),
        }
    }

    /// Leaves the frames of an entry with the members that they are bound to;
    /// those without the key, and reports, with the member `own`.
    fn sort(&mut self, entry: Entry, own: usize, members: &mut [Member]) {
        if entry.frames == 0 {
            members[own].bound.push_back(entry);
            return;
        }
        let mut pieces: Vec<(usize, u32, Range<usize>)> = Vec::new();
        for frame in wire::frames(&entry.bytes) {
            let json = &entry.bytes[frame.start + FRAME_PREFIX_BYTES..frame.end];
            let member = self.member_of(json, members).unwrap_or(own);
            match pieces.last_mut() {
                Some((last, frames, range)) if *last == member => {
                    *frames += 1;
                    range.end = frame.end;
                }
                _ => pieces.push((member, 1, frame)),
            }
        }
        let count = pieces.len();
        for &(member, ..) in pieces.iter().filter(|(member, ..)| *member != own) {
            members[member].seat.peer.wake();
        }
        if let [(member, ..)] = pieces[..] {
            members[member].bound.push_back(entry);
            return;
        }
        let mut charge_left = entry.charge;
        for (index, (member, frames, range)) in pieces.into_iter().enumerate() {
            // The charge is shared by size, and is at least that.
            let charge = match index + 1 == count {
                true => charge_left,
                false => entry.charge * range.len() / entry.bytes.len(),
            };
            charge_left -= charge;
            // Copied, so that no piece keeps the others in memory.
            members[member].bound.push_back(Entry {
                bytes: RunBytes::Slice(Bytes::copy_from_slice(&entry.bytes[range])),
                frames,
                charge,
                origin: entry.origin.clone(),
            });
        }
    }

    /// The member that a message is bound to; `None` if it has no key. Of all
    /// members the one that makes the largest number with the key: when one
    /// comes or goes, only the keys move that it gets or had.
    fn member_of(&mut self, json: &[u8], members: &[Member]) -> Option<usize> {
        let key = match self.values.read(&self.probe, json, None).get(0)? {
            Value::Null => self.hasher.hash_one(()),
            Value::Bool(value) => self.hasher.hash_one(value),
            Value::Number(spelling) => self.hasher.hash_one(Finite::read(spelling)?),
            Value::Text(text) => self.hasher.hash_one(text),
            Value::Container => return None,
        };
        let weight = |member: &Member| self.hasher.hash_one((key, member.seat.peer.id()));
        let weighed = members.iter().enumerate();
        let heaviest = weighed.max_by_key(|(_, member)| weight(member));
        heaviest.map(|(index, _)| index)
    }
}
