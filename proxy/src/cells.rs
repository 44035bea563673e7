//! Counters: written by one core, read by anyone, never locked.
//!
//! Each block of cells belongs to one core, which is its only writer: an addition is a plain load
//! and store. Control sums the blocks of all cores when somebody asks. Blocks are kept by name
//! over reloads, so no count is ever lost.

mod exemplar;
pub mod flags;
pub mod routes;
pub(crate) mod totals;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gnomon_policy::golden;

pub use exemplar::{Exemplar, Exemplars, ID_BYTES};

/// A counter or gauge with one writer.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds; only the cell's own core may.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Adds where more than one thread may; nobody may use [`add`](Self::add) on such a cell.
    pub fn count(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// Takes away; only the cell's own core may.
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    /// Sets; only the cell's own core may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value, as of a moment ago.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one core counts about itself.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreCells {
    /// Turns of the housekeeping task; stands still when the core is stuck.
    pub heartbeat: Cell,
    /// Generation of the snapshot in use: the core's acknowledgement.
    pub generation: Cell,
    /// 1 once the core has drained and serves nobody.
    pub stopped: Cell,
    /// 1 once the core accepts connections.
    pub ready: Cell,
    /// Client connections open now.
    pub connections: Cell,
    /// Client connections accepted.
    pub accepted: Cell,
    /// Times that accepting failed for want of descriptors or memory.
    pub accept_failures: Cell,
    /// Times that accepting paused because `limits.connections` was reached.
    pub accept_pauses: Cell,
    /// Connections refused because their PROXY protocol header did not come as it must: see
    /// [`PREFACE_FLAWS`].
    pub prefaces: [Cell; 4],
    /// Connections closed at once because their client had `limits.per_client` of them.
    pub client_refusals: Cell,
    /// Connections closed at once because the process was pressed.
    pub strain_connections: Cell,
    /// Requests answered with 503 because the process was pressed.
    pub strain_requests: Cell,
    /// Requests answered with 429 because their client had asked too often.
    pub rate_refusals: Cell,
    /// Clients forgotten before their bucket was full, for want of a place for another.
    pub rates_forgotten: Cell,
    /// Uploads ended because they were slower than `limits.body_rate`.
    pub slow_uploads: Cell,
    /// Replies cut because their client read more slowly than `limits.body_rate`.
    pub slow_readers: Cell,
    /// Requests whose head was read.
    pub requests: Cell,
    /// Requests refused as malformed or too large.
    pub rejects: Cell,
    /// Requests that no route matched.
    pub unrouted: Cell,
    /// Connections ended by a panic.
    pub panics: Cell,
    /// Retries on another connection.
    pub retries: Cell,
    /// Origin connections opened.
    pub dials: Cell,
    /// Origin connections open now, in use or idle.
    pub origin_connections: Cell,
    /// Requests that waited for an origin connection.
    pub queued: Cell,
    /// Access-log lines dropped because the ring was full.
    pub log_drops: Cell,
    /// Exchanges that those who look at them did not get, because the ring was full.
    pub view_drops: Cell,
    /// Spans that were dropped, likewise.
    pub span_drops: Cell,
    /// Buffers in use now, those that silent connections keep among them.
    pub buffers: Cell,
    /// Nanoseconds that its thread has worked.
    pub busy_nanos: Cell,
    /// Nanoseconds in which it did not, because there was nothing to do or another had the CPU.
    pub wait_nanos: Cell,
    /// Nanoseconds that its thread has worked in one turn of its loop, the shorter of the last two.
    pub turn_nanos: Cell,
    /// Turns of the housekeeping task that came more than 10 ms late.
    pub stalls: Cell,
    /// TLS handshakes with clients that came to a session: in full, resumed.
    pub handshakes: [Cell; 2],
    /// TLS handshakes with clients under way now.
    pub handshakes_under_way: Cell,
    /// Connections closed because too many handshakes were under way.
    pub handshakes_refused: Cell,
    /// TLS handshakes with clients that came to nothing, by [`HANDSHAKE_FAILURES`].
    pub handshake_failures: [Cell; HANDSHAKE_FAILURES.len()],
    /// TLS handshakes with origins that came to nothing.
    pub origin_handshakes_failed: Cell,
    /// Checks of the signature of a token, by what they came to: see [`JWT_CHECKS`].
    pub jwt_checks: [Cell; JWT_CHECKS.len()],
}

