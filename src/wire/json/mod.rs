//! JSON: values for the rules, members one level at a time, faults and their places.

mod fault;
mod keys;
mod locate;
mod members;
mod second_opinion;
mod tape;
mod text;
mod value;

pub(super) use self::keys::{KeySet, first_repeated};
pub use self::locate::{line_and_column, locate};
pub(super) use self::members::{Members, members, type_of};
pub(super) use self::second_opinion::read as read_again;
pub(super) use self::tape::TapeValue;
pub(super) use self::text::unescape;
pub use self::text::{is_white_space, string_end};
pub(super) use self::value::{Content, JsonType, Value};
