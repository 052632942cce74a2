//! A simulated disk. It loses what was not synced, in any order and in part, tears
//! writes, fails, and runs full: by a seed, or as the test says.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::journal::storage::{Storage, StorageFile};

/// The bytes that a disk writes as one, unless power goes meanwhile.
const SECTOR_BYTES: usize = 512;

/// All files by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// See the [module](self). A clone is the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// A call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A write, after a part of it.
    Write,
    /// A sync of a file: what it should have synced is never written.
    Sync,
    /// A sync of the folder.
    SyncFolder,
}

/// How often each kind of trouble has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) failed_writes: u32,
    pub(crate) failed_syncs: u32,
    pub(crate) failed_folder_syncs: u32,
    pub(crate) full: u32,
    pub(crate) lost_sectors: u32,
    /// Sectors that survived although an earlier one was lost.
    pub(crate) out_of_order: u32,
    pub(crate) torn_sectors: u32,
    pub(crate) lost_names: u32,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    names_on_disk: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    /// The fault that is armed, and the number of its calls that succeed before.
    fault: Option<(Fault, u32)>,
    capacity: Option<u64>,
    ignores_syncs: bool,
    is_full_at_folder_sync: bool,
    happened: Happened,
}

#[derive(Debug, Default)]
struct File {
    /// As programs see it.
    visible: Vec<u8>,
    on_disk: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    /// Writes that a failed sync has left: no later sync writes them, the disk may
    /// have any of them.
    given_up: Vec<(usize, Vec<u8>)>,
}

impl File {
    /// Writes each sector that was written to since the last sync, as it is now.
    fn sync(&mut self) {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            for (at, _) in sectors(at, &bytes) {
                let sector = at / SECTOR_BYTES;
                let start = sector * SECTOR_BYTES;
                let end = (start + SECTOR_BYTES).min(self.visible.len());
                put(&mut self.on_disk, start, &self.visible[start..end]);
                // The disk can't come to have an older content.
                let is_other = |at: usize| at / SECTOR_BYTES != sector;
                self.given_up.retain(|(at, _)| is_other(*at));
            }
        }
    }

    /// Gives up each sector that was written to since the last sync.
    fn give_up(&mut self) {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            let sectors = sectors(at, &bytes).into_iter();
            self.given_up
                .extend(sectors.map(|(at, sector)| (at, sector.to_vec())));
        }
    }
}

#[derive(Debug)]
enum NameChange {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

impl NameChange {
    /// Changes the names, if the change has something to act upon.
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Made(name, file) => {
                names.insert(name, file);
            }
            Self::Renamed(from, to) => {
                if let Some(file) = names.remove(&from) {
                    names.insert(to, file);
                }
            }
            Self::Removed(name) => {
                names.remove(&name);
            }
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: StdRng::seed_from_u64(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            names_on_disk: BTreeMap::new(),
            pending_names: Vec::new(),
            fault: None,
            capacity: None,
            ignores_syncs: false,
            is_full_at_folder_sync: false,
            happened: Happened::default(),
        })))
    }

    /// A disk with files, all of them synced.
    pub(crate) fn of(files: Files) -> Self {
        let disk = Self::new(0);
        disk.damage(|own| *own = files);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panicked in here")
    }

    /// All files as programs see them.
    pub(crate) fn contents(&self) -> Files {
        let state = self.state();
        let content =
            |(name, &file): (&String, &usize)| (name.clone(), state.files[file].visible.clone());
        state.names.iter().map(content).collect()
    }

    /// Changes the files behind everybody's back. All is synced afterwards.
    pub(crate) fn damage(&self, change: impl FnOnce(&mut Files)) {
        let mut files = self.contents();
        change(&mut files);
        let mut state = self.state();
        state.files.clear();
        state.names.clear();
        state.pending_names.clear();
        for (at, (name, content)) in files.into_iter().enumerate() {
            state.files.push(File {
                on_disk: content.clone(),
                visible: content,
                ..File::default()
            });
            state.names.insert(name, at);
        }
        state.names_on_disk = state.names.clone();
    }

    /// Power goes, and comes back: only what the disk has is there. Files that are open
    /// must not be used again.
    pub(crate) fn crash(&self) {
        let state = &mut *self.state();
        let keeps = [0.0, 0.5, 0.9, 1.0][state.rng.random_range(0..4)];
        for file in &mut state.files {
            let writes = std::mem::take(&mut file.given_up)
                .into_iter()
                .chain(std::mem::take(&mut file.pending));
            let mut has_lost = false;
            for (at, bytes) in writes {
                for (sector_at, sector) in sectors(at, &bytes) {
                    let kept = if state.rng.random_bool(keeps) {
                        state.happened.out_of_order += u32::from(has_lost);
                        sector.len()
                    } else if state.rng.random_bool(0.2) {
                        state.happened.torn_sectors += 1;
                        state.rng.random_range(0..sector.len())
                    } else {
                        state.happened.lost_sectors += 1;
                        has_lost = true;
                        0
                    };
                    put(&mut file.on_disk, sector_at, &sector[..kept]);
                }
            }
            file.visible = file.on_disk.clone();
        }
        for change in std::mem::take(&mut state.pending_names) {
            if state.rng.random_bool(keeps) {
                change.apply(&mut state.names_on_disk);
            } else {
                state.happened.lost_names += 1;
            }
        }
        state.names = state.names_on_disk.clone();
        state.fault = None;
    }

    /// Has a call fail, after `succeed` others of its kind.
    pub(crate) fn fail_after(&self, fault: Fault, succeed: u32) {
        self.state().fault = Some((fault, succeed));
    }

    /// Bounds the bytes of all files.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Has the folder be without room for names: they can't be synced.
    pub(crate) fn fill_at_folder_sync(&self) {
        self.state().is_full_at_folder_sync = true;
    }

    /// Takes the armed fault and the bound back.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.fault, state.capacity) = (None, None);
        state.is_full_at_folder_sync = false;
    }

    /// Has syncs report success and do nothing.
    pub(crate) fn ignore_syncs(&self) {
        self.state().ignores_syncs = true;
    }

    pub(crate) fn happened(&self) -> Happened {
        self.state().happened
    }
}

