//! The books of a run: for each message the promises and the sightings. Plain
//! and slow, so that it is easily right; it knows nothing of the server but the
//! protocol.
//!
//! Its claims about a message that was accepted for a name:
//!
//! - it was seen once, and in the order of its sender's connection, by a
//!   receiver whose connection stayed up;
//! - or a report to its sender covers it;
//! - or it was dropped for its receiver, and the ack said so, and the receiver
//!   was told so between its neighbours in the stream;
//! - or it was with the kernel when the receiver's connection broke. Those are
//!   the last before the break, so they stand side by side between those seen
//!   before it and those seen after;
//! - a frame that was partly written when its receiver left may be seen twice:
//!   as the last before, and the first after.

mod broadcasts;
mod gaps;
mod history;
mod page;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use history::{
    Fate, Gap, Key, Kind, Life, Receiver, Seen, SenderLife, Sent, Undelivered, Way, key_of,
};
use page::Fault;

/// Where a message was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    receiver: usize,
    life: usize,
    /// Which of all that this life saw.
    place: usize,
}

/// Counts of the cases met, so that a test can tell whether it tested anything.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    pub sent: usize,
    pub accepted: usize,
    pub refused: usize,
    pub unknown: usize,
    pub resent: usize,
    pub dropped: usize,
    pub gaps: usize,
    pub undelivered: usize,
    pub seen_twice: usize,
    pub lost_in_the_kernel: usize,
    pub broken_lives: usize,
    pub lives: usize,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger<'a> {
    senders: &'a [SenderLife],
    receivers: &'a [Receiver],
    seen: HashMap<Key, Vec<Sighting>>,
    covered: HashMap<Key, usize>,
    sums: Sums,
}

/// The messages that one connection sent to one name: indices in
/// [`SenderLife::sent`], in order.
struct Group<'a> {
    sender: &'a SenderLife,
    places: Vec<usize>,
    receiver: usize,
}

impl<'a> Ledger<'a> {
    /// Holds the promises against the sightings.
    ///
    /// # Errors
    /// The first promise that was not kept, with the page of its message.
    pub fn check(senders: &'a [SenderLife], receivers: &'a [Receiver]) -> Result<Sums, Fault> {
        let mut ledger = Self {
            senders,
            receivers,
            seen: HashMap::new(),
            covered: HashMap::new(),
            sums: Sums::default(),
        };
        ledger.enter_sightings()?;
        for sender in senders {
            ledger.sums.resent += sender.resent;
            ledger.check_answers(sender)?;
            for group in ledger.groups(sender) {
                ledger.check_order(&group)?;
                ledger.enter_reports(&group)?;
                ledger.check_fates(&group)?;
            }
        }
        ledger.check_broadcasts()?;
        ledger.check_gaps()?;
        for life in receivers.iter().flat_map(|receiver| &receiver.lives) {
            ledger.sums.gaps += life.gaps.len();
            ledger.sums.lives += 1;
            ledger.sums.broken_lives += usize::from(!life.whole);
        }
        Ok(ledger.sums)
    }

    /// Notes which receiver saw which message, byte for byte.
    fn enter_sightings(&mut self) -> Result<(), Fault> {
        let sent: HashMap<Key, &Sent> = self
            .senders
            .iter()
            .flat_map(|sender| sender.sent.iter().map(|sent| (sent.key, sent)))
            .collect();
        for (receiver, owner) in self.receivers.iter().enumerate() {
            for (life, lived) in owner.lives.iter().enumerate() {
                for (place, Seen { key, frame }) in lived.seen.iter().enumerate() {
                    let here = format!("{} in its life {life}", owner.names[0]);
                    let Some(sent) = sent.get(key) else {
                        return Err(Fault::bare(format!("{here} saw {key}, which nobody sent")));
                    };
                    if frame != &sent.frame {
                        return Err(Fault::bare(format!("{here} saw {key} altered: {frame:?}")));
                    }
                    if sent.target.is_some_and(|name| !owner.names.contains(&name)) {
                        return Err(Fault::bare(format!("{here} saw {key}, which is another's")));
                    }
                    self.seen.entry(*key).or_default().push(Sighting {
                        receiver,
                        life,
                        place,
                    });
                }
            }
        }
        Ok(())
    }

