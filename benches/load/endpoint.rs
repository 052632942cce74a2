//! A session fed by hand, and its output thrown away.

use std::io::IoSlice;
use std::time::Duration;

use bytes::BytesMut;
use tickwire::router::{Now, Router, Session, Workspace};
use uuid::Uuid;

use super::stream;

/// See the [module](self).
pub struct Endpoint {
    session: Session,
    workspace: Workspace,
}

impl Endpoint {
    /// One that has said nothing.
    pub fn new(router: &Router) -> Self {
        Self {
            session: router.connect(),
            workspace: Workspace::default(),
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

    /// Takes what was read, all of it, and queues it.
    pub fn receive(&mut self, window: &mut BytesMut) {
        self.gather(window);
        self.flush();
    }

    /// Takes what was read, all of it. It is queued by [`Self::flush`].
    pub fn gather(&mut self, window: &mut BytesMut) {
        let now = Now {
            mono: Duration::ZERO,
            unix_ms: 1_767_444_060_000,
        };
        let step = self.session.gather(&mut self.workspace, window, now);
        assert!(step.halt.is_none() && window.is_empty());
    }

    /// Whether something is gathered that grows with the next read.
    pub fn is_gathering(&self) -> bool {
        self.workspace.is_gathering()
    }

    /// Queues what was gathered.
    pub fn flush(&mut self) {
        self.workspace.flush();
    }

    /// Writes all that waits to be written; says how many bytes those were.
    pub fn discard_output(&mut self) -> usize {
        let mut all = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
        let written = self.session.transmit(usize::MAX, &mut all);
        written.expect("nothing can fail here").0
    }
}

/// A message about the connection.
pub fn control(kind: &str, source: &str, payload: &str) -> String {
    let id = Uuid::new_v4();
    format!(
        r#"{{"msg_id":"{id}","msg_type":"{kind}","timestamp":"2026-01-03T12:41:00Z","source":"{source}","payload":{payload}}}"#
    )
}
