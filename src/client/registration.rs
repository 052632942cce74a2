//! The names and options under which the client connects again.

use crate::ids::Name;
use crate::wire::{Granted, Hello};

/// The content of a client's hellos: the names that are still its own, and whether
/// it can go on where the last connection ended.
#[derive(Debug)]
pub(super) struct Registration {
    pub source: Name,
    hello: Hello,
    /// The names to own, without those that another connection took over.
    names: Vec<Name>,
    /// The name for which the server remembers accepted messages.
    resumable_as: Option<Name>,
}

impl Registration {
    pub(super) fn new(source: Name, hello: Hello) -> Self {
        let names = match (&hello.names, hello.register) {
            (_, Some(false)) => Vec::new(),
            (Some(names), _) => names.clone(),
            (None, _) => vec![source.clone()],
        };
        Self {
            source,
            hello,
            names,
            resumable_as: None,
        }
    }

    pub(super) fn hello(&self) -> Hello {
        let mut hello = self.hello.clone();
        if let Some(names) = &mut hello.names {
            names.retain(|name| self.names.contains(name));
        }
        // A server remembers ids by the first name.
        let first = self.names.first();
        let resumes = hello.resumable == Some(true) && first.is_some();
        hello.resume = (resumes && first == self.resumable_as.as_ref()).then_some(true);
        hello
    }

    /// Notes the grants of a welcome; returns whether the server resumes.
    pub(super) fn welcomed(&mut self, hello: &Hello, granted: &Granted) -> bool {
        let resumes = hello.resume == Some(true) && granted.resume == Some(true);
        let resumable = hello.resumable == Some(true) && granted.resumable == Some(true);
        self.resumable_as = self.names.first().filter(|_| resumable).cloned();
        resumes
    }

    /// Notes that a hello was perhaps granted, but no welcome arrived: a server that had
    /// forgotten all may now remember something else than was lost.
    pub(super) fn welcome_missed(&mut self) {
        self.resumable_as = None;
    }

    /// Returns whether the server remembers the messages of this connection.
    pub(super) fn is_resumable(&self) -> bool {
        self.resumable_as.is_some()
    }

    /// Notes that another connection took `name` over, or all; returns whether none is left.
    pub(super) fn lose(&mut self, name: Option<&Name>) -> bool {
        self.names
            .retain(|own| name.is_some_and(|name| name != own));
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn registration(names: Option<&[&str]>) -> Registration {
        let hello = Hello {
            names: names.map(|names| names.iter().map(|text| name(text)).collect()),
            resumable: Some(true),
            ..Hello::default()
        };
        Registration::new(name("me"), hello)
    }

    fn granted(resumable: bool, resume: bool) -> Granted {
        Granted {
            resumable: Some(resumable),
            resume: Some(resume),
            ..Granted::new()
        }
    }

    #[test]
    fn resumes_only_what_was_resumable() {
        let mut registration = registration(None);
        assert_eq!(registration.hello().resume, None);
        // A server that grants an option without being asked.
        let hello = registration.hello();
        assert!(!registration.welcomed(&hello, &granted(false, true)));
        assert!(!registration.is_resumable());
        assert_eq!(registration.hello().resume, None);

        assert!(!registration.welcomed(&hello, &granted(true, false)));
        assert!(registration.is_resumable());
        let hello = registration.hello();
        assert_eq!(hello.resume, Some(true));
        assert!(registration.welcomed(&hello, &granted(true, true)));
        assert!(!registration.welcomed(&hello, &granted(true, false)));
        // Another server, which doesn't remember.
        assert!(!registration.welcomed(&Hello::default(), &Granted::new()));
        assert_eq!(registration.hello().resume, None);
    }

    #[test]
    fn a_name_that_was_taken_over_is_not_claimed_again() {
        let mut registration = registration(Some(&["a", "b", "c"]));
        let hello = registration.hello();
        registration.welcomed(&hello, &granted(true, false));
        assert!(!registration.lose(Some(&name("b"))));
        assert!(!registration.lose(Some(&name("not ours"))));
        let hello = registration.hello();
        assert_eq!(hello.names.unwrap(), [name("a"), name("c")]);
        assert_eq!(hello.resume, Some(true));
        // The server's memory belonged to the first name.
        assert!(!registration.lose(Some(&name("a"))));
        assert_eq!(registration.hello().names.unwrap(), [name("c")]);
        assert_eq!(registration.hello().resume, None);
        assert!(registration.lose(Some(&name("c"))));
    }

    #[test]
    fn a_takeover_that_does_not_say_of_what_is_of_all() {
        assert!(registration(Some(&["a", "b"])).lose(None));
        assert!(registration(None).lose(Some(&name("me"))));
    }
}
