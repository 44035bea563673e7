//! Sockets with exactly the options a proxy wants.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes not yet sent that a socket takes before a write has to wait. Without it the kernel buffers
/// up to 4 MB for a slow reader, and says that there is room again only in steps of a third of
/// that: too coarse to tell slow from stuck. Two long body buffers keep a fast reader busy.
const NOT_SENT: u32 = 256 * 1024;

/// A TCP listener of one core. `reuse_port` lets every core bind its own, and the kernel spread
/// connections over them. Accepted sockets inherit `TCP_NODELAY`
/// and `TCP_NOTSENT_LOWAT` from it.
///
/// # Errors
/// Whatever socket, bind or listen fail with.
pub fn listen_tcp(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Whether anybody else listens on `address`: `SO_REUSEPORT` would let two gnomons of one user
/// share a port unawares.
///
/// # Errors
/// What a bind without `SO_REUSEPORT` fails with, `AddrInUse` above all.
pub fn probe_tcp(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// A unix listener, shared by all cores. Removes a socket file that nobody answers on.
///
/// # Errors
/// `AddrInUse` when somebody answers; whatever bind and listen fail with.
pub fn listen_unix(path: &Path, backlog: u32) -> io::Result<OwnedFd> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The address a TCP listener is bound to.
///
/// # Errors
/// If the socket is not a TCP socket.
pub fn local_address(listener: &impl AsFd) -> io::Result<SocketAddr> {
    SocketAddr::try_from(rustix::net::getsockname(listener)?)
        .map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// What a listening socket that somebody else has opened is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it listens.
    pub address: crate::address::Address,
    /// Whether others may be bound beside it, for other cores.
    pub reuse_port: bool,
    /// Tells it from every other socket; the same for its duplicates.
    pub inode: u64,
}

/// Looks at a socket from elsewhere and makes it fit for a core: non-blocking. None if it does not
/// listen for streams.
#[must_use]
pub fn examine(socket: &impl AsFd) -> Option<Found> {
    let listens = rustix::net::sockopt::socket_acceptconn(socket).ok()?;
    let is_stream =
        rustix::net::sockopt::socket_type(socket).ok()? == rustix::net::SocketType::STREAM;
    if !listens || !is_stream {
        return None;
    }
    let name = rustix::net::getsockname(socket).ok()?;
    let address = match SocketAddr::try_from(name.clone()) {
        Ok(address) => crate::address::Address::Tcp(address),
        Err(_) => {
            use std::os::unix::ffi::OsStrExt;
            let unix = rustix::net::SocketAddrUnix::try_from(name).ok()?;
            let path = unix.path_bytes()?;
            crate::address::Address::Unix(Path::new(std::ffi::OsStr::from_bytes(path)).into())
        }
    };
    let is_tcp = matches!(address, crate::address::Address::Tcp(_));
    let flags = rustix::fs::fcntl_getfl(socket).ok()?;
    rustix::fs::fcntl_setfl(socket, flags | rustix::fs::OFlags::NONBLOCK).ok()?;
    if is_tcp {
        // As if we had opened it: what is accepted inherits these. Better than nothing otherwise.
        let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
        let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(NOT_SENT);
    }
    let reuse_port = is_tcp && rustix::net::sockopt::socket_reuseport(socket).ok()?;
    Some(Found { address, reuse_port, inode: rustix::fs::fstat(socket).ok()?.st_ino })
}

/// How many connections wait at a TCP listener to be accepted, and how many may.
///
/// # Errors
/// If the socket is not a TCP socket.
pub fn accept_queue(listener: &impl AsFd) -> io::Result<(u32, u32)> {
    // The head of the kernel's `struct tcp_info`. Of a listener, `tcpi_unacked` is the length of its
    // queue and `tcpi_sacked` its bound.
    const UNACKED: usize = 24;
    const SACKED: usize = 28;
    let mut info = [0_u8; 32];
    let mut length = libc::socklen_t::try_from(info.len()).unwrap_or(0);
    // WHY: neither rustix nor socket2 reads TCP_INFO.
    // SAFETY: the descriptor is borrowed for the call; the kernel writes no more than `length` bytes
    // to `info`, all of which are its own and may hold anything.
    let result = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |at: usize| {
        let bytes = info.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    };
    Ok((number(UNACKED), number(SACKED)))
}

/// Bytes written to a socket that the other end has not acknowledged; 0 if the kernel does not say.
#[must_use]
pub fn unacknowledged(fd: RawFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // WHY: neither rustix nor socket2 has SIOCOUTQ, which is TIOCOUTQ by another name.
    // SAFETY: the caller's socket outlives the call; the kernel writes one int, which is there.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// A connection just accepted: non-blocking, closed on exec.
#[derive(Debug)]
pub enum Accepted {
    /// From this address.
    Tcp(std::net::TcpStream, SocketAddr),
    /// From this machine.
    Unix(std::os::unix::net::UnixStream),
}

/// Takes one connection from the queue.
///
/// # Errors
/// `WouldBlock` when the queue is empty; EMFILE and the like as they come.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Accepted> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    match peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
        Some(mut peer) => {
            peer.set_ip(peer.ip().to_canonical());
            Ok(Accepted::Tcp(socket.into(), peer))
        }
        None => Ok(Accepted::Unix(socket.into())),
    }
}

/// Begins to connect; the socket becomes writable when that has ended, well or badly.
///
/// # Errors
/// What socket and connect fail with at once.
pub fn connect_tcp(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
    begin_connect(&socket, &address.into())?;
    Ok(socket.into())
}

/// As [`connect_tcp`], to a unix socket.
///
/// # Errors
/// What socket and connect fail with at once.
pub fn connect_unix(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    begin_connect(&socket, &socket2::SockAddr::unix(path)?)?;
    Ok(socket.into())
}

fn begin_connect(socket: &Socket, address: &socket2::SockAddr) -> io::Result<()> {
    match socket.connect(address) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// How the connect begun by [`connect_tcp`] or [`connect_unix`] ended.
///
/// # Errors
/// The connect's own error.
pub fn connect_result(fd: RawFd) -> io::Result<()> {
    rustix::net::sockopt::socket_error(borrow(fd))??;
    Ok(())
}

/// What waits in a socket's receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing: the connection is quiet and alive.
    Nothing,
    /// At least one byte.
    Bytes,
    /// The other side has closed, or the connection is broken.
    End,
}

/// Looks at a socket's receive queue without taking from it.
#[must_use]
pub fn peek(fd: RawFd) -> Waiting {
    let mut byte = [0_u8; 1];
    match rustix::net::recv(borrow(fd), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Waiting::End,
        Ok(_) => Waiting::Bytes,
        Err(rustix::io::Errno::AGAIN) => Waiting::Nothing,
        Err(_) => Waiting::End,
    }
}

/// Sends as much of `bytes` as goes out at once; how much that is.
///
/// # Errors
/// `WouldBlock` if nothing does, or why nothing ever will.
pub fn send_now(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::send(borrow(fd), bytes, flags).map_err(Into::into)
}

/// Copies what waits in a socket's receive queue, from its beginning, without taking it. 0 is the
/// end of input.
///
/// # Errors
/// `WouldBlock` if nothing waits; whatever receiving fails with.
pub fn look(fd: RawFd, room: &mut [u8]) -> io::Result<usize> {
    receive(fd, room, RecvFlags::PEEK | RecvFlags::DONTWAIT)
}

/// Takes what waits in a socket's receive queue, at most what there is room for. 0 is the end of
/// input.
///
/// # Errors
/// `WouldBlock` if nothing waits; whatever receiving fails with.
pub fn take(fd: RawFd, room: &mut [u8]) -> io::Result<usize> {
    receive(fd, room, RecvFlags::DONTWAIT)
}

fn receive(fd: RawFd, room: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(borrow(fd), room, flags)?;
    Ok(count)
}

/// The address at our end of a TCP connection.
#[must_use]
pub fn near_end(fd: RawFd) -> Option<SocketAddr> {
    let mut address = local_address(&borrow(fd)).ok()?;
    address.set_ip(address.ip().to_canonical());
    Some(address)
}

/// Ends both directions of a socket: whatever waits on it returns at once.
pub fn shut_down(fd: RawFd) {
    // A socket that is no longer connected is as shut as can be.
    let _ = rustix::net::shutdown(borrow(fd), Shutdown::Both);
}

/// Ends reading alone: a pending read returns as if the other side had closed.
pub fn shut_read(fd: RawFd) {
    let _ = rustix::net::shutdown(borrow(fd), Shutdown::Read);
}

/// Says to the other side that nothing more will be sent.
pub fn shut_write(fd: RawFd) {
    let _ = rustix::net::shutdown(borrow(fd), Shutdown::Write);
}

/// Makes the close of a socket a reset, so that a truncated reply can't pass for a whole one.
pub fn reset_on_close(fd: RawFd) {
    let _ = rustix::net::sockopt::set_socket_linger(borrow(fd), Some(std::time::Duration::ZERO));
}

fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // WHY: monoio's streams are AsRawFd only.
    // SAFETY: every caller passes the descriptor of a socket it holds during the call; house rule:
    // bookkeeping of a descriptor is removed before the socket is dropped.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_look_takes_nothing() {
        use std::io::{Read as _, Write as _};
        let (mut near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (fd, mut room) = (near.as_raw_fd(), [0; 8]);
        assert_eq!(look(fd, &mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        far.write_all(b"abcd").unwrap();
        assert_eq!(look(fd, &mut room).unwrap(), 4);
        assert_eq!(take(fd, &mut room[..3]).unwrap(), 3);
        assert_eq!(&room[..4], b"abcd");
        near.read_exact(&mut room[..1]).unwrap();
        assert_eq!(room[0], b'd');
        drop(far);
        assert_eq!(take(fd, &mut room).unwrap(), 0);
        assert_eq!(near_end(fd), None);
    }

    #[test]
    fn what_the_other_end_has_not_read_is_told() {
        let (mut near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(unacknowledged(near.as_raw_fd()), 0);
        std::io::Write::write_all(&mut near, &[0; 100]).unwrap();
        assert!(unacknowledged(near.as_raw_fd()) >= 100);
        std::io::Read::read_exact(&mut far, &mut [0; 100]).unwrap();
        assert_eq!(unacknowledged(near.as_raw_fd()), 0);
        assert_eq!(unacknowledged(-1), 0);
    }

    #[test]
    fn who_waits_to_be_accepted_is_counted() {
        let listener = listen_tcp(([127, 0, 0, 1], 0).into(), 16).unwrap();
        assert_eq!(accept_queue(&listener).unwrap(), (0, 16));
        let address = local_address(&listener).unwrap();
        let _waiting: Vec<_> =
            (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(accept_queue(&listener).unwrap(), (3, 16));
        assert!(accept_queue(&std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
