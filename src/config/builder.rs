//! The setters of a server's builder that are no setting's own.

use super::names::NameConfig;
use super::table::{ServerBuilder, ServerConfig};
use crate::ids::{Name, NameError};

impl ServerBuilder {
    /// Adds an address to listen on. With port 0, all with port 0 get the same.
    #[must_use]
    pub fn also_listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen.push(address.into());
        self
    }

    /// Sets the rules of the queue of `name`, in place of earlier ones.
    #[must_use]
    pub fn queue_of(mut self, name: impl AsRef<str>, own: NameConfig) -> Self {
        match Name::new(name) {
            Ok(name) => {
                self.config.router.names.insert(name, own);
            }
            Err(error) => self.wrong_name = Some(error),
        }
        self
    }

    /// Returns the settings, or the last name that was none.
    pub(crate) fn finish(self) -> Result<ServerConfig, NameError> {
        self.wrong_name.map_or(Ok(self.config), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_sets_what_it_is_told() {
        let config = ServerBuilder::default()
            .listen("a:1")
            .also_listen("b:2")
            .name("n")
            .queue_messages(100)
            .snapshot_keys(["/payload/a", "/payload/b"])
            .queue_of("feed", NameConfig::default())
            .finish()
            .unwrap();
        assert_eq!(config.listen, ["a:1", "b:2"]);
        assert_eq!(config.router.name.as_str(), "n");
        assert_eq!(config.router.queue_messages, 100);
        assert_eq!(config.router.snapshot_keys, ["/payload/a", "/payload/b"]);
        assert_eq!(config.router.names.len(), 1);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_wrong_name_is_told_at_the_end() {
        let builder = ServerBuilder::default().name("").queue_bytes(1);
        assert!(builder.finish().is_err());
    }
}
