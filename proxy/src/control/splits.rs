//! Splits as they are now: what the verbs say, and what of that a reload leaves standing.

use std::collections::BTreeMap;

use gnomon_config::{
    Config,
    model::{Name, Share, Upstream, VersionIx},
};
use gnomon_policy::{SplitState, split::Refusal};

use super::api::{Kind, Refused, Weights};
use crate::heritage::left::SplitLeft;

/// What an operator may say about an upstream's split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    /// These shares, in percent.
    Weight(Weights),
    /// Nobody new on this version.
    Drain(String),
    /// No verb but resume.
    Freeze,
    /// The end of a freeze and of every drain.
    Resume,
    /// Everybody to stable.
    Rollback,
}

/// Applies `verb` to `state`; what changed, one line each.
pub(crate) fn apply(
    verb: &Verb,
    upstream: &Upstream,
    state: &mut SplitState,
) -> Result<Vec<String>, Refused> {
    let before = state.clone();
    let refused = |refusal: Refusal| explain(&refusal, upstream);
    match verb {
        Verb::Weight(weights) => {
            if weights.is_empty() {
                return Err(Refused::new(Kind::Request, "no version is named")
                    .help("say, for instance, {\"v2\": 10}"));
            }
            let named: Result<Vec<_>, Refused> = weights
                .iter()
                .map(|(name, &percent)| Ok((find(upstream, name)?, share(name, percent)?)))
                .collect();
            state.set_weights(upstream, &named?).map_err(refused)?;
        }
        Verb::Drain(name) => state.drain(upstream, find(upstream, name)?).map_err(refused)?,
        Verb::Freeze => state.freeze(),
        Verb::Resume => state.resume(),
        Verb::Rollback => state.rollback(upstream).map_err(refused)?,
    }
    Ok(changes(upstream, &before, state))
}

/// Gives `version` this share and stable the rest, to whoever was let in before as well; what
/// changed, one line each.
pub(crate) fn give(
    upstream: &Upstream,
    state: &mut SplitState,
    version: VersionIx,
    share: Share,
) -> Result<Vec<String>, Refused> {
    let before = state.clone();
    let given = state.set_weights(upstream, &[(version, share)]);
    given.map_err(|refusal| explain(&refusal, upstream))?;
    if let Some(draining) = state.draining.get_mut(usize::from(version.0)) {
        *draining = false;
    }
    Ok(changes(upstream, &before, state))
}

/// What a reload makes of the splits: those whose words in the file are the same keep what the
/// verbs made of them, frozen ones do so anyhow, all others begin as the file says. With remarks
/// on those that are not as the file says.
pub(crate) fn carry(
    old: &Config,
    new: &Config,
    states: &BTreeMap<Name, SplitState>,
) -> (BTreeMap<Name, SplitState>, Vec<String>) {
    let mut remarks = Vec::new();
    let mut carried = BTreeMap::new();
    for upstream in &new.upstreams {
        let name = &upstream.name;
        let fresh = SplitState::of(upstream);
        let before = old.upstreams.iter().find(|old| old.name == *name);
        let kept = before.zip(states.get(name)).and_then(|(before, state)| {
            if !state.frozen && words(before) != words(upstream) {
                return None;
            }
            Some((move_over(before, state, upstream), state.frozen))
        });
        let state = match kept {
            None => fresh,
            Some((Some(state), frozen)) => {
                if frozen {
                    remarks.push(format!("upstream.{name} is frozen: its split stays as it is"));
                } else if state != fresh {
                    remarks.push(format!("upstream.{name} keeps the split set at run time"));
                }
                state
            }
            Some((None, _)) => {
                remarks.push(format!(
                    "upstream.{name} cannot keep its split: stable is another, or a version with a \
                     share has no endpoint left; it is as the file says now"
                ));
                fresh
            }
        };
        carried.insert(name.clone(), state);
    }
    (carried, remarks)
}

/// Whether the split is another than the file's.
pub(crate) fn is_overridden(upstream: &Upstream, state: &SplitState) -> bool {
    *state != SplitState::of(upstream)
}

