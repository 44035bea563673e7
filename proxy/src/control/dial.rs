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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use gnomon_config::model::{Material, Secret, VersionTls, Written};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{
        control::tests::run,
        tls::{
            server,
            testing::{Folder, NOW, ONE},
            tickets::TicketKeys,
        },
    };

    /// Where somebody answers every connection over TLS with one word.
    async fn answering(folder: &Folder) -> SocketAddr {
        let tls = folder.load(ONE).unwrap().config.listeners.remove(0).tls.unwrap();
        let tickets = TicketKeys::draw(NOW).unwrap().of_listener("https", None).unwrap();
        let server = server::build(&tls, tickets).map_err(|_| "it is right").unwrap().server;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(server.clone());
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        address
    }

    fn terms(folder: &Folder, name: &str, verify: bool) -> OriginTls {
        let content = Secret(folder.root_pem.clone().into());
        let place = Written::default();
        let ca = Material { path: folder.path.clone(), content, mode: 0o600, place };
        let tls = VersionTls { name: None, ca: Some(ca), identity: None, verify, place };
        let config = Arc::new(origin::build(&tls).map_err(|_| "it is right").unwrap());
        OriginTls { config, name: ServerName::try_from(name.to_owned()).unwrap() }
    }

    #[test]
    fn who_is_asked_over_tls_must_be_who_it_says() {
        run(async {
            let folder = Folder::new("dial");
            let address = answering(&folder).await;
            let target = Address::Tcp(address);
            for (name, verify, answers) in [
                ("shop.example.com", true, true),
                ("other.example.com", true, false),
                ("other.example.com", false, true),
            ] {
                let tls = Some(terms(&folder, name, verify));
                match connect(&target, &Opening { announced: false, tls }).await {
                    Ok(mut stream) => {
                        let mut text = String::new();
                        stream.read_to_string(&mut text).await.unwrap();
                        assert!(answers && text == "hello", "{name} {verify}");
                    }
                    Err(why) => assert!(!answers && why.starts_with("TLS: "), "{name}: {why}"),
                }
            }
            // The system does not know our root.
            let asked = connect_to("127.0.0.1", address.port(), true).await;
            assert!(asked.is_err());
            assert!(connect_to("127.0.0.1", address.port(), false).await.is_ok());
        });
    }
}
