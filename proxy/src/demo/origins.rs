//! Two versions of a shop: one fast and sound, one slower, now and then broken, and changed.

use std::{sync::Mutex, time::Duration};

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{AppendHeaders, IntoResponse},
};
use gnomon_policy::Luck;
use serde_json::json;

use super::{CANARY, STABLE, VERSION_FIELD, chance};

/// How a version behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// What it calls itself.
    pub(super) name: &'static str,
    /// The least time a reply takes.
    pub(super) least: Duration,
    /// The most.
    pub(super) most: Duration,
    /// Share of replies with status 500.
    pub(super) errors: f64,
    /// What it takes the sum of a cart to be.
    pub(super) total: f64,
    /// What it tells caches.
    pub(super) cache: &'static str,
}

/// The two, in the order of [`STABLE`] and [`CANARY`].
pub(super) const MANNERS: [Manner; 2] = [
    Manner {
        name: "v1",
        least: Duration::from_millis(2),
        most: Duration::from_millis(5),
        errors: 0.0,
        total: 14.49,
        cache: "max-age=60",
    },
    Manner {
        name: "v2",
        least: Duration::from_millis(6),
        most: Duration::from_millis(14),
        errors: 0.03,
        total: 14.5,
        cache: "no-store",
    },
];

/// Serves both until the runtime ends.
pub(super) fn serve(listeners: [tokio::net::TcpListener; 2], seed: u64) {
    let [stable, canary] = listeners;
    for (version, listener) in [(STABLE, stable), (CANARY, canary)] {
        // Another stream of draws for each.
        let luck = Luck::seeded(seed.wrapping_add(version as u64));
        let app = shop(MANNERS[version], luck);
        tokio::spawn(axum::serve(listener, app).into_future());
    }
}

fn shop(manner: Manner, luck: Luck) -> Router {
    let luck = std::sync::Arc::new(Mutex::new(luck));
    Router::new().fallback(move || {
        let (pace, fate) = {
            let mut luck = luck.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (chance(&mut luck), chance(&mut luck))
        };
        async move {
            let work = manner.least + (manner.most - manner.least).mul_f64(pace);
            tokio::time::sleep(work).await;
            let status = if fate < manner.errors {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            let body = json!({
                "shop": "the shop",
                "items": [{ "sku": "tea", "price": 9.99 }, { "sku": "cup", "price": 4.5 }],
                "total": manner.total,
                "request": format!("{:012x}", fate.to_bits() >> 16),
            });
            let cache = HeaderValue::from_static(manner.cache);
            let version =
                (HeaderName::from_static(VERSION_FIELD), HeaderValue::from_static(manner.name));
            (status, AppendHeaders([version, (CACHE_CONTROL, cache)]), Json(body)).into_response()
        }
    })
}
