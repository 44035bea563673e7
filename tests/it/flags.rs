//! Flags on the data path: who goes where, what origins are told, whom nobody believes.

use std::collections::BTreeMap;

use e2e::{Client, Origin, Running, eventually, on_each_driver};

use super::{GET, between};

/// The field that tells origins.
const FIELD: &str = "x-gnomon-flags";

/// What a field says of each flag, without the reason's letter.
fn told(field: &str) -> BTreeMap<String, String> {
    let members = field.split(';').filter_map(|member| member.split_once('='));
    let members = members.filter(|(name, _)| *name != "s");
    let variant = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    members.map(|(name, text)| (name.to_owned(), variant(text))).collect()
}

#[test]
fn a_group_gets_its_version_while_the_others_are_drawn() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let config = between(&stable, &canary, 0.0)
            + "group.staff.header = { x-staff = \"1\" }\n\
               flag.new-shop.rules = [{ group = \"staff\", serve = \"on\" }]\n\
               route.staff = { match.flag = \"new-shop\", to = \"shop@v2\" }\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..50 {
            let staff = client.ask("GET / HTTP/1.1\r\nhost: a\r\nx-staff: 1\r\n\r\n");
            assert_eq!(staff.text(), "v2");
            assert_eq!(client.ask(GET).text(), "v1");
            let forged = client.ask("GET / HTTP/1.1\r\nhost: a\r\nx-staff: 2\r\n\r\n");
            assert_eq!(forged.text(), "v1");
        }
        // Whatever the canary's share is.
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 100}");
        assert_eq!(client.ask(GET).text(), "v2");
        proxy.act("/v1/upstreams/shop/rollback", "{}");
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\nx-staff: 1\r\n\r\n").text(), "v2");
    });
}

#[test]
fn an_origin_is_told_and_nobody_else_says_so() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = "listener.open = { bind = \"127.0.0.1:0\", trusted = [] }\n".to_owned()
            + &super::to(&origin)
            + "flags.by = \"header:x-user\"\nflags.send = \"all\"\n\
               flag.theme = { variants = { dark = \"#000\", light = \"#fff\" }, default = \"light\", \
               rules = [{ users = [\"u1\"], serve = \"dark\" }] }\nflag.half.percent = 50\n";
        let proxy = Running::start(driver, &config);
        for (user, theme) in [("u1", "dark"), ("u2", "light")] {
            let reply = proxy.ask(format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx-user: {user}\r\nX-Gnomon-Flags: 1;x;0;-;theme=dark.T\r\n\
                 x_gnomon_flags: 1;x;0;-;theme=dark.T\r\n\r\n"
            ));
            assert_eq!(reply.status(), 200);
            let got = origin.requests().pop().expect("it was asked");
            let fields: Vec<&str> = got.fields(FIELD).collect();
            assert_eq!(fields.len(), 1, "{got:?}");
            assert_eq!(got.field("x_gnomon_flags"), None, "{got:?}");
            let told = told(fields[0]);
            assert_eq!(told["theme"], theme);
            assert!(["on", "off"].contains(&&*told["half"]), "{told:?}");
        }
    });
}

#[test]
fn what_was_decided_once_holds_for_whoever_serves_the_same_request() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = super::to(&origin)
            + "flags.by = \"header:x-user\"\nflags.send = \"all\"\nflag.half.percent = 100\n";
        let proxy = Running::start(driver, &config);
        let ask = |field: &str| {
            let reply = proxy.ask(format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx-user: u1\r\n{FIELD}: {field}\r\n\r\n"
            ));
            assert_eq!(reply.status(), 200);
            let got = origin.requests().pop().expect("it was asked");
            got.field(FIELD).expect("it is told").to_owned()
        };
        let first = ask("none of ours");
        assert_eq!(told(&first)["half"], "on");
        proxy.edit("flag.half.percent = 100", "flag.half.percent = 0");
        proxy.reload().expect("it is a configuration");
        // Peers on loopback are trusted: an application hands on what it was told.
        assert_eq!(told(&ask(&first))["half"], "on");
        assert_eq!(told(&ask("none of ours"))["half"], "off");
        let of_another = proxy
            .ask(format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: u2\r\n{FIELD}: {first}\r\n\r\n"));
        assert_eq!(of_another.status(), 200);
        let got = origin.requests().pop().expect("it was asked");
        assert_eq!(told(got.field(FIELD).expect("it is told"))["half"], "off");
    });
}

