//! Frames from a seed: near-valid messages in many spellings, and careless or
//! hostile edits of them.

/// Xorshift: the same seed gives the same frames on every machine.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() & 0xFF) as u8
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const KEYS: &[&str] = &[
    "msg_id",
    "msg_type",
    "timestamp",
    "source",
    "target",
    "payload",
    "run_id",
    "event_type",
    "event_utc",
    "received_utc",
    "payload_json",
    "level",
    "name",
    "message",
    "meta",
    "status",
    "code",
    "details",
    "acknowledged_msg_id",
    "x",
    "y",
    "",
    "é",
    "MSG_ID",
    "names",
    "a.b",
];

/// Values as JSON texts: good ones, near misses, and numbers of any size.
pub(crate) const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1.5",
    "1e400",
    "-1E-400",
    "1234567890123456789012345",
    "0e99999999999",
    "18446744073709551616",
    "-9223372036854775809",
    "[]",
    "{}",
    "[1,[2]]",
    r#"{"a":1}"#,
    r#"{"a":1,"a":2}"#,
    r#""""#,
    r#""x""#,
    r#""\u0000""#,
    r#""\ud834\udd1e""#,
    r#""a\"b\\""#,
    r#""é""#,
    "\"\u{7f}\"",
    "\"\u{85}\"",
    r#""\u0085""#,
    "\"注文\"",
    r#""550e8400-e29b-41d4-a716-446655440000""#,
    r#""550E8400-E29B-41D4-A716-446655440000""#,
    r#""550e8400e29b41d4a716446655440000""#,
    r#""{550e8400-e29b-41d4-a716-44665544000}""#,
    r#""550e8400-e29b-41d4-a716-44665544000g""#,
    r#""2026-01-03T12:41:00.000Z""#,
    r#""2026-01-03T12:41:00+05:30""#,
    r#""2026-01-03T12:41:00""#,
    r#""2026-01-03 12:41:00Z""#,
    r#""2024-02-29t23:59:60z""#,
    r#""2023-02-29T00:00:00Z""#,
    r#""2026-01-03T12:41:00.Z""#,
    r#""order""#,
    r#""system_event""#,
    r#""INFO""#,
    r#""FATAL""#,
    r#""info""#,
    r#""ingest_event""#,
    r#""log_record""#,
    r#""heartbeat""#,
    r#""error""#,
    r#""ack""#,
    r#""hello""#,
    r#""subscribe""#,
    r#""unsubscribe""#,
    r#""welcome""#,
];

/// Bytes that edits put into frames.
pub(crate) const NASTY: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"0",
    b"-",
    b".",
    b"e",
    b"1e999",
    b"NaN",
    b"null",
    b"\0",
    b"\n",
    b"\t",
    b"\x1f",
    b" ",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\ud800\\udc00",
    b"\\u0000",
    b"\\\"",
    b"'",
    b"/",
    b"\"a\":1,",
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
    b"12345678901234567890123",
    b"01",
    b"-0",
    b"+1",
    b"1.",
    b"Z",
    b"T",
    b"true",
    b"tru",
];

