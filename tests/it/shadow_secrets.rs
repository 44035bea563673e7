//! A secret that passes through is found nowhere afterwards.

use std::{fs, path::Path};

use e2e::{Origin, eventually, origin::Request};
use gnomon_shadow::finding::Finding;

use super::{
    guest::Guest,
    shadow::{post, shadowed},
    shadow_findings::{answering, gzip, reply},
};

/// Secrets, each in a place of its own. Letters that every encoding changes are among them.
const BEARER: &str = "bearer-s3cr3t/+==";
const BASIC: &str = "basic-s3cr3t:x";
/// `user:basic-s3cr3t:x` in base 64.
const BASIC_64: &str = "dXNlcjpiYXNpYy1zM2NyM3Q6eA==";
const COOKIE: &str = "cookie-s3cr3t-42";
const SET_COOKIE: &str = "set-cookie-s3cr3t-43";
const QUERY: &str = "query s3cr3t&/é";
const QUERY_CODED: &str = "query%20s3cr3t%26%2F%C3%A9";
const JSON: &str = "json\\\"s3cr3t/44";
const REPLY: &str = "reply-s3cr3t-45";
const FORM: &str = "form s3cr3t/46";
const FORM_CODED: &str = "form+s3cr3t%2F46";

/// Every form of a secret that must not occur anywhere.
fn forms() -> Vec<String> {
    let mut forms: Vec<String> = [
        BEARER,
        BASIC,
        BASIC_64,
        COOKIE,
        SET_COOKIE,
        QUERY,
        QUERY_CODED,
        JSON,
        REPLY,
        FORM,
        FORM_CODED,
    ]
    .map(str::to_owned)
    .into();
    forms.extend([
        "json\"s3cr3t/44".to_owned(),
        "json%22s3cr3t%2F44".to_owned(),
        "bearer-s3cr3t%2F%2B%3D%3D".to_owned(),
        "bearer-s3cr3t%2f%2b%3d%3d".to_owned(),
        "form%20s3cr3t%2F46".to_owned(),
        "query+s3cr3t%26%2F%C3%A9".to_owned(),
        "query%20s3cr3t%26%2f%c3%a9".to_owned(),
        // What all of them have in the middle, should a part of one be left.
        "s3cr3t".to_owned(),
    ]);
    forms
}

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
        if let Some(at) = found {
            let near = &bytes[at.saturating_sub(200)..bytes.len().min(at + 100)];
            panic!("{form} is in {what}: {}", String::from_utf8_lossy(near));
        }
    }
}

/// An origin that repeats all that it is told, as careless servers do, and signs with `name`.
fn parrot(name: &'static str) -> Origin {
    answering(move |request| {
        let told = String::from_utf8_lossy(&request.body).into_owned();
        let bearer = request.field("authorization").unwrap_or_default().to_owned();
        let Request { head, .. } = request;
        let cookie =
            format!("set-cookie: sid={SET_COOKIE}-{name}; Secure\r\nx-echo: {bearer} {name}");
        let path = request.line().split([' ', '?']).nth(1).unwrap_or_default();
        match path {
            "/text" => reply(
                &format!("200 OK\r\ncontent-type: text/plain\r\n{cookie}"),
                format!("{name} heard\n{head}\n{told}\n{name} will tell"),
            ),
            "/error" => reply(
                &format!("500 Oops\r\ncontent-type: text/html\r\n{cookie}"),
                format!("<html>{name}: <pre>{head}{told}</pre><a href=\"/x?token={QUERY_CODED}\">"),
            ),
            "/gzip" => {
                let start = "200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip";
                let body = serde_json::json!({
                    "token": format!("{REPLY}-{name}"), "note": format!("{REPLY}-{name}"),
                    "by": name, "head": head,
                });
                reply(&format!("{start}\r\n{cookie}"), gzip(&body.to_string()))
            }
            "/keys" => {
                let body = serde_json::json!({
                    "token": format!("{REPLY}-{name}"), "by": name,
                    "sessions": { format!("{REPLY}-{name}"): { "of": name } },
                });
                let start = "200 OK\r\ncontent-type: application/json";
                reply(&format!("{start}\r\n{cookie}"), body.to_string())
            }
            // Not what it says it is.
            "/broken" => {
                let body = format!("{{\"token\": \"{REPLY}-{name}\", \"by\": {name}}}");
                let start =
                    format!("200 OK\r\ncontent-type: application/json\r\nx-note: {REPLY}-{name}");
                reply(&format!("{start}\r\n{cookie}"), body)
            }
            "/bytes" => reply(&format!("200 OK\r\n{cookie}"), format!("\0{name}{head}{told}")),
            _ => {
                let echo = serde_json::json!({
                    "by": name, "token": format!("{REPLY}-{name}"), "head": head, "told": told,
                    "deep": [{ "password": format!("{REPLY} {name}"), "note": bearer }],
                });
                reply(
                    &format!("200 OK\r\ncontent-type: application/json\r\n{cookie}"),
                    echo.to_string(),
                )
            }
        }
    })
}

