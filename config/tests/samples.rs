//! Every sample is read, and says what it should.

use std::{path::Path, time::Duration};

use gnomon_config::{
    Config, Options, load,
    model::{
        Action, ArrayRule, Compare, Direction, Fuse, Gate, KpiSource, Limit, Metrics, Noise, On,
        OnFail, OnInconclusive, Redact, Rollout, Share, Stage, Start, Step, StickyMode, Timing,
        UpstreamIx, VersionIx, Worse,
        flag::{Portion, Told},
    },
};

fn sample(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample").join(name);
    let loaded = load(&path, &Options::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config
}

#[test]
fn the_first_canary_has_at_most_twelve_lines() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/canary.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().count() <= 12);

    let config = sample("canary.toml");
    let shop = &config.upstreams[0];
    assert_eq!(shop.split, [Share(95_000), Share(5_000)]);
    assert_eq!(shop.sticky.mode, StickyMode::Minted);
    assert_eq!(&*shop.sticky.cookie, "gnomon_shop");
    assert_eq!(config.routes[0].action, Action::Forward(UpstreamIx(0), None));
}

#[test]
fn a_shadow_copies_a_tenth_of_the_safe_requests() {
    let config = sample("shadow.toml");
    let shadow = &config.shadows[0];
    assert_eq!(shadow.from, (UpstreamIx(0), Some(VersionIx(0))));
    assert_eq!(shadow.to, (UpstreamIx(0), VersionIx(1)));
    assert_eq!(shadow.sample, Share(10_000));
    assert_eq!(shadow.noise, Noise::Learn(Share(20_000)));
    assert_eq!(shadow.matches.methods, ["GET".into(), "HEAD".into()]);
    assert_eq!(shadow.compare.arrays[0].1, ArrayRule::By("sku".into()));
    assert!(shadow.compare.tolerance > 0.0);
}

#[test]
fn a_shadow_that_says_no_more_than_it_must_has_the_defaults() {
    let text = "listen = \"127.0.0.1:80\"\nroute.all.to = \"a\"\n\
                upstream.a.versions = { v1 = [\"127.0.0.1:1\"], v2 = [\"127.0.0.1:2\"] }\n\
                upstream.a.split = { v1 = 100, v2 = 0 }\n\
                shadow.s = { from = \"a@v1\", to = \"a@v2\" }\n";
    let loaded = gnomon_config::parse("test", text, &Options::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{problems}")).config;
    assert_eq!(config.shadows[0].compare, Compare::default());
    assert_eq!(config.shadows[0].redact, Redact::default());
}

#[test]
fn a_flag_goes_to_staff_first_and_then_to_a_tenth() {
    let config = sample("flags.toml");
    let flags = &config.flags;
    let groups: Vec<&str> = flags.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(groups, ["staff", "asked", "beta", "bots"]);
    let cart = &flags.own[0];
    assert_eq!((cart.rules[0].groups.as_slice(), cart.rules[0].portion), (&[2][..], None));
    assert_eq!(cart.rules[1].portion, Some(Portion::Fixed(Share(10_000))));
    assert_eq!(cart.rules[1].not, [3]);
    assert_eq!((flags.own[1].rules.len(), flags.own[2].default), (2, 0));
    assert!(flags.by.is_some() && flags.send == Told::All && flags.header.is_some());
    assert_eq!(config.routes[1].matches.flags[0].flag, cart.name);
    assert_eq!(config.routes[1].action, Action::Forward(UpstreamIx(0), Some(VersionIx(1))));
}

#[test]
fn three_lines_suffice() {
    let config = sample("minimal.toml");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.upstreams[0].split, [Share::WHOLE]);
}

#[test]
fn a_rollout_goes_from_copies_to_everybody() {
    let config = sample("rollout.toml");
    let rollout = &config.rollouts[0];
    assert_eq!((rollout.from, rollout.to), (VersionIx(0), VersionIx(1)));
    let steps: Vec<(Stage, u64, bool)> =
        rollout.steps.iter().map(|step| (step.to, step.hold.as_secs(), step.approve)).collect();
    let weight = |percent: u32| Stage::Weight(Share(percent * 1000));
    let expected = [
        (Stage::Shadow(Share(5000)), 1800, false),
        (weight(1), 600, false),
        (weight(5), 1200, false),
        (weight(25), 3600, false),
        (weight(50), 3600, true),
        (weight(100), 600, false),
    ];
    assert_eq!(steps, expected);
    let gate = &rollout.gate;
    let worse = |ratio, points| Some(Worse { ratio, points });
    assert_eq!(gate.error_rate, Limit { worse_by: worse(1.25, 0.002), max: Some(0.01) });
    assert_eq!(gate.timeout_rate, Limit { worse_by: worse(1.25, 0.0001), max: None });
    let p50 = (0.5, Limit { worse_by: worse(1.05, 0.0), max: None });
    let p99 = (0.99, Limit { worse_by: worse(1.1, 0.0), max: Some(0.4) });
    assert_eq!(gate.quantiles, [p50, p99]);
    assert_eq!(gate.saturation_max, Some(Share(80_000)));
    assert_eq!(gate.kpis, [(0, Limit { worse_by: worse(1.05, 0.0), max: None })]);
    assert_eq!((rollout.fuse.budget, rollout.fuse.window.as_secs()), (50, 5));
    assert_eq!(config.kpis[0].source, KpiSource::Header("x-order".into()));
    assert_eq!(config.upstreams[0].split, [Share::WHOLE, Share::NONE]);
}

