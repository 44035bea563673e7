//! One request to somebody outside, HTTP/1.1, over a connection of its own.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;

use super::dial::{self, Opening, Stream};
use crate::snapshot::Address;

/// A reply's status and what it says.
pub(super) type Answer = Result<(u16, Bytes), String>;

/// Posts JSON to `url`, within `patience`.
pub(super) async fn post(url: &str, body: Bytes, patience: Duration) -> Answer {
    let fetched = fetch(url, Some(body), None, patience, CONTENT_MAX).await?;
    Ok((fetched.status, fetched.body))
}

/// A reply to who asks whether something has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) status: u16,
    /// What names this content.
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

/// Gets `url`, or posts JSON to it, within `patience`; content of `most` bytes at most. `known` is the
/// name of the content that is known already.
pub(super) async fn fetch(
    url: &str,
    body: Option<Bytes>,
    known: Option<&str>,
    patience: Duration,
    most: usize,
) -> Result<Fetched, String> {
    let Parts { is_secure, authority, path } = parts(url)?;
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "gnomon")
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(known) = known {
        request = request.header(header::IF_NONE_MATCH, known);
    }
    let request = request.body(Full::new(body.unwrap_or_default()));
    let request = request.map_err(|error| error.to_string())?;
    let (host, port) = host_and_port(authority, is_secure);
    let call =
        async move { send(dial::connect_to(host, port, is_secure).await?, request, most).await };
    within(patience, call).await
}

/// Sends a request to an endpoint, within `patience`.
pub(super) async fn ask(
    address: &Address,
    opening: &Opening,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Answer {
    let call = async { send(dial::connect(address, opening).await?, request, CONTENT_MAX).await };
    let fetched = within(patience, call).await?;
    Ok((fetched.status, fetched.body))
}

async fn within(
    patience: Duration,
    call: impl Future<Output = Result<Fetched, String>>,
) -> Result<Fetched, String> {
    let late = |_| Err(format!("no answer within {patience:?}"));
    tokio::time::timeout(patience, call).await.unwrap_or_else(late)
}

async fn send(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Fetched, String> {
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // Ends with the exchange: nobody sends a second request.
    let driver = tokio::spawn(connection);
    let answer = async {
        let reply = sender.send_request(request).await;
        let reply = reply.map_err(|error| format!("reply: {error}"))?;
        let status = reply.status().as_u16();
        let etag = reply.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.map(str::to_owned);
        let body = Limited::new(reply.into_body(), most).collect().await;
        let body = body.map_err(|error| format!("content: {error}"))?.to_bytes();
        Ok(Fetched { status, etag, body })
    };
    let answer = answer.await;
    driver.abort();
    answer
}

/// The parts of `http[s]://HOST[:PORT][/PATH]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) is_secure: bool,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
}

pub(super) fn parts(url: &str) -> Result<Parts<'_>, String> {
    let secure = url.strip_prefix("https://");
    let rest = secure.or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| format!("`{url}` begins with neither http:// nor https://"))?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if authority.is_empty() {
        return Err(format!("`{url}` names no host"));
    }
    Ok(Parts { is_secure: secure.is_some(), authority, path })
}

/// Whom to connect to: without a port, the usual one.
pub(super) fn host_and_port(authority: &str, is_secure: bool) -> (&str, u16) {
    let usual = if is_secure { 443 } else { 80 };
    let named = authority.rsplit_once(':');
    let (host, port) = named
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .unwrap_or((authority, usual));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Bytes of a reply's content that are read.
const CONTENT_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_path() {
        let table = [
            ("http://a.example", Some((false, "a.example", "/"))),
            ("http://a.example:81/x?y", Some((false, "a.example:81", "/x?y"))),
            ("https://a.example/", Some((true, "a.example", "/"))),
            ("http:///x", None),
            ("ftp://a.example/", None),
        ];
        for (url, expected) in table {
            let expected =
                expected.map(|(is_secure, authority, path)| Parts { is_secure, authority, path });
            assert_eq!(parts(url).ok(), expected, "{url}");
        }
    }
}
