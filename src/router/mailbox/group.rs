//! A group of connections that share a name: one queue, and for each member a
//! *membership* with the entries that it has taken.
//!
//! A member takes up to [`GROUP_TAKE_BYTES`] once it has written the entries that
//! it took before, so a slow one takes less. When it leaves, entries that it has
//! not begun go back. With a *key*, messages with equal values at that pointer go
//! to the same member, as long as no member joins or leaves.
//!
//! Locks are taken in this order: a membership, the group, the queue's consumer.
//! The last two are never held across a write.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::sync::Arc;

use super::delivery::InFlight;
use super::entry::Entry;
use super::entry_bytes::EntryBytes;
use super::queue::Queue;
use crate::limits::{FRAME_PREFIX_BYTES, GROUP_SORT_BYTES, GROUP_TAKE_BYTES};
use crate::router::connection::ConnectionHandle;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::wire;
use crate::wire::filter::{Field, Finite, Pointer, Probe, Value, Values};

/// An entry has fewer messages than this, and is cut into no more pieces.
const MESSAGES_MAX: u64 = 1 << 24;

#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) in_flight: Mutex<InFlight>,
    /// Changes under the lock of `in_flight` only.
    left: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Group(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    binding: Option<Binding>,
    /// The member that is woken first; the next one the next time.
    woken_first: usize,
    /// The order of the entry that was taken from the queue last.
    last_order: u64,
}

#[derive(Debug)]
struct Member {
    membership: Arc<Membership>,
    /// Entries that are bound to the member but not yet taken.
    bound: VecDeque<Entry>,
}

/// Binds messages to members by their key.
#[derive(Debug)]
struct Binding {
    key: Pointer,
    probe: Probe,
    values: Values,
    /// Without a random seed: a sender that could choose keys that meet at one
    /// member could as well send one key.
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Membership {
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl Group {
    pub(super) fn connections(&self) -> Vec<Arc<ConnectionHandle>> {
        let state = lock(&self.0);
        let handles = state.members.iter().map(|member| &member.membership.handle);
        handles.cloned().collect()
    }

    /// The key that the members have agreed on. Without members it means nothing.
    pub(super) fn key(&self) -> Option<Pointer> {
        let state = lock(&self.0);
        state.binding.as_ref().map(|binding| binding.key.clone())
    }

    /// Wakes all members, each time another one first. Any may take the next entries.
    pub(super) fn wake(&self) {
        let mut state = lock(&self.0);
        let count = state.members.len();
        state.woken_first = state.woken_first.wrapping_add(1);
        for step in 0..count {
            let member = &state.members[(state.woken_first + step) % count];
            member.membership.handle.wake();
        }
    }

    /// Takes a member in. The first one decides about the key. `pool` has the
    /// entries that were taken from the queue and given back.
    pub(super) fn join(
        &self,
        handle: &Arc<ConnectionHandle>,
        key: Option<&Pointer>,
        pool: &Mutex<InFlight>,
    ) -> Arc<Membership> {
        let mut state = lock(&self.0);
        if state.members.is_empty() {
            state.binding = key.map(Binding::new);
            state.number(&mut lock(pool));
        }
        state.unbind(pool);
        let membership = Arc::new(Membership {
            handle: Arc::clone(handle),
            in_flight: Mutex::default(),
            left: AtomicBool::new(false),
        });
        state.members.push(Member {
            membership: Arc::clone(&membership),
            bound: VecDeque::new(),
        });
        drop(state);
        self.wake();
        membership
    }

    /// Takes a member out. Its unwritten frames go back. A frame that it has begun is
    /// finished by it, and goes back whole as well. Returns the number of messages in
    /// front of that frame, in the same entry, and whether it was the last member.
    pub(super) fn leave(&self, membership: &Membership, pool: &Mutex<InFlight>) -> (usize, bool) {
        let mut in_flight = lock(&membership.in_flight);
        membership.left.store(true, Ordering::Release);
        let broken_off = in_flight.break_off();
        if let Some(rest) = broken_off.rest {
            membership.handle.leave_unfinished(rest);
        }
        let mut state = lock(&self.0);
        state.unbind(pool);
        State::give_back(&mut lock(pool), in_flight.take_all());
        (state.members).retain(|member| !std::ptr::eq(&*member.membership, membership));
        let was_last = state.members.is_empty();
        drop(state);
        drop(in_flight);
        self.wake();
        (broken_off.messages, was_last)
    }

    /// Takes the next entries, `room` messages at most, once the earlier are written.
    pub(super) fn fill<'s>(
        &self,
        membership: &'s Membership,
        room: Option<usize>,
        pool: &Mutex<InFlight>,
        queue: &Queue,
    ) -> MutexGuard<'s, InFlight> {
        let mut in_flight = lock(&membership.in_flight);
        if let Some(room) = room {
            self.fill_within(membership, &mut in_flight, room, pool, queue);
        } else if in_flight.is_empty() && !membership.has_left() {
            drop(self.take_for(membership, &mut in_flight, pool, queue));
        }
        in_flight
    }

