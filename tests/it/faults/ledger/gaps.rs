//! A receiver is told of dropped messages in the right place of its stream.

use super::{Fate, Fault, Gap, Ledger, SenderLife, Sent, Sighting};

impl Ledger<'_> {
    /// A life was told where something is missing between the messages it saw,
    /// and up to the last with a receiver that stays; and not of more than was
    /// dropped.
    pub(super) fn check_gaps(&self) -> Result<(), Fault> {
        for (index, receiver) in self.receivers.iter().enumerate() {
            for life in 0..receiver.lives.len() {
                for name in &receiver.names {
                    for sender in self.senders {
                        self.check_places(sender, Some(name), (index, life))?;
                    }
                }
            }
            if receiver.stays {
                self.check_counts(index)?;
            }
        }
        Ok(())
    }

    fn check_places(
        &self,
        sender: &SenderLife,
        name: Option<&str>,
        (receiver, life): (usize, usize),
    ) -> Result<(), Fault> {
        let lived = &self.receivers[receiver].lives[life];
        let is_here = |seen: &&Sighting| (seen.receiver, seen.life) == (receiver, life);
        let mut before: Option<Sighting> = None;
        let mut missing = None;
        for (place, sent) in sender.sent.iter().enumerate() {
            if sent.target != name || !sent.has_a_place(sender.way) {
                continue;
            }
            let Some(seen) = self.sightings(sent).iter().find(is_here) else {
                if was_dropped(sent) {
                    missing.get_or_insert(place);
                }
                continue;
            };
            if let Some((before, missing)) = before.zip(missing) {
                let mut told = lived.gaps.iter().filter(|gap| gap.name.as_deref() == name);
                if !told.any(|gap| (before.place + 1..=seen.place).contains(&gap.place)) {
                    let what = "was dropped, and its receiver not told between what it saw";
                    return Err(self.fault(sender, missing, what));
                }
            }
            before = Some(*seen);
            missing = None;
        }
        Ok(())
    }

    fn check_counts(&self, receiver: usize) -> Result<(), Fault> {
        let owner = &self.receivers[receiver];
        let gaps = || owner.lives.iter().flat_map(|life| &life.gaps);
        for name in &owner.names {
            let told: u64 = gaps()
                .filter(|gap| gap.name.as_deref() == Some(name))
                .map(|gap| gap.count)
                .sum();
            let all = self.senders.iter().flat_map(|sender| &sender.sent);
            let here = all.filter(|sent| sent.target == Some(name));
            let (mut known, mut possible) = (0, 0);
            for sent in here {
                known += u64::from(was_dropped(sent));
                possible += u64::from(may_have_been_dropped(sent));
            }
            if !(known..=possible).contains(&told) {
                return Err(Fault::bare(format!(
                    "{name} was told of {told} that it missed, of {known} to {possible}"
                )));
            }
        }
        for gap in gaps() {
            self.check_ends(gap)?;
        }
        Ok(())
    }

    /// The first and the last of a gap are messages that were dropped.
    fn check_ends(&self, gap: &Gap) -> Result<(), Fault> {
        for key in [gap.first, gap.last].into_iter().flatten() {
            let (sender, place) = self
                .place_of(key)
                .ok_or_else(|| Fault::bare(format!("{gap:?} names a message that nobody sent")))?;
            let sent = &sender.sent[place];
            if sent.target != gap.name.as_deref() || !may_have_been_dropped(sent) {
                return Err(self.fault(sender, place, "was told dropped, but was not"));
            }
        }
        Ok(())
    }
}

/// For one receiver at least.
fn was_dropped(sent: &Sent) -> bool {
    matches!(sent.fate, Fate::Accepted { dropped: 1.. })
}

fn may_have_been_dropped(sent: &Sent) -> bool {
    let is_droppable = sent.target.is_none() || sent.kind.may_be_dropped();
    was_dropped(sent) || (sent.fate == Fate::Unknown && is_droppable)
}
