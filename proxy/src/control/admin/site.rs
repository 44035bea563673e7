//! Whether a request may come from a web page, and from which.
//!
//! Over a forwarded socket (`ssh -L 9099:/run/gnomon/admin.sock`) browsers come by the socket too,
//! so that the same is asked there: only, names without a dot are nobody's on the net, and scripts
//! say whatever they like.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

use super::{
    caller::{Peer, Remote},
    refusals::Reason,
};
use crate::control::gate::Gate;

/// Refuses what a page from elsewhere may have sent, and what is meant for another machine.
pub(super) fn check(
    method: &Method,
    headers: &HeaderMap,
    peer: &Peer,
    gate: &Gate,
) -> Result<(), Reason> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.to_str().unwrap_or("?"));
    if hosts.next().is_some() || !is_ours(host, peer, gate) {
        return Err(Reason::Host);
    }
    // Of a page that has been opened, a browser says that it navigates there; nothing else from
    // elsewhere is asked for on purpose.
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_opened = *method == Method::GET
        && field("sec-fetch-mode") == Some("navigate")
        && field("sec-fetch-dest") == Some("document");
    let from = field("sec-fetch-site");
    if from.is_some_and(|from| from != "same-origin" && from != "none") && !is_opened {
        return Err(Reason::Origin);
    }
    let origins = headers.get_all(header::ORIGIN).iter();
    for origin in origins {
        let authority = origin.to_str().ok().and_then(|origin| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
        });
        if !authority.zip(host).is_some_and(|(from, host)| from.eq_ignore_ascii_case(host)) {
            return Err(Reason::Origin);
        }
    }
    Ok(())
}

/// Whether a Host field names us, so that no name of somebody else's leads here.
fn is_ours(host: Option<&str>, peer: &Peer, gate: &Gate) -> bool {
    let Some(host) = host.filter(|host| !host.is_empty()) else { return !peer.is_tcp() };
    let name = name_of(host);
    if name.eq_ignore_ascii_case("localhost") || gate.has_host(name) {
        return true;
    }
    let address = name.parse::<IpAddr>().ok();
    match peer {
        // An address is what it says, whoever has the page.
        Peer::User(_) | Peer::Unknown => !name.contains(['.', ':']) || is_loopback(address),
        Peer::Tcp(Remote { is_local: true, .. }) => is_loopback(address),
        Peer::Tcp(Remote { is_local: false, .. }) => address.is_some(),
    }
}

fn is_loopback(address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| address.is_loopback())
}

/// The name in a Host field, without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or(v6, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether the Host field is a name of this machine.
pub(in crate::control) fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(Ok(host)) = headers.get(header::HOST).map(|host| host.to_str()) else { return false };
    let name = name_of(host);
    name.eq_ignore_ascii_case("localhost") || is_loopback(name.parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn tcp(is_local: bool) -> Peer {
        let address = "127.0.0.1:9".parse().unwrap();
        Peer::Tcp(Remote { address, is_local, certificate: None })
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        // Over the socket, over loopback, over another address.
        let table = [
            (Some("localhost"), [true, true, true]),
            (Some("LOCALHOST:9000"), [true, true, true]),
            (Some("127.0.0.1:1"), [true, true, true]),
            (Some("127.8.8.8"), [true, true, true]),
            (Some("[::1]:80"), [true, true, true]),
            (Some("ops.example.com:9099"), [true, true, true]),
            (Some("evil.example"), [false, false, false]),
            (Some("localhost.evil.example"), [false, false, false]),
            (Some("127.0.0.1.evil.example"), [false, false, false]),
            (Some("10.0.0.1"), [false, false, true]),
            (Some("gnomon"), [true, false, false]),
            (Some(""), [true, false, false]),
            (None, [true, false, false]),
        ];
        let hosts: gnomon_config::model::Admin = admin_with_hosts();
        let gate = Gate::make(&hosts).unwrap();
        for (host, expected) in table {
            let headers = headers(&host.map(|host| ("host", host)).into_iter().collect::<Vec<_>>());
            let passed = [Peer::User(0), tcp(true), tcp(false)]
                .map(|peer| check(&Method::GET, &headers, &peer, &gate).is_ok());
            assert_eq!(passed, expected, "{host:?}");
        }
        let mut twice = headers(&[("host", "localhost")]);
        twice.append(header::HOST, "localhost".parse().unwrap());
        assert_eq!(check(&Method::GET, &twice, &tcp(true), &gate), Err(Reason::Host));
    }

    fn admin_with_hosts() -> gnomon_config::model::Admin {
        let text = "admin.hosts = \"ops.example.com\"\nlistener.a.bind = \"127.0.0.1:0\"\n\
                    route.all.respond.status = 204\n";
        let options = gnomon_config::Options::default();
        gnomon_config::parse("test.toml", text, &options).unwrap().config.admin
    }

    #[test]
    fn pages_from_elsewhere_are_refused_wherever_they_come_by() {
        let site = "sec-fetch-site";
        let opened = [(site, "cross-site"), ("sec-fetch-mode", "navigate")];
        let document = ("sec-fetch-dest", "document");
        type Fields<'a> = &'a [(&'a str, &'a str)];
        let table: [(Fields<'_>, bool, bool); 11] = [
            (&[], true, true),
            (&[("origin", "http://localhost:9099")], true, true),
            (&[("origin", "https://LOCALHOST:9099")], true, true),
            (&[("origin", "http://localhost:3000")], false, false),
            (&[("origin", "http://evil.example")], false, false),
            (&[("origin", "null")], false, false),
            (&[(site, "same-origin")], true, true),
            (&[(site, "none")], true, true),
            (&[(site, "same-site")], false, false),
            (&[opened[0], opened[1], document], true, false),
            (&[opened[0], opened[1], ("sec-fetch-dest", "iframe")], false, false),
        ];
        let gate = Gate::default();
        for (fields, get, post) in table {
            let mut all = headers(fields);
            all.insert(header::HOST, "localhost:9099".parse().unwrap());
            for peer in [Peer::User(0), tcp(true)] {
                let passes = |method| check(method, &all, &peer, &gate).is_ok();
                assert_eq!(
                    (passes(&Method::GET), passes(&Method::POST)),
                    (get, post),
                    "{fields:?}"
                );
            }
        }
    }
}
