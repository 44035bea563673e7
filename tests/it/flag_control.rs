//! Who keeps the flags: their source, what people change, and what is told of it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use e2e::{Driver, Origin, Running, eventually, exposition, on_each_driver, origin::ok};
use gnomon::control::{
    api::{
        Diff, Done, Page, Refused,
        flag::{Flag, Flags, Record, RemarkKind, Why},
    },
    ctl,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{guest::Guest, heirs::Heirs};

/// 201 where the flag `cart` is true, otherwise 204.
const ROUTES: &str = "route.all.respond.status = 204\n\
                      route.cart = { match.flag = \"cart\", respond.status = 201 }\n";

/// The same with a flag of its own, by header, for a fifth of the users.
fn own(percent: u32) -> String {
    format!(
        "{ROUTES}flags.by = \"header:x-user\"\nflag.cart = {{ percent = {percent}, owner = \"team-cart\" }}\n"
    )
}

/// Flags in flagd's format, each on or off for everybody.
fn flagd(flags: &[(&str, bool)]) -> String {
    let flags: serde_json::Map<String, Value> = flags
        .iter()
        .map(|(name, is_on)| {
            let flag = json!({
                "state": "ENABLED", "variants": {"on": true, "off": false},
                "defaultVariant": if *is_on { "on" } else { "off" },
            });
            ((*name).to_owned(), flag)
        })
        .collect();
    json!({ "flags": flags }).to_string()
}

fn read<T: serde::de::DeserializeOwned>((status, text): (u16, String)) -> T {
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("it is what the API says")
}

/// Where the admin API of a proxy in whatever process is.
struct Api<'a>(&'a Path);

impl Api<'_> {
    fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let socket = self.0.join("admin.sock");
        let (status, text) =
            ctl::call(&socket, method, path, body.as_bytes()).expect("the API answers");
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    fn act(&self, path: &str, body: &str) -> Done {
        read(self.call("POST", path, body))
    }

    fn flag(&self, name: &str) -> Flag {
        read(self.call("GET", &format!("/v1/flags/{name}"), ""))
    }

    fn record(&self) -> Vec<Record> {
        read::<Page<Record>>(self.call("GET", "/v1/flag-history", "")).items
    }
}

fn flags(proxy: &Running) -> Flags {
    read(proxy.call("GET", "/v1/flags", ""))
}

fn record(proxy: &Running) -> Vec<Record> {
    read::<Page<Record>>(proxy.call("GET", "/v1/flag-history?limit=100", "")).items
}

fn metric(proxy: &Running, name: &str, labels: &[(&str, &str)]) -> f64 {
    exposition::parse(&proxy.call("GET", "/metrics", "").1, false).sum(name, labels)
}

#[test]
fn a_file_is_followed_and_a_broken_one_changes_nothing() {
    on_each_driver(|driver| {
        let folder = super::heirs::folder();
        let file = folder.join("flags.json");
        let put = |text: &str| {
            std::fs::write(folder.join("new"), text).expect("it can be written");
            std::fs::rename(folder.join("new"), &file).expect("it is ours");
        };
        put(&flagd(&[("cart", false)]));
        let source = format!(
            "{ROUTES}flags.source = {:?}\nflags.poll = \"100ms\"\n",
            file.to_string_lossy()
        );
        let proxy = Running::start(driver, &source);
        assert_eq!(proxy.status_of("/"), 204);
        assert!(flags(&proxy).source.is_some_and(|source| source.ok && source.flags == 1));
        put(&flagd(&[("cart", true), ("other", true)]));
        eventually("the file is taken over", || proxy.status_of("/") == 201);
        put("{\"flags\": {\"cart\": {\"state\": \"MAYBE\"}}}");
        let source = || flags(&proxy).source.expect("there is one");
        eventually("what is wrong is told", || !source().ok);
        assert!(source().faults[0].contains("cart"), "{:?}", source().faults);
        assert_eq!(proxy.status_of("/"), 201);
        assert_eq!(metric(&proxy, "gnomon_flags_source_ok", &[]), 0.0);
        assert!(metric(&proxy, "gnomon_flags_source_last_success_timestamp_seconds", &[]) > 1e9);
        assert!(proxy.status().flags.source.is_some_and(|source| !source.ok));
        let done = proxy.reload().expect("the source is the same, and stays as it was");
        assert_eq!(done.changes, [""; 0]);
        put(&flagd(&[("cart", false)]));
        eventually("it is right again", || proxy.status_of("/") == 204);
        eventually("that is told", || source().ok);
        assert_eq!(metric(&proxy, "gnomon_flags_source_ok", &[]), 1.0);
        let record = record(&proxy);
        let of = |flag: &str, what: &str| {
            record.iter().filter(|it| it.flag == flag && it.what == what).count()
        };
        assert_eq!(
            (of("cart", "file"), of("other", "file"), of("", "source")),
            (3, 2, 1),
            "{record:?}"
        );
        // A reload looks at once.
        put(&flagd(&[("cart", true)]));
        proxy.reload().expect("it is right");
        assert_eq!(proxy.status_of("/"), 201);
        std::fs::remove_dir_all(&folder).expect("it is ours");
    });
}

