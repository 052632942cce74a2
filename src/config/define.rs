//! The macro that makes everything of the table of settings.

/// Defines [`ServerConfig`](super::ServerConfig) by the rows in `server`,
/// [`RouterConfig`](super::RouterConfig) by those in `router`, and the setters and
/// [`SETTINGS`](super::SETTINGS) by both. A row has a text, a name, the key if it
/// differs from the name, a type, a default, a kind (a variant of
/// [`Value`](super::Value)) and a rule.
macro_rules! settings {
    ($(
        server { $(
            $(#[doc = $s_text:literal])+
            $s:ident $(as $s_key:literal)?: $s_type:ty = $s_default:expr => $s_kind:ident, $s_rule:expr;
        )* }
        router { $(
            $(#[doc = $r_text:literal])+
            $r:ident $(as $r_key:literal)?: $r_type:ty = $r_default:expr => $r_kind:ident, $r_rule:expr;
        )* }
    )*) => {
        /// The settings of a server: change some of [`ServerConfig::default`].
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ServerConfig {
            $($( $(#[doc = $s_text])+ pub $s: $s_type, )*)*
            /// The settings of the router inside.
            pub router: RouterConfig,
        }

        /// The settings of a router, which checks none of them. It leaves out
        /// `snapshot_keys` that are no pointers, or beyond
        /// [`SNAPSHOT_KEYS_MAX`](crate::limits::SNAPSHOT_KEYS_MAX).
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct RouterConfig {
            $($( $(#[doc = $r_text])+ pub $r: $r_type, )*)*
            /// The rules of single names. A name that ends in `*` stands for all that begin
            /// with the part before it ([`RouterConfig::rules_of`]).
            pub names: HashMap<Name, NameConfig>,
        }

        impl Default for RouterConfig {
            /// The defaults of a server, but with no bound of memory.
            fn default() -> Self {
                Self { $($( $r: $r_default, )*)* names: HashMap::new() }
            }
        }

        impl ServerConfig {
            pub(super) fn around(router: RouterConfig) -> Self {
                Self { $($( $s: $s_default, )*)* router }
            }
        }

        /// All settings but those of single names, in the order of the help.
        pub const SETTINGS: &[Setting] = &[$(
            $( Setting {
                key: define::key!($s $($s_key)?),
                text: concat!($($s_text),+),
                value: |config| Value::$s_kind(&mut config.$s),
                check: |key, config| ($s_rule)(key, &config.$s),
            }, )*
            $( Setting {
                key: define::key!($r $($r_key)?),
                text: concat!($($r_text),+),
                value: |config| Value::$r_kind(&mut config.router.$r),
                check: |key, config| ($r_rule)(key, &config.router.$r),
            }, )*
        )*];

        #[cfg(feature = "server")]
        impl ServerBuilder {$(
            $( define::setter! { $s_kind $(#[doc = $s_text])+ $s: $s_type => $s } )*
            $( define::setter! { $r_kind $(#[doc = $r_text])+ $r: $r_type => router.$r } )*
        )*}
    };
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// The setter of a setting, with an argument that is handy for its kind.
#[cfg(feature = "server")]
macro_rules! setter {
    (Addresses $(#[$doc:meta])+ $name:ident: $type:ty => $($path:ident).+) => {
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, address: impl Into<String>) -> Self {
            self.config.$($path).+ = vec![address.into()];
            self
        }
    };
    (Name $(#[$doc:meta])+ $name:ident: $type:ty => $($path:ident).+) => {
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, name: impl AsRef<str>) -> Self {
            match Name::new(name) {
                Ok(name) => self.config.$($path).+ = name,
                Err(error) => self.wrong_name = Some(error),
            }
            self
        }
    };
    (Pointers $(#[$doc:meta])+ $name:ident: $type:ty => $($path:ident).+) => {
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, pointers: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.config.$($path).+ = pointers.into_iter().map(Into::into).collect();
            self
        }
    };
    (Path $(#[$doc:meta])+ $name:ident: $type:ty => $($path:ident).+) => {
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, path: impl Into<PathBuf>) -> Self {
            self.config.$($path).+ = Some(path.into());
            self
        }
    };
    ($kind:ident $(#[$doc:meta])+ $name:ident: $type:ty => $($path:ident).+) => {
        $(#[$doc])+
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.config.$($path).+ = $name;
            self
        }
    };
}

#[cfg(feature = "server")]
pub(super) use setter;
pub(super) use {key, settings};
