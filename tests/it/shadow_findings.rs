//! What a shadow finds through the whole proxy: what was planted, and nothing else.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use e2e::{
    Origin, Running, eventually, eventually::linger, on_each_driver, origin::Request,
    running::Driver,
};
use gnomon::control::api::{FindingDetail, NoisePage, Page};
use gnomon_shadow::{
    difference::Aspect,
    finding::{Finding, Verdict},
};
use serde_json::Value as Json;

use super::{
    GET,
    shadow::{books, shadowed},
};

/// An origin that answers each request by itself.
pub(super) fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Origin {
    Origin::start(move |call, _| {
        while let Some(request) = call.read_request()? {
            call.reply(answer(&request))?;
        }
        Ok(())
    })
}

/// A reply with these lines above the body's length.
pub(super) fn reply(start: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {start}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn json(body: &str) -> Vec<u8> {
    reply("200 OK\r\ncontent-type: application/json", body)
}

/// Numbers that look like chance, the same in every run as far as the order of requests is.
struct Dice(AtomicU64);

impl Dice {
    const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed << 32))
    }

    fn roll(&self) -> u64 {
        let seed = self.0.fetch_add(1, SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ (seed >> 31)
    }

    /// Whether so many of 1000 faces came up.
    fn falls(&self, faces: u64) -> bool {
        self.roll() % 1000 < faces
    }
}

/// What a GET of the admin API answers.
#[track_caller]
pub(super) fn get(proxy: &Running, path: &str) -> Json {
    let (status, text) = proxy.call("GET", path, "");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("it is JSON")
}

/// The report on a shadow, once it is of at least so many pairs.
#[track_caller]
pub(super) fn reported(proxy: &Running, name: &str, pairs: u64) -> Json {
    let mut report = Json::Null;
    eventually("the pairs are reported", || {
        report = get(proxy, &format!("/v1/shadows/{name}"));
        report["totals"]["compared"].as_u64() >= Some(pairs)
    });
    report
}

/// All findings of a shadow.
#[track_caller]
pub(super) fn findings(proxy: &Running, name: &str) -> Vec<Finding> {
    let page = get(proxy, &format!("/v1/shadows/{name}/findings?all=true&limit=1000"));
    let page: Page<Finding> = serde_json::from_value(page).expect("it is what the API says");
    assert_eq!(page.items.len(), page.total);
    page.items
}

fn of_verdict(findings: &[Finding], verdict: Verdict) -> BTreeSet<(String, String)> {
    let fitting = findings.iter().filter(|one| one.verdict == verdict);
    fitting.map(|one| (one.path.to_string(), one.kind.to_string())).collect()
}

/// Asks for `path` so many times on one connection; each is answered with 200 or 201.
fn ask(proxy: &Running, path: &str, count: usize) {
    let mut client = proxy.connect();
    for _ in 0..count {
        let reply = client.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert!(matches!(reply.status(), 200..=201), "{}", reply.head);
    }
}

/// `body` in gzip.
pub(super) fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// `body`, of at most 64 KiB, in the format of brotli, though not compressed.
fn brotli(body: &str) -> Vec<u8> {
    // A window of 64 KiB; a piece that is not the last, of 4 half bytes' length, as it is.
    let length = u32::try_from(body.len() - 1).expect("it is short");
    let head = (length << 4) | (1 << 20);
    let end = [0b11];
    [&head.to_le_bytes()[..3], body.as_bytes(), &end].concat()
}

/// JSON as some server would send it: coded in one way or another.
fn coded(start: &str, body: &str, way: u64) -> Vec<u8> {
    let (coding, body) = match way % 3 {
        0 => ("", body.as_bytes().to_vec()),
        1 => ("\r\nContent-Encoding: gzip", gzip(body)),
        _ => ("\r\ncontent-encoding: br", brotli(body)),
    };
    reply(&format!("{start}{coding}"), body)
}

