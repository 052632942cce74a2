//! The hint for a condition on a number where broadcasts have a text.
//!
//! `symbol=600519` asks for a number, and a feed may write `"600519"`: then nothing
//! ever matches. The server filters, so the listener can't see that. Therefore
//! another connection, which owns no name, subscribes to broadcasts with a text in
//! that place, and ends with the first. It has no effect on the output.

use serde_json::Value;
use tickwire::client::{Event, Receiver};
use tickwire::ids::Name;
use tickwire::wire::{Condition, FilterValue, Operator, Subscribe};
use tickwire::{Client, ClientConfig};

use super::condition::{OPERATORS, begins_a_number};
use super::say;

/// Conditions that compare with a number, and the others beside them.
#[derive(Debug)]
pub struct Mismatch {
    numbers: Vec<Condition>,
    others: Vec<Condition>,
}

impl Mismatch {
    pub fn of(conditions: &[Condition]) -> Option<Self> {
        let is_number = |condition: &Condition| {
            let value = condition.value.as_ref().map(FilterValue::as_str);
            value.is_some_and(|value| value.starts_with(begins_a_number))
        };
        let (numbers, others): (Vec<_>, _) = conditions.iter().cloned().partition(is_number);
        (!numbers.is_empty()).then_some(Self { numbers, others })
    }

    /// Gives the hint once such a broadcast comes. Returns when the server has been
    /// asked for them. Where it can't be asked, there is no hint.
    pub async fn tell(self, to: &str, name: &Name) {
        let config = ClientConfig::new(name.as_str())
            .register(false)
            .resumable(false);
        let Ok((client, mut receiver)) = Client::connect(to, config).await else {
            return;
        };
        for subscribe in self.subscriptions() {
            if client.subscribe(subscribe).await.is_err() {
                return;
            }
        }
        tokio::spawn(async move {
            if let Some(line) = self.first(&mut receiver).await {
                say(format_args!("{line}"));
            }
        });
    }

    /// Returns a subscription for each number, without the other conditions on
    /// numbers: those may be texts as well.
    fn subscriptions(&self) -> impl Iterator<Item = Subscribe> + '_ {
        self.numbers.iter().enumerate().map(|(index, number)| {
            let others = self.others.iter().cloned();
            let all = Subscribe::new(format!("mismatch-{index}"));
            // No text is less than the empty one.
            let any_text = Condition::new(number.field.clone(), Operator::Ge).against("");
            others.fold(all, Subscribe::with).with(any_text)
        })
    }

    async fn first(&self, receiver: &mut Receiver) -> Option<String> {
        loop {
            match receiver.receive().await? {
                Event::Message(inbound) => {
                    if let Some(line) = self.line(inbound.json()) {
                        return Some(line);
                    }
                }
                Event::Closed(_) => return None,
                _ => {}
            }
        }
    }

    /// Returns the hint, if a message has a text in the place of a number.
    fn line(&self, json: &[u8]) -> Option<String> {
        let message: Value = serde_json::from_slice(json).ok()?;
        self.numbers.iter().find_map(|condition| {
            let pointer = match condition.field.starts_with('/') {
                true => condition.field.clone(),
                false => format!("/{}", condition.field),
            };
            let text = message.pointer(&pointer)?.as_str()?;
            let number = condition.value.as_ref()?.as_str();
            let known = OPERATORS.iter().find(|(_, known)| *known == condition.op);
            let (path, operator) = (path(&condition.field), known?.0);
            Some(format!(
                "{path} is the text {text:?} in a broadcast, and no text matches the number \
                 {number}: for the text write --where '{path}{operator}\"{number}\"'"
            ))
        })
    }
}

/// Returns a field as it is written on the command line.
fn path(field: &str) -> String {
    match field.strip_prefix('/') {
        Some(keys) if !keys.contains(['.', '~']) => keys.replace('/', "."),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::condition;
    use super::*;

    fn of(conditions: &[&str]) -> Option<Mismatch> {
        let read = conditions.iter().map(|text| condition(text).unwrap());
        Mismatch::of(&read.collect::<Vec<_>>())
    }

    #[test]
    fn only_a_number_may_have_been_meant_as_a_text() {
        for condition in ["a=b", "a=\"5\"", "a^=5", "a", "a=true", "a=null", "a=1x"] {
            assert!(of(&[condition]).is_none(), "{condition}");
        }
        for condition in ["a=5", "a<-1", "source=5"] {
            assert!(of(&[condition]).is_some(), "{condition}");
        }
    }

    #[test]
    fn says_what_to_write_for_the_text() {
        let says = |condition: &str, json: &str| of(&[condition])?.line(json.as_bytes());
        let line = says("p.symbol=600519", r#"{"p":{"symbol":"600519"}}"#).unwrap();
        assert!(line.contains("the text \"600519\""), "{line}");
        assert!(line.contains("'p.symbol=\"600519\"'"), "{line}");
        let line = says("a>=5", r#"{"a":"x"}"#).unwrap();
        assert!(line.contains("'a>=\"5\"'"), "{line}");
        let line = says("source=5", r#"{"source":"feed"}"#).unwrap();
        assert!(line.contains("'source=\"5\"'"), "{line}");
        let line = says("/a.b/0=5", r#"{"a.b":["x"]}"#).unwrap();
        assert!(line.contains("'/a.b/0=\"5\"'"), "{line}");
        for other in ["{}", r#"{"a":5}"#, r#"{"a":null}"#, "[", r#"{"a":["x"]}"#] {
            assert_eq!(says("a=5", other), None, "{other}");
        }
    }

    #[test]
    fn asks_for_texts_beside_what_else_must_hold() {
        let all = of(&["a=1", "source=feed", "b<2"]).unwrap();
        let asked: Vec<_> = all.subscriptions().collect();
        let feed = || Condition::eq("source", "feed");
        let text_at = |field: &str| Condition::new(field, Operator::Ge).against("");
        let expected = [
            Subscribe::new("mismatch-0")
                .with(feed())
                .with(text_at("/a")),
            Subscribe::new("mismatch-1")
                .with(feed())
                .with(text_at("/b")),
        ];
        assert_eq!(asked, expected);
    }
}
