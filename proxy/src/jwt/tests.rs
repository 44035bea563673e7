//! What is believed, and above all what is not: RFC 8725 and what has gone wrong elsewhere.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    testing::{Issuer, NOW, SECRET, set, terms, verifier},
    *,
};

/// What a verifier makes of a token now. None is what not even costs a check.
fn look(verifier: &Verifier, token: &str) -> Option<Result<Verified, Flaw>> {
    verifier.candidate(token.as_bytes()).map(|candidate| candidate.check(NOW))
}

fn is_believed(verifier: &Verifier, token: &str) -> bool {
    matches!(look(verifier, token), Some(Ok(_)))
}

fn good() -> Value {
    json!({ "exp": NOW + 100, "role": "admin" })
}

/// One of each sort of key; drawn once, since RSA takes time.
static ISSUERS: LazyLock<Vec<Issuer>> = LazyLock::new(|| {
    [
        (Algorithm::HS256, "h2"),
        (Algorithm::HS384, "h3"),
        (Algorithm::HS512, "h5"),
        (Algorithm::RS256, "r2"),
        (Algorithm::RS384, "r3"),
        (Algorithm::RS512, "r5"),
        (Algorithm::PS256, "p2"),
        (Algorithm::PS384, "p3"),
        (Algorithm::PS512, "p5"),
        (Algorithm::ES256, "e2"),
        (Algorithm::ES384, "e3"),
        (Algorithm::EdDSA, "ed"),
    ]
    .map(|(algorithm, id)| Issuer::new(algorithm, Some(id)))
    .into()
});

fn issuer(algorithm: Algorithm) -> &'static Issuer {
    ISSUERS.iter().find(|issuer| issuer.algorithm == algorithm).unwrap()
}

static ALL: LazyLock<Arc<Verifier>> =
    LazyLock::new(|| verifier(&ISSUERS.iter().collect::<Vec<_>>()));

#[test]
fn tokens_of_every_algorithm_are_believed_under_their_own_key_alone() {
    for issuer in ISSUERS.iter() {
        let token = issuer.sign(&good());
        let Some(Ok(Verified { claims, until })) = look(&ALL, &token) else {
            panic!("{:?}", issuer.algorithm)
        };
        assert_eq!((claims["role"].as_str(), until), (Some("admin"), NOW + 130));
        // No other key is taken for it, whatever the header says.
        for other in ISSUERS.iter().filter(|other| other.algorithm != issuer.algorithm) {
            let header = |algorithm: &Issuer, key: &Issuer| {
                json!({ "alg": algorithm.algorithm, "kid": key.id }).to_string()
            };
            for header in [header(issuer, other), header(other, issuer), header(other, other)] {
                let token = issuer.sign_text(&header, &good().to_string());
                assert!(!is_believed(&ALL, &token), "{:?} {header}", issuer.algorithm);
            }
        }
    }
}

