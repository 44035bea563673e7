//! Descriptors that go from one process to another.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix,
};

/// Descriptors that one piece may bring along: fewer than the kernel's 253.
pub const FDS_MAX: usize = 64;

/// Bytes of control data for so many.
const SPACE: usize = rustix::cmsg_space!(ScmRights(FDS_MAX));

/// Sends some of `bytes` over a connected socket; the descriptors go with the first of them. How
/// many bytes were sent.
///
/// # Errors
/// What sending fails with, and more than [`FDS_MAX`] descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    with_fds(fds, |control| {
        let pieces = [IoSlice::new(bytes)];
        Ok(rustix::net::sendmsg(socket, &pieces, control, SendFlags::NOSIGNAL)?)
    })
}

/// Sends one datagram, with descriptors, to the socket at `path`; a path that begins with `@` is an
/// abstract name.
///
/// # Errors
/// As [`send`].
pub fn send_to(path: &Path, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let address = match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path)?,
    };
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    with_fds(fds, |control| {
        let pieces = [IoSlice::new(bytes)];
        rustix::net::sendmsg_addr(&socket, &address, &pieces, control, SendFlags::NOSIGNAL)?;
        Ok(())
    })
}

fn with_fds<T>(
    fds: &[BorrowedFd<'_>],
    send: impl FnOnce(&mut SendAncillaryBuffer<'_, '_, '_>) -> io::Result<T>,
) -> io::Result<T> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // There may be room for one more, for the sake of alignment.
    if fds.len() > FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    send(&mut control)
}

/// Receives bytes, and whatever descriptors came with them, which are closed on exec. How many bytes
/// there were; 0 at the end.
///
/// # Errors
/// What receiving fails with.
pub fn receive(socket: impl AsFd, room: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(room)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut pieces, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(received.bytes)
}

/// Takes over `count` descriptors that this process was started with, from number 3 on. To be called
/// once, at the start. One that is not open ends the list.
#[must_use]
pub fn take_inherited(count: usize) -> Vec<OwnedFd> {
    let last = FIRST.saturating_add(RawFd::try_from(count).unwrap_or(0));
    let mut all = Vec::new();
    for number in FIRST..last {
        // WHY: a supervisor says by number alone what it has opened for us.
        // SAFETY: borrowed for one call, which fails if nothing is open under this number.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = rustix::io::FdFlags::CLOEXEC;
        if rustix::io::fcntl_setfd(borrowed, flags).is_err() {
            break;
        }
        // SAFETY: it is open; the supervisor gave it to us, and nobody else of this process knows
        // of it, as this is called once and before anything else takes up a number below.
        all.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    all
}

/// Where descriptors from a supervisor begin.
const FIRST: RawFd = 3;

/// Makes standard input empty and gives back what it was.
///
/// # Errors
/// If descriptors are short.
pub fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    let empty = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&empty)?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_bytes_and_is_closed_on_exec() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut sent, kept) = UnixStream::pair().unwrap();
        assert_eq!(send(&one, b"here", &[kept.as_fd()]).unwrap(), 4);
        drop(kept);
        let (mut room, mut fds) = ([0; 16], Vec::new());
        assert_eq!(receive(&two, &mut room, &mut fds).unwrap(), 4);
        assert_eq!((&room[..4], fds.len()), (&b"here"[..], 1));
        let flags = rustix::io::fcntl_getfd(&fds[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        sent.write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&fds[0], &mut byte).unwrap(), 1);
    }

    #[test]
    fn the_end_is_an_end_and_too_many_descriptors_are_refused() {
        let (one, two) = UnixStream::pair().unwrap();
        let many = vec![two.as_fd(); FDS_MAX + 1];
        assert!(send(&one, b"x", &many).is_err());
        drop(one);
        assert_eq!(receive(&two, &mut [0; 8], &mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn a_datagram_takes_descriptors_along() {
        let path = std::env::temp_dir().join(format!("gnomon-passing-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let ear = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        send_to(&path, b"READY=1", &[ear.as_fd()]).unwrap();
        let (mut room, mut fds) = ([0; 16], Vec::new());
        assert_eq!(receive(&ear, &mut room, &mut fds).unwrap(), 7);
        assert_eq!(fds.len(), 1);
        std::fs::remove_file(path).unwrap();
    }
}
