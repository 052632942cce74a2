//! The request in a `hello`.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::{ControlPayload, invalid, text, wrong};
use crate::ids::Name;
use crate::limits::{NAMES_PER_CONNECTION_MAX, PROTOCOL_VERSION, WINDOW_MESSAGES_MAX};
use crate::wire::filter::Pointer;
use crate::wire::message::{Acks, Broadcasts, Token};
use crate::wire::refusal::{ErrorCode, Refusal, plain};

/// The payload of a [`Hello`](crate::wire::Hello), which has the same options. One that
/// is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HelloRequest {
    /// Each once, in the order in which they were given.
    pub names: Option<Vec<Name>>,
    pub register: Option<bool>,
    pub acks: Option<Acks>,
    pub ack_details: Option<bool>,
    pub broadcasts: Option<Broadcasts>,
    pub group: Option<bool>,
    pub group_key: Option<Pointer>,
    pub resumable: Option<bool>,
    pub resume: Option<bool>,
    pub replay: Option<bool>,
    pub window: Option<u32>,
    pub token: Option<Token>,
}

impl HelloRequest {
    /// Reads the `hello` that `json` holds, a frame that the parser accepted.
    ///
    /// # Errors
    /// `PROTOCOL_UNSUPPORTED` for another version of the protocol, `LIMIT_EXCEEDED` for
    /// too many names, `INVALID_PAYLOAD` for a wrong type.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        super::read(json, Self::from_payload)
    }

    fn from_payload(payload: ControlPayload<'_>) -> Result<Self, Refusal> {
        check_protocol(&payload)?;
        Ok(Self {
            names: names(&payload)?,
            register: payload.flag("payload.register")?,
            acks: payload.word("payload.acks", Acks::WORDS)?,
            ack_details: payload.flag("payload.ack_details")?,
            broadcasts: payload.word("payload.broadcasts", Broadcasts::WORDS)?,
            group: payload.flag("payload.group")?,
            group_key: payload.pointer("payload.group_key")?,
            resumable: payload.flag("payload.resumable")?,
            resume: payload.flag("payload.resume")?,
            replay: payload.flag("payload.replay")?,
            window: window(&payload)?,
            token: payload.text("payload.token")?.map(Token::new),
        })
    }

    /// Refuses an option that this version doesn't have, but for one that is off.
    ///
    /// # Errors
    /// `PROTOCOL_UNSUPPORTED`, naming the option, but not the message.
    pub fn check_supported(&self) -> Result<(), Refusal> {
        let unbuilt = [
            (
                self.replay == Some(true),
                "payload.replay",
                "leave it out or set it to false",
            ),
            (self.token.is_some(), "payload.token", "leave it out"),
        ];
        match unbuilt.into_iter().find(|(asked, ..)| *asked) {
            None => Ok(()),
            Some((_, field, remedy)) => Err(Refusal::new(
                ErrorCode::ProtocolUnsupported,
                format!("this server doesn't support this yet: {remedy}"),
            )
            .of_field(field)),
        }
    }
}

fn check_protocol(payload: &ControlPayload<'_>) -> Result<(), Refusal> {
    const FIELD: &str = "payload.protocol";
    match payload.get(FIELD) {
        None => {
            let reason = format!("is missing: it must be {PROTOCOL_VERSION}");
            Err(invalid(FIELD, reason))
        }
        Some(version) if version.parse() == Ok(PROTOCOL_VERSION) => Ok(()),
        Some(version) if is_integer(version) => {
            let other = plain(version);
            let reason =
                format!("this server speaks version {PROTOCOL_VERSION} only; this is {other}");
            Err(Refusal::new(ErrorCode::ProtocolUnsupported, reason).of_field(FIELD))
        }
        Some(other) => Err(wrong(FIELD, "an integer", other)),
    }
}

