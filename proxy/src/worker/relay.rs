//! The reply on its way down: interim replies, the head rewritten in place, the body.

use std::io;

use gnomon_policy::{Plan, retry::FailureStage};
use gnomon_wire::{
    BodyLimits, BodyReader, BodyWriter, Framing, HeadLimits, Piece, Progress, Reject, Request,
    Response, ResponseHead, Side, Upgrade, write_response,
};

use super::{
    Worker,
    buffers::{Buffer, Size},
    client::{Client, Next},
    flow::Flow,
    origin::Origin,
    outgoing::{self, Manner},
    record::Entry,
    tunnel,
    view::View,
};
use crate::failure::{Failure, Kind, Stage};

/// Interim replies passed on for one request; an origin that sends more is broken.
const INTERIM_MAX: u32 = 10;

/// What the reply is measured against.
pub(super) struct Terms<'a> {
    pub(super) view: &'a View,
    pub(super) plan: &'a Plan,
    pub(super) request: Request<'a>,
    pub(super) origin: &'a Origin,
    /// Whether the origin was asked to switch protocols.
    pub(super) upgrade: bool,
    /// What the client said before the origin could agree to that.
    pub(super) early: &'a [u8],
}

/// The client has the whole reply.
pub(super) struct Whole {
    pub(super) status: u16,
    pub(super) next: Next,
    pub(super) origin_reusable: bool,
}

impl Whole {
    /// The reply was complete before the request: neither connection can be used again.
    pub(super) const fn with_request_unread(self) -> Self {
        Self { next: Next::Linger, origin_reusable: false, ..self }
    }
}

/// There is no whole reply.
pub(super) struct Broken {
    pub(super) failure: Failure,
    /// Whether the client has a part of it.
    pub(super) begun: bool,
    pub(super) stage: FailureStage,
}

impl Broken {
    /// Nothing was sent.
    pub(super) const fn unsent(failure: Failure) -> Self {
        Self { failure, begun: false, stage: FailureStage::Connect }
    }

    /// Not a byte came back.
    const fn silent(failure: Failure) -> Self {
        let stage = match failure.kind {
            Kind::Timeout => FailureStage::Timeout,
            Kind::Gone | Kind::Malformed(_) | Kind::Unexpected | Kind::Unavailable | Kind::Full => {
                FailureStage::Fresh
            }
        };
        Self { failure, begun: false, stage }
    }

    /// Something came back, but no head that could be passed on.
    const fn unanswered(failure: Failure) -> Self {
        Self { failure, begun: false, stage: FailureStage::Reply }
    }

    const fn cut(failure: Failure) -> Self {
        Self { failure, begun: true, stage: FailureStage::Reply }
    }

    /// The same, on a connection that was or was not used before.
    pub(super) const fn on(self, reused: bool) -> Self {
        match (self.stage, reused) {
            (FailureStage::Fresh, true) => Self { stage: FailureStage::Reused, ..self },
            (stage, _) => Self { stage, ..self },
        }
    }

    /// The same, but this is why.
    pub(super) const fn blame(self, failure: Failure) -> Self {
        Self { failure, stage: FailureStage::Reply, ..self }
    }
}

/// Relays the reply to the request that has been sent, or is being sent.
pub(super) async fn reply(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    head: &mut ResponseHead,
    entry: &mut Entry,
) -> Result<Whole, Broken> {
    let (mut read, mut inbox) = match flow.line.ahead.outcome().await {
        Some((read, inbox)) => (Some(read), inbox),
        None => (None, flow.worker.buffers.rent(terms.origin.reply_size.get())),
    };
    let mut interims = 0;
    let length = loop {
        head.clear();
        let length = read_head(flow, terms, head, &mut inbox, read.take(), interims > 0).await?;
        let response = Response { head, bytes: inbox.data() };
        if !response.is_interim() {
            break length;
        }
        interims += 1;
        if interims > INTERIM_MAX {
            return Err(Broken::unanswered(UNEXPECTED));
        }
        pass_interim(flow, terms, response).await?;
        inbox.consume(length);
        if flow.upload_done.get() {
            flow.line.deadline.arm(flow.within(flow.patience.response));
        }
    };
    let response = Response { head, bytes: inbox.data() };
    let status = response.status();
    let is_tunnel = terms.request.upgrade() == Upgrade::Tunnel;
    if status == 101 || (is_tunnel && matches!(status, 200..=299)) {
        // Rare, and large: boxed, so that it is no part of every exchange.
        return Box::pin(switch(flow, terms, response, length, entry)).await;
    }
    if terms.upgrade {
        // The client's early bytes were meant for another protocol.
        return final_reply(flow, terms, head, inbox, length, entry)
            .await
            .map(|whole| if terms.early.is_empty() { whole } else { whole.with_request_unread() });
    }
    final_reply(flow, terms, head, inbox, length, entry).await
}

