//! Names of origins to addresses, off the data cores: at start, at a reload, and every so often.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use gnomon_config::{Config, model::Endpoint};

/// A name and a port, as configured.
pub(crate) type Target = (Arc<str>, u16);

/// What each name stands for.
pub(crate) type Resolved = BTreeMap<Target, Vec<SocketAddr>>;

/// What a look-up gave, by name.
pub(crate) type Answers = BTreeMap<Target, Result<Vec<SocketAddr>, String>>;

/// Between two look-ups of a name that is known. getaddrinfo does not tell for how long an answer
/// holds; half a minute is what clouds' own records commonly say.
pub(crate) const REFRESH: Duration = Duration::from_secs(30);

/// Between two look-ups while any name has never been resolved.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// The names that a configuration uses.
pub(crate) fn targets(config: &Config) -> BTreeSet<Target> {
    let versions = config.upstreams.iter().flat_map(|upstream| &upstream.versions);
    let endpoints = versions.flat_map(|version| &version.endpoints);
    endpoints
        .filter_map(|endpoint| match endpoint {
            Endpoint::Name(name, port) => Some((name.clone(), *port)),
            Endpoint::Tcp(_) | Endpoint::Unix(_) => None,
        })
        .collect()
}

/// Looks names up, a few at a time.
pub(crate) async fn look_up(targets: impl IntoIterator<Item = Target>) -> Answers {
    let mut waiting = targets.into_iter();
    let mut running = tokio::task::JoinSet::new();
    let mut answers = Answers::new();
    loop {
        while running.len() < AT_ONCE {
            let Some(target) = waiting.next() else { break };
            running.spawn(async move {
                let answer = one(&target).await;
                (target, answer)
            });
        }
        match running.join_next().await {
            None => return answers,
            Some(Ok((target, answer))) => {
                answers.insert(target, answer);
            }
            // Only a panic or a shutdown ends up here; the name is simply asked for again later.
            Some(Err(error)) => tracing::warn!(%error, "a look-up came to nothing"),
        }
    }
}

/// All addresses of one name, sorted, bounded.
async fn one((name, port): &Target) -> Result<Vec<SocketAddr>, String> {
    let looking = tokio::net::lookup_host((&**name, *port));
    let found = match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {PATIENCE:?}")),
    };
    let addresses: BTreeSet<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err("it has no address".to_owned());
    }
    Ok(addresses.into_iter().take(ADDRESSES_MAX).collect())
}

/// Look-ups at once: each is a thread of the blocking pool.
const AT_ONCE: usize = 8;
/// How long one look-up may take: the resolver's own two attempts of five seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses kept of one name; with more, each would see too little traffic to be judged.
const ADDRESSES_MAX: usize = 64;
