//! What is wrong with certificates and keys, each with its place in the configuration.
//!
//! Told by `gnomon check`, and before every start and every reload: nothing is taken over that
//! could not be served.

mod staple;

use std::collections::HashSet;

use gnomon_config::{
    Config, Loaded, Place, Problem, Problems, Severity,
    model::{HostPattern, KeyPair, ListenerTls, Material},
    problem::{CERTIFICATE, COVERS, PRIVATE_KEY},
};
use jiff::Timestamp;

use crate::jwt;

use super::{
    by_name::ByName,
    material::{self, About, Read, Shown},
    origin,
};

/// Which certificates may be past their time.
#[derive(Clone, Copy, Debug)]
pub enum Overdue<'a> {
    /// None: who asks wants to know.
    Refused,
    /// Those that this configuration serves already. To refuse whatever else a reload changes
    /// would mend nothing.
    IfServed(&'a Config),
    /// Any, with a warning: a process that does not start serves nobody.
    Served,
}

/// What was loaded, if its certificates can be used as well, or everything that is wrong. `now` is
/// in seconds since 1970.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn checked(
    loaded: Result<Loaded, Problems>,
    now: u64,
    overdue: Overdue<'_>,
) -> Result<Loaded, Problems> {
    let Loaded { config, warnings } = loaded?;
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let warnings =
        warnings.with(problems(&config, now, overdue)).with(jwt::check::problems(&config));
    if warnings.has_errors() { Err(warnings) } else { Ok(Loaded { config, warnings }) }
}

fn problems(config: &Config, now: i64, overdue: Overdue<'_>) -> Vec<Problem> {
    let mut check = Check { now, served: served(overdue), overdue, problems: Vec::new() };
    let mut covered = ByName::default();
    let speaking: Vec<&ListenerTls> =
        config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).collect();
    for tls in &speaking {
        check.listener(tls, &mut covered);
    }
    if let Some(tls) = &config.admin.tls {
        check.pair(&tls.pair);
        if let Some(ca) = &tls.client_ca {
            check.roots(ca);
        }
    }
    for version in config.upstreams.iter().flat_map(|upstream| &upstream.versions) {
        let Some(tls) = &version.tls else { continue };
        if let Some(identity) = &tls.identity {
            check.pair(identity);
        }
        if let Some(ca) = &tls.ca {
            check.roots(ca);
        }
        // What is wrong with the pair and the roots has been told.
        if tls.ca.is_none() && tls.verify && tls.identity.is_none() {
            check.problems.extend(origin::build(tls).err().unwrap_or_default());
        }
    }
    if check.problems.iter().all(|problem| problem.severity != Severity::Error)
        && let Some(first) = speaking.first().and_then(|tls| tls.certs.first())
    {
        check.problems.extend(uncovered(config, &covered, first.cert.place.0));
    }
    check.problems
}

/// What the certificates that may be past their time hold.
fn served(overdue: Overdue<'_>) -> HashSet<&[u8]> {
    let Overdue::IfServed(config) = overdue else { return HashSet::new() };
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let versions = config.upstreams.iter().flat_map(|upstream| &upstream.versions);
    let identities = versions.filter_map(|version| version.tls.as_ref()?.identity.as_ref());
    let admin = config.admin.tls.iter().map(|tls| &tls.pair);
    let pairs = listeners.flat_map(|tls| &tls.certs).chain(identities).chain(admin);
    pairs.map(|pair| pair.cert.content.0.as_slice()).collect()
}