fn requests() -> Vec<String> {
    let fields = format!(
        "cookie: a=b; sid={COOKIE}\r\nreferer: http://a/?x=1&token={QUERY_CODED}\r\n\
         user-agent: test\r\n"
    );
    let bearer = format!("authorization: Bearer {BEARER}\r\n{fields}");
    let basic = format!("authorization: Basic {BASIC_64}\r\n{fields}");
    let with = |request: String, more: &str| {
        request.replacen("host: a\r\n", &format!("host: a\r\n{more}"), 1)
    };
    let mut all = Vec::new();
    for path in ["/json", "/text", "/error", "/bytes", "/gzip", "/keys", "/broken"] {
        for more in [&bearer, &basic] {
            let get = format!("GET {path}?x=1&token={QUERY_CODED}&y=2 HTTP/1.1\r\nhost: a\r\n\r\n");
            all.push(with(get, more));
            let json = post(path, &format!("{{\"user\": \"u\", \"password\": \"{JSON}\"}}"));
            all.push(with(json, &format!("content-type: application/json\r\n{more}")));
            let form = post(path, &format!("user=u&password={FORM_CODED}&z=1"));
            let kind = "content-type: application/x-www-form-urlencoded\r\n";
            all.push(with(form, &format!("{kind}{more}")));
            let parts = format!(
                "--cut\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\n{FORM}\r\n--cut--\r\n"
            );
            let kind = "content-type: multipart/form-data; boundary=cut\r\n";
            all.push(with(post(path, &parts), &format!("{kind}{more}")));
        }
    }
    all
}

/// Every answer of the API that has to do with shadows, and all else that can be read.
fn answers(proxy: &Guest) -> Vec<(String, String)> {
    let mut paths: Vec<String> = [
        "/v1/status",
        "/v1/config",
        "/v1/diff",
        "/v1/shadows",
        "/v1/shadows/new",
        "/v1/shadows/new/findings?all=true&limit=1000",
        "/v1/shadows/new/noise?all=true",
    ]
    .map(str::to_owned)
    .into();
    let (_, text) = proxy.get("/v1/shadows/new/findings?all=true&limit=1000");
    let page: gnomon::control::api::Page<Finding> =
        serde_json::from_str(&text).expect("it is what the API says");
    assert!(page.total >= 12, "{text}");
    for finding in &page.items {
        paths.push(format!("/v1/findings/{}", finding.id));
        paths.extend(finding.examples.iter().map(|id| format!("/v1/examples/{id}")));
    }
    let answer = |path: String| {
        let (status, text) = proxy.get(&path);
        assert_eq!(status, 200, "{path}: {text}");
        (path, text)
    };
    paths.into_iter().map(answer).collect()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            all.push(path);
        }
    }
    all
}

fn leaves_no_trace(style: &str) {
    let (primary, shadow) = (parrot("one"), parrot("two"));
    let more = format!(
        "shadow.new.noise = true\nshadow.new.match.method = [\"GET\", \"POST\"]\n\
         shadow.new.compare.headers = [\"set-cookie\", \"x-echo\", \"x-note\", \"content-type\"]\n\
         shadow.new.redact.style = \"{style}\"\nshadow.new.in_flight = 4096\n\
         log = {{ level = \"trace\", to = \"{{folder}}/own.log\" }}\n\
         access_log.to = \"{{folder}}/access.log\"\n"
    );
    let proxy = Guest::start(&shadowed(&primary, &shadow, &more));
    let requests = requests();
    let mut client = proxy.connect();
    for _ in 0..3 {
        for request in &requests {
            assert!(matches!(client.ask(request).status(), 200 | 500));
        }
    }
    let count = 3 * requests.len() as u64;
    eventually("all are compared", || proxy.books().accounting.compared == count);
    let store = proxy.folder().join("state/shadow.db-wal");
    let status = || -> serde_json::Value {
        serde_json::from_str(&proxy.get("/v1/status").1).expect("it is JSON")
    };
    let written = || {
        let store = &status()["shadow"]["store"];
        store["pending"] == 0 && store["writes"].as_u64() > Some(0)
    };
    let reported = || {
        let (_, text) = proxy.get("/v1/shadows/new");
        text.contains(&format!("\"compared\":{count},"))
    };
    eventually("all is reported", reported);
    let writes = status()["shadow"]["store"]["writes"].as_u64();
    eventually("all is written", || {
        written() && status()["shadow"]["store"]["writes"].as_u64() >= writes
    });
    assert!(store.exists());
    let own = |path: &Path| path.ends_with("gnomon.toml");
    let all = files(proxy.folder());
    for path in all.iter().filter(|path| !own(path)) {
        clean(&path.display().to_string(), &fs::read(path).expect("it can be read"));
    }
    for name in ["state/shadow.db", "own.log", "access.log"] {
        let path = proxy.folder().join(name);
        assert!(fs::metadata(&path).is_ok_and(|it| it.len() > 0), "{name}");
    }
    let answers = answers(&proxy);
    for (path, text) in &answers {
        clean(path, text.as_bytes());
    }
    // What is left is of use: who sent what is still to be seen.
    let kept = answers.iter().map(|(_, text)| text.as_str()).collect::<String>();
    assert!(kept.contains("will tell") && kept.contains("user-agent"));
}

#[test]
fn secrets_are_hashed() {
    leaves_no_trace("hash");
}

#[test]
fn secrets_are_masked() {
    leaves_no_trace("mask");
}

#[test]
fn secrets_are_dropped() {
    leaves_no_trace("drop");
}
