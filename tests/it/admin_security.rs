//! Who may do what over the admin API, and that nobody else may: no page of another site, nobody
//! without a token or a certificate, nobody beyond their role.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use e2e::{
    Client, Driver, Reply, Running,
    certs::{Authority, Identity, Wanted},
    eventually, on_each_driver,
};
use gnomon::control::api::{Kind, series::Role};
use serde_json::Value;

const BASE: &str = "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
                    upstream.shop.versions.v1 = [\"127.0.0.1:9\"]\nroute.all.to = \"shop\"\n";
const ROLES: [&str; 4] = ["read", "rollout", "config", "admin"];

/// A token for each role.
fn token_of(role: &str) -> String {
    format!("{role}-0123456789abcdef0123456789abcdef")
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder is there");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A folder that goes when the test does.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(driver: Driver, name: &str) -> Self {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("gnomon-{name}-{process}-{}", driver.name()));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    /// Tokens of all roles, and the lines that name them.
    fn tokens(&self) -> String {
        let line = |role: &&str| {
            let file = self.0.join(role);
            write_private(&file, &token_of(role));
            format!("admin.token.{role} = {{ file = \"{}\", role = \"{role}\" }}\n", file.display())
        };
        ROLES.iter().map(line).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(proxy: &Running, head: &str) -> Reply {
    Client::connect(proxy.admin()).ask(format!("{head}\r\ncontent-length: 0\r\n\r\n"))
}

/// The status of a request over TCP with these fields, beside a right Host.
fn status(proxy: &Running, what: &str, fields: &str) -> u16 {
    ask(proxy, &format!("{what} HTTP/1.1\r\nhost: localhost{fields}")).status()
}

fn with_token(token: &str) -> String {
    format!("\r\nx-gnomon: 1\r\nauthorization: Bearer {token}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn no_page_of_another_site_is_answered_wherever_it_comes_by() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, BASE);
        let port = proxy.admin().port();
        let freeze = "POST /v1/upstreams/shop/freeze";
        let same = format!("host: localhost:{port}\r\norigin: http://localhost:{port}");
        // What, its fields, the status over TCP and that over the socket.
        let table: [(&str, &str, u16, u16); 16] = [
            ("GET /v1/status", "host: localhost", 200, 200),
            ("GET /v1/status", "host: evil.example", 403, 403),
            ("GET /v1/status", "host: localhost.evil.example:9099", 403, 403),
            ("GET /v1/status", "host: localhost\r\nhost: localhost", 403, 403),
            ("GET /livez", "host: evil.example", 403, 403),
            ("GET /v1/status", "host: localhost\r\norigin: http://evil.example", 403, 403),
            ("GET /v1/status", "host: localhost\r\norigin: null", 403, 403),
            ("GET /v1/status", "host: localhost\r\nsec-fetch-site: cross-site", 403, 403),
            ("GET /v1/status", "host: localhost\r\nsec-fetch-site: same-site", 403, 403),
            ("GET /v1/status", "host: localhost\r\nsec-fetch-site: same-origin", 200, 200),
            (freeze, "host: localhost", 403, 200),
            (freeze, "host: localhost\r\nx-gnomon: 0", 403, 200),
            (freeze, "host: localhost\r\nx-gnomon: 1", 200, 200),
            (freeze, "host: evil.example\r\nx-gnomon: 1", 403, 403),
            (freeze, "host: localhost\r\nx-gnomon: 1\r\norigin: http://localhost:1", 403, 403),
            (freeze, &format!("{same}\r\nx-gnomon: 1"), 200, 200),
        ];
        for (what, fields, tcp, socket) in table {
            let head = format!("{what} HTTP/1.1\r\n{fields}\r\ncontent-length: 0\r\n\r\n");
            let over_tcp = Client::connect(proxy.admin()).ask(&head);
            assert_eq!(over_tcp.status(), tcp, "{head}{}", over_tcp.text());
            let door = proxy.folder().join("admin.sock");
            let over_socket = Client::connect_unix(&door).ask(&head);
            assert_eq!(over_socket.status(), socket, "{head}{}", over_socket.text());
        }
        let page = Client::connect(proxy.admin()).ask(
            "OPTIONS /v1/reload HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\r\n",
        );
        assert!(page.field("access-control-allow-origin").is_none(), "{}", page.head);
        let told = proxy.call("GET", "/metrics", "").1;
        let told = e2e::exposition::parse(&told, false);
        for (reason, least) in [("host", 8.0), ("origin", 8.0), ("field", 2.0)] {
            let count = told.sum("gnomon_admin_refused_total", &[("reason", reason)]);
            assert!(count >= least, "{reason}: {count}");
        }
    });
}

#[test]
fn browsers_are_told_to_do_no_more_with_an_answer_than_was_meant() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, BASE);
        for path in ["/v1/status", "/nowhere", "/"] {
            let reply = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nhost: localhost"));
            let field = |name: &str| reply.field(name).unwrap_or_default().to_owned();
            let policy = field("content-security-policy");
            assert!(policy.starts_with("default-src 'self'"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            assert_eq!(field("x-content-type-options"), "nosniff");
            assert_eq!(field("cross-origin-resource-policy"), "same-origin");
            assert_eq!(field("referrer-policy"), "no-referrer");
            assert!(path == "/" || field("cache-control") == "no-store", "{path}");
        }
    });
}

