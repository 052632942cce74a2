//! Messages that are lost with their records, and that nobody can settle any more.

use super::OpenError;
use super::inspect::{Gaps, Inspection, inspect_from};
use super::record::Content;
use super::storage::Storage;

/// Takes the messages out of a journal's ledger that none of its records has. Returns
/// whether a checkpoint must state the ledger: the records alone tell another one.
///
/// A gap stands for each record that is lost. A start reads from the oldest message on that
/// counts as unsettled: so `found` has the gap, and the runs of all that are not lost.
pub(super) fn forget_lost(
    storage: &impl Storage,
    found: &mut Inspection,
) -> Result<bool, OpenError> {
    let Some(first) = found.segments.first() else {
        return Ok(false);
    };
    if found.gaps == Gaps::None {
        return Ok(false);
    }
    let mut lost = found.ledger.clone();
    inspect_from(storage, first.number, |record| {
        if let Content::Run(run) = &record.content {
            lost.remove(run, record.header.lsn);
        }
    })?;
    found.ledger.forget(&lost, first.first);
    Ok(found.gaps == Gaps::Behind || lost.oldest().is_some())
}
