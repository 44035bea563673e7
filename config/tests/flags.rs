//! Flags, groups and what matches on them: what is read, and how changes of it are told.

use std::{fs, path::PathBuf, sync::Arc};

use gnomon_config::{
    Config, Options, diff, effective, load,
    model::{
        Condition, Flags, Gate, Key, Share, UpstreamIx,
        flag::{Flag, FlagCondition, FlagJudge, Place, Portion, Rule, Source, Told, VariantValue},
    },
    parse,
};

const BASE: &str = "listen = \"127.0.0.1:1\"\nupstream.shop.versions.v1 = [\"127.0.0.1:2\"]\n\
                    route.shop.to = \"shop\"\n";

fn config(text: &str) -> Config {
    let text = format!("{text}\n{BASE}");
    parse("gnomon.toml", &text, &Options::default()).unwrap_or_else(|told| panic!("{told}")).config
}

/// One with keys that stand before any table.
fn flags(text: &str) -> Flags {
    let first = "flags = { by = \"cookie:uid\", ofrep = {} }\n";
    let text = format!("{BASE}{first}{text}");
    let loaded = parse("gnomon.toml", &text, &Options::default());
    loaded.unwrap_or_else(|told| panic!("{told}")).config.flags
}

fn flag(text: &str) -> Flag {
    let mut flags =
        flags(&format!("group.g.users = \"u\"\ngroup.h.users = \"v\"\n[flag.f]\n{text}"));
    assert_eq!(flags.own.len(), 1);
    flags.own.remove(0)
}

fn rule(portion: Option<Portion>, serve: usize) -> Rule {
    let (groups, not, users) = Default::default();
    Rule { groups, not, users, portion, serve: vec![(serve, 1)] }
}

const fn percent(percent: u32) -> Option<Portion> {
    Some(Portion::Fixed(Share(percent * 1000)))
}

#[test]
fn a_file_without_flags_has_the_defaults() {
    let flags = config("").flags;
    assert!(flags.own.is_empty() && flags.groups.is_empty() && flags.ofrep.is_none());
    assert_eq!(flags.header.as_deref(), Some("x-gnomon-flags"));
    assert_eq!((flags.poll.as_secs(), flags.stale.as_secs()), (10, 30 * 86_400));
    assert_eq!((flags.send, flags.by, flags.source), (Told::Used, None, None));
}

#[test]
fn rules_short_and_long_mean_the_same() {
    let user = |name: &str, serve| Rule { users: vec![name.into()], ..rule(None, serve) };
    for (short, long, rules) in [
        ("percent = 10", "{ percent = 10, serve = \"on\" }", vec![rule(percent(10), 0)]),
        (
            "allow = \"42\"\ndeny = [\"43\"]\npercent = 0.5",
            "{ users = \"43\", serve = \"off\" }, { users = [\"42\"], serve = \"on\" }, \
             { percent = 0.5, serve = \"on\" }",
            vec![user("43", 1), user("42", 0), rule(Some(Portion::Fixed(Share(500))), 0)],
        ),
        ("allow = []", "", vec![]),
        (
            "percent = { to = 100, start = 1970-01-01T00:00:09Z, end = \"1970-01-02\" }",
            "{ percent = { from = 0, to = 100, start = \"1970-01-01T01:00:09+01:00\", \
             end = 1970-01-02 }, serve = \"on\" }",
            vec![rule(
                Some(Portion::Ramp { from: Share(0), to: Share::WHOLE, start: 9, end: 86_400 }),
                0,
            )],
        ),
    ] {
        assert_eq!(flag(short).rules, rules, "{short}");
        assert_eq!(flag(&format!("rules = [{long}]")).rules, rules, "{long}");
    }
}

