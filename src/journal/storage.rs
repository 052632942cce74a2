//! The place that keeps a journal, as a trait: a folder of the file system, or a disk
//! that tests simulate.

use std::io;

/// A folder of files. A file that was made, renamed or removed is sure to be so after a
/// crash once [`Storage::sync_folder`] has returned.
pub trait Storage {
    /// An open file.
    type File: StorageFile;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// The folder can't be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file.
    ///
    /// # Errors
    /// A file of this name exists, or the file system's reason.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that exists, to be written as well unless the storage is only read.
    ///
    /// # Errors
    /// There is no such file, or the file system's reason.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name. A file that had that name is replaced.
    ///
    /// # Errors
    /// The file system's reason.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file system's reason.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once the names of all files are on disk.
    ///
    /// # Errors
    /// The disk failed: which names it has is not known.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file of a [`Storage`].
pub trait StorageFile {
    /// The file's length, in bytes.
    ///
    /// # Errors
    /// The file system's reason.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads bytes from `at` on: fewer than asked at the end of the file only.
    ///
    /// # Errors
    /// The file system's reason.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` from `at` on.
    ///
    /// # Errors
    /// The file system's reason. Any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Removes all bytes from `bytes` on.
    ///
    /// # Errors
    /// The file system's reason.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Returns once all that was written is on disk.
    ///
    /// # Errors
    /// The disk failed. Which bytes it has is not known, and a second call would not
    /// tell: the system forgets bytes that it failed to write.
    fn sync(&self) -> io::Result<()>;
}
