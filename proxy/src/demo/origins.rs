//! Two versions of a shop: the one that is there, and one that may be as good, worse or changed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, Method, StatusCode, header::CACHE_CONTROL},
    response::{AppendHeaders, IntoResponse, Response},
};
use gnomon_policy::Luck;
use serde_json::json;

use super::{CANARY, ORDER_FIELD, STABLE, VERSION_FIELD, chance};

/// What the two call themselves.
pub(super) const VERSIONS: [&str; 2] = ["v1", "v2"];

/// How a version behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// With a page.
    pub(super) page: Work,
    /// With a checkout.
    pub(super) checkout: Work,
    /// What it takes the sum of a cart to be.
    total: f64,
    /// What it tells caches.
    cache: &'static str,
}

/// How a version does one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// The least time a reply takes.
    pub(super) least: Duration,
    /// The most.
    pub(super) most: Duration,
    /// Share of replies with status 500.
    pub(super) errors: f64,
}

impl Work {
    const fn new(least: u64, most: u64, errors: f64) -> Self {
        Self { least: Duration::from_millis(least), most: Duration::from_millis(most), errors }
    }
}

impl Manner {
    const fn new(page: Work, checkout: Work) -> Self {
        Self { page, checkout, total: 14.49, cache: "max-age=60" }
    }

    /// Share of its replies with status 500, where this share of the requests are checkouts.
    pub(super) fn errors(&self, checkouts: f64) -> f64 {
        self.page.errors * (1.0 - checkouts) + self.checkout.errors * checkouts
    }
}

/// What is there: now and then it fails.
const USUAL: Manner = Manner::new(Work::new(2, 5, 0.003), Work::new(4, 8, 0.003));

/// The second as good as the first.
pub(super) const ALIKE: [Manner; 2] = [USUAL, USUAL];

/// The second slow at the checkout, and failing there.
pub(super) const WORSE: [Manner; 2] = [USUAL, Manner::new(USUAL.page, Work::new(5, 9, 0.15))];

/// The second slower and failing, with another sum and another field.
pub(super) const CHANGED: [Manner; 2] = [
    Manner::new(Work::new(2, 5, 0.0), Work::new(2, 5, 0.0)),
    Manner {
        page: Work::new(6, 14, 0.03),
        checkout: Work::new(6, 14, 0.03),
        total: 14.5,
        cache: "no-store",
    },
];

/// Serves both until the runtime ends. Once `broken`, the second has nothing but errors.
pub(super) fn serve(
    listeners: [tokio::net::TcpListener; 2],
    manners: [Manner; 2],
    broken: &Arc<AtomicBool>,
    seed: u64,
) {
    let [stable, canary] = listeners;
    for (version, listener) in [(STABLE, stable), (CANARY, canary)] {
        let shop = Arc::new(Shop {
            version,
            manner: manners[version],
            broken: if version == CANARY { broken.clone() } else { Arc::default() },
            // Another stream of draws for each.
            luck: Mutex::new(Luck::seeded(seed.wrapping_add(version as u64))),
        });
        let app = Router::new().fallback(move |method: Method| {
            let shop = shop.clone();
            async move { shop.reply(&method).await }
        });
        tokio::spawn(axum::serve(listener, app).into_future());
    }
}

/// One version.
struct Shop {
    version: usize,
    manner: Manner,
    broken: Arc<AtomicBool>,
    luck: Mutex<Luck>,
}

impl Shop {
    async fn reply(&self, method: &Method) -> Response {
        let [pace, fate, wish] = {
            let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
            [chance(&mut luck), chance(&mut luck), chance(&mut luck)]
        };
        let is_checkout = *method == Method::POST;
        let work = if is_checkout { self.manner.checkout } else { self.manner.page };
        let version = (
            HeaderName::from_static(VERSION_FIELD),
            HeaderValue::from_static(VERSIONS[self.version]),
        );
        if self.broken.load(Relaxed) {
            let said = "the database is gone\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, AppendHeaders([version]), said)
                .into_response();
        }
        tokio::time::sleep(work.least + (work.most - work.least).mul_f64(pace)).await;
        let failed = fate < work.errors;
        let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        let body = json!({
            "shop": "the shop",
            "items": [{ "sku": "tea", "price": 9.99 }, { "sku": "cup", "price": 4.5 }],
            "total": self.manner.total,
            "request": format!("{:012x}", fate.to_bits() >> 16),
        });
        let cache = (CACHE_CONTROL, HeaderValue::from_static(self.manner.cache));
        let mut reply = (status, AppendHeaders([version, cache]), Json(body)).into_response();
        if is_checkout && !failed {
            let ordered = HeaderValue::from_static(if wish < BUYERS { "1" } else { "0" });
            reply.headers_mut().insert(HeaderName::from_static(ORDER_FIELD), ordered);
        }
        reply
    }
}

/// Share of checkouts that end with an order.
const BUYERS: f64 = 0.6;