struct Check<'a> {
    now: i64,
    overdue: Overdue<'a>,
    served: HashSet<&'a [u8]>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn listener(&mut self, tls: &ListenerTls, covered: &mut ByName<()>) {
        let mut names: ByName<(Place, String)> = ByName::default();
        for pair in &tls.certs {
            let Some(shown) = self.pair(pair) else { continue };
            if shown.about.names.is_empty() {
                let problem = warning(&pair.cert, "this certificate is for no name")
                    .label("clients look for theirs among its alternative names");
                self.problems.push(problem);
            }
            self.twice(pair, &shown, &mut names);
            for name in &shown.about.names {
                covered.add(name, ());
            }
        }
        if let Some(clients) = &tls.clients {
            self.roots(&clients.ca);
        }
    }

    /// Warns if an earlier certificate of the listener takes all names of this one.
    fn twice(&mut self, pair: &KeyPair, shown: &Shown, names: &mut ByName<(Place, String)>) {
        let kind = format!("{:?}", shown.certified.key.algorithm());
        let taken = |name: &String| {
            let others = names.under(name);
            others.iter().find(|(_, other)| *other == kind).map(|(place, _)| *place)
        };
        let all: Option<Vec<Place>> = shown.about.names.iter().map(taken).collect();
        if let Some(first) = all.unwrap_or_default().first() {
            let problem = warning(&pair.cert, "this certificate is never shown")
                .label("all of its names are taken")
                .related(*first, "by this one, which comes first");
            self.problems.push(problem);
        }
        for name in &shown.about.names {
            names.add(name, (pair.cert.place.0, kind.clone()));
        }
    }

    /// Checks a certificate with its chain, its key and its staple.
    fn pair(&mut self, pair: &KeyPair) -> Option<Shown> {
        if pair.key.mode & READABLE_BY_OTHERS != 0 {
            let help = format!("chmod o-r {}", pair.key.path.display());
            self.problems.push(
                Problem::warning(
                    PRIVATE_KEY,
                    pair.key.place.0,
                    "everybody on this machine can read this key",
                )
                .help(help),
            );
        }
        let shown = match material::shown(pair) {
            Ok(shown) => shown,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        self.chain(&pair.cert, &shown);
        self.in_force(&pair.cert, &shown.about);
        if let Some(ocsp) = &pair.ocsp
            && let Err(why) = staple::check(&ocsp.content.0, &shown.about.serial, self.now)
        {
            let problem = Problem::error(CERTIFICATE, ocsp.place.0, format!("this staple {why}"));
            self.problems.push(
                problem.related(pair.cert.place.0, "the certificate").help(
                    "fetch it anew from the issuer's responder, or leave `ocsp` out".to_owned(),
                ),
            );
        }
        Some(shown)
    }

    /// Whether each certificate of a chain was issued by the one behind it.
    fn chain(&mut self, file: &Material, shown: &Shown) {
        let chain: Read<Vec<About>> =
            shown.certified.cert.iter().map(|der| material::about(file, der)).collect();
        match chain {
            Err(problem) => self.problems.push(*problem),
            Ok(chain) => {
                let broken =
                    (1..).zip(chain.windows(2)).find(|(_, it)| it[0].issuer != it[1].subject);
                if let Some((number, pair)) = broken {
                    let (next, issuer) = (number + 1, &pair[0].issuer);
                    let message = format!("certificate {next} did not issue certificate {number}");
                    let problem = Problem::error(CERTIFICATE, file.place.0, message)
                        .label(format!("behind certificate {number} belongs `{issuer}`"));
                    self.problems.push(problem.help(
                        "the file holds the certificate itself, then its issuer, then the issuer's"
                            .to_owned(),
                    ));
                }
            }
        }
    }

    fn in_force(&mut self, file: &Material, about: &About) {
        let error = |message: &str| Problem::error(CERTIFICATE, file.place.0, message);
        if about.not_before > self.now {
            self.problems.push(
                error("this certificate is not in force yet")
                    .label(format!("from {}", shown_time(about.not_before)))
                    .help("is the clock of this machine right?".to_owned()),
            );
        } else if about.not_after < self.now {
            let mut problem = error("this certificate has expired")
                .label(format!("on {}", shown_time(about.not_after)))
                .help("renew it".to_owned());
            let excused = match self.overdue {
                Overdue::Refused => false,
                Overdue::IfServed(_) => self.served.contains(file.content.0.as_slice()),
                Overdue::Served => true,
            };
            if excused {
                problem.severity = Severity::Warning;
            }
            self.problems.push(problem);
        } else if about.not_after < self.now + EXPIRES_SOON_SECONDS {
            let problem = warning(file, "this certificate expires soon")
                .label(format!("on {}", shown_time(about.not_after)));
            self.problems.push(problem.help("renew it, then: gnomon reload".to_owned()));
        }
    }

    fn roots(&mut self, file: &Material) {
        if let Err(problem) = material::roots(file) {
            self.problems.push(*problem);
            return;
        }
        let all = material::certificates(file).unwrap_or_default();
        for about in all.iter().filter_map(|der| material::about(file, der).ok()) {
            if about.not_after < self.now {
                let problem = warning(file, format!("the root `{}` has expired", about.subject));
                self.problems.push(problem.label(format!("on {}", shown_time(about.not_after))));
            }
        }
    }
}

fn warning(file: &Material, message: impl Into<String>) -> Problem {
    Problem::warning(COVERS, file.place.0, message)
}

fn shown_time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Warns of hosts that routes expect and that no certificate is for.
fn uncovered(config: &Config, covered: &ByName<()>, place: Place) -> Option<Problem> {
    let mut seen = HashSet::new();
    let mut missing = Vec::new();
    for host in config.routes.iter().flat_map(|route| &route.matches.hosts) {
        let (shown, is_covered) = match host {
            HostPattern::Exact(host) => (host.to_string(), !covered.find(host).is_empty()),
            HostPattern::Below(host) => (format!("*.{host}"), covered.has_all_below(host)),
        };
        if !is_covered && seen.insert(shown.clone()) {
            missing.push(format!("`{shown}`"));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let more = missing.len().saturating_sub(HOSTS_SHOWN);
    missing.truncate(HOSTS_SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("no certificate is for {}{more}", missing.join(", "));
    let problem = Problem::warning(COVERS, place, message);
    Some(problem.label("what clients get that ask for it, and refuse"))
}

/// A certificate that is good for less is told of: two weeks, half of what is left when those who
/// renew by themselves do so.
pub(crate) const EXPIRES_SOON_SECONDS: i64 = 14 * 24 * 3600;
/// The permission bit of those who are neither owner nor in the group.
const READABLE_BY_OTHERS: u32 = 0o004;
/// Hosts that one warning names.
const HOSTS_SHOWN: usize = 5;

#[cfg(test)]
mod tests;
