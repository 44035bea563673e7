//! The admin API over TCP: over TLS where that is configured, with a bound on everything that
//! somebody who says nothing may hold.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{
    caller::{Peer, Remote},
    refusals::Reason,
};
use crate::{
    control::{Control, doors::CONNECTIONS_MAX, ofrep::Patient},
    tls::{ServerTls, identity::ClientIdentity},
};

/// Accepts for as long as it is not aborted.
pub(in crate::control) async fn accept(
    control: Arc<Control>,
    listener: TcpListener,
    router: Router,
) {
    let is_local = listener.local_addr().is_ok_and(|bound| bound.ip().is_loopback());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let router = TowerToHyperService::new(router);
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to `admin.listen` cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let gate = control.gate();
        if !is_local && !gate.is_safe_anywhere() {
            // A reload may have taken away what the address needs; it says nothing to anybody then.
            control.refusals.count(Reason::Nothing);
            continue;
        }
        let tls = gate.tls().cloned();
        if tls.is_some() {
            // Each costs a signature on the thread that also judges rollouts.
            tokio::time::sleep(BETWEEN_HANDSHAKES).await;
        }
        let (router, control) = (router.clone(), control.clone());
        tokio::spawn(async move {
            let remote = Remote { address, is_local, certificate: None };
            if let Err(error) = serve(&control, stream, tls, remote, router).await {
                tracing::debug!(%error, "a connection to `admin.listen` has ended");
            }
            drop(place);
        });
    }
}

async fn serve(
    control: &Control,
    stream: TcpStream,
    tls: Option<ServerTls>,
    remote: Remote,
    router: TowerToHyperService<Router>,
) -> io::Result<()> {
    // Without it, it is served all the same.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return speak(stream, remote, router).await };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let shaken = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(shaken) => shaken,
        Err(late) => Err(io::Error::other(late)),
    };
    let stream = shaken.inspect_err(|error| note(control, remote.address, error))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(|der| Arc::new(ClientIdentity::of(der)));
    speak(stream, Remote { certificate, ..remote }, router).await
}

/// Tells of somebody who is not believed.
fn note(control: &Control, address: SocketAddr, error: &io::Error) {
    control.refusals.count(Reason::Handshake);
    control.tell_of_handshake(address, error);
}

async fn speak<S>(stream: S, remote: Remote, router: TowerToHyperService<Router>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = Peer::Tcp(remote);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, STALL)), service);
    ended(pin!(connection)).await
}

async fn ended(connection: impl Future<Output = hyper::Result<()>>) -> io::Result<()> {
    connection.await.map_err(io::Error::other)
}

/// For a head to come, from the end of the answer before.
const IDLE: Duration = Duration::from_secs(60);
/// For TLS to be agreed on.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// At least so long between two of them: of a core's time they take less than a twentieth.
const BETWEEN_HANDSHAKES: Duration = Duration::from_millis(20);
/// For whoever does not read to begin again.
const STALL: Duration = Duration::from_secs(30);
/// Between two tries to accept, where the process has no room.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;
