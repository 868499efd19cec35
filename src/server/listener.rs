//! Listening sockets.

use crate::config::{Config, Id};
use anyhow::{Context, Result, anyhow, bail};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// The sockets of a server, bound before anything else is started.
pub struct Listeners {
    pub(super) tcp: TcpListener,
    pub(super) unix: Option<UnixListener>,
    unix_path: Option<String>,
    /// Where it listens; the real port where 0 was asked for.
    pub addr: SocketAddr,
}

impl Listeners {
    /// Listens on `addr` (`127.0.0.1:6379`, `[::1]:6379`, `name:6379`, port 0 for a free one), and on the Unix
    /// socket of the configuration if there is one.
    ///
    /// # Errors
    /// The address cannot be understood, or is taken; the message says what to do.
    pub fn bind(addr: &str, config: &Config) -> Result<Self> {
        let backlog = config.number(Id::TcpBacklog) as i32;
        let tcp = bind_tcp(addr, backlog)?;
        let local = tcp.local_addr().context("the address of the listening socket")?;
        let path = config.text(Id::Unixsocket);
        let (unix, unix_path) = if path.is_empty() {
            (None, None)
        } else {
            (Some(bind_unix(&path, &config.text(Id::Unixsocketperm))?), Some(path))
        };
        Ok(Listeners { tcp, unix, unix_path, addr: local })
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_path {
            // It may be gone already; nothing depends on it.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Resolves an address, and says what is wrong with one that cannot be.
pub(crate) fn resolve(addr: &str) -> Result<Vec<SocketAddr>> {
    if !addr.contains(':') {
        bail!("{addr:?} has no port: write HOST:PORT, for instance 127.0.0.1:6379");
    }
    let found: Vec<SocketAddr> = addr
        .to_socket_addrs()
        .map_err(|error| anyhow!("cannot make out the address {addr:?}: {error}"))?
        .collect();
    if found.is_empty() {
        bail!("the name in {addr:?} has no address");
    }
    Ok(found)
}

/// Listens on an address.
pub(crate) fn bind_tcp(addr: &str, backlog: i32) -> Result<TcpListener> {
    let mut last = None;
    for candidate in resolve(addr)? {
        match listen(candidate, backlog) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into());
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another server (perhaps redis-server or another larder) has this port: stop it, or choose another \
             port (0 picks a free one)"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need special rights: choose another"
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    bail!("cannot listen on {addr}: {error}; {advice}")
}

fn listen(addr: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(path: &str, permissions: &str) -> Result<UnixListener> {
    let mode = match permissions {
        "" => None,
        octal => Some(u32::from_str_radix(octal, 8).map_err(|_| {
            anyhow!("--unixsocketperm {octal:?} is not an octal number such as 700")
        })?),
    };
    // A socket that a killed server has left is in the way; one that somebody serves is not ours to take.
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            bail!("cannot listen on {path}: there is a file of that name; choose another path");
        }
        if UnixStream::connect(path).is_ok() {
            bail!(
                "cannot listen on {path}: another server uses it; stop it or choose another path"
            );
        }
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the old socket {path}"))?;
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!("cannot listen on the Unix socket {path}; is its folder there?")
    })?;
    listener.set_nonblocking(true)?;
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the permissions of {path}"))?;
    }
    Ok(listener)
}

/// Sets what a client's connection needs: no delay of small replies, keep-alive probes, no blocking.
pub(super) fn prepare(stream: &TcpStream, keepalive_s: u64) -> std::io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let time = Duration::from_secs(keepalive_s);
        let interval = Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}
