//! TLS: one certificate for all proxies, and the load's side of a connection.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, client::Resumption,
    pki_types::ServerName, version::TLS13,
};

/// Whom the certificate is for.
const NAME: &str = "bench.example";

/// How the load shakes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hello {
    /// As whoever was never there before.
    Stranger,
    /// Resuming an earlier session.
    Again,
}

/// A certificate with an ECDSA P-256 key, as it stands in files, and who believes it.
struct Identity {
    cert: String,
    key: String,
    roots: Arc<RootCertStore>,
}

/// Made once, so that all have the same.
fn identity() -> Result<&'static Identity, String> {
    static IDENTITY: OnceLock<Result<Identity, String>> = OnceLock::new();
    let made = IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]);
        let made = made.map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(|error| error.to_string())?;
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Ok(Identity { cert, key, roots: Arc::new(roots) })
    });
    made.as_ref().map_err(Clone::clone)
}

/// Writes `tls.crt`, `tls.key` and both in one, `tls.pem`, into a folder.
///
/// # Errors
/// A sentence on what went wrong.
pub fn write(folder: &Path) -> Result<(), String> {
    let Identity { cert, key, .. } = identity()?;
    let both = format!("{cert}{key}");
    for (name, text) in [("tls.crt", cert), ("tls.key", key), ("tls.pem", &both)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// What the load goes by. What it may resume is in there: it serves all connections of a plan.
///
/// # Errors
/// A sentence on what went wrong.
pub fn client(hello: Hello) -> Result<Arc<ClientConfig>, String> {
    let roots = identity()?.roots.clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = match hello {
        Hello::Stranger => Resumption::disabled(),
        Hello::Again => Resumption::in_memory_sessions(64),
    };
    Ok(Arc::new(config))
}

/// A connection of the load, which never waits.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Self::Secure(Box::new(StreamOwned::new(session, socket))))
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(stream) => &stream.sock,
        }
    }

    /// Whether what is to be sent waits for something to be read.
    pub(crate) fn is_shaking(&self) -> bool {
        matches!(self, Self::Secure(stream) if stream.conn.is_handshaking())
    }

    /// Reads all that has come, or as much as there is room for.
    fn read_all(stream: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < room.len() {
            match stream.read(&mut room[count..]) {
                Ok(0) => return Ok(count),
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(room),
            // What a session has opened, no readiness tells of.
            Self::Secure(stream) => Self::read_all(stream.as_mut(), room),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(stream) => stream.flush(),
        }
    }
}
