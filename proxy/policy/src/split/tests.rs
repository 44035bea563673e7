//! The verbs, by table and by chance.

use gnomon_config::model::Key;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::testing::upstream;

const V1: VersionIx = VersionIx(0);
const V2: VersionIx = VersionIx(1);
const V3: VersionIx = VersionIx(2);

fn shop(mode: StickyMode) -> Upstream {
    upstream("shop", &[("v1", 90_000), ("v2", 10_000), ("v3", 0)], mode)
}

fn set(named: &[(VersionIx, u32)]) -> Result<Vec<u32>, Refusal> {
    let shop = shop(StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    let named: Vec<_> = named.iter().map(|&(version, share)| (version, Share(share))).collect();
    state.set_weights(&shop, &named)?;
    Ok(state.shares.iter().map(|share| share.0).collect())
}

#[test]
fn weights_add_up_or_are_refused() {
    assert_eq!(set(&[(V2, 25_000)]), Ok(vec![75_000, 25_000, 0]));
    assert_eq!(set(&[(V3, 5_000)]), Ok(vec![85_000, 10_000, 5_000]));
    assert_eq!(set(&[(V1, 50_000), (V2, 50_000)]), Ok(vec![50_000, 50_000, 0]));
    assert_eq!(set(&[(V2, 100_000)]), Ok(vec![0, 100_000, 0]));
    assert_eq!(set(&[(V1, 95_000)]), Err(Refusal::Sum(105_000)));
    assert_eq!(set(&[(V2, 95_000), (V3, 10_000)]), Err(Refusal::Sum(105_000)));
    assert_eq!(set(&[(V2, u32::MAX)]), Err(Refusal::Sum(u64::from(u32::MAX))));
    assert_eq!(set(&[(V2, 1), (V2, 2)]), Err(Refusal::Twice(V2)));
    assert_eq!(set(&[(VersionIx(9), 1)]), Err(Refusal::Unknown(VersionIx(9))));
}

#[test]
fn a_version_without_endpoints_takes_no_share() {
    let mut shop = shop(StickyMode::None);
    shop.versions[2].endpoints.clear();
    let mut state = SplitState::of(&shop);
    let refused = state.set_weights(&shop, &[(V3, Share(1))]);
    assert_eq!((refused, &state), (Err(Refusal::NoEndpoint(V3)), &SplitState::of(&shop)));
}

#[test]
fn a_frozen_split_refuses_all_verbs_until_it_resumes() {
    let shop = shop(StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    state.freeze();
    let kept = state.clone();
    assert_eq!(state.set_weights(&shop, &[(V2, Share::NONE)]), Err(Refusal::Frozen));
    assert_eq!(state.drain(&shop, V2), Err(Refusal::Frozen));
    assert_eq!(state.rollback(&shop), Err(Refusal::Frozen));
    assert_eq!(state, kept);
    state.resume();
    assert_eq!(state.rollback(&shop), Ok(()));
    assert_eq!(state.shares, [Share::WHOLE, Share::NONE, Share::NONE]);
}

#[test]
fn only_users_we_minted_can_be_drained() {
    let drain = |mode, version| SplitState::of(&shop(StickyMode::None)).drain(&shop(mode), version);
    assert_eq!(drain(StickyMode::Minted, V2), Ok(()));
    assert_eq!(drain(StickyMode::Minted, V1), Err(Refusal::Stable));
    assert_eq!(drain(StickyMode::Minted, VersionIx(9)), Err(Refusal::Unknown(VersionIx(9))));
    assert_eq!(drain(StickyMode::None, V2), Err(Refusal::NoUsers));
    assert_eq!(drain(StickyMode::Key(Key::ClientIp), V2), Err(Refusal::ForeignKey));
    assert_eq!(drain(StickyMode::Key(Key::Cookie("uid".into())), V2), Err(Refusal::ForeignKey));
}

#[test]
fn a_rollback_ends_a_drain() {
    let shop = shop(StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    state.drain(&shop, V2).unwrap();
    state.rollback(&shop).unwrap();
    assert_eq!(state.draining, [false; 3]);
}

#[test]
fn canaries_lie_in_front_and_stable_last() {
    let mut shop = shop(StickyMode::Minted);
    shop.split = vec![Share(70_000), Share(10_000), Share(20_000)];
    let layout = Layout::of(&shop, None);
    let cuts: Vec<_> = layout.cuts().iter().map(|cut| (cut.version, cut.start, cut.end)).collect();
    assert_eq!(cuts, [(V2, 0, 10_000), (V3, 10_000, 30_000), (V1, 30_000, 100_000)]);
    let at = |position| layout.at(position).map(|cut| cut.version);
    assert_eq!([at(0), at(9_999), at(10_000), at(99_999)], [V2, V2, V3, V1].map(Some));
}

#[test]
fn a_state_that_does_not_fit_gives_way_to_the_configuration() {
    let shop = shop(StickyMode::Minted);
    let other = SplitState { shares: vec![Share::WHOLE], draining: vec![false], frozen: false };
    assert_eq!(Layout::of(&shop, Some(&other)), Layout::of(&shop, None));
}

#[test]
fn refusals_speak_plainly() {
    assert_eq!(
        Refusal::Sum(105_000).to_string(),
        "the shares add up to 105.000 % instead of 100 %"
    );
}

#[derive(Clone, Debug)]
enum Verb {
    Set(Vec<(u16, u32)>),
    Drain(u16),
    Freeze,
    Resume,
    Rollback,
}

fn any_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        4 => vec((0_u16..4, 0_u32..60_000), 0..3).prop_map(Verb::Set),
        2 => (0_u16..4).prop_map(Verb::Drain),
        1 => Just(Verb::Freeze),
        1 => Just(Verb::Resume),
        1 => Just(Verb::Rollback),
    ]
}

proptest! {
    #[test]
    fn the_whole_is_always_shared_out(verbs in vec(any_verb(), 0..20)) {
        let shop = shop(StickyMode::Minted);
        let mut state = SplitState::of(&shop);
        for verb in verbs {
            let before = state.clone();
            let answer = match &verb {
                Verb::Set(named) => {
                    let named: Vec<_> = named
                        .iter()
                        .map(|&(version, share)| (VersionIx(version), Share(share)))
                        .collect();
                    state.set_weights(&shop, &named)
                }
                Verb::Drain(version) => state.drain(&shop, VersionIx(*version)),
                Verb::Freeze => { state.freeze(); Ok(()) }
                Verb::Resume => { state.resume(); Ok(()) }
                Verb::Rollback => state.rollback(&shop),
            };
            prop_assert!(state.fits(&shop), "{:?}", verb);
            prop_assert!(answer.is_ok() || state == before);
            let layout = Layout::of(&shop, Some(&state));
            prop_assert!([0, 1, 50_000, 99_999].iter().all(|&at| layout.at(at).is_some()));
        }
    }
}
