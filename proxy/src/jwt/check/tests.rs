//! What `gnomon check` says of the keys of tokens: G068.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use gnomon_config::{Loaded, Options, load};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::{
    jwt::testing::{Issuer, NOW, set},
    tls::check::{Overdue, checked},
};

/// A file with keys, and a configuration that names it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gnomon-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let text = "listen = \"127.0.0.1:8080\"\nroute.all.respond.status = 204\n\
                    flags.jwt.keys = \"keys\"\n";
        fs::write(path.join("gnomon.toml"), text).unwrap();
        Self(path)
    }

    /// What is said of these keys in a file of this mode, a line for each problem.
    fn told(&self, keys: &str, mode: u32) -> Vec<String> {
        let file = self.0.join("keys");
        fs::write(&file, keys).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load(&self.0.join("gnomon.toml"), &Options::default());
        let problems = match checked(loaded, NOW, Overdue::Refused) {
            Ok(Loaded { warnings, .. }) => warnings,
            Err(problems) => problems,
        };
        let line = |problem: &gnomon_config::Problem| {
            let text = &problems.files()[problem.place.file].text;
            let place = &text[problem.place.start..problem.place.end];
            format!("{} {} {place}: {}", problem.severity.as_str(), problem.code, problem.message)
        };
        problems.iter().map(line).collect()
    }
}

#[test]
fn keys_of_tokens_are_checked_where_they_are_named() {
    let folder = Folder::new("tokens");
    let point = Issuer::new(Algorithm::ES256, Some("a"));
    let secret = Issuer::new(Algorithm::HS256, Some("b")).jwk();
    assert_eq!(folder.told(&set(&[point.jwk()]), 0o644), [""; 0]);
    assert_eq!(folder.told(&point.pem, 0o644), [""; 0]);
    assert_eq!(folder.told(&set(std::slice::from_ref(&secret)), 0o640), [""; 0]);
    assert_eq!(
        folder.told(&set(&[secret]), 0o644),
        ["warning G068 \"keys\": everybody on this machine can read this secret, and sign with it"]
    );
    assert_eq!(
        folder.told(&set(&[point.jwk(), json!({ "kty": "AKP", "kid": "pq" })]), 0o644),
        ["warning G068 \"keys\": key `pq` is passed over: AKP is not known here"]
    );
    let weak = json!({ "kty": "RSA", "e": "AQAB", "n": format!("{}8", "_".repeat(170)) });
    assert_eq!(
        folder.told(&set(&[weak]), 0o644),
        ["error G068 \"keys\": key 1 is RSA of 1024 bits, and 2048 to 8192 are needed"]
    );
    assert_eq!(
        folder.told("hello", 0o644),
        ["error G068 \"keys\": this is neither a JSON Web Key Set nor a public key in PEM"]
    );
}
