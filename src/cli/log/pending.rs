//! The lines that are to be written, in their order.

use std::time::Instant;

use tickwire::limits::{LOG_REPEAT_INTERVAL, LOG_RESERVE_BYTES};

use super::hand::Hand;
use super::lines::{Item, Lines, Share};
use super::losses::{Loss, Losses};
use super::repeats::Repeats;
use super::text::{Place, Style};

/// Room that must be left for a line about a loss to be written as it is.
const LOSS_LINE_BYTES: usize = LOG_RESERVE_BYTES / 16;

/// The lines that are to be written. Ordinary lines that don't fit are dropped and
/// counted. Losses that don't fit are summed up, so none of them is missing.
#[derive(Debug, Default)]
pub struct Pending {
    lines: Lines,
    losses: Losses,
    repeats: Repeats<Place>,
}

impl Pending {
    /// Returns whether `place` is to write its line, of `text`. One that is not is
    /// summed up with others much like it.
    pub fn admit(&mut self, place: Place, text: impl FnOnce() -> String, now: Instant) -> bool {
        let admitted = self.repeats.admit(place, now);
        if !admitted {
            self.repeats.hold_back(place, text(), now);
        }
        admitted
    }

    /// Returns whether `place` is to write its line about `count` messages lost.
    /// One that is not is summed up.
    pub fn admit_loss(
        &mut self,
        place: Place,
        loss: impl FnOnce() -> (Loss, u64),
        now: Instant,
    ) -> bool {
        let due = if !self.lines.has_room(LOSS_LINE_BYTES, Share::Whole) {
            now
        } else if !self.repeats.admit(place, now) {
            now + LOG_REPEAT_INTERVAL
        } else {
            return true;
        };
        let (loss, count) = loss();
        self.losses.add(loss, count, due);
        false
    }

    /// Queues an ordinary line, or counts it as dropped.
    pub fn push(&mut self, line: &[u8]) {
        if !self.lines.push(line, Share::Ordinary) {
            self.lines.note_dropped();
        }
    }

    /// Queues a line about a loss, or sums it up.
    pub fn push_loss(&mut self, line: &[u8], loss: impl FnOnce() -> (Loss, u64), now: Instant) {
        if !self.lines.push(line, Share::Whole) {
            let (loss, count) = loss();
            self.losses.add(loss, count, now);
        }
    }

    /// The time at which a sum is due that is held back now.
    pub fn due(&self) -> Option<Instant> {
        let due = [self.losses.due(), self.repeats.due()];
        due.into_iter().flatten().min()
    }

