//! The slow, plain judge of filters: reads the whole frame into a tree for each
//! condition, and the condition from its JSON. It shares no code with the filters.

use super::tree::Tree;

/// Returns whether all conditions of a `where` hold for a message. `None` if they
/// are no valid filter; sizes are not checked.
pub(crate) fn matches(conditions: &Tree, message: &Tree) -> Option<bool> {
    let Tree::Array(conditions) = conditions else {
        return None;
    };
    let verdicts: Option<Vec<bool>> = (conditions.iter())
        .map(|condition| holds(condition, message))
        .collect();
    Some(verdicts?.into_iter().all(|holds| holds))
}

fn holds(condition: &Tree, message: &Tree) -> Option<bool> {
    let (Tree::Text(field), Tree::Text(op)) = (condition.first("field")?, condition.first("op")?)
    else {
        return None;
    };
    let pointer = match &**field {
        "source" | "msg_type" => format!("/{field}"),
        pointer if is_pointer(pointer) => pointer.to_owned(),
        _ => return None,
    };
    let found = message.at(&pointer);
    let wanted = condition.first("value");
    let ordering = |wanted: &Tree| match (found?, wanted) {
        (Tree::Null, Tree::Null) => Some(std::cmp::Ordering::Equal),
        (Tree::Bool(found), Tree::Bool(wanted)) => Some(found.cmp(wanted)),
        (Tree::Text(found), Tree::Text(wanted)) => Some(found.as_bytes().cmp(wanted.as_bytes())),
        (Tree::Number(found), Tree::Number(wanted)) => {
            let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
            number(found)?.partial_cmp(&number(wanted)?)
        }
        _ => None,
    };
    let is_scalar = |value: &Tree| match value {
        Tree::Array(_) | Tree::Object(_) => false,
        Tree::Number(text) => text.parse::<f64>().unwrap().is_finite(),
        _ => true,
    };
    let orders = |as_wanted: fn(std::cmp::Ordering) -> bool| match wanted? {
        bound @ (Tree::Number(_) | Tree::Text(_)) if is_scalar(bound) => {
            Some(ordering(bound).is_some_and(as_wanted))
        }
        _ => None,
    };
    match (&**op, wanted) {
        ("exists", None | Some(Tree::Bool(true))) => Some(found.is_some()),
        ("exists", Some(Tree::Bool(false))) => Some(found.is_none()),
        ("eq", Some(wanted)) if is_scalar(wanted) => {
            Some(ordering(wanted).is_some_and(std::cmp::Ordering::is_eq))
        }
        ("in", Some(Tree::Array(values))) if values.iter().all(is_scalar) => {
            let mut orderings = values.iter().filter_map(ordering);
            Some(orderings.any(std::cmp::Ordering::is_eq))
        }
        ("prefix", Some(Tree::Text(prefix))) => match found {
            Some(Tree::Text(text)) => Some(text.starts_with(prefix)),
            _ => Some(false),
        },
        ("lt", _) => orders(std::cmp::Ordering::is_lt),
        ("le", _) => orders(std::cmp::Ordering::is_le),
        ("gt", _) => orders(std::cmp::Ordering::is_gt),
        ("ge", _) => orders(std::cmp::Ordering::is_ge),
        _ => None,
    }
}

/// Returns whether the text is a pointer by RFC 6901, but not to the whole message.
fn is_pointer(text: &str) -> bool {
    let unescaped = text.replace("~0", "").replace("~1", "");
    text.starts_with('/') && !unescaped.contains('~')
}
