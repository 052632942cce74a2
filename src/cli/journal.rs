//! `tickwire journal`: looks into a journal, also while a server writes it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tickwire::journal::{Damage, Fate, Folder, Inspection, SegmentInfo, inspect};

use super::{DIM, Failure, Outcome, print};

/// Look into a journal: its files, its messages, its damage
///
/// Reads the folder of `serve --data-dir`, also while a server writes it. Changes nothing,
/// and takes no lock.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tickwire journal ls journal             the files, and the messages in each
  tickwire journal stat journal           the unsettled messages of each name
  tickwire journal verify journal         reads everything, and says what is damaged
  tickwire journal stat --json journal | jq '.names[] | select(.messages > 1000)'

Exit codes: 0 done, 1 damaged or not readable, 2 wrong usage.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the files with their records and messages
    Ls(Place),
    /// Read everything, and list the damage
    ///
    /// A last record that is not whole is no damage: a server is writing it, or was when
    /// it ended. Everything else ends it with 1: `serve --accept-loss` opens such a journal.
    Verify(Place),
    /// Count the messages that are not settled, by name
    Stat(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The folder of the journal
    folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Ls(place) => place.report(list, list_json, |_| Outcome::Done),
        Command::Stat(place) => place.report(count, count_json, |_| Outcome::Done),
        Command::Verify(place) => place.report(verify, verify_json, |found| {
            Outcome::of(corruptions(found).next().is_none())
        }),
    }
}

impl Place {
    fn report(
        &self,
        text: fn(&Inspection) -> String,
        json: fn(&Inspection) -> Value,
        outcome: fn(&Inspection) -> Outcome,
    ) -> Result<Outcome, Failure> {
        let found = read(&self.folder)?;
        match self.json {
            true => print(format_args!("{}\n", json(&found)))?,
            false => print(format_args!("{}", text(&found)))?,
        }
        Ok(outcome(&found))
    }
}

fn read(path: &Path) -> Result<Inspection, Failure> {
    let folder = Folder::read(path).map_err(Failure::failed)?;
    let found = inspect(&folder, |_| {}).map_err(Failure::failed)?;
    if found.segments.is_empty() {
        let path = path.display();
        return Err(Failure::failed(format!(
            "there is no journal in {path}: give the folder of serve --data-dir"
        )));
    }
    Ok(found)
}

// ---- ls ----

fn file_of(segment: &SegmentInfo) -> String {
    format!("{:012}.segment", segment.number)
}

fn list(found: &Inspection) -> String {
    let mut text = format!(
        "{DIM}{:<22} {:>24} {:>12} {:>12} {:>12}{DIM:#}\n",
        "file", "records", "messages", "bytes used", "of"
    );
    for segment in &found.segments {
        let last = segment.next.0.saturating_sub(1);
        let records = match last < segment.first.0 {
            true => "none".to_owned(),
            false => format!("{} to {last}", segment.first),
        };
        text += &format!(
            "{:<22} {records:>24} {:>12} {:>12} {:>12}\n",
            file_of(segment),
            segment.frames,
            segment.used_bytes,
            segment.bytes,
        );
    }
    text
}

fn list_json(found: &Inspection) -> Value {
    let segments = found.segments.iter().map(|segment| {
        json!({
            "file": file_of(segment),
            "first_record": segment.first.0,
            "last_record": segment.next.0.saturating_sub(1),
            "messages": segment.frames,
            "used_bytes": segment.used_bytes,
            "bytes": segment.bytes,
        })
    });
    json!({"segments": segments.collect::<Vec<_>>()})
}

// ---- stat ----

/// A name, the number of its unsettled messages and their bytes.
fn backlogs(found: &Inspection) -> impl Iterator<Item = (String, u64, u64)> {
    let backlogs = found.ledger().backlogs();
    backlogs.map(|(name, backlog)| {
        let name = String::from_utf8_lossy(name).into_owned();
        (name, backlog.frames(), backlog.bytes())
    })
}

fn count(found: &Inspection) -> String {
    let mut text = String::new();
    for (name, messages, bytes) in backlogs(found) {
        text += &format!("{name}: {messages} unsettled, {bytes} bytes\n");
    }
    if text.is_empty() {
        text = "everything is settled\n".to_owned();
    }
    text
}

fn count_json(found: &Inspection) -> Value {
    let names = backlogs(found)
        .map(|(name, messages, bytes)| json!({"name": name, "messages": messages, "bytes": bytes}));
    json!({"names": names.collect::<Vec<_>>()})
}

// ---- verify ----

fn corruptions(found: &Inspection) -> impl Iterator<Item = &Damage> {
    let damages = found.damages.iter();
    damages.filter(|damage| found.fate(damage) == Fate::Corruption)
}

fn verify(found: &Inspection) -> String {
    let mut text = String::new();
    for damage in &found.damages {
        text += &match found.fate(damage) {
            Fate::Harmless => format!("harmless: {damage}\n"),
            Fate::TornTail => {
                format!("not whole: {damage}: a server is writing there, or was when it ended\n")
            }
            Fate::Corruption => format!("damaged: {damage}\n"),
        };
    }
    let records = found.next.0.saturating_sub(1);
    let state = match corruptions(found).count() {
        0 => "sound".to_owned(),
        1 => "damaged in 1 place".to_owned(),
        places => format!("damaged in {places} places"),
    };
    text + &format!(
        "{state}; files: {}, records: up to {records}, messages: {}\n",
        found.segments.len(),
        found.frames,
    )
}

fn verify_json(found: &Inspection) -> Value {
    let damages = found.damages.iter().map(|damage| {
        json!({
            "segment": damage.segment,
            "from_byte": damage.from,
            "to_byte": damage.to,
            "fate": match found.fate(damage) {
                Fate::Harmless => "harmless",
                Fate::TornTail => "not_whole",
                Fate::Corruption => "damaged",
            },
            "reason": damage.to_string(),
        })
    });
    json!({
        "sound": corruptions(found).next().is_none(),
        "segments": found.segments.len(),
        "last_record": found.next.0.saturating_sub(1),
        "messages": found.frames,
        "damages": damages.collect::<Vec<_>>(),
    })
}
