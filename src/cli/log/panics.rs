//! Panics in the log, instead of on standard error directly: a panic must not
//! wait for a reader, nor fail without one.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Instant;

use super::background_writer::BackgroundWriter;
use super::losses::Loss;

pub fn write_to(writer: BackgroundWriter) {
    panic::set_hook(Box::new(move |panic| {
        let text = text(panic);
        let loss = || (Loss::unnamed(text.lines().next().unwrap_or_default()), 0);
        let now = Instant::now();
        writer.with(|backlog| backlog.push_loss(text.as_bytes(), loss, now));
    }));
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("thread '{name}' {panic}\n{backtrace}\n"),
        _ => format!("thread '{name}' {panic}\n"),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::process::{Command, ExitStatus, Stdio};
    use std::time::Duration;

    use super::super::start;
    use super::*;

    /// A thread that panics. The tests below run it in a process of its own.
    #[test]
    #[ignore = "the hook is for a whole process"]
    fn a_thread_that_panics() {
        let _log = start("info").unwrap();
        let panicking = thread::Builder::new().name("worker".to_owned());
        let panicking = panicking.spawn(|| panic!("a bug")).unwrap();
        assert!(panicking.join().is_err());
    }

    fn run(stderr: impl Into<Stdio>) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact"])
            .arg("cli::log::panics::tests::a_thread_that_panics")
            .env_remove("RUST_BACKTRACE")
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("it waits for whoever reads standard error");
    }

    fn full_pipe() -> (PipeReader, PipeWriter) {
        let (reader, writer) = pipe().unwrap();
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        let mut filler = options.open(path).unwrap();
        while filler.write(&[b'.'; 4096]).is_ok() {}
        (reader, writer)
    }

    #[test]
    fn a_panic_is_told_in_the_log() {
        let (mut reader, writer) = pipe().unwrap();
        assert!(run(writer).success());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("thread 'worker' panicked at src/cli/log/panics.rs"));
        assert!(text.ends_with(":\na bug\n"), "{text}");
    }

    #[test]
    fn a_panic_neither_waits_nor_fails_where_nobody_reads() {
        let (reader, writer) = full_pipe();
        assert!(run(writer).success());
        drop(reader);
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert!(run(writer).success());
    }
}
