//! The network namespace of a comparison. Its default congestion control is that of all
//! servers and clients; the system's stays as it is.

use std::process::{Command, ExitCode, Stdio};

use crate::machine;

/// Marks a comparison that runs in such a network.
const MARK: &str = "TICKWIRE_PEERS_NAMESPACE";
/// Brings the loopback up and sets the default, named by the first argument; then
/// becomes the program of the others.
const SCRIPT: &str = "ip link set lo up || exit 1
{ echo \"$1\" > /proc/sys/net/ipv4/tcp_congestion_control; } 2> /dev/null
shift
exec \"$@\"";

/// The place of this process.
pub enum Place {
    /// In the network.
    Inside,
    /// Outside: the comparison was made there, and ended so.
    Left(ExitCode),
}

/// Makes sure that the comparison runs where `congestion` is the default.
pub fn enter(congestion: &str) -> Result<Place, String> {
    if std::env::var_os(MARK).is_some() {
        return match machine::congestion() == congestion {
            true => Ok(Place::Inside),
            false => Err(format!(
                "--congestion {congestion}: not allowed here; `sysctl \
                 net.ipv4.tcp_allowed_congestion_control` lists those that are"
            )),
        };
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = unshare().ok_or(
        "--congestion: unshare, of util-linux, can't make a network here: set the system's own \
         default, net.ipv4.tcp_congestion_control, instead",
    )?;
    command.args(["sh", "-c", SCRIPT, "sh", congestion]);
    command.arg(program).args(std::env::args_os().skip(1));
    let status = command.env(MARK, "1").status();
    let status = status.map_err(|error| format!("unshare can't be started: {error}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Place::Left(code.map_or(ExitCode::FAILURE, ExitCode::from)))
}

/// A command that runs another in a new network: as it is, or where that takes rights
/// that this user lacks, as the root of a user namespace.
fn unshare() -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let works = |way: &&[&str]| {
        let mut command = Command::new("unshare");
        command.args(*way).arg("true").stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let way = ways.into_iter().find(works)?;
    let mut command = Command::new("unshare");
    command.args(way);
    Some(command)
}
