//! The lines that are to be written, in their order.

use std::time::Instant;

use tickwire::limits::{LOG_REPEAT_INTERVAL, LOG_RESERVE_BYTES};

use super::line_queue::{Item, LineQueue, Share};
use super::losses::{Loss, Losses};
use super::repeats::Repeats;
use super::text::{Callsite, Style};
use super::write_buffer::WriteBuffer;

/// Room that must be left for a line about a loss to be written as it is.
const LOSS_LINE_BYTES: usize = LOG_RESERVE_BYTES / 16;

/// The lines that are to be written. Ordinary lines that don't fit are dropped and
/// counted. Losses that don't fit are summed up, so none of them is missing.
#[derive(Debug, Default)]
pub struct Backlog {
    lines: LineQueue,
    losses: Losses,
    repeats: Repeats<Callsite>,
}

impl Backlog {
    /// Returns whether `callsite` is to write its line; if not, it is summed up.
    pub fn admit(
        &mut self,
        callsite: Callsite,
        text: impl FnOnce() -> String,
        now: Instant,
    ) -> bool {
        let admitted = self.repeats.admit(callsite, now);
        if !admitted {
            self.repeats.hold_back(callsite, text(), now);
        }
        admitted
    }

    /// Does the same with a line about a loss.
    pub fn admit_loss(
        &mut self,
        callsite: Callsite,
        loss: impl FnOnce() -> (Loss, u64),
        now: Instant,
    ) -> bool {
        let due = if !self.lines.has_room(LOSS_LINE_BYTES, Share::Whole) {
            now
        } else if !self.repeats.admit(callsite, now) {
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

    /// The time at which the next sum is due.
    pub fn due(&self) -> Option<Instant> {
        let due = [self.losses.due, self.repeats.due()];
        due.into_iter().flatten().min()
    }

    /// Hands over the lines that are due at `now`, or all if it is `None`. Sums of
    /// losses come first: a reader that has not read for long may soon stop again.
    pub fn fill(&mut self, buffer: &mut WriteBuffer, style: Style, now: Option<Instant>) {
        while let Some(sum) = self.repeats.take(now) {
            // A sum that doesn't fit is counted as one line dropped.
            self.push(style.repeated(&sum).as_bytes());
        }
        let is_due = |due: Instant| now.is_none_or(|now| due <= now);
        while buffer.room() > 0
            && self.losses.due.is_some_and(is_due)
            && let Some(text) = self.losses.take()
        {
            buffer.add(style.loss(&text).as_bytes());
        }
        while let Some(item) = self.lines.take(buffer.room()) {
            match item {
                Item::Line(line) => buffer.add(&line),
                Item::Dropped(count) => buffer.add(style.dropped(count).as_bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire::limits::{LOG_BYTES_MAX, LOG_REPEATS_MAX};

    use super::super::write_buffer::Progress;
    use super::*;

    const CALLSITE: Callsite = Callsite {
        target: "tickwire::loss",
        file: None,
        line: Some(7),
    };

    /// Writes all that is due, and returns its texts without their times.
    fn written(backlog: &mut Backlog, now: Option<Instant>) -> Vec<String> {
        let (mut buffer, mut out) = (WriteBuffer::default(), Vec::new());
        loop {
            backlog.fill(&mut buffer, Style::Plain, now);
            if buffer.is_empty() {
                break;
            }
            assert_eq!(buffer.write(&mut out), Progress::Done);
        }
        let out = String::from_utf8(out).unwrap();
        let text = |line: &str| match line.split_once("  WARN ") {
            Some((_, text)) => text.to_owned(),
            None => line.to_owned(),
        };
        out.lines().map(text).collect()
    }

    fn fill(backlog: &mut Backlog, line: &[u8]) -> u64 {
        let mut lines = 0;
        while backlog.lines.has_room(line.len(), Share::Ordinary) {
            backlog.push(line);
            lines += 1;
        }
        lines
    }

    fn lose(backlog: &mut Backlog, name: &str, count: u64, now: Instant) -> bool {
        let loss = || {
            let loss = Loss {
                what: "undelivered".to_owned(),
                name: Some(name.to_owned()),
            };
            (loss, count)
        };
        let admitted = backlog.admit_loss(CALLSITE, loss, now);
        if admitted {
            let line = format!("undelivered target={name} count={count}\n");
            backlog.push_loss(line.as_bytes(), loss, now);
        }
        admitted
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_where_they_are_missing() {
        let mut backlog = Backlog::default();
        let fit = fill(&mut backlog, b"early\n");
        for _ in 0..312 {
            backlog.push(b"early\n");
        }
        let mut texts = written(&mut backlog, None);
        let last = texts.pop().unwrap();
        assert_eq!(texts.len() as u64, fit);
        assert!(
            last.starts_with("tickwire::log: 312 lines are missing here"),
            "{last}"
        );
        backlog.push(b"late\n");
        assert_eq!(written(&mut backlog, None), ["late"]);
    }

    #[test]
    fn no_loss_is_missing_however_full_it_is() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        fill(&mut backlog, &line);
        // Ordinary lines leave them their reserve …
        assert!(lose(&mut backlog, "slow", 3, now));
        // … and when that is full, they are summed up.
        while backlog.lines.push(&line, Share::Whole) {}
        for _ in 0..100 {
            assert!(!lose(&mut backlog, "slow", 2, now));
            assert!(!lose(&mut backlog, "other", 1, now));
        }
        let texts = written(&mut backlog, Some(now));
        let losses: Vec<_> = texts.iter().filter(|text| !text.starts_with('x')).collect();
        assert_eq!(
            losses,
            [
                "tickwire::loss: undelivered target=other count=100 summed_lines=100",
                "tickwire::loss: undelivered target=slow count=200 summed_lines=100",
                "undelivered target=slow count=3",
            ]
        );
        assert!(written(&mut backlog, None).is_empty());
    }

    #[test]
    fn a_flood_of_losses_is_summed_up_and_the_sum_written_later() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for _ in 0..1_000 {
            lose(&mut backlog, "slow", 1, now);
        }
        let texts = written(&mut backlog, Some(now));
        assert_eq!(texts.len() as u64, u64::from(LOG_REPEATS_MAX));
        let later = now + LOG_REPEAT_INTERVAL;
        assert_eq!(backlog.due(), Some(later));
        let texts = written(&mut backlog, Some(later));
        let rest = 1_000 - u64::from(LOG_REPEATS_MAX);
        let sum =
            format!("tickwire::loss: undelivered target=slow count={rest} summed_lines={rest}");
        assert_eq!(texts, [sum]);
    }

    #[test]
    fn lines_that_repeat_are_summed_up_at_the_end_at_the_latest() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        let admitted = (0..500).filter(|_| backlog.admit(CALLSITE, || "refused".to_owned(), now));
        assert_eq!(admitted.count() as u64, u64::from(LOG_REPEATS_MAX));
        assert!(written(&mut backlog, Some(now)).is_empty());
        let rest = 500 - LOG_REPEATS_MAX;
        assert_eq!(
            written(&mut backlog, None),
            [format!("tickwire::loss: {rest} more like: refused")]
        );
    }

    #[test]
    fn one_line_that_is_larger_than_all_is_dropped() {
        let mut backlog = Backlog::default();
        backlog.push(&vec![b'x'; LOG_BYTES_MAX]);
        let texts = written(&mut backlog, None);
        assert_eq!(texts.len(), 1, "{texts:?}");
    }
}
