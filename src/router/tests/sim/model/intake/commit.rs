//! The end of a read: what it reserved room for is queued.

use super::super::Model;
use super::super::queue::Entry;
use super::{Batch, Read};
use crate::limits::RUN_PIN_BYTES_MIN;

impl Model {
    /// What was gathered of several reads is queued.
    pub(in crate::router::tests::sim) fn flush(&mut self) {
        for connection in &mut self.connections {
            connection.lane.flush();
        }
    }

    /// Queues what was reserved, and notes what was dropped.
    pub(super) fn commit(&mut self, read: Read, window_bytes: usize) {
        for Batch {
            name,
            instance,
            frames,
            missed,
        } in read.named
        {
            let entry = self.entry(&frames, window_bytes);
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
        for (receiver, parts) in read.lanes {
            for (frames, dropped) in parts {
                let entry = self.lane_entry(&frames, window_bytes);
                let lane = &mut self.connections[receiver].lane;
                if !frames.is_empty() && read.is_looked_into {
                    lane.gather(entry);
                } else if !frames.is_empty() {
                    lane.push(entry);
                }
                if !dropped.is_empty() {
                    lane.miss(&dropped);
                }
            }
        }
    }

    /// Frames for a name. A slice keeps its window in memory, a copy lies in a
    /// buffer that was used before.
    fn entry(&self, frames: &[usize], window_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let lie_side_by_side = frames.windows(2).all(|pair| {
            let [first, second] = [pair[0], pair[1]].map(|number| &self.records[number]);
            first.end + second.message.frame.len() == second.end
        });
        let pins = lie_side_by_side && bytes >= RUN_PIN_BYTES_MIN && bytes >= window_bytes / 4;
        let charge = match pins {
            true => window_bytes..=window_bytes,
            false => bytes..=2 * bytes,
        };
        Entry::new(frames, charge)
    }

    /// Broadcasts for one receiver. Whether they are a slice depends on what
    /// others get of them.
    fn lane_entry(&self, frames: &[usize], window_bytes: usize) -> Entry {
        let bytes = self.bytes(frames);
        let most = match bytes >= RUN_PIN_BYTES_MIN {
            true => window_bytes.max(2 * bytes),
            false => 2 * bytes,
        };
        Entry::new(frames, bytes..=most)
    }

    fn bytes(&self, frames: &[usize]) -> usize {
        let size = |&number: &usize| self.records[number].message.frame.len();
        frames.iter().map(size).sum()
    }
}
