//! Reloads: what changes, what stays, and what a mistake does.

use std::net::{TcpListener, TcpStream};

use e2e::{Client, Origin, Running, eventually, on_each_driver};

use super::{GET, to};

#[test]
fn a_reload_changes_routes_at_the_next_request_of_an_open_connection() {
    on_each_driver(|driver| {
        let (one, two) = (Origin::named("1"), Origin::named("2"));
        let proxy = Running::start(driver, &to(&one));
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).text(), "1");
        proxy.edit(&one.address().to_string(), &two.address().to_string());
        let done = proxy.reload().expect("it is right");
        assert_eq!(done.cores_missing, [0; 0]);
        assert!(done.changes.iter().any(|change| change.contains("upstream.o")), "{done:?}");
        assert_eq!(client.ask(GET).text(), "2");
        // Nobody keeps a connection to who is gone.
        eventually("the old origin is left", || one.open() == 0);
    });
}

#[test]
fn a_reload_of_the_same_changes_nothing() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let before = proxy.status().generation;
        let done = proxy.reload().expect("it is right");
        assert_eq!((done.changes.len(), proxy.status().generation), (0, before));
    });
}

#[test]
fn every_kind_of_mistake_is_told_and_the_old_configuration_serves_on() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let good = to(&origin);
        let proxy = Running::start(driver, &good);
        let mut client = proxy.connect();
        let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let taken = taken.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let with = |line: &str| format!("{good}{line}\n");
        let table = [
            ("nonsense".to_owned(), "nonsense"),
            (with("routes.x.to = \"o\""), "did you mean `route`"),
            (with("route.b.to = \"nix\""), "nix"),
            (with("upstream.o.split = { v1 = 50, v2 = 60 }"), "v2"),
            (with("timeouts.idle = \"5 parsecs\""), "timeouts.idle"),
            (with("timeouts.idle = 5"), "idle"),
            (with("upstream.p.versions.v1 = [\"no port\"]"), "no port"),
            (with("route.r = { match.path_regex = \"(\", to = \"o\" }"), "path_regex"),
            (with("limits.headers = 0"), "headers"),
            (
                with("upstream.o.sticky = { key = \"cookie\", secret = { file = \"missing\" } }"),
                "missing",
            ),
            (format!("include = \"missing.toml\"\n{good}"), "missing.toml"),
            (format!("include = [\"missing.toml\"]\n{good}"), "missing.toml"),
            (with(&format!("listener.bad.bind = \"{taken}\"")), "in use"),
            (with("listener.bad.bind = \"unix:/proc/all.sock\""), "/proc/all.sock"),
            (
                with(
                    "upstream.p.versions.v1 = [\"nowhere.invalid:1\"]\nroute.p = { match.host = \"p\", to = \"p\" }",
                ),
                "nowhere.invalid",
            ),
            (with("access_log.to = \"/proc/none/access.log\""), "access_log.to"),
        ];
        let generation = proxy.status().generation;
        for (text, expected) in &table {
            proxy.write(text);
            let refused = proxy.reload().map(|done| done.changes);
            let refused = refused.expect_err(text).to_string();
            assert!(refused.contains(expected), "{expected:?} is not in: {refused}");
            assert_eq!(client.ask(GET).text(), "x");
        }
        assert_eq!(proxy.status().generation, generation);
        let last = proxy.status().config.last_reload;
        assert!(last.is_some_and(|last| !last.ok && !last.detail.is_empty()));
        proxy.write(&good);
        assert!(proxy.reload().is_ok());
    });
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        proxy.write("route.a.to = \"nix\"\ntimeouts.idle = 5\nlimits.hedaers = 1\n");
        let refused = proxy.reload().expect_err("it is wrong three times").to_string();
        for expected in ["nix", "idle", "hedaers", "did you mean `headers`"] {
            assert!(refused.contains(expected), "{expected:?} is not in: {refused}");
        }
    });
}

#[test]
fn a_listener_comes_and_goes_and_its_connections_finish() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = format!("listener.main.bind = \"127.0.0.1:0\"\n{}", to(&origin));
        let proxy = Running::start(driver, &config);
        let main = proxy.address_of("main");
        proxy.write(&format!("listener.more.bind = \"127.0.0.1:0\"\n{config}"));
        proxy.reload().expect("it is right");
        let more = proxy.address_of("more");
        assert_eq!(proxy.address_of("main"), main);
        let mut client = Client::connect(more);
        assert_eq!(client.ask(GET).text(), "x");
        proxy.write(&config);
        proxy.reload().expect("it is right");
        eventually("nobody listens there", || TcpStream::connect(more).is_err());
        assert_eq!(client.ask(GET).text(), "x");
        assert_eq!(Client::connect(main).ask(GET).text(), "x");
    });
}

#[test]
fn what_needs_a_restart_is_said_and_everything_else_taken_over() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "runtime.cores = 1\nroute.all.respond.status = 204\n");
        proxy.edit("cores = 1", "cores = 2");
        proxy.edit("204", "205");
        let done = proxy.reload().expect("it is right");
        assert!(done.warnings.iter().any(|warning| warning.contains("restart")), "{done:?}");
        assert_eq!(proxy.status_of("/"), 205);
        assert_eq!(proxy.status().cores.len(), 1);
    });
}

#[test]
fn a_start_with_a_mistake_says_all_and_leaves_nothing_behind() {
    on_each_driver(|driver| {
        let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = taken.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let table = [
            (
                format!("listener.bad.bind = \"{address}\"\nroute.all.respond.status = 204"),
                "in use",
            ),
            ("route.all.to = \"nix\"".to_owned(), "nix"),
            (
                "admin.socket = \"/proc/a.sock\"\nroute.all.respond.status = 204".to_owned(),
                "/proc/a.sock",
            ),
            (
                "route.all.respond.status = 204\naccess_log.to = \"/proc/none/a.log\"".to_owned(),
                "access_log.to",
            ),
        ];
        for (config, expected) in table {
            let refused = Running::try_start(driver, &config).expect_err(&config).to_string();
            assert!(refused.contains(expected), "{expected:?} is not in: {refused}");
        }
        drop(taken);
        let again = format!("listener.good.bind = \"{address}\"\nroute.all.respond.status = 204");
        assert_eq!(Running::start(driver, &again).status_of("/"), 204);
    });
}

#[test]
fn a_name_that_nobody_knows_yet_keeps_no_proxy_from_starting() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "upstream.p.versions.v1 = [\"nowhere.invalid:1\"]\n\
                    route.p = { match.host = \"p\", to = \"p\" }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        assert_eq!(proxy.get("/"), "x");
        assert_eq!(proxy.ask("GET / HTTP/1.1\r\nhost: p\r\n\r\n").status(), 503);
    });
}