#[test]
fn a_new_source_has_to_be_right_and_a_name_is_declared_once() {
    on_each_driver(|driver| {
        let folder = super::heirs::folder();
        let file = folder.join("flags.json");
        std::fs::write(&file, flagd(&[("cart", true)])).expect("it can be written");
        let with = |file: &Path| format!("flags.source = {:?}\n", file.to_string_lossy());
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        assert_eq!(proxy.status_of("/"), 204);
        let no_file = with(&folder.join("none.json"));
        proxy.write(&format!("{ROUTES}{no_file}"));
        let refused = proxy.reload().expect_err("there is no such file");
        assert!(refused.error.contains("none.json: it cannot be read"), "{refused}");
        proxy.write(&format!("{ROUTES}{}flag.cart.default = \"on\"\n", with(&file)));
        let refused = proxy.reload().expect_err("both have it");
        assert!(refused.error.contains("flag `cart` is declared twice"), "{refused}");
        proxy.write(&format!("{ROUTES}{}", with(&file)));
        proxy.reload().expect("it is right");
        assert_eq!(proxy.status_of("/"), 201);
        std::fs::remove_dir_all(&folder).expect("it is ours");
    });
}

#[test]
fn a_url_is_asked_whether_it_has_changed_and_outlived_over_a_restart() {
    on_each_driver(|driver| {
        let text = Arc::new(Mutex::new(Some(flagd(&[("cart", true)]))));
        let said = text.clone();
        let origin = Origin::start(move |call, _| {
            while let Some(request) = call.read_request()? {
                let text = said.lock().expect("nobody panics").clone();
                let Some(text) = text else {
                    call.reply("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n")?;
                    continue;
                };
                let etag = format!("\"{}\"", text.len());
                if request.field("if-none-match") == Some(&etag) {
                    call.reply("HTTP/1.1 304 Not Modified\r\n\r\n")?;
                } else {
                    let length = text.len();
                    call.reply(format!(
                        "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {length}\r\n\r\n{text}"
                    ))?;
                }
            }
            Ok(())
        });
        let config = format!(
            "{ROUTES}flags.source = \"http://{}/flags.json\"\nflags.poll = \"100ms\"\n",
            origin.address()
        );
        let mut guest = Guest::start_on(driver, &[], &config);
        let ask = |guest: &Guest| guest.connect().ask(super::GET).status();
        assert_eq!(ask(&guest), 201);
        let is_asked = || origin.requests().iter().any(|it| it.field("if-none-match").is_some());
        eventually("it is asked whether it has changed", is_asked);
        *text.lock().expect("nobody panics") = Some(flagd(&[("cart", false)]));
        eventually("it is taken over", || ask(&guest) == 204);
        *text.lock().expect("nobody panics") = Some(flagd(&[("cart", true), ("b", true)]));
        eventually("it is taken over", || ask(&guest) == 201);
        *text.lock().expect("nobody panics") = None;
        let source = |guest: &Guest| read::<Flags>(guest.get("/v1/flags")).source.expect("one");
        eventually("what is wrong is told", || !source(&guest).ok);
        assert_eq!(ask(&guest), 201);
        guest.kill();
        guest.revive();
        assert_eq!(ask(&guest), 201, "what it said last stays");
        let told = source(&guest);
        assert!(told.is_kept && !told.ok && told.flags == 2, "{told:?}");
        assert_eq!(told.faults, ["it answers with status 503"]);
    });
}

#[test]
fn a_server_of_flags_is_asked_for_this_host() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                assert!(request.line().starts_with("POST /of/ofrep/v1/evaluate/flags "));
                call.reply(ok(
                    r#"{"flags": [{"key": "cart", "value": true, "variant": "on", "reason": "SPLIT"},
                        {"key": "bad", "errorCode": "GENERAL"}]}"#,
                ))?;
            }
            Ok(())
        });
        let source = format!("flags.source = \"ofrep+http://{}/of\"\n", origin.address());
        let proxy = Running::start(driver, &format!("{ROUTES}{source}"));
        assert_eq!(proxy.status_of("/"), 201);
        assert_eq!(flags(&proxy).flags.len(), 1);
        let said: Value = serde_json::from_slice(&origin.request().body).expect("it is JSON");
        assert!(said["context"]["targetingKey"].as_str().is_some_and(|host| !host.is_empty()));
    });
}

