//! The books find the faults in made-up histories.

use super::{
    Fate, Gap, Key, Kind, Ledger, Life, Receiver, Seen, SenderLife, Sent, Undelivered, Way,
};

const NAME: &str = "a-receiver";

/// Orders of one sender to one receiver, and their fates.
struct History {
    sender: SenderLife,
    receiver: Receiver,
}

fn key(number: u64) -> Key {
    Key {
        sender: 1,
        life: 0,
        number,
    }
}

impl History {
    /// So many accepted orders, and a receiver with connections that saw these,
    /// and ended in order or not.
    fn of(orders: u64, lives: &[(&[u64], bool)]) -> Self {
        let sent = (0..orders).map(|number| Sent {
            key: key(number),
            target: Some(NAME),
            kind: Kind::Order,
            frame: format!("order {number}").into(),
            fate: Fate::Accepted { dropped: 0 },
        });
        let seen = |&number: &u64| Seen {
            key: key(number),
            frame: format!("order {number}").into(),
        };
        let lives = lives.iter().map(|(numbers, whole)| Life {
            seen: numbers.iter().map(seen).collect(),
            gaps: Vec::new(),
            whole: *whole,
        });
        Self {
            sender: SenderLife {
                sender: 1,
                life: 0,
                way: Way::Once,
                sent: sent.collect(),
                reports: Vec::new(),
                resent: 0,
                in_order: true,
                stayed: true,
            },
            receiver: Receiver {
                names: vec![NAME],
                stays: lives.len() == 1,
                lives: lives.collect(),
            },
        }
    }

    fn told(mut self, number: usize, fate: Fate) -> Self {
        self.sender.sent[number].fate = fate;
        self
    }

    fn reported(mut self, first: u64, count: u64) -> Self {
        self.sender.reports.push(Undelivered {
            target: NAME.into(),
            count,
            first: key(first),
        });
        self
    }

    /// The receiver was told, behind so many, that it missed these of its name.
    fn missed(mut self, place: usize, count: u64, first: u64, last: u64) -> Self {
        self.receiver.lives[0].gaps.push(Gap {
            place,
            name: Some(NAME.into()),
            count,
            first: Some(key(first)),
            last: Some(key(last)),
        });
        self
    }

    fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    #[track_caller]
    fn holds(self) {
        let Self { sender, receiver } = self;
        if let Err(fault) = Ledger::check(&[sender], &[receiver]) {
            panic!("nothing is wrong with it: {fault}");
        }
    }

    #[track_caller]
    fn fails(self, number: u64, what: &str) {
        let Self { sender, receiver } = self;
        let fault = Ledger::check(&[sender], &[receiver]).expect_err("something is wrong");
        let expected = format!("{} {what}", key(number));
        assert!(fault.what.starts_with(&expected), "{fault}");
        let marked = fault.page.lines().find(|line| line.starts_with('>'));
        assert!(
            marked.is_some_and(|line| line.contains(&key(number).to_string())),
            "{fault}"
        );
    }
}

fn refused(code: &str) -> Fate {
    Fate::Refused(code.into())
}

#[test]
fn what_arrived_once_and_in_order_is_well() {
    History::of(3, &[(&[0, 1, 2], true)]).holds();
    History::of(4, &[(&[0, 1], true), (&[2, 3], true)]).holds();
}

#[test]
fn a_receiver_that_stayed_lost_nothing() {
    History::of(3, &[(&[0, 2], true)]).fails(1, "is lost, though its receiver stayed");
    History::of(3, &[(&[1, 2], true)]).fails(0, "is lost, though its receiver stayed");
    History::of(3, &[(&[0, 1], true)]).fails(2, "is lost, though its receiver stayed");
    // Nor did one that had other connections before or after.
    History::of(4, &[(&[0, 2], false), (&[3], true)]).fails(1, "is lost, though its receiver");
}

#[test]
fn order_is_held() {
    History::of(3, &[(&[0, 2, 1], true)]).fails(2, "was seen out of order");
    History::of(2, &[(&[1], true), (&[0], true)]).fails(1, "was seen out of order");
}

#[test]
fn what_waited_when_a_receiver_left_in_order_is_reported_or_lost() {
    let lives: &[(&[u64], bool)] = &[(&[0, 1], true), (&[4], true)];
    History::of(5, lives).fails(2, "is lost, though every receiver left in order");
    History::of(5, lives).reported(2, 2).holds();
    History::of(5, lives)
        .reported(2, 1)
        .fails(3, "is lost, though every receiver left in order");
    History::of(5, lives)
        .reported(3, 1)
        .fails(2, "is lost, though every receiver left in order");
    History::of(5, lives)
        .reported(2, 3)
        .fails(2, "a report counts 1 more");
    // It was told all, but had left before.
    History::of(5, lives)
        .changed(|history| history.sender.stayed = false)
        .holds();
}