/// What a file says about a split: stable and every share that is not nothing, by name.
pub(crate) fn words(upstream: &Upstream) -> (Option<&str>, BTreeMap<&str, Share>) {
    let named = upstream.versions.iter().map(|version| &*version.name).zip(upstream.split.clone());
    let stable = upstream.versions.get(usize::from(upstream.stable.0));
    (stable.map(|version| &*version.name), named.filter(|&(_, s)| s > Share::NONE).collect())
}

/// A split by the names of its versions, for another process.
pub(crate) fn leave(upstream: &Upstream, state: &SplitState) -> SplitLeft {
    let (stable, configured) = words(upstream);
    let named = || upstream.versions.iter().map(|version| version.name.to_string());
    let draining = named().zip(&state.draining).filter(|(_, is_so)| **is_so);
    SplitLeft {
        stable: stable.unwrap_or_default().to_owned(),
        configured: configured
            .into_iter()
            .map(|(name, share)| (name.to_owned(), share.0))
            .collect(),
        shares: named().zip(&state.shares).map(|(name, share)| (name, share.0)).collect(),
        draining: draining.map(|(name, _)| name).collect(),
        frozen: state.frozen,
    }
}

/// The split that another process left, as far as the file says no other; and what is to be said
/// beside.
pub(crate) fn restore(upstream: &Upstream, left: &SplitLeft) -> (SplitState, Option<String>) {
    let name = &upstream.name;
    let fresh = SplitState::of(upstream);
    let (stable, configured) = words(upstream);
    let is_said = |(name, share): (&str, Share)| left.configured.get(name) == Some(&share.0);
    let is_same = stable == Some(&*left.stable)
        && configured.len() == left.configured.len()
        && configured.into_iter().all(is_said);
    if !is_same && !left.frozen {
        return (fresh, None);
    }
    let mut state = SplitState { frozen: left.frozen, ..fresh.clone() };
    for (place, version) in upstream.versions.iter().enumerate() {
        state.shares[place] = Share(left.shares.get(&*version.name).copied().unwrap_or(0));
        state.draining[place] = left.draining.iter().any(|it| **it == *version.name);
    }
    let taken: u64 = state.shares.iter().map(|share| u64::from(share.0)).sum();
    let rest = u64::from(Share::WHOLE.0).checked_sub(taken).and_then(|it| u32::try_from(it).ok());
    if let (Some(rest), Some(share)) = (rest, state.shares.get_mut(usize::from(upstream.stable.0)))
    {
        share.0 += rest;
    }
    let without_endpoint = upstream
        .versions
        .iter()
        .zip(&state.shares)
        .any(|(version, share)| *share > Share::NONE && version.endpoints.is_empty());
    if !state.fits(upstream) || without_endpoint {
        let remark = format!("upstream.{name} cannot keep its split; it is as the file says now");
        return (fresh, Some(remark));
    }
    (state, Some(format!("upstream.{name} keeps the split set at run time")))
}

/// The same split with the versions of another configuration. A version that is gone leaves its
/// share to stable.
fn move_over(old: &Upstream, state: &SplitState, new: &Upstream) -> Option<SplitState> {
    let place = |name: &Name| old.versions.iter().position(|version| version.name == *name);
    let stable = usize::from(new.stable.0);
    let mut moved = SplitState { frozen: state.frozen, ..SplitState::of(new) };
    moved.shares.fill(Share::NONE);
    for (index, version) in new.versions.iter().enumerate() {
        let Some(place) = place(&version.name) else { continue };
        moved.shares[index] = *state.shares.get(place)?;
        moved.draining[index] = *state.draining.get(place)? && index != stable;
        if moved.shares[index] > Share::NONE && version.endpoints.is_empty() {
            return None;
        }
    }
    let taken: u32 = moved.shares.iter().map(|share| share.0).sum();
    let rest = Share::WHOLE.0.checked_sub(taken)?;
    let stable_share = moved.shares.get_mut(stable)?;
    stable_share.0 += rest;
    moved.fits(new).then_some(moved)
}

