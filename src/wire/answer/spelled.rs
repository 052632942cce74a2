//! The reader of acks that are spelled as the server writes them: recognised byte for
//! byte, without a JSON parser.
//!
//! [`SpelledAcks::read`] says yes only to the bytes that [`AckTemplate`] and
//! [`BatchAck`](super::BatchAck) write, with the server's own name as `source` and an
//! expected `target`. The [`AnswerReader`](super::AnswerReader) reads the same from
//! them, and has to be asked about everything else.

use super::AckTemplate;
use crate::ids::{MsgId, Name};
use crate::wire::message::{Ack, MillisText, Timestamp};

/// The spellings of one server's acks to one connection.
#[derive(Debug)]
pub(crate) struct SpelledAcks {
    spellings: Vec<Spelling>,
    /// The time of the last ack. Acks of one read mostly share theirs.
    timestamp: Timestamp,
}

/// The fixed parts of an ack, between its ids and times.
#[derive(Debug)]
struct Spelling {
    before_id: Box<[u8]>,
    before_time: Box<[u8]>,
    /// With the names of the server and of the addressee.
    before_acknowledged: Box<[u8]>,
    before_payload_time: Box<[u8]>,
}

/// An ack as it stands in its frame.
#[derive(Debug)]
pub(crate) struct SpelledAck<'a> {
    timestamp: &'a Timestamp,
    /// The ids that it covers, each between quotes, with commas between them.
    items: &'a [u8],
    /// The receivers that missed each message, with commas between them; empty if
    /// nobody missed any.
    dropped: &'a [u8],
}

/// The values of an ack, cut out of its frame.
struct Values<'a> {
    time: &'a [u8; MillisText::LEN],
    /// The id of the message acknowledged last, between its quotes.
    item: &'a [u8],
    rest: &'a [u8],
}

/// The bytes of an id and its quotes.
const ITEM_BYTES: usize = MsgId::LEN + 2;

impl SpelledAcks {
    /// Creates a reader of the acks of `server` to `targets`.
    pub(crate) fn new<'a>(
        server: &Name,
        targets: impl IntoIterator<Item = Option<&'a Name>>,
    ) -> Self {
        let spelling = |target| Spelling::of(&AckTemplate::new(server, target));
        Self {
            spellings: targets.into_iter().map(spelling).collect(),
            timestamp: Timestamp::from_unix_ms(0),
        }
    }

    /// Reads an ack. `None` if the frame is anything else, or spelled in another way.
    pub(crate) fn read<'a>(&'a mut self, json: &'a [u8]) -> Option<SpelledAck<'a>> {
        let values = self.spellings.iter().find_map(|it| it.values(json))?;
        let (items, rest) = values.items()?;
        let dropped = dropped(rest, (items.len() + 1) / (ITEM_BYTES + 1))?;
        if self.timestamp.as_str().as_bytes() != values.time {
            self.timestamp = Timestamp::new(str::from_utf8(values.time).ok()?).ok()?;
        }
        Some(SpelledAck {
            timestamp: &self.timestamp,
            items,
            dropped,
        })
    }
}

impl SpelledAck<'_> {
    /// The messages that it covers, in their order, each with the number of receivers
    /// that missed it.
    pub(crate) fn covered(&self) -> impl Iterator<Item = (MsgId, u64)> + '_ {
        let ids = self.items.chunks(ITEM_BYTES + 1).filter_map(id_in);
        let dropped = self.dropped.split(|&byte| byte == b',');
        let dropped = dropped.map(|text| decimal(text).unwrap_or(0));
        ids.zip(dropped.chain(std::iter::repeat(0)))
    }

    /// The ack of one message.
    pub(crate) fn of(&self, id: MsgId, dropped: u64) -> Ack {
        Ack::new(id, self.timestamp.clone()).with_dropped(dropped)
    }
}

impl Spelling {
    fn of(template: &AckTemplate) -> Self {
        let [
            before_id,
            before_time,
            before_acknowledged,
            before_payload_time,
        ] = template.fixed_parts().map(Box::from);
        Self {
            before_id,
            before_time,
            before_acknowledged,
            before_payload_time,
        }
    }

    #[inline]
    fn values<'a>(&self, json: &'a [u8]) -> Option<Values<'a>> {
        let rest = json.strip_prefix(&*self.before_id)?;
        let (id, rest) = rest.split_first_chunk::<{ MsgId::LEN }>()?;
        let rest = rest.strip_prefix(&*self.before_time)?;
        let (time, rest) = rest.split_first_chunk()?;
        let rest = rest.strip_prefix(&*self.before_acknowledged)?;
        let item = json.get(json.len() - rest.len() - 1..)?.get(..ITEM_BYTES)?;
        let rest = rest.get(MsgId::LEN..)?;
        let rest = rest.strip_prefix(&*self.before_payload_time)?;
        let (payload_time, rest) = rest.split_first_chunk::<{ MillisText::LEN }>()?;
        let rest = rest.strip_prefix(b"\"")?;
        MsgId::from_text(id)?;
        (payload_time == time).then_some(Values { time, item, rest })
    }
}

impl<'a> Values<'a> {
    /// Returns the items of the list of ids, or the one that stands for itself, and the
    /// rest behind.
    #[inline]
    fn items(&self) -> Option<(&'a [u8], &'a [u8])> {
        let Some(list) = self.rest.strip_prefix(br#","acknowledged_msg_ids":["#) else {
            id_in(self.item)?;
            return Some((self.item, self.rest));
        };
        let mut bytes = 0;
        loop {
            let item = list.get(bytes..bytes + ITEM_BYTES)?;
            id_in(item)?;
            bytes += ITEM_BYTES;
            match list.get(bytes)? {
                b',' => bytes += 1,
                // The server names the last by itself, too.
                b']' if item == self.item => break,
                _ => return None,
            }
        }
        Some((list.get(..bytes)?, list.get(bytes + 1..)?))
    }
}

/// Reads `rest`, the end of an ack of `messages`: the numbers of receivers that
/// missed each. A sum over several messages says nothing of each.
fn dropped(rest: &[u8], messages: usize) -> Option<&[u8]> {
    let rest = rest.strip_suffix(b"}}")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let text = rest.strip_prefix(br#","dropped":"#)?;
    if let Some(list) = text.strip_prefix(b"[") {
        let list = list.strip_suffix(b"]")?;
        let mut numbers = 0;
        for number in list.split(|&byte| byte == b',') {
            decimal(number)?;
            numbers += 1;
        }
        return (numbers == messages).then_some(list);
    }
    decimal(text)?;
    text.get(..if messages == 1 { text.len() } else { 0 })
}

/// The id between the quotes at the front of `item`.
#[inline]
fn id_in(item: &[u8]) -> Option<MsgId> {
    let rest = item.strip_prefix(b"\"")?;
    let (text, rest) = rest.split_first_chunk::<{ MsgId::LEN }>()?;
    MsgId::from_text(text).filter(|_| rest.first() == Some(&b'"'))
}

/// The number that `text` is, spelled as the server does.
#[inline]
fn decimal(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    if !first.is_ascii_digit() || (first == b'0' && !rest.is_empty()) {
        return None;
    }
    rest.iter()
        .try_fold(u64::from(first - b'0'), |number, &byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
}

#[cfg(test)]
mod tests;