/// Every row of the API's own description: method, path, role.
fn routes(proxy: &Running) -> Vec<(String, String, Option<String>)> {
    let (status, text) = proxy.call("GET", "/v1/openapi.json", "");
    assert_eq!(status, 200, "{text}");
    let api = json(&text);
    let mut all = Vec::new();
    for (path, methods) in api["paths"].as_object().expect("it has paths") {
        for (method, operation) in methods.as_object().expect("a path has methods") {
            let role = operation["x-gnomon-role"].as_str().map(str::to_owned);
            all.push((method.to_uppercase(), path.clone(), role));
        }
    }
    all
}

#[test]
fn each_role_may_do_what_it_may_on_every_route_and_nothing_more() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "roles");
        let proxy = Running::start(driver, &format!("{BASE}{}", folder.tokens()));
        let all = routes(&proxy);
        assert!(all.len() > 50, "{all:?}");
        for (method, path, needs) in &all {
            let path = path.replace("{verb}", "pause").replace("{name}", "nosuch");
            let path = path.replace("{id}", "0").replace("{key}", "x").replace("{path}", "x");
            let status_with = |fields: &str| {
                let mut client = Client::connect(proxy.admin());
                client.send(format!(
                    "{method} {path} HTTP/1.1\r\nhost: localhost{fields}\r\ncontent-length: 0\r\n\r\n"
                ));
                // Streams have no end.
                let head = client.expect_head("HTTP/1.1 ");
                head[9..12].parse::<u16>().expect("it is a status")
            };
            let Some(needs) = needs else {
                assert!(![401, 403].contains(&status_with("")), "{method} {path}");
                continue;
            };
            assert_eq!(status_with("\r\nx-gnomon: 1"), 401, "{method} {path}");
            let needed = ROLES.iter().position(|role| role == needs).expect("it is a role");
            for (at, role) in ROLES.iter().enumerate() {
                // What ends the proxy would end the test.
                if at >= needed && ["/v1/stop", "/v1/upgrade"].contains(&&*path) {
                    continue;
                }
                let status = status_with(&with_token(&token_of(role)));
                assert_eq!(status == 403, at < needed, "{role}: {method} {path}: {status}");
                assert!(![401, 405].contains(&status), "{role}: {method} {path}: {status}");
            }
        }
        // Nothing acts on a GET.
        for (_, path, _) in all.iter().filter(|(method, ..)| method == "POST") {
            if all.iter().any(|(method, other, _)| method == "GET" && other == path) {
                continue;
            }
            let path = path.replace("{verb}", "pause").replace("{name}", "nosuch");
            let path = path.replace("{key}", "x");
            let told = status(&proxy, &format!("GET {path}"), &with_token(&token_of("admin")));
            assert_eq!(told, 405, "GET {path}");
        }
    });
}