#[test]
fn an_ack_may_be_reported_though_nothing_told_that_it_was_accepted() {
    let unknown = |kind| {
        let lives: &[(&[u64], bool)] = &[(&[0], true), (&[], true)];
        let cut_off = |history: &mut History| {
            history.sender.in_order = false;
            history.sender.sent[1].kind = kind;
        };
        let history = History::of(2, lives).told(1, Fate::Unknown);
        history.reported(1, 1).changed(cut_off)
    };
    unknown(Kind::Ack).holds();
    unknown(Kind::Order).fails(0, "a report begins with");
}

#[test]
fn reports_of_two_endings_may_be_one() {
    let lives: &[(&[u64], bool)] = &[(&[0], true), (&[2, 3], true), (&[6], true)];
    History::of(7, lives).reported(1, 3).holds();
    History::of(7, lives).reported(1, 2).fails(5, "is lost");
    History::of(7, lives).reported(1, 1).reported(4, 2).holds();
    History::of(7, lives)
        .reported(1, 3)
        .reported(4, 2)
        .fails(4, "was reported undelivered twice");
}

#[test]
fn the_kernel_loses_the_last_before_a_break_and_nothing_else() {
    let lives: &[(&[u64], bool)] = &[(&[0, 1], false), (&[6], true)];
    History::of(7, lives).holds();
    History::of(7, lives).reported(4, 2).holds();
    // Two stretches, but one break.
    let in_the_middle = History::of(7, lives).reported(3, 1);
    in_the_middle.fails(4, "is lost, but not with those that the kernel had");
    let lives: &[(&[u64], bool)] = &[(&[0, 1], false), (&[], false), (&[6], true)];
    History::of(7, lives).reported(3, 1).holds();
}

#[test]
fn one_that_was_partly_written_may_be_seen_twice() {
    History::of(4, &[(&[0, 1], true), (&[1, 2, 3], true)]).holds();
    History::of(4, &[(&[0, 1, 2], true), (&[1, 2, 3], true)]).fails(1, "was seen twice");
    History::of(4, &[(&[0, 1], true), (&[0, 1, 2, 3], true)]).fails(0, "was seen twice");
    History::of(2, &[(&[0, 0, 1], true)]).fails(0, "was seen twice");
    // Or be seen, and reported.
    let lives: &[(&[u64], bool)] = &[(&[0, 1], true), (&[3], true)];
    History::of(4, lives).reported(1, 2).holds();
    History::of(4, lives)
        .reported(0, 2)
        .fails(0, "was reported undelivered, but seen");
}

#[test]
fn answers_are_held_against_what_was_seen() {
    let lives: &[(&[u64], bool)] = &[(&[0, 2], true), (&[], true)];
    History::of(3, lives)
        .told(1, refused("TARGET_UNAVAILABLE"))
        .holds();
    History::of(3, lives).told(1, refused("QUEUE_FULL")).holds();
    History::of(3, lives)
        .told(1, refused("INVALID_JSON"))
        .fails(1, "can't have been refused");
    History::of(3, lives)
        .told(2, refused("QUEUE_FULL"))
        .fails(2, "was refused, but seen");
    let stays: &[(&[u64], bool)] = &[(&[0, 2], true)];
    let unavailable = History::of(3, stays).told(1, refused("TARGET_UNAVAILABLE"));
    unavailable.fails(1, "can't have been refused");
    History::of(3, lives)
        .told(1, Fate::Unknown)
        .fails(1, "was never answered");
    let cut = History::of(3, lives).told(1, Fate::Unknown);
    cut.changed(|history| history.sender.in_order = false)
        .holds();
    let dropped = Fate::Accepted { dropped: 1 };
    History::of(3, lives)
        .told(1, dropped.clone())
        .fails(1, "must not be dropped");
    let record = |history: &mut History| history.sender.sent[1].kind = Kind::LogRecord;
    History::of(3, lives)
        .told(1, dropped.clone())
        .changed(record)
        .missed(1, 1, 1, 1)
        .holds();
    let seen = History::of(3, &[(&[0, 1, 2], true)])
        .told(1, dropped)
        .changed(record);
    seen.fails(1, "was dropped, but seen");
}

#[test]
fn nothing_is_altered_or_made_up() {
    let altered = History::of(1, &[(&[0], true)])
        .changed(|history| history.receiver.lives[0].seen[0].frame = "0rder 0".into());
    let fault = Ledger::check(&[altered.sender], &[altered.receiver]).expect_err("altered");
    assert!(fault.what.contains("altered"), "{fault}");
    let made_up = History::of(1, &[(&[0, 1], true)]);
    let fault = Ledger::check(&[made_up.sender], &[made_up.receiver]).expect_err("made up");
    assert!(fault.what.contains("nobody sent"), "{fault}");
}

/// To everyone instead, which is one receiver.
fn broadcast(history: &mut History) {
    for sent in &mut history.sender.sent {
        sent.target = None;
    }
}

/// All that was sent may be dropped.
fn records(history: &mut History) {
    for sent in &mut history.sender.sent {
        sent.kind = Kind::LogRecord;
    }
}

