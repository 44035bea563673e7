//! A client's TLS handshake, before it may say anything.

use std::rc::Rc;

use gnomon_tls::{Class, Refusal};

use super::{Worker, client::Client};
use crate::tls::{ServerTls, identity::ClientIdentity};

/// Shakes hands with a client; whether there is a session. A connection that must not, since too
/// many are at it already, or that fails is counted, and said in the log at `debug`.
pub(super) async fn complete(worker: &Rc<Worker>, client: &mut Client, tls: ServerTls) -> bool {
    let patience = worker.view().handshake;
    client.deadline.arm(patience.time);
    // Without a byte from it there is nothing to hold.
    if client.stream.readable().await.is_err() || client.deadline.fired() {
        failed(worker, client, &Refusal { class: Class::Gone, why: "it never began".to_owned() });
        return false;
    }
    let Some(_place) = Place::taken(worker, patience.most) else {
        worker.cells.handshakes_refused.add(1);
        tracing::debug!(client = ?client.peer.ip, "too many handshakes are under way");
        return false;
    };
    // Large, and soon over: boxed, so that it is no part of the connection's life.
    match Box::pin(client.stream.accept(tls)).await {
        Ok(certificate) => {
            client.deadline.disarm();
            let certificate = certificate.map(|certificate| ClientIdentity::of(&certificate));
            client.identity = certificate.map(Box::new);
            let tls = client.stream.details().map(|details| (details.version, details.is_resumed));
            client.peer.tls = tls;
            let is_resumed = tls.is_some_and(|(_, is_resumed)| is_resumed);
            worker.cells.handshakes[usize::from(is_resumed)].add(1);
            !client.deadline.fired()
        }
        Err(refusal) => {
            failed(worker, client, &refusal);
            false
        }
    }
}

fn failed(worker: &Worker, client: &Client, refusal: &Refusal) {
    let place = if client.deadline.fired() { 0 } else { 1 + refusal.class as usize };
    if let Some(cell) = worker.cells.handshake_failures.get(place) {
        cell.add(1);
    }
    let class = if place == 0 { "timeout" } else { refusal.class.name() };
    tracing::debug!(client = ?client.peer.ip, class, %refusal, "a handshake failed");
}

/// A place among the handshakes under way.
struct Place(Rc<Worker>);

impl Place {
    fn taken(worker: &Rc<Worker>, most: u64) -> Option<Self> {
        let is_free = worker.cells.handshakes_under_way.read() < most;
        is_free.then(|| {
            worker.cells.handshakes_under_way.add(1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.cells.handshakes_under_way.sub(1);
    }
}
