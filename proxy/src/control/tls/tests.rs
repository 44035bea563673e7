//! What snapshots say of TLS, and what reloads do to it.

use gnomon_config::{Loaded, Options, load};

use super::*;
use crate::{
    control::{resolve::Answers, state::State},
    snapshot::Snapshot,
    tls::testing::{FAR, Folder, ONE},
};

/// A configuration of this folder, with an upstream of these versions.
fn config(folder: &Folder, listener: &str, versions: &str) -> Config {
    let text = format!(
        "listener.plain.bind = \"127.0.0.1:1\"\nlistener.https.bind = \"127.0.0.1:2\"\n\
         listener.https.tls = {listener}\nroute.all.to = \"shop\"\n\
         upstream.shop.versions = {versions}\nupstream.shop.split = {{ v1 = 100, v2 = 0 }}\n"
    );
    folder.write("gnomon.toml", text);
    let loaded = load(&folder.path.join("gnomon.toml"), &Options::default());
    let Loaded { config, .. } = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    config
}

const BOTH: &str = "{ v1 = { endpoints = [\"127.0.0.1:3\"], tls.ca = \"root.pem\" }, \
                      v2 = { endpoints = [\"127.0.0.1:3\"] } }";

fn origins(snapshot: &Snapshot) -> Vec<(u64, Option<Arc<OriginTls>>)> {
    snapshot.endpoints.iter().map(|endpoint| (endpoint.id, endpoint.tls.clone())).collect()
}

fn reload(state: &mut State, config: Config) -> Snapshot {
    // Nothing is bound, so that no test needs a port.
    let made = state.tls.make(&config).unwrap();
    state.tls.take(made);
    state.config = Arc::new(config);
    state.build()
}

fn state(config: Config) -> State {
    State::new(config, 1, Vec::new(), 0, Answers::new()).unwrap()
}

#[test]
fn versions_with_other_terms_have_other_pools() {
    let folder = Folder::new("pools");
    let mut state = state(config(&folder, ONE, BOTH));
    let first = origins(&state.build());
    let [(v1, Some(tls)), (v2, None)] = first.as_slice() else { panic!("{first:?}") };
    assert_ne!(v1, v2);
    assert_eq!(tls.name, ServerName::try_from("127.0.0.1").unwrap());
    // What is the same stays the same, with what it may resume.
    let same = origins(&reload(&mut state, config(&folder, ONE, BOTH)));
    assert!(Arc::ptr_eq(same[0].1.as_ref().unwrap(), tls));
    assert_eq!((same[0].0, same[1].0), (*v1, *v2));
    // Another name, other roots or none: another identity, and so other connections.
    let mut seen = vec![*v1];
    let named =
        BOTH.replace("tls.ca = \"root.pem\"", "tls = { ca = \"root.pem\", name = \"shop\" }");
    folder.write("other.pem", folder.read("a.pem"));
    for versions in [
        named.clone(),
        named.replace("root.pem", "other.pem"),
        named.replace("name = \"shop\"", "verify = false"),
        BOTH.replace(", tls.ca = \"root.pem\"", ""),
        BOTH.to_owned(),
    ] {
        let all = origins(&reload(&mut state, config(&folder, ONE, &versions)));
        assert!(!seen.contains(&all[0].0), "{versions}");
        assert_eq!(all[1].0, *v2, "{versions}");
        seen.push(all[0].0);
    }
}

#[test]
fn a_listener_goes_on_with_what_it_has_until_all_is_right() {
    let folder = Folder::new("listener");
    let mut tls = Tls::new().unwrap();
    let made = tls.make(&config(&folder, ONE, BOTH)).unwrap();
    tls.take(made);
    let (https, plain) = (Name::from("https"), Name::from("plain"));
    let first = tls.of_listener(&https).unwrap();
    assert!(tls.of_listener(&plain).is_none());
    assert_eq!(tls.certificates().count(), 1);
    let made = tls.make(&config(&folder, ONE, BOTH)).unwrap();
    tls.take(made);
    assert!(Arc::ptr_eq(&tls.of_listener(&https).unwrap(), &first));
    // A key of another certificate: nothing is made.
    folder.issue("b", &["shop.example.com"], FAR);
    let mixed = ONE.replace("a.key", "b.key");
    let refused = tls.make(&config(&folder, &mixed, BOTH)).unwrap_err();
    assert!(refused.error.contains("listener `https`: this key is not"), "{refused}");
    // The same names, other content: that is what a renewal is.
    for ending in ["pem", "key"] {
        folder.write(&format!("a.{ending}"), folder.read(&format!("b.{ending}")));
    }
    let made = tls.make(&config(&folder, ONE, BOTH)).unwrap();
    tls.take(made);
    assert!(!Arc::ptr_eq(&tls.of_listener(&https).unwrap(), &first));
}

#[test]
fn tickets_get_new_keys_in_time_and_go_on_with_others() {
    let folder = Folder::new("rotated");
    let mut state = state(config(&folder, ONE, BOTH));
    let https = Name::from("https");
    let before = state.tls.of_listener(&https).unwrap();
    let ticket = before.ticketer.encrypt(b"session").unwrap();
    let now = clock::wall().as_secs();
    assert!(!state.tls.rotate(now).unwrap());
    assert!(state.tls.rotate(now + 9 * 3600).unwrap());
    let after = state.tls.of_listener(&https).unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(after.ticketer.decrypt(&ticket).is_some());
    let mut next = self::state(config(&folder, ONE, BOTH));
    assert!(next.tls.of_listener(&https).unwrap().ticketer.decrypt(&ticket).is_none());
    let keys = TicketKeys::import(&state.tls.tickets.export()).unwrap();
    next.tls.reseal(keys).unwrap();
    assert!(next.tls.of_listener(&https).unwrap().ticketer.decrypt(&ticket).is_some());
}

#[test]
fn the_host_of_an_authority_is_what_a_certificate_is_for() {
    let tcp = Address::Tcp(([127, 0, 0, 1], 1).into());
    for (authority, host) in
        [("shop.internal:443", "shop.internal"), ("10.0.0.1:443", "10.0.0.1"), ("[::1]:443", "::1")]
    {
        assert_eq!(host_of(&tcp, authority), host);
    }
}
