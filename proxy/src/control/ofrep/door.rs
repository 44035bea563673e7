//! Connections of applications: how many, how long each may take, and how they end.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};

use super::{Desk, Ending, routes};

/// Accepts for as long as it is not aborted.
pub(super) async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let service = routes::alone(desk.clone());
    loop {
        // Never closed.
        let Ok(place) = desk.places.connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (service, desk) = (service.clone(), desk.clone());
                tokio::spawn(async move {
                    serve(stream, service, &desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an application's connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, service: Router, desk: &Desk) {
    // Without either it is served all the same.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BYTES);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Patient::new(stream, STALL)),
            TowerToHyperService::new(service),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = desk.reached(Ending::Now) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORD, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an application's connection has ended");
    }
}

/// A connection whose other side has to read what is sent to it.
pub(crate) struct Patient<S> {
    stream: S,
    most: Duration,
    /// Since when nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) const fn new(stream: S, most: Duration) -> Self {
        Self { stream, most, stalled: None }
    }

    /// What came of an attempt to write.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let most = self.most;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, attempt)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// For a head to come, from the end of the answer before.
const IDLE: Duration = Duration::from_secs(90);
/// For whoever does not read to begin again.
const STALL: Duration = Duration::from_secs(10);
/// For those who are being answered when the process ends.
pub(super) const LAST_WORD: Duration = Duration::from_secs(1);
/// Between two tries to accept, where the process has no room.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that the kernel keeps for somebody who does not read.
const SEND_BYTES: usize = 64 << 10;
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn who_does_not_read_is_dropped_and_who_reads_late_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = tokio::io::duplex(8);
            let mut patient = Patient::new(ours, Duration::from_millis(20));
            patient.write_all(&[0; 8]).await.unwrap();
            let error = patient.write_all(&[0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(theirs);
            let (ours, mut theirs) = tokio::io::duplex(8);
            let mut patient = Patient::new(ours, Duration::from_secs(100));
            let reading = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let mut all = [0; 24];
                tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut all).await
            });
            patient.write_all(&[0; 24]).await.unwrap();
            assert_eq!(reading.await.unwrap().unwrap(), 24);
        });
    }
}
