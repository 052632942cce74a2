//! Broadcasts: the lives that were there, and those that missed some.

use super::{Fate, Fault, Ledger, SenderLife, Sighting};

impl Ledger<'_> {
    /// Each life sees the broadcasts of a connection in order, once, and misses
    /// in between only those that an ack said were dropped.
    pub(super) fn check_broadcasts(&self) -> Result<(), Fault> {
        for sender in self.senders {
            let mut missed = vec![0; sender.sent.len()];
            for (index, receiver) in self.receivers.iter().enumerate() {
                for life in 0..receiver.lives.len() {
                    self.check_broadcasts_of(sender, (index, life), &mut missed)?;
                }
            }
            for (place, sent) in sender.sent.iter().enumerate() {
                if let Fate::Accepted { dropped } = sent.fate
                    && missed[place] > dropped
                {
                    let what = format!("was missed by {} who were there", missed[place]);
                    return Err(self.fault(sender, place, &what));
                }
            }
        }
        Ok(())
    }

    fn check_broadcasts_of(
        &self,
        sender: &SenderLife,
        (receiver, life): (usize, usize),
        missed: &mut [u64],
    ) -> Result<(), Fault> {
        let is_here = |seen: &&Sighting| (seen.receiver, seen.life) == (receiver, life);
        // A receiver that stays was there before the first message, and sees
        // the last.
        let stays = self.receivers[receiver].stays;
        let mut last: Option<Sighting> = None;
        let mut since_last = Vec::new();
        for (place, sent) in sender.sent.iter().enumerate() {
            if sent.target.is_some() {
                continue;
            }
            let mut here = self.sightings(sent).iter().filter(is_here);
            let Some(seen) = here.next().copied() else {
                since_last.push(place);
                continue;
            };
            if here.next().is_some() {
                return Err(self.fault(sender, place, "was seen twice"));
            }
            if !sent.has_a_place(sender.way) {
                continue;
            }
            if last.is_some_and(|last| seen <= last) {
                return Err(self.fault(sender, place, "was seen out of order"));
            }
            let was_there = last.is_some() || stays;
            for place in since_last.drain(..).filter(|_| was_there) {
                missed[place] += 1;
            }
            last = Some(seen);
        }
        for place in since_last.drain(..).filter(|_| stays) {
            missed[place] += 1;
        }
        Ok(())
    }
}
