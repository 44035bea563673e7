//! What TLS needs, kept by listener and version: made anew where what it is made from has changed,
//! all of it or nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gnomon_config::{
    Config, Problem,
    model::{Endpoint, ListenerTls, Name, Version, VersionTls},
};
use rustls::{ClientConfig, pki_types::ServerName};

use super::{
    Control,
    api::{Kind, Refused},
    registry::VersionKey,
};
use crate::{
    clock,
    snapshot::Address,
    tls::{
        OriginTls, ServerTls, check,
        material::About,
        origin,
        server::{self, Built},
        tickets::TicketKeys,
    },
};

impl Control {
    /// Draws new keys for tickets in time, and says in time when a certificate is about to expire.
    pub(crate) async fn keep_tls_for_ever(self: Arc<Self>) {
        let mut said = None;
        loop {
            let now = clock::wall().as_secs();
            let day = now / DAY_SECONDS;
            if said.replace(day) != Some(day) {
                self.tell_of_expiry(now);
            }
            self.rotate_tickets(now);
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The keys that tickets are sealed under, for the process that takes over from this one.
    pub(crate) fn export_tickets(&self) -> Vec<u8> {
        self.state().tls.tickets.export()
    }

    /// Goes on with the keys of the process before.
    pub(crate) fn import_tickets(&self, keys: &[u8]) -> Result<(), Refused> {
        let mut state = self.state();
        state.tls.inherit(keys)?;
        state.publish(&self.shared.publisher);
        Ok(())
    }

    pub(crate) fn rotate_tickets(&self, now: u64) {
        let mut state = self.state();
        match state.tls.rotate(now) {
            Ok(true) => {
                state.publish(&self.shared.publisher);
                tracing::info!("session tickets have a new key");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the key of session tickets stays"),
        }
    }

    fn tell_of_expiry(&self, now: u64) {
        let state = self.state();
        for (listener, about) in state.tls.certificates() {
            let left = about.not_after - i64::try_from(now).unwrap_or(i64::MAX);
            let (subject, names) = (&about.subject, about.names.join(", "));
            if left < 0 {
                tracing::error!(%listener, subject, names, "this certificate has expired");
            } else if left < check::EXPIRES_SOON_SECONDS {
                let days = left / 86_400;
                tracing::warn!(%listener, subject, names, days, "this certificate expires soon");
            }
        }
    }
}

/// What is kept.
#[derive(Debug)]
pub(crate) struct Tls {
    tickets: TicketKeys,
    made: Made,
}

/// What was made of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    listeners: BTreeMap<Name, Served>,
    versions: BTreeMap<VersionKey, Asked>,
}

/// A listener's.
#[derive(Clone, Debug)]
struct Served {
    /// What it was made from.
    terms: ListenerTls,
    server: ServerTls,
    certs: Vec<About>,
}

/// A version's.
#[derive(Clone, Debug)]
struct Asked {
    /// What it was made from.
    terms: VersionTls,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// With keys of its own; nothing is made yet.
    pub(crate) fn new() -> Result<Self, Refused> {
        let tickets = TicketKeys::draw(clock::wall().as_secs()).map_err(|_| no_randomness())?;
        Ok(Self { tickets, made: Made::default() })
    }

    /// What this configuration needs; what has not changed is kept, with what it may resume.
    pub(crate) fn make(&self, config: &Config) -> Result<Made, Refused> {
        let mut made = Made::default();
        for listener in &config.listeners {
            let Some(terms) = &listener.tls else { continue };
            let kept = self.made.listeners.get(&listener.name);
            let served = match kept.filter(|kept| kept.terms == *terms) {
                Some(kept) => kept.clone(),
                None => self.serve(&listener.name, terms)?,
            };
            made.listeners.insert(listener.name.clone(), served);
        }
        for upstream in &config.upstreams {
            for version in &upstream.versions {
                let Some(terms) = &version.tls else { continue };
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                let kept = self.made.versions.get(&key);
                let asked = match kept.filter(|kept| kept.terms == *terms) {
                    Some(kept) => kept.clone(),
                    None => ask(terms, version, &key)?,
                };
                made.versions.insert(key, asked);
            }
        }
        Ok(made)
    }

    /// Takes over what [`Self::make`] has made.
    pub(crate) fn take(&mut self, made: Made) {
        self.made = made;
    }

    /// Draws a new key for tickets if it is time; says whether a snapshot is to be published.
    pub(crate) fn rotate(&mut self, now: u64) -> Result<bool, Refused> {
        let mut tickets = self.tickets.clone();
        if !tickets.rotate(now).map_err(|_| no_randomness())? {
            return Ok(false);
        }
        self.reseal(tickets)?;
        Ok(!self.made.listeners.is_empty())
    }

    /// Goes on with the keys of tickets of the process before.
    pub(crate) fn inherit(&mut self, keys: &[u8]) -> Result<(), Refused> {
        let keys = TicketKeys::import(keys)
            .ok_or_else(|| Refused::new(Kind::Machine, "these are no keys of session tickets"))?;
        self.reseal(keys)
    }

    fn reseal(&mut self, tickets: TicketKeys) -> Result<(), Refused> {
        let mut listeners = self.made.listeners.clone();
        for (name, served) in &mut listeners {
            let own = tickets.of_listener(name, served.terms.clients.as_ref());
            served.server = server::with_tickets(&served.server, own.map_err(|_| no_randomness())?);
        }
        (self.made.listeners, self.tickets) = (listeners, tickets);
        Ok(())
    }

    fn serve(&self, name: &Name, terms: &ListenerTls) -> Result<Served, Refused> {
        let tickets = self.tickets.of_listener(name, terms.clients.as_ref());
        let tickets = tickets.map_err(|_| no_randomness())?;
        let built = server::build(terms, tickets);
        let Built { server, certs } =
            built.map_err(|problems| refused(&format!("listener `{name}`"), &problems))?;
        Ok(Served { terms: terms.clone(), server, certs })
    }

    /// How a listener speaks TLS, if it does.
    pub(crate) fn of_listener(&self, name: &Name) -> Option<ServerTls> {
        self.made.listeners.get(name).map(|served| served.server.clone())
    }

    /// How an endpoint of a version is spoken to over TLS, if it is. `authority` is its name and
    /// port as configured.
    pub(crate) fn of_endpoint(
        &self,
        version: &VersionKey,
        address: &Address,
        authority: &str,
    ) -> Option<OriginTls> {
        let Asked { terms, config } = self.made.versions.get(version)?;
        let name = server_name(terms, host_of(address, authority)).ok()?;
        Some(OriginTls { config: config.clone(), name })
    }

    /// The certificates of every listener, with what they say.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = (&Name, &About)> {
        let listeners = self.made.listeners.iter();
        listeners.flat_map(|(name, served)| served.certs.iter().map(move |about| (name, about)))
    }
}

fn ask(terms: &VersionTls, version: &Version, key: &VersionKey) -> Result<Asked, Refused> {
    let shown = format!("`{}@{}`", key.upstream, key.version);
    for endpoint in &version.endpoints {
        let host = match endpoint {
            Endpoint::Name(name, _) => name.to_string(),
            Endpoint::Tcp(address) => address.ip().to_string(),
            Endpoint::Unix(_) => String::new(),
        };
        if let Err(host) = server_name(terms, &host) {
            let error = format!("{shown}: no certificate can be for `{host}`");
            return Err(Refused::new(Kind::Config, error)
                .help("say with `tls.name` what name its certificate is for"));
        }
    }
    let config = origin::build(terms).map_err(|problems| refused(&shown, &problems))?;
    Ok(Asked { terms: terms.clone(), config: Arc::new(config) })
}

/// The name that the certificate of an endpoint on `host` must be for; else what is no such name.
fn server_name(terms: &VersionTls, host: &str) -> Result<ServerName<'static>, String> {
    let name = terms.name.as_deref().unwrap_or(host).to_owned();
    ServerName::try_from(name.clone()).map_err(|_| name)
}

/// The host of an authority: `name:port`, `IP:port` or `[IPv6]:port`.
fn host_of<'a>(address: &Address, authority: &'a str) -> &'a str {
    match address {
        Address::Unix(_) => authority,
        Address::Tcp(_) => {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            host.trim_start_matches('[').trim_end_matches(']')
        }
    }
}

fn refused(what: &str, problems: &[Problem]) -> Refused {
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    Refused::new(Kind::Config, format!("{what}: {}", told.join("; ")))
        .help("`gnomon check` shows where; the old configuration stays")
}

fn no_randomness() -> Refused {
    Refused::new(Kind::Machine, "keys for session tickets cannot be drawn")
}

/// Between two looks at clock and keys.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 86_400;

#[cfg(test)]
mod tests;
