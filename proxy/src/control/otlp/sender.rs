//! Batches sent to the collector: one connection, one batch after the other, and again where the
//! collector says that it may take them later.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use gnomon_config::model::{Otlp, Secret};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::task::JoinHandle;

use super::{
    super::{Control, client, dial},
    proto::{
        AnyValue, ExportRequest, ExportResponse, KeyValue, Resource, ResourceSpans, Scope,
        ScopeSpans, Span, Value,
    },
};

/// A connection to the collector, kept from batch to batch.
#[derive(Default)]
struct Line(Option<(String, SendRequest<Full<Bytes>>, JoinHandle<()>)>);

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}

/// What became of a batch.
enum Outcome {
    /// The collector has it, but for so many spans.
    Sent { rejected: u64, why: String },
    /// It may be sent again, after as long as the collector says.
    Later { why: String, after: Option<Duration> },
    /// It is of no use to send it again.
    Never { why: String },
}

impl Control {
    /// Sends batches as they come.
    pub(in crate::control) async fn send_spans_for_ever(self: Arc<Self>) {
        let mut line = Line::default();
        let mut health = Health::default();
        loop {
            let Some(batch) = self.logs.spans.pop() else {
                self.logs.spans.bell.notified().await;
                continue;
            };
            let waiting = Waiting { control: &self, count: batch.len() };
            let otlp = self.state().config.trace.otlp.clone();
            let Some(otlp) = otlp else {
                self.logs.span_tally.dropped.fetch_add(batch.len() as u64, Relaxed);
                continue;
            };
            self.deliver(&otlp, batch, &mut line, &mut health).await;
            drop(waiting);
        }
    }

    /// Has what is gathered sent, for as long as that does not keep a stop waiting.
    pub(in crate::control) async fn flush_spans(&self) {
        if self.state().config.trace.otlp.is_none() {
            return;
        }
        self.logs.spans.hurry.store(true, Relaxed);
        // The log thread looks every few milliseconds.
        tokio::time::sleep(LOOK * 3).await;
        let _ = tokio::time::timeout(LAST_PATIENCE, async {
            while self.logs.spans.waiting() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    async fn deliver(&self, otlp: &Otlp, batch: Vec<Span>, line: &mut Line, health: &mut Health) {
        let tally = &self.logs.span_tally;
        let count = batch.len() as u64;
        let resource = resource(otlp, &self.logs.instance);
        let gzip = otlp.gzip;
        // A few milliseconds of work, which others are not to wait for.
        let encoded = tokio::task::spawn_blocking(move || encode(resource, batch, gzip)).await;
        let Ok(content) = encoded else {
            tally.failed.fetch_add(count, Relaxed);
            return;
        };
        let mut pause = PAUSE;
        for turn in 1..=TURNS {
            let sent = line.post(otlp, content.clone());
            let sent = tokio::time::timeout(otlp.timeout, sent).await.unwrap_or_else(|_| {
                let why = format!("no answer within {:?}", otlp.timeout);
                Outcome::Later { why, after: None }
            });
            match sent {
                Outcome::Sent { rejected, why } => {
                    let rejected = rejected.min(count);
                    tally.sent.fetch_add(count - rejected, Relaxed);
                    tally.rejected.fetch_add(rejected, Relaxed);
                    return if rejected == 0 { health.is_well() } else { health.is_ill(&why) };
                }
                Outcome::Never { why } => {
                    line.close();
                    health.is_ill(&why);
                    break;
                }
                Outcome::Later { why, after } => {
                    line.close();
                    health.is_ill(&why);
                    if turn < TURNS {
                        tokio::time::sleep(after.unwrap_or(pause).min(PAUSE_MAX)).await;
                        pause *= 2;
                    }
                }
            }
        }
        tally.failed.fetch_add(count, Relaxed);
    }
}

/// A batch that is being sent; it waits no longer when this is dropped.
struct Waiting<'a> {
    control: &'a Control,
    count: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.control.logs.spans.done(self.count);
    }
}

/// Whether the collector took what it was sent last: only a change is worth a line.
#[derive(Default)]
struct Health {
    is_ill: bool,
}

impl Health {
    fn is_well(&mut self) {
        if std::mem::take(&mut self.is_ill) {
            tracing::info!("the collector takes spans again");
        }
    }

