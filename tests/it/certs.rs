//! Certificates: which is shown, how one is renewed, and who may come in.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use e2e::{
    Driver, Origin, Running,
    asker::Asker,
    certs::{Authority, Identity, Wanted},
    eventually, on_each_driver,
};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

/// Certificates in a folder, and an origin behind them.
struct Setup {
    folder: PathBuf,
    root: Authority,
    origin: Origin,
}

impl Drop for Setup {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

impl Setup {
    fn new(test: &str, driver: Driver) -> Self {
        let name = format!("gnomon-certs-{test}-{}-{}", driver.name(), std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        Self { folder, root: Authority::new("root"), origin: Origin::mirror() }
    }

    /// Issues `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, hosts: &[&str]) -> Identity {
        let identity = self.root.issue(hosts);
        let _ = identity.write(&self.folder, name);
        identity
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A listener `https` with these certificates and more of `tls`.
    fn listener(&self, listener: &str, certs: &[&str], more: &str) -> String {
        let pair = |name: &&str| {
            let (cert, key) =
                (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
            format!("{{ cert = \"{cert}\", key = \"{key}\" }}")
        };
        let pairs: Vec<String> = certs.iter().map(pair).collect();
        format!(
            "[listener.{listener}]\nbind = \"127.0.0.1:0\"\n\
             tls.certs = [{}]\n{more}\n",
            pairs.join(", ")
        )
    }

    fn start(&self, driver: Driver, listeners: &str) -> Running {
        let upstream = format!(
            "{listeners}[upstream.o]\nversions.v1 = [\"{}\"]\n[route.all]\nto = \"o\"\n",
            self.origin.address()
        );
        Running::start(driver, &upstream)
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        Arc::new(self.root.client(None, &[version]))
    }
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    on_each_driver(|driver| {
        let setup = Setup::new("sni", driver);
        let shop = setup.issue("shop", &["shop.example", "*.shop.example", "127.0.0.1"]);
        let cart = setup.issue("cart", &["cart.example"]);
        let proxy = setup.start(driver, &setup.listener("https", &["shop", "cart"], ""));
        for version in BOTH {
            let client = setup.client(version);
            for (name, shown) in [
                ("shop.example", &shop),
                ("Cart.Example", &cart),
                ("x.shop.example", &shop),
                ("127.0.0.1", &shop),
            ] {
                let mut secure = Asker::connect(proxy.address(), &client, name).unwrap();
                assert_eq!(secure.shown(), shown.der.to_vec(), "{name}");
                assert_eq!(secure.ask(GET).unwrap().status(), 200, "{name}");
            }
            Asker::connect(proxy.address(), &client, "other.example").unwrap_err();
        }
    });
}

/// Clients that connect, ask and leave, over and over.
fn crowd<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    proxy: &Running,
    client: &Arc<ClientConfig>,
    counts: &'scope (AtomicU64, AtomicU64, AtomicBool),
) {
    for _ in 0..3 {
        let (address, client) = (proxy.address(), client.clone());
        scope.spawn(move || {
            let (good, bad, over) = counts;
            while !over.load(SeqCst) {
                let secure = Asker::connect(address, &client, "shop.example");
                // Half of the requests come over connections that were there before a reload.
                let asked = secure.and_then(|mut secure| {
                    secure.ask(GET)?;
                    secure.ask(GET)
                });
                let count = if asked.is_ok_and(|reply| reply.status() == 200) { good } else { bad };
                count.fetch_add(1, SeqCst);
            }
        });
    }
}

#[test]
fn a_certificate_is_renewed_under_load_without_a_failed_request() {
    on_each_driver(|driver| {
        let setup = Setup::new("renewed", driver);
        let mut identity = setup.issue("shop", &["shop.example"]);
        let proxy = setup.start(driver, &setup.listener("https", &["shop"], ""));
        let client = Arc::new(setup.root.client(None, &[]));
        let counts = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            crowd(scope, &proxy, &client, &counts);
            for _ in 0..10 {
                let before = counts.0.load(SeqCst);
                eventually("requests go on", || counts.0.load(SeqCst) > before + 5);
                identity = setup.issue("shop", &["shop.example"]);
                let done = proxy.reload().unwrap();
                assert!(done.changes[0].contains("listener.https.tls.certs"), "{done:?}");
                assert_eq!(done.cores_missing, [0; 0]);
                let fresh = Arc::new(setup.root.client(None, &[]));
                let secure = Asker::connect(proxy.address(), &fresh, "shop.example").unwrap();
                assert_eq!(secure.shown(), identity.der.to_vec());
            }
            counts.2.store(true, SeqCst);
        });
        assert_eq!(counts.1.load(SeqCst), 0, "of {} none fails", counts.0.load(SeqCst));
    });
}

#[test]
fn a_key_of_another_certificate_is_refused_and_the_old_one_serves_on() {
    on_each_driver(|driver| {
        let setup = Setup::new("refused", driver);
        let old = setup.issue("shop", &["shop.example"]);
        let proxy = setup.start(driver, &setup.listener("https", &["shop"], ""));
        let other = setup.root.issue(&["shop.example"]);
        std::fs::write(setup.folder.join("shop.pem"), &other.cert).unwrap();
        let refused = proxy.reload().unwrap_err();
        assert!(refused.error.contains("error[G056]"), "{refused}");
        assert!(refused.error.contains("this key is not the certificate's"), "{refused}");
        let fresh = Arc::new(setup.root.client(None, &[]));
        let mut secure = Asker::connect(proxy.address(), &fresh, "shop.example").unwrap();
        assert_eq!(secure.shown(), old.der.to_vec());
        assert_eq!(secure.ask(GET).unwrap().status(), 200);
    });
}

