//! The messages of clients: at first, later, and again after a resume.

use super::connection::Connection;
use super::{World, tell};
use crate::router::tests::sim::messages::{
    Acks, Hello, Message, NAMES, SERVER, SYMBOLS, Subscribe,
};
use crate::wire::Kind;

/// Ids of subscriptions. They are few, so that some are replaced.
const SUBSCRIPTIONS: [&str; 3] = ["one", "two", "three"];

impl World {
    /// An actor that has no connection, or gave its own up, opens one.
    pub(super) fn connect_one(&mut self) {
        let actor = self.seed.below(self.actors.len());
        let before = self.actors[actor];
        let lives = before.is_some_and(|known| self.connections[known].is_usable());
        if lives && !self.seed.once_in(6) {
            return;
        }
        let index = self.model.connect();
        let kernel_bytes = self.habits.kernel_bytes;
        let connection = Connection::new(self.router.connect(), kernel_bytes);
        self.connections.push(connection);
        self.actors[actor] = Some(index);
        tell!(self, "{index} connects, as actor {actor}");
        let name = NAMES[actor % self.habits.names];
        self.connections[index].name = name;
        if self.habits.resends && actor.is_multiple_of(2) {
            return self.come_back(index, name, before);
        }
        // The name of a service is owned only on request.
        if self.habits.hellos && self.seed.below(4) > 0 || name == "health-monitor" {
            let hello = self.hello(name);
            self.say(index, hello);
        } else {
            let kind = self.seed.pick(&[Kind::Heartbeat, Kind::Ack]);
            let target = self.seed.pick(&["health-monitor", SERVER]);
            let first = self
                .author
                .message(&mut self.seed, kind, name, Some(target), 0);
            self.say(index, first);
        }
    }

    /// A resumable client sends again the messages that it has no answer to.
    fn come_back(&mut self, index: usize, name: &'static str, before: Option<usize>) {
        self.connections[index].is_resumable = true;
        let resumes = before.is_some() && !self.seed.once_in(20);
        let options = Hello {
            acks: (self.seed).pick(&[None, Some(Acks::Each), Some(Acks::Batch)]),
            resumable: Some(true),
            resume: resumes.then_some(true),
            ..Hello::default()
        };
        let hello = self.author.hello(&mut self.seed, name, options);
        self.say(index, hello);
        let Some(before) = before.filter(|_| resumes) else {
            return;
        };
        let earlier = &self.connections[before];
        let said = earlier.said.iter().map(|(_, number)| *number);
        let unanswered = self.model.unanswered(before, said, earlier.read_bytes);
        for message in unanswered {
            self.say(index, message);
        }
    }

    fn hello(&mut self, name: &str) -> Message {
        let seed = &mut self.seed;
        let mut names = vec![name.to_owned()];
        for other in &NAMES[..self.habits.names] {
            if *other != name && seed.once_in(5) {
                names.push((*other).to_owned());
            }
        }
        if seed.once_in(30) {
            names.push(SERVER.to_owned());
        }
        let (group, key) = match self.habits.groups {
            true => seed.pick(&[
                (None, None),
                (Some(false), None),
                (Some(true), None),
                (Some(true), None),
                (Some(true), Some("/source")),
            ]),
            false => (None, None),
        };
        let (resumable, resume) = match self.habits.resends {
            true => seed.pick(&[
                (None, None),
                (Some(true), None),
                (Some(true), Some(true)),
                (None, Some(true)),
                (None, Some(false)),
                (Some(false), None),
            ]),
            false => (None, None),
        };
        let options = Hello {
            group,
            key,
            resumable,
            resume,
            broadcasts: match self.habits.subscriptions {
                true => seed.pick(&[None, None, Some(true), Some(false)]),
                false => None,
            },
            names: seed.once_in(2).then_some(names),
            window: match self.habits.windows {
                true => seed.pick(&[None, Some(0), Some(1), Some(4), Some(30)]),
                false => None,
            },
            register: seed.pick(&[None, None, None, Some(true), Some(false)]),
            acks: seed.pick(&[None, Some(Acks::Each), Some(Acks::Batch), Some(Acks::None)]),
            details: seed.pick(&[None, Some(false), Some(true)]),
            refused: None,
        };
        self.author.hello(seed, name, options)
    }

    /// A client has something to say.
    pub(super) fn speak(&mut self) {
        let Some(index) = self.some(Connection::can_speak) else {
            return;
        };
        let own = self.connections[index].name;
        for _ in 0..1 + self.seed.below(self.habits.burst) {
            let message = self.compose(index, own);
            self.say(index, message);
        }
        if self.seed.once_in(300) {
            let last = self.author.broken(&mut self.seed, own);
            self.say(index, last);
            self.connections[index].hang_up();
        }
    }

    fn compose(&mut self, index: usize, own: &'static str) -> Message {
        let owners = &NAMES[..self.habits.names];
        let seed = &mut self.seed;
        let source = match seed.below(12) {
            0 => seed.pick(&NAMES),
            1 => seed.pick(&["tool-1", "tool-2", "tool-3", "tool-4", "tool-5"]),
            _ => own,
        };
        let target = match seed.below(30) {
            0 => seed.pick(&["nobody", "nobody-2", "log-aggregator", SERVER]),
            _ => seed.pick(owners),
        };
        let target = (!seed.once_in(self.habits.broadcasts)).then_some(target);
        if seed.once_in(self.habits.wrong) {
            return self.author.wrong(seed, source, target);
        }
        // A client that comes back keeps to its first options, mostly.
        let hellos = self.habits.hellos && (!self.connections[index].is_resumable);
        match seed.below(40) {
            1 => return self.author.impostor(seed, target),
            2 if hellos || self.habits.hellos && seed.once_in(4) => return self.hello(own),
            3 | 4 if self.habits.subscriptions => return self.subscribe(own),
            _ => {}
        }
        if self.habits.windows && seed.once_in(3) {
            // It releases a message.
            return self
                .author
                .message(seed, Kind::Ack, source, Some(SERVER), 0);
        }
        let kind = match seed.below(10) {
            0 if target.is_some() => Kind::Ack,
            0 | 1 => Kind::Error,
            2 => Kind::Heartbeat,
            3 => Kind::LogRecord,
            _ => Kind::IngestEvent,
        };
        let padding = seed.pick(&[0, 0, self.habits.padding]);
        let padding = seed.below(padding + 1);
        self.author.message(seed, kind, source, target, padding)
    }

    fn subscribe(&mut self, own: &str) -> Message {
        let seed = &mut self.seed;
        let id = seed.pick(&SUBSCRIPTIONS);
        if seed.once_in(4) {
            return self.author.unsubscribe(own, id);
        }
        let options = Subscribe {
            id,
            symbol: (!seed.once_in(3)).then(|| seed.pick(&SYMBOLS)),
            source: seed.once_in(3).then(|| seed.pick(&NAMES)),
            is_latest: seed.once_in(3),
        };
        self.author.subscribe(own, options)
    }

    fn say(&mut self, index: usize, message: Message) {
        let frame = message.frame.clone();
        let number = self.model.sends(index, message);
        tell!(self, "{index} says {}", self.model.describe(number));
        self.connections[index].say(number, &frame);
    }
}
