//! What a copy says on its way out.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use gnomon_policy::{Availability, Decision, Luck, Plan, Subject, Table, Targets};
use gnomon_sys::address::Address;

use super::*;
use crate::{
    counts::{Account, Counts},
    exchange::Asked,
    pair::Pair,
    terms::{CoreTerms, Definition},
};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// A copy of this request for `[shadow.new]`, of which `more` says more.
fn copy(more: &str, head: &str, body: &[u8]) -> Pair {
    let text = format!(
        "listen = \"0.0.0.0:8080\"\nupstream.shop.versions.v1 = [\"10.0.0.11:8080\"]\n\
         upstream.shop.versions.v2 = [\"10.0.0.21:8080\"]\nupstream.shop.split = {{ v1 = 100 }}\n\
         route.shop.to = \"shop\"\nshadow.new.from = \"shop@v1\"\nshadow.new.to = \"shop@v2\"\n\
         {more}"
    );
    let loaded = gnomon_config::parse("t", &text, &gnomon_config::Options::default());
    let config = Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems}")).config);
    let available = Availability::of(&config);
    let table = Table::compile(config.clone(), &[]).unwrap();
    let counts = Arc::new(Counts::new(1));
    let shadows = vec![Arc::new(Definition::new(config.shadows[0].clone(), counts, String::new()))];
    let plan = plan(&table, &available);
    let (table, endpoints) = (Arc::new(table), HashMap::new());
    let (memory, config) = (1 << 20, "".into());
    let terms = Terms { table, shadows, endpoints, scope: None, memory, config };
    let terms = Arc::new(terms);
    let terms = CoreTerms { terms, account: Arc::default(), ration: 1 << 20 };
    let copy = Copy {
        ticket: 1,
        terms: Arc::new(terms),
        targets: Targets::only(0),
        plan,
        endpoint: 1,
        begun: now(),
        asked: Asked { head: head.to_owned().into(), body: body.to_vec().into() },
        client: CLIENT,
        is_trusted: false,
        is_secure: false,
        request_id: Bytes::from_static(b"id-1"),
        trace: None,
        keeps_state: false,
        is_told: false,
        flags: Bytes::new(),
    };
    copy.terms.account.lent.add(copy.weight());
    Pair::of(copy).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn plan(table: &Table, available: &Availability) -> Plan {
    let bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut head = gnomon_wire::RequestHead::default();
    head.read(bytes, &gnomon_wire::HeadLimits::REQUEST).unwrap();
    let request = Request { head: &head, bytes };
    match table.decide(&Subject::new(request, CLIENT), available, &mut Luck::seeded(1)) {
        Decision::Forward(plan) => plan,
        other @ (Decision::Unavailable(_)
        | Decision::Redirect(_)
        | Decision::Respond(_)
        | Decision::NoRoute) => panic!("{other:?}"),
    }
}

fn written(pair: &Pair, receiver: Receiver) -> (String, Bytes) {
    let endpoint = Endpoint {
        id: 2,
        address: Address::Tcp("10.0.0.21:8080".parse().unwrap()),
        authority: "test:8080".into(),
        available: true,
        tls: None,
        announced: false,
    };
    let whom = (receiver, &endpoint);
    let (first, then) = write(&pair.copy, pair.request(), 0, whom, 7);
    (String::from_utf8(first.to_vec()).unwrap().to_ascii_lowercase(), then)
}

#[test]
fn a_short_body_goes_with_the_head_and_a_long_one_is_the_copys_own() {
    let head =
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n";
    let short = copy("", head, &vec![b'x'; SHORT]);
    let (text, then) = written(&short, Receiver::Shadow);
    assert!(text.ends_with(&format!("\r\n\r\n{}", "x".repeat(SHORT))) && then.is_empty());
    assert!(text.contains("content-length: 16384\r\n"), "{text:.400}");
    assert!(!text.contains("transfer-encoding") && !text.contains("expect"), "{text:.400}");
    let long = copy("", head, &vec![b'x'; SHORT + 1]);
    let (text, then) = written(&long, Receiver::Shadow);
    assert!(text.contains("content-length: 16385\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(then.as_ptr(), long.copy.asked.body.as_ptr());
    assert_eq!(then.len(), SHORT + 1);
}

#[test]
fn only_the_shadow_gets_the_shadows_edits() {
    let more = "shadow.new.host = \"endpoint\"\nshadow.new.without = [\"cookie\"]\n\
                shadow.new.rewrite.path = \"/z\"\n";
    let pair = copy(more, "GET /a HTTP/1.1\r\nhost: a\r\ncookie: b\r\n\r\n", b"");
    let (shadow, _) = written(&pair, Receiver::Shadow);
    let (primary, _) = written(&pair, Receiver::Primary);
    for part in ["get /z http/1.1\r\n", "host: test:8080\r\n", "x-shadow: new\r\n"] {
        assert!(shadow.contains(part), "{part}: {shadow}");
    }
    for part in ["get /a http/1.1\r\n", "host: a\r\n", "cookie: b\r\n", "x-shadow: new\r\n"] {
        assert!(primary.contains(part), "{part}: {primary}");
    }
    assert!(!shadow.contains("cookie"), "{shadow}");
    for text in [shadow, primary] {
        assert!(text.contains("x-request-id: id-1\r\n"), "{text}");
        assert!(text.contains("192.0.2.7"), "{text}");
        assert!(!text.contains("content-length"), "{text}");
    }
}

#[test]
fn a_pair_gives_back_what_it_held() {
    let pair = copy("", "GET /a HTTP/1.1\r\nhost: a\r\n\r\n", b"");
    let account: Arc<Account> = pair.copy.terms.account.clone();
    assert!(account.held() > 0);
    drop(pair);
    assert_eq!(account.held(), 0);
}
