//! Which exchanges are meant: by the access log, or by somebody who looks at them as they end.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{names, problem::Wrong};

/// Conditions on an exchange that has ended. One that lists nothing says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Answered with one of these statuses: first and last of each range.
    pub statuses: Vec<(u16, u16)>,
    /// Took at least so long; zero says nothing.
    pub min: Duration,
    /// Matched by one of these routes.
    pub routes: Vec<Arc<str>>,
    /// Meant for one of these upstreams, or for one version of it.
    pub upstreams: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// Its version played one of these parts.
    pub arms: Vec<Arm>,
    /// Has one of these methods.
    pub methods: Vec<Arc<str>>,
    /// Its path begins with one of these.
    pub paths: Vec<Arc<str>>,
    /// Its client's address is in one of these networks.
    pub clients: Vec<IpNet>,
}

/// The part that a version plays for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// What everybody else gets.
    Stable,
    /// The version under trial.
    Canary,
    /// The version that a route names.
    Pinned,
    /// The receiver of a copy.
    Shadow,
}

impl Arm {
    /// Its word in metrics, logs and traces.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
            Self::Pinned => "pinned",
            Self::Shadow => "shadow",
        }
    }

    /// The part of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let all = [Self::Stable, Self::Canary, Self::Pinned, Self::Shadow];
        all.into_iter().find(|arm| arm.word() == word)
    }
}

/// What a [`Filter`] looks at. Texts are as received, empty where there is none.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Seen<'a> {
    pub status: u16,
    pub took: Duration,
    pub route: &'a [u8],
    pub upstream: &'a [u8],
    pub version: &'a [u8],
    pub arm: Option<Arm>,
    pub method: &'a [u8],
    pub path: &'a [u8],
    /// The client's address as text.
    pub client: &'a [u8],
}

impl Filter {
    /// The keys that [`add`](Self::add) knows.
    pub const KEYS: [&'static str; 8] =
        ["status", "min", "route", "upstream", "arm", "method", "path", "client"];

    /// Adds the condition that `text` writes down for `key`, as a configuration would.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn add(&mut self, key: &str, text: &str) -> Result<(), String> {
        let told = Wrong::told;
        match key {
            "status" => self.statuses.push(names::status_class(text).map_err(told)?),
            "min" => self.min = crate::units::duration(text).map_err(told)?,
            "route" => self.routes.push(names::name(text).map_err(told)?),
            "upstream" => self.upstreams.push(names::upstream_version(text).map_err(told)?),
            "arm" => {
                let arm = Arm::of(text).filter(|arm| *arm != Arm::Shadow);
                let wrong = || format!("`{text}` is no arm: say stable, canary or pinned");
                self.arms.push(arm.ok_or_else(wrong)?);
            }
            "method" => self.methods.push(names::method(text).map_err(told)?),
            "path" => self.paths.push(names::path(text).map_err(told)?),
            "client" => self.clients.push(names::network(text).map_err(told)?),
            _ => return Err(format!("there is no condition `{key}`")),
        }
        Ok(())
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all that it says holds.
    #[must_use]
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        seen.took >= self.min && self.parts(seen).into_iter().all(|part| part != Some(false))
    }

    /// Whether anything of what it says holds, but for the time, which is no reason to leave
    /// something out.
    #[must_use]
    pub fn touches(&self, seen: &Seen<'_>) -> bool {
        self.parts(seen).into_iter().any(|part| part == Some(true))
    }

    /// What comes of each condition; `None` of one that says nothing.
    fn parts(&self, seen: &Seen<'_>) -> [Option<bool>; 7] {
        let is = |text: &Arc<str>, seen: &[u8]| text.as_bytes() == seen;
        [
            any(&self.statuses, |(first, last)| (*first..=*last).contains(&seen.status)),
            any(&self.routes, |route| is(route, seen.route)),
            any(&self.upstreams, |(upstream, version)| {
                let of_version = version.as_ref().is_none_or(|version| is(version, seen.version));
                is(upstream, seen.upstream) && of_version
            }),
            any(&self.arms, |arm| seen.arm == Some(*arm)),
            any(&self.methods, |method| is(method, seen.method)),
            any(&self.paths, |path| seen.path.starts_with(path.as_bytes())),
            // Parsed only if somebody asks.
            (!self.clients.is_empty()).then(|| {
                let client = std::str::from_utf8(seen.client).ok();
                let client = client.and_then(|text| text.parse::<IpAddr>().ok());
                client.is_some_and(|client| self.clients.iter().any(|net| net.contains(&client)))
            }),
        ]
    }
}

fn any<T>(all: &[T], is: impl Fn(&T) -> bool) -> Option<bool> {
    (!all.is_empty()).then(|| all.iter().any(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pairs: &[(&str, &str)]) -> Filter {
        let mut filter = Filter::default();
        for (key, text) in pairs {
            filter.add(key, text).unwrap();
        }
        filter
    }

    fn seen() -> Seen<'static> {
        Seen {
            status: 503,
            took: Duration::from_millis(300),
            route: b"all",
            upstream: b"shop",
            version: b"v2",
            arm: Some(Arm::Canary),
            method: b"GET",
            path: b"/api/cart",
            client: b"10.1.2.3",
        }
    }

    #[test]
    fn every_condition_must_hold_and_one_of_its_values_does() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[], true),
            (&[("status", "5xx")], true),
            (&[("status", "404"), ("status", "500-504")], true),
            (&[("status", "4xx")], false),
            (&[("min", "300ms")], true),
            (&[("min", "301ms")], false),
            (&[("route", "all"), ("arm", "canary"), ("method", "GET")], true),
            (&[("route", "all"), ("arm", "stable")], false),
            (&[("upstream", "shop")], true),
            (&[("upstream", "shop@v2")], true),
            (&[("upstream", "shop@v1")], false),
            (&[("path", "/static"), ("path", "/api")], true),
            (&[("client", "10.0.0.0/8")], true),
            (&[("client", "10.1.2.4")], false),
        ];
        for (pairs, expected) in table {
            assert_eq!(filter(pairs).holds(&seen()), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_left_out_needs_one_reason() {
        assert!(!Filter::default().touches(&seen()));
        assert!(filter(&[("path", "/healthz"), ("method", "GET")]).touches(&seen()));
        assert!(!filter(&[("path", "/healthz"), ("min", "1ms")]).touches(&seen()));
    }

    #[test]
    fn a_condition_that_makes_no_sense_is_told() {
        let rows = [
            ("status", "6xx"),
            ("status", "500-400"),
            ("min", "5"),
            ("route", "a b"),
            ("upstream", "shop@"),
            ("arm", "shadow"),
            ("method", "get"),
            ("path", "healthz"),
            ("client", "10.0.0.1/8"),
            ("colour", "red"),
        ];
        for (key, text) in rows {
            let told = Filter::default().add(key, text).unwrap_err();
            assert!(told.contains(text) || key == "colour", "{key}: {told}");
        }
    }
}
