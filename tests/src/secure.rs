//! A client that speaks TLS: rustls over a socket that blocks, sharing nothing with the product's
//! way of driving it.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned, pki_types::ServerName};

use crate::{PATIENCE, Reply, reading::Inbox};

/// A connection that was agreed on.
#[derive(Debug)]
pub struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
    inbox: Inbox,
}

impl Secure {
    /// Connects and shakes hands, asking for this name.
    ///
    /// # Errors
    /// What the socket or TLS says.
    pub fn connect(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let client = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// Sends a request and reads its reply.
    ///
    /// # Errors
    /// What the socket or TLS says; an end without a reply is one.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Reply> {
        self.stream.write_all(request.as_ref())?;
        self.stream.flush()?;
        match self.inbox.head(&mut self.stream)? {
            Some(head) => self.inbox.reply(&mut self.stream, head, "GET"),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether the session went on from an earlier connection's.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the server has shown.
    #[must_use]
    pub fn shown(&self) -> Vec<u8> {
        let shown = self.stream.conn.peer_certificates().and_then(<[_]>::first);
        shown.map(|certificate| certificate.to_vec()).unwrap_or_default()
    }
}