fn window(payload: &ControlPayload<'_>) -> Result<Option<u32>, Refusal> {
    const FIELD: &str = "payload.window";
    let Some(json) = payload.get(FIELD) else {
        return Ok(None);
    };
    if let Ok(messages) = json.parse() {
        return Ok(Some(messages));
    }
    let asked = format!("an integer of 0 to {WINDOW_MESSAGES_MAX}");
    if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        let reason = format!("must be {asked}; this is {}", plain(json));
        return Err(invalid(FIELD, reason));
    }
    Err(wrong(FIELD, &asked, json))
}

fn names(payload: &ControlPayload<'_>) -> Result<Option<Vec<Name>>, Refusal> {
    const FIELD: &str = "payload.names";
    let Some(json) = payload.get(FIELD) else {
        return Ok(None);
    };
    let values: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| wrong(FIELD, "an array of names", json))?;
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    for (at, value) in values.into_iter().enumerate() {
        let field = || format!("{FIELD}[{at}]");
        let asked = "a name, a string of 1 to 128 bytes";
        let text = text(value.get()).ok_or_else(|| wrong(field(), asked, value.get()))?;
        let name = Name::new(text).map_err(|error| invalid(field(), error.to_string()))?;
        if !seen.insert(name.clone()) {
            continue;
        }
        if names.len() == NAMES_PER_CONNECTION_MAX {
            let reason = format!("a connection may own at most {NAMES_PER_CONNECTION_MAX} names");
            return Err(Refusal::new(ErrorCode::LimitExceeded, reason).of_field(FIELD));
        }
        names.push(name);
    }
    Ok(Some(names))
}