    /// One answer each, and none but the refusal to a refused one.
    fn check_answers(&mut self, sender: &SenderLife) -> Result<(), Fault> {
        for (place, sent) in sender.sent.iter().enumerate() {
            self.sums.sent += 1;
            match &sent.fate {
                Fate::Accepted { .. } => self.sums.accepted += 1,
                Fate::Refused(_) => self.sums.refused += 1,
                Fate::Unknown => self.sums.unknown += 1,
            }
            let seen = self.seen.contains_key(&sent.key);
            match &sent.fate {
                Fate::Refused(code) => {
                    // Accepted, partly written, given up, and refused when it
                    // was sent again.
                    let was_given_up = sender.way == Way::Resumed
                        && self
                            .sightings(sent)
                            .iter()
                            .all(|seen| self.was_begun_last(*seen, sent));
                    if seen && !was_given_up {
                        return Err(self.fault(sender, place, "was refused, but seen"));
                    }
                    if !self.may_be_refused(sent, code) {
                        return Err(self.fault(sender, place, "can't have been refused so"));
                    }
                }
                Fate::Unknown if sender.in_order => {
                    return Err(self.fault(sender, place, "was never answered"));
                }
                Fate::Accepted { dropped: 1.. } if sent.target.is_some() => {
                    self.sums.dropped += 1;
                    if !sent.kind.may_be_dropped() {
                        return Err(self.fault(sender, place, "must not be dropped"));
                    }
                    if seen {
                        return Err(self.fault(sender, place, "was dropped, but seen"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn may_be_refused(&self, sent: &Sent, code: &str) -> bool {
        let Some(name) = sent.target else {
            return false;
        };
        match code {
            "TARGET_UNAVAILABLE" => !self.receivers[self.owner_of(name)].stays,
            "QUEUE_FULL" => !sent.kind.may_be_dropped(),
            _ => false,
        }
    }

    fn owner_of(&self, name: &str) -> usize {
        let owner = self
            .receivers
            .iter()
            .position(|receiver| receiver.names.contains(&name));
        owner.expect("senders address receivers only")
    }

    fn groups(&self, sender: &'a SenderLife) -> Vec<Group<'a>> {
        let mut groups: Vec<(&str, Group<'a>)> = Vec::new();
        for (place, sent) in sender.sent.iter().enumerate() {
            let Some(name) = sent.target else { continue };
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, group)) => group.places.push(place),
                None => groups.push((
                    name,
                    Group {
                        sender,
                        places: vec![place],
                        receiver: self.owner_of(name),
                    },
                )),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    fn sightings(&self, sent: &Sent) -> &[Sighting] {
        self.seen.get(&sent.key).map_or(&[], Vec::as_slice)
    }

    /// Later messages are seen later, and each once, but for one that was
    /// partly written at a change of owner.
    fn check_order(&mut self, group: &Group<'_>) -> Result<(), Fault> {
        let mut last: Option<Sighting> = None;
        for &place in &group.places {
            let sent = &group.sender.sent[place];
            let sightings = self.sightings(sent);
            let Some(first) = sightings.first() else {
                continue;
            };
            let follows = last.is_none_or(|last| *first > last);
            let is_in_order = self.keeps_order(group) && sent.has_a_place(group.sender.way);
            if is_in_order && !follows {
                return Err(self.fault(group.sender, place, "was seen out of order"));
            }
            for pair in sightings.windows(2) {
                let is_partly_written = pair[0].life < pair[1].life
                    && self.was_begun_last(pair[0], sent)
                    && self.is_first_of_name(pair[1], sent);
                if !is_partly_written {
                    return Err(self.fault(group.sender, place, "was seen twice"));
                }
            }
            if is_in_order {
                last = sightings.last().copied();
            }
            self.sums.seen_twice += usize::from(sightings.len() > 1);
        }
        Ok(())
    }

    /// Whether the reports to its sender cover all that happened to its
    /// messages.
    fn keeps_order(&self, group: &Group<'_>) -> bool {
        group.sender.way != Way::Resumed || self.receivers[group.receiver].stays
    }

    fn life(&self, sighting: Sighting) -> &Life {
        &self.receivers[sighting.receiver].lives[sighting.life]
    }

    /// Whether it may have been partly written when its receiver left.
    fn was_begun_last(&self, sighting: Sighting, sent: &Sent) -> bool {
        let is_final = sighting.life + 1 == self.receivers[sighting.receiver].lives.len();
        let mut later = self.life(sighting).seen[sighting.place + 1..].iter();
        !is_final && later.all(|seen| self.target_of(seen.key) != sent.target)
    }

    fn is_first_of_name(&self, sighting: Sighting, sent: &Sent) -> bool {
        let earlier = &self.life(sighting).seen[..sighting.place];
        earlier
            .iter()
            .all(|seen| self.target_of(seen.key) != sent.target)
    }

    fn target_of(&self, key: Key) -> Option<&'static str> {
        let (sender, place) = self.place_of(key)?;
        sender.sent[place].target
    }

    fn place_of(&self, key: Key) -> Option<(&SenderLife, usize)> {
        let place = usize::try_from(key.number).ok()?;
        let is_its = |sender: &&SenderLife| (sender.sender, sender.life) == (key.sender, key.life);
        let sender = self.senders.iter().find(is_its)?;
        (place < sender.sent.len()).then_some((sender, place))
    }

    /// Notes which messages the reports to a sender cover: from the first that
    /// a report names as many as it counts. Those of two endings may have
    /// become one report, so messages seen in between don't count.
    fn enter_reports(&mut self, group: &Group<'_>) -> Result<(), Fault> {
        let Group { sender, places, .. } = group;
        let name = sender.sent[places[0]].target.expect("a group has a target");
        for (number, report) in sender.reports.iter().enumerate() {
            if report.target != name {
                continue;
            }
            if !self.keeps_order(group) {
                // A message that it covers may have been sent again since, and
                // then have been accepted, and seen, or refused.
                let mut from = places.iter().copied();
                let first = from.by_ref().find(|&p| sender.sent[p].key == report.first);
                let Some(first) = first else {
                    let what = format!("a report begins with what it didn't send: {report:?}");
                    return Err(self.fault(sender, places[0], &what));
                };
                let is_open = |&place: &usize| {
                    let sent = &sender.sent[place];
                    sent.may_be_queued() && self.sightings(sent).is_empty()
                };
                let count = usize::try_from(report.count).expect("small");
                let all = std::iter::once(first).chain(from).filter(is_open);
                for place in all.take(count).collect::<Vec<_>>() {
                    self.covered.insert(sender.sent[place].key, number);
                    self.sums.undelivered += 1;
                }
                continue;
            }
            let accepted: Vec<usize> = places
                .iter()
                .copied()
                .filter(|&place| sender.sent[place].may_be_queued())
                .collect();
            let first = accepted
                .iter()
                .position(|&place| sender.sent[place].key == report.first);
            let Some(first) = first else {
                let what = format!(
                    "a report begins with {}, not accepted: {report:?}",
                    report.first
                );
                return Err(self.fault(sender, places[0], &what));
            };
            let mut left = report.count;
            // Partly written, seen whole all the same, and reported.
            let mut doubles = 0;
            for &place in &accepted[first..] {
                let sent = &sender.sent[place];
                let seen = self.sightings(sent).last().copied();
                let is_first = sent.key == report.first;
                if seen.is_some_and(|seen| self.was_begun_last(seen, sent)) && !is_first {
                    doubles += 1;
                }
                if seen.is_some() && !is_first {
                    continue;
                }
                if left == 0 {
                    break;
                }
                if is_first && seen.is_some_and(|seen| !self.was_begun_last(seen, sent)) {
                    return Err(self.fault(sender, place, "was reported undelivered, but seen"));
                }
                if self.covered.insert(sent.key, number).is_some() {
                    return Err(self.fault(sender, place, "was reported undelivered twice"));
                }
                left -= 1;
                self.sums.undelivered += 1;
            }
            if left > doubles {
                let what = format!("a report counts {left} more than were not seen: {report:?}");
                return Err(self.fault(sender, accepted[first], &what));
            }
        }
        Ok(())
    }

    /// An accepted message that was neither seen nor reported must have been
    /// with the kernel when a receiver's connection broke.
    fn check_fates(&mut self, group: &Group<'_>) -> Result<(), Fault> {
        let Group {
            sender,
            places,
            receiver,
        } = group;
        let lives = &self.receivers[*receiver].lives;
        let final_life = lives.len() - 1;
        let queued: Vec<usize> = places
            .iter()
            .copied()
            .filter(|&place| sender.sent[place].fate.is_queued())
            .collect();
        let mut seen_before: Option<Sighting> = None;
        let mut silent_runs = 0;
        let mut was_silent = false;
        for (index, &place) in queued.iter().enumerate() {
            let sent = &sender.sent[place];
            if let Some(seen) = self.sightings(sent).last() {
                seen_before = Some(*seen);
                (silent_runs, was_silent) = (0, false);
                continue;
            }
            if self.covered.contains_key(&sent.key) {
                was_silent = false;
                continue;
            }
            let seen_after = queued[index..]
                .iter()
                .find_map(|&later| self.sightings(&sender.sent[later]).first());
            // Nothing is ever lost in the last life: it saw its end.
            let (from, to) = match self.keeps_order(group) {
                true => (
                    seen_before.map_or(0, |seen| seen.life),
                    seen_after.map_or(final_life, |seen| seen.life),
                ),
                false => (0, final_life),
            };
            let broken = lives[from..to].iter().filter(|life| !life.whole).count();
            // A sender that left earlier can't have heard of it.
            let heard_all = sender.in_order && sender.stayed;
            if from == to {
                return Err(self.fault(sender, place, "is lost, though its receiver stayed"));
            }
            if heard_all && broken == 0 {
                let what = "is lost, though every receiver left in order, and not reported";
                return Err(self.fault(sender, place, what));
            }
            silent_runs += usize::from(!was_silent);
            was_silent = true;
            if heard_all && silent_runs > broken {
                let what = "is lost, but not with those that the kernel had";
                return Err(self.fault(sender, place, what));
            }
            self.sums.lost_in_the_kernel += 1;
        }
        Ok(())
    }
}
