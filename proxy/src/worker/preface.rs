//! What comes before anything else on a connection: the PROXY protocol header, from clients where
//! a listener requires one, and to origins that want one.
//!
//! A client's is looked at where it waits, and taken once it is known to be one: what follows it,
//! be it a request or a TLS handshake, stays in the socket.

use std::{io, net::SocketAddr, os::fd::AsRawFd, rc::Rc, time::Duration};

use gnomon_sys::socket;
use gnomon_tls::Stream;
use gnomon_wire::proxy_protocol::{self, Ends, HEADER_MAX, Who};

use super::{
    Worker,
    client::{Client, Peer},
    deadline::Deadline,
    restraint,
};
use crate::patience::Ticks;

/// How long a header may take: whoever sends one knows it before it connects.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection ends here, as a place in [`CoreCells::prefaces`](crate::cells::CoreCells).
#[derive(Clone, Copy)]
enum Flaw {
    Untrusted = 0,
    Malformed = 1,
    Timeout = 2,
    Gone = 3,
}

/// Reads the header that `client`'s listener requires, and takes the client it names for the one
/// that speaks. Whether the connection may go on.
pub(super) async fn read(worker: &Rc<Worker>, client: &mut Client) -> bool {
    match who(client).await {
        Ok(who) => {
            if let Who::Client(ends) = who {
                client.peer = Peer::new(ends.client.ip().to_canonical(), &client.listener);
                client.peer.port = ends.client.port();
                client.peer.server = Some(ends.server);
                client.admitted = restraint::connection(worker, Some(client.peer.ip));
                return client.admitted.is_some();
            }
            true
        }
        Err(flaw) => {
            worker.cells.prefaces[flaw as usize].add(1);
            false
        }
    }
}

async fn who(client: &Client) -> Result<Who, Flaw> {
    let senders = client.listener.proxy_protocol.as_deref().unwrap_or_default();
    if !senders.iter().any(|network| network.contains(&client.peer.ip)) {
        return Err(Flaw::Untrusted);
    }
    client.deadline.arm(Ticks::of(PATIENCE));
    let mut come = vec![0; HEADER_MAX];
    let mut length = 0;
    loop {
        let gone =
            |client: &Client| if client.deadline.fired() { Flaw::Timeout } else { Flaw::Gone };
        client.stream.readable().await.map_err(|_| gone(client))?;
        let fd = client.stream.as_raw_fd();
        let room = come.get_mut(length..).unwrap_or_default();
        let seen = match socket::look(fd, room) {
            Ok(0) => return Err(gone(client)),
            Ok(count) => length + count,
            Err(error) if is_passing(&error) => continue,
            Err(_) => return Err(gone(client)),
        };
        let header = proxy_protocol::read(come.get(..seen).unwrap_or_default());
        let header = header.map_err(|_| Flaw::Malformed)?;
        // While more is wanted, all that was seen is the header's.
        let end = header.map_or(seen, |header| header.length);
        let taken = socket::take(fd, come.get_mut(length..end).unwrap_or_default());
        length += taken.map_err(|_| gone(client))?;
        if let Some(header) = header {
            client.deadline.disarm();
            return if length == end { Ok(header.who) } else { Err(Flaw::Gone) };
        }
    }
}

/// What origins that ask for it are told of a client.
pub(super) fn about(client: &Client) -> Who {
    let near = || socket::near_end(client.stream.as_raw_fd());
    match client.peer.server.or_else(near) {
        Some(server) => {
            let client = SocketAddr::new(client.peer.ip, client.peer.port);
            Who::Client(Ends { client, server })
        }
        None => Who::Unknown,
    }
}

/// Tells an origin whom the connection is for, as the first thing on it.
pub(super) async fn announce(
    stream: &Stream,
    deadline: &Deadline,
    who: &Who,
    patience: Ticks,
) -> io::Result<()> {
    let mut header = Vec::new();
    proxy_protocol::write(&mut header, who);
    let length = header.len();
    let (sent, _) = stream.write(header, 0..length, || deadline.arm_writing(patience)).await;
    deadline.disarm_writing();
    sent
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
