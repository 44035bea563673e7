//! A connection that has become something else: bytes both ways, until both ends are through.

use std::{os::fd::AsRawFd, rc::Rc};

use gnomon_sys::socket;
use gnomon_tls::Stream;

use super::{Worker, buffers::Size, deadline::Deadline, flow::Flow};

/// Moves bytes both ways. `early` came from the client before the origin agreed.
pub(super) async fn run(flow: &Flow<'_>, early: &[u8]) {
    let (client, line) = (flow.client, flow.line);
    let idle = Idle { client: &client.deadline, origin: &line.deadline, flow };
    if !early.is_empty() {
        let mut buffer = flow.worker.buffers.rent(Size::Small);
        buffer.extend(early);
        if buffer.send_data(&line.stream, &line.deadline, flow.patience.tunnel).await.is_err() {
            return;
        }
    }
    idle.touch();
    let up = pump(flow.worker, &client.stream, &line.stream, &line.deadline, &idle);
    let down = pump(flow.worker, &line.stream, &client.stream, &client.deadline, &idle);
    let (up, down) = monoio::join!(up, down);
    flow.received.set(flow.received.get() + up);
    flow.sent.set(flow.sent.get() + down);
}

/// The deadlines of both sockets, moved on by traffic in either direction.
struct Idle<'a> {
    client: &'a Deadline,
    origin: &'a Deadline,
    flow: &'a Flow<'a>,
}

impl Idle<'_> {
    fn touch(&self) {
        self.client.arm(self.flow.patience.tunnel);
        self.origin.arm(self.flow.patience.tunnel);
    }
}

/// Moves bytes one way until their source ends; then says so to the other side. An end by error
/// ends the other direction too. Gives back how many went.
async fn pump(
    worker: &Rc<Worker>,
    from: &Stream,
    to: &Stream,
    deadline: &Deadline,
    idle: &Idle<'_>,
) -> u64 {
    let mut moved = 0;
    loop {
        // No buffer is held while nothing comes.
        if from.readable().await.is_err() {
            break;
        }
        let mut buffer = worker.buffers.rent(Size::Small);
        match buffer.fill(from, usize::MAX).await {
            Ok(0) => {
                to.close().await;
                return moved;
            }
            Ok(count) => {
                idle.touch();
                if buffer.send_data(to, deadline, idle.flow.patience.tunnel).await.is_err() {
                    break;
                }
                moved += count as u64;
            }
            Err(_) => break,
        }
    }
    socket::shut_down(from.as_raw_fd());
    socket::shut_down(to.as_raw_fd());
    moved
}