fn shop_v1() -> Origin {
    let dice = Dice::new(1);
    answering(move |_| {
        let (id, at) = (dice.roll(), dice.roll());
        let flip = dice.falls(500);
        let body = format!(
            "{{\"id\":\"{id:x}\",\"at\":{at},\"flip\":{flip},\"stamp\":\"{at}\",\"name\":\"lamp\",\
             \"price\":10.50,\"ratio\":1.0,\"kind\":\"a\",\
             \"nested\":{{\"deep\":{{\"gone\":1,\"stock\":5}}}},\
             \"items\":[{{\"sku\":\"a\",\"n\":1}},{{\"sku\":\"b\",\"n\":2}},{{\"sku\":\"c\",\"n\":3}}]}}"
        );
        let start = "200 OK\r\nContent-Type: application/json\r\nX-Same: 1\r\nX-Flavor: old\r\n\
                     X-Gone: yes";
        coded(start, &body, dice.roll())
    })
}

/// The same shop, but for what [`PLANTED`] says.
fn shop_v2() -> Origin {
    let dice = Dice::new(2);
    answering(move |_| {
        let (id, at) = (dice.roll(), dice.roll());
        let flip = dice.falls(500);
        let body = format!(
            "{{ \"kind\": 7, \"items\": [{{\"n\":3,\"sku\":\"c\"}}, {{\"sku\":\"a\",\"n\":1}},\
             {{\"sku\":\"b\",\"n\":9}}, {{\"sku\":\"d\",\"n\":4}}],\
             \"nested\": {{\"deep\":{{\"stock\":5,\"extra\":true}}}}, \"ratio\": 1.0000001,\
             \"price\": 11, \"name\": \"lamp\", \"flip\": {flip}, \"at\": {at}, \"id\": \"{id:x}\" }}"
        );
        let start = "201 Created\r\ncontent-type: application/json\r\nx-same: 1\r\nx-flavor: new";
        coded(start, &body, dice.roll())
    })
}

const PLANTED: [(&str, &str); 11] = [
    ("status", "value"),
    ("header.x-flavor", "value"),
    ("header.x-gone", "missing"),
    ("$.nested.deep.gone", "missing"),
    ("$.nested.deep.extra", "extra"),
    ("$.kind", "type"),
    ("$.price", "value"),
    ("$.items[*].n", "value"),
    ("$.items[*]", "extra"),
    ("$.items", "order"),
    // Never twice the same, and so never equal anyway; but it is not there any more.
    ("$.stamp", "missing"),
];

const RULES: &str = "shadow.new.noise = true\nshadow.new.in_flight = 4096\n\
    shadow.new.compare.headers = [\"content-type\", \"x-flavor\", \"x-same\", \"x-gone\"]\n\
    shadow.new.compare.numbers.tolerance = 1e-6\n\
    shadow.new.compare.arrays = { \"$.items\" = \"by sku\" }\n";

fn named(all: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    all.iter().map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned())).collect()
}

#[test]
fn what_was_planted_is_found_among_noise_and_nothing_else() {
    on_each_driver(|driver| {
        let (primary, shadow) = (shop_v1(), shop_v2());
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, RULES));
        ask(&proxy, "/item/7", 120);
        reported(&proxy, "new", 120);
        let found = findings(&proxy, "new");
        assert_eq!(of_verdict(&found, Verdict::Real), named(&PLANTED), "{found:#?}");
        let noise = [("$.id", "value"), ("$.at", "value"), ("$.flip", "value")];
        assert_eq!(of_verdict(&found, Verdict::Noise), named(&noise), "{found:#?}");
        assert!(found.iter().all(|one| one.verdict != Verdict::Undecided), "{found:#?}");
        assert!(found.iter().all(|one| &*one.endpoint == "GET /item/{}"));
        let books = books(&proxy, "new").accounting;
        assert_eq!((books.compared, books.uncomparable.len()), (120, 0));
        // What was learnt of the noise says so, and why the timestamp is told apart.
        let noise: NoisePage =
            serde_json::from_value(get(&proxy, "/v1/shadows/new/noise?all=true"))
                .expect("it is what the API says");
        let of = |path: &str, aspect| {
            let mut all = noise.paths.items.iter();
            all.find(|one| &*one.path == path && one.aspect == aspect).expect("it is there")
        };
        let (value, structure) = (of("$.stamp", Aspect::Value), of("$.stamp", Aspect::Structure));
        assert_eq!((value.rates.noisy, value.rates.different), (value.rates.asked, 0));
        assert_eq!((structure.rates.noisy, structure.verdict), (0, Verdict::Real));
        // Each has an example that shows it.
        for finding in found.iter().filter(|one| one.verdict == Verdict::Real) {
            let detail = get(&proxy, &format!("/v1/findings/{}", finding.id));
            let detail: FindingDetail =
                serde_json::from_value(detail).expect("it is what the API says");
            let example = detail.example.expect("there is one");
            assert_eq!((example.primary.status, example.shadow.status), (200, 201));
            assert!(example.differences.iter().any(|one| *one.path == *finding.path));
        }
    });
}