/// What the origin was told of a client.
fn told(setup: &Setup) -> Vec<(String, String)> {
    let request = setup.origin.requests().pop().expect("it was asked");
    let fields = request.head.lines().filter_map(|line| line.split_once(": "));
    let ours = fields.filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-client-cert"));
    ours.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

const SPOOFED: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\nx-client-cert-subject: CN=admin\r\n\
                       X-Client-Cert-Sha256: 00\r\nx-client-cert-san: DNS:admin\r\n\r\n";

#[test]
fn origins_are_told_who_a_client_is_and_only_by_us() {
    on_each_driver(|driver| {
        let setup = Setup::new("mutual", driver);
        let _ = setup.issue("shop", &["shop.example"]);
        std::fs::write(setup.folder.join("root.pem"), setup.root.pem()).unwrap();
        let ca = format!("tls.client_ca = \"{}\"\n", setup.path("root.pem"));
        let optional = format!("{ca}tls.client_auth = \"optional\"\n");
        let listeners = setup.listener("open", &["shop"], "")
            + &setup.listener("strict", &["shop"], &ca)
            + &setup.listener("either", &["shop"], &optional);
        let proxy = setup.start(driver, &listeners);
        let user = setup.root.issue_as(&Wanted {
            names: &["user.example"],
            subject: ("user", Some("Example, Inc.")),
            ..Wanted::default()
        });
        let stranger = Authority::new("root").issue(&["user.example"]);
        for version in BOTH {
            let ask = |listener: &str, identity: Option<&Identity>| {
                let client = Arc::new(setup.root.client(identity, &[version]));
                let address = proxy.address_of(listener);
                Asker::connect(address, &client, "shop.example")?.ask(SPOOFED)
            };
            for listener in ["strict", "either"] {
                assert_eq!(ask(listener, Some(&user)).unwrap().status(), 200);
                let told = told(&setup);
                let subject = ("x-client-cert-subject".into(), "CN=user,O=Example\\, Inc.".into());
                assert!(told.contains(&subject), "{told:?}");
                let names = ("x-client-cert-san".to_owned(), "DNS:user.example".to_owned());
                assert!(told.contains(&names), "{told:?}");
                assert_eq!(told.len(), 3, "{told:?}");
                assert!(told.iter().all(|(_, value)| !value.contains("admin") && value != "00"));
                assert!(ask(listener, Some(&stranger)).is_err());
            }
            assert!(ask("strict", None).is_err());
            for (listener, identity) in [("either", None), ("open", None), ("open", Some(&user))] {
                assert_eq!(ask(listener, identity).unwrap().status(), 200);
                assert_eq!(told(&setup), [], "{listener}");
            }
        }
    });
}

#[test]
fn sessions_are_resumed_over_rotations_and_only_by_the_same_door() {
    on_each_driver(|driver| {
        let setup = Setup::new("tickets", driver);
        let _ = setup.issue("shop", &["shop.example"]);
        let listeners =
            setup.listener("one", &["shop"], "") + &setup.listener("two", &["shop"], "");
        let proxy = setup.start(driver, &listeners);
        for (hours, version) in [9, 18].into_iter().zip(BOTH) {
            let client = setup.client(version);
            let is_resumed = |listener: &str| {
                let address = proxy.address_of(listener);
                let mut secure = Asker::connect(address, &client, "shop.example").unwrap();
                assert_eq!(secure.ask(GET).unwrap().status(), 200);
                secure.is_resumed()
            };
            assert!(!is_resumed("one"));
            assert!(is_resumed("one"));
            let generation = proxy.snapshot().generation;
            proxy.age_tickets(hours * 3600);
            assert!(proxy.snapshot().generation > generation);
            eventually("every core goes by the new keys", || {
                let generation = proxy.snapshot().generation;
                proxy.status().cores.iter().all(|core| core.generation >= generation)
            });
            assert!(is_resumed("one"));
            assert!(!is_resumed("two"));
        }
    });
}

/// A folder's file as TOML writes it.
fn quoted(folder: &Path, name: &str) -> String {
    format!("\"{}\"", folder.join(name).display())
}

#[test]
fn what_is_shown_is_told_by_status_and_metrics() {
    on_each_driver(|driver| {
        let setup = Setup::new("status", driver);
        let _ = setup.issue("shop", &["shop.example", "*.shop.example"]);
        let tls = format!(
            "[listener.https]\nbind = \"127.0.0.1:0\"\ntls = {{ cert = {}, key = {} }}\n",
            quoted(&setup.folder, "shop.pem"),
            quoted(&setup.folder, "shop.key")
        );
        let proxy = setup.start(driver, &tls);
        let status = proxy.status();
        let [shown] = status.listeners[0].certificates.as_slice() else { panic!("{status:?}") };
        assert_eq!(shown.names, ["shop.example", "*.shop.example"]);
        assert_eq!((shown.subject.as_str(), shown.issuer.as_str()), ("CN=shop.example", "CN=root"));
        let (_, metrics) = proxy.call("GET", "/metrics", "");
        let series = "gnomon_certificate_expiry_timestamp_seconds{listener=\"https\",\
                      certificate=\"shop.example\"} ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        assert_eq!(value.and_then(|value| value.parse().ok()), Some(shown.not_after as f64));
    });
}