#[test]
fn the_examples_of_the_standards_are_believed() {
    // RFC 7515, appendices A.1 to A.3.
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let secret = json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" });
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let point = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let verifier = Verifier::new(&terms(set(&[secret, rsa, point]))).unwrap();
    for (header, signature) in [
        ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        (
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let token = format!("{header}.{PAYLOAD}.{signature}");
        let candidate = verifier.candidate(token.as_bytes()).unwrap();
        let verified = candidate.check(1_300_819_379).unwrap();
        assert_eq!(verified.claims["iss"], "joe");
        assert_eq!(candidate.check(1_300_819_410), Err(Flaw::Expired));
    }
}

#[test]
fn an_unsigned_token_is_never_believed() {
    for algorithm in ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "ES512", "dir"] {
        let header = token::encode(json!({ "alg": algorithm, "kid": "h2" }).to_string());
        let payload = token::encode(good().to_string());
        for signature in ["", "AA", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"] {
            assert!(look(&ALL, &format!("{header}.{payload}.{signature}")).is_none());
        }
        assert!(look(&ALL, &format!("{header}.{payload}")).is_none());
    }
    // A good header does not help.
    let signed = issuer(Algorithm::HS256).sign(&good());
    let (rest, _) = signed.rsplit_once('.').unwrap();
    assert!(look(&ALL, rest).is_none() && look(&ALL, &format!("{rest}.")).is_none());
    assert_eq!(look(&ALL, &format!("{rest}.AA")), Some(Err(Flaw::Bad)));
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    // The oldest attack: sign with HMAC under the text of the public key, which everybody has.
    let rsa = issuer(Algorithm::RS256);
    let key = rsa.jwk();
    let n = token::decode(key["n"].as_str().unwrap().as_bytes()).unwrap();
    for verifier in [
        Verifier::new(&terms(rsa.pem.clone())).unwrap(),
        Verifier::new(&terms(set(&[key]))).unwrap(),
    ] {
        for secret in [rsa.pem.as_bytes(), rsa.pem.trim().as_bytes(), &n] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forger = Issuer {
                    algorithm,
                    key: EncodingKey::from_secret(secret),
                    id: rsa.id.clone(),
                    pem: String::new(),
                };
                assert!(look(&verifier, &forger.sign(&good())).is_none());
                let header = json!({ "alg": "RS256", "kid": "r2" }).to_string();
                let token = forger.sign_text(&header, &good().to_string());
                assert_eq!(look(&verifier, &token), Some(Err(Flaw::Bad)));
            }
        }
        assert!(is_believed(&verifier, &rsa.sign(&good())));
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (ours, forger) = (issuer(algorithm), Issuer::new(algorithm, None));
        for brought in [
            json!({ "jwk": forger.jwk() }),
            json!({ "jku": "https://evil.example/keys.json" }),
            json!({ "x5u": "https://evil.example/chain.pem" }),
            json!({ "x5c": ["MIIB"], "x5t": "AAAA" }),
        ] {
            let mut header = json!({ "alg": algorithm, "kid": ours.id });
            header.as_object_mut().unwrap().extend(brought.as_object().unwrap().clone());
            let forged = forger.sign_text(&header.to_string(), &good().to_string());
            assert_eq!(look(&ALL, &forged), Some(Err(Flaw::Bad)));
            // They harm nobody who is who the configuration says.
            assert!(is_believed(&ALL, &ours.sign_text(&header.to_string(), &good().to_string())));
        }
    }
}

