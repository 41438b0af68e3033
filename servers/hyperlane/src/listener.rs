//! What hyperlane keeps to itself: the socket that it listens on. Its `Server::run` binds with tokio's backlog of 1024
//! and says neither the socket nor its port.

use rustix::{
    fd::BorrowedFd,
    net::{
        getsockname, listen,
        sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout, socket_acceptconn},
    },
};
use std::{fs, io, net::SocketAddr, time::Duration};

/// Linux takes another listen(2) on a socket that listens already as a new backlog.
pub const BACKLOG: i32 = 4096;

/// How long the kernel may wait for an acknowledgement. It notices alone who vanished, or stopped reading, for hyperlane
/// shows no socket that could be asked as `servers/kit/hub.py` does: with a heartbeat in between it must be less than one.
pub fn user_timeout_ms(heartbeat_s: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 500 to 64,800,000
    let limit = (750.0 * heartbeat_s).max(500.0) as u32;
    limit
}

/// The address of the one socket of this process that listens, once its backlog is `BACKLOG` and the connections that
/// it accepts are watched.
pub fn deepen(heartbeat_s: f64) -> io::Result<SocketAddr> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // SAFETY: only asked about here and now; a number that was closed meanwhile (the folder's own) is EBADF.
        #[allow(unsafe_code)]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if socket_acceptconn(descriptor).unwrap_or(false) {
            listen(descriptor, BACKLOG)?;
            // Accepted sockets inherit these.
            set_socket_keepalive(descriptor, true)?;
            set_tcp_user_timeout(descriptor, user_timeout_ms(heartbeat_s))?;
            set_tcp_keepidle(descriptor, whole_seconds(heartbeat_s / 2.0))?;
            set_tcp_keepintvl(descriptor, whole_seconds(heartbeat_s / 4.0))?;
            return getsockname(descriptor)?.try_into().map_err(io::Error::from);
        }
    }
    Err(io::Error::other("hyperlane does not listen"))
}

/// What TCP's keepalive takes: from one second to its longest.
fn whole_seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.floor().clamp(1.0, 32767.0))
}
