//! Every sample is read, and says what it should.

use std::path::Path;

use gnomon_config::{
    Config, Options, load,
    model::{Action, Share, StickyMode, UpstreamIx},
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
fn three_lines_suffice() {
    let config = sample("minimal.toml");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.upstreams[0].split, [Share::WHOLE]);
}
