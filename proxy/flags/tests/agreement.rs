//! The router and the applications behind it get the same answer, whoever asks and in whatever form.

use std::{fmt::Write as _, net::IpAddr, sync::Arc};

use gnomon_flags::{
    Evaluation, FlagSet, JsonContext, Overrides, RequestContext, flagd::Definitions, frozen,
};
use gnomon_wire::{HeadLimits, Request, RequestHead};
use serde_json::{Map, Value, json};

/// Twenty flags: each kind of rule, alone and with others.
const FLAGS: &str = r#"
listen = "127.0.0.1:0"

[flags]
by     = "cookie:uid"
send   = "all"
sign   = { file = "sign.key" }

[flags.context]
email = "header:x-email"
plan  = "claim:plan"

[flags.jwt]
from = "header:authorization"
keys = "jwt.json"

[group.staff]
header = { x-staff = "1" }

[group.office]
client = ["10.0.0.0/8", "2001:db8::/32"]

[group.gold]
cookie = { tier = { regex = "^gold" } }

[group.paying]
claim = { plan = ["pro", "team"] }

[group.listed]
users = ["u1", "u7", "u70", "u700", "u7000"]

[group.tenth]
percent = 10

[group.anyone]
any = ["staff", "office", "gold"]
query = { beta = { present = true } }
"#;

/// Rules of the flags, one set each.
const RULES: [&str; 10] = [
    r#"rules = [{ group = "staff", serve = "on" }]"#,
    r#"rules = [{ group = ["office", "gold"], not = "staff", serve = "on" }]"#,
    r#"percent = 33.333"#,
    r#"percent = 50
allow = ["u1", "u2", "u3"]
deny = ["u4", "u5"]"#,
    r#"variants = { a = "A", b = "B", c = "C" }
default = "c"
rules = [{ group = "paying", serve = { a = 1, b = 2 } }, { percent = 20, serve = { a = 1, b = 1, c = 3 } }]"#,
    r#"rules = [{ group = "listed", serve = "on" }, { group = "tenth", serve = "on" }]"#,
    r#"rules = [{ group = "anyone", percent = 70, serve = "on" }]"#,
    r#"by = "client_ip"
percent = 40"#,
    r#"by = "claim:sub"
percent = { from = 1, to = 100, start = "2026-01-01T00:00:00Z", end = "2027-01-01T00:00:00Z" }"#,
    r#"enabled = false
percent = 50"#,
];

/// 23 November 2026.
const NOW: u64 = 1_795_400_000;

