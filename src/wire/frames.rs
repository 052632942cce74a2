//! Whole frames side by side, as the entries of queues hold them, checked before.

use std::ops::Range;

use super::head::msg_id_in;
use crate::ids::MsgId;
use crate::limits::FRAME_PREFIX_BYTES;

/// The ranges of the frames in `bytes`, length prefixes included.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let prefix = bytes.get(at..at + FRAME_PREFIX_BYTES)?;
        let length = u32::from_be_bytes(prefix.try_into().ok()?) as usize;
        let frame = at..at + FRAME_PREFIX_BYTES + length;
        at = frame.end;
        (at <= bytes.len()).then_some(frame)
    })
}

/// The `msg_id` of a run's first frame.
pub(crate) fn first_msg_id(run: &[u8]) -> Option<MsgId> {
    msg_id(run, frames(run).next()?)
}

/// The `msg_id`s of a run's frames.
pub(crate) fn msg_ids(run: &[u8]) -> impl Iterator<Item = MsgId> + '_ {
    frames(run).filter_map(|frame| msg_id(run, frame))
}

/// The `msg_id` of one frame of a run.
fn msg_id(run: &[u8], frame: Range<usize>) -> Option<MsgId> {
    msg_id_in(run.get(frame.start + FRAME_PREFIX_BYTES..frame.end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_frame_and_the_first_id() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let first = format!(r#"{{"a":[1e400],"msg_id":"{id}"}}"#);
        let mut run = Vec::new();
        for body in [first.as_str(), "{}"] {
            run.extend_from_slice(&(body.len() as u32).to_be_bytes());
            run.extend_from_slice(body.as_bytes());
        }
        let found: Vec<_> = frames(&run).collect();
        assert_eq!(found, [0..4 + first.len(), 4 + first.len()..run.len()]);
        assert_eq!(first_msg_id(&run).unwrap().as_str(), id);
        assert_eq!(msg_ids(&run).count(), 1, "the second has none");
    }

    #[test]
    fn stops_at_a_frame_that_is_cut() {
        assert_eq!(frames(&[0, 0, 0, 9, b'{']).count(), 0);
        assert_eq!(frames(&[0, 0, 0]).count(), 0);
        assert_eq!(first_msg_id(&[]), None);
    }
}
