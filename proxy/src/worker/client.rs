//! A client connection: read a head, serve the exchange, repeat or close.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use gnomon_config::model::Listener;
use gnomon_sys::duplex::Duplex;
use gnomon_tls::{Stream, Version as TlsVersion};
use gnomon_wire::{HeadLimits, Progress, Reject, RequestHead};

use super::{
    Worker, answer,
    buffers::{Buffer, Size},
    deadline::Deadline,
    exchange, handshake, preface,
    record::Entry,
    restraint::Admitted,
};
use crate::{
    failure::{Failure, Kind, Stage},
    patience::Ticks,
    tls::{ServerTls, identity::ClientIdentity},
};

/// Bytes read and thrown away before a connection with unread input is closed: closing at once
/// would reset it, and the reset may overtake our last answer.
const LINGER_BYTES: usize = 1 << 20;

/// How long that may take.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a silent client's buffer is held: two turns of the wheel.
const NAP: Ticks = Ticks::exactly(2);

/// How long a drain spares a client that has yet to speak, or was not told with its last reply to go:
/// its next request may be on the way. A second.
const FRESH: Ticks = Ticks::exactly(20);

/// What a cancelled read ends with.
const ECANCELED: i32 = 125;

/// A client connection. The deadline comes first: it lets go of the descriptor before the socket
/// is dropped.
pub(super) struct Client {
    pub(super) deadline: Deadline,
    pub(super) stream: Stream,
    /// What has been read and not yet used; none while idle.
    pub(super) inbox: Option<Buffer>,
    pub(super) peer: Peer,
    pub(super) listener: Rc<Listener>,
    /// Requests read so far.
    pub(super) requests: u32,
    /// Who it is by its certificate, if it has shown one.
    pub(super) identity: Option<Box<ClientIdentity>>,
    /// Its place among the connections of the client that a header named.
    pub(super) admitted: Option<Admitted>,
}

/// Who is at the other end.
pub(super) struct Peer {
    pub(super) ip: IpAddr,
    /// Its port, or 0.
    pub(super) port: u16,
    /// What it connected to, if that is not our end of the connection.
    pub(super) server: Option<SocketAddr>,
    /// Whether its forwarding and tracing fields are believed.
    pub(super) is_trusted: bool,
    /// What TLS it speaks, if it does, and whether it has resumed a session.
    pub(super) tls: Option<(TlsVersion, bool)>,
    text: [u8; 45],
    text_length: usize,
}

/// What happens to the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next request.
    Again,
    /// Close, but let the client read what it was sent.
    Linger,
    /// Close at once: the reply is cut short, or there is nobody to read it.
    Drop,
}

/// How waiting for a head ended.
enum Head {
    /// It fills so many bytes of the inbox.
    Read(usize),
    /// The client went away, or was idle for too long: nothing is owed.
    Gone,
    /// It can never become a request, or did not in time.
    Refused(Failure),
}

impl Client {
    pub(super) fn new(
        deadline: Deadline,
        stream: Duplex,
        peer: Peer,
        listener: Rc<Listener>,
    ) -> Self {
        Self {
            deadline,
            stream: Stream::plain(stream),
            inbox: None,
            peer,
            listener,
            requests: 0,
            identity: None,
            admitted: None,
        }
    }

    /// Whether it has said something that is not yet used.
    fn has_bytes(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty())
    }
}

impl Peer {
    pub(super) fn new(ip: IpAddr, listener: &Listener) -> Self {
        let mut text = [0; 45];
        let shown = ip.to_string();
        let text_length = shown.len().min(text.len());
        text[..text_length].copy_from_slice(&shown.as_bytes()[..text_length]);
        let is_trusted = listener.trusted.iter().any(|network| network.contains(&ip));
        Self { ip, port: 0, server: None, is_trusted, tls: None, text, text_length }
    }

    /// Its address as text.
    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.text_length]
    }
}

/// Serves a connection to its end.
///
/// It begins asleep. What talking takes is boxed apart, so that a client that sleeps costs no more
/// than itself.
pub(super) async fn serve(worker: Rc<Worker>, mut client: Box<Client>, tls: Option<ServerTls>) {
    // Boxed: few listeners want it, and it is over soon.
    let announced = client.listener.proxy_protocol.is_some();
    if announced && !Box::pin(preface::read(&worker, &mut client)).await {
        return;
    }
    if let Some(tls) = tls
        && !handshake::complete(&worker, &mut client, tls).await
    {
        return;
    }
    while wakes(&worker, &client).await {
        if Box::pin(talk(&worker, &mut client)).await == Pause::Over {
            return;
        }
    }
}

/// Why a conversation has paused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The client has been silent for a while, and has nothing of ours.
    Asleep,
    /// It is over.
    Over,
}

/// Serves a client for as long as it has something to say.
async fn talk(worker: &Rc<Worker>, client: &mut Client) -> Pause {
    let next = loop {
        match listen(worker, client).await {
            Heard::Something => {}
            Heard::Nothing => return Pause::Asleep,
            Heard::TheEnd => break Next::Drop,
        }
        let mut heads = worker.rent_heads();
        heads.request.clear();
        let next = match read_head(worker, client, &mut heads.request).await {
            Head::Read(length) => {
                client.requests = client.requests.saturating_add(1);
                exchange::serve(worker, client, &mut heads, length).await
            }
            Head::Gone => Next::Drop,
            Head::Refused(failure) => refuse(worker, client, failure).await,
        };
        worker.return_heads(heads);
        if next != Next::Again {
            break next;
        }
    };
    if next == Next::Linger {
        linger(worker, client).await;
    }
    Pause::Over
}