/// Reads on until `head` is complete; its length. A first `read` may have been made already.
async fn read_head(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    head: &mut ResponseHead,
    inbox: &mut Buffer,
    mut read: Option<io::Result<usize>>,
    is_later: bool,
) -> Result<usize, Broken> {
    let limits = &terms.view.snapshot.config.limits;
    let limits = HeadLimits {
        bytes: limits.response_header_bytes as usize,
        fields: usize::from(limits.response_headers),
        ..HeadLimits::REPLY
    };
    loop {
        if !inbox.is_empty() {
            match head.read(inbox.data(), &limits) {
                Ok(Progress::Done(length)) => {
                    flow.line.deadline.disarm();
                    return Ok(length);
                }
                Ok(Progress::More) => {}
                Err(reject) => return Err(Broken::unanswered(malformed(reject))),
            }
        }
        inbox.make_room();
        if inbox.is_full() {
            return Err(Broken::unanswered(UNEXPECTED));
        }
        let broken = |kind, inbox: &Buffer| {
            let failure = Failure::origin(Stage::Head, kind);
            let silent = inbox.is_empty() && !is_later;
            if silent { Broken::silent(failure) } else { Broken::unanswered(failure) }
        };
        let read = match read.take() {
            Some(read) => read,
            None => inbox.fill(&flow.line.stream, usize::MAX).await,
        };
        match read {
            Ok(0) | Err(_) if flow.line.deadline.fired() => {
                return Err(broken(Kind::Timeout, inbox));
            }
            Ok(0) | Err(_) => return Err(broken(Kind::Gone, inbox)),
            Ok(_) => {}
        }
    }
}

const UNEXPECTED: Failure = Failure::origin(Stage::Head, Kind::Unexpected);

const fn malformed(reject: Reject) -> Failure {
    Failure::origin(Stage::Head, Kind::Malformed(reject))
}

//= rfc9110#section-15.2
//# A proxy MUST forward 1xx responses unless the proxy itself requested the generation of the 1xx
//# response.
async fn pass_interim(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    response: Response<'_>,
) -> Result<(), Broken> {
    //= rfc9110#section-15.2
    //# Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to
    //# an HTTP/1.0 client.
    if terms.request.version() == gnomon_wire::Version::Http10 {
        return Ok(());
    }
    let mut out = flow.worker.buffers.rent(Size::Small);
    let rewrite = outgoing::interim(terms);
    write_response(out.parts().0, response, &rewrite);
    let client = flow.client;
    out.send_data(&client.stream, &client.deadline, flow.within(flow.patience.body))
        .await
        .map_err(|_| Broken::cut(client_gone(client)))
}

fn client_gone(client: &Client) -> Failure {
    let kind = if client.deadline.fired() { Kind::Timeout } else { Kind::Gone };
    Failure::client(Stage::Data, kind)
}

