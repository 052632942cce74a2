//! Floor 3: the asynchronous shell around the router.

mod config;

pub use config::{ConfigError, ServerConfig};
