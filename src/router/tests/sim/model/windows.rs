//! How much connections may be handed.

use super::Model;
use crate::router::mailbox::flow_window;
use crate::router::tests::sim::messages::Hello;

/// The flow-control window of a connection, and its use.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    handed: u32,
    /// The frame of its stream that was begun before, and isn't counted.
    begun_before: Option<u64>,
    /// Releases since a frame was begun of which it isn't known yet whether it is a
    /// message: if it is, it was counted before them.
    releases: u32,
}

impl Window {
    pub(super) fn size(&self) -> u32 {
        self.size
    }
}

impl Model {
    /// Holds the router's flow-control window against this one, between two
    /// frames.
    pub(in super::super) fn check_window(
        &self,
        connection: usize,
        own: Option<flow_window::Window>,
    ) {
        let receiver = &self.connections[connection];
        if receiver.partial.is_empty() {
            let known = receiver.window.as_ref();
            let known = known.map(|window| (window.size, window.size - window.handed));
            let own = own.map(|window| (window.size(), window.room() as u32));
            assert_eq!(own, known, "window: of {connection}, and its room");
        }
    }

    /// Whether the connection may be handed another message.
    pub(in super::super) fn may_be_handed(&self, connection: usize) -> bool {
        let window = self.connections[connection].window.as_ref();
        window.is_none_or(|window| window.handed < window.size)
    }

    /// A granted `hello` begins anew.
    pub(super) fn choose_window(&mut self, connection: usize, hello: &Hello) {
        let Some(size) = hello.window else {
            return;
        };
        let names: Vec<String> = self
            .names_of(connection)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let receiver = &mut self.connections[connection];
        receiver.window = Some(Window {
            size,
            handed: 0,
            begun_before: (!receiver.partial.is_empty()).then_some(receiver.frames_written),
            releases: 0,
        });
        receiver.broadcasts.cut();
        for name in names {
            if let Some(held) = self.names.get_mut(&name) {
                held.queue.cut();
            }
        }
        self.meet("a window is granted");
    }

    /// An `ack` to the server itself has come.
    pub(super) fn release_one(&mut self, connection: usize) {
        let receiver = &mut self.connections[connection];
        if let Some(window) = &mut receiver.window {
            window.releases += 1;
            if receiver.partial.is_empty() {
                self.settle_releases(connection);
            }
        }
    }

    /// Counts the frame that was begun before the last releases, which is known
    /// now.
    pub(super) fn settle_releases(&mut self, connection: usize) {
        if let Some(window) = &mut self.connections[connection].window {
            let releases = std::mem::take(&mut window.releases).min(window.handed);
            window.handed -= releases;
            if releases > 0 {
                self.meet("a message is released");
            }
        }
    }

    /// A message was written to the connection. Says whether it is limited how many
    /// may be.
    pub(super) fn is_handed(&mut self, connection: usize) -> bool {
        let receiver = &mut self.connections[connection];
        let number = receiver.frames_written;
        let Some(window) = &mut receiver.window else {
            return false;
        };
        if window.begun_before == Some(number) {
            return true;
        }
        assert!(
            window.handed < window.size,
            "window: {connection} is handed more than {}",
            window.size
        );
        window.handed += 1;
        if window.handed == window.size {
            self.meet("a window is used up");
        }
        true
    }
}
