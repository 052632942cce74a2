//! The window of a connection: the number of messages that it may be handed
//! before it releases some.
//!
//! A message is handed over when its first byte is written. Messages beyond the
//! window stay in their queue, so that the next owner gets them.

/// Counts the messages that a connection was handed and has not released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    size: u32,
    handed: u32,
}

/// A frame that is to be written, or the rest of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Bytes that are not yet written.
    pub(crate) bytes: usize,
    /// Whether some of it is written: it was counted then.
    pub(crate) is_begun: bool,
    /// Whether it is a message; a report is none.
    pub(crate) is_message: bool,
}

impl Window {
    /// A window of `size` messages, none of which was handed over.
    pub(crate) fn new(size: u32) -> Self {
        Self { size, handed: 0 }
    }

    pub(crate) fn size(self) -> u32 {
        self.size
    }

    pub(crate) fn room(self) -> usize {
        self.size.saturating_sub(self.handed) as usize
    }

    /// Counts messages that were handed over.
    pub(crate) fn hand(&mut self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        self.handed = self.handed.saturating_add(messages);
        debug_assert!(self.handed <= self.size, "more than was allowed");
    }

    /// Counts messages that the connection has released. Returns whether this
    /// opened a window that was used up.
    pub(crate) fn release(&mut self, messages: usize) -> bool {
        let was_closed = self.room() == 0;
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        self.handed = self.handed.saturating_sub(messages);
        was_closed && self.room() > 0
    }
}

/// The number of bytes of `frames` that may be written if `room` messages may be
/// begun. A report behind the last of them is left for later: it tells of
/// messages that are missing in front of the next.
pub(crate) fn bytes_within(frames: impl IntoIterator<Item = Ahead>, room: usize) -> usize {
    let mut room = room;
    let mut bytes = 0;
    for frame in frames {
        if !frame.is_begun {
            if room == 0 {
                break;
            }
            room -= usize::from(frame.is_message);
        }
        bytes += frame.bytes;
    }
    bytes
}

/// The number of messages that are begun by writing the next `bytes` bytes of
/// `frames`.
pub(crate) fn begun_by(frames: impl IntoIterator<Item = Ahead>, bytes: usize) -> usize {
    let mut start = 0;
    let mut begun = 0;
    for frame in frames {
        if start >= bytes {
            break;
        }
        begun += usize::from(frame.is_message && !frame.is_begun);
        start += frame.bytes;
    }
    begun
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Ahead {
        Ahead {
            bytes,
            is_begun: false,
            is_message: true,
        }
    }

    fn begun(bytes: usize) -> Ahead {
        Ahead {
            is_begun: true,
            ..frame(bytes)
        }
    }

    fn report(bytes: usize) -> Ahead {
        Ahead {
            is_message: false,
            ..frame(bytes)
        }
    }

    #[test]
    fn has_room_for_what_was_released_and_never_for_more_than_its_size() {
        let mut window = Window::new(3);
        window.hand(2);
        assert_eq!(window.room(), 1);
        assert!(!window.release(1), "there was room before");
        window.hand(2);
        assert_eq!(window.room(), 0);
        assert!(window.release(1));
        assert!(!window.release(usize::MAX));
        assert_eq!(window.room(), 3);
        let mut closed = Window::new(0);
        assert!(!closed.release(5));
        assert_eq!(closed.room(), 0);
    }

    #[test]
    fn what_is_begun_is_finished_and_reports_come_only_before_messages() {
        let frames = [begun(3), report(5), frame(10), frame(20), report(5)];
        for (room, bytes) in [(0, 3), (1, 18), (2, 38), (3, 43)] {
            assert_eq!(bytes_within(frames, room), bytes, "room {room}");
        }
        for (bytes, messages) in [(0, 0), (3, 0), (8, 0), (9, 1), (18, 1), (19, 2), (43, 2)] {
            assert_eq!(begun_by(frames, bytes), messages, "{bytes} bytes");
        }
    }
}
