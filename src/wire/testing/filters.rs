//! Filters, held against their judge: by the shapes and by a scan.

use super::filter_judge;
use super::generate::{Seed, VALUES};
use super::tree::Tree;
use crate::wire::filter::{Field, Filter, Finite, Probe, Value, Values};
use crate::wire::request::SubscribeRequest;
use crate::wire::shape::{Hints, Shapes};
use crate::wire::{Parser, Validation};

/// Filters on the same frames, and the shapes of a server.
#[derive(Debug)]
pub(crate) struct FilterHarness {
    /// With the JSON that each was read from.
    filters: Vec<(Tree, Filter)>,
    probe: Probe,
    /// One reads frames only.
    by_shape: Values,
    by_scan: Values,
    shapes: Shapes,
    hints: Hints,
    parser: Parser,
    pub(crate) tally: Tally,
}

/// The numbers of comparisons with the judge.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) by_shape: usize,
    pub(crate) by_scan: usize,
    pub(crate) matched: usize,
}

impl FilterHarness {
    /// Nothing is learned yet.
    pub(crate) fn new() -> Self {
        Self {
            filters: Vec::new(),
            probe: Probe::new([]),
            by_shape: Values::default(),
            by_scan: Values::default(),
            shapes: Shapes::new(Validation::Payload),
            hints: Hints::default(),
            parser: Parser::default(),
            tally: Tally::default(),
        }
    }

    /// Takes these filters instead of those before, each the JSON of a `where`.
    /// Fails if judge and reader differ on which are valid.
    pub(crate) fn filter_by<'a>(&mut self, filters: impl IntoIterator<Item = &'a str>) {
        self.filters.clear();
        for json in filters {
            let tree = Tree::read(json);
            let valid = filter_judge::matches(&tree, &Tree::Null).is_some();
            let frame = format!(
                r#"{{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"subscribe",
                    "timestamp":"2026-01-03T12:41:00Z","source":"a",
                    "payload":{{"id":"a","where":{json}}}}}"#
            );
            match SubscribeRequest::read(frame.as_bytes()) {
                Ok(request) => {
                    assert!(valid, "{json}");
                    self.filters.push((tree, request.filter));
                }
                Err(refusal) => assert!(!valid, "{refusal}: {json}"),
            }
        }
        let conditions = self
            .filters
            .iter()
            .flat_map(|(_, filter)| filter.conditions());
        self.probe = Probe::new(conditions.map(|condition| condition.field().clone()));
    }

    /// Holds all filters to the judge on any frame, with `behind` behind it in the
    /// window. Returns whether a shape recognised it.
    pub(crate) fn hold(&mut self, frame: &[u8], behind: &[u8]) -> bool {
        let window = [frame, behind].concat();
        let table = self.shapes.load();
        let recognized = self.hints.recognize(&table, &window, frame.len(), 0);
        if recognized.is_none() {
            let Ok(header) = self.parser.parse(frame) else {
                return false;
            };
            let learned = self.shapes.learn(frame, &header, 0);
            self.hints.note(learned, frame.len());
        }
        let slots = recognized.and_then(|_| self.hints.slots(&table, frame.len()));
        let spells_values = recognized.is_some() && !frame.contains(&b'\\');
        assert_eq!(slots.is_some(), spells_values);
        let scanned = self.by_scan.read(&self.probe, frame, None);
        let view = self.by_shape.read(&self.probe, frame, slots);
        let text = str::from_utf8(frame).expect("it was accepted");
        for (place, field) in self.probe.fields().iter().enumerate() {
            let (one, other) = (view.get(place), scanned.get(place));
            assert_eq!(one, other, "{field} by shape and by scan: {text}");
            let number = |value: &Value<'_>| match value {
                Value::Number(spelling) => Some(spelling.to_vec()),
                _ => None,
            };
            // Numbers are read as Rust reads them.
            if let Some(spelling) = one.as_ref().and_then(number) {
                let ours = Finite::read(&spelling);
                let theirs: f64 = str::from_utf8(&spelling).unwrap().parse().unwrap();
                let theirs = theirs.is_finite().then_some(theirs);
                assert_eq!(ours.map(|number| number.get()), theirs, "{text}");
            }
        }
        let message = Tree::read(text);
        for (conditions, filter) in &self.filters {
            let value_of = |field: &Field| view.get(self.probe.position(field).unwrap());
            let matched = filter.matches(value_of);
            let judged = filter_judge::matches(conditions, &message);
            assert_eq!(Some(matched), judged, "{conditions:?} of {text}");
            self.tally.matched += usize::from(matched);
            *match slots {
                Some(_) => &mut self.tally.by_shape,
                None => &mut self.tally.by_scan,
            } += 1;
        }
        slots.is_some()
    }
}

