//! Which rate holds for a request, and what its client is counted by.

use std::net::IpAddr;

use gnomon_config::model::{Config, Key, RateLimit, RouteRate};
use gnomon_wire::Request;

use super::{Buckets, Rule, Taken, counted};
use crate::{plan::RouteIx, sticky};

/// The rates of a configuration, compiled.
#[derive(Debug)]
pub struct Rates {
    rules: Box<[(Rule, Key)]>,
    /// By route, which of them holds.
    of_routes: Box<[u32]>,
    /// Which of them holds where no route matches.
    of_others: u32,
}

/// No rate.
const NONE: u32 = u32::MAX;
/// What tells a client's address from a value that it sent.
const ADDRESS: u8 = 0;
const VALUE: u8 = 1;

impl Rates {
    /// The rates of `config`; `None` if it has none, so that who asks pays one look.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let mut rules = Vec::new();
        let mut add = |limit: &RateLimit, name: &str| {
            let salt = salt_of(name);
            let rule = Rule::new(limit.rate.requests, limit.rate.per, limit.burst, salt);
            rules.push((rule, limit.by.clone()));
            u32::try_from(rules.len() - 1).unwrap_or(NONE)
        };
        let of_others = config.limits.rate.as_ref().map_or(NONE, |limit| add(limit, ""));
        let of_route = |route: &gnomon_config::model::Route| match &route.rate {
            RouteRate::Global => of_others,
            RouteRate::Own(limit) => add(limit, &route.name),
            RouteRate::Off => NONE,
        };
        let of_routes = config.routes.iter().map(of_route).collect();
        let rules = rules.into_boxed_slice();
        (!rules.is_empty()).then_some(Self { rules, of_routes, of_others })
    }

    /// Takes a token for `request` of `client` to this route, if any, at `now` in nanoseconds;
    /// `None` if no rate holds for it. Who lacks the value that is counted by is counted by
    /// address: else leaving it out would be the way around.
    #[must_use]
    pub fn take(
        &self,
        buckets: &Buckets,
        route: Option<RouteIx>,
        (request, client): (Request<'_>, IpAddr),
        now: u64,
    ) -> Option<Taken> {
        let route = route.and_then(|route| self.of_routes.get(route.0 as usize));
        let (rule, by) = self.rules.get(*route.unwrap_or(&self.of_others) as usize)?;
        let mut buffer = [0; 16];
        let value = match by {
            Key::ClientIp => None,
            Key::Cookie(_) | Key::Header(_) | Key::Query(_) => {
                sticky::find(by, request, client, &mut buffer)
            }
        };
        if let Some(value) = value {
            return Some(buckets.take(rule, (VALUE, value), now));
        }
        Some(buckets.take(rule, (ADDRESS, counted(client, &mut [0; 16])), now))
    }
}

/// Stays the same over reloads, so that buckets do. FNV-1a: names come from the configuration.
fn salt_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gnomon_config::model::{Rate, Route};

    use super::*;
    use crate::testing::{self, Parsed};

    const SECOND: u64 = 1_000_000_000;

    fn limit(requests: u32, by: Key) -> RateLimit {
        let rate = Rate { requests, per: Duration::from_secs(1) };
        RateLimit { rate, burst: requests, by }
    }

    fn route(name: &str, rate: RouteRate) -> Route {
        Route { name: name.into(), rate, ..testing::route("x:") }
    }

    fn rates(global: Option<RateLimit>, routes: Vec<Route>) -> Option<Rates> {
        let mut config = testing::config(vec![], routes);
        config.limits.rate = global;
        Rates::of(&config)
    }

    /// How many of ten such requests are admitted at once.
    fn admitted(rates: &Rates, buckets: &Buckets, route: Option<u32>, who: (&str, &str)) -> usize {
        let parsed = Parsed::new(who.0);
        let client = who.1.parse().unwrap();
        let ask = || rates.take(buckets, route.map(RouteIx), (parsed.request(), client), SECOND);
        (0..10).filter(|_| !matches!(ask(), Some(Taken::No(_)))).count()
    }

    #[test]
    fn without_a_rate_nobody_is_asked() {
        assert!(rates(None, vec![route("a", RouteRate::Global)]).is_none());
        assert!(rates(None, vec![route("a", RouteRate::Off)]).is_none());
    }

    #[test]
    fn routes_without_a_rate_share_the_global_one_and_others_are_apart() {
        let own = RouteRate::Own(Box::new(limit(3, Key::ClientIp)));
        let routes = vec![
            route("a", RouteRate::Global),
            route("b", RouteRate::Global),
            route("c", own),
            route("d", RouteRate::Off),
        ];
        let rates = rates(Some(limit(2, Key::ClientIp)), routes).unwrap();
        let buckets = Buckets::new([1, 2]);
        let mut of = |route| admitted(&rates, &buckets, route, ("GET http://shop/", "192.0.2.1"));
        let all: Vec<usize> = [Some(0), Some(1), None, Some(2), Some(3)].map(&mut of).to_vec();
        assert_eq!(all, [2, 0, 0, 3, 10]);
    }

    #[test]
    fn who_is_counted_is_what_the_key_says_and_by_address_without_one() {
        let by = Key::Cookie("uid".into());
        let own = |name| route(name, RouteRate::Own(Box::new(limit(2, by.clone()))));
        let rates = rates(None, vec![own("a")]).unwrap();
        let buckets = Buckets::new([1, 2]);
        let of = |text, client| admitted(&rates, &buckets, Some(0), (text, client));
        assert_eq!(of("GET http://shop/; cookie: uid=1", "192.0.2.1"), 2);
        assert_eq!(of("GET http://shop/; cookie: uid=1", "192.0.2.2"), 0, "wherever it comes from");
        assert_eq!(of("GET http://shop/; cookie: uid=2", "192.0.2.1"), 2);
        assert_eq!(of("GET http://shop/", "192.0.2.1"), 2);
        assert_eq!(of("GET http://shop/; cookie: uid=", "192.0.2.1"), 0, "empty is none");
        assert_eq!(of("GET http://shop/", "2001:db8::1"), 2);
        assert_eq!(of("GET http://shop/", "2001:db8::2"), 0, "a /64 is one client");
    }

    #[test]
    fn a_reload_keeps_the_buckets_of_a_route_by_its_name() {
        let own = || RouteRate::Own(Box::new(limit(2, Key::ClientIp)));
        let buckets = Buckets::new([1, 2]);
        let who = ("GET http://shop/", "192.0.2.1");
        let before = rates(None, vec![route("a", own())]).unwrap();
        assert_eq!(admitted(&before, &buckets, Some(0), who), 2);
        let after = rates(None, vec![route("new", own()), route("a", own())]).unwrap();
        assert_eq!(admitted(&after, &buckets, Some(1), who), 0);
        assert_eq!(admitted(&after, &buckets, Some(0), who), 2);
    }
}