impl State {
    /// Returns whether the armed fault is for this call.
    fn fails(&mut self, kind: Fault) -> bool {
        match &mut self.fault {
            Some((fault, succeed)) if *fault == kind => {
                if *succeed == 0 {
                    self.fault = None;
                    return true;
                }
                *succeed -= 1;
                false
            }
            _ => false,
        }
    }

    fn write(&mut self, file: usize, bytes: &[u8], at: usize) {
        let file = &mut self.files[file];
        put(&mut file.visible, at, bytes);
        file.pending.push((at, bytes.to_vec()));
    }

    fn room(&self) -> usize {
        let Some(capacity) = self.capacity else {
            return usize::MAX;
        };
        let used: usize = self
            .names
            .values()
            .map(|&file| self.files[file].visible.len())
            .sum();
        (capacity as usize).saturating_sub(used)
    }
}

/// Puts `bytes` at `at`; what is missing before is zero.
fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

/// Splits a write at the borders of sectors.
fn sectors(mut at: usize, mut bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut sectors = Vec::new();
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at(bytes.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
        sectors.push((at, sector));
        at += sector.len();
        bytes = rest;
    }
    sectors
}

fn broken() -> io::Error {
    io::Error::other("the simulated disk failed")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Storage for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let state = &mut *self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.into(), file);
        state
            .pending_names
            .push(NameChange::Made(name.into(), file));
        let disk = self.clone();
        Ok(SimFile { disk, file })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let file = *self.state().names.get(name).ok_or_else(not_found)?;
        let disk = self.clone();
        Ok(SimFile { disk, file })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let state = &mut *self.state();
        let file = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.into(), file);
        state
            .pending_names
            .push(NameChange::Renamed(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let state = &mut *self.state();
        state.names.remove(name).ok_or_else(not_found)?;
        state.pending_names.push(NameChange::Removed(name.into()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let state = &mut *self.state();
        if state.is_full_at_folder_sync {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.fails(Fault::SyncFolder) {
            state.happened.failed_folder_syncs += 1;
            return Err(broken());
        }
        if !state.ignores_syncs {
            for change in std::mem::take(&mut state.pending_names) {
                change.apply(&mut state.names_on_disk);
            }
        }
        Ok(())
    }
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl StorageFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].visible.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let rest = state.files[self.file].visible.get(at as usize..);
        let rest = rest.unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let at = at as usize;
        if state.fails(Fault::Write) {
            state.happened.failed_writes += 1;
            let part = state.rng.random_range(0..=bytes.len());
            state.write(self.file, &bytes[..part], at);
            return Err(broken());
        }
        let grows = (at + bytes.len()).saturating_sub(state.files[self.file].visible.len());
        if grows > state.room() {
            state.happened.full += 1;
            let part = bytes.len() - grows + state.room();
            state.write(self.file, &bytes[..part], at);
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.write(self.file, bytes, at);
        Ok(())
    }

    /// The length is on disk at once: no promise depends on it.
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let file = &mut self.disk.state().files[self.file];
        file.visible.truncate(bytes as usize);
        file.on_disk.truncate(bytes as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.disk.state();
        if state.fails(Fault::Sync) {
            state.happened.failed_syncs += 1;
            state.files[self.file].give_up();
            return Err(broken());
        }
        if !state.ignores_syncs {
            state.files[self.file].sync();
        }
        Ok(())
    }
}
