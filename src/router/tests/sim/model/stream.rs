//! What a session writes, held against what it should.

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
        while let Some(prefix) = partial[at..].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
            let Some(frame) = partial.get(at..end) else {
                break;
            };
            self.wrote_frame(connection, frame);
            self.connections[connection].frames_written += 1;
            at = end;
        }
        partial.drain(..at);
        self.connections[connection].partial = partial;
    }

    fn wrote_frame(&mut self, connection: usize, frame: &[u8]) {
        if let Some(&number) = self.by_frame.get(frame) {
            return self.delivered(connection, number);
        }
        let message: Value = serde_json::from_slice(&frame[4..]).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(frame);
            panic!("stream: nobody sent this, and it is no JSON ({error}): {text:?}")
        });
        assert_eq!(message["source"], SERVER, "stream: nobody sent {message}");
        match message["payload"]["code"].as_str() {
            Some("MESSAGES_DROPPED") => self.told_of_a_gap(connection, &message),
            _ => self.answered(connection, &message),
        }
    }

    // ---- messages ----

    fn delivered(&mut self, connection: usize, number: usize) {
        if self.finishes(connection, Item::Message(number)) {
            self.records[number].repeated += 1;
            self.meet("a frame is finished by the owner before");
            return;
        }
        let target = self.records[number].message.target.clone();
        let queue = self.queue_of(connection, target.as_deref());
        if !queue.is_shared() {
            let expected = Some(Item::Message(number));
            assert_eq!(queue.front(), expected, "order: what is for {target:?}");
        }
        let was_queued = queue.pull(number);
        assert!(was_queued, "delivery: {number} to {target:?}");
        self.records[number].delivered += 1;
    }

    /// The receiver is told what was dropped, in its place.
    fn told_of_a_gap(&mut self, connection: usize, report: &Value) {
        let details = &report["payload"]["details"];
        let count = details["count"].as_u64().expect("a number");
        let first = self.by_id[details["first_msg_id"].as_str().expect("an id")];
        if self.finishes(connection, Item::Missed(first)) {
            self.meet("a report is finished by the owner before");
            return;
        }
        let name = details["name"].as_str();
        assert_eq!(report["target"].as_str(), name, "gaps: to whom");
        let queue = self.queue_of(connection, name);
        if !queue.is_shared() {
            assert_eq!(queue.front(), Some(Item::Missed(first)), "gaps: the place");
        }
        let missed = queue.pull_missed(first, count as usize);
        assert_eq!(
            missed.len() as u64,
            count,
            "gaps: how many were dropped here"
        );
        for &number in &missed {
            self.records[number].missed += 1;
        }
        let last = missed.last().copied().unwrap_or(first);
        let expected = self.records[last].message.id.as_str();
        assert_eq!(details["last_msg_id"], expected, "gaps: the last");
        self.meet("a receiver is told MESSAGES_DROPPED");
    }

    /// Whether `connection` has now finished what it had begun to write for a
    /// name that it lost.
    fn finishes(&mut self, connection: usize, item: Item) -> bool {
        let writer = &mut self.connections[connection];
        let begun = std::mem::take(&mut writer.begun);
        begun.contains(&(item, writer.frames_written))
    }

    /// The queue of a name that `connection` owns, or of its broadcasts.
    fn queue_of(&mut self, connection: usize, name: Option<&str>) -> &mut Queue {
        let Some(name) = name else {
            return &mut self.connections[connection].lane;
        };
        let held = self.names.get_mut(name);
        let held = held.filter(|held| held.owners().any(|owner| owner == connection));
        let held = held.unwrap_or_else(|| panic!("delivery: {name:?} is not {connection}'s"));
        &mut held.queue
    }

    // ---- answers ----

    fn answered(&mut self, connection: usize, answer: &Value) {
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
        for number in about {
            let record = &mut self.records[number];
            record.answered += 1;
            assert_eq!(record.sender, connection, "answers: on another connection");
        }
    }

    /// Whether `answer` is what was expected, and which message it answers.
    fn is_right(&self, expected: &Expected, answer: &Value) -> (bool, Option<usize>) {
        let payload = &answer["payload"];
        let details = &payload["details"];
        let is_error = |code: &str| answer["msg_type"] == "error" && payload["code"] == code;
        match expected {
            Expected::Ack { batch: Some(_), .. } => (false, None),
            Expected::Ack {
                message,
                missed,
                details,
                batch: None,
            } => {
                let dropped = (*details || *missed > 0).then(|| Value::from(*missed));
                let right = answer["msg_type"] == "ack"
                    && answer["target"] == self.records[*message].message.source
                    && payload["acknowledged_msg_id"] == self.records[*message].message.id
                    && payload.get("dropped") == dropped.as_ref();
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
            Expected::Welcome { message, names } => {
                let right = answer["msg_type"] == "welcome"
                    && payload["hello_msg_id"] == self.records[*message].message.id
                    && payload["names"] == Value::from(names.clone());
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
                let right = is_error("UNDELIVERED")
                    && details["target"] == *target
                    && details["count"] == *count
                    && first.is_none_or(|first| {
                        details["first_msg_id"] == self.records[first].message.id
                    });
                (right, None)
            }
        }
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
            each.push(missed);
            with_details = details;
        }
        if about.len() > 1 {
            *self.met.entry("a batch has several").or_default() += 1;
        }
        if let Some(Expected::Ack { batch, .. }) = expected.front() {
            let cut = *batch == read && ids.len() < BATCH_ACK_MESSAGES_MAX;
            assert!(!cut, "answers: a batch is cut short");
        }
        let sum: u32 = each.iter().sum();
        let dropped = match with_details {
            true => Some(Value::from(each)),
            false => (sum > 0).then(|| Value::from(sum)),
        };
        assert_eq!(
            payload.get("dropped"),
            dropped.as_ref(),
            "answers: dropped of a batch"
        );
        about
    }

    // ---- what is left ----

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
        if !receiver.ended && !receiver.lane.is_empty() {
            return Some("a broadcast");
        }
        let mail = |held: &super::Held| held.owner == Some(connection) && !held.queue.is_empty();
        self.names.values().any(mail).then_some("mail")
    }

    /// A name with an owner for which something is queued.
    pub(in super::super) fn unread_name(&self) -> Option<&str> {
        let owned = self.names.iter().filter(|(_, held)| held.is_owned());
        let mut unread = owned.filter(|(_, held)| !held.queue.is_empty());
        unread.next().map(|(name, _)| name.as_str())
    }

    /// Whether answers are to be written to `connection`.
    pub(in super::super) fn has_answers(&self, connection: usize) -> bool {
        !self.connections[connection].expected.is_empty()
    }
}