fn set() -> FlagSet {
    let folder = std::env::temp_dir().join(format!("gnomon-agreement-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    std::fs::write(folder.join("sign.key"), "a key that signs, long enough for it")
        .expect("it can be written");
    std::fs::write(folder.join("jwt.json"), r#"{"keys":[]}"#).expect("it can be written");
    let mut text = FLAGS.to_owned();
    for (number, rules) in RULES.iter().chain(&RULES).enumerate() {
        let _ = writeln!(text, "[flag.flag-{number}]\n{rules}");
    }
    let file = folder.join("gnomon.toml");
    std::fs::write(&file, text).expect("it can be written");
    let loaded = gnomon_config::load(&file, &gnomon_config::Options::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).config;
    std::fs::remove_dir_all(&folder).expect("it is ours");
    FlagSet::compile(Arc::new(config), &Definitions::default(), &Overrides::default())
        .expect("it is one")
}

/// A small generator: what matters is that it is the same every time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or_default();
        of[at]
    }
}

/// Somebody, as a request shows them and as an application says.
struct Somebody {
    head: String,
    client: IpAddr,
    claims: Map<String, Value>,
    said: Map<String, Value>,
}

fn somebody(draws: &mut Draws) -> Somebody {
    let (mut fields, mut cookies) = (String::new(), Vec::new());
    let (mut said, mut claims) = (Map::new(), Map::new());
    if draws.below(10) > 0 {
        let user = format!("u{}", draws.below(10_000));
        cookies.push(format!("uid={user}"));
        said.insert("targetingKey".to_owned(), json!(user));
    }
    if draws.below(3) == 0 {
        let tier = draws.one(&["gold", "golden", "silver", "old gold"]);
        cookies.push(format!("tier={}", tier.replace(' ', "_")));
        said.insert("cookie:tier".to_owned(), json!(tier.replace(' ', "_")));
    }
    if draws.below(3) == 0 {
        let staff = draws.one(&["1", "0", "yes"]);
        let _ = write!(fields, "X-Staff: {staff}\r\n");
        said.insert("header:x-staff".to_owned(), json!(staff));
    }
    if draws.below(2) == 0 {
        let plan = draws.one(&["pro", "team", "free"]);
        claims.insert("plan".to_owned(), json!(plan));
        // Under the name that applications know it by.
        said.insert("plan".to_owned(), json!(plan));
    }
    if draws.below(2) == 0 {
        let subject = format!("s{}", draws.below(1000));
        claims.insert("sub".to_owned(), json!(subject));
        said.insert("claim:sub".to_owned(), json!(subject));
    }
    let target = if draws.below(2) == 0 { "/?beta=1" } else { "/?alpha=1" };
    if target.contains("beta") {
        said.insert("query:beta".to_owned(), json!("1"));
    }
    let client = draws.one(&[
        "10.1.2.3",
        "::ffff:10.1.2.3",
        "192.0.2.1",
        "2001:db8::7",
        "::1",
        "172.16.0.1",
    ]);
    said.insert("client_ip".to_owned(), json!(client));
    if !cookies.is_empty() {
        let _ = write!(fields, "Cookie: {}\r\n", cookies.join("; "));
    }
    let head = format!("GET {target} HTTP/1.1\r\nHost: shop\r\n{fields}\r\n");
    Somebody { head, client: client.parse().expect("it is an address"), claims, said }
}

#[test]
fn a_request_and_what_an_application_says_of_it_come_to_the_same() {
    let set = set();
    let mut draws = Draws(7);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..100_000 {
        let somebody = somebody(&mut draws);
        let mut head = RequestHead::default();
        head.read(somebody.head.as_bytes(), &HeadLimits::REQUEST).expect("it is a head");
        let request = Request { head: &head, bytes: somebody.head.as_bytes() };
        let (client, claims) = (somebody.client, Some(&somebody.claims));
        let context = RequestContext { terms: set.terms(), request, client, claims };
        let evaluation = Evaluation::new(&set, context, NOW);
        let application = JsonContext { terms: set.terms(), said: &somebody.said };
        for (place, flag) in set.watched().iter().enumerate() {
            let routed = evaluation.resolve(place);
            let asked = set.evaluate(*flag, &application, NOW);
            assert_eq!(routed, asked, "{}: {}", set.flag(*flag).name, somebody.head);
            *counts.entry((flag.0, routed.variant)).or_insert(0_u32) += 1;
        }
        let mut field = Vec::new();
        frozen::write(&evaluation, &mut field);
        let frozen = frozen::read(&set, &field, NOW).expect("it is ours");
        assert!(frozen.is_of(&set, &application));
        for (place, flag) in set.watched().iter().enumerate() {
            let told = frozen.get(*flag).expect("all are told");
            assert_eq!((told.variant, told.reason), {
                let known = evaluation.resolve(place);
                (known.variant, known.reason)
            });
        }
    }
    // An address is the same however the socket tells it.
    let mapped: IpAddr = "::ffff:10.9.9.9".parse().expect("it is an address");
    let mut head = RequestHead::default();
    let text = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
    head.read(text, &HeadLimits::REQUEST).expect("it is a head");
    let request = Request { head: &head, bytes: text };
    let context = RequestContext { terms: set.terms(), request, client: mapped, claims: None };
    assert_eq!(set.groups_of(&context), ["office"]);
    // Every flag gives more than one answer, but for the one that is off.
    for (flag, name) in set.watched().iter().map(|flag| (flag, &set.flag(*flag).name)) {
        let answers = counts.keys().filter(|(known, _)| *known == flag.0).count();
        assert!(answers > 1 || !set.flag(*flag).enabled, "{name}: {answers}");
    }
}
