//! A client that asks over TLS, one request after the other.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::ClientConfig;

use crate::{PATIENCE, Reply, reading::Inbox, secure::Secure};

/// A connection that was agreed on.
#[derive(Debug)]
pub struct Asker {
    stream: Secure,
    inbox: Inbox,
}

impl Asker {
    /// Connects and shakes hands, asking for this name.
    ///
    /// # Errors
    /// What the socket or TLS says.
    pub fn connect(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Secure::connect(socket, config, name)?, inbox: Inbox::default() })
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
        self.stream.is_resumed()
    }

    /// The certificate that the server has shown.
    #[must_use]
    pub fn shown(&self) -> Vec<u8> {
        self.stream.shown()
    }
}