/// The origin switches protocols: so do we, if it was asked to.
async fn switch(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    response: Response<'_>,
    length: usize,
    entry: &mut Entry,
) -> Result<Whole, Broken> {
    let is_tunnel = terms.request.upgrade() == Upgrade::Tunnel;
    let is_agreed = if is_tunnel { response.status() != 101 } else { response.upgrades() };
    if !terms.upgrade || !is_agreed {
        return Err(Broken::unanswered(UNEXPECTED));
    }
    entry.replied(response.status());
    // A tunnel lasts as long as it lasts: that it came about is all that can be said of it.
    flow.worker.testify(terms.view, terms.plan, terms.request, entry);
    flow.reply_begun.set(true);
    let client = flow.client;
    let mut out = flow.worker.buffers.rent(Size::Small);
    let manner = Manner { framing: Framing::Empty, keep_alive: false, switches: true };
    outgoing::response(flow, terms, response, manner, entry, out.parts().0);
    out.extend(response.bytes.get(length..).unwrap_or_default());
    if out.send_data(&client.stream, &client.deadline, flow.patience.body).await.is_err() {
        return Err(Broken::cut(client_gone(client)));
    }
    drop(out);
    tunnel::run(flow, terms.early).await;
    Ok(Whole { status: response.status(), next: Next::Drop, origin_reusable: false })
}

/// Whether the client's connection may carry another request, as far as the request says.
pub(super) fn may_keep_client(worker: &Worker, client: &Client, request: Request<'_>) -> bool {
    // The newest view, not the exchange's own: a drain may have begun since.
    let view = worker.view();
    let most = view.snapshot.config.limits.requests_per_connection;
    request.persistent() && !view.is_draining() && (most == 0 || client.requests < most)
}

async fn final_reply(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    head: &ResponseHead,
    mut inbox: Buffer,
    length: usize,
    entry: &mut Entry,
) -> Result<Whole, Broken> {
    let response = Response { head, bytes: inbox.data() };
    let status = response.status();
    entry.replied(status);
    let is_judged = entry.is_judged();
    entry.evidence.read(terms.view, terms.plan, is_judged, response);
    let framing = response.framing(terms.request.is_head());
    let toward = framing.toward(terms.request.version());
    let origin_persistent = response.persistent() && framing != Framing::UntilClose;
    // An early refusal of an upload usually means that nobody will read the rest.
    let keep_client = may_keep_client(flow.worker, flow.client, terms.request)
        && toward != Framing::UntilClose
        && (flow.upload_done.get() || status < 400);
    let mut body = Relayed::begin(framing, toward)?;
    flow.tap.replied(response.bytes.get(..length).unwrap_or_default());

    let manner = Manner { framing: toward, keep_alive: keep_client, switches: false };
    let mut scratch = flow.worker.scratch.take();
    scratch.clear();
    outgoing::response(flow, terms, response, manner, entry, &mut scratch);
    inbox.consume(length);
    let first = body.read(&mut inbox)?;
    let framed = inbox.frame(&scratch, body.writer, &first, body.trailers(&first, terms.request));
    flow.worker.scratch.replace(scratch);

    #[cfg(test)]
    super::sim::hooks::strike();
    flow.reply_begun.set(true);
    let (client, patience) = (flow.client, flow.within(flow.patience.body));
    let from = flow.worker.deadlines.now();
    let sent = inbox.send_framed(framed, &client.stream, &client.deadline, patience).await;
    sent.map_err(|_| Broken::cut(client_gone(client)))?;
    flow.sent.set(first.data.len() as u64);
    // Too early to be judged, but the waiting counts.
    let _ = flow.is_reader_slow(from, first.data.len());
    told(flow, terms, entry, inbox.data().get(first.data).unwrap_or_default());
    inbox.consume(first.consumed);

    if !body.reader.is_done() {
        entry.evidence.replying(flow.worker, terms.view, terms.plan);
    }
    body.pump(flow, terms, &mut inbox, entry).await?;
    flow.tap.whole();
    let next = if keep_client { Next::Again } else { Next::Linger };
    let origin_reusable = origin_persistent && inbox.is_empty() && flow.upload_done.get();
    Ok(Whole { status, next, origin_reusable })
}

/// Content has gone to the client: now for those who only listen.
fn told(flow: &Flow<'_>, terms: &Terms<'_>, entry: &mut Entry, content: &[u8]) {
    flow.tap.reply(content);
    entry.evidence.content(terms.view, terms.plan, content);
}

/// A reply's body between its two framings.
struct Relayed {
    reader: BodyReader,
    writer: BodyWriter,
    /// Bytes read so far, to see whether the next reply of this origin wants a wide buffer.
    moved: u64,
}