#[test]
fn people_change_flags_and_it_is_written_down_who_and_why() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, &own(20));
        let on = |user: u32| {
            let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: {user}\r\n\r\n");
            proxy.ask(request).status() == 201
        };
        let holders = || (0..40).filter(|user| on(*user)).collect::<Vec<_>>();
        let few = holders();
        assert!(!few.is_empty() && few.len() < 25, "{few:?}");
        let (status, text) = proxy.call("POST", "/v1/flags/cart/kill", "{}");
        let refused: Refused = serde_json::from_str(&text).expect("it is what the API says");
        assert_eq!((status, refused.help.is_some()), (400, true), "nobody says why");
        let done = proxy.act("/v1/flags/cart/set", r#"{"percent": 100, "reason": "all of it"}"#);
        assert_eq!(
            (&*done.changes, done.cores_missing.len()),
            (&["flag cart: 20% → 100%".to_owned()][..], 0)
        );
        assert_eq!(done.warnings, [""; 0]);
        assert_eq!(holders().len(), 40);
        proxy.act("/v1/flags/cart/kill", r#"{"reason": "it burns", "by": "ann"}"#);
        assert_eq!(holders(), [0; 0]);
        assert_eq!(metric(&proxy, "gnomon_flag_enabled", &[("flag", "cart")]), 0.0);
        assert_eq!(metric(&proxy, "gnomon_flag_overridden", &[("flag", "cart")]), 1.0);
        let diff: Diff = read(proxy.call("GET", "/v1/diff", ""));
        assert_eq!((diff.changes.len(), diff.drift.len()), (0, 2), "{diff:?}");
        proxy.act("/v1/flags/cart/revive", r#"{"reason": "mended"}"#);
        assert_eq!(holders().len(), 40);
        let same = proxy.act("/v1/flags/cart/revive", "");
        assert_eq!(same.changes, [""; 0]);
        let told: Flag = read(proxy.call("GET", "/v1/flags/cart", ""));
        assert_eq!(
            (told.drift, told.percent),
            (vec!["100% (the file: 20%)".to_owned()], Some(100.0))
        );
        assert_eq!(told.changed.map(|it| it.reason).as_deref(), Some("mended"));
        // The file says the same by now.
        proxy.edit("percent = 20", "percent = 100");
        proxy.reload().expect("it is right");
        let told: Flag = read(proxy.call("GET", "/v1/flags/cart", ""));
        assert_eq!((told.changed, told.drift.len()), (None, 0));
        proxy.edit("percent = 100", "percent = 20");
        proxy.reload().expect("it is right");
        assert_eq!(holders(), few, "nobody has moved");
        let record = record(&proxy);
        let whats: Vec<_> = record.iter().rev().map(|it| &*it.what).collect();
        assert_eq!(whats, ["set", "kill", "revive", "file", "reset", "file"], "{record:?}");
        let kill = record.iter().find(|it| it.what == "kill").expect("it is there");
        assert!(kill.by.starts_with("ann (uid "), "{}", kill.by);
        assert_eq!(
            (&*kill.reason, &*kill.changes),
            ("it burns", &["enabled → disabled".to_owned()][..])
        );
        let unknown = proxy.call("POST", "/v1/flags/card/kill", r#"{"reason": "x"}"#);
        assert_eq!(unknown.0, 404);
        assert!(unknown.1.contains("there are: cart"), "{}", unknown.1);
    });
}

#[test]
fn it_is_said_why() {
    on_each_driver(|driver| {
        let config = own(0)
            + "group.staff.header = { x-staff = \"1\" }\n\
               flag.theme = { variants = { dark = \"#000\", light = \"#fff\" }, default = \"light\", \
               rules = [{ group = \"staff\", serve = \"dark\" }, { users = [\"ann\"], serve = \"dark\" }] }\n";
        let proxy = Running::start(driver, &config);
        let why =
            |asked: Value| -> Why { read(proxy.call("POST", "/v1/flags/why", &asked.to_string())) };
        let told = why(json!({"flag": "theme", "headers": [["x-staff", "1"]]}));
        assert_eq!((told.groups, told.flags.len()), (vec!["staff".to_owned()], 1));
        let theme = &told.flags[0];
        assert_eq!((theme.variant.as_deref(), theme.rule), (Some("dark"), Some(1)));
        assert_eq!(theme.value, Some(json!("#000")));
        assert_eq!(theme.steps, ["rule 1: in staff → dark: it decides"]);
        let told = why(json!({"user": "ann"}));
        assert_eq!(told.flags.iter().map(|it| it.rule).collect::<Vec<_>>(), [None, Some(2)]);
        let told = why(json!({"flag": "theme", "context": {"targetingKey": "bob"}}));
        assert_eq!(
            told.flags[0].steps.last().map(String::as_str),
            Some("no rule decides: the default")
        );
        proxy.act("/v1/flags/theme/kill", r#"{"reason": "ugly"}"#);
        let told = why(json!({"flag": "theme", "user": "ann"}));
        assert!(told.flags[0].overridden && told.flags[0].variant.is_none(), "{told:?}");
        assert!(told.flags[0].steps[0].contains("ugly"));
        for bad in [json!({"method": "G T"}), json!({"flag": "none"}), json!({"x": 1})] {
            let (status, text) = proxy.call("POST", "/v1/flags/why", &bad.to_string());
            assert!(matches!(status, 400 | 404), "{status} {text}");
        }
        // The same names as verbs, and flags that are called so.
        assert_eq!(proxy.call("GET", "/v1/flags/why", "").0, 404);
    });
}

#[test]
fn what_was_changed_survives_a_kill_of_the_process() {
    on_each_driver(|driver: Driver| {
        let mut guest = Guest::start_on(driver, &[], &own(100));
        let ask = |guest: &Guest| {
            guest.connect().ask("GET / HTTP/1.1\r\nhost: a\r\nx-user: u\r\n\r\n").status()
        };
        assert_eq!(ask(&guest), 201);
        let folder = guest.folder().to_owned();
        let api = Api(&folder);
        for (path, body, expected) in [
            ("kill", r#"{"reason": "now"}"#, 204),
            ("revive", "{}", 201),
            ("set", r#"{"percent": 0, "reason": "nobody"}"#, 204),
            ("reset", "{}", 201),
            ("kill", r#"{"reason": "again"}"#, 204),
        ] {
            api.act(&format!("/v1/flags/cart/{path}"), body);
            guest.kill();
            guest.revive();
            assert_eq!(ask(&guest), expected, "{path}");
        }
        assert_eq!(api.record().len(), 5);
        let told = api.flag("cart");
        assert_eq!(told.changed.map(|it| it.reason).as_deref(), Some("again"));
    });
}

#[test]
fn what_was_changed_goes_on_in_the_next_process() {
    on_each_driver(|driver| {
        let mut heirs = Heirs::start(driver, &own(100));
        let ask = |heirs: &Heirs| {
            heirs.connect().ask("GET / HTTP/1.1\r\nhost: a\r\nx-user: u\r\n\r\n").status()
        };
        assert_eq!(ask(&heirs), 201);
        heirs.act("/v1/flags/cart/set", r#"{"percent": 0, "reason": "nobody"}"#);
        heirs.upgrade_well();
        assert_eq!(ask(&heirs), 204);
        heirs.settle();
        heirs.act("/v1/flags/cart/reset", "{}");
        assert_eq!(ask(&heirs), 201);
        heirs.upgrade_well();
        assert_eq!(ask(&heirs), 201);
        let folder = heirs.folder().to_owned();
        assert_eq!(Api(&folder).record().len(), 2);
        heirs.settle();
        heirs.signal(Signal::TERM);
    });
}

#[test]
fn flags_of_no_use_are_listed() {
    on_each_driver(|driver| {
        let config = own(100).replace("owner", "expires = \"2020-01-01\", owner")
            + "flags.stale = \"1s\"\nflag.half.percent = 50\n";
        let proxy = Running::start(driver, &config);
        let kinds = |name: &str| {
            let flag: Flag = read(proxy.call("GET", &format!("/v1/flags/{name}"), ""));
            flag.remarks.iter().map(|it| it.kind).collect::<Vec<_>>()
        };
        assert!(kinds("cart").contains(&RemarkKind::Expired));
        eventually("everybody has had the same for long", || {
            kinds("cart").contains(&RemarkKind::Same)
        });
        assert!(!kinds("half").contains(&RemarkKind::Same));
        assert_eq!(metric(&proxy, "gnomon_flags_stale", &[("reason", "expired")]), 1.0);
        assert_eq!(metric(&proxy, "gnomon_flags_stale", &[("reason", "same")]), 1.0);
    });
}
