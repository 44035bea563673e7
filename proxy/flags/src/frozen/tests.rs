//! What is written is read, and nothing else is.

use std::sync::Arc;

use gnomon_config::model::{
    Key, Secret, Share,
    flag::{Flag as Written, Flags, Place, Portion, Rule, Told, VariantValue},
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{JsonContext, Overrides, RequestContext, flagd::Definitions};

const NOW: u64 = 1_790_000_000;

fn config() -> gnomon_config::Config {
    let options = gnomon_config::Options::default();
    let text = "listen = \"127.0.0.1:0\"";
    gnomon_config::parse("test", text, &options).expect("it is one").config
}

fn flag(name: &str, share: u32) -> Written {
    let portion = Some(Portion::Fixed(Share(share)));
    let everybody =
        Rule { groups: vec![], not: vec![], users: vec![], portion, serve: vec![(0, 1)] };
    Written {
        name: name.into(),
        enabled: true,
        variants: vec![
            ("on".into(), VariantValue::Bool(true)),
            ("o.f%f ü".into(), VariantValue::Bool(false)),
        ],
        default: 1,
        by: None,
        salt: name.into(),
        rules: vec![everybody],
        start: None,
        end: None,
        owner: "".into(),
        description: "".into(),
        expires: None,
        judge: None,
    }
}

fn set(sign: &[u8], flags: usize) -> FlagSet {
    let mut config = config();
    config.flags = Flags {
        own: (0..flags).map(|number| flag(&format!("flag-{number}"), 50_000)).collect(),
        by: Some(Place::Key(Key::Header("x-user".into()))),
        header: Some("x-gnomon-flags".into()),
        sign: Secret(sign.to_vec()),
        send: Told::All,
        ..Flags::default()
    };
    FlagSet::compile(Arc::new(config), &Definitions::default(), &Overrides::default())
        .expect("it is one")
}

fn written(set: &FlagSet, user: &str) -> Vec<u8> {
    let bytes = format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: {user}\r\n\r\n").into_bytes();
    let mut head = gnomon_wire::RequestHead::default();
    head.read(&bytes, &gnomon_wire::HeadLimits::REQUEST).expect("it is a head");
    let request = gnomon_wire::Request { head: &head, bytes: &bytes };
    let client = std::net::Ipv4Addr::LOCALHOST.into();
    let context = RequestContext { terms: set.terms(), request, client, claims: None };
    let mut out = Vec::new();
    write(&Evaluation::new(set, context, NOW), &mut out);
    out
}

fn said(user: &str) -> serde_json::Value {
    json!({ "targetingKey": user })
}

#[test]
fn what_is_written_is_read_and_is_what_an_application_would_get() {
    for sign in [&b""[..], b"secret"] {
        let set = set(sign, 20);
        for user in 0..50 {
            let user = format!("u{user}");
            let text = written(&set, &user);
            let frozen = read(&set, &text, NOW + 60).expect("it is ours");
            let said = said(&user);
            let said = said.as_object().expect("it is one");
            let context = JsonContext { terms: set.terms(), said };
            assert!(frozen.is_of(&set, &context));
            assert_eq!(frozen.all().count(), 20);
            for (flag, resolution) in frozen.all() {
                assert_eq!(resolution, set.evaluate(flag, &context, NOW));
            }
        }
    }
}

#[test]
fn nobody_else_is_believed() {
    let set = set(b"secret", 3);
    let text = written(&set, "u1");
    assert_eq!(read(&set, &text, NOW + SECONDS_MAX + 1), Err(Bad::Time));
    assert_eq!(read(&set, &text, NOW - SECONDS_MAX - 1), Err(Bad::Time));
    let unsigned = &text[..text.len() - SIGNATURE_TEXT];
    assert_eq!(read(&set, unsigned, NOW), Err(Bad::Signature));
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        assert!(read(&set, &changed, NOW).is_err(), "{}", String::from_utf8_lossy(&changed));
    }
    let frozen = read(&set, &text, NOW).expect("it is ours");
    let other = said("u2");
    let other = other.as_object().expect("it is one");
    assert!(!frozen.is_of(&set, &JsonContext { terms: set.terms(), said: other }));
}

#[test]
fn what_does_not_fit_is_left_out() {
    let set = set(b"secret", 64);
    let mut long = Vec::new();
    for number in 0..64 {
        long.push(flag(&format!("{}{number}", "f".repeat(150)), 50_000));
    }
    assert!(written(&set, "u").len() <= BYTES_MAX);
    let mut config = config();
    config.flags = Flags { own: long, ..set.terms().clone() };
    let set = FlagSet::compile(Arc::new(config), &Definitions::default(), &Overrides::default());
    let set = set.expect("it is one");
    let text = written(&set, "u");
    assert!(text.len() <= BYTES_MAX, "{}", text.len());
    let frozen = read(&set, &text, NOW).expect("it is ours");
    assert!((10..64).contains(&frozen.all().count()));
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let set = set(b"", 2);
        let _ = read(&set, &text, NOW);
        let mut begun = format!("1;0123456789abcdef;{NOW};-;").into_bytes();
        begun.extend(text);
        let _ = read(&set, &begun, NOW);
    }
}
