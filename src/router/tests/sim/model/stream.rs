//! The bytes that a session writes, held against the promises.

use serde_json::Value;

use super::queue::{Item, Queue};
use super::{Connection, Expected, Model, Report};
use crate::limits::BATCH_ACK_MESSAGES_MAX;
use crate::router::tests::sim::messages::SERVER;

impl Model {
    /// The session of `connection` wrote `bytes`: they are in the kernel.
    pub(in super::super) fn wrote(&mut self, connection: usize, bytes: &[u8]) {
        let mut partial = std::mem::take(&mut self.connections[connection].partial);
        partial.extend_from_slice(bytes);
        let mut at = 0;
        let writer = &mut self.connections[connection];
        writer.bytes_written += bytes.len();
        let start = writer.bytes_written - partial.len();
        while let Some(prefix) = partial[at..].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
            let Some(frame) = partial.get(at..end) else {
                break;
            };
            let answered = self.wrote_frame(connection, frame);
            self.settle_releases(connection);
            let writer = &mut self.connections[connection];
            let answers = answered.into_iter().map(|number| (number, start + end));
            writer.answers.extend(answers);
            writer.frames_written += 1;
            at = end;
        }
        partial.drain(..at);
        self.connections[connection].partial = partial;
    }

    /// Says which messages it answers.
    fn wrote_frame(&mut self, connection: usize, frame: &[u8]) -> Vec<usize> {
        if let Some(&number) = self.by_frame.get(frame) {
            self.delivered(connection, number);
            return Vec::new();
        }
        let message: Value = serde_json::from_slice(&frame[4..]).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(frame);
            panic!("stream: nobody sent this, and it is no JSON ({error}): {text:?}")
        });
        assert_eq!(message["source"], SERVER, "stream: nobody sent {message}");
        match message["payload"]["code"].as_str() {
            Some("MESSAGES_DROPPED") => {
                self.told_of_a_gap(connection, &message);
                Vec::new()
            }
            _ => self.answered(connection, &message),
        }
    }

    // ---- messages ----

    fn delivered(&mut self, connection: usize, original: usize) {
        let is_limited = self.is_handed(connection);
        if let Some(Item::Message(begun)) = self.finishes(connection, Item::Message(original)) {
            self.records[begun].repeated += 1;
            self.meet("a frame is finished by the owner before");
            return;
        }
        let target = self.records[original].message.target.clone();
        if target.is_none() && self.arrives_as_latest(connection, original) {
            return;
        }
        let queue = self.queue_of(connection, target.as_deref());
        let (front, is_shared) = (queue.front(), queue.is_shared());
        let frames: Vec<usize> = match front {
            Some(Item::Message(front)) if !is_shared => vec![front],
            _ if is_shared => queue.frames().collect(),
            _ => Vec::new(),
        };
        let is_it = |&number: &usize| self.original(number) == original;
        let copies: Vec<usize> = frames.into_iter().filter(is_it).collect();
        let Some(&number) = copies.first() else {
            panic!("order: {original} for {target:?}, and should be {front:?}");
        };
        let queue = self.queue_of(connection, target.as_deref());
        if copies.len() > 1 {
            queue.note_copies();
        }
        queue.pull(number, is_limited);
        self.records[number].delivered += 1;
    }

    /// Follows the report of a drop, in its place.
    fn told_of_a_gap(&mut self, connection: usize, report: &Value) {
        let details = &report["payload"]["details"];
        let count = details["count"].as_u64().expect("a number");
        let [first, last] = ["first_msg_id", "last_msg_id"]
            .map(|field| self.by_id[details[field].as_str().expect("an id")]);
        if self.finishes(connection, Item::Missed(first)).is_some() {
            self.meet("a report is finished by the owner before");
            return;
        }
        let name = details["name"].as_str();
        assert_eq!(report["target"].as_str(), name, "gaps: to whom");
        self.meet("a receiver is told MESSAGES_DROPPED");
        let receiver = &self.connections[connection];
        let in_plain_queue = !receiver.broadcasts.is_empty() || !receiver.subscriptions.conflates;
        if name.is_none() && !in_plain_queue {
            return self.told_of_latest(connection, (first, last), count);
        }
        let queue = self.known_queue_of(connection, name);
        let (front, is_shared) = (queue.front(), queue.is_shared());
        let places: Vec<Item> = match front {
            Some(front) if !is_shared => vec![front],
            _ => queue.items().collect(),
        };
        let copies = places.iter().filter_map(|item| match item {
            Item::Missed(number) => Some(*number).filter(|&copy| self.original(copy) == first),
            Item::Message(_) => None,
        });
        let copies: Vec<usize> = copies.collect();
        // Hearers may be told of several copies of one message in any order. A
        // place holds two reports where an owner with a flow-control window
        // took the first one before the same read dropped more.
        let fit = |&&copy: &&usize| {
            let missed = queue.missed_from(copy, usize::MAX);
            let end = missed.get(count as usize - 1);
            let ends_alike = end.is_some_and(|&number| self.original(number) == last);
            (ends_alike, missed.len() as u64 == count)
        };
        let found = copies.iter().rev().max_by_key(fit);
        let Some(&first) = found else {
            panic!("gaps: {report}, and should be {front:?}");
        };
        let queue = self.queue_of(connection, name);
        let missed = queue.pull_missed(first, count as usize);
        assert_eq!(
            missed.len() as u64,
            count,
            "gaps: how many were dropped here"
        );
        for &number in &missed {
            self.records[number].missed += 1;
        }
        let expected = missed.last().map(|&number| self.original(number));
        assert_eq!(expected, Some(last), "gaps: the last");
    }

    /// The frame of a lost name that `connection` had begun, if it has finished
    /// that by `item`.
    fn finishes(&mut self, connection: usize, item: Item) -> Option<Item> {
        let writer = &mut self.connections[connection];
        let begun = std::mem::take(&mut writer.begun);
        let written = writer.frames_written;
        let same = |begun: Item| match (begun, item) {
            (Item::Message(begun), Item::Message(item)) => self.original(begun) == item,
            (Item::Missed(begun), Item::Missed(item)) => self.original(begun) == item,
            _ => false,
        };
        let mut begun = begun.into_iter();
        let found = begun.find(|&(begun, number)| number == written && same(begun));
        found.map(|(begun, _)| begun)
    }

    /// The queue of a name that `connection` owns, or of its broadcasts.
    fn queue_of(&mut self, connection: usize, name: Option<&str>) -> &mut Queue {
        let Some(name) = name else {
            return &mut self.connections[connection].broadcasts;
        };
        let held = self.names.get_mut(name);
        let held = held.filter(|held| held.owners().any(|owner| owner == connection));
        let held = held.unwrap_or_else(|| panic!("delivery: {name:?} is not {connection}'s"));
        &mut held.queue
    }

    /// The same, to look at.
    fn known_queue_of(&self, connection: usize, name: Option<&str>) -> &Queue {
        match name {
            None => &self.connections[connection].broadcasts,
            Some(name) => match self.names.get(name) {
                Some(held) if held.owners().any(|owner| owner == connection) => &held.queue,
                _ => panic!("delivery: {name:?} is not {connection}'s"),
            },
        }
    }

    // ---- answers ----

    /// Says which messages.
    fn answered(&mut self, connection: usize, answer: &Value) -> Vec<usize> {
        let payload = &answer["payload"];
        let receiver = &mut self.connections[connection];
        receiver.begun.clear();
        let mut about = Vec::new();
        if answer["msg_type"] == "ack" && payload.get("acknowledged_msg_ids").is_some() {
            about = self.answered_together(connection, payload);
        } else {
            let Some(expected) = receiver.expected.pop_front() else {
                panic!("answers: nothing is to be said, and this is: {answer}")
            };
            let (right, message) = self.is_right(&expected, answer);
            assert!(right, "answers: {answer}, and should be {expected:?}");
            about.extend(message);
        }
        for &number in &about {
            let record = &mut self.records[number];
            record.answered += 1;
            assert_eq!(record.sender, connection, "answers: on another connection");
        }
        about
    }

    /// Whether `answer` is the expected one, and the message that it answers.
    fn is_right(&self, expected: &Expected, answer: &Value) -> (bool, Option<usize>) {
        let payload = &answer["payload"];
        let details = &payload["details"];
        let is_error = |code: &str| answer["msg_type"] == "error" && payload["code"] == code;
        match expected {
            Expected::Ack { batch: Some(_), .. } => (false, None),
            Expected::Ack {
                message,
                missed,
                unsure,
                details,
                batch: None,
            } => {
                let dropped = payload.get("dropped");
                let right = answer["msg_type"] == "ack"
                    && answer["target"] == self.records[*message].message.source
                    && payload["acknowledged_msg_id"] == self.records[*message].message.id
                    && (dropped.is_some() == *details || dropped.is_some_and(|sum| *sum != 0))
                    && is_between(dropped, *missed, *unsure);
                (right, Some(*message))
            }
            Expected::Error { code, message } => {
                let id =
                    message.map(|number| Value::from(self.records[number].message.id.as_str()));
                (
                    is_error(code) && details.get("msg_id") == id.as_ref(),
                    *message,
                )
            }
            Expected::Welcome {
                message,
                names,
                resumable,
                resume,
                window,
            } => {
                let granted = &payload["granted"];
                let right = answer["msg_type"] == "welcome"
                    && payload["hello_msg_id"] == self.records[*message].message.id
                    && payload["names"] == Value::from(names.clone())
                    && granted["resumable"] == *resumable
                    && granted["resume"] == *resume
                    && granted.get("window") == window.map(Value::from).as_ref();
                (right, Some(*message))
            }
            Expected::Report(Report::TakenOver(name)) => (
                is_error("NAME_TAKEN_OVER") && details["name"] == *name,
                None,
            ),
            Expected::Report(Report::Undelivered {
                target,
                count,
                first,
            }) => {
                let tells = self.tells_undelivered(details, target, *count, *first);
                (is_error("UNDELIVERED") && tells, None)
            }
        }
    }

    fn tells_undelivered(
        &self,
        details: &Value,
        target: &str,
        count: u64,
        first: Option<usize>,
    ) -> bool {
        let is_first = |first: usize| details["first_msg_id"] == self.records[first].message.id;
        details["target"] == target && details["count"] == count && first.is_none_or(is_first)
    }

    /// One ack for all that was accepted in one read without another answer in
    /// between.
    fn answered_together(&mut self, connection: usize, payload: &Value) -> Vec<usize> {
        let expected = &mut self.connections[connection].expected;
        let ids = payload["acknowledged_msg_ids"].as_array().expect("a list");
        assert_eq!(
            ids.last(),
            Some(&payload["acknowledged_msg_id"]),
            "answers: the last id"
        );
        let mut about = Vec::new();
        let mut each = Vec::new();
        let mut read = None;
        let mut with_details = false;
        for id in ids {
            let Some(Expected::Ack {
                message,
                missed,
                unsure,
                details,
                batch: Some(call),
            }) = expected.pop_front()
            else {
                panic!("answers: {id} is in a batch, and should not be")
            };
            assert_eq!(
                *id, self.records[message].message.id,
                "answers: order in a batch"
            );
            assert_eq!(
                *read.get_or_insert(call),
                call,
                "answers: a batch of two reads"
            );
            about.push(message);
            each.push((missed, unsure));
            with_details = details;
        }
        if about.len() > 1 {
            *self.met.entry("a batch has several").or_default() += 1;
        }
        if let Some(Expected::Ack { batch, .. }) = expected.front() {
            let cut = *batch == read && ids.len() < BATCH_ACK_MESSAGES_MAX;
            assert!(!cut, "answers: a batch is cut short");
        }
        let dropped = payload.get("dropped");
        let right = if with_details {
            let told = dropped.and_then(Value::as_array).expect("a list");
            let all = told.len() == each.len();
            let mut pairs = told.iter().zip(&each);
            all && pairs.all(|(told, (missed, unsure))| is_between(Some(told), *missed, *unsure))
        } else {
            let missed = each.iter().map(|(missed, _)| missed).sum();
            let unsure = each.iter().map(|(_, unsure)| unsure).sum();
            dropped.is_none_or(|sum| *sum != 0) && is_between(dropped, missed, unsure)
        };
        assert!(
            right,
            "answers: dropped of a batch: {dropped:?} of {each:?}"
        );
        about
    }

    // ---- the rest ----

    /// Whether anything is to be written to `connection` now, or to be attended
    /// to by it.
    pub(in super::super) fn waits_for(&self, connection: usize) -> Option<&'static str> {
        let receiver = &self.connections[connection];
        if !receiver.reports.is_empty() {
            return Some("a report");
        }
        self.has_output(connection, receiver)
    }

    fn has_output(&self, connection: usize, receiver: &Connection) -> Option<&'static str> {
        if !receiver.expected.is_empty() {
            return Some("an answer");
        }
        if !self.may_be_handed(connection) {
            return None;
        }
        if !receiver.ended && !receiver.broadcasts.is_empty() {
            return Some("a broadcast");
        }
        let mail = |held: &super::Held| held.owner == Some(connection) && !held.queue.is_empty();
        self.names.values().any(mail).then_some("mail")
    }

    /// A name with an owner for which something is queued that it may be handed.
    pub(in super::super) fn unread_name(&self) -> Option<&str> {
        // A message bound to one member isn't for another.
        let owned = self.names.iter().filter(|(_, held)| match held.key() {
            Some(_) => held.owners().all(|owner| self.may_be_handed(owner)),
            None => held.owners().any(|owner| self.may_be_handed(owner)),
        });
        let mut unread = owned.filter(|(_, held)| !held.queue.is_empty());
        unread.next().map(|(name, _)| name.as_str())
    }

    /// Whether answers are to be written to `connection`.
    pub(in super::super) fn has_answers(&self, connection: usize) -> bool {
        !self.connections[connection].expected.is_empty()
    }
}

/// Whether at least `missed` receivers are said to have missed something, and at
/// most `unsure` more.
fn is_between(dropped: Option<&Value>, missed: u32, unsure: u32) -> bool {
    let dropped = dropped.map_or(Some(0), Value::as_u64);
    let (least, most) = (u64::from(missed), u64::from(missed + unsure));
    dropped.is_some_and(|dropped| (least..=most).contains(&dropped))
}
