//! Tests of a canary: scripted requests to one of its healthy endpoints, past routes and edits.

use std::sync::Arc;

use bytes::Bytes;
use gnomon_config::model::{HostRule, Name, Probe, Rollout};
use http_body_util::Full;
use hyper::{Request, header};

use super::Entry;
use crate::{
    control::{
        Control, client,
        dial::Opening,
        registry::{EndpointKey, VersionKey},
        state::State,
    },
    snapshot::Address,
};

impl Control {
    /// Runs a plan's tests, one after the other, and tells the controller what came of them.
    pub(super) fn run_tests(self: &Arc<Self>, entry: &Entry) {
        let (plan, epoch) = (entry.plan.clone(), entry.controller.state().epoch);
        let name: Name = plan.name.clone();
        let target = target(&self.state(), &plan);
        let control = self.clone();
        tokio::spawn(async move {
            let result = match target {
                Some(target) => run(&plan.tests, &target).await,
                None => Err("the canary has no healthy endpoint to test".to_owned()),
            };
            let now = crate::clock::steady().as_secs();
            if let Some(entry) = control.rollouts().entries.get_mut(&name) {
                entry.controller.tested(epoch, now, result);
            }
        });
    }
}

/// Where tests go.
struct Target {
    address: Address,
    /// What comes before a test.
    opening: Opening,
    /// What the `Host` field says unless a test says otherwise.
    host: Arc<str>,
}

/// The canary's first healthy endpoint.
fn target(state: &State, plan: &Rollout) -> Option<Target> {
    let upstream = state.config.upstreams.get(usize::from(plan.upstream.0))?;
    let version = upstream.versions.get(usize::from(plan.to.0))?;
    let key = VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
    let mut endpoints = state.endpoints(version).into_iter();
    let (address, authority) = endpoints.find(|(address, _)| {
        let key = EndpointKey { version: key.clone(), address: address.clone() };
        state.registry.is_available(&key)
    })?;
    let tls = state.tls.of_endpoint(&key, &address, &authority);
    let host = match &upstream.host {
        HostRule::Literal(host) => host.as_ref().into(),
        HostRule::Preserve | HostRule::Endpoint => authority,
    };
    let opening = Opening { announced: version.proxy_protocol, tls };
    Some(Target { address, opening, host })
}

async fn run(tests: &[Probe], target: &Target) -> Result<(), String> {
    for test in tests {
        pass(test, target).await.map_err(|why| format!("test `{}`: {why}", test.name))?;
    }
    Ok(())
}

async fn pass(test: &Probe, target: &Target) -> Result<(), String> {
    let request = request(test, target)?;
    let (status, body) =
        client::ask(&target.address, &target.opening, request, test.timeout).await?;
    if !test.status.iter().any(|&(least, most)| (least..=most).contains(&status)) {
        return Err(format!("status {status}"));
    }
    let Some(wanted) = &test.contains else { return Ok(()) };
    let holds = body.windows(wanted.len().max(1)).any(|part| part == wanted.as_bytes());
    if holds || wanted.is_empty() {
        Ok(())
    } else {
        Err(format!("the reply does not contain `{wanted}`"))
    }
}

fn request(test: &Probe, target: &Target) -> Result<Request<Full<Bytes>>, String> {
    let host = test.host.as_ref().unwrap_or(&target.host);
    let mut request = Request::builder()
        .method(&*test.method)
        .uri(&*test.path)
        .header(header::HOST, &**host)
        .header(header::USER_AGENT, "gnomon-test")
        .header(MARK, &*test.name)
        .header(header::CONNECTION, "close");
    for (name, value) in &test.headers {
        request = request.header(&**name, &**value);
    }
    let body = test.body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

/// Says which test a request is of, so that the origin can tell.
const MARK: &str = "x-gnomon-test";