fn find(upstream: &Upstream, name: &str) -> Result<VersionIx, Refused> {
    let index = upstream.versions.iter().position(|version| *version.name == *name);
    let index = index.and_then(|index| u16::try_from(index).ok());
    index.map(VersionIx).ok_or_else(|| {
        let error = format!("upstream `{}` has no version `{name}`", upstream.name);
        let names: Vec<&str> = upstream.versions.iter().map(|version| &*version.name).collect();
        Refused::new(Kind::Unknown, error).help(format!("there are: {}", names.join(", ")))
    })
}

fn share(name: &str, percent: f64) -> Result<Share, Refused> {
    if !(0.0..=100.0).contains(&percent) {
        let error = format!("`{name}`: {percent} is not a share between 0 and 100 percent");
        return Err(Refused::new(Kind::Request, error));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 100,000"
    )]
    Ok(Share((percent * 1000.0).round() as u32))
}

fn explain(refusal: &Refusal, upstream: &Upstream) -> Refused {
    let name = |version: &VersionIx| {
        let version = upstream.versions.get(usize::from(version.0));
        version.map_or_else(|| "?".to_owned(), |version| version.name.to_string())
    };
    let shop = &upstream.name;
    match refusal {
        Refusal::Frozen => Refused::new(Kind::State, format!("the split of `{shop}` is frozen"))
            .help("end the freeze first, with `resume`"),
        Refusal::NoEndpoint(version) => {
            let error = format!("version `{}` of `{shop}` has no endpoint", name(version));
            Refused::new(Kind::State, error).help("give it endpoints in the file and reload")
        }
        Refusal::Unknown(version) | Refusal::Twice(version) => {
            Refused::new(Kind::Request, format!("version `{}`: {refusal}", name(version)))
        }
        Refusal::Sum(_) => Refused::new(Kind::Request, format!("`{shop}`: {refusal}"))
            .help("leave stable out and it takes the rest"),
        Refusal::Stable | Refusal::NoUsers | Refusal::ForeignKey => {
            Refused::new(Kind::State, format!("`{shop}`: {refusal}"))
        }
    }
}