/// What came of listening to a client.
enum Heard {
    Something,
    Nothing,
    TheEnd,
}

/// Waits for the first bytes of a request.
///
/// Most clients that speak again do so at once, and to read costs less than to ask for readiness
/// and then to read (8 % of a small exchange). So some silent clients keep their buffer, and the
/// others hold one for a nap; a client that stays silent longer falls asleep.
async fn listen(worker: &Rc<Worker>, client: &mut Client) -> Heard {
    if client.has_bytes() {
        return Heard::Something;
    }
    let mut inbox = client.inbox.take().unwrap_or_else(|| worker.buffers.rent(Size::Small));
    inbox.clear();
    let kept = worker.buffers.keep_one();
    let read = if client.requests > 0 && worker.view().ends_idle() {
        // Its last reply did not say that it was the last one: what crosses that is still served.
        client.deadline.arm_reading(FRESH);
        inbox.fill(&client.stream, usize::MAX).await
    } else if kept.is_some() {
        client.deadline.arm_idle(worker.idle());
        inbox.fill(&client.stream, usize::MAX).await
    } else {
        let nap = client.deadline.arm_nap(NAP);
        inbox.fill_until(&client.stream, usize::MAX, nap).await
    };
    match read {
        Ok(count) if count > 0 => {
            client.inbox = Some(inbox);
            Heard::Something
        }
        // Whoever has begun a record has begun to speak: it has as long as for a head.
        Err(error) if is_over(&error) && client.stream.is_midway() => {
            client.inbox = Some(inbox);
            Heard::Something
        }
        Err(error) if is_over(&error) && !worker.view().ends_idle() => Heard::Nothing,
        Ok(_) | Err(_) => Heard::TheEnd,
    }
}

fn is_over(nap: &std::io::Error) -> bool {
    nap.raw_os_error() == Some(ECANCELED)
}

/// Waits, without a buffer, until a client wakes up. `false` if it never does.
async fn wakes(worker: &Worker, client: &Client) -> bool {
    if client.requests == 0 {
        // A connection that has never spoken gets no longer than a head may take.
        client.deadline.arm_fresh(FRESH, worker.view().default_patience.header);
    } else {
        client.deadline.arm_idle(worker.idle());
    }
    client.stream.readable().await.is_ok() && !client.deadline.fired()
}

async fn read_head(worker: &Rc<Worker>, client: &mut Client, head: &mut RequestHead) -> Head {
    let limits = &worker.view().snapshot.config.limits;
    let limits = HeadLimits {
        bytes: limits.header_bytes as usize,
        line_bytes: limits.request_line_bytes as usize,
        fields: usize::from(limits.headers),
        connect: client.listener.connect,
        ..HeadLimits::REQUEST
    };
    // From the head's first byte to its last, however slowly they come.
    client.deadline.arm_reading(worker.view().default_patience.header);
    let Some(inbox) = &mut client.inbox else { return Head::Gone };
    loop {
        match head.read(inbox.data(), &limits) {
            Ok(Progress::Done(length)) => {
                client.deadline.disarm();
                return Head::Read(length);
            }
            Ok(Progress::More) => {}
            Err(reject) => return Head::Refused(malformed(reject)),
        }
        inbox.make_room();
        match inbox.fill(&client.stream, usize::MAX).await {
            Ok(0) | Err(_) if client.deadline.fired() => {
                return if RequestHead::is_begun(inbox.data()) {
                    Head::Refused(Failure::client(Stage::Request, Kind::Timeout))
                } else {
                    Head::Gone
                };
            }
            Ok(0) if RequestHead::is_begun(inbox.data()) => {
                return Head::Refused(Failure::client(Stage::Request, Kind::Gone));
            }
            Ok(0) | Err(_) => return Head::Gone,
            Ok(_) => {}
        }
    }
}

const fn malformed(reject: Reject) -> Failure {
    Failure::client(Stage::Request, Kind::Malformed(reject))
}

/// Answers what never became a request; the connection ends with it.
async fn refuse(worker: &Rc<Worker>, client: &Client, failure: Failure) -> Next {
    worker.cells.rejects.add(1);
    let view = worker.view();
    let mut entry = Entry::open(worker);
    entry.failed(failure);
    entry.answered(failure.status());
    let answer = answer::of_failure(worker, &failure);
    let sent = answer::send(client, answer, view.default_patience.body).await;
    entry.close_refused(worker, &view, &client.peer);
    if sent { Next::Linger } else { Next::Drop }
}

/// Says that nothing more will come, and reads on until the client has seen it and closed.
async fn linger(worker: &Rc<Worker>, client: &mut Client) {
    client.inbox = None;
    client.deadline.arm(Ticks::of(LINGER));
    client.stream.close().await;
    let mut waste = worker.buffers.rent(Size::Small);
    let mut left = LINGER_BYTES;
    while left > 0 {
        waste.clear();
        match waste.fill(&client.stream, left).await {
            Ok(0) | Err(_) => return,
            Ok(count) => left -= count,
        }
    }
}