#[test]
fn a_token_is_asked_for_and_nearly_the_right_one_is_not_enough() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "tokens");
        let proxy = Running::start(driver, &format!("{BASE}{}", folder.tokens()));
        let right = token_of("config");
        let of = |fields: &str| status(&proxy, "GET /v1/whoami", fields);
        assert_eq!(of(&with_token(&right)), 200);
        assert_eq!(of(&format!("\r\nauthorization: bearer {right}")), 200);
        for wrong in ["", "x", &right[..31], &right[..right.len() - 1], &format!("{right}x")] {
            assert_eq!(of(&with_token(wrong)), 401, "{wrong:?}");
        }
        for fields in ["", "\r\nx-api-key: config-0123456789abcdef0123456789abcdef"] {
            assert_eq!(of(fields), 401, "{fields}");
        }
        assert_eq!(of(&format!("\r\nauthorization: Basic {right}")), 401);
        let reply = ask(&proxy, "GET /v1/status HTTP/1.1\r\nhost: localhost");
        assert_eq!(reply.field("www-authenticate"), Some("Bearer"));
        for path in ["/livez", "/readyz", "/healthz", "/"] {
            assert_eq!(status(&proxy, &format!("GET {path}"), ""), 200, "{path}");
        }
        // Another token in the same file is taken over by a reload, and the old one is worth nothing.
        let new = "another-fedcba9876543210fedcba9876543210";
        write_private(&folder.0.join("config"), new);
        assert_eq!(of(&with_token(new)), 401);
        proxy.reload().expect("it can be reloaded");
        assert_eq!((of(&with_token(new)), of(&with_token(&right))), (200, 401));
        // One that everybody can read is refused, and the old ones stay.
        fs::set_permissions(folder.0.join("config"), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = proxy.reload().unwrap_err();
        assert!(refused.error.contains("everybody on this machine can read"), "{refused}");
        assert_eq!(of(&with_token(new)), 200);
        let (_, config) = proxy.call("GET", "/v1/config", "");
        assert!(config.contains("admin.token.config.role") && !config.contains(new), "{config}");
    });
}

#[test]
fn over_tls_a_certificate_says_who_it_is_and_nobody_comes_without() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "mutual");
        let (root, others) = (Authority::new("root"), Authority::new("others"));
        let server = root.issue(&["localhost"]);
        let (cert, key) = server.write(&folder.0, "server");
        let ca = folder.0.join("root.pem");
        fs::write(&ca, root.pem()).unwrap();
        let config = format!(
            "{BASE}admin.tls = {{ cert = \"{}\", key = \"{}\", client_ca = \"{}\" }}\n\
             admin.client.ann = {{ subject = \"CN=ann,O=Example\", role = \"admin\" }}\n\
             admin.client.ops = {{ san = \"DNS:ops.example\", role = \"rollout\" }}\n",
            cert.display(),
            key.display(),
            ca.display()
        );
        let proxy = Running::start(driver, &config);
        let ann = Wanted { subject: ("ann", Some("Example")), ..Wanted::default() };
        let named = |name| Wanted { subject: (name, None), ..Wanted::default() };
        let identities = [
            (root.issue_as(&ann), Some(("client ann", Role::Admin))),
            (root.issue(&["ops.example"]), Some(("client ops", Role::Rollout))),
            (root.issue_as(&named("bob")), Some(("CN=bob", Role::Read))),
            // Of nobody we believe, whatever it says.
            (others.issue_as(&ann), None),
        ];
        let whoami = |identity: Option<&Identity>| {
            let client = Arc::new(root.client(identity, &[&rustls::version::TLS13]));
            let mut client = Client::connect_tls(proxy.admin(), &client, "localhost").ok()?;
            client.try_send("GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let reply = client.try_read_reply_to("GET").ok()?;
            // Without a reply, it has none.
            (reply.status() > 0).then(|| (reply.status(), reply.text()))
        };
        for (identity, expected) in &identities {
            match (whoami(Some(identity)), expected) {
                (Some((200, text)), Some((name, role))) => {
                    let who = json(&text);
                    assert_eq!(
                        (who["name"].as_str(), who["role"].as_str()),
                        (Some(*name), Some(role.name()))
                    );
                }
                (told, expected) => assert!(told.is_none() && expected.is_none(), "{told:?}"),
            }
        }
        assert_eq!(whoami(None), None, "nobody without a certificate gets as far as a reply");
        // Nor does who speaks in the clear.
        let mut plain = Client::connect(proxy.admin());
        plain.send("GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert!(!String::from_utf8_lossy(&plain.read_rest()).contains("role"));
        eventually("the handshakes that failed are counted", || {
            let told = proxy.call("GET", "/metrics", "").1;
            let told = e2e::exposition::parse(&told, false);
            told.sum("gnomon_admin_refused_total", &[("reason", "handshake")]) >= 3.0
        });
        // Whose certificate nobody names may be for nothing at all.
        proxy.edit("client_ca = ", "client_role = \"none\", client_ca = ");
        proxy.reload().expect("it can be reloaded");
        assert_eq!(whoami(Some(&identities[2].0)).map(|told| told.0), Some(403));
        assert_eq!(whoami(Some(&identities[0].0)).map(|told| told.0), Some(200));
    });
}