#[test]
fn a_rule_says_for_whom_and_what() {
    let text = r#"
        variants = { a = "A", b = "B", c = "C" }
        default = "c"
        rules = [{ group = ["h", "g"], not = "h", users = "u", percent = 1, serve = { b = 3, a = 0 } }]
        start = 2026-12-01T08:00:00Z
        end = "2026-12-03"
        owner = "us"
        description = "a flag"
        expires = 2027-01-31
        enabled = false
        salt = "s"
        by = "client_ip"
        judge = { upstream = "shop", variant = "b" }
    "#;
    let expected = Flag {
        name: "f".into(),
        enabled: false,
        variants: [("a", "A"), ("b", "B"), ("c", "C")]
            .map(|(name, value)| (name.into(), VariantValue::Text(value.into())))
            .into(),
        default: 2,
        by: Some(Place::Key(Key::ClientIp)),
        salt: "s".into(),
        rules: vec![Rule {
            groups: vec![0, 1],
            not: vec![1],
            users: vec!["u".into()],
            portion: percent(1),
            serve: vec![(1, 3), (0, 0)],
        }],
        start: Some(1_796_112_000),
        end: Some(1_796_256_000),
        owner: "us".into(),
        description: "a flag".into(),
        expires: Some(1_801_353_600),
        judge: Some(FlagJudge {
            upstream: UpstreamIx(0),
            variant: 1,
            horizon: Gate::default().horizon,
        }),
    };
    assert_eq!(flag(text), expected);
    assert_eq!(flag("percent = 1\njudge = \"shop\"").judge.map(|judge| judge.variant), Some(0));
}

#[test]
fn variants_are_booleans_texts_numbers_or_json() {
    use VariantValue::{Bool, Float, Integer, Json, Text};
    for (text, values) in [
        ("on = true, off = false", vec![Bool(true), Bool(false)]),
        ("a = \"{ env = 1 }\", b = \"\"", vec![Text("{ env = 1 }".into()), Text("".into())]),
        ("a = 1, b = 2.5, c = -1e300", vec![Integer(1), Float(2.5), Float(-1e300)]),
        (
            "a = { env = \"HOME\", b = [1, 2.0, { c = true }] }, d = []",
            vec![Json("{\"b\":[1,2.0,{\"c\":true}],\"env\":\"HOME\"}".into()), Json("[]".into())],
        ),
    ] {
        let first = text.split(' ').next().unwrap_or_default();
        let flag = flag(&format!("variants = {{ {text} }}\ndefault = \"{first}\""));
        let found: Vec<VariantValue> = flag.variants.into_iter().map(|(_, value)| value).collect();
        assert_eq!(found, values, "{text}");
    }
}

#[test]
fn a_group_stands_behind_those_it_refers_to() {
    let text = "group.all.any = [\"beta\", \"staff\"]\ngroup.beta = { any = \"staff\", percent = 5 }\n\
                group.staff.header.x-staff = \"1\"\ngroup.other.client = \"10.0.0.0/8\"\n\
                flag.f.rules = [{ group = \"all\", not = \"other\", serve = \"on\" }]\n";
    let flags = flags(text);
    let names: Vec<&str> = flags.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["staff", "beta", "all", "other"]);
    let any: Vec<&[usize]> = flags.groups.iter().map(|group| group.any.as_slice()).collect();
    assert_eq!(any, [&[][..], &[0], &[1, 0], &[]]);
    assert_eq!((flags.own[0].rules[0].groups[0], flags.own[0].rules[0].not[0]), (2, 3));
    assert_eq!(flags.groups[1].share, Some(Share(5000)));
    assert_eq!(&*flags.groups[1].salt, "beta");
}

#[test]
fn a_group_says_what_a_request_holds() {
    let text = r#"
        flag.f.rules = { group = "g", serve = "on" }
        [group.g]
        header = { X-Staff = ["1", "2"] }
        cookie = { tier = { regex = "^gold" } }
        query = { beta = { present = true } }
        host = "Beta.Example.com"
        path = ["/a", "/b"]
        method = "GET"
        users = ["b", "a", "b"]
        by = "header:X-User"
        salt = "s"
    "#;
    let group = flags(text).groups.remove(0);
    let one_of = |texts: &[&str]| {
        Condition::OneOf(texts.iter().map(|text| Arc::from(*text)).collect::<Vec<_>>())
    };
    assert_eq!(group.conditions.len(), 6);
    let header = Place::Key(Key::Header("x-staff".into()));
    assert_eq!(group.conditions[0], (header, one_of(&["1", "2"])));
    assert_eq!(group.conditions[2].1, Condition::Present(true));
    assert_eq!(group.conditions[3], (Place::Host, one_of(&["beta.example.com"])));
    assert_eq!(group.conditions[4], (Place::Path, one_of(&["/a", "/b"])));
    assert_eq!(group.conditions[5], (Place::Method, one_of(&["GET"])));
    assert_eq!(group.users.as_deref(), Some(&["a".into(), "b".into()][..]));
    assert_eq!(group.by, Some(Place::Key(Key::Header("x-user".into()))));
}

