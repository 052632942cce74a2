//! The real binary, run as a user runs it, and killed when the test is over.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::draft::Draft;
use crate::raw_client::{RawClient, within};

/// `tickwire` with these arguments, and no setting from the environment.
pub fn tickwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(arguments);
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("TICKWIRE_") {
            command.env_remove(key);
        }
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The output of a command that ended by itself.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub async fn run(command: &mut Command) -> Outcome {
    let child = command.spawn().expect("it starts");
    let output = within("the command to end", child.wait_with_output()).await;
    let output = output.expect("its output is read");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A running `tickwire serve`.
pub struct Serve {
    child: Child,
    pub stdout: Lines<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

impl Serve {
    /// Starts it on a free port, with further arguments.
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        Self::spawn(&mut tickwire(&arguments)).await
    }

    pub async fn spawn(command: &mut Command) -> Self {
        // Logs go to the test's own output: nobody would read a pipe.
        Self::spawn_logging(command.stderr(Stdio::inherit())).await
    }

    /// Starts it with logs that go where the command says.
    pub async fn spawn_logging(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut stdout = BufReader::new(stdout).lines();
        let line = within("the first line", stdout.next_line()).await;
        let line = line.expect("UTF-8").expect("a line");
        let address = line
            .strip_prefix("listening tcp ")
            .unwrap_or_else(|| panic!("not what a listener prints: {line:?}"))
            .parse()
            .expect("an address");
        Self {
            child,
            stdout,
            address,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it ran until now");
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub async fn signal(&self, signal: &str) {
        signal_to(self.id(), signal).await;
    }

    /// Sends it a signal, and gives how it ended.
    #[cfg(unix)]
    pub async fn end_by(mut self, signal: &str) -> ExitStatus {
        self.signal(signal).await;
        self.ended().await
    }

    /// Waits for its end, and gives how it ended.
    #[cfg(unix)]
    pub async fn ended(&mut self) -> ExitStatus {
        let status = within("serve to end", self.child.wait()).await;
        status.expect("it is ours to wait for")
    }
}

/// Sends a signal to a process of this test.
#[cfg(unix)]
pub async fn signal_to(id: u32, signal: &str) {
    let id = id.to_string();
    let kill = Command::new("kill").args([signal, &id]).status().await;
    assert!(kill.expect("kill runs").success());
}

/// A `tickwire listen` that has claimed its name.
pub struct Listen {
    /// Killed when this is dropped.
    _child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Listen {
    /// Starts `listen name`, and returns once messages to the name arrive. The
    /// one that shows it is the first that was printed and read away.
    pub async fn start(server: SocketAddr, name: &str) -> Self {
        let to = server.to_string();
        let mut child = tickwire(&["listen", name, "--to", &to])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut listen = Self {
            _child: child,
            stdout: BufReader::new(stdout).lines(),
        };
        until_owned(server, name).await;
        listen.line().await;
        listen
    }

    pub async fn line(&mut self) -> String {
        let line = within("a line", self.stdout.next_line()).await;
        line.expect("UTF-8").expect("another line")
    }
}

/// Waits until somebody owns `name`, by a message that is delivered then.
pub async fn until_owned(server: SocketAddr, name: &str) {
    let mut probe = RawClient::speaking_for_others(server).await;
    within("somebody to own the name", async {
        while probe.ask(&Draft::heartbeat("probe", name)).await.kind() != "ack" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}
