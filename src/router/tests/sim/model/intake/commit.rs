//! The end of a read: messages with reserved room are queued.

use super::super::Model;
use super::super::queue::Entry;
use super::{Batch, Read};
use crate::limits::PIN_BYTES_MIN;

impl Model {
    /// Queues the messages gathered in several reads.
    pub(in crate::router::tests::sim) fn flush(&mut self) {
        for connection in &mut self.connections {
            connection.broadcasts.flush();
        }
    }

    /// Queues the messages with reserved room, and notes the drops.
    pub(super) fn commit(&mut self, read: Read, block_bytes: usize) {
        for Batch {
            name,
            instance,
            frames,
            missed,
        } in read.named
        {
            let entry = self.entry(&frames, block_bytes);
            match self.names.get_mut(&name) {
                Some(held) if held.instance == instance => {
                    if !frames.is_empty() {
                        held.queue.push(entry);
                    }
                    if !missed.is_empty() {
                        held.queue.miss(&missed);
                    }
                }
                // Its owner was the sender, and gave it up in the same read.
                _ => {
                    self.meet("a name ends before what was reserved is queued");
                    self.give_up(&name, &frames);
                }
            }
        }
        for (receiver, parts) in read.broadcasts {
            for (frames, dropped) in parts {
                let entry = self.broadcast_entry(&frames, block_bytes);
                let broadcasts = &mut self.connections[receiver].broadcasts;
                if !frames.is_empty() && read.is_matched {
                    broadcasts.gather(entry);
                } else if !frames.is_empty() {
                    broadcasts.push(entry);
                }
                if !dropped.is_empty() {
                    broadcasts.miss(&dropped);
                }
            }
        }
    }

    /// Frames for a name. A slice holds its block in memory, a copy a reused
    /// buffer.
    fn entry(&self, frames: &[usize], block_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let lie_side_by_side = frames.windows(2).all(|pair| {
            let [first, second] = [pair[0], pair[1]].map(|number| &self.records[number]);
            first.end + second.message.frame.len() == second.end
        });
        let pins = lie_side_by_side && bytes >= PIN_BYTES_MIN && bytes >= block_bytes / 4;
        let charge = match pins {
            true => block_bytes..=block_bytes,
            false => bytes..=2 * bytes,
        };
        Entry::new(frames, charge)
    }

    /// Broadcasts for one receiver. Whether they are a slice depends on the
    /// other receivers.
    fn broadcast_entry(&self, frames: &[usize], block_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let most = match bytes >= PIN_BYTES_MIN {
            true => block_bytes.max(2 * bytes),
            false => 2 * bytes,
        };
        Entry::new(frames, bytes..=most)
    }

    fn bytes(&self, frames: &[usize]) -> usize {
        let size = |&number: &usize| self.records[number].message.frame.len();
        frames.iter().map(size).sum()
    }
}
