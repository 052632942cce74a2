//! The services inside tickwire: `health-monitor` knows the participants that are
//! alive, `log-aggregator` keeps the latest log records. Each is the receiver
//! while no connection owns its name, and sees every accepted heartbeat or log
//! record, whoever owns it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::multiple::RefMulti;
use serde::Deserialize;

use crate::ids::Name;
pub use crate::limits::{HEALTH_MONITOR, LOG_AGGREGATOR};
use crate::router::now::Now;
use crate::sync::{Mutex, lock};

/// Most sources whose heartbeats are remembered.
const SOURCES_MAX: usize = 4_096;
/// Sources silent for so long make room for others once the table is full.
const SOURCE_STALE: Duration = Duration::from_secs(60);
/// A heartbeat longer than this is counted, but its status isn't kept.
const HEARTBEAT_BYTES_MAX: usize = 4 * 1024;
/// Most log records kept.
const LOG_RECORDS_MAX: usize = 1_024;
/// Most bytes of log records kept.
const LOG_BYTES_MAX: usize = 1024 * 1024;

/// The state of one participant, by its heartbeats.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Liveness {
    /// The sender.
    pub source: Name,
    /// The status in the last heartbeat, if that was of ordinary size.
    pub status: Option<String>,
    /// The time of the last heartbeat, in milliseconds since 1970.
    pub last_unix_ms: i64,
    /// The number of heartbeats.
    pub heartbeats: u64,
}

#[derive(Debug, Default)]
struct Seen {
    last: Now,
    heartbeats: u64,
    /// The last frame, parsed only on demand.
    frame: Vec<u8>,
}

/// The latest log records, side by side: once the log is full, one more allocates
/// nothing.
#[derive(Debug, Default)]
struct Log {
    text: VecDeque<u8>,
    /// Bytes of each record, the oldest first.
    lengths: VecDeque<usize>,
}

impl Log {
    fn push(&mut self, record: &[u8]) {
        if record.len() > LOG_BYTES_MAX {
            return;
        }
        while self.text.len() + record.len() > LOG_BYTES_MAX
            || self.lengths.len() >= LOG_RECORDS_MAX
        {
            let Some(oldest) = self.lengths.pop_front() else {
                break;
            };
            self.text.drain(..oldest);
        }
        self.text.extend(record);
        self.lengths.push_back(record.len());
    }

    fn records(&self) -> Vec<Bytes> {
        let mut text = self.text.iter().copied();
        let record = |&length: &usize| text.by_ref().take(length).collect();
        self.lengths.iter().map(record).collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Services {
    seen: DashMap<Name, Seen>,
    /// The time when stale sources were last forgotten, in milliseconds of
    /// monotonic time.
    purged_ms: AtomicU64,
    log: Mutex<Log>,
}

impl Services {
    /// Returns whether `name` is served here when no connection owns it.
    pub(crate) fn serves(name: &[u8]) -> bool {
        name == HEALTH_MONITOR.as_bytes() || name == LOG_AGGREGATOR.as_bytes()
    }

    /// Notes an accepted heartbeat of `source`. `frame` has no length prefix.
    pub(crate) fn heartbeat(&self, source: &Name, frame: &[u8], now: Now) {
        if let Some(mut seen) = self.seen.get_mut(source.as_bytes()) {
            seen.beat(frame, now);
            return;
        }
        if self.seen.len() >= SOURCES_MAX {
            self.forget_stale(now);
            if self.seen.len() >= SOURCES_MAX {
                return;
            }
        }
        (self.seen.entry(source.clone()).or_default()).beat(frame, now);
    }

    /// Keeps accepted log records. The frames have no length prefixes.
    pub(crate) fn log_records<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) {
        let mut log = lock(&self.log);
        frames.for_each(|frame| log.push(frame));
    }

    /// The participants that sent heartbeats, by name.
    pub(crate) fn liveness(&self) -> Vec<Liveness> {
        let liveness = |seen: RefMulti<'_, Name, Seen>| Liveness {
            source: seen.key().clone(),
            status: status(&seen.frame),
            last_unix_ms: seen.last.unix_ms,
            heartbeats: seen.heartbeats,
        };
        let mut all: Vec<_> = self.seen.iter().map(liveness).collect();
        all.sort_by(|a, b| a.source.cmp(&b.source));
        all
    }

    /// The latest log records, oldest first.
    pub(crate) fn recent_logs(&self) -> Vec<Bytes> {
        lock(&self.log).records()
    }

    /// Forgets stale sources, at most once a second: a flood of invented sources
    /// costs little.
    #[cold]
    fn forget_stale(&self, now: Now) {
        let now_ms = u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX);
        let purged = self.purged_ms.load(Ordering::Relaxed);
        if now_ms < purged.saturating_add(1_000) {
            return;
        }
        self.purged_ms.store(now_ms, Ordering::Relaxed);
        self.seen
            .retain(|_, seen| now.mono.saturating_sub(seen.last.mono) < SOURCE_STALE);
    }
}

impl Seen {
    fn beat(&mut self, frame: &[u8], now: Now) {
        self.last = now;
        self.heartbeats += 1;
        self.frame.clear();
        if frame.len() <= HEARTBEAT_BYTES_MAX {
            self.frame.extend_from_slice(frame);
        }
    }
}

fn status(frame: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Heartbeat<'a> {
        #[serde(borrow)]
        payload: Status<'a>,
    }
    #[derive(Deserialize)]
    struct Status<'a> {
        #[serde(borrow)]
        status: Cow<'a, str>,
    }
    let heartbeat: Heartbeat<'_> = serde_json::from_slice(frame).ok()?;
    Some(heartbeat.payload.status.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            mono: Duration::from_secs(seconds),
            unix_ms: seconds as i64 * 1_000,
        }
    }

    #[test]
    fn knows_the_last_status_of_each_source() {
        let services = Services::default();
        let source = Name::new("feed").unwrap();
        services.heartbeat(&source, br#"{"payload":{"status":"starting"}}"#, at(1));
        services.heartbeat(&source, br#"{"payload":{"status":"al\u0069ve"}}"#, at(2));
        let all = services.liveness();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].status.as_deref(), Some("alive"));
        assert_eq!(all[0].last_unix_ms, 2_000);
        assert_eq!(all[0].heartbeats, 2);
    }

    #[test]
    fn stays_bounded_when_sources_are_invented() {
        let services = Services::default();
        for index in 0..SOURCES_MAX + 100 {
            let source = Name::new(format!("s{index}")).unwrap();
            services.heartbeat(&source, b"{}", at(1));
        }
        assert_eq!(services.liveness().len(), SOURCES_MAX);
        services.heartbeat(&Name::new("late").unwrap(), b"{}", at(100));
        assert_eq!(services.liveness().len(), 1, "the silent ones made room");
    }

    #[test]
    fn keeps_the_latest_log_records_within_bounds() {
        let services = Services::default();
        for index in 0..LOG_RECORDS_MAX + 5 {
            services.log_records(std::iter::once(format!("{index}").as_bytes()));
        }
        let logs = services.recent_logs();
        assert_eq!(logs.len(), LOG_RECORDS_MAX);
        assert_eq!(&logs[0][..], b"5");
        services.log_records(std::iter::once(&vec![b'x'; LOG_BYTES_MAX][..]));
        assert_eq!(services.recent_logs().len(), 1);
        services.log_records(std::iter::once(&vec![b'x'; LOG_BYTES_MAX + 1][..]));
        assert_eq!(services.recent_logs().len(), 1);
    }
}
