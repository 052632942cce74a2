//! The messages that one receiver must get, and their order.

use super::*;

/// Something that a receiver is to get.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Message {
        number: usize,
        bytes: usize,
        keys: Vec<(usize, String)>,
        takes_room: bool,
    },
    DropNotice {
        count: usize,
        first: usize,
        last: usize,
    },
}

#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) id: String,
    pub(super) filter: Value,
    pub(super) latest: Option<&'static str>,
    pub(super) serial: usize,
}

pub(super) struct Receiver {
    pub(super) client: TestClient,
    pub(super) number: usize,
    pub(super) name: Option<String>,
    pub(super) wants_none: bool,
    pub(super) wanted: Vec<Wanted>,
    pub(super) conflates: bool,
    pub(super) queue: Vec<Item>,
}

pub(super) fn holds(condition: &Value, message: &Value) -> bool {
    let field = condition["field"].as_str().unwrap();
    let found = match field {
        "source" | "msg_type" => message.get(field),
        pointer => message.pointer(pointer),
    };
    let value = &condition["value"];
    let number = |value: &Value| value.as_f64();
    let same = |one: &Value, other: &Value| match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other && !one.is_array(),
    };
    match (condition["op"].as_str().unwrap(), found) {
        ("exists", found) => found.is_some() == value.as_bool().unwrap(),
        (_, None) => false,
        ("eq", Some(found)) => same(found, value),
        ("in", Some(found)) => value.as_array().unwrap().iter().any(|v| same(found, v)),
        ("prefix", Some(found)) => match found.as_str() {
            Some(text) => text.starts_with(value.as_str().unwrap()),
            None => false,
        },
        ("ge", Some(found)) => match (number(found), number(value)) {
            (Some(one), Some(other)) => one >= other,
            _ => false,
        },
        other => panic!("{other:?}"),
    }
}

/// The value at a pointer as a key, if it is one.
pub(super) fn key_of(message: &Value, pointer: &str) -> Option<String> {
    let value = message.pointer(pointer)?;
    match value.as_f64() {
        Some(number) => Some(number.to_string()),
        None => (!value.is_array() && !value.is_object()).then(|| value.to_string()),
    }
}

impl Receiver {
    fn matching(&self, message: &Value) -> Vec<&Wanted> {
        let all = |wanted: &&Wanted| {
            let conditions = wanted.filter.as_array().unwrap();
            conditions.iter().all(|condition| holds(condition, message))
        };
        self.wanted.iter().filter(all).collect()
    }

    /// Puts a message into the queue. Returns whether it had room, and how many
    /// older ones it replaced.
    pub(super) fn put(
        &mut self,
        number: usize,
        message: &Value,
        room: Option<usize>,
    ) -> (bool, u64) {
        let matching = self.matching(message);
        let everything = self.wanted.is_empty() && self.name.is_some();
        if self.wants_none || (matching.is_empty() && !everything) {
            return (true, 0);
        }
        let keys: Vec<(usize, Option<String>)> = (matching.iter())
            .filter_map(|wanted| Some((wanted.serial, key_of(message, wanted.latest?))))
            .collect();
        let by_itself =
            keys.len() < matching.len().max(1) || keys.iter().any(|(_, key)| key.is_none());
        let found = keys
            .into_iter()
            .filter_map(|(serial, key)| Some((serial, key?)));
        let keys: Vec<(usize, String)> = found.collect();
        if by_itself {
            self.forget(&keys);
            return (self.append(number, message, Vec::new(), room), 0);
        }
        self.conflate(number, message, keys, room)
    }

    fn conflate(
        &mut self,
        number: usize,
        message: &Value,
        keys: Vec<(usize, String)>,
        room: Option<usize>,
    ) -> (bool, u64) {
        let meets = |item: &Item| match item {
            Item::Message { keys: own, .. } => own.iter().any(|key| keys.contains(key)),
            Item::DropNotice { .. } => false,
        };
        let met: Vec<usize> = (0..self.queue.len())
            .filter(|&index| meets(&self.queue[index]))
            .collect();
        let occupied = self.occupied();
        if let [index] = met[..]
            && let Item::Message {
                keys: own,
                number: place,
                bytes,
                takes_room,
            } = &mut self.queue[index]
            && own.iter().all(|key| keys.contains(key))
            // Of a key that it has not, a newer one may stand behind it.
            && keys.iter().all(|key| own.contains(key))
        {
            let others = occupied - usize::from(*takes_room);
            if room.is_some_and(|room| others >= room) {
                return (self.append(number, message, Vec::new(), room), 0);
            }
            (*own, *place, *bytes) = (keys, number, framed(message).len());
            *takes_room = true;
            return (true, 1);
        }
        if room.is_some_and(|room| occupied >= room) {
            return (self.append(number, message, Vec::new(), room), 0);
        }
        self.forget(&keys);
        let replaced = self.remove_emptied(&met);
        (self.append(number, message, keys, room), replaced)
    }

    /// Removes those of `met` that nobody waits for any more.
    fn remove_emptied(&mut self, met: &[usize]) -> u64 {
        let mut removed = 0;
        for &index in met.iter().rev() {
            if let Item::Message { keys, .. } = &self.queue[index]
                && keys.is_empty()
            {
                self.queue.remove(index);
                removed += 1;
            }
        }
        removed
    }

    fn forget(&mut self, gone: &[(usize, String)]) {
        for item in &mut self.queue {
            if let Item::Message { keys, .. } = item {
                keys.retain(|key| !gone.contains(key));
            }
        }
    }

    fn occupied(&self) -> usize {
        let takes_room = |item: &&Item| {
            matches!(
                item,
                Item::Message {
                    takes_room: true,
                    ..
                }
            )
        };
        self.queue.iter().filter(takes_room).count()
    }

    pub(super) fn append(
        &mut self,
        number: usize,
        message: &Value,
        keys: Vec<(usize, String)>,
        room: Option<usize>,
    ) -> bool {
        if room.is_some_and(|room| self.occupied() >= room) {
            match self.queue.last_mut() {
                Some(Item::DropNotice { count, last, .. }) => {
                    *count += 1;
                    *last = number;
                }
                _ => self.queue.push(Item::DropNotice {
                    count: 1,
                    first: number,
                    last: number,
                }),
            }
            return false;
        }
        self.queue.push(Item::Message {
            number,
            bytes: framed(message).len(),
            keys,
            takes_room: room.is_some(),
        });
        true
    }
}