fn changes(upstream: &Upstream, before: &SplitState, after: &SplitState) -> Vec<String> {
    let shop = &upstream.name;
    let mut lines = Vec::new();
    for (index, version) in upstream.versions.iter().enumerate() {
        let name = &version.name;
        let (old, new) = (before.shares[index], after.shares[index]);
        if old != new {
            let (old, new) = (old.percent(), new.percent());
            lines.push(format!("~ upstream.{shop}.split {name} {old} % -> {new} %"));
        }
        match (before.draining[index], after.draining[index]) {
            (false, true) => lines.push(format!("~ upstream.{shop} {name} takes no new users")),
            (true, false) => lines.push(format!("~ upstream.{shop} {name} takes new users again")),
            (true, true) | (false, false) => {}
        }
    }
    match (before.frozen, after.frozen) {
        (false, true) => lines.push(format!("~ upstream.{shop} is frozen")),
        (true, false) => lines.push(format!("~ upstream.{shop} is no longer frozen")),
        (true, true) | (false, false) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shop: &str) -> Config {
        let text =
            format!("listen = \"127.0.0.1:0\"\nroute.all.to = \"shop\"\n[upstream.shop]\n{shop}");
        gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default()).unwrap().config
    }

    const THREE: &str = "versions.v1 = [\"127.0.0.1:1\"]\nversions.v2 = [\"127.0.0.1:2\"]\n\
                         versions.v3 = [\"127.0.0.1:3\"]\n";
    const SPLIT: &str = "split = { v1 = 90, v2 = 10, v3 = 0 }";

    fn state(config: &Config) -> SplitState {
        SplitState::of(&config.upstreams[0])
    }

    fn percents(state: &SplitState) -> Vec<f64> {
        state.shares.iter().map(|share| share.percent()).collect()
    }

    fn carried(old: &Config, new: &Config, state: SplitState) -> (SplitState, Vec<String>) {
        let states = BTreeMap::from([(old.upstreams[0].name.clone(), state)]);
        let (mut states, remarks) = carry(old, new, &states);
        (states.remove("shop").unwrap(), remarks)
    }

    #[test]
    fn verbs_say_what_they_changed() {
        let config = config(&format!("{THREE}{SPLIT}"));
        let (upstream, mut state) = (&config.upstreams[0], state(&config));
        let weights = Weights::from([("v2".to_owned(), 20.5)]);
        let changes = apply(&Verb::Weight(weights.clone()), upstream, &mut state).unwrap();
        let expected =
            ["~ upstream.shop.split v1 90 % -> 79.5 %", "~ upstream.shop.split v2 10 % -> 20.5 %"];
        assert_eq!(changes, expected);
        assert!(apply(&Verb::Weight(weights), upstream, &mut state).unwrap().is_empty());
        apply(&Verb::Freeze, upstream, &mut state).unwrap();
        let refused = apply(&Verb::Rollback, upstream, &mut state).unwrap_err();
        assert_eq!(refused.kind, Kind::State);
        apply(&Verb::Resume, upstream, &mut state).unwrap();
        apply(&Verb::Rollback, upstream, &mut state).unwrap();
        assert_eq!(percents(&state), [100.0, 0.0, 0.0]);
    }

    #[test]
    fn refusals_name_what_is_wrong_and_change_nothing() {
        let config = config(&format!("{THREE}{SPLIT}"));
        let (upstream, before) = (&config.upstreams[0], state(&config));
        let weight = |pairs: &[(&str, f64)]| {
            Verb::Weight(pairs.iter().map(|&(name, share)| (name.to_owned(), share)).collect())
        };
        let table = [
            (weight(&[]), Kind::Request, "no version is named"),
            (weight(&[("v9", 1.0)]), Kind::Unknown, "no version `v9`"),
            (weight(&[("v2", 101.0)]), Kind::Request, "101 is not a share"),
            (weight(&[("v2", f64::NAN)]), Kind::Request, "is not a share"),
            (weight(&[("v1", 50.0), ("v2", 60.0)]), Kind::Request, "add up to"),
            (Verb::Drain("v2".to_owned()), Kind::State, "sticky"),
        ];
        for (verb, kind, words) in table {
            let mut state = before.clone();
            let refused = apply(&verb, upstream, &mut state).unwrap_err();
            assert_eq!(refused.kind, kind, "{verb:?}: {refused}");
            assert!(refused.error.contains(words), "{verb:?}: {refused}");
            assert_eq!(state, before);
        }
    }

    #[test]
    fn a_reload_keeps_a_split_whose_words_are_the_same() {
        let old = config(&format!("{THREE}{SPLIT}"));
        let mut state = state(&old);
        let weights = Weights::from([("v2".to_owned(), 40.0)]);
        apply(&Verb::Weight(weights), &old.upstreams[0], &mut state).unwrap();
        let moved = "versions.v4 = [\"127.0.0.1:4\"]\nversions.v2 = [\"127.0.0.1:2\"]\n\
                     versions.v1 = [\"127.0.0.1:1\"]\nsplit = { v1 = 90, v2 = 10, v4 = 0 }";
        let (kept, remarks) = carried(&old, &config(moved), state.clone());
        assert_eq!(percents(&kept), [0.0, 40.0, 60.0]);
        assert!(remarks[0].contains("keeps the split"), "{remarks:?}");
        let changed = config(&format!("{THREE}split = {{ v1 = 80, v2 = 20, v3 = 0 }}"));
        let (fresh, remarks) = carried(&old, &changed, state);
        assert_eq!((percents(&fresh), remarks.len()), (vec![80.0, 20.0, 0.0], 0));
    }

    #[test]
    fn a_frozen_split_outlives_other_words() {
        let old = config(&format!("{THREE}{SPLIT}"));
        let mut state = state(&old);
        state.freeze();
        let changed = config(&format!("{THREE}split = {{ v1 = 0, v2 = 50, v3 = 50 }}"));
        let (kept, remarks) = carried(&old, &changed, state);
        assert!(kept.frozen);
        assert_eq!(percents(&kept), [90.0, 10.0, 0.0]);
        assert!(remarks[0].contains("frozen"), "{remarks:?}");
    }
}
