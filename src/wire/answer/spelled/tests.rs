//! Acks that were recognised against the same acks as the parser reads them.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Answer, AnswerIds, AnswerReader, BatchAck};
use super::*;
use crate::wire::frames;

const NAMES: [&str; 3] = ["tickwire", "a \"quoted\" näme", "s"];

/// The acks of a server, and of others that look like it.
#[derive(Debug, Clone)]
struct Written {
    server: usize,
    target: Option<usize>,
    ids: Vec<u128>,
    missed: Vec<u32>,
    unix_ms: i64,
    /// Each by itself, in a batch, or in a batch with details.
    form: u8,
}

fn written() -> impl Strategy<Value = Written> {
    let names = (0..NAMES.len(), proptest::option::of(0..NAMES.len()));
    let missed = proptest::collection::vec(prop_oneof![4 => Just(0), 1 => any::<u32>()], 0..6);
    let ids = proptest::collection::vec(any::<u128>(), 1..6);
    (names, ids, missed, 0..4_000_000_000_000_i64, 0..3_u8).prop_map(
        |((server, target), ids, missed, unix_ms, form)| Written {
            server,
            target,
            ids,
            missed,
            unix_ms,
            form,
        },
    )
}

fn name(index: usize) -> Name {
    Name::new(NAMES[index]).unwrap()
}

/// The frames' JSON.
fn bodies(written: &Written) -> Vec<Vec<u8>> {
    let (server, target) = (name(written.server), written.target.map(name));
    let ids: Vec<MsgId> = written
        .ids
        .iter()
        .map(|id| Uuid::from_u128(*id).into())
        .collect();
    let (mut out, mut fresh) = (Vec::new(), AnswerIds::new(Uuid::from_u128(written.ids[0])));
    if written.form == 0 {
        let mut template = AckTemplate::new(&server, target.as_ref());
        template.set_time(written.unix_ms);
        for (index, id) in ids.iter().enumerate() {
            match written.missed.get(index) {
                None => template.append(&mut out, &mut fresh, id),
                Some(&n) => template.append_dropped(&mut out, &mut fresh, id, n.into()),
            }
        }
    } else {
        let mut batch = BatchAck::new(&server, target.as_ref(), written.form == 2);
        let missed = &written.missed[..written.missed.len().min(ids.len())];
        batch.append(&mut out, &mut fresh, written.unix_ms, &ids, missed);
        batch.close(&mut out);
    }
    frames(&out)
        .map(|frame| out[frame.start + 4..frame.end].to_vec())
        .collect()
}

fn reader() -> SpelledAcks {
    SpelledAcks::new(&name(0), [Some(&name(1)), Some(&name(2)), None])
}

fn recognised(json: &[u8]) -> Option<Vec<Ack>> {
    let mut reader = reader();
    let ack = reader.read(json)?;
    Some(
        ack.covered()
            .map(|(id, dropped)| ack.of(id, dropped))
            .collect(),
    )
}

fn parsed(json: &[u8]) -> Option<Vec<Ack>> {
    match AnswerReader::of(&name(0)).answer_in(json)? {
        Answer::Ack(ack) => Some(ack.split()),
        Answer::Error(_) => None,
    }
}

/// Another body: bytes replaced, removed, put in, or exchanged with parts of `other`.
fn edited(json: &[u8], other: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    const LIKELY: &[u8] = b"0123456789abcdefABCDEF-\"\\,:[]{} TZtz+.e\n\xC3";
    let mut json = json.to_vec();
    for &(at, kind, byte) in edits {
        let at = at % json.len().max(1);
        let likely = LIKELY[usize::from(byte) % LIKELY.len()];
        match kind % 6 {
            0 if at < json.len() => json[at] = likely,
            1 if at < json.len() => json[at] ^= 1 << (byte % 8),
            2 => json.insert(at, likely),
            3 if at < json.len() => drop(json.remove(at)),
            4 => json.truncate(at),
            _ => {
                // The front of one and the end of the other.
                json.truncate(at);
                json.extend_from_slice(other.get(at..).unwrap_or_default());
            }
        }
    }
    json
}

proptest! {
    #[test]
    fn all_that_a_server_writes_is_recognised(written in written()) {
        for json in bodies(&written) {
            let expected = written.server == 0 && written.target != Some(0);
            let recognised = recognised(&json);
            prop_assert_eq!(recognised.is_some(), expected);
            if expected {
                prop_assert_eq!(recognised, parsed(&json));
            }
        }
    }

    #[test]
    fn nothing_is_recognised_that_the_parser_reads_otherwise(
        written in written(),
        other in written(),
        edits in proptest::collection::vec(any::<(usize, u8, u8)>(), 1..3),
    ) {
        let written = Written { server: 0, target: Some(1), ..written };
        let others = bodies(&Written { server: other.server % 2, ..other });
        for json in bodies(&written) {
            let json = edited(&json, &others[0], &edits);
            if let Some(recognised) = recognised(&json) {
                prop_assert_eq!(Some(recognised), parsed(&json));
            }
        }
    }
}

/// Every byte of an ack, replaced by each byte and removed.
#[test]
fn no_byte_of_an_ack_can_be_changed_so_that_the_parser_differs() {
    for (form, ids, missed) in [(0, 1, 0), (0, 1, 1), (1, 2, 1), (2, 2, 1), (2, 1, 0)] {
        let written = Written {
            server: 0,
            target: Some(1),
            ids: (0..ids).map(|n| 0xABCD << 40 | n).collect(),
            missed: vec![10; missed],
            unix_ms: 1_767_444_060_123,
            form,
        };
        let json = bodies(&written).remove(0);
        assert!(recognised(&json).is_some());
        for at in 0..json.len() {
            let mut shorter = json.clone();
            shorter.remove(at);
            assert!(recognised(&shorter).is_none_or(|acks| Some(acks) == parsed(&shorter)));
            assert!(recognised(&json[..at]).is_none());
            for byte in 0..=u8::MAX {
                let mut other = json.clone();
                other[at] = byte;
                if let Some(acks) = recognised(&other) {
                    assert_eq!(Some(acks), parsed(&other), "{at} became {byte}");
                }
            }
        }
    }
}

#[test]
fn an_ack_of_another_participant_is_none_of_the_servers() {
    let target = name(1);
    for source in ["tickwire2", "Tickwire", "x", "tickwir"] {
        let source = Name::new(source).unwrap();
        let mut out = Vec::new();
        let id = Uuid::from_u128(1).into();
        AckTemplate::new(&source, Some(&target)).append(
            &mut out,
            &mut AnswerIds::new(Uuid::nil()),
            &id,
        );
        assert!(recognised(&out[4..]).is_none());
    }
}
