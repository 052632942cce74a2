//! The process's limit of open files, and the connections that it allows.

use std::fs::File;
use std::io;

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::slots::SlotsMax;
use crate::limits::{CONNECTIONS_CLOSING_MAX, DESCRIPTORS_RESERVED};

/// Raises the number of files that this process may have open to the most that the
/// system allows, and returns that number; `None` is no limit. `tickwire serve`
/// does this; a program that embeds a server may, before it starts the server.
///
/// # Errors
/// The system's error; the limit is as before.
pub fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    #[cfg(unix)]
    {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current == maximum {
            return Ok(current);
        }
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
        Ok(maximum)
    }
    #[cfg(not(unix))]
    Ok(None)
}

fn limit() -> Option<usize> {
    #[cfg(unix)]
    {
        let limit = getrlimit(Resource::Nofile).current?;
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}

/// The number of files that it has open, or a guess.
fn in_use() -> usize {
    /// A generous guess for a process that has just started a server.
    const USUAL: usize = 32;
    let listed = ["/proc/self/fd", "/dev/fd"].into_iter().find_map(|folder| {
        // One of them is the folder.
        Some(std::fs::read_dir(folder).ok()?.count().saturating_sub(1))
    });
    listed.unwrap_or(USUAL)
}

/// The slots for `connections_max`, or as many as the limit allows, with a warning.
pub(super) fn slots(connections_max: usize) -> SlotsMax {
    let limit = limit();
    let free = limit.map(|limit| limit.saturating_sub(in_use()));
    let max = share_out(connections_max, free);
    if let (true, Some(limit)) = (max.served < connections_max, limit) {
        tracing::warn!(
            "{} connections can be served at once, and not connections_max = {connections_max}: \
             this process may have {limit} files open (RLIMIT_NOFILE)",
            max.served
        );
    }
    max
}

/// Divides `free` descriptors between served connections and the rest.
fn share_out(connections_max: usize, free: Option<usize>) -> SlotsMax {
    let Some(free) = free else {
        return SlotsMax {
            served: connections_max,
            closing: CONNECTIONS_CLOSING_MAX,
        };
    };
    let served = connections_max.min(free.saturating_sub(DESCRIPTORS_RESERVED).max(1));
    let closing = CONNECTIONS_CLOSING_MAX.min(free.saturating_sub(served).max(1));
    SlotsMax { served, closing }
}

/// A descriptor that is given up to accept, and refuse, one more connection.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    /// Takes one, if there is one.
    pub(super) fn take() -> Self {
        #[cfg(unix)]
        let file = File::open("/dev/null").ok();
        #[cfg(not(unix))]
        let file = None;
        Self(file)
    }

    /// Gives it up, and returns whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Returns whether `error` says that there is no descriptor left.
pub(super) fn are_used_up(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(connections_max: usize, free: usize) -> (usize, usize) {
        let max = share_out(connections_max, Some(free));
        (max.served, max.closing)
    }

    #[test]
    fn a_reserve_is_kept_for_those_who_are_refused() {
        assert_eq!(shares(16_384, 1_000_000), (16_384, 256));
        assert_eq!(shares(100, 150), (100, 50));
        assert_eq!(shares(100, 116), (100, 16));
        assert_eq!(shares(16_384, 52), (36, 16));
        assert_eq!(shares(16_384, 17), (1, 16));
        assert_eq!(shares(16_384, 3), (1, 2));
        assert_eq!(shares(16_384, 0), (1, 1));
        let unlimited = share_out(16_384, None);
        assert_eq!((unlimited.served, unlimited.closing), (16_384, 256));
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
        assert!(in_use() > 2);
    }
}
