//! A journal's place in the file system.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::storage::{Storage, StorageFile};

/// The file that the process which writes has locked.
const LOCK: &str = "lock";
/// Orders are nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A folder of the file system. Two processes never write the same one.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// `None` if the folder is only read. The lock ends with the file.
    lock: Option<File>,
    /// Open all the time: it must be synced also when no more files can be opened.
    folder: Option<File>,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Another process has locked the folder.
    #[error(
        "{} is in use by another tickwire{}: stop that one, or use another folder",
        path.display(),
        process.map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The id of the process, if it could be read.
        process: Option<u32>,
    },
    /// There is no such folder, and it was only to be read.
    #[error("there is no folder {}: check the path", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// There is something else.
    #[error("{} is not a folder: choose another path", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The process may not write there.
    #[error(
        "{} can't be written ({source}): give the user of this process the right to, or use \
         another folder",
        path.display()
    )]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
    /// Another reason of the file system.
    #[error("{} can't be used: {source}", path.display())]
    Other {
        /// The folder.
        path: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
}

impl FolderError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotAFolder { path }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            _ => Self::Other { path, source },
        }
    }
}

impl Folder {
    /// Locks a folder to write in it, and makes it if it is missing.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn lock(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        make(&path, sync_parent).map_err(|source| FolderError::of(&path, source))?;
        let error = |source| FolderError::of(&path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = options.mode(FILE_MODE).open(path.join(LOCK));
        let mut lock = opened.map_err(error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let read = lock.read_to_string(&mut process);
                let process = read.ok().and_then(|_| process.trim().parse().ok());
                return Err(FolderError::Locked { path, process });
            }
            Err(TryLockError::Error(source)) => return Err(error(source)),
        }
        // Only another process's error needs it: a full disk is no reason to stay away.
        let _ = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        let folder = Some(File::open(&path).map_err(error)?);
        let lock = Some(lock);
        Ok(Self { path, lock, folder })
    }

    /// A folder that is only read, also while another process writes in it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        let found = path.metadata();
        let found = found.map_err(|source| FolderError::of(&path, source))?;
        if !found.is_dir() {
            return Err(FolderError::NotAFolder { path });
        }
        Ok(Self {
            path,
            lock: None,
            folder: None,
        })
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to write in a folder that is only read.
    fn check_locked(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }
}

/// Makes a folder if it is missing, with those it is in, and syncs the parent of each by
/// `sync` before the next is made: without that they may be gone after a crash.
///
/// The parent of the first that exists is synced as well. An earlier start may have ended
/// between the making of that folder and its sync.
fn make(path: &Path, sync: impl Fn(&Path, bool) -> io::Result<()>) -> io::Result<()> {
    let is_missing = |folder: &&Path| *folder != Path::new("") && !folder.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    let sync_parent_of = |folder: &Path, is_new| {
        // Links and dots may hide the folder that it is in.
        let folder = folder.canonicalize()?;
        folder
            .parent()
            .map_or(Ok(()), |parent| sync(parent, is_new))
    };
    let existing = path.ancestors().nth(missing.len());
    let existing = existing.filter(|folder| *folder != Path::new(""));
    sync_parent_of(existing.unwrap_or(Path::new(".")), false)?;
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            // By another process, just now.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
        sync_parent_of(folder, true)?;
    }
    Ok(())
}

