//! A session fed by hand, and its output thrown away.

use std::io::IoSlice;
use std::time::Duration;

use bytes::BytesMut;
use tickwire::router::{Gathering, Now, ReadScratch, Router, Session};
use uuid::Uuid;

use super::stream;

/// See the [module](self).
pub struct Endpoint {
    session: Session,
    scratch: ReadScratch,
}

impl Endpoint {
    /// One that has said nothing.
    pub fn new(router: &Router) -> Self {
        Self {
            session: router.connect(),
            scratch: ReadScratch::default(),
        }
    }

    /// One that has said these messages.
    pub fn saying(router: &Router, messages: &[String]) -> Self {
        let mut endpoint = Self::new(router);
        let messages: Vec<Vec<u8>> = messages.iter().map(|m| m.clone().into_bytes()).collect();
        endpoint.receive(&mut stream(&messages));
        endpoint.discard_output();
        endpoint
    }

    /// One that owns `name`.
    pub fn owning(router: &Router, name: &str) -> Self {
        let hello = control("hello", name, r#"{"protocol":1}"#);
        let endpoint = Self::saying(router, &[hello]);
        assert_eq!(endpoint.session.names().count(), 1);
        endpoint
    }

    /// Takes a read, all of it, and queues its messages.
    pub fn receive(&mut self, input: &mut BytesMut) {
        self.begin().read(input);
    }

    /// Begins a round of reads.
    pub fn begin(&mut self) -> Round<'_> {
        Round {
            session: &mut self.session,
            gathering: self.scratch.begin(),
        }
    }

    /// Writes all that waits to be written; says how many bytes those were.
    pub fn discard_output(&mut self) -> usize {
        let mut all = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
        let written = self.session.transmit(usize::MAX, &mut all);
        written.expect("nothing can fail here").0
    }
}

/// Reads whose messages for subscribers are queued together, when it is dropped.
pub struct Round<'a> {
    session: &'a mut Session,
    gathering: Gathering<'a>,
}

impl Round<'_> {
    /// Takes a read, all of it.
    pub fn read(&mut self, input: &mut BytesMut) {
        let now = Now {
            mono: Duration::ZERO,
            unix_ms: 1_767_444_060_000,
        };
        let step = self.gathering.read(self.session, input, now);
        assert!(step.halt.is_none() && input.is_empty());
    }

    /// Whether something is gathered that grows with the next read.
    pub fn is_growing(&self) -> bool {
        self.gathering.is_growing()
    }
}

/// A message about the connection.
pub fn control(kind: &str, source: &str, payload: &str) -> String {
    let id = Uuid::new_v4();
    format!(
        r#"{{"msg_id":"{id}","msg_type":"{kind}","timestamp":"2026-01-03T12:41:00Z","source":"{source}","payload":{payload}}}"#
    )
}
