//! TLS as tests speak it: rustls' own streams, so that the proxy is held to somebody else's idea of it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
    StreamOwned, pki_types::ServerName,
};

/// A session over TCP. Dropped, it ends without a word.
#[derive(Debug)]
pub enum Secure {
    /// We are the client.
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// We are the server.
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// Does the same with either.
macro_rules! either {
    ($secure:expr, $stream:ident => $what:expr) => {
        match $secure {
            Secure::Client($stream) => $what,
            Secure::Server($stream) => $what,
        }
    };
}

impl Secure {
    /// Shakes hands with a server that must be `name`.
    ///
    /// # Errors
    /// Why there is no session.
    pub fn connect(
        mut socket: TcpStream,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::Client(Box::new(StreamOwned::new(session, socket))))
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// Why there is no session.
    pub fn accept(mut socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let mut session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::Server(Box::new(StreamOwned::new(session, socket))))
    }

    /// What carries it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        either!(self, stream => &stream.sock)
    }

    /// The version that is spoken.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        either!(self, stream => stream.conn.protocol_version())
    }

    /// Whether an earlier session was resumed.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        either!(self, stream => stream.conn.handshake_kind()) == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the other side has shown.
    #[must_use]
    pub fn shown(&self) -> Vec<u8> {
        let shown = either!(self, stream => stream.conn.peer_certificates());
        shown.and_then(<[_]>::first).map(|shown| shown.to_vec()).unwrap_or_default()
    }

    /// Asks for new keys with the next write.
    ///
    /// # Errors
    /// If this version has none.
    pub fn renew_keys(&mut self) -> io::Result<()> {
        either!(self, stream => stream.conn.refresh_traffic_keys()).map_err(io::Error::other)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// What the socket says.
    pub fn half_close(&mut self) -> io::Result<()> {
        either!(self, stream => {
            stream.conn.send_close_notify();
            stream.conn.complete_io(&mut stream.sock)?;
            stream.sock.shutdown(Shutdown::Write)
        })
    }
}

impl Read for Secure {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(room))
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, stream => stream.flush())
    }
}
