//! Every sample is read, and says what it should.

use std::path::Path;

use gnomon_config::{
    Config, Options, load,
    model::{Action, ArrayRule, Compare, Noise, Redact, Share, StickyMode, UpstreamIx, VersionIx},
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
fn three_lines_suffice() {
    let config = sample("minimal.toml");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.upstreams[0].split, [Share::WHOLE]);
}