#[test]
fn beyond_loopback_nobody_is_served_without_tls_and_something_to_show() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "beyond");
        let base = BASE.replace("admin.listen = \"127.0.0.1:0\"", "admin.listen = \"0.0.0.0:0\"");
        let root = Authority::new("root");
        let (cert, key) = root.issue(&["localhost"]).write(&folder.0, "server");
        let (cert, key) = (cert.display(), key.display());
        let tls = format!("admin.tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n");
        for lines in [String::new(), tls.clone(), folder.tokens()] {
            let refused = Running::try_start(driver, &format!("{base}{lines}")).unwrap_err();
            assert!(refused.kind == Kind::Config && refused.error.contains("G032"), "{refused}");
        }
        let proxy = Running::start(driver, &format!("{base}{tls}{}", folder.tokens()));
        let client = Arc::new(root.client(None, &[]));
        let address = ([127, 0, 0, 1], proxy.admin().port()).into();
        let connect = || Client::connect_tls(address, &client, "localhost");
        let head = "GET /v1/status HTTP/1.1\r\nhost: localhost\r\n";
        let mut secure = connect().expect("it speaks TLS");
        assert_eq!(secure.ask(format!("{head}\r\n")).status(), 401);
        let token = token_of("read");
        let known = secure.ask(format!("{head}authorization: Bearer {token}\r\n\r\n"));
        assert_eq!(known.status(), 200, "{}", known.text());
        // A file that takes the tokens away and leaves for loopback at the next start: until then
        // the old address is open to nobody.
        proxy.write(BASE);
        proxy.reload().expect("it is right by itself");
        assert!(connect().is_err(), "nobody is let in where anybody could come");
        let mut plain = Client::connect(address);
        let _ = plain.try_send(format!("{head}\r\n"));
        assert!(plain.read_rest().is_empty());
    });
}

#[test]
fn only_reading_is_left_to_everybody() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "reading");
        let config = format!("{BASE}admin.read_only = true\n{}", folder.tokens());
        let proxy = Running::start(driver, &config);
        let fields = with_token(&token_of("admin"));
        assert_eq!(status(&proxy, "POST /v1/upstreams/shop/freeze", &fields), 403);
        assert_eq!(proxy.call("POST", "/v1/reload", "").0, 403);
        assert_eq!(status(&proxy, "GET /v1/status", &fields), 200);
        let who = json(&proxy.call("GET", "/v1/whoami", "").1);
        assert_eq!(who["role"], "read");
    });
}

