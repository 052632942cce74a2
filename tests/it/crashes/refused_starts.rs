//! Starts that are refused: each is told in one line, and nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::draft::Draft;
use crate::process::{Serve, run, tickwire};
use crate::raw_client::RawClient;

const FIRST_SEGMENT: &str = "000000000001.segment";
/// The places of the format and of the checksum in the header of a segment.
const FORMAT_AT: usize = 8;
const CHECKSUM_AT: usize = 56;
const HEADER_BYTES: usize = 64;

/// A server on `folder`, given so many orders, each of which is on disk.
async fn filled(folder: &Path, orders: usize) -> Serve {
    let folder = folder.display().to_string();
    let server = Serve::start(&["--data-dir", &folder, "--durable", "store"]).await;
    let mut sender = RawClient::speaking_for_others(server.address).await;
    for _ in 0..orders {
        sender.ask_acked(&Draft::order("sender", "store")).await;
    }
    server
}

/// The checksum of each file of a folder. That of the lock is left out: it names the
/// process that has had it last.
fn checksums(folder: &Path) -> BTreeMap<String, (u64, u32)> {
    let entries = fs::read_dir(folder).expect("a folder");
    let entries = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("it is ours");
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, (bytes.len() as u64, crc32c::crc32c(&bytes)))
    });
    entries.filter(|(name, _)| name != "lock").collect()
}

/// Starts a server that must be refused, in one line with all of these words.
async fn expect_refused(path: &Path, words: &[&str]) {
    let folder = path.display().to_string();
    let address = ["serve", "--listen", "127.0.0.1:0"];
    let durable = ["--data-dir", &folder, "--durable", "store"];
    let outcome = run(&mut tickwire(&[&address[..], &durable].concat())).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{outcome:?}");
    assert!(lines[0].starts_with("error: "), "{outcome:?}");
    assert!(
        lines[0].contains(&folder),
        "it names the place: {outcome:?}"
    );
    for words in words {
        assert!(lines[0].contains(words), "{words}: {outcome:?}");
    }
}

/// Changes the first segment of a journal.
fn change_segment(folder: &Path, change: impl FnOnce(&mut [u8])) {
    let path = folder.join(FIRST_SEGMENT);
    let mut bytes = fs::read(&path).expect("a segment");
    change(&mut bytes);
    fs::write(&path, bytes).expect("it is ours");
}

#[tokio::test]
async fn a_folder_that_another_server_writes_in_is_left_to_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = filled(folder.path(), 2).await;
    // It writes by itself what it has committed last: now it doesn't.
    server.signal("-STOP").await;
    let lock = fs::read(folder.path().join("lock")).expect("a lock");
    let before = checksums(folder.path());
    let process = format!("process {}", server.id());
    expect_refused(folder.path(), &["in use by another tickwire", &process]).await;
    assert_eq!(checksums(folder.path()), before);
    assert_eq!(fs::read(folder.path().join("lock")).expect("a lock"), lock);
    server.signal("-CONT").await;
    let mut sender = RawClient::speaking_for_others(server.address).await;
    sender.ask_acked(&Draft::order("sender", "store")).await;
}

#[tokio::test]
async fn a_file_is_no_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "of somebody else").expect("it is ours");
    expect_refused(&file, &["is not a folder", "choose another path"]).await;
    expect_refused(&file.join("journal"), &["is not a folder"]).await;
    assert_eq!(fs::read(&file).expect("a file"), b"of somebody else");
    assert_eq!(checksums(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_only_read_is_not_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if folder.path().metadata().expect("a folder").uid() == 0 {
        eprintln!("not tested: root may write anywhere");
        return;
    }
    let journal = folder.path().join("journal");
    fs::create_dir(&journal).expect("it is ours");
    let mode = |mode| fs::set_permissions(&journal, fs::Permissions::from_mode(mode));
    mode(0o500).expect("it is ours");
    expect_refused(&journal, &["can't be written"]).await;
    expect_refused(&journal.join("inside"), &["can't be written"]).await;
    assert!(checksums(&journal).is_empty());
    mode(0o700).expect("it is ours");
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_left_to_its_version() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    filled(folder.path(), 3).await.kill().await;
    change_segment(folder.path(), |bytes| {
        bytes[FORMAT_AT..FORMAT_AT + 4].copy_from_slice(&2_u32.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    });
    let before = checksums(folder.path());
    let words = ["format 2", "use the version of tickwire that wrote it"];
    expect_refused(folder.path(), &words).await;
    assert_eq!(checksums(folder.path()), before);
}

#[tokio::test]
async fn a_damaged_journal_is_not_mended_behind_anybodys_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    filled(folder.path(), 5).await.kill().await;
    // In the first order: four are behind it, and each states that it was on disk.
    let flip = |bytes: &mut [u8]| bytes[HEADER_BYTES + 200] ^= 1;
    change_segment(folder.path(), flip);
    let before = checksums(folder.path());
    let words = ["the journal is damaged", "segment 1", "records 1 to 1"];
    expect_refused(folder.path(), &words).await;
    assert_eq!(checksums(folder.path()), before);
    // Nothing was lost meanwhile.
    change_segment(folder.path(), flip);
    let server = filled(folder.path(), 0).await;
    let mut receiver = RawClient::owning(server.address, &["store"]).await;
    for _ in 0..5 {
        assert_eq!(receiver.receive().await.kind(), "ingest_event");
    }
}
