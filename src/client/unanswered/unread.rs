//! Acks that were handed to a connection and that the server may not have read. An ack has
//! no answer; the answer to a message behind it shows that it was read.

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct UnreadAcks {
    count: usize,
    /// The position of the last.
    last: u64,
    /// Those of unknown fate that nobody was told of.
    lost: usize,
}

impl UnreadAcks {
    /// Returns whether there are some, and the last stands just before `next_position`.
    pub(super) fn end_at(&self, next_position: u64) -> bool {
        self.count > 0 && self.last + 1 == next_position
    }

    pub(super) fn hand(&mut self, position: u64) {
        self.count += 1;
        self.last = position;
    }

    /// Takes back one that was not handed over in full.
    pub(super) fn take_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Notes that the message at `position` was answered.
    #[inline]
    pub(super) fn answered(&mut self, position: u64) {
        if position > self.last {
            self.count = 0;
        }
    }

    /// Notes that the answer to the message at `position` stays out.
    pub(super) fn given_up(&mut self, position: u64) {
        if position > self.last {
            self.connection_lost();
        }
    }

    pub(super) fn connection_lost(&mut self) {
        self.lost += std::mem::take(&mut self.count);
    }

    /// The number of those of unknown fate since this was last asked.
    pub(super) fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_message_behind_all_shows_that_they_were_read() {
        let mut acks = UnreadAcks::default();
        acks.hand(3);
        acks.hand(5);
        assert!(acks.end_at(6) && !acks.end_at(7));
        acks.answered(4);
        assert!(acks.end_at(6), "one stands behind it");
        acks.answered(6);
        assert!(!acks.end_at(6));
        acks.connection_lost();
        assert_eq!(acks.take_lost(), 0);
    }

    #[test]
    fn without_an_answer_behind_them_they_are_lost_once() {
        let mut acks = UnreadAcks::default();
        acks.hand(0);
        acks.hand(1);
        acks.hand(2);
        acks.take_back();
        acks.connection_lost();
        acks.hand(3);
        acks.given_up(2);
        assert_eq!(acks.take_lost(), 2);
        acks.given_up(4);
        assert_eq!((acks.take_lost(), acks.take_lost()), (1, 0));
    }
}