    /// Takes up to [`GROUP_TAKE_BYTES`]. No other member takes any under the guard.
    fn take_for(
        &self,
        membership: &Membership,
        in_flight: &mut InFlight,
        pool: &Mutex<InFlight>,
        queue: &Queue,
    ) -> MutexGuard<'_, State> {
        let mut state = lock(&self.0);
        let mut pool = lock(pool);
        if state.binding.is_some() {
            let own = state.sort_for(membership, &mut pool, queue);
            if let Some(rest) = in_flight.take_some(|| own.pop_front(), GROUP_TAKE_BYTES) {
                own.push_front(rest);
            }
        } else {
            let next = || state.next(&mut pool, queue);
            if let Some(rest) = in_flight.take_some(next, GROUP_TAKE_BYTES) {
                pool.give_back([rest]);
            }
        }
        state
    }

    /// Takes entries up to `room` messages, and gives back those beyond.
    #[cold]
    fn fill_within(
        &self,
        membership: &Membership,
        in_flight: &mut InFlight,
        room: usize,
        pool: &Mutex<InFlight>,
        queue: &Queue,
    ) {
        if membership.has_left() {
            return;
        }
        let had_taken = !in_flight.is_empty();
        let mut state = match had_taken {
            true => lock(&self.0),
            false if room == 0 => return,
            false => self.take_for(membership, in_flight, pool, queue),
        };
        let mut beyond = in_flight.keep(room);
        if beyond.is_empty() {
            return;
        }
        // Entries bound to the member come behind, and are sorted once more.
        let own = state.index_of(membership);
        beyond.append(&mut state.members[own].bound);
        State::give_back(&mut lock(pool), beyond);
        let was_missed = had_taken || state.binding.is_some();
        drop(state);
        if was_missed {
            // Others have found nothing while the member had them.
            self.wake();
        }
    }
}

impl State {
    /// Gives back bound entries, before a member joins or leaves: it rebinds them.
    fn unbind(&mut self, pool: &Mutex<InFlight>) {
        let mut pool = lock(pool);
        let bound = self.members.iter_mut();
        let bound: Vec<Entry> = bound.flat_map(|member| member.bound.drain(..)).collect();
        Self::give_back(&mut pool, bound);
    }

    /// Takes the oldest entry that no member has.
    fn next(&mut self, pool: &mut InFlight, queue: &Queue) -> Option<Entry> {
        pool.take_first().or_else(|| {
            let order = self.next_order();
            queue.pop().map(|entry| Entry { order, ..entry })
        })
    }

    fn next_order(&mut self) -> u64 {
        self.last_order += MESSAGES_MAX;
        self.last_order
    }

    /// Numbers the entries that an earlier owner left.
    fn number(&mut self, pool: &mut InFlight) {
        let mut left = pool.take_all();
        for entry in &mut left {
            entry.order = self.next_order();
        }
        pool.give_back(left);
    }

    fn give_back(pool: &mut InFlight, entries: impl IntoIterator<Item = Entry>) {
        let mut all: Vec<Entry> = entries.into_iter().chain(pool.take_all()).collect();
        all.sort_by_key(|entry| entry.order);
        pool.give_back(all);
    }

