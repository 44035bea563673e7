//! Active checks: one task per endpoint that is checked, all on the control thread.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use gnomon_config::model::{Health, HostRule};
use gnomon_policy::health::{Outcome, Verdict};
use http_body_util::Empty;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::{sync::Semaphore, task::AbortHandle};

use super::{
    Control,
    dial::{self, Opening},
    registry::{EndpointKey, VersionKey},
};
use crate::{clock, snapshot::Address};

/// The checks that run.
#[derive(Debug)]
pub(crate) struct Checks {
    running: HashMap<EndpointKey, (Arc<Plan>, AbortHandle)>,
    places: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { running: HashMap::new(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// How one endpoint is checked.
#[derive(Debug, PartialEq)]
struct Plan {
    health: Health,
    /// What the `Host` field says.
    host: String,
    /// What comes first.
    opening: Opening,
}

impl Control {
    /// Starts and ends checks so that exactly the configured ones run. An endpoint that stays
    /// keeps what is known of it.
    pub(crate) fn follow_checks(self: &Arc<Self>) {
        let wanted = self.wanted_checks();
        let mut checks = self.checks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Checks { running, places } = &mut *checks;
        let mut ended = Vec::new();
        running.retain(|key, (plan, task)| {
            let stays = wanted.get(key) == Some(plan.as_ref());
            if !stays {
                task.abort();
                ended.push(key.clone());
            }
            stays
        });
        for key in ended.iter().filter(|key| !wanted.contains_key(key)) {
            self.state().registry.forget_health(key);
        }
        for (key, plan) in wanted {
            running.entry(key.clone()).or_insert_with(|| {
                let plan = Arc::new(plan);
                let task = check(self.clone(), key, plan.clone(), places.clone());
                (plan, tokio::spawn(task).abort_handle())
            });
        }
    }

    fn wanted_checks(&self) -> HashMap<EndpointKey, Plan> {
        let state = self.state();
        let mut wanted = HashMap::new();
        for upstream in &state.config.upstreams {
            let Some(health) = &upstream.health else { continue };
            for version in &upstream.versions {
                let version_key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                for (address, authority) in state.endpoints(version) {
                    let host = match (&health.host, &upstream.host) {
                        (Some(host), _) | (None, HostRule::Literal(host)) => host.to_string(),
                        (None, HostRule::Preserve | HostRule::Endpoint) => authority.to_string(),
                    };
                    let tls = state.tls.of_endpoint(&version_key, &address, &authority);
                    let key = EndpointKey { version: version_key.clone(), address };
                    let opening = Opening { announced: version.proxy_protocol, tls };
                    wanted.insert(key, Plan { health: health.clone(), host, opening });
                }
            }
        }
        wanted
    }

    fn note_check(&self, key: &EndpointKey, result: Result<(), String>, health: &Health) {
        let mut state = self.state();
        let why = result.as_ref().err().cloned().unwrap_or_default();
        match state.registry.note_check(key, result, health) {
            None => return,
            Some(Verdict::Healthy) => {
                tracing::info!(endpoint = %key, "healthy again");
                self.health_happened(key, None);
            }
            Some(Verdict::Unhealthy) => {
                tracing::warn!(endpoint = %key, why, "unhealthy");
                self.health_happened(key, Some(&why));
            }
        }
        // Published at the next tick: a thousand endpoints may fall at once.
        state.is_stale = true;
    }
}

async fn check(control: Arc<Control>, key: EndpointKey, plan: Arc<Plan>, places: Arc<Semaphore>) {
    let health = &plan.health;
    let mut luck = gnomon_policy::Luck::seeded(seed(&key));
    let mut pause = |span: Duration| span.mul_f64((luck.draw() % 1024) as f64 / 1024.0);
    // Spread over the first interval, so that a start does not ask everybody at once.
    tokio::time::sleep(pause(health.interval)).await;
    loop {
        let result = {
            let Ok(_place) = places.acquire().await else { return };
            let asking = ask(&key.address, &plan);
            match tokio::time::timeout(health.timeout, asking).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {:?}", health.timeout)),
            }
        };
        control.note_check(&key, result, health);
        // A tenth more or less, so that checks of many proxies do not march in step.
        let span = health.interval.mul_f64(0.9) + pause(health.interval.mul_f64(0.2));
        tokio::time::sleep(span).await;
    }
}

/// One check.
async fn ask(address: &Address, plan: &Plan) -> Result<(), String> {
    let stream = dial::connect(address, &plan.opening).await?;
    let Some(path) = &plan.health.path else { return Ok(()) };
    let request = Request::get(&**path)
        .header(header::HOST, &plan.host)
        .header(header::USER_AGENT, "gnomon-health")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    // The connection drives the request. It may end in the very step that brings the reply.
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    };
    let status = answer.map_err(|error| format!("reply: {error}"))?.status().as_u16();
    match Outcome::of_status(status, &plan.health) {
        Outcome::Passed => Ok(()),
        Outcome::Failed => Err(format!("status {status}")),
    }
}

/// Another for every endpoint and every process.
fn seed(key: &EndpointKey) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one((key, clock::wall()))
}

/// Checks at once: each holds a descriptor, which clients would miss.
const AT_ONCE: usize = 256;
