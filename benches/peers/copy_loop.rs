//! The limit: a loop that splits frames and copies bytes, and nothing else.
//!
//! One thread, blocking reads and writes, no runtime. Whatever forwards frames
//! through the kernel's TCP does at least this much, so its rate is the
//! limit of a switch, and shows whether the load outruns the servers.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use tickwire::limits::{FRAME_BYTES_MAX_DEFAULT as FRAME_BYTES_MAX, READ_BUFFER_BYTES};
use tickwire_load::protocol::leave_unpaced;

/// The hidden argument by which this program becomes the loop.
pub const ARGUMENT: &str = "--copy-loop";

/// Serves pairs of connections, one after the other: the first of a pair gets
/// the bytes that the second sends.
pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening tcp {}", listener.local_addr()?);
    loop {
        let (receiver, _) = listener.accept()?;
        let (sender, _) = listener.accept()?;
        receiver.set_nodelay(true)?;
        for stream in [&receiver, &sender] {
            leave_unpaced(stream);
        }
        // Its end is the end of a run, whatever it looks like.
        let _ = copy(sender, receiver);
    }
}

fn copy(mut sender: TcpStream, mut receiver: TcpStream) -> io::Result<()> {
    // A read, and in front of it the rest of a frame.
    let mut buffer = vec![0; FRAME_BYTES_MAX + READ_BUFFER_BYTES];
    let mut left = 0;
    loop {
        let read = sender.read(&mut buffer[left..left + READ_BUFFER_BYTES])?;
        if read == 0 {
            return Ok(());
        }
        let filled = left + read;
        let complete = complete_frames(&buffer[..filled])?;
        receiver.write_all(&buffer[..complete])?;
        buffer.copy_within(complete..filled, 0);
        left = filled - complete;
    }
}

/// Bytes of the complete frames at the front.
fn complete_frames(bytes: &[u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(prefix) = bytes[at..].first_chunk::<4>() {
        let len = u32::from_be_bytes(*prefix) as usize;
        if len == 0 || len > FRAME_BYTES_MAX {
            return Err(io::Error::other("not a frame's length"));
        }
        if bytes.len() - at - 4 < len {
            break;
        }
        at += 4 + len;
    }
    Ok(at)
}
