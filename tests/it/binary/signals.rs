//! Signals and terminals: those that end a server, in which way, and those that
//! don't.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::draft::Draft;
use crate::due::Due;
use crate::process::{Serve, tickwire};
use crate::queues::fill;
use crate::raw_client::{RawClient, within};

const CODE: &str = "SERVER_SHUTTING_DOWN";

/// A terminal, which closes when this is dropped.
struct Terminal {
    _shown: File,
    /// The side of the programs that run on it.
    device: File,
}

impl Terminal {
    #[allow(unsafe_code, reason = "the standard library has no such call")]
    fn open() -> Self {
        // Opened like this no program that another test starts inherits it, and
        // it really closes.
        let open = |path: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NOCTTY);
            options.open(path).expect("a terminal")
        };
        let shown = open("/dev/ptmx");
        let mut name = [0; 64];
        // SAFETY: the descriptor is open, and the name has the room that is said.
        let named = unsafe {
            assert_eq!(libc::unlockpt(shown.as_raw_fd()), 0);
            libc::ptsname_r(shown.as_raw_fd(), name.as_mut_ptr(), name.len())
        };
        assert_eq!(named, 0);
        // SAFETY: the call has ended the name with a zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let device = open(name.to_str().expect("ASCII"));
        Self {
            _shown: shown,
            device,
        }
    }

    /// Another handle of the programs' side.
    fn device(&self) -> File {
        self.device.try_clone().expect("a second handle")
    }
}

/// Has `command` lead a session of its own, on `terminal` or on none.
#[allow(unsafe_code, reason = "the standard library has no such call")]
fn lead_session(command: &mut Command, terminal: Option<&Terminal>) {
    let on_terminal = terminal.is_some();
    if let Some(terminal) = terminal {
        command.stdin(terminal.device());
    }
    let become_leader = move || {
        // SAFETY: both are system calls that take no memory of this process.
        let done = unsafe {
            libc::setsid() >= 0 && (!on_terminal || libc::ioctl(0, libc::TIOCSCTTY as _, 0) == 0)
        };
        done.then_some(()).ok_or_else(io::Error::last_os_error)
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(become_leader) };
}

/// `tickwire serve` that has long to write its queues.
fn patient_serve() -> Command {
    let mut command = tickwire(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TICKWIRE_DRAIN_TIMEOUT", "10m");
    command
}

pub async fn kill(signal: &str, id: u32) {
    let kill = Command::new("kill")
        .args([signal, &id.to_string()])
        .status();
    assert!(kill.await.expect("kill runs").success(), "{signal}");
}

/// The text of a file, once it has `words`.
async fn text_with(path: &Path, words: &str) -> String {
    within(words, async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.contains(words) => return text,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
}

/// Waits until a server has begun to stop: it lets nobody in any more.
async fn until_nobody_listens(server: SocketAddr) {
    within("the server to stop listening", async {
        while TcpStream::connect(server).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A connection that doesn't read, the frames it is due, and one that has
/// nothing to wait for.
async fn with_a_full_queue(server: SocketAddr) -> (RawClient, Due, RawClient) {
    let slow = RawClient::owning_narrow(server, &["slow"]).await;
    let mut sender = RawClient::speaking_for_others(server).await;
    let due = fill(&mut sender, "slow").await;
    (slow, due, sender)
}

/// A shell that runs something on a terminal dies with it, and the kernel
/// signals the rest, so one closed terminal can be several SIGHUPs. The first
/// killed the server, with all that was queued.
#[tokio::test]
async fn a_terminal_that_closes_stops_the_server_in_order() {
    let terminal = Terminal::open();
    let mut command = patient_serve();
    lead_session(&mut command, Some(&terminal));
    // Its log goes where it can't be written any more.
    command.stderr(terminal.device());
    let serve = Serve::spawn_logging(&mut command).await;
    let (mut slow, mut due, mut idle) = with_a_full_queue(serve.address).await;
    drop(terminal);
    until_nobody_listens(serve.address).await;
    let ended = tokio::spawn(serve.end_by("-HUP"));
    due.receive_all(&mut slow).await;
    slow.expect_last_words(CODE).await;
    idle.expect_last_words(CODE).await;
    let status = within("serve to end", ended).await.expect("no panic");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn without_a_terminal_a_hangup_is_ignored_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut command = patient_serve();
    command.stderr(File::create(&log).expect("a file"));
    lead_session(&mut command, None);
    let serve = Serve::spawn_logging(&mut command).await;
    let (mut slow, mut due, mut sender) = with_a_full_queue(serve.address).await;
    kill("-HUP", serve.id()).await;
    text_with(&log, "SIGHUP ignored").await;
    sender
        .ask_acked(&Draft::heartbeat("a", "health-monitor"))
        .await;
    // Nor does it make the next signal one too many.
    let ended = tokio::spawn(serve.end_by("-TERM"));
    due.receive_all(&mut slow).await;
    slow.expect_last_words(CODE).await;
    sender.expect_last_words(CODE).await;
    let status = within("serve to end", ended).await.expect("no panic");
    assert_eq!(status.code(), Some(0));
}

/// Ends a process that is not a child of this one, if nothing else has.
struct Stray(u32);

impl Drop for Stray {
    fn drop(&mut self) {
        let id = self.0.to_string();
        let kill = std::process::Command::new("kill")
            .args(["-KILL", &id])
            .stderr(Stdio::null())
            .status();
        let _ = kill;
    }
}

/// `nohup tickwire serve &`, and the terminal closed.
#[tokio::test]
async fn what_was_ignored_from_the_start_stays_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let terminal = Terminal::open();
    // A shell without job control has its background commands ignore SIGINT,
    // and shares its process group with them.
    let script = "nohup \"$TICKWIRE\" serve --listen 127.0.0.1:0 >out 2>log & echo pid $!; wait";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .env("TICKWIRE", env!("CARGO_BIN_EXE_tickwire"))
        .env("TICKWIRE_DRAIN_TIMEOUT", "10m")
        .current_dir(folder.path())
        .stdout(File::create(folder.path().join("pid")).expect("a file"))
        .kill_on_drop(true);
    lead_session(&mut shell, Some(&terminal));
    let mut shell = shell.spawn().expect("starts");
    let pid = text_with(&folder.path().join("pid"), "\n").await;
    let pid = pid.trim().strip_prefix("pid ").expect("an id");
    let server = Stray(pid.parse().expect("an id"));
    let ready = text_with(&out, "\n").await;
    let address = ready.trim().strip_prefix("listening tcp ");
    let address = address.expect("an address").parse().expect("an address");
    let (mut slow, mut due, mut sender) = with_a_full_queue(address).await;

    drop(terminal);
    let ended = within("the shell to end", shell.wait()).await;
    assert_eq!(ended.expect("it ran").code(), None, "by the signal");
    kill("-HUP", server.0).await;
    kill("-INT", server.0).await;
    sender
        .ask_acked(&Draft::heartbeat("a", "health-monitor"))
        .await;
    // Had one of them been heeded, this would be the one that stops at once.
    kill("-TERM", server.0).await;
    due.receive_all(&mut slow).await;
    slow.expect_last_words(CODE).await;
    sender.expect_last_words(CODE).await;
}

#[tokio::test]
async fn a_signal_stops_the_server_in_order() {
    for signal in ["-TERM", "-INT"] {
        let serve = Serve::start(&[]).await;
        let mut peer = RawClient::owning(serve.address, &["peer"]).await;
        let ended = tokio::spawn(serve.end_by(signal));
        peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
        let status = within("serve to end", ended).await.expect("no panic");
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}