#[test]
fn metrics_that_nobody_wrote_have_the_defaults() {
    assert_eq!(sample("minimal.toml").metrics, Metrics::default());
}

/// Two versions of an upstream, and this.
fn two_versions(more: &str) -> Config {
    let text = format!(
        "listen = \"127.0.0.1:80\"\nroute.all.to = \"a\"\n\
         upstream.a.versions = {{ v1 = [\"127.0.0.1:1\"], v2 = [\"127.0.0.1:2\"] }}\n{more}"
    );
    let loaded = gnomon_config::parse("test", &text, &Options::default());
    loaded.unwrap_or_else(|problems| panic!("{problems}")).config
}

#[test]
fn a_rollout_that_says_no_more_than_it_must_has_the_defaults() {
    let rollout = "rollout.a = { from = \"a@v1\", to = \"a@v2\" }\n";
    let found = two_versions(rollout).rollouts.remove(0);
    let seconds = Duration::from_secs;
    let step = |weight: u32| Step {
        to: Stage::Weight(Share(weight * 1000)),
        hold: seconds(600),
        approve: false,
    };
    let rate = Limit { worse_by: Some(Worse { ratio: 1.25, points: 0.0001 }), max: None };
    let expected = Rollout {
        name: "a".into(),
        upstream: UpstreamIx(0),
        from: VersionIx(0),
        to: VersionIx(1),
        start: Start::Manual,
        steps: [1, 5, 25, 50, 100].map(step).into(),
        max: seconds(24 * 3600),
        cooldown: seconds(600),
        gate: Gate {
            min_requests: 100,
            confidence: Share(99_000),
            warmup: seconds(30),
            horizon: seconds(60),
            timing: Timing::Total,
            error_rate: rate,
            timeout_rate: rate,
            latency: Limit { worse_by: Some(Worse { ratio: 1.04, points: 0.0 }), max: None },
            quantiles: Vec::new(),
            saturation_max: None,
            diff_rate_max: None,
            kpis: Vec::new(),
            risk_errors: 0.0005,
            risk_latency: 0.005,
        },
        fuse: Fuse { budget: 20, window: seconds(10), factor: 4 },
        on: On {
            fail: OnFail::Rollback,
            inconclusive: OnInconclusive::Hold,
            webhook: None,
            confirm: None,
            timeout: seconds(5),
            retries: 3,
        },
        tests: Vec::new(),
        windows: Vec::new(),
    };
    assert_eq!(found, expected);
    for (fuse, budget) in [("true", 20), ("false", 0), ("{}", 20), ("{ budget = 0 }", 0)] {
        let table = format!("[rollout.a]\nfrom = \"a@v1\"\nto = \"a@v2\"\nfuse = {fuse}\n");
        assert_eq!(two_versions(&table).rollouts[0].fuse.budget, budget, "{fuse}");
    }
}

#[test]
fn a_kpi_is_an_amount_when_it_has_a_bound() {
    for (more, is_binary, max) in [
        ("", true, 1.0),
        ("max = 500", false, 500.0),
        ("max = 1", false, 1.0),
        ("max = 0.5\nbinary = false", false, 0.5),
        ("binary = true", true, 1.0),
        ("binary = false", false, 1.0),
    ] {
        let text = format!("[kpi.k]\nof = \"a\"\nfrom = \"header:X-Order\"\n{more}");
        let kpi = two_versions(&text).kpis.remove(0);
        assert_eq!((kpi.is_binary, kpi.max), (is_binary, max), "{more}");
        assert_eq!(kpi.source, KpiSource::Header("x-order".into()));
        assert_eq!(kpi.worse, Direction::Lower);
    }
    let late = two_versions("kpi.k = { of = \"a\", from = \"late\" }").kpis.remove(0);
    assert_eq!(late.source, KpiSource::Late(Duration::from_secs(3600)));
}