/// Syncs a folder in which another was made, now or at an earlier start.
fn sync_parent(parent: &Path, is_new: bool) -> io::Result<()> {
    match File::open(parent) {
        // This user can't have made it: that would have been refused.
        Err(error) if !is_new && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

impl Storage for Folder {
    type File = FolderFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            if let Ok(name) = name
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<FolderFile> {
        self.check_locked()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = options.mode(FILE_MODE).open(self.path.join(name))?;
        Ok(FolderFile(file))
    }

    fn open(&self, name: &str) -> io::Result<FolderFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.lock.is_some());
        Ok(FolderFile(options.open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_locked()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_locked()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        match &self.folder {
            Some(folder) => folder.sync_all(),
            None => File::open(&self.path)?.sync_all(),
        }
    }
}

/// An open file of a [`Folder`].
#[derive(Debug)]
pub struct FolderFile(File);

impl StorageFile for FolderFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_locked_by_one_at_a_time() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let path = temporary.path().join("deep").join("journal");
        let folder = Folder::lock(&path).expect("made");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, FOLDER_MODE);
        let refused = Folder::lock(&path).expect_err("locked").to_string();
        let process = format!("(process {})", std::process::id());
        assert!(refused.contains(&process), "{refused}");
        Folder::read(&path).expect("reading needs no lock");
        drop(folder);
        Folder::lock(&path).expect("free again");
    }

    #[test]
    fn the_parent_of_each_folder_is_synced_and_at_each_start() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let root = temporary.path().canonicalize().expect("there");
        let path = root.join("a/b/journal");
        let all = std::cell::RefCell::new(Vec::new());
        let note = |parent: &Path, _: bool| {
            all.borrow_mut().push(parent.to_owned());
            Ok(())
        };
        make(&path, note).expect("made");
        // The second start doesn't know whether the first came to the sync.
        let above = root.parent().expect("a folder above").to_owned();
        let parents = [above, root.clone(), root.join("a"), root.join("a/b")];
        assert_eq!(all.take(), parents);
        make(&path, note).expect("there");
        assert_eq!(all.take(), [root.join("a/b")]);
    }

    #[test]
    fn no_folder_is_made_in_one_that_may_not_be_on_disk() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let root = temporary.path().canonicalize().expect("there");
        let path = root.join("a/journal");
        let refuse = |parent: &Path, _: bool| match parent == root {
            true => Err(io::ErrorKind::Other.into()),
            false => Ok(()),
        };
        for _ in 0..2 {
            assert!(make(&path, refuse).is_err());
            assert!(root.join("a").is_dir() && !path.exists());
        }
        Folder::lock(&path).expect("synced");
    }

    #[test]
    fn a_folder_that_is_read_is_not_changed() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let missing = temporary.path().join("missing");
        assert!(matches!(
            Folder::read(&missing),
            Err(FolderError::Missing { .. })
        ));
        assert!(!missing.exists());
        std::fs::write(temporary.path().join("a"), "content").expect("written");
        let folder = Folder::read(temporary.path()).expect("there");
        assert!(folder.create("b").is_err());
        assert!(folder.rename("a", "b").is_err());
        assert!(folder.remove("a").is_err());
        let file = folder.open("a").expect("there");
        assert!(file.write_at(b"x", 0).is_err());
        assert_eq!(folder.list().expect("readable"), ["a"]);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let path = temporary.path().join("file");
        std::fs::write(&path, "").expect("written");
        for refused in [Folder::lock(&path), Folder::read(&path)] {
            let error = refused.expect_err("not a folder");
            assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
        }
    }

    #[test]
    fn files_are_made_renamed_and_removed() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::lock(temporary.path()).expect("there");
        let file = folder.create("a").expect("made");
        assert!(folder.create("a").is_err(), "it exists");
        file.write_at(b"second", 5).expect("written");
        file.sync().expect("synced");
        folder.create("b").expect("made");
        folder.rename("a", "b").expect("replaced");
        folder.sync_folder().expect("synced");
        assert_eq!(folder.list().expect("readable"), ["b"]);
        let file = folder.open("b").expect("there");
        let mut content = [1; 16];
        assert_eq!(file.bytes().expect("known"), 11);
        assert_eq!(file.read_at(&mut content, 0).expect("read"), 11);
        assert_eq!(&content[..11], b"\0\0\0\0\0second");
        file.truncate(5).expect("shortened");
        assert_eq!(file.bytes().expect("known"), 5);
        folder.remove("b").expect("removed");
        assert!(folder.open("b").is_err());
    }
}