    fn is_ill(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_ill, true) {
            tracing::warn!(why, "the collector does not take spans; they are kept for a while");
        }
    }
}

impl Line {
    fn close(&mut self) {
        if let Some((_, _, driver)) = self.0.take() {
            driver.abort();
        }
    }

    async fn post(&mut self, otlp: &Otlp, content: Bytes) -> Outcome {
        match self.try_post(otlp, content).await {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Later { why, after: None },
        }
    }

    async fn try_post(&mut self, otlp: &Otlp, content: Bytes) -> Result<Outcome, String> {
        let client::Parts { is_secure, authority, path } = client::parts(&otlp.endpoint)?;
        let mut request = Request::post(path)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("gnomon/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        if otlp.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, Secret(value)) in &otlp.headers {
            request = request.header(&**name, value.as_slice());
        }
        let request = request.body(Full::new(content)).map_err(|error| error.to_string())?;
        let sender = self.open(&otlp.endpoint, authority, is_secure).await?;
        let reply = sender.send_request(request).await;
        outcome(reply.map_err(|error| format!("reply: {error}"))?).await
    }

    /// The connection, made anew if there is none that lives.
    async fn open(
        &mut self,
        endpoint: &str,
        authority: &str,
        is_secure: bool,
    ) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let lives = match &mut self.0 {
            Some((known, sender, _)) => known == endpoint && sender.ready().await.is_ok(),
            None => false,
        };
        if !lives {
            self.close();
            let (host, port) = client::host_and_port(authority, is_secure);
            let stream = dial::connect_to(host, port, is_secure).await?;
            let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(|error| error.to_string())?;
            let driver = tokio::spawn(async move {
                // Whoever sends next sees that it has ended.
                let _ = connection.await;
            });
            self.0 = Some((endpoint.to_owned(), sender, driver));
        }
        let line = self.0.as_mut().map(|(_, sender, _)| sender);
        line.ok_or_else(|| "there is no connection".to_owned())
    }
}

async fn outcome(reply: Response<Incoming>) -> Result<Outcome, String> {
    let status = reply.status().as_u16();
    let after = reply.headers().get(header::RETRY_AFTER).and_then(|text| text.to_str().ok());
    // A date is of no use here: whoever overloads a collector is asked to wait for seconds.
    let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let body = Limited::new(reply.into_body(), REPLY_MAX).collect().await;
    let body = body.map_err(|error| format!("content: {error}"))?.to_bytes();
    Ok(match status {
        200..=299 => {
            let partial = ExportResponse::decode(body).ok().and_then(|all| all.partial_success);
            let partial = partial.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
            Outcome::Sent { rejected, why: partial.error_message }
        }
        429 | 502 | 503 | 504 => Outcome::Later { why: format!("status {status}"), after },
        _ => Outcome::Never { why: format!("status {status}") },
    })
}

/// Who sends: the same for all spans.
fn resource(otlp: &Otlp, instance: &str) -> Resource {
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::Text(value.to_owned())) }),
    };
    Resource {
        attributes: vec![
            attribute("service.name", &otlp.service),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", instance),
        ],
    }
}

fn encode(resource: Resource, spans: Vec<Span>, gzip: bool) -> Bytes {
    let scope = Scope { name: "gnomon".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let resource = Some(resource);
    let all = ResourceSpans { resource, scope_spans, schema_url: SCHEMA_URL.to_owned() };
    let content = ExportRequest { resource_spans: vec![all] }.encode_to_vec();
    if !gzip {
        return content.into();
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Into memory, which never fails.
    let _ = packed.write_all(&content);
    packed.finish().unwrap_or_default().into()
}

/// Which version of the conventions the names are of.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.26.0";
/// How often a batch is sent before it is given up.
const TURNS: u32 = 5;
/// Before it is sent for the second time; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that a collector may have us wait: what is kept meanwhile takes memory.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for the last batches.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of a reply that are read.
const REPLY_MAX: usize = 64 << 10;