#[test]
fn a_name_chooses_among_our_keys_and_never_beyond_them() {
    let (one, two) =
        (Issuer::new(Algorithm::ES256, Some("one")), Issuer::new(Algorithm::ES256, Some("two")));
    let both = verifier(&[&one, &two]);
    let text = |id: &Value| json!({ "alg": "ES256", "kid": id }).to_string();
    let payload = good().to_string();
    assert!(is_believed(&both, &two.sign_text(&text(&json!("two")), &payload)));
    assert_eq!(look(&both, &two.sign_text(&text(&json!("one")), &payload)), Some(Err(Flaw::Bad)));
    for id in
        [json!("three"), json!(""), json!("One"), json!("../one"), json!("' or 1=1"), json!(1)]
    {
        assert!(look(&both, &one.sign_text(&text(&id), &payload)).is_none(), "{id}");
    }
    // With several that would do, a token has to say which; with one, it need not.
    let unnamed = one.sign_text(r#"{"alg":"ES256"}"#, &payload);
    assert!(look(&both, &unnamed).is_none());
    assert!(is_believed(&verifier(&[&one]), &unnamed));
    // A key without a name fits tokens of any.
    let pem = Verifier::new(&terms(one.pem.clone())).unwrap();
    assert!(is_believed(&pem, &one.sign(&good())) && is_believed(&pem, &unnamed));
}

#[test]
fn headers_that_ask_for_more_than_we_do_are_refused() {
    let issuer = issuer(Algorithm::ES256);
    let payload = good().to_string();
    let good = r#"{"alg":"ES256","kid":"e2","typ":"at+jwt","cty":"x","unknown":[{}]}"#;
    assert!(is_believed(&ALL, &issuer.sign_text(good, &payload)));
    for header in [
        r#"{"alg":"ES256","kid":"e2","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","kid":"e2","crit":["b64"],"b64":false}"#,
        r#"{"alg":"ES256","kid":"e2","crit":[]}"#,
        r#"{"alg":"ES256","kid":"e2","crit":null}"#,
        r#"{"alg":"ES256","kid":"e2","enc":"A128GCM"}"#,
        r#"{"alg":"ES256","kid":"e2","zip":"DEF"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"e2"}"#,
        r#"{"alg":"ES256","alg":"ES256","kid":"e2"}"#,
        r#"{"alg":"ES256","kid":"e3","kid":"e2"}"#,
        r#"{"alg":["ES256"],"kid":"e2"}"#,
        r#"{"alg":"ES256","kid":"e2"}x"#,
        r#"{"ALG":"ES256","kid":"e2"}"#,
        r#"{"kid":"e2"}"#,
        r#"["ES256","e2",false,false,false]x"#,
        "{}",
        "[]",
        "ES256",
    ] {
        assert!(look(&ALL, &issuer.sign_text(header, &payload)).is_none(), "{header}");
    }
}

#[test]
fn times_are_kept_with_leeway_and_an_end_is_needed() {
    let issuer = issuer(Algorithm::EdDSA);
    let check = |claims: &Value| {
        let verified = look(&ALL, &issuer.sign(claims)).unwrap();
        verified.map(|verified| verified.until)
    };
    assert_eq!(check(&json!({ "exp": NOW + 1 })), Ok(NOW + 31));
    assert_eq!(check(&json!({ "exp": NOW - 29 })), Ok(NOW + 1));
    assert_eq!(check(&json!({ "exp": NOW - 30 })), Err(Flaw::Expired));
    assert_eq!(check(&json!({ "exp": 0 })), Err(Flaw::Expired));
    assert_eq!(check(&json!({ "exp": -1 })), Err(Flaw::Expired));
    assert_eq!(check(&json!({ "exp": NOW as f64 + 0.5 })), Ok(NOW + 30));
    assert_eq!(check(&json!({ "exp": u64::MAX })), Ok(u64::MAX));
    assert_eq!(check(&json!({ "exp": 1e300 })), Ok(u64::MAX));
    for end in
        [json!(null), json!("1e9"), json!((NOW + 9).to_string()), json!([NOW + 9]), json!(true)]
    {
        assert_eq!(check(&json!({ "exp": end })), Err(Flaw::Bad), "{end}");
    }
    assert_eq!(check(&json!({ "role": "admin" })), Err(Flaw::Bad));
    let early = |begin: Value| check(&json!({ "exp": NOW + 100, "nbf": begin }));
    assert_eq!(early(json!(NOW)), Ok(NOW + 130));
    assert_eq!(early(json!(NOW + 30)), Ok(NOW + 130));
    assert_eq!(early(json!(NOW + 31)), Err(Flaw::Early(NOW + 1)));
    assert_eq!(early(json!("soon")), Err(Flaw::Bad));
    assert_eq!(early(json!(null)), Err(Flaw::Bad));
}

#[test]
fn a_token_is_of_our_issuer_and_for_us() {
    let issuer = issuer(Algorithm::EdDSA);
    let mut terms = terms(set(&[issuer.jwk()]));
    terms.issuers = vec!["https://id.example".into(), "https://old.example".into()];
    terms.audiences = vec!["shop".into()];
    let verifier = Verifier::new(&terms).unwrap();
    let check = |iss: Value, aud: Value| {
        let claims = json!({ "exp": NOW + 100, "iss": iss, "aud": aud });
        is_believed(&verifier, &issuer.sign(&claims))
    };
    assert!(check(json!("https://id.example"), json!("shop")));
    assert!(check(json!("https://old.example"), json!(["pay", "shop"])));
    for (iss, aud) in [
        (json!("https://id.example/"), json!("shop")),
        (json!("https://ID.example"), json!("shop")),
        (json!(["https://id.example"]), json!("shop")),
        (json!(null), json!("shop")),
        (json!("https://id.example"), json!("pay")),
        (json!("https://id.example"), json!("shop ")),
        (json!("https://id.example"), json!([])),
        (json!("https://id.example"), json!([["shop"]])),
        (json!("https://id.example"), json!({ "shop": 1 })),
        (json!("https://id.example"), json!(null)),
    ] {
        assert!(!check(iss.clone(), aud.clone()), "{iss} {aud}");
    }
    assert!(!is_believed(&verifier, &issuer.sign(&good())));
}

#[test]
fn a_token_has_one_form_and_a_bounded_size() {
    let issuer = issuer(Algorithm::EdDSA);
    let token = issuer.sign(&good());
    assert!(is_believed(&ALL, &token));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let last = token.chars().last().unwrap();
    // 64 bytes leave four bits of the last letter unused: whoever ignores them has 16 forms of a token.
    let stray = if last == 'A' { 'B' } else { char::from(last as u8 + 1) };
    for other in [
        format!("{token}="),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}{stray}", &signature[..signature.len() - 1]),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "/",
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{payload}.{signature}.{signature}"),
        "..".to_owned(),
        ".".to_owned(),
        String::new(),
        format!("{header}.\0.{signature}"),
        format!("{header}.{payload}é.{signature}"),
    ] {
        assert!(!is_believed(&ALL, &other), "{other}");
    }
    let long = |letters| issuer.sign(&json!({ "exp": NOW + 9, "name": "x".repeat(letters) }));
    assert!(is_believed(&ALL, &long(5_900)));
    let longer = long(6_200);
    assert!(longer.len() > TOKEN_MAX && look(&ALL, &longer).is_none());
}