/// What a check of a token may come to, in the order of [`CoreCells::jwt_checks`]: it is believed; it is
/// not; it is past its time; or it was not checked, because there had been too many.
pub const JWT_CHECKS: [&str; 4] = ["ok", "bad", "expired", "refused"];

/// Why a handshake came to nothing: it took too long, or one of [`gnomon_tls::Class::ALL`].
pub const HANDSHAKE_FAILURES: [&str; 1 + gnomon_tls::Class::ALL.len()] = {
    let mut names = ["timeout"; 1 + gnomon_tls::Class::ALL.len()];
    let mut place = 0;
    while place < gnomon_tls::Class::ALL.len() {
        names[place + 1] = gnomon_tls::Class::ALL[place].name();
        place += 1;
    }
    names
};

/// Why a connection was refused before its first request, in the order of [`CoreCells::prefaces`]:
/// by somebody who may not connect, with bytes that are no header, too slow, or gone before it
/// had come.
pub const PREFACE_FLAWS: [&str; 4] = ["untrusted", "malformed", "timeout", "gone"];

/// What one core counts about one version of one upstream.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct VersionCells {
    /// Requests assigned by coin or sticky hash: the evidence.
    pub assigned: Cell,
    /// Requests forced here by a route (`upstream@version`).
    pub pinned: Cell,
    /// Requests that came from another version which had no endpoint.
    pub fallback: Cell,
    /// Requests meant for this version that had to go elsewhere.
    pub displaced: Cell,
    /// Exchanges under way now.
    pub in_flight: Cell,
    /// Replies by class: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub classes: [Cell; 5],
    /// Exchanges that ended without any status: the client left before there was one.
    pub unanswered: Cell,
    /// Repeats because a connection could not be made, or because it ended before the reply did.
    pub retries: [Cell; 2],
    /// Exchanges without a whole reply from the origin: no connection.
    pub connect_failures: Cell,
    /// … the connection ended before the reply did.
    pub resets: Cell,
    /// … its content ended early.
    pub truncated: Cell,
    /// … a deadline passed.
    pub timeouts: Cell,
    /// … the reply was malformed.
    pub protocol_failures: Cell,
    /// Exchanges that the client gave up.
    pub client_gone: Cell,
    /// Body bytes from clients to origins.
    pub request_bytes: Cell,
    /// Body bytes from origins to clients.
    pub response_bytes: Cell,
    /// Total time of exchanges that ended with a status below 500.
    pub latency: Latency,
    /// Total time of the others; kept apart because fast failures flatter.
    pub failure_latency: Latency,
}

/// A histogram of durations; the layout is [`golden`]'s.
#[derive(Debug)]
pub struct Latency {
    cells: Box<[Cell]>,
    /// Exchanges that took so long.
    pub exemplars: Box<Exemplars>,
}

impl Default for Latency {
    fn default() -> Self {
        let cells = (0..golden::CELLS).map(|_| Cell::default()).collect();
        Self { cells, exemplars: Box::default() }
    }
}

impl Latency {
    /// Counts one duration.
    pub fn record(&self, nanos: u64) {
        if let Some(cell) = self.cells.get(golden::bucket(nanos)) {
            cell.add(1);
        }
    }

    /// Its cells, in order.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Adds these counts to `sums`, which has [`golden::CELLS`] places.
    pub fn add_to(&self, sums: &mut [u64]) {
        for (sum, cell) in sums.iter_mut().zip(&self.cells) {
            *sum += cell.read();
        }
    }
}

/// What one core counts about one endpoint.
#[derive(Debug, Default)]
pub struct EndpointCells {
    /// Exchanges begun.
    pub requests: Cell,
    /// Exchanges under way now.
    pub in_flight: Cell,
    /// Failures in a row that count for ejection; a success sets it back to 0.
    pub failures_in_a_row: Cell,
    /// Idle connections in this core's pool.
    pub idle: Cell,
    /// Connections of this core, idle, in use or being made.
    pub open: Cell,
    /// Requests that wait for a connection now, [`WAITING_MAX`] at most.
    pub waiting: Cell,
}

/// Requests that may wait for a connection to one endpoint on one core; more are refused at once.
/// At 1 ms an exchange this is a second's work, which is how long a request may wait by default.
pub const WAITING_MAX: usize = 1024;