    /// Hands over the next lines to be written; none if none is due at `now`,
    /// which is `None` at the end, when all are. Sums of losses come before lines
    /// that wait: a reader that has not read for long may soon stop again.
    pub fn hand_over(&mut self, hand: &mut Hand, style: Style, now: Option<Instant>) {
        while let Some(sum) = self.repeats.take(now) {
            // A sum that doesn't fit is counted as one line dropped.
            self.push(style.repeated(&sum).as_bytes());
        }
        let is_due = |due: Instant| now.is_none_or(|now| due <= now);
        while hand.room() > 0
            && self.losses.due().is_some_and(is_due)
            && let Some(text) = self.losses.take()
        {
            hand.add(style.loss(&text).as_bytes());
        }
        while let Some(item) = self.lines.take(hand.room()) {
            match item {
                Item::Line(line) => hand.add(&line),
                Item::Dropped(count) => hand.add(style.dropped(count).as_bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire::limits::{LOG_BYTES_MAX, LOG_REPEATS_MAX};

    use super::super::hand::Progress;
    use super::*;

    const PLACE: Place = Place {
        target: "tickwire::loss",
        file: None,
        line: Some(7),
    };

    /// Writes all that is due, and returns its texts without their times.
    fn written(pending: &mut Pending, now: Option<Instant>) -> Vec<String> {
        let (mut hand, mut out) = (Hand::default(), Vec::new());
        loop {
            pending.hand_over(&mut hand, Style::Plain, now);
            if hand.is_empty() {
                break;
            }
            assert_eq!(hand.write(&mut out), Progress::Done);
        }
        let out = String::from_utf8(out).unwrap();
        let text = |line: &str| match line.split_once("  WARN ") {
            Some((_, text)) => text.to_owned(),
            None => line.to_owned(),
        };
        out.lines().map(text).collect()
    }

    fn fill(pending: &mut Pending, line: &[u8]) -> u64 {
        let mut lines = 0;
        while pending.lines.has_room(line.len(), Share::Ordinary) {
            pending.push(line);
            lines += 1;
        }
        lines
    }

    fn lose(pending: &mut Pending, name: &str, count: u64, now: Instant) -> bool {
        let loss = || {
            let loss = Loss {
                what: "undelivered".to_owned(),
                name: Some(name.to_owned()),
            };
            (loss, count)
        };
        let admitted = pending.admit_loss(PLACE, loss, now);
        if admitted {
            let line = format!("undelivered target={name} count={count}\n");
            pending.push_loss(line.as_bytes(), loss, now);
        }
        admitted
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_where_they_are_missing() {
        let mut pending = Pending::default();
        let fit = fill(&mut pending, b"early\n");
        for _ in 0..312 {
            pending.push(b"early\n");
        }
        let mut texts = written(&mut pending, None);
        let last = texts.pop().unwrap();
        assert_eq!(texts.len() as u64, fit);
        assert!(
            last.starts_with("tickwire::log: 312 lines are missing here"),
            "{last}"
        );
        pending.push(b"late\n");
        assert_eq!(written(&mut pending, None), ["late"]);
    }

    #[test]
    fn no_loss_is_missing_however_full_it_is() {
        let now = Instant::now();
        let mut pending = Pending::default();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        fill(&mut pending, &line);
        // Ordinary lines leave them their reserve …
        assert!(lose(&mut pending, "slow", 3, now));
        // … and when that is full, they are summed up.
        while pending.lines.push(&line, Share::Whole) {}
        for _ in 0..100 {
            assert!(!lose(&mut pending, "slow", 2, now));
            assert!(!lose(&mut pending, "other", 1, now));
        }
        let texts = written(&mut pending, Some(now));
        let losses: Vec<_> = texts.iter().filter(|text| !text.starts_with('x')).collect();
        assert_eq!(
            losses,
            [
                "tickwire::loss: undelivered target=other count=100 summed_lines=100",
                "tickwire::loss: undelivered target=slow count=200 summed_lines=100",
                "undelivered target=slow count=3",
            ]
        );
        assert!(written(&mut pending, None).is_empty());
    }

    #[test]
    fn a_flood_of_losses_is_summed_up_and_the_sum_written_later() {
        let now = Instant::now();
        let mut pending = Pending::default();
        for _ in 0..1_000 {
            lose(&mut pending, "slow", 1, now);
        }
        let texts = written(&mut pending, Some(now));
        assert_eq!(texts.len() as u64, u64::from(LOG_REPEATS_MAX));
        let later = now + LOG_REPEAT_INTERVAL;
        assert_eq!(pending.due(), Some(later));
        let texts = written(&mut pending, Some(later));
        let rest = 1_000 - u64::from(LOG_REPEATS_MAX);
        let sum =
            format!("tickwire::loss: undelivered target=slow count={rest} summed_lines={rest}");
        assert_eq!(texts, [sum]);
    }

    #[test]
    fn lines_that_repeat_are_summed_up_at_the_end_at_the_latest() {
        let now = Instant::now();
        let mut pending = Pending::default();
        let admitted = (0..500).filter(|_| pending.admit(PLACE, || "refused".to_owned(), now));
        assert_eq!(admitted.count() as u64, u64::from(LOG_REPEATS_MAX));
        assert!(written(&mut pending, Some(now)).is_empty());
        let rest = 500 - LOG_REPEATS_MAX;
        assert_eq!(
            written(&mut pending, None),
            [format!("tickwire::loss: {rest} more like: refused")]
        );
    }

    #[test]
    fn one_line_that_is_larger_than_all_is_dropped() {
        let mut pending = Pending::default();
        pending.push(&vec![b'x'; LOG_BYTES_MAX]);
        let texts = written(&mut pending, None);
        assert_eq!(texts.len(), 1, "{texts:?}");
    }
}