#[test]
fn claims_that_two_could_read_differently_are_refused() {
    let issuer = issuer(Algorithm::EdDSA);
    let sign = |payload: &str| issuer.sign_text(r#"{"alg":"EdDSA","kid":"ed"}"#, payload);
    let end = NOW + 9;
    for (payload, is_good) in [
        (format!(r#"{{"exp":{end},"a":{{"b":[1,{{"c":null}}]}}}}"#), true),
        (format!(r#"{{"exp":{end},"role":"user","role":"admin"}}"#), false),
        (format!(r#"{{"exp":{end},"rol\u0065":"user","role":"admin"}}"#), false),
        (format!(r#"{{"exp":{end},"a":[{{"b":1,"b":2}}]}}"#), false),
        (format!(r#"{{"exp":1,"exp":{end}}}"#), false),
        (format!(r#"{{"exp":{end}}} x"#), false),
        (format!(r#"{{"exp":{end}}}{{}}"#), false),
        (format!(r#"[{{"exp":{end}}}]"#), false),
        (format!("\u{feff}{{\"exp\":{end}}}"), false),
        (format!(r#"{{"exp":{end},}}"#), false),
        (format!(r#"{{"exp":{end},"a":NaN}}"#), false),
        (r#"{"exp":1e999}"#.to_owned(), false),
        (format!(r#"{{"exp":{end},"a":{}{}}}"#, "[".repeat(200), "]".repeat(200)), false),
        (r#""exp""#.to_owned(), false),
        (String::from("null"), false),
    ] {
        assert_eq!(is_believed(&ALL, &sign(&payload)), is_good, "{payload}");
    }
    let many = |count: usize| {
        let mut claims = json!({ "exp": end });
        (1..count).for_each(|number| claims[number.to_string()] = json!(1));
        is_believed(&ALL, &issuer.sign(&claims))
    };
    assert!(many(64) && !many(65));
}

fn read(keys: &[Value]) -> Result<Verifier, String> {
    Verifier::new(&terms(set(keys)))
}

/// The key with another value under a name.
fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

#[test]
fn keys_that_are_weak_or_twofold_are_refused() {
    let [rsa, point, ed] =
        [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|it| issuer(it).jwk());
    let short = |length: usize| json!(token::encode(vec![0xff; length]));
    for (keys, why) in [
        (
            vec![with(&rsa, "n", short(128))],
            "key `r2` is RSA of 1024 bits, and 2048 to 8192 are needed",
        ),
        (
            vec![with(&rsa, "n", json!(token::encode([&[0; 200][..], &[0x7f; 56]].concat())))],
            "key `r2` is RSA of 447 bits, and 2048 to 8192 are needed",
        ),
        (
            vec![with(&rsa, "n", short(2048))],
            "key `r2` is RSA of 16384 bits, and 2048 to 8192 are needed",
        ),
        (vec![with(&rsa, "e", json!("AQ"))], "key `r2` has an `e` that no RSA key should have"),
        (vec![with(&rsa, "n", json!("AQ=="))], "key `r2` has a `n` that is not base64url"),
        (vec![with(&rsa, "e", json!(null))], "key `r2` has no `e`"),
        (vec![with(&rsa, "alg", json!("HS256"))], "key `r2` cannot be used for HS256"),
        (vec![with(&rsa, "alg", json!("ES256"))], "key `r2` cannot be used for ES256"),
        (vec![with(&point, "alg", json!("ES384"))], "key `e2` cannot be used for ES384"),
        (vec![with(&point, "x", short(32))], "key `e2` is no point of its curve"),
        (vec![with(&point, "x", short(31))], "key `e2` has halves of different length"),
        (vec![with(&ed, "x", short(31))], "key `ed` is no point of its curve"),
        (
            vec![json!({ "kty": "oct", "k": token::encode([1; 31]) })],
            "key 1 is too short: 31 bytes, and 32 are needed",
        ),
        (
            vec![json!({ "kty": "oct", "alg": "HS512", "k": token::encode([1; 63]) })],
            "key 1 is too short: 63 bytes, and 64 are needed",
        ),
        (
            vec![point.clone(), with(&ed, "kid", json!("e2"))],
            "nothing tells which is meant: there are two of EdDSA key `e2`",
        ),
        (vec![json!({ "kty": 1 })], "key 1: invalid type: integer `1`, expected a string"),
        (
            vec![with(&rsa, "use", json!("enc"))],
            "no key of the set can verify a signature: key `r2` is passed over: it is not meant to verify",
        ),
        (vec![], "no key of the set can verify a signature"),
    ] {
        assert_eq!(read(&keys).unwrap_err(), why);
    }
}

#[test]
fn keys_that_are_for_something_else_are_passed_over() {
    let [rsa, ed] = [Algorithm::RS256, Algorithm::EdDSA].map(|it| issuer(it).jwk());
    let odd = read(&[
        with(&rsa, "key_ops", json!(["encrypt"])),
        with(&rsa, "alg", json!("RSA-OAEP")),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "AKP", "kid": "pq" }),
        with(&ed, "d", json!("AA")),
    ])
    .unwrap();
    assert_eq!(odd.keys(), ["EdDSA key `ed`"]);
    assert_eq!(
        odd.remarks(),
        [
            "key `r2` is passed over: it is not meant to verify",
            "key `r2` is passed over: RSA-OAEP is not known here",
            "key 3 is passed over: EC on P-521 is not known here",
            "key `pq` is passed over: AKP is not known here",
            "key `ed` is a private key; its public half would do",
        ]
    );
    assert!(!odd.has_secret() && ALL.has_secret());
}

#[test]
fn one_public_key_in_pem_will_do() {
    for (algorithm, name) in [
        (Algorithm::RS256, "RS256 key without a name"),
        (Algorithm::ES256, "ES256 key without a name"),
        (Algorithm::ES384, "ES384 key without a name"),
        (Algorithm::EdDSA, "EdDSA key without a name"),
    ] {
        let issuer = issuer(algorithm);
        let verifier = Verifier::new(&terms(issuer.pem.clone())).unwrap();
        assert_eq!(verifier.keys(), [name]);
        assert!(is_believed(&verifier, &issuer.sign(&good())));
    }
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let one = &issuer(Algorithm::ES256).pem;
    for (text, why) in [
        (pair.public_key_pem(), "the key is none of RSA, P-256, P-384 and Ed25519"),
        (pair.serialize_pem(), "this is a private key: openssl pkey -pubout -in FILE"),
        (format!("{one}{one}"), "there are several keys in it: make a JSON Web Key Set"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "this is a certificate: openssl x509 -pubkey -noout -in FILE",
        ),
        (String::new(), "this is neither a JSON Web Key Set nor a public key in PEM"),
        (
            String::from_utf8_lossy(SECRET).into_owned(),
            "this is neither a JSON Web Key Set nor a public key in PEM",
        ),
    ] {
        assert_eq!(Verifier::new(&terms(text)).unwrap_err(), why);
    }
    let error = Verifier::new(&terms("{\"keys\":1}")).unwrap_err();
    assert!(error.starts_with("this is no JSON Web Key Set"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_change_of_a_token_is_believed(
        which in 0_usize..12,
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let token = ISSUERS[which].sign(&good());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = to;
        }
        let checked = ALL.candidate(&bytes).map(|candidate| candidate.check(NOW));
        prop_assert_eq!(matches!(checked, Some(Ok(_))), bytes == token.as_bytes());
    }

    #[test]
    fn no_bytes_are_a_token_and_none_break_anything(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..512),
            "[A-Za-z0-9_.=-]{0,512}".prop_map(String::into_bytes),
            "e30\\.[A-Za-z0-9_-]{0,99}\\.[A-Za-z0-9_-]{0,99}".prop_map(String::into_bytes),
        ],
    ) {
        let checked = ALL.candidate(&bytes).map(|candidate| candidate.check(NOW));
        prop_assert!(!matches!(checked, Some(Ok(_))));
        let _ = Verifier::new(&terms(bytes));
    }

    #[test]
    fn no_signed_payload_breaks_anything(payload in "\\PC{0,64}|[\\[\\]{}\",:0-9a-z]{0,64}") {
        let token = issuer(Algorithm::HS256).sign_text(r#"{"alg":"HS256","kid":"h2"}"#, &payload);
        let checked = look(&ALL, &token);
        prop_assert!(matches!(checked, Some(Err(Flaw::Bad))) || payload.is_empty());
    }
}
