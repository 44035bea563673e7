//! Control's own connections to others, plain or over TLS.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, LazyLock},
};

use gnomon_wire::proxy_protocol::{self, Who};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    snapshot::Address,
    tls::{OriginTls, origin},
};

/// A connection, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What comes before anything is asked of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opening {
    /// Whether a PROXY protocol header is sent: it says that the connection is our own.
    pub(super) announced: bool,
    /// How TLS is spoken, if it is.
    pub(super) tls: Option<OriginTls>,
}

/// Connects to an endpoint.
pub(super) async fn connect(
    address: &Address,
    opening: &Opening,
) -> Result<Box<dyn Stream>, String> {
    let failed = |error: std::io::Error| format!("connect: {error}");
    match address {
        Address::Tcp(address) => {
            let mut stream = TcpStream::connect(address).await.map_err(failed)?;
            announce(&mut stream, opening.announced).await?;
            secured(stream, opening.tls.as_ref()).await
        }
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).await.map_err(failed)?;
            announce(&mut stream, opening.announced).await?;
            secured(stream, opening.tls.as_ref()).await
        }
    }
}

async fn announce(stream: &mut impl Stream, announced: bool) -> Result<(), String> {
    if !announced {
        return Ok(());
    }
    let mut header = Vec::new();
    proxy_protocol::write(&mut header, &Who::Sender);
    // So few bytes go out at once or not at all.
    let sent = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &header)).await;
    sent.map(|_| ()).map_err(|error| format!("PROXY protocol header: {error}"))
}

/// Connects to a host by name; over TLS, it must have a certificate that the system believes.
pub(super) async fn connect_to(
    host: &str,
    port: u16,
    is_secure: bool,
) -> Result<Box<dyn Stream>, String> {
    let tls = if is_secure { Some(believing_the_system(host)?) } else { None };
    let stream = TcpStream::connect((host, port)).await;
    secured(stream.map_err(|error| format!("connect: {error}"))?, tls.as_ref()).await
}

async fn secured<S: Stream + 'static>(
    stream: S,
    tls: Option<&OriginTls>,
) -> Result<Box<dyn Stream>, String> {
    let Some(OriginTls { config, name }) = tls else { return Ok(Box::new(stream)) };
    let connecting = TlsConnector::from(config.clone()).connect(name.clone(), stream);
    let stream = connecting.await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(stream))
}

fn believing_the_system(host: &str) -> Result<OriginTls, String> {
    static CONFIG: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
        let config = origin::for_anybody();
        config.map(Arc::new).map_err(|problems| {
            problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ")
        })
    });
    let config = CONFIG.clone()?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| format!("no certificate can be for `{host}`"))?;
    Ok(OriginTls { config, name })
}
