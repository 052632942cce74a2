//! Streams that a log can't be written to, and where a server listens that can't
//! say so.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, PipeReader, PipeWriter, Write, pipe};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use crate::raw_client::within;

/// A pipe that takes no more.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    let mut filler = non_blocking(&writer);
    // By single bytes at the end, for a pipe takes short writes whole or not.
    for line in [&[b'.'; 4096][..], b"\n"] {
        loop {
            match filler.write(line) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    (reader, writer)
}

/// The same pipe, for a process whose writes are to fail instead of waiting.
pub fn non_blocking(writer: &PipeWriter) -> File {
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    options.open(path).expect("a pipe can be opened again")
}

/// A terminal whose other side is closed: writes to it fail with `EIO`.
#[allow(unsafe_code, reason = "the standard library has no such call")]
pub fn dead_terminal() -> OwnedFd {
    let (mut master, mut terminal) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: `openpty` fills in both descriptors, and takes null for a name, for
    // settings and for a size that nobody asks for.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut terminal,
            none,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and nobody else has them.
    let (master, terminal) =
        unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(terminal)) };
    drop(master);
    terminal
}

/// Waits until process `id` listens, and returns where, from the tables of the
/// kernel.
pub async fn listening(id: u32) -> SocketAddr {
    within("the process to listen", async {
        loop {
            if let Some(address) = listening_now(id) {
                return address;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

fn listening_now(id: u32) -> Option<SocketAddr> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{id}/fd"))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{id}/net/tcp")).ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let listens = *state == "0A" && sockets.iter().any(|socket| socket == inode);
        let port = local.split_once(':')?.1;
        let port = u16::from_str_radix(port, 16).ok()?;
        listens.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    })
}
