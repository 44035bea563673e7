//! The request's body on its way up, beyond what came with the head.

use gnomon_wire::{BodyReader, BodyWriter};

use super::{
    buffers::{Buffer, Size},
    flow::Flow,
};
use crate::failure::{Failure, Kind, Stage};

/// How an upload ended.
pub(super) enum End {
    /// Whole. What the client sent behind it, if anything, is in the buffer.
    Done(Option<Buffer>),
    /// The reply came to its end first.
    Stopped,
    /// The client is to blame; the origin's connection has been shut.
    Client(Failure),
    /// The origin takes no more; it may have answered all the same.
    Origin,
}

/// Moves the rest of the body. `leftover` has come already but is not complete enough to be read.
pub(super) async fn run(
    flow: &Flow<'_>,
    reader: &mut BodyReader,
    writer: BodyWriter,
    leftover: &[u8],
) -> End {
    let end = pump(flow, reader, writer, leftover).await;
    match &end {
        End::Done(_) => {
            flow.upload_done.set(true);
            flow.tap.leave(flow.endpoint);
            if !flow.reply_begun.get() {
                flow.line.deadline.arm(flow.within(flow.patience.response));
            }
        }
        End::Client(_) => {
            if flow.reply_begun.get() {
                flow.abandon_client();
            }
            flow.abandon_origin();
        }
        // It may have replied all the same, and has as long for it as ever.
        End::Origin if !flow.reply_begun.get() => {
            flow.line.deadline.arm(flow.within(flow.patience.response));
        }
        End::Stopped | End::Origin => {}
    }
    end
}

async fn pump(
    flow: &Flow<'_>,
    reader: &mut BodyReader,
    writer: BodyWriter,
    leftover: &[u8],
) -> End {
    let size = match reader.wanted() {
        Some(left) if left <= Size::Small.room() as u64 => Size::Small,
        _ => Size::Wide,
    };
    let mut buffer = flow.worker.buffers.rent(size);
    buffer.extend(leftover);
    loop {
        if flow.upload_stopped.get() {
            return End::Stopped;
        }
        let most =
            reader.wanted().map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        flow.client.deadline.arm_reading(flow.within(flow.patience.body));
        let from = flow.worker.deadlines.now();
        let read = buffer.fill_until(&flow.client.stream, most, flow.cancel_handle()).await;
        if flow.upload_stopped.get() {
            return End::Stopped;
        }
        let count = match read {
            Ok(0) | Err(_) if flow.client.deadline.fired() => {
                return End::Client(Failure::client(Stage::Body, Kind::Timeout));
            }
            Ok(0) | Err(_) => return End::Client(Failure::client(Stage::Body, Kind::Gone)),
            Ok(count) => count,
        };
        flow.client.deadline.disarm();
        #[cfg(test)]
        super::sim::hooks::strike();
        let piece = match reader.read(buffer.data_mut()) {
            Ok(piece) => piece,
            Err(reject) => {
                return End::Client(Failure::client(Stage::Body, Kind::Malformed(reject)));
            }
        };
        flow.received.set(flow.received.get() + piece.data.len() as u64);
        if flow.is_upload_slow(from, count) && !piece.end {
            flow.worker.cells.slow_uploads.add(1);
            return End::Client(Failure::client(Stage::Body, Kind::Timeout));
        }
        let trailers = piece.end.then(|| reader.trailers());
        let framed = buffer.frame(&[], writer, &piece, trailers);
        let patience = flow.within(flow.patience.body);
        if buffer
            .send_framed(framed, &flow.line.stream, &flow.line.deadline, patience)
            .await
            .is_err()
        {
            return if flow.upload_stopped.get() { End::Stopped } else { End::Origin };
        }
        flow.tap.content(&buffer.data()[piece.data.clone()]);
        buffer.consume(piece.consumed);
        if piece.end {
            return End::Done((!buffer.is_empty()).then_some(buffer));
        }
        buffer.restart();
    }
}