/// A message: mostly valid in some spelling, else with a rule or two broken.
pub(crate) fn message(seed: &mut Seed) -> String {
    let id = r#""550e8400-e29b-41d4-a716-446655440000""#;
    let now = r#""2026-01-03T12:41:00.000Z""#;
    let (kind, payload): (&str, Vec<(&str, &str)>) = match seed.below(7) {
        0 => (
            "log_record",
            vec![
                ("timestamp", now),
                ("level", r#""INFO""#),
                ("name", r#""n""#),
                ("message", r#""m""#),
                ("meta", "{}"),
            ],
        ),
        1 => (
            "heartbeat",
            vec![("status", r#""alive""#), ("timestamp", now)],
        ),
        2 => (
            "error",
            vec![
                ("code", r#""C""#),
                ("message", r#""m""#),
                ("details", r#"{"a":[1]}"#),
            ],
        ),
        3 => ("ack", vec![("acknowledged_msg_id", id), ("timestamp", now)]),
        4 => (
            seed.pick(&["hello", "subscribe", "unsubscribe"]),
            vec![("protocol", "1")],
        ),
        _ => (
            "ingest_event",
            vec![
                ("run_id", r#""r""#),
                ("event_type", r#""order""#),
                ("event_utc", now),
                ("received_utc", now),
                ("payload_json", r#"{"price":45000.0}"#),
            ],
        ),
    };
    let payload = payload.into_iter().map(|(k, v)| (k, v.to_owned()));
    let payload = object(seed, payload.collect());
    let target = seed.pick(&["null", r#""api-gateway""#]).to_owned();
    let kind = format!("{kind:?}");
    let envelope = vec![
        ("msg_id", id.to_owned()),
        ("msg_type", kind),
        ("timestamp", now.to_owned()),
        ("source", r#""quantower-connector""#.to_owned()),
        ("target", target),
        ("payload", payload),
    ];
    object(seed, envelope)
}

/// The object with these members, in some order and spelling, and now and then
/// with one too few, too many, or wrong.
fn object(seed: &mut Seed, mut members: Vec<(&str, String)>) -> String {
    let mut edits = if seed.once_in(2) { seed.below(3) } else { 0 };
    while edits > 0 {
        edits -= 1;
        let at = seed.below(members.len());
        match seed.below(6) {
            0 if members.len() > 1 => drop(members.remove(at)),
            1 | 2 => members[at].1 = seed.pick(VALUES).to_owned(),
            3 => members.push(members[at].clone()),
            _ => members.push((seed.pick(KEYS), seed.pick(VALUES).to_owned())),
        }
    }
    if seed.once_in(40) {
        // Enough keys to be sorted instead of compared each with each.
        members.extend(KEYS.iter().skip(19).map(|key| (*key, "0".to_owned())));
        members.extend(
            [
                "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12",
            ]
            .map(|key| (key, "[]".to_owned())),
        );
    }
    for at in (1..members.len()).rev() {
        let other = if seed.once_in(2) {
            seed.below(at + 1)
        } else {
            at
        };
        members.swap(at, other);
    }
    let mut out = String::from("{");
    for (at, (key, value)) in members.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        space(seed, &mut out);
        let key = format!("\"{key}\"");
        out.push_str(&respell(seed, &key));
        space(seed, &mut out);
        out.push(':');
        space(seed, &mut out);
        out.push_str(&if value.starts_with('"') {
            respell(seed, value)
        } else {
            value.clone()
        });
        space(seed, &mut out);
    }
    out.push('}');
    out
}

fn space(seed: &mut Seed, out: &mut String) {
    if seed.once_in(4) {
        out.push_str(seed.pick(&[" ", "\n", "\t", "\r\n", "                    "]));
    }
}

/// A JSON string, now and then with some characters as escapes.
fn respell(seed: &mut Seed, string: &str) -> String {
    if string.contains('\\') || !seed.once_in(8) {
        return string.to_owned();
    }
    let mut out = String::new();
    for c in string.chars() {
        if c != '"' && (c.is_control() || seed.once_in(3)) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The frame after a few edits of its bytes.
pub(crate) fn mutate(seed: &mut Seed, mut frame: Vec<u8>) -> Vec<u8> {
    for _ in 0..=seed.below(3) {
        let at = seed.below(frame.len() + 1);
        let end = (at + seed.below(9)).min(frame.len());
        match seed.below(7) {
            0 => drop(frame.drain(at..end)),
            1 => {
                let copy = frame[at..end].to_vec();
                let to = seed.below(frame.len() + 1);
                drop(frame.splice(to..to, copy));
            }
            2 if at < frame.len() => frame[at] = seed.byte(),
            3 if at < frame.len() => frame[at] ^= 1 << seed.below(8),
            4 => frame.truncate(at),
            _ => {
                let nasty = seed.pick(NASTY);
                let end = if seed.once_in(2) { at } else { end };
                drop(frame.splice(at..end, nasty.iter().copied()));
            }
        }
    }
    frame
}