impl Relayed {
    fn begin(framing: Framing, toward: Framing) -> Result<Self, Broken> {
        let reader = BodyReader::new(Side::Reply, framing, &BodyLimits::DEFAULT)
            .map_err(|reject| Broken::unanswered(malformed(reject)))?;
        Ok(Self { reader, writer: BodyWriter::new(toward), moved: 0 })
    }

    fn read(&mut self, inbox: &mut Buffer) -> Result<Piece, Broken> {
        let piece = self
            .reader
            .read(inbox.data_mut())
            .map_err(|reject| Broken::unanswered(malformed(reject)))?;
        self.moved += piece.data.len() as u64;
        Ok(piece)
    }

    /// The trailers to send, if the body ends with `piece`: none unless the client asked.
    fn trailers(&self, piece: &Piece, request: Request<'_>) -> Option<&[u8]> {
        let wanted = request.accepts_trailers();
        piece.end.then(|| if wanted { self.reader.trailers() } else { &[] })
    }

    /// Moves what follows the first piece.
    async fn pump(
        &mut self,
        flow: &Flow<'_>,
        terms: &Terms<'_>,
        inbox: &mut Buffer,
        entry: &mut Entry,
    ) -> Result<(), Broken> {
        while !self.reader.is_done() {
            self.widen(flow, inbox);
            inbox.restart();
            flow.line.deadline.arm(flow.within(flow.patience.body));
            let cut = |kind| Broken::cut(Failure::origin(Stage::Data, kind));
            match inbox.fill(&flow.line.stream, usize::MAX).await {
                Ok(0) | Err(_) if flow.line.deadline.fired() => return Err(cut(Kind::Timeout)),
                Err(_) => return Err(cut(Kind::Gone)),
                Ok(0) => {
                    self.reader.finish_input().map_err(|reject| cut(Kind::Malformed(reject)))?;
                    let end = Piece { end: true, ..Piece::default() };
                    return self.send(flow, terms, inbox, &end).await;
                }
                // While the client takes its time, the origin is not to blame.
                Ok(_) => flow.line.deadline.disarm(),
            }
            #[cfg(test)]
            super::sim::hooks::strike();
            let piece = self.read(inbox).map_err(|broken| Broken::cut(broken.failure))?;
            self.send(flow, terms, inbox, &piece).await?;
            told(flow, terms, entry, inbox.data().get(piece.data).unwrap_or_default());
            inbox.consume(piece.consumed);
        }
        let size = if self.moved > Size::Small.room() as u64 { Size::Wide } else { Size::Small };
        terms.origin.reply_size.set(size);
        Ok(())
    }

    async fn send(
        &self,
        flow: &Flow<'_>,
        terms: &Terms<'_>,
        inbox: &mut Buffer,
        piece: &Piece,
    ) -> Result<(), Broken> {
        let trailers = self.trailers(piece, terms.request);
        let (client, patience) = (flow.client, flow.within(flow.patience.body));
        let framed = inbox.frame(&[], self.writer, piece, trailers);
        let from = flow.worker.deadlines.now();
        inbox
            .send_framed(framed, &client.stream, &client.deadline, patience)
            .await
            .map_err(|_| Broken::cut(client_gone(client)))?;
        flow.sent.set(flow.sent.get() + piece.data.len() as u64);
        if flow.is_reader_slow(from, piece.data.len()) && !piece.end {
            flow.worker.cells.slow_readers.add(1);
            return Err(Broken::cut(Failure::client(Stage::Data, Kind::Timeout)));
        }
        Ok(())
    }

    /// A long body gets a wide buffer, whatever its beginning came in.
    fn widen(&self, flow: &Flow<'_>, inbox: &mut Buffer) {
        let small = Size::Small.room() as u64;
        let is_long = self.reader.wanted().map_or(self.moved > small, |left| left > small);
        if is_long && inbox.size() == Size::Small {
            let mut wide = flow.worker.buffers.rent(Size::Wide);
            wide.extend(inbox.data());
            *inbox = wide;
        }
    }
}