#[test]
fn a_user_of_the_machine_may_be_left_to_read() {
    on_each_driver(|driver| {
        let uid = rustix::process::getuid().as_raw();
        let proxy = Running::start(driver, &format!("{BASE}admin.user.{uid}.role = \"read\"\n"));
        assert_eq!(proxy.call("POST", "/v1/reload", "").0, 403);
        let who = json(&proxy.call("GET", "/v1/whoami", "").1);
        assert_eq!((&who["name"], &who["role"]), (&format!("uid {uid}").into(), &"read".into()));
        assert!(who["host"].as_str().is_some_and(|host| !host.is_empty()));
    });
}

#[test]
fn every_deed_and_every_refusal_has_its_line() {
    on_each_driver(|driver| {
        let folder = Folder::new(driver, "audit");
        let file = folder.0.join("audit.log");
        let config = format!("{BASE}admin.audit = \"{}\"\n{}", file.display(), folder.tokens());
        let proxy = Running::start(driver, &config);
        let lines = || -> Vec<Value> {
            fs::read_to_string(&file).unwrap_or_default().lines().map(json).collect()
        };
        let weight = "{\"v1\": 100}";
        proxy.act("/v1/upstreams/shop/freeze", "");
        assert_eq!(proxy.call("POST", "/v1/upstreams/shop/weight", weight).0, 409);
        assert_eq!(status(&proxy, "POST /v1/reload", &with_token(&token_of("rollout"))), 403);
        assert_eq!(status(&proxy, "POST /v1/reload", &with_token("guessed")), 401);
        assert_eq!(proxy.call("GET", "/v1/status", "").0, 200);
        eventually("all four are written", || lines().len() == 4);
        let all = lines();
        let of = |at: usize, key: &str| all[at][key].as_str().unwrap_or_default().to_owned();
        let outcomes: Vec<String> = (0..4).map(|at| of(at, "outcome")).collect();
        assert_eq!(outcomes, ["done", "failed", "refused", "refused"]);
        assert_eq!((of(0, "subject"), of(0, "method")), ("shop".to_owned(), "POST".to_owned()));
        assert_eq!(all[0]["uid"], rustix::process::getuid().as_raw());
        assert_eq!(
            (of(2, "by"), of(2, "role")),
            ("token rollout".to_owned(), "rollout".to_owned())
        );
        assert!(of(2, "address").starts_with("127.0.0.1:"), "{all:?}");
        assert_eq!((of(3, "detail"), &all[3]["role"]), ("token".to_owned(), &Value::Null));
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("guessed") && !text.contains(&token_of("rollout")), "{text}");
        // The journal has those of people who may ask at all, newest first.
        let journal = json(&proxy.call("GET", "/v1/journal", "").1);
        let items = journal["items"].as_array().expect("it is a list");
        let newest = items.iter().find(|item| item["kind"] == "action").expect("there are some");
        assert_eq!((&newest["by"], &newest["failed"]), (&"token rollout".into(), &true.into()));
        // Rotated away, it is made anew.
        fs::rename(&file, folder.0.join("old.log")).unwrap();
        proxy.act("/v1/logs/reopen", "");
        eventually("the new one has its line", || lines().len() == 1);
        eventually("all are counted", || proxy.status().audit.lines == 5);
        assert_eq!(proxy.status().audit.lost, 0);
    });
}

#[test]
fn an_audit_log_that_cannot_be_written_is_counted_and_stops_nobody() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, &format!("{BASE}admin.audit = \"/dev/full\"\n"));
        proxy.act("/v1/upstreams/shop/freeze", "");
        eventually("the loss is counted", || proxy.status().audit.lost > 0);
        let status = proxy.status().audit;
        assert!(status.last_failure.is_some_and(|why| why.contains("space")), "{:?}", status.file);
        let told = e2e::exposition::parse(&proxy.call("GET", "/metrics", "").1, false);
        assert!(told.sum("gnomon_audit_lost_total", &[]) >= 1.0);
    });
}
