//! Sockets that listen: TCP, and the local one in the state folder.

use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that the kernel holds until they are accepted (bounded by `net.core.somaxconn` too).
const BACKLOG: i32 = 4096;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address was refused.
    #[error(
        "cannot listen on {address}: {source}; is another service there, or does the port need a privilege?"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The local socket could not be made.
    #[error("cannot listen on the socket {}: {source}; check the state folder's path (at most 107 bytes with the socket's name) and permissions", .path.display())]
    Local {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody answers on the local socket.
    #[error("another process answers on {}; stop it first, or give this one a state folder of its own", .path.display())]
    Answered {
        /// The socket.
        path: PathBuf,
    },
    /// A file that is no socket stands where the socket belongs.
    #[error("{} is in the way of the local socket and is not a socket; move it away", .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
}

/// One listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Local(LocalListener),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Local(UnixStream),
}

impl Accepted {
    /// Whose it is; `None` where it came in over the local socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(peer.ip()),
            Self::Local(_) => None,
        }
    }
}

impl Listener {
    /// Waits for the next connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())))
            }
            Self::Local(local) => Ok(Accepted::Local(local.listener.accept().await?.0)),
        }
    }

    /// What was bound; `None` for the local socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Local(_) => None,
        }
    }
}

/// Listens on all addresses, or on none.
pub(super) fn listen_tcp(name: &'static str, addresses: &[SocketAddr]) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        // "[::]" takes IPv4 as well, unless IPv4 has a listener of its own on that port.
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let only_v6 = address.port() != 0 && addresses.contains(&v4);
        let opened = match open(address, only_v6) {
            Err(error) if lacks_ipv6(address, &error) && !only_v6 => {
                tracing::warn!(listener = name, %error, "this machine has no IPv6: listening on {v4} instead of {address}");
                open(v4, false)
            }
            other => other,
        };
        let listener = opened.map_err(|source| BindError::Address { address, source })?;
        listeners.push(Listener::Tcp(listener));
    }
    Ok(listeners)
}

/// Whether `[::]` was refused because there is no IPv6 here (Linux: EAFNOSUPPORT, or no address when it is switched off).
fn lacks_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    address.is_ipv6()
        && address.ip().is_unspecified()
        && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// A local socket; its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    /// Listens on a socket that only this user may open. A socket that nobody answers on any more is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, BindError> {
        clear(path)?;
        let listener =
            open_local(path).map_err(|source| BindError::Local { path: path.to_owned(), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Drop for LocalListener {
    // The file goes before the socket closes, so a successor's socket is never the one that is removed.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the local socket's file was gone already");
        }
    }
}

/// Removes a socket that nobody answers on.
fn clear(path: &Path) -> Result<(), BindError> {
    let path_buf = || path.to_owned();
    let local = |source| BindError::Local { path: path_buf(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(local(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::InTheWay { path: path_buf() }),
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(local)?;
    // Without blocking: a full queue is an answer too.
    probe.set_nonblocking(true).map_err(local)?;
    match probe.connect(&SockAddr::unix(path).map_err(local)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(local)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(local(error)),
        Ok(()) | Err(_) => Err(BindError::Answered { path: path_buf() }),
    }
}

fn open_local(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Between bind and listen nobody can connect, so there is no moment with wider permissions.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}