#[test]
fn routes_and_shadows_match_on_flags() {
    let is = |flag: &str, variant: Option<&str>, not| FlagCondition {
        flag: flag.into(),
        variant: variant.map(Into::into),
        not,
    };
    for (text, expected) in [
        ("\"a\"", vec![is("a", None, false)]),
        ("\"!a\"", vec![is("a", None, true)]),
        ("[\"a\", \"a\", \"!b.c/d\"]", vec![is("a", None, false), is("b.c/d", None, true)]),
        ("{ t = \"dark\" }", vec![is("t", Some("dark"), false)]),
        (
            "{ t = { not = \"dark\" }, a = false }",
            vec![is("t", Some("dark"), true), is("a", None, true)],
        ),
        ("{ a = { not = false } }", vec![is("a", None, false)]),
        ("[{ a = { not = true } }, { b = true }]", vec![is("a", None, true), is("b", None, false)]),
    ] {
        // Whatever comes from elsewhere may be so.
        let text = format!(
            "flags.source = \"http://flags/\"\nupstream.shop.versions.v2 = [\"127.0.0.1:3\"]\n\
             route.shop.match.flag = {text}\n\
             shadow.s = {{ from = \"shop@v1\", to = \"shop@v2\", match.flag = {text}, by = \"cookie:u\", salt = \"x\" }}\n"
        );
        let config = config(&text);
        assert_eq!(config.routes[0].matches.flags, expected, "{text}");
        assert_eq!(config.shadows[0].matches.flags, expected, "{text}");
        assert_eq!(config.shadows[0].salt.as_deref(), Some("x"));
    }
}

#[test]
fn a_split_has_its_own_salt_unless_it_says_otherwise() {
    let salt = |text: &str| config(text).upstreams[0].sticky.salt.clone();
    assert_eq!(&*salt(""), "shop");
    assert_eq!(&*salt("upstream.shop.sticky = \"cookie:uid\""), "shop");
    assert_eq!(&*salt("upstream.shop.sticky = { key = \"cookie:uid\", salt = \"cart\" }"), "cart");
}

/// A folder of its own for each test.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("flags").join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("a folder");
    for (name, text) in files {
        fs::write(root.join(name), text).expect("a file");
    }
    root
}

const ALL: &str = r#"
[flags]
source = "more/flags.json"
poll = "1m"
by = "claim:sub"
secret = { file = "secret" }
header = "Baggage"
sign = { file = "secret" }
send = ["cart", "theme"]
stale = "7d"
[flags.context]
"a mail" = "header:x-email"
plan = "claim:plan.name"
[flags.jwt]
from = "cookie:jwt"
keys = "jwks.json"
issuer = "https://login.example.com"
audience = ["shop", "pay"]
leeway = "0s"
[flags.ofrep]
listen = ["127.0.0.1:8016", "[::]:8017"]
tokens = "tokens"
headers = { X-User-Email = "email", x-user = "targetingKey" }
[group.late]
any = ["file", "staff"]
percent = 0.5
[group.file]
users_file = "users.txt"
salt = "f"
[group.staff]
header = { x-staff = "1", "x-a" = { present = false } }
claim = { plan = ["pro", "team"], "a.b" = { regex = "^x" } }
client = ["10.0.0.0/8"]
host = "a.example.com"
users = ["u1"]
by = "path"
[flag.cart]
percent = { from = 1, to = 99.5, start = "2026-12-01T08:00:00Z", end = "2026-12-03T08:00:00Z" }
allow = ["42", "a\"b"]
deny = "43"
judge = "shop"
[flag.theme]
variants = { light = "light", dark = "da\"rk" }
default = "light"
rules = [
  { group = ["late", "staff"], not = "file", percent = 20, serve = "dark" },
  { users = ["u"], serve = { light = 1, dark = 2 } },
]
by = "header:x-user"
salt = "look"
enabled = false
start = 2026-12-01
end = 2026-12-02
owner = "us"
description = "light or dark"
expires = 2099-01-01
[flag.size]
variants = { a = 1, b = 2.0, c = -0.5 }
default = "a"
[flag.json]
variants = { a = { b = [1, "x", { "c d" = false }], e = 1e-7 }, f = [] }
default = "f"
[route.theme]
to = "shop"
match.flag = ["!cart", { theme = "dark" }, { theme = { not = "light" } }, { "no.such" = true }]
"#;