#[test]
fn a_split_a_flag_and_a_shadow_with_one_salt_pick_the_same_users() {
    on_each_driver(|driver| {
        let (stable, canary, shadow) =
            (Origin::named("v1"), Origin::named("v2"), Origin::named("copy"));
        let config = between(&stable, &canary, 30.0)
            + &format!(
                "upstream.shop.sticky = {{ key = \"header:x-user\", salt = \"spring\" }}\n\
                 upstream.other.versions = {{ a = [\"{shadow}\"], b = [\"{shadow}\"] }}\n\
                 shadow.same = {{ from = \"shop\", to = \"other@b\", sample = \"30%\", shed_at = \"100%\", in_flight = 4096, \
                 by = \"header:x-user\", salt = \"spring\" }}\n\
                 flags = {{ by = \"header:x-user\", send = \"all\" }}\n\
                 flag.same = {{ percent = 30, salt = \"spring\" }}\n\
                 flag.own.percent = 30\n",
                shadow = shadow.address(),
            );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        let (mut on_canary, mut on_own) = (Vec::new(), 0);
        for user in 0..400 {
            let reply =
                client.ask(format!("GET /{user} HTTP/1.1\r\nhost: a\r\nx-user: u{user}\r\n\r\n"));
            let is_canary = reply.text() == "v2";
            let origin = if is_canary { &canary } else { &stable };
            let told =
                told(origin.requests().pop().expect("it was asked").field(FIELD).expect("told"));
            assert_eq!(told["same"] == "on", is_canary, "u{user}");
            on_own += usize::from(told["own"] == "on");
            if is_canary {
                on_canary.push(format!("/{user}"));
            }
        }
        assert!((80..160).contains(&on_canary.len()), "{}", on_canary.len());
        assert!((80..160).contains(&on_own), "{on_own}");
        let copied = || {
            let mut paths: Vec<String> = shadow
                .requests()
                .iter()
                .map(|it| it.line().split(' ').nth(1).unwrap_or_default().to_owned())
                .collect();
            paths.sort_unstable();
            paths
        };
        on_canary.sort_unstable();
        eventually("every copy has come", || shadow.requests().len() >= on_canary.len());
        assert_eq!(copied(), on_canary);
        let copy = shadow.requests().pop().expect("there are some");
        assert_eq!(told(copy.field(FIELD).expect("copies are told as well"))["same"], "on");
    });
}

#[test]
fn a_ramp_moves_nobody_back() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 0.0)
            + "flags.by = \"header:x-user\"\nflag.new-shop.percent = 1\n\
               route.flagged = { match.flag = \"new-shop\", to = \"shop@v2\" }\nruntime.cores = 2\n";
        let proxy = Running::start(driver, &config);
        let mut lines: Vec<Client> = (0..4).map(|_| proxy.connect()).collect();
        let mut flagged = |count: usize| -> Vec<bool> {
            let ask =
                |user: &usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: u{user}\r\n\r\n");
            let users: Vec<usize> = (0..count).collect();
            let batches = users.chunks(250).enumerate();
            batches
                .flat_map(|(number, batch)| {
                    let line = &mut lines[number % 4];
                    line.send(batch.iter().map(ask).collect::<String>());
                    batch.iter().map(|_| line.read_reply().body == b"v2").collect::<Vec<_>>()
                })
                .collect()
        };
        let mut before = vec![false; 5000];
        for percent in [1, 5, 20, 50, 99, 100] {
            if percent > 1 {
                let text = std::fs::read_to_string(proxy.folder().join("gnomon.toml"))
                    .expect("it is there");
                let line = text
                    .lines()
                    .find(|line| line.starts_with("flag.new-shop"))
                    .expect("it is there");
                proxy.edit(line, &format!("flag.new-shop.percent = {percent}"));
                proxy.reload().expect("it is a configuration");
            }
            let now = flagged(before.len());
            assert!(before.iter().zip(&now).all(|(before, now)| !before || *now), "at {percent} %");
            let share = now.iter().filter(|on| **on).count() * 100 / now.len();
            assert!(share.abs_diff(percent) <= 3, "{share} % at {percent} %");
            before = now;
        }
    });
}