    fn index_of(&self, membership: &Membership) -> usize {
        let mut members = self.members.iter();
        let own = members.position(|member| std::ptr::eq(&*member.membership, membership));
        own.unwrap_or_default()
    }

    /// Sorts queued entries by the members that they are bound to, until there is
    /// one for `membership`. Returns its entries.
    fn sort_for(
        &mut self,
        membership: &Membership,
        pool: &mut InFlight,
        queue: &Queue,
    ) -> &mut VecDeque<Entry> {
        let own = self.index_of(membership);
        let mut sorted = 0;
        while self.members[own].bound.is_empty() {
            let Some(entry) = self.next(pool, queue) else {
                break;
            };
            if sorted > GROUP_SORT_BYTES {
                // Let others run first: the member goes on when it is next woken.
                pool.give_back([entry]);
                membership.handle.wake();
                break;
            }
            sorted += entry.bytes.len();
            match &mut self.binding {
                Some(binding) => binding.sort(entry, own, &mut self.members),
                None => self.members[own].bound.push_back(entry),
            }
        }
        &mut self.members[own].bound
    }
}

impl Binding {
    fn new(key: &Pointer) -> Self {
        Self {
            key: key.clone(),
            probe: Probe::new([Field::At(key.clone())]),
            values: Values::default(),
            hasher: BuildHasherDefault::default(),
        }
    }

    /// Gives the messages of an entry to the members that they are bound to; those
    /// without the key, and reports, to the member `own`.
    fn sort(&mut self, entry: Entry, own: usize, members: &mut [Member]) {
        if entry.messages == 0 {
            members[own].bound.push_back(entry);
            return;
        }
        let mut pieces: Vec<(usize, u32, Range<usize>)> = Vec::new();
        for frame in wire::frames(&entry.bytes) {
            let json = &entry.bytes[frame.start + FRAME_PREFIX_BYTES..frame.end];
            let member = self.member_of(json, members).unwrap_or(own);
            match pieces.last_mut() {
                Some((last, messages, range)) if *last == member => {
                    *messages += 1;
                    range.end = frame.end;
                }
                _ => pieces.push((member, 1, frame)),
            }
        }
        let count = pieces.len();
        for &(member, ..) in pieces.iter().filter(|(member, ..)| *member != own) {
            members[member].membership.handle.wake();
        }
        if let [(member, ..)] = pieces[..] {
            members[member].bound.push_back(entry);
            return;
        }
        let budget = Arc::clone(&members[own].membership.handle.budget);
        let mut charge_left = entry.charge;
        let mut order = entry.order;
        for (index, (member, messages, range)) in pieces.into_iter().enumerate() {
            // Each piece bears its part of the charge, by size.
            let charge = match index + 1 == count {
                true => charge_left,
                false => entry.charge * range.len() / entry.bytes.len(),
            };
            charge_left -= charge;
            let bytes = range.len();
            // Copied, so that no piece keeps the others in memory.
            members[member].bound.push_back(Entry {
                bytes: EntryBytes::copy(&entry.bytes, [range], bytes, &budget),
                messages,
                order,
                charge,
                origin: entry.origin.clone(),
                is_stored: entry.is_stored,
            });
            // A piece that is cut once more stays in front of the next.
            order += u64::from(messages);
        }
    }

    /// The member that a message is bound to; `None` if the message has no key. Each
    /// member is hashed together with the key, and the largest number wins: a member
    /// that joins or leaves moves no other keys than its own.
    fn member_of(&mut self, json: &[u8], members: &[Member]) -> Option<usize> {
        let key = match self.values.read(&self.probe, json, None).get(0)? {
            Value::Null => self.hasher.hash_one(()),
            Value::Bool(value) => self.hasher.hash_one(value),
            Value::Number(spelling) => self.hasher.hash_one(Finite::read(spelling)?),
            Value::Text(text) => self.hasher.hash_one(text),
            Value::Container => return None,
        };
        let weight = |member: &Member| self.hasher.hash_one((key, member.membership.handle.id()));
        let weighed = members.iter().enumerate();
        let heaviest = weighed.max_by_key(|(_, member)| weight(member));
        heaviest.map(|(index, _)| index)
    }
}
