//! The store of the messages to durable names: a journal, and one thread that writes it
//! and delivers from it.
//!
//! - `inbox`: the requests of connections, on their way to the thread.
//! - `writer`: the thread. In each round it appends all messages that wait, commits them
//!   with one sync, answers, and delivers.
//! - `outbox`: the delivery to the owner of one name.

mod inbox;
mod outbox;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use self::inbox::{Inbox, Request};
use self::writer::StoreThread;
use super::{ServerConfig, StartError};
use crate::budget::Budget;
use crate::ids::unix_time;
use crate::journal::{self, Fate, Folder, Options, Recovery};
use crate::router::store::{MessageStore, Outlet, Submission};
use crate::sync::lock;

/// Opens the journal of a server that has one.
pub(super) fn start(
    config: &ServerConfig,
    budget: &Arc<Budget>,
) -> Result<Option<Arc<JournalStore>>, StartError> {
    let path = config.data_dir.as_deref();
    path.map(|path| JournalStore::start(path, config, budget))
        .transpose()
}

/// Microseconds since 1970.
fn now() -> u64 {
    u64::try_from(unix_time().as_micros()).unwrap_or(u64::MAX)
}

/// The part of the store that connections reach.
pub(super) struct JournalStore {
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl JournalStore {
    /// Opens the journal in `path`, or makes one, and begins to serve it.
    fn start(
        path: &Path,
        config: &ServerConfig,
        budget: &Arc<Budget>,
    ) -> Result<Arc<Self>, StartError> {
        let folder = Folder::lock(path)?;
        let options = Options {
            accept_loss: config.accept_loss,
            ..Options::default()
        };
        let id = uuid::Uuid::new_v4().as_u128();
        let (writer, recovery) =
            journal::open(folder, &options, id, now()).map_err(|source| StartError::Journal {
                path: path.to_owned(),
                source,
            })?;
        tell(path, &recovery);
        let inbox = Arc::new(Inbox::default());
        let reading = path.to_owned();
        let thread = StoreThread::new(
            writer,
            config.journal_bytes as u64,
            Box::new(move || Folder::read(&reading).map_err(std::io::Error::other)),
            Arc::clone(budget),
            Arc::clone(&inbox),
        );
        let thread = std::thread::Builder::new()
            .name("tickwire-journal".to_owned())
            .spawn(move || thread.run())
            .map_err(StartError::JournalThread)?;
        inbox.serve_by(thread.thread().clone());
        Ok(Arc::new(Self {
            inbox,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Writes all that was submitted, and ends the thread. What is submitted later is
    /// never answered.
    pub(super) fn stop(&self) {
        self.inbox.push(Request::Stop);
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread ended by a panic");
        }
    }
}

impl Drop for JournalStore {
    fn drop(&mut self) {
        // The thread has the folder locked.
        self.inbox.push(Request::Stop);
    }
}

impl MessageStore for JournalStore {
    fn submit(&self, submission: Submission) {
        self.inbox.push(Request::Submit(submission));
    }

    fn deliver_to(&self, outlet: Outlet) {
        self.inbox.push(Request::DeliverTo(outlet));
    }
}

impl fmt::Debug for JournalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalStore")
    }
}

/// Logs the state in which the journal was found.
fn tell(path: &Path, recovery: &Recovery) {
    for (damage, fate) in &recovery.mended {
        match fate {
            Fate::Harmless => tracing::info!(%damage, "the journal was mended"),
            Fate::TornTail => tracing::warn!(
                %damage,
                "the journal ended in the middle of a record, which was cut off: if it was \
                 acknowledged, then less than 10 ms before the end"
            ),
            Fate::Corruption => tracing::error!(%damage, "records of the journal are lost"),
        }
    }
    let path = path.display();
    let records = recovery.found.next.0.saturating_sub(1);
    tracing::info!(%path, records, "the journal is open");
}