#[test]
fn who_missed_something_is_told_in_the_right_place() {
    let dropped = || Fate::Accepted { dropped: 1 };
    let history = || {
        let history = History::of(6, &[(&[0, 1, 4, 5], true)]).changed(records);
        history.told(2, dropped()).told(3, dropped())
    };
    history().missed(2, 2, 2, 3).holds();
    history().fails(2, "was dropped, and its receiver not told");
    history()
        .missed(1, 2, 2, 3)
        .fails(2, "was dropped, and its receiver not told");
    history()
        .missed(3, 2, 2, 3)
        .fails(2, "was dropped, and its receiver not told");
    history()
        .missed(2, 2, 1, 3)
        .fails(1, "was told dropped, but was not");
    history()
        .missed(2, 2, 2, 4)
        .fails(4, "was told dropped, but was not");
    for count in [1, 3] {
        let History { sender, receiver } = history().missed(2, count, 2, 3);
        let fault = Ledger::check(&[sender], &[receiver]).expect_err("two are missing");
        assert!(
            fault.what.contains(&format!("was told of {count}")),
            "{fault}"
        );
    }
    let last = History::of(2, &[(&[0], true)]).changed(records);
    let last = last.told(1, dropped());
    let History { sender, receiver } = last;
    let fault = Ledger::check(&[sender], &[receiver]).expect_err("it is not told of the last");
    assert!(fault.what.contains("was told of 0"), "{fault}");
}

#[test]
fn a_broadcast_is_missed_only_by_those_for_whom_it_was_dropped() {
    let dropped = Fate::Accepted { dropped: 1 };
    let missing = || History::of(3, &[(&[0, 2], true)]).changed(broadcast);
    missing().fails(1, "was missed by 1 who were there");
    missing().told(1, dropped.clone()).holds();
    let first = || History::of(3, &[(&[1, 2], true)]).changed(broadcast);
    first().fails(0, "was missed by 1 who were there");
    // A receiver that came later may not have been there.
    first()
        .changed(|history| history.receiver.stays = false)
        .holds();
    let last = History::of(3, &[(&[0, 1], true)]).changed(broadcast);
    last.fails(2, "was missed by 1 who were there");
    History::of(3, &[(&[0, 2, 1], true)])
        .changed(broadcast)
        .fails(2, "was seen out of order");
    History::of(2, &[(&[0, 0, 1], true)])
        .changed(broadcast)
        .fails(0, "was seen twice");
    // Two connections of one receiver are two receivers.
    let twice = History::of(2, &[(&[0, 1], true), (&[0, 1], true)]).changed(broadcast);
    twice.holds();
}

fn sent_by(way: Way) -> impl FnOnce(&mut History) {
    move |history| {
        history.sender.way = way;
        history.sender.in_order = false;
        history.sender.stayed = false;
    }
}

#[test]
fn what_is_left_of_an_earlier_connection_may_come_late_if_its_fate_is_unknown() {
    let history = |way| History::of(3, &[(&[0, 2, 1], true)]).changed(sent_by(way));
    history(Way::Several).told(1, Fate::Unknown).holds();
    history(Way::Resumed).told(1, Fate::Unknown).holds();
    history(Way::Once)
        .told(1, Fate::Unknown)
        .fails(2, "was seen out of order");
    history(Way::Several).fails(2, "was seen out of order");
    for fate in [Fate::Unknown, Fate::Accepted { dropped: 0 }] {
        History::of(3, &[(&[0, 1, 2, 1], true)])
            .changed(sent_by(Way::Several))
            .told(1, fate)
            .fails(1, "was seen twice");
    }
}

#[test]
fn what_is_sent_again_may_have_been_given_up_before() {
    let late: &[(&[u64], bool)] = &[(&[0, 2], false), (&[1], true)];
    let history = |way| History::of(3, late).changed(sent_by(way));
    history(Way::Resumed).holds();
    history(Way::Several).fails(2, "was seen out of order");
    let lives: &[(&[u64], bool)] = &[(&[0], true), (&[1, 2], true)];
    let history = |way| History::of(3, lives).changed(sent_by(way)).reported(1, 1);
    history(Way::Resumed).holds();
    history(Way::Several).fails(1, "was reported undelivered, but seen");
    // Or it was refused the second time.
    let lives: &[(&[u64], bool)] = &[(&[0], true), (&[2], true)];
    let history = |way| History::of(3, lives).changed(sent_by(way)).reported(1, 1);
    history(Way::Resumed)
        .told(1, refused("TARGET_UNAVAILABLE"))
        .holds();
    history(Way::Several)
        .told(1, refused("TARGET_UNAVAILABLE"))
        .fails(0, "a report begins with");
    // A receiver that stays has given up nothing.
    let history = |lives| History::of(3, lives).changed(sent_by(Way::Resumed));
    history(&[(&[0, 2, 1], true)]).fails(2, "was seen out of order");
    history(&[(&[0, 2], true)]).fails(1, "is lost, though its receiver stayed");
    history(&[(&[0, 1, 2, 1], true)]).fails(1, "was seen twice");
}
