//! The ledger of a run: every order, and how far it has come. Each reception is held
//! against it at once.

use super::SENDERS;
use super::orders::Key;

/// The settlement of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    None,
    /// Sent in this life of the server, and maybe not read or not on disk.
    Sent(u32),
    /// On disk: a fence behind it was answered.
    Fenced,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    is_acknowledged: bool,
    was_received: bool,
    settlement: Settlement,
}

impl Order {
    /// Whether it is on disk, and no settlement was sent.
    fn is_due(&self) -> bool {
        (self.is_acknowledged || self.was_received) && self.settlement == Settlement::None
    }
}

/// The orders of one sender.
#[derive(Debug, Default)]
struct Line {
    orders: Vec<Order>,
    /// Nothing in front of it will come any more.
    first_open: usize,
    /// The number behind the last one that was received for the first time.
    next_new: usize,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Ledger {
    life: u32,
    lines: [Line; SENDERS],
    sums: Sums,
}

/// The number of each thing that happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    pub crashes: u64,
    pub sent: u64,
    pub acknowledged: u64,
    /// Received for the first time.
    pub received: u64,
    pub received_again: u64,
    pub settled: u64,
    pub fenced: u64,
    /// Settlements that a kill has undone.
    pub unsettled: u64,
    /// Orders that were received without an acknowledgement.
    pub unanswered_yet_received: u64,
    /// Orders that were neither answered nor received.
    pub lost_in_doubt: u64,
    /// Ends of the journal that a start had to cut off.
    pub torn_tails: usize,
    /// Segments that were begun.
    pub segments: u64,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.received += other.received;
        self.received_again += other.received_again;
        self.settled += other.settled;
        self.fenced += other.fenced;
        self.unsettled += other.unsettled;
        self.unanswered_yet_received += other.unanswered_yet_received;
        self.lost_in_doubt += other.lost_in_doubt;
        self.torn_tails += other.torn_tails;
        self.segments += other.segments;
    }
}

/// The last orders that one connection has received, of each sender.
#[derive(Debug, Default)]
pub struct Passed([Option<usize>; SENDERS]);

impl Ledger {
    /// The server was started once more.
    pub fn begin_life(&mut self) {
        self.life += 1;
    }

    /// Notes that the next order of a sender is about to be sent.
    pub fn send(&mut self, sender: usize) -> Key {
        let orders = &mut self.lines[sender].orders;
        orders.push(Order {
            is_acknowledged: false,
            was_received: false,
            settlement: Settlement::None,
        });
        self.sums.sent += 1;
        let number = orders.len() - 1;
        Key { sender, number }
    }

    pub fn acknowledge(&mut self, key: Key) {
        let line = &mut self.lines[key.sender];
        let order = &mut line.orders[key.number];
        assert!(!order.is_acknowledged, "acknowledged twice: {key:?}");
        assert!(
            order.was_received || key.number >= line.next_new,
            "acknowledged after a later one came without it: {key:?}"
        );
        order.is_acknowledged = true;
        self.sums.acknowledged += 1;
    }

    /// Notes a reception, and checks that it was due now.
    pub fn receive(&mut self, key: Key, passed: &mut Passed) {
        let line = &mut self.lines[key.sender];
        assert!(key.number < line.orders.len(), "never sent: {key:?}");
        let last = &mut passed.0[key.sender];
        assert!(
            last.is_none_or(|last| last < key.number),
            "came behind {last:?}: {key:?}"
        );
        line.pass_over();
        let from = last.map_or(line.first_open, |last| last + 1);
        let mut between = (from..key.number).filter(|&number| line.orders[number].is_due());
        let missing = between.next();
        assert!(missing.is_none(), "{missing:?} did not come before {key:?}");
        *last = Some(key.number);

        let order = &mut line.orders[key.number];
        match order.settlement {
            Settlement::None => {}
            Settlement::Fenced => panic!("settled for good, and came again: {key:?}"),
            Settlement::Sent(life) if life == self.life => {}
            Settlement::Sent(_) => {
                order.settlement = Settlement::None;
                self.sums.unsettled += 1;
            }
        }
        if order.was_received {
            self.sums.received_again += 1;
            return;
        }
        order.was_received = true;
        self.sums.received += 1;
        assert!(
            key.number >= line.next_new,
            "came for the first time behind {}: {key:?}",
            line.next_new
        );
        line.next_new = key.number + 1;
    }

    /// Notes that the receiver is about to settle an order.
    pub fn settle(&mut self, key: Key) {
        let order = &mut self.lines[key.sender].orders[key.number];
        assert!(order.was_received, "a mistake of this test: {key:?}");
        order.settlement = Settlement::Sent(self.life);
        self.sums.settled += 1;
    }

    /// Notes that the server has the settlement on disk.
    pub fn fence(&mut self, key: Key) {
        let order = &mut self.lines[key.sender].orders[key.number];
        order.settlement = Settlement::Fenced;
        self.sums.fenced += 1;
    }

    /// The number of orders that the server keeps, or may keep.
    pub fn backlog(&self) -> u64 {
        self.sums.acknowledged.saturating_sub(self.sums.fenced)
    }

    /// The orders that must still come.
    pub fn due(&self) -> Vec<Key> {
        let mut due = Vec::new();
        for (sender, line) in self.lines.iter().enumerate() {
            let is_due = |&number: &usize| line.orders[number].is_due();
            let numbers = (0..line.orders.len()).filter(is_due);
            due.extend(numbers.map(|number| Key { sender, number }));
        }
        due
    }

    /// What happened, at the end. Fails if something acknowledged was never received.
    pub fn sums(&self) -> Sums {
        let mut sums = self.sums;
        for (sender, line) in self.lines.iter().enumerate() {
            for (number, order) in line.orders.iter().enumerate() {
                let key = Key { sender, number };
                match (order.is_acknowledged, order.was_received) {
                    (true, received) => assert!(received, "never received: {key:?}"),
                    (false, true) => sums.unanswered_yet_received += 1,
                    (false, false) => sums.lost_in_doubt += 1,
                }
            }
        }
        sums
    }
}

impl Line {
    /// Moves on past the orders that won't come any more.
    fn pass_over(&mut self) {
        while let Some(order) = self.orders.get(self.first_open) {
            // One that is not on disk can't come once a later one did.
            let is_lost =
                !order.is_acknowledged && !order.was_received && self.first_open < self.next_new;
            if !is_lost && order.settlement != Settlement::Fenced {
                return;
            }
            self.first_open += 1;
        }
    }
}
