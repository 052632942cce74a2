//! Accepts connections until the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServerShared;
use super::connection::Connection;
use super::socket;

/// Connections beyond the limit that are told so at once; others are dropped.
const REFUSING_MAX: usize = 256;
/// After the system had no descriptor left, accepting waits so long.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// Serves what `listener` accepts, each connection in a task of its own that
/// `tasks` knows, until `stop`.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<ServerShared>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => serve(stream, &shared, &tasks),
            Err(error) => {
                // Either this one connection failed, or descriptors ran out:
                // then some must close before the next can be accepted.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn serve(stream: TcpStream, shared: &Arc<ServerShared>, tasks: &TaskTracker) {
    if let Err(error) = socket::set_up(&stream) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let connections = shared.phases.connections();
    let max = shared.config.connections_max;
    let connection = |stream| Box::new(Connection::new(stream, Arc::clone(shared)));
    if connections < max {
        tasks.spawn(connection(stream).run());
    } else if connections < max + REFUSING_MAX {
        tracing::warn!(max, "too many connections: one was refused");
        tasks.spawn(connection(stream).refuse());
    }
}