/// Returns whether a JSON number is written as an integer.
fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Kind, Parser};

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    /// Reads a `hello` with this payload, as the parser would pass it on.
    fn hello(payload: &str) -> Result<HelloRequest, Refusal> {
        let frame = format!(
            r#"{{"msg_id":"{ID}","msg_type":"hello","timestamp":"2026-01-03T12:41:00Z",
                "source":"tool","payload":{payload}}}"#
        );
        let header = Parser::default().parse(frame.as_bytes());
        assert_eq!(header.unwrap().kind, Kind::Hello);
        HelloRequest::read(frame.as_bytes())
    }

    fn refused(payload: &str) -> (ErrorCode, String) {
        let refusal = hello(payload).unwrap_err();
        assert_eq!(refusal.msg_id.unwrap().as_str(), ID);
        assert_eq!(refusal.source.unwrap().as_str(), "tool");
        (refusal.code, refusal.field.unwrap().into_owned())
    }

    #[test]
    fn reads_every_option_and_ignores_what_it_does_not_know() {
        assert_eq!(hello(r#"{"protocol":1}"#), Ok(HelloRequest::default()));
        let read = hello(
            r#"{"protocol":1,"names":["a","b","a","\u0061"],"register":true,"acks":"batch",
                "ack_details":true,"broadcasts":"none","group":false,
                "group_key":"/payload/run~1id","resumable":true,"resume":false,"replay":true,
                "window":4294967295,
                "token":"s\u0065cret","later":[1e999,{"x":null}]}"#,
        )
        .unwrap();
        let names: Vec<&str> = read.names.iter().flatten().map(Name::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(read.register, Some(true));
        assert_eq!(read.acks, Some(Acks::Batch));
        assert_eq!(read.ack_details, Some(true));
        assert_eq!(read.broadcasts, Some(Broadcasts::None));
        assert_eq!(read.group, Some(false));
        assert_eq!(
            read.group_key.as_ref().unwrap().to_string(),
            "/payload/run~1id"
        );
        assert_eq!(read.resumable, Some(true));
        assert_eq!(read.resume, Some(false));
        assert_eq!(read.replay, Some(true));
        assert_eq!(read.window, Some(u32::MAX));
        assert!(!format!("{read:?}").contains("secret"));
        assert_eq!(read.token.unwrap().expose(), "secret");
    }

    #[test]
    fn refuses_what_has_the_wrong_type() {
        let with = |member: &str| format!(r#"{{"protocol":1,{member}}}"#);
        for (member, field) in [
            (r#""names":"a""#, "payload.names"),
            (r#""names":null"#, "payload.names"),
            (r#""names":["a","b",5]"#, "payload.names[2]"),
            (r#""names":["a",""]"#, "payload.names[1]"),
            (r#""names":["a\u0000"]"#, "payload.names[0]"),
            (r#""names":[1e999]"#, "payload.names[0]"),
            (r#""register":"true""#, "payload.register"),
            (r#""acks":true"#, "payload.acks"),
            (r#""acks":"all""#, "payload.acks"),
            (r#""ack_details":1e999"#, "payload.ack_details"),
            (r#""broadcasts":"some""#, "payload.broadcasts"),
            (r#""group":null"#, "payload.group"),
            (r#""group_key":"run_id""#, "payload.group_key"),
            (r#""group_key":"/a~2""#, "payload.group_key"),
            (r#""resumable":[]"#, "payload.resumable"),
            (r#""resume":{}"#, "payload.resume"),
            (r#""window":null"#, "payload.window"),
            (r#""window":"1""#, "payload.window"),
            (r#""window":-1"#, "payload.window"),
            (r#""window":1.0"#, "payload.window"),
            (r#""window":4294967296"#, "payload.window"),
            (r#""window":1e999"#, "payload.window"),
            (r#""replay":"""#, "payload.replay"),
            (r#""token":5"#, "payload.token"),
        ] {
            let expected = (ErrorCode::InvalidPayload, field.to_owned());
            assert_eq!(refused(&with(member)), expected, "{member}");
        }
    }

    #[test]
    fn speaks_version_1_only() {
        let field = || "payload.protocol".to_owned();
        for other in ["0", "2", "-1", "1234567890123456789012345"] {
            let payload = format!(r#"{{"protocol":{other}}}"#);
            assert_eq!(refused(&payload), (ErrorCode::ProtocolUnsupported, field()));
        }
        for wrong in ["\"1\"", "1.0", "1e0", "null", "true", "[1]"] {
            let payload = format!(r#"{{"protocol":{wrong}}}"#);
            assert_eq!(refused(&payload), (ErrorCode::InvalidPayload, field()));
        }
        assert_eq!(refused("{}"), (ErrorCode::InvalidPayload, field()));
    }

    #[test]
    fn takes_64_names_and_not_one_more() {
        let names = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("\"n{n}\"")).collect();
            format!(r#"{{"protocol":1,"names":["n0",{}]}}"#, names.join(","))
        };
        assert_eq!(hello(&names(64)).unwrap().names.unwrap().len(), 64);
        let expected = (ErrorCode::LimitExceeded, "payload.names".to_owned());
        assert_eq!(refused(&names(65)), expected);
    }

    #[test]
    fn grants_what_holds_anyway_and_refuses_what_is_not_built() {
        let check = |member: &str| {
            let read = hello(&format!(r#"{{"protocol":1,{member}}}"#)).unwrap();
            read.check_supported().map_err(|refusal| {
                assert_eq!(refusal.code, ErrorCode::ProtocolUnsupported);
                refusal.field.unwrap().into_owned()
            })
        };
        let today = r#""names":["a"],"register":false,"acks":"batch","ack_details":true,
            "broadcasts":"all","group":true,"group_key":"/source",
            "resumable":true,"resume":true,"replay":false,"window":0"#;
        assert_eq!(check(today), Ok(()));
        assert_eq!(check(r#""broadcasts":"none""#), Ok(()));
        for member in [r#""replay":true"#, r#""token":"x""#] {
            let key = member.split('"').nth(1).unwrap();
            assert_eq!(check(member), Err(format!("payload.{key}")));
        }
    }
}