/// The JSON of a `where` on the fields of a valid message, or nearly on them.
pub(crate) fn conditions(seed: &mut Seed, message: &str) -> String {
    let pointers = Tree::read(message).pointers();
    let values = scalars(message);
    let one = |seed: &mut Seed| condition(seed, &pointers, &values);
    let conditions: Vec<String> = (0..=seed.below(3)).map(|_| one(seed)).collect();
    format!("[{}]", conditions.join(","))
}

fn condition(seed: &mut Seed, pointers: &[String], values: &[&str]) -> String {
    let field = match seed.below(12) {
        0 => "source".to_owned(),
        1 => "msg_type".to_owned(),
        2 => seed.pick(NEAR_FIELDS).to_owned(),
        3 => format!(
            "{}{}",
            pointers[seed.below(pointers.len())],
            seed.pick(STEPS)
        ),
        _ => pointers[seed.below(pointers.len())].clone(),
    };
    let scalar = |seed: &mut Seed| {
        if values.is_empty() || seed.once_in(4) {
            seed.pick(VALUES)
        } else {
            seed.pick(values)
        }
    };
    let op = seed.pick(&[
        "eq", "in", "prefix", "exists", "lt", "le", "gt", "ge", "near",
    ]);
    let value = match op {
        "in" => {
            let values: Vec<&str> = (0..seed.below(9)).map(|_| scalar(seed)).collect();
            format!("[{}]", values.join(","))
        }
        "exists" => seed.pick(&["true", "false", "1"]).to_owned(),
        "prefix" => {
            let text = scalar(seed);
            let cut = text.char_indices().nth(1 + seed.below(4));
            match cut {
                Some((cut, _)) if text.starts_with('"') && !text.contains('\\') => {
                    format!("\"{}\"", text[1..cut].trim_matches('"'))
                }
                _ => text.to_owned(),
            }
        }
        _ => scalar(seed).to_owned(),
    };
    let value = if seed.once_in(20) {
        String::new()
    } else {
        format!(r#","value":{value}"#)
    };
    let field = serde_json::to_string(&field).unwrap();
    format!(r#"{{"field":{field},"op":"{op}"{value}}}"#)
}

/// Fields that few messages have, and some that are none.
const NEAR_FIELDS: &[&str] = &[
    "",
    "/",
    "//",
    "x",
    "/~",
    "/~2",
    "/~01",
    "/payload/é",
    "/payload",
    "/target",
    "/payload/x/0/1",
    "/payload/payload_json/a",
    "/payload/x/a",
    "/payload/y/a",
    "/x/1/0",
    "/x/01",
    "/x/-",
    "/y/1",
];

const STEPS: &[&str] = &["/", "/0", "/00", "/-", "/1", "/a", "x", "~0"];

/// The strings and numbers of a valid JSON text, as they stand there, and its
/// keys: not more than so many.
fn scalars(json: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = json;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[start..];
        let end = if let Some(text) = rest.strip_prefix('"') {
            let mut escaped = false;
            let mut quote = |c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            };
            text.find(&mut quote).map_or(rest.len(), |at| at + 2)
        } else {
            let inside = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            rest.find(|c| !inside(c)).unwrap_or(rest.len())
        };
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}