fn with_files(name: &str, text: &str, users: &str) -> Config {
    let files = [
        ("gnomon.toml", format!("{BASE}{text}")),
        ("secret", "0123456789abcdef".to_owned()),
        ("jwks.json", "{}".to_owned()),
        ("tokens", "token".to_owned()),
        ("users.txt", users.to_owned()),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let root = folder(name, &files);
    load(&root.join("gnomon.toml"), &Options::default())
        .unwrap_or_else(|told| panic!("{told}"))
        .config
}

#[test]
fn users_of_a_file_are_one_a_line() {
    let config = with_files("users", ALL, "# those who asked\r\n\n u2 \r\nu1\nu#3\nu2\n");
    let group = config.flags.groups.iter().find(|group| &*group.name == "file").unwrap();
    let users = ["u#3", "u1", "u2"].map(Box::from);
    assert_eq!(group.users.as_deref(), Some(&users[..]));
    assert!(group.users_file.as_ref().is_some_and(|path| path.is_absolute()));
    let Some(Source::File(path)) = &config.flags.source else { panic!("{:?}", config.flags) };
    assert!(path.is_absolute() && path.ends_with("more/flags.json"));
    let jwt = config.flags.jwt.unwrap();
    assert_eq!((jwt.keys.content.0.as_slice(), jwt.leeway.as_secs()), (&b"{}"[..], 0));
    assert_eq!(config.flags.header.as_deref(), Some("baggage"));
    assert_eq!(config.flags.ofrep.unwrap().headers[1].1.as_ref(), "targetingKey");
}

#[test]
fn there_are_bounds_on_how_much_can_be_said() {
    let told = |text: &str| {
        let text = format!("{BASE}flags = {{ by = \"client_ip\", ofrep = {{}}{text}");
        let told = parse("gnomon.toml", &text, &Options::default()).unwrap_err();
        told.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    let many = |count: usize, text: &str| -> String {
        (0..count).map(|number| text.replace('#', &number.to_string())).collect()
    };
    let all = format!(", send = \"all\" }}\n{}", many(65, "flag.f#.percent = 1\n"));
    assert_eq!(told(&all), ["65 flags are matched on, sent or judged; 64 can be"]);
    let flags = format!("}}\n{}", many(1001, "flag.f#.percent = 1\n"));
    assert_eq!(told(&flags), ["there are more than 1000 flags"]);
    let rules = format!("}}\nflag.f.rules = [{}]", many(65, "{ users = \"#\", serve = \"on\" }, "));
    assert_eq!(told(&rules), ["there are more than 64 rules"]);
    let variants =
        format!("}}\nflag.f = {{ default = \"v0\", variants = {{ {} }} }}", many(33, "v# = #, "));
    assert_eq!(told(&variants.replace(",  }", " }")), ["there are more than 32 variants"]);
    let groups = format!("}}\n{}", many(65, "group.g#.percent = 1\n"));
    assert_eq!(told(&groups), ["there are more than 64 groups"]);
    let circle: String =
        (0..64).map(|at| format!("group.g{at}.any = \"g{}\"\n", (at + 1) % 64)).collect();
    assert_eq!(told(&format!("}}\n{circle}")), ["[group.g0] refers to itself"]);
}

#[test]
fn more_users_than_can_be_are_told() {
    let users: String = (0..=1_000_000).map(|number| format!("{number}\n")).collect();
    let text = format!("{BASE}flags.by = \"cookie:u\"\ngroup.g.users_file = \"users.txt\"\n");
    let root = folder("many", &[("gnomon.toml", &text), ("users.txt", &users)]);
    let told = load(&root.join("gnomon.toml"), &Options::default()).unwrap_err();
    let first = told.iter().next().unwrap();
    assert_eq!(first.message, "cannot read users.txt: it names more than 1000000 users");
}

#[test]
fn what_is_effective_loads_again_as_the_same() {
    let before = with_files("again", ALL, "u1\nu2\n");
    // Secrets do not show: they are put in again.
    let line = |path: &str, value: &str| match value {
        "<redacted>" => format!("{path} = {{ file = \"secret\" }}\n"),
        value => format!("{path} = {value}\n"),
    };
    let text: String = effective(&before).iter().map(|it| line(&it.path, &it.value)).collect();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("flags/again");
    let options = Options { base: Some(&root), ..Options::default() };
    let after =
        parse("gnomon.toml", &text, &options).unwrap_or_else(|told| panic!("{told}")).config;
    assert_eq!(before.flags, after.flags, "{text}");
    assert_eq!(before.routes, after.routes);
    assert_eq!(diff(&before, &after), []);
}

#[track_caller]
fn check(change: (&str, &str), expected: &[&str]) {
    assert!(change.0.is_empty() || ALL.contains(change.0), "{}", change.0);
    let before = with_files("before", ALL, "u1\nu2\n");
    // In the same folder, so that no path differs.
    let after = with_files("before", &ALL.replacen(change.0, change.1, 1), "u1\nu2\n");
    let lines: Vec<String> = diff(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_change_is_told_in_a_persons_words() {
    let ramp = "percent = { from = 1, to = 99.5, start = \"2026-12-01T08:00:00Z\", end = \"2026-12-03T08:00:00Z\" }";
    let old = ramp.trim_start_matches("percent = ");
    check((ramp, "percent = 20"), &[&format!("~ flag.cart.percent {old} → 20")]);
    check(("percent = 20,", "percent = 30,"), &["~ flag.theme.rules.1.percent 20 → 30"]);
    check(("percent = 20, ", ""), &["- flag.theme.rules.1.percent 20"]);
    check(("[\"u\"]", "[\"u\", \"v\"]"), &["~ flag.theme.rules.2.users [\"u\"] → [\"u\", \"v\"]"]);
    check(
        ("dark = \"da\\\"rk\"", "dark = \"dark\""),
        &["~ flag.theme.variants dark 'da\"rk' → \"dark\""],
    );
    check(("enabled = false", ""), &["~ flag.theme.enabled false → true"]);
    check(("[flag.size]", "[flag.sizes]"), &["+ flag.sizes", "- flag.size"]);
    check(("deny = \"43\"\n", ""), &["- flag.cart.deny [\"43\"]"]);
    check(("plan = \"claim:plan.name\"\n", ""), &["- flags.context plan \"claim:plan.name\""]);
    check(
        ("\"!cart\"", "\"cart\""),
        &[
            "~ route.theme.match.flag [\"!cart\", { theme = \"dark\" }, { theme = { not = \"light\" } }, \"no.such\"] → [\"cart\", { theme = \"dark\" }, { theme = { not = \"light\" } }, \"no.such\"]",
        ],
    );
}

#[test]
fn a_changed_file_of_users_is_a_change() {
    let before = with_files("content", ALL, "u1\nu2\n");
    let after = with_files("content", ALL, "u1\nu3\n");
    let lines: Vec<String> = diff(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("~ group.file.users_file \""), "{lines:?}");
    assert!(lines[0].ends_with("users.txt\", with other content"), "{lines:?}");
    // The same users in another order are the same.
    let sorted = with_files("content", ALL, "u3\n# again\nu1\n");
    assert_eq!(diff(&after, &sorted), []);
}
