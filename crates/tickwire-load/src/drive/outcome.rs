//! The results of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Plan;
use crate::count::{Arrivals, Counting, Replies};
use crate::latency::Latency;
use crate::load::Load;
use crate::progress::number;

/// The results of a load.
#[derive(Debug)]
pub struct Outcome<'a> {
    load: &'a Load,
    counting: Counting,
    /// Messages written.
    pub sent: u64,
    /// The number of them that get an answer when they are accepted.
    pub answerable: u64,
    /// Bytes that a receiver of everything must have got.
    due_bytes: u64,
    /// The arrivals at each receiver.
    pub arrivals: Vec<Arrivals<'a>>,
    /// The answers at each sender, and the number of messages that it sent.
    pub replies: Vec<(Replies<'a>, u64)>,
    /// The time from the first write to the last delivery.
    pub delivering: Duration,
    /// The time from the first write to the last answer.
    pub answering: Duration,
    /// Latencies from due times to arrivals, if there were due times.
    pub latency: Option<Latency>,
    /// The lateness of the writes.
    pub late: Option<Latency>,
    /// Bytes that arrived a second within the plan's window.
    pub bytes_per_second: f64,
    /// Messages that were answered a second within it; 0 if too few were.
    pub answers_per_second: f64,
    /// Whether it was given up because nothing arrived any more.
    pub stalled: bool,
    /// Reasons why connections broke.
    pub broken: Vec<String>,
}

/// The counts of all connections together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages written.
    pub sent: u64,
    /// Deliveries that were to come of them.
    pub due: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were passed over.
    pub missing: u64,
    /// Bytes that arrived, prefixes included.
    pub bytes: u64,
    /// Frames that were not sent here.
    pub foreign: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Frames that acknowledged them.
    pub ack_frames: u64,
    /// Receivers that missed an acknowledged message.
    pub dropped: u64,
    /// Messages refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Messages that were neither acknowledged nor refused, and should be.
    pub unanswered: u64,
}

impl Totals {
    /// Messages refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Deliveries that didn't come.
    pub fn undelivered(&self) -> u64 {
        self.due.saturating_sub(self.delivered)
    }
}

impl<'a> Outcome<'a> {
    pub(super) fn new(load: &'a Load, plan: &Plan) -> Self {
        Self {
            load,
            counting: plan.counting,
            sent: 0,
            answerable: 0,
            due_bytes: 0,
            arrivals: Vec::new(),
            replies: Vec::new(),
            delivering: Duration::ZERO,
            answering: Duration::ZERO,
            latency: None,
            late: None,
            bytes_per_second: 0.0,
            answers_per_second: 0.0,
            stalled: false,
            broken: Vec::new(),
        }
    }

    /// Adds a sender and the messages that it has written.
    pub(super) fn add_sender(&mut self, stream: usize, replies: Replies<'a>, sent: u64) {
        let stream = &self.load.streams[stream];
        self.sent += sent;
        self.answerable += stream.answered_of(sent);
        self.due_bytes += stream.arrived_of(sent);
        self.replies.push((replies, sent));
    }

    /// Adds all connections up.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            sent: self.sent,
            due: self.sent * self.load.copies(),
            ..Totals::default()
        };
        for deliveries in self.arrivals.iter().filter_map(Arrivals::messages) {
            totals.delivered += deliveries.delivered;
            totals.missing += deliveries.missing;
            totals.bytes += deliveries.bytes;
            totals.foreign += deliveries.foreign;
        }
        let (mut due, mut answered) = (0, 0);
        for (replies, sent) in &self.replies {
            due += replies.due(*sent);
            let Some(answers) = replies.exact() else {
                answered += replies.settled();
                continue;
            };
            answered += answers.acknowledged + answers.refused_in_all();
            totals.acknowledged += answers.acknowledged;
            totals.ack_frames += answers.ack_frames;
            totals.dropped += answers.dropped;
            for (code, count) in &answers.refused {
                *totals.refused.entry(code.clone()).or_default() += count;
            }
        }
        totals.unanswered = due.saturating_sub(answered);
        totals
    }

    /// Everything that did not go as it should, in words.
    pub fn faults(&self, totals: &Totals) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, text: &str| {
            if count > 0 {
                faults.push(format!("{} {text}", number(count)));
            }
        };
        if self.counting == Counting::Messages {
            fault(totals.undelivered(), "sent but not delivered");
        }
        fault(
            totals.unanswered,
            "sent but neither acknowledged nor refused",
        );
        fault(totals.foreign, "frames arrived that were not sent here");
        fault(totals.dropped, "dropped by the server for a receiver");
        for (code, count) in &totals.refused {
            fault(*count, &format!("refused: {code}"));
        }
        let deliveries = || self.arrivals.iter().filter_map(Arrivals::messages);
        let answers = || {
            self.replies
                .iter()
                .filter_map(|(replies, _)| replies.exact())
        };
        // Gaps are counted forward, so whatever comes twice or too late looks
        // like a gap nearly as long as a round.
        if deliveries().map(|d| d.settled()).sum::<u64>() > totals.due {
            faults.push("messages arrived out of order or more than once".to_owned());
        }
        let settled = self.replies.iter().map(|(replies, _)| replies.settled());
        if settled.sum::<u64>() > totals.sent {
            faults.push("answers arrived out of order or more than once".to_owned());
        }
        if self.stalled {
            faults.push("nothing arrived any more, so it was given up".to_owned());
        }
        faults.extend(self.broken.iter().take(10).cloned());
        let notices = deliveries().flat_map(|d| &d.notices);
        let notices = notices.chain(answers().flat_map(|a| &a.notices)).take(20);
        faults.extend(notices.map(|notice| format!("the server says {notice}")));
        faults
    }

    /// The first receiver's bytes that don't agree with those that were sent, in
    /// words. `stray` more are allowed.
    pub fn wrong_bytes(&self, stray: u64) -> Option<String> {
        self.arrivals.iter().find_map(|arrivals| {
            let (arrived, due) = (arrivals.bytes(), self.due_bytes);
            match arrived.checked_sub(due) {
                None => Some(format!("{} bytes didn't arrive", due - arrived)),
                Some(excess) if excess == 0 || excess == stray => None,
                Some(excess) => Some(format!("{excess} bytes arrived that were not sent")),
            }
        })
    }
}
