//! Claims of tokens: who is in a group because somebody vouches for it, and who only says so.

use std::{fs, path::PathBuf};

use e2e::{Driver, Origin, Reply, Running, eventually, on_each_driver};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::between;

/// Somebody who signs tokens.
struct Issuer {
    id: &'static str,
    key: EncodingKey,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("there is randomness");
        Self { id, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn jwk(&self) -> Value {
        let key = Jwk::from_encoding_key(&self.key, Algorithm::ES256).expect("it is such a key");
        let mut key = serde_json::to_value(key).expect("it can be written");
        key["kid"] = json!(self.id);
        key
    }

    /// A token of a user with this role, for an hour.
    fn role(&self, role: &str) -> String {
        self.sign(&json!({ "aud": "shop", "exp": now() + 3600, "role": role }))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).expect("it can be signed")
    }
}

fn now() -> u64 {
    gnomon::clock::wall().as_secs()
}

/// A file with keys, and two versions behind a flag.
struct Setup {
    folder: PathBuf,
    stable: Origin,
    canary: Origin,
}

impl Drop for Setup {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Setup {
    fn new(test: &str, driver: Driver) -> Self {
        let name = format!("gnomon-claims-{test}-{}-{}", driver.name(), std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        Self { folder, stable: Origin::named("v1"), canary: Origin::named("v2") }
    }

    fn write(&self, issuers: &[&Issuer]) {
        let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
        let text = json!({ "keys": keys }).to_string();
        fs::write(self.folder.join("keys.json"), text).expect("it can be written");
    }

    /// Who has the role of an administrator gets v2.
    fn config(&self, more: &str) -> String {
        let keys = self.folder.join("keys.json");
        between(&self.stable, &self.canary, 0.0)
            + &format!(
                "flags.jwt = {{ keys = {keys:?}, audience = \"shop\", leeway = \"0s\"{more} }}\n\
                 group.admins.claim = {{ role = \"admin\" }}\n\
                 flag.new-shop.rules = [{{ group = \"admins\", serve = \"on\" }}]\n\
                 route.admins = {{ match.flag = \"new-shop\", to = \"shop@v2\" }}\n"
            )
    }
}

/// What is answered with this in the head.
fn with(proxy: &Running, fields: &str) -> Reply {
    proxy.ask(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
}

/// The version that the bearer of a token gets.
fn version(proxy: &Running, token: &str) -> String {
    with(proxy, &format!("authorization: Bearer {token}\r\n")).text()
}

/// Tokens that were checked, by result.
fn checks(proxy: &Running, result: &str) -> f64 {
    let (_, page) = proxy.call("GET", "/metrics", "");
    let is_it = |line: &&str| {
        line.starts_with("gnomon_jwt_checks_total")
            && line.contains(&format!("result=\"{result}\""))
    };
    let values = page.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}

#[test]
fn only_who_is_vouched_for_is_in_a_group_by_claim() {
    on_each_driver(|driver| {
        let setup = Setup::new("only", driver);
        let (ours, forger) = (Issuer::new("a"), Issuer::new("a"));
        setup.write(&[&ours]);
        let proxy = Running::start(driver, &(setup.config("") + "runtime.cores = 1\n"));
        let good = ours.role("admin");
        let (signed, signature) = good.rsplit_once('.').expect("a token has parts");
        for _ in 0..20 {
            assert_eq!(version(&proxy, &good), "v2");
        }
        assert_eq!((checks(&proxy, "ok"), checks(&proxy, "bad")), (1.0, 0.0), "it was cached");
        let user = ours.role("user");
        let (_, other) = user.rsplit_once('.').expect("a token has parts");
        // {"alg":"none"}
        let unsigned = signed.split_once('.').expect("a token has parts").1;
        let unsigned = format!("eyJhbGciOiJub25lIn0.{unsigned}.");
        let ours_but = |claims: Value| ours.sign(&claims);
        for token in [
            &user,
            &forger.role("admin"),
            &format!("{signed}.{other}"),
            &format!("{signed}."),
            &unsigned,
            &ours_but(json!({ "aud": "shop", "exp": now() - 5, "role": "admin" })),
            &ours_but(json!({ "aud": "shop", "role": "admin" })),
            &ours_but(json!({ "aud": "cart", "exp": now() + 99, "role": "admin" })),
            &ours_but(
                json!({ "aud": "shop", "exp": now() + 99, "nbf": now() + 98, "role": "admin" }),
            ),
            "admin",
        ] {
            for _ in 0..2 {
                assert_eq!(version(&proxy, token), "v1", "{token}");
            }
        }
        assert_eq!((checks(&proxy, "ok"), checks(&proxy, "expired")), (2.0, 1.0));
        assert_eq!(checks(&proxy, "bad"), 5.0, "each once");
        // What only says so, and what says two things.
        for fields in [
            "role: admin\r\nclaim: role=admin\r\n".to_owned(),
            format!("authorization: Basic {good}\r\n"),
            format!("cookie: authorization={good}\r\n"),
            format!("authorization: Bearer {good}\r\nauthorization: Bearer {user}\r\n"),
            format!("authorization: Bearer {user}\r\nauthorization: Bearer {good}\r\n"),
        ] {
            assert_eq!(with(&proxy, &fields).text(), "v1", "{fields}");
        }
        assert_eq!(version(&proxy, &format!("{signed}.{signature}")), "v2");
    });
}

#[test]
fn keys_are_exchanged_by_a_reload_and_nothing_outlives_them() {
    on_each_driver(|driver| {
        let setup = Setup::new("exchanged", driver);
        let (old, new) = (Issuer::new("old"), Issuer::new("new"));
        let more = ", from = \"cookie:session\"";
        setup.write(&[&old]);
        let proxy = Running::start(driver, &setup.config(more));
        let (before, after) = (old.role("admin"), new.role("admin"));
        let of = |token: &str| with(&proxy, &format!("cookie: a=b; session={token}\r\n")).text();
        assert_eq!((of(&before), of(&after)), ("v2".to_owned(), "v1".to_owned()));
        setup.write(&[&old, &new]);
        let done = proxy.reload().expect("it is right");
        assert!(done.changes.iter().any(|change| change.contains("flags.jwt")), "{done:?}");
        assert_eq!((of(&before), of(&after)), ("v2".to_owned(), "v2".to_owned()));
        // Keys that cannot be used change nothing.
        fs::write(setup.folder.join("keys.json"), "{\"keys\":[]}").expect("it can be written");
        let refused = proxy.reload().expect_err("nothing could be verified").to_string();
        assert!(refused.contains("no key of the set can verify a signature"), "{refused}");
        assert_eq!((of(&before), of(&after)), ("v2".to_owned(), "v2".to_owned()));
        setup.write(&[&new]);
        proxy.reload().expect("it is right");
        assert_eq!((of(&before), of(&after)), ("v1".to_owned(), "v2".to_owned()));
        // A key that is no more vouches for nobody, though it is known from before.
        eventually("every core has let go of it", || of(&before) == "v1");
    });
}
