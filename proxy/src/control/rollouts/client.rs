//! One request to somebody outside, plain HTTP/1.1, over a connection of its own.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::snapshot::Address;

/// A reply's status and what it says.
pub(super) type Answer = Result<(u16, Bytes), String>;

/// Posts JSON to `url`, within `patience`.
pub(super) async fn post(url: &str, body: Bytes, patience: Duration) -> Answer {
    let (authority, path) = parts(url)?;
    let request = Request::post(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "gnomon")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let target = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let call = async move {
        let stream =
            TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
        send(stream, request).await
    };
    within(patience, call).await
}

/// Sends a request to an endpoint, within `patience`.
pub(super) async fn ask(
    address: &Address,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Answer {
    let connecting = |error: std::io::Error| format!("connect: {error}");
    let call = async {
        match address {
            Address::Tcp(address) => {
                send(TcpStream::connect(address).await.map_err(connecting)?, request).await
            }
            Address::Unix(path) => {
                send(UnixStream::connect(path).await.map_err(connecting)?, request).await
            }
        }
    };
    within(patience, call).await
}

async fn within(patience: Duration, call: impl Future<Output = Answer>) -> Answer {
    let late = |_| Err(format!("no answer within {patience:?}"));
    tokio::time::timeout(patience, call).await.unwrap_or_else(late)
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // Ends with the exchange: nobody sends a second request.
    let driver = tokio::spawn(connection);
    let answer = async {
        let reply = sender.send_request(request).await;
        let reply = reply.map_err(|error| format!("reply: {error}"))?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), CONTENT_MAX).collect().await;
        let body = body.map_err(|error| format!("content: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    let answer = answer.await;
    driver.abort();
    answer
}

/// The authority and the path of `http://HOST[:PORT][/PATH]`.
fn parts(url: &str) -> Result<(&str, &str), String> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| format!("`{url}` does not begin with http://"))?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if authority.is_empty() { Err(format!("`{url}` names no host")) } else { Ok((authority, path)) }
}

/// Bytes of a reply's content that are read.
const CONTENT_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_path() {
        let table = [
            ("http://a.example", Ok(("a.example", "/"))),
            ("http://a.example:81/x?y", Ok(("a.example:81", "/x?y"))),
            ("http:///x", Err(())),
            ("https://a.example/", Err(())),
        ];
        for (url, expected) in table {
            assert_eq!(parts(url).map_err(|_| ()), expected, "{url}");
        }
    }
}
