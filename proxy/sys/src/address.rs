//! Where an origin is, and connecting to it.

use std::{io, net::SocketAddr, os::fd::AsRawFd, path::PathBuf};

use crate::{duplex::Duplex, socket};

/// Where an endpoint is: resolved, ready to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Connects. Moves no data, so the future may be dropped at will.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn dial(&self) -> io::Result<Duplex> {
        let stream = match self {
            Self::Tcp(address) => Duplex::tcp(socket::connect_tcp(*address)?)?,
            Self::Unix(path) => Duplex::unix(socket::connect_unix(path)?)?,
        };
        stream.writable().await?;
        socket::connect_result(stream.as_raw_fd())?;
        Ok(stream)
    }
}
