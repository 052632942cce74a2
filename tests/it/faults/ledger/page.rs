//! The page of a message with a promise that was not kept, for people.

use std::fmt::{self, Write as _};

use super::{Ledger, Life, SenderLife};

/// A promise that was not kept.
#[derive(Debug)]
pub struct Fault {
    pub what: String,
    pub page: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.page)
    }
}

impl Fault {
    /// One of something that has no page.
    pub fn bare(what: String) -> Self {
        Self {
            what,
            page: String::new(),
        }
    }
}

impl Ledger<'_> {
    /// A fault with the page of its message: the message, its neighbours on the
    /// way to the same target, the reports, and the receiver's lives.
    pub(super) fn fault(&self, sender: &SenderLife, place: usize, what: &str) -> Fault {
        let sent = &sender.sent[place];
        let mut page = String::new();
        let same_way: Vec<usize> = (0..sender.sent.len())
            .filter(|&other| sender.sent[other].target == sent.target)
            .collect();
        let here = same_way
            .iter()
            .position(|&other| other == place)
            .unwrap_or_default();
        for &other in &same_way[here.saturating_sub(4)..same_way.len().min(here + 5)] {
            let mark = if other == place { '>' } else { ' ' };
            let sent = &sender.sent[other];
            let seen: Vec<String> = self
                .sightings(sent)
                .iter()
                .map(|seen| {
                    let names = &self.receivers[seen.receiver].names;
                    format!("by {} in life {} at {}", names[0], seen.life, seen.place)
                })
                .collect();
            let covered = self.covered.get(&sent.key);
            let _ = writeln!(
                page,
                "{mark} {} {:?} to {:?}: {:?}; seen {}; covered by {covered:?}",
                sent.key,
                sent.kind,
                sent.target,
                sent.fate,
                if seen.is_empty() {
                    "by nobody".to_owned()
                } else {
                    seen.join(", ")
                },
            );
        }
        let _ = writeln!(
            page,
            "  its sender {} of {} messages; reports: {:?}",
            if sender.in_order {
                "ended in order"
            } else {
                "was cut off"
            },
            sender.sent.len(),
            sender.reports,
        );
        for receiver in self.receivers {
            if sent
                .target
                .is_none_or(|name| receiver.names.contains(&name))
            {
                for (life, lived) in receiver.lives.iter().enumerate() {
                    let end = if lived.whole { "in order" } else { "broken" };
                    let _ = writeln!(
                        page,
                        "  {} life {life}: saw {}, ended {end}; missed {:?}",
                        receiver.names[0],
                        lived.seen.len(),
                        gaps(lived),
                    );
                }
            }
        }
        Fault {
            what: format!("{} {what}", sent.key),
            page,
        }
    }
}

/// The gaps that a life was told of: behind how many messages, of which name,
/// how many.
fn gaps(lived: &Life) -> Vec<(usize, Option<&str>, u64)> {
    let gaps = lived.gaps.iter();
    gaps.map(|gap| (gap.place, gap.name.as_deref(), gap.count))
        .collect()
}
