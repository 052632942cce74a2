//! The lines that wait to be written, within a bound in bytes.

use std::collections::VecDeque;

use tickwire::limits::{LOG_BYTES_MAX, LOG_RESERVE_BYTES};

/// The cost of a line beside its text: its place, and the allocator's own bytes.
const LINE_OVERHEAD_BYTES: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All but the reserve.
    Ordinary,
    /// All of it, for lines about losses.
    Whole,
}

#[derive(Debug, Default)]
pub struct LineQueue {
    waiting: VecDeque<Item>,
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    Line(Box<[u8]>),
    /// The number of lines that were dropped at this place.
    Dropped(u64),
}

impl LineQueue {
    pub fn has_room(&self, bytes: usize, share: Share) -> bool {
        let bytes_max = match share {
            Share::Ordinary => LOG_BYTES_MAX - LOG_RESERVE_BYTES,
            Share::Whole => LOG_BYTES_MAX,
        };
        self.bytes.saturating_add(cost(bytes)) <= bytes_max
    }

    /// Queues `line` if it fits, and returns whether it did.
    pub fn push(&mut self, line: &[u8], share: Share) -> bool {
        let fits = self.has_room(line.len(), share);
        if fits {
            self.bytes += cost(line.len());
            self.waiting.push_back(Item::Line(line.into()));
        }
        fits
    }

    /// Notes that a line is missing at this place.
    pub fn note_dropped(&mut self) {
        match self.waiting.back_mut() {
            // Notes are merged, so there is at most one for each line.
            Some(Item::Dropped(count)) => *count += 1,
            _ => self.waiting.push_back(Item::Dropped(1)),
        }
    }

    /// Takes the first item. A line that is longer than `bytes_max` stays.
    pub fn take(&mut self, bytes_max: usize) -> Option<Item> {
        if let Item::Line(line) = self.waiting.front()? {
            if line.len() > bytes_max {
                return None;
            }
            self.bytes -= cost(line.len());
        }
        self.waiting.pop_front()
    }
}

fn cost(bytes: usize) -> usize {
    bytes.saturating_add(LINE_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(share: Share) -> (LineQueue, usize) {
        let mut lines = LineQueue::default();
        let mut count = 0;
        while lines.push(&[b'x'; 1000], share) {
            count += 1;
        }
        (lines, count)
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (_, count) = filled(Share::Ordinary);
        assert!(count * 1000 < LOG_BYTES_MAX - LOG_RESERVE_BYTES);
        assert!(count * 1100 > LOG_BYTES_MAX - LOG_RESERVE_BYTES);
        // Many short lines cost more than their text.
        let mut lines = LineQueue::default();
        let short = (0..LOG_BYTES_MAX).take_while(|_| lines.push(b"\n", Share::Whole));
        assert!(short.count() <= LOG_BYTES_MAX / LINE_OVERHEAD_BYTES);
    }

    #[test]
    fn the_reserve_is_for_lines_about_losses() {
        let (mut lines, _) = filled(Share::Ordinary);
        assert!(lines.push(&[b'x'; 1000], Share::Whole));
        assert!(!lines.push(&[b'x'; 1000], Share::Ordinary));
        assert!(!lines.push(&vec![b'x'; LOG_BYTES_MAX], Share::Whole));
    }

    #[test]
    fn dropped_lines_are_counted_where_they_are_missing() {
        let mut lines = LineQueue::default();
        lines.push(b"a\n", Share::Ordinary);
        lines.note_dropped();
        lines.note_dropped();
        lines.push(b"b\n", Share::Ordinary);
        lines.note_dropped();
        let line = |text: &[u8]| Item::Line(text.into());
        let expected = [
            line(b"a\n"),
            Item::Dropped(2),
            line(b"b\n"),
            Item::Dropped(1),
        ];
        for item in expected {
            assert_eq!(lines.take(usize::MAX), Some(item));
        }
        assert_eq!(lines.take(usize::MAX), None);
        assert_eq!(lines.bytes, 0);
    }
}