#[test]
fn a_shadow_that_never_answers_is_found() {
    on_each_driver(|driver| {
        let (primary, _) = pair_of_shops();
        let shadow = Origin::start(|call, _| {
            call.read_head()?;
            call.reset();
            Ok(())
        });
        let more = "shadow.new.noise = true\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        ask(&proxy, "/", 40);
        super::shadow::settled(&proxy, "new", 40);
        eventually("it is found", || {
            let real = of_verdict(&findings(&proxy, "new"), Verdict::Real);
            real == named(&[("status", "missing")])
        });
    });
}

/// A service with fields that now and then differ, each at a rate of its own.
fn noisy_service(seed: u64) -> Origin {
    let dice = Dice::new(seed);
    answering(move |_| {
        let mut body = format!("{{\"id\":{},\"same\":1", dice.roll());
        for (nth, faces) in [500, 200, 50, 20, 10, 10, 5, 5, 5, 5].into_iter().enumerate() {
            body += &format!(",\"f{nth}\":{}", u8::from(dice.falls(faces)));
            if dice.falls(faces) {
                body += &format!(",\"maybe_{nth}\":true");
            }
        }
        json(&(body + "}"))
    })
}

#[test]
fn a_version_against_itself_is_not_found_different() {
    const PAIRS: u64 = 2500;
    on_each_driver(|driver| {
        let (primary, shadow) = (noisy_service(1), noisy_service(2));
        let more = "shadow.new.noise = true\nshadow.new.in_flight = 4096\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        let (mut compared, mut looks, mut fired) = (0, 0, false);
        while compared < PAIRS {
            client.send(GET.repeat(50));
            for _ in 0..50 {
                assert_eq!(client.read_reply().status(), 200);
            }
            let mut report = get(&proxy, "/v1/shadows/new");
            compared = report["totals"]["compared"].as_u64().unwrap_or_default();
            let paths = report["paths"].take();
            fired |= paths.as_array().into_iter().flatten().any(|path| path["plain_rule"] == true);
            looks += 1;
        }
        let found = findings(&proxy, "new");
        assert_eq!(of_verdict(&found, Verdict::Real), BTreeSet::new(), "{found:#?}");
        assert!(found.len() >= 10, "{found:#?}");
        assert!(fired, "the plain rule has no notion of chance: {looks} looks");
    });
}

/// A folder for a state that outlives a proxy.
pub(super) struct State(PathBuf);

