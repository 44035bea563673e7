//! The wire format, held by vectors that another implementation wrote; ids and cookies.

use gnomon_config::model::{Secret, Share, StickyMode, VersionIx};
use proptest::prelude::*;

use super::*;
use crate::{
    split::{Layout, SplitState},
    testing::upstream,
};

fn hex(bytes: &str) -> Vec<u8> {
    let pairs = bytes.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn positions_are_those_of_the_vectors() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/sticky.json")).unwrap();
    let rows = file["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap();
        let mut shop = upstream(text("upstream"), &[("v1", 100_000)], StickyMode::Minted);
        shop.sticky.secret = Secret(text("secret").into());
        let hasher = hasher_of(&shop);
        let input = hex(text("input"));
        assert_eq!(format!("{:016x}", hasher.hash(&input)), text("hash"), "{row}");
        assert_eq!(u64::from(hasher.position(&input)), row["position"].as_u64().unwrap(), "{row}");
    }
}

#[test]
fn a_client_is_hashed_by_its_octets_however_it_is_written() {
    let (mut one, mut other) = ([0; 16], [0; 16]);
    let plain = octets("192.0.2.7".parse().unwrap(), &mut one);
    assert_eq!(plain, [192, 0, 2, 7]);
    assert_eq!(plain, octets("::ffff:192.0.2.7".parse().unwrap(), &mut other));
}

#[test]
fn growing_moves_nobody_back_and_zero_leaves_nobody() {
    let mut shop = upstream("shop", &[("v1", 100_000), ("v2", 0)], StickyMode::Minted);
    let hasher = hasher_of(&shop);
    let (canary, mut state) = (VersionIx(1), SplitState::of(&shop));
    let positions: Vec<_> =
        (0..100_000).map(|user| hasher.position(format!("user-{user}").as_bytes())).collect();
    let mut before: Vec<bool> = vec![false; positions.len()];
    for share in [1_000, 5_000, 25_000, 50_000, 100_000] {
        state.set_weights(&shop, &[(canary, Share(share))]).unwrap();
        let layout = Layout::of(&shop, Some(&state));
        let on = |&position: &u32| layout.at(position).is_some_and(|cut| cut.version == canary);
        let after: Vec<_> = positions.iter().map(on).collect();
        assert!(before.iter().zip(&after).all(|(before, after)| !before || *after), "{share}");
        let part = after.iter().filter(|on| **on).count() as f64 / 100_000.0;
        let expected = f64::from(share) / 100_000.0;
        let error = (expected * (1.0 - expected) / 100_000.0).sqrt();
        assert!((part - expected).abs() <= 4.0 * error, "{part} of {expected}");
        before = after;
    }
    state.set_weights(&shop, &[(canary, Share::NONE)]).unwrap();
    let layout = Layout::of(&shop, Some(&state));
    assert!(positions.iter().all(|&position| layout.at(position).unwrap().version == shop.stable));
    shop.sticky.secret = Secret(b"other".to_vec());
    let moved = hasher_of(&shop);
    assert!((0..100).any(|user: u32| {
        moved.position(&user.to_le_bytes()) != hasher.position(&user.to_le_bytes())
    }));
}

#[test]
fn only_sixteen_characters_of_base64url_are_ours() {
    assert_eq!(MintedId([0; 12]).text(), *b"AAAAAAAAAAAAAAAA");
    assert_eq!(MintedId([255; 12]).text(), *b"________________");
    let foreign: [&[u8]; 5] =
        [b"", b"AAAAAAAAAAAAAAA", b"AAAAAAAAAAAAAAAAA", b"AAAAAAAAAAAAAA==", b"AAAAAAAA+AAAAAAA"];
    assert!(foreign.iter().all(|text| MintedId::parse(text).is_none()));
}

#[test]
fn a_cookie_says_what_browsers_need() {
    let mut out = b"x".to_vec();
    let day = Duration::from_secs(86_400);
    write_cookie(&mut out, "gnomon_shop", MintedId([0; 12]), day, Channel::Secure);
    let expected =
        "xgnomon_shop=AAAAAAAAAAAAAAAA; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = vec![];
    write_cookie(&mut out, "s", MintedId([0; 12]), Duration::ZERO, Channel::Plain);
    assert_eq!(out, b"s=AAAAAAAAAAAAAAAA; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}

proptest! {
    #[test]
    fn ids_survive_their_cookie(bytes in any::<[u8; 12]>()) {
        let id = MintedId(bytes);
        prop_assert_eq!(MintedId::parse(&id.text()), Some(id));
    }
}