impl State {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let name = format!("gnomon-state-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The line of configuration that names it.
    pub(super) fn line(&self) -> String {
        format!("state.dir = \"{}\"\n", self.0.display())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two versions: `$.price` differs, `$.at` always, `$.gone` is missing.
fn pair_of_shops() -> (Origin, Origin) {
    let (one, two) = (Dice::new(3), Dice::new(4));
    let primary =
        answering(move |_| json(&format!("{{\"price\":1,\"gone\":2,\"at\":{}}}", one.roll())));
    let shadow = answering(move |_| json(&format!("{{\"price\":2,\"at\":{}}}", two.roll())));
    (primary, shadow)
}

fn verdict_of(proxy: &Running, path: &str) -> Option<Verdict> {
    findings(proxy, "new").iter().find(|one| &*one.path == path).map(|one| one.verdict)
}

fn mark(proxy: &Running, pattern: &str, kind: &str) {
    let body = format!("{{\"pattern\": \"{pattern}\", \"kind\": {kind}, \"why\": \"so\"}}");
    let done = proxy.act("/v1/shadows/new/mark", &body);
    assert!(done.changes[0].contains(pattern), "{done:?}");
}

#[test]
fn people_have_the_last_word_until_they_take_it_back() {
    on_each_driver(|driver| {
        let (primary, shadow) = pair_of_shops();
        let more = "shadow.new.noise = true\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        ask(&proxy, "/", 40);
        reported(&proxy, "new", 40);
        let verdicts = || ["$.price", "$.gone", "$.at"].map(|path| verdict_of(&proxy, path));
        let (real, noise) = (Some(Verdict::Real), Some(Verdict::Noise));
        assert_eq!(verdicts(), [real, real, noise]);
        mark(&proxy, "$..price", "\"ignore\"");
        mark(&proxy, "$.gone", "\"noise\"");
        assert_eq!(verdicts(), [Some(Verdict::Ignored), noise, noise]);
        let shown = get(&proxy, "/v1/shadows/new/findings");
        assert_eq!((&shown["total"], &shown["items"]), (&0.into(), &Json::Array(Vec::new())));
        let pinned = get(&proxy, "/v1/shadows/new/noise");
        assert_eq!(pinned["marks"].as_array().map(Vec::len), Some(2), "{pinned}");
        assert_eq!(pinned["marks"][0]["why"], "so");
        assert!(pinned["marks"][0]["by"].as_str().is_some_and(|by| by.contains("uid")));
        // Nothing that differs is left that anybody would want to see.
        let before = get(&proxy, "/v1/shadows/new")["totals"]["different"].clone();
        mark(&proxy, "$.at", "\"noise\"");
        ask(&proxy, "/", 5);
        assert_eq!(reported(&proxy, "new", 45)["totals"]["different"], before);
        mark(&proxy, "$..price", "null");
        mark(&proxy, "$.gone", "null");
        assert_eq!(verdicts(), [real, real, noise]);
        proxy.act("/v1/shadows/new/forget", "{\"path\": \"$.price\"}");
        assert_eq!(verdicts(), [None, real, noise]);
        ask(&proxy, "/", 40);
        reported(&proxy, "new", 85);
        assert_eq!(verdicts(), [real, real, noise]);
        proxy.act("/v1/shadows/new/forget", "{}");
        assert_eq!(findings(&proxy, "new"), []);
        assert_eq!(get(&proxy, "/v1/shadows/new")["totals"]["compared"], 0);
    });
}

#[test]
fn what_was_found_and_said_survives_a_restart() {
    on_each_driver(|driver| {
        let (primary, shadow) = pair_of_shops();
        let state = State::new();
        let config = shadowed(&primary, &shadow, "shadow.new.noise = true\n") + &state.line();
        let proxy = Running::start(driver, &config);
        ask(&proxy, "/", 60);
        reported(&proxy, "new", 60);
        mark(&proxy, "$..price", "\"ignore\"");
        let before = (findings(&proxy, "new"), get(&proxy, "/v1/shadows/new"));
        let _ = proxy.stop();
        let proxy = Running::start(driver, &config);
        reported(&proxy, "new", 60);
        let after = (findings(&proxy, "new"), get(&proxy, "/v1/shadows/new"));
        let shown = |one: &Finding| (one.id.clone(), one.count, one.verdict, one.examples.clone());
        let (old, new): (Vec<_>, Vec<_>) =
            (before.0.iter().map(shown).collect(), after.0.iter().map(shown).collect());
        assert_eq!(old, new);
        // The price, what is gone, and a time that is earlier or later.
        assert_eq!(old.len(), 4);
        for part in ["totals", "marks", "examples"] {
            assert_eq!(before.1[part], after.1[part], "{part}");
        }
        let tallies = |report: &Json| -> Vec<String> {
            let paths = report["paths"].as_array().into_iter().flatten();
            paths.map(|it| format!("{} {} {}", it["path"], it["aspect"], it["tally"])).collect()
        };
        assert_eq!(tallies(&before.1), tallies(&after.1));
        for finding in &after.0 {
            let detail = get(&proxy, &format!("/v1/findings/{}", finding.id));
            assert!(detail["example"].is_object(), "{detail}");
        }
        // And it goes on from there.
        ask(&proxy, "/", 10);
        let report = reported(&proxy, "new", 70);
        assert_eq!(report["totals"]["compared"], 70);
        let gone = findings(&proxy, "new").into_iter().find(|one| &*one.path == "$.gone");
        let gone = gone.expect("it is still there");
        assert_eq!((gone.count, gone.rates.compared), (70, 70));
        assert_eq!(verdict_of(&proxy, "$.price"), Some(Verdict::Ignored));
    });
}

#[test]
fn a_stop_right_after_the_start_loses_nothing() {
    on_each_driver(|driver| {
        let (primary, shadow) = pair_of_shops();
        let state = State::new();
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        ask(&proxy, "/", 1);
        super::shadow::settled(&proxy, "new", 1);
        let _ = proxy.stop();
        let proxy = Running::start(driver, &config);
        assert_eq!(reported(&proxy, "new", 1)["totals"]["compared"], 1);
    });
}

/// What the API refuses: the status, what it says, and what would help.
fn refused(proxy: &Running, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let (status, text) = proxy.call(method, path, body);
    let said: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    (status, text("error"), text("help"))
}

#[test]
fn lists_come_in_pages() {
    let (primary, shadow) = (shop_v1(), shop_v2());
    let proxy = Running::start(Driver::Epoll, &shadowed(&primary, &shadow, RULES));
    ask(&proxy, "/item/7", 60);
    reported(&proxy, "new", 60);
    let all = findings(&proxy, "new");
    assert!((14..=17).contains(&all.len()), "{all:#?}");
    let mut paged = Vec::new();
    for offset in (0..).step_by(4).take_while(|&offset| offset < 16) {
        let path = format!("/v1/shadows/new/findings?all=true&limit=4&offset={offset}");
        let page: Page<Finding> =
            serde_json::from_value(get(&proxy, &path)).expect("it is what the API says");
        assert_eq!((page.total, page.offset), (all.len(), offset));
        paged.extend(page.items);
    }
    assert_eq!(paged, all);
    let shown = get(&proxy, "/v1/shadows/new/findings");
    assert_eq!(shown["total"], 11, "noise is shown only if asked for");
    assert_eq!(get(&proxy, "/v1/shadows/new/findings?offset=99")["items"], Json::Array(vec![]));
    assert_eq!(
        get(&proxy, "/v1/shadows/new/findings?limit=0")["items"].as_array().map(Vec::len),
        Some(1)
    );
    let noise = get(&proxy, "/v1/shadows/new/noise?limit=2");
    assert_eq!(
        (&noise["paths"]["total"], noise["paths"]["items"].as_array().map(Vec::len)),
        (&4.into(), Some(2))
    );
    // A finding may be named by the beginning of its id.
    let id = &all[0].id;
    assert_eq!(get(&proxy, &format!("/v1/findings/{}", &id[..10]))["finding"]["id"], **id);
}

/// Method, path and body of what is refused: the status, a part of what is said, and of the help.
type Refusal = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const REFUSALS: [Refusal; 16] = [
    ("GET", "/v1/shadows/old", "", 404, "`old`", "new"),
    ("GET", "/v1/shadows/old/findings", "", 404, "`old`", "new"),
    ("GET", "/v1/shadows/old/noise", "", 404, "`old`", "new"),
    ("GET", "/v1/findings/xyz", "", 404, "`xyz`", "shadow diffs"),
    ("GET", "/v1/examples/xyz", "", 404, "`xyz`", "shadow show"),
    ("GET", "/v1/shadows/new/findings?limit=few", "", 400, "limit", "limit=50"),
    ("GET", "/v1/shadows/new/findings?offset=-1", "", 400, "offset", "limit=50"),
    ("GET", "/v1/shadows/new/noise?page=2", "", 400, "page", "limit=50"),
    ("POST", "/v1/shadows/new/mark", "{", 400, "not understood", "pattern"),
    ("POST", "/v1/shadows/new/mark", "{\"pattern\": \"$.a\", \"kind\": \"x\"}", 400, "x", "noise"),
    (
        "POST",
        "/v1/shadows/new/mark",
        "{\"pattern\": \"$.a[\", \"kind\": \"noise\"}",
        400,
        "`$.a[`",
        "$.price",
    ),
    (
        "POST",
        "/v1/shadows/new/mark",
        "{\"pattern\": \"statsu\", \"kind\": \"noise\"}",
        400,
        "`statsu`",
        "`status`",
    ),
    (
        "POST",
        "/v1/shadows/new/mark",
        "{\"pattern\": \"$.a\", \"kind\": null}",
        404,
        "`$.a`",
        "shadow noise new",
    ),
    (
        "POST",
        "/v1/shadows/old/mark",
        "{\"pattern\": \"$.a\", \"kind\": \"noise\"}",
        404,
        "`old`",
        "new",
    ),
    (
        "POST",
        "/v1/shadows/new/forget",
        "{\"path\": \"$.none\"}",
        404,
        "`$.none`",
        "shadow diffs new",
    ),
    ("GET", "/v1/shadows/new/mark", "", 405, "GET", "POST"),
];

#[test]
fn what_cannot_be_done_is_refused_with_a_way_out() {
    on_each_driver(|driver| {
        let (primary, shadow) = pair_of_shops();
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, ""));
        let pin = "{\"pattern\": \"$.a\", \"kind\": \"noise\"}";
        let pinned = || proxy.call("POST", "/v1/shadows/new/mark", pin).0 == 200;
        eventually("the shadow's thread has begun", pinned);
        let unpin = "{\"pattern\": \"$.a\", \"kind\": null}";
        assert_eq!(proxy.call("POST", "/v1/shadows/new/mark", unpin).0, 200);
        for (method, path, body, expected, error, help) in REFUSALS {
            let said = refused(&proxy, method, path, body);
            assert_eq!(said.0, expected, "{path} {body}: {said:?}");
            assert!(said.1.contains(error) && said.2.contains(help), "{path} {body}: {said:?}");
        }
    });
}

/// An origin that takes its time before it answers.
fn taking(time: Duration) -> Origin {
    answering(move |_| {
        linger(time);
        json("{\"a\":1}")
    })
}

#[test]
fn a_slower_shadow_is_told_and_one_as_slow_is_not() {
    on_each_driver(|driver| {
        let short = Duration::from_millis(2);
        let (primary, same, slow) = (taking(short), taking(short), taking(Duration::from_secs(2)));
        let more = format!(
            "shadow.new.noise = true\nupstream.o.versions.v = [\"{}\"]\n\
             shadow.slow = {{ from = \"shop@v1\", to = \"o@v\", shed_at = \"100%\", \
             timeout = \"60s\", noise = true }}\n",
            slow.address()
        );
        let proxy = Running::start(driver, &shadowed(&primary, &same, &more));
        ask(&proxy, "/", 60);
        let of = |name: &str| {
            let report = reported(&proxy, name, 60);
            let endpoint = &report["endpoints"][0];
            (endpoint["pace"]["timed"].as_u64(), endpoint["slower"].as_bool())
        };
        assert_eq!(of("slow"), (Some(60), Some(true)));
        assert_eq!(of("new"), (Some(60), Some(false)));
    });
}
