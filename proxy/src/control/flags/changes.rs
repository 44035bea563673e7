//! What people change of flags, beside what files say. Pure.

use std::collections::BTreeMap;

use gnomon_config::{
    model::{
        Share,
        flag::{self, Portion},
    },
    show_share,
};
use gnomon_flags::{
    Override, Overrides,
    flagd::{Definition, Definitions},
};

use crate::control::api::{Kind, Refused, flag::ChangeAsked};

/// What a person says of a flag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verb {
    /// These are other.
    Set(ChangeAsked),
    /// It is off, whatever else is said.
    Kill,
    /// It is on again.
    Revive,
    /// As its file says.
    Reset,
}

impl Verb {
    /// As the record calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Kill => "kill",
            Self::Revive => "revive",
            Self::Reset => "reset",
        }
    }
}

/// Who says so, why, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    pub(crate) by: String,
    pub(crate) reason: String,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

/// What a file says of a flag, as far as people may change it.
#[derive(Clone, Debug)]
pub(crate) struct Written<'a> {
    enabled: bool,
    variants: Vec<&'a str>,
    default: Option<&'a str>,
    /// The share of each rule that has one.
    portions: Vec<Portion>,
    is_foreign: bool,
}

impl<'a> Written<'a> {
    /// What is said of the flag of this name, if it is anywhere.
    pub(crate) fn of(name: &str, terms: &'a flag::Flags, foreign: &'a Definitions) -> Option<Self> {
        let own = terms.own.iter().find(|flag| *flag.name == *name).map(Self::own);
        own.or_else(|| foreign.flags.iter().find(|flag| flag.name == name).map(Self::foreign))
    }

    fn foreign(flag: &'a Definition) -> Self {
        let default = flag.default.and_then(|at| flag.variants.get(usize::from(at)));
        Self {
            enabled: flag.enabled,
            variants: flag.variants.iter().map(|(name, _)| name.as_str()).collect(),
            default: default.map(|(name, _)| name.as_str()),
            portions: Vec::new(),
            is_foreign: true,
        }
    }

    fn own(flag: &'a flag::Flag) -> Self {
        Self {
            enabled: flag.enabled,
            variants: flag.variants.iter().map(|(name, _)| &**name).collect(),
            default: flag.variants.get(flag.default).map(|(name, _)| &**name),
            portions: flag.rules.iter().filter_map(|rule| rule.portion).collect(),
            is_foreign: false,
        }
    }

    /// The share that people may change, if there is one.
    fn portion(&self) -> Option<Portion> {
        match *self.portions.as_slice() {
            [portion] => Some(portion),
            _ => None,
        }
    }

    /// The share that holds now, in percent.
    pub(crate) fn percent(&self, change: Option<&Override>) -> Option<f64> {
        let share = change.and_then(|it| it.share).map(|share| Portion::Fixed(Share(share)));
        match share.or_else(|| self.portion())? {
            Portion::Fixed(share) => Some(share.percent()),
            Portion::Ramp { .. } => None,
        }
    }

    /// What of a change is other than what the file says.
    pub(crate) fn without_same(&self, change: &Override) -> Override {
        let is_same = |share: &u32| self.portion() == Some(Portion::Fixed(Share(*share)));
        Override {
            enabled: change.enabled.filter(|enabled| *enabled != self.enabled),
            default: change.default.clone().filter(|name| Some(name.as_str()) != self.default),
            share: change.share.filter(|share| !is_same(share)),
            ..change.clone()
        }
    }

    /// What a change has made other than in the file, one line each.
    pub(crate) fn drift(&self, change: &Override) -> Vec<String> {
        let change = self.without_same(change);
        let now = State::of(self, Some(&change));
        let file = State::of(self, None);
        now.against(&file)
            .into_iter()
            .map(|(now, file)| format!("{now} (the file: {file})"))
            .collect()
    }

    fn check(&self, name: &str, asked: &ChangeAsked) -> Result<(), Refused> {
        let refused = |error: String| Refused::new(Kind::Request, error);
        if let Some(default) = &asked.default
            && !self.variants.contains(&default.as_str())
        {
            let error = format!("flag `{name}` has no variant `{default}`");
            return Err(refused(error).help(format!("there are: {}", self.variants.join(", "))));
        }
        let Some(percent) = asked.percent else { return Ok(()) };
        if !(0.0..=100.0).contains(&percent) {
            return Err(refused(format!("{percent} is not a share between 0 and 100 percent")));
        }
        if self.portion().is_some() {
            return Ok(());
        }
        Err(if self.is_foreign {
            refused(format!("flag `{name}` is ruled by its source, which alone has percentages"))
                .help("change it there; `enabled` and `default` can be set here")
        } else {
            let count = self.portions.len();
            refused(format!("flag `{name}` has {count} rules with a percentage, not one"))
                .help("change the configuration and reload")
        })
    }
}

/// A flag as far as people may change it.
struct State {
    enabled: bool,
    default: Option<String>,
    share: Option<Portion>,
}

impl State {
    fn of(written: &Written<'_>, change: Option<&Override>) -> Self {
        let share = change.and_then(|it| it.share).map(|share| Portion::Fixed(Share(share)));
        let default = change.and_then(|it| it.default.clone());
        Self {
            enabled: change.and_then(|it| it.enabled).unwrap_or(written.enabled),
            default: default.or_else(|| written.default.map(str::to_owned)),
            share: written.portion().map(|file| share.unwrap_or(file)),
        }
    }

    /// Where it differs: as it is here, and as it is there.
    fn against(&self, other: &Self) -> Vec<(String, String)> {
        let on = |enabled: bool| if enabled { "enabled" } else { "disabled" }.to_owned();
        let default = |name: &Option<String>| match name {
            Some(name) => format!("default {name}"),
            None => "no default".to_owned(),
        };
        let share = |it: Option<Portion>| it.map_or_else(|| "no share".to_owned(), show);
        let mut all = Vec::new();
        if self.enabled != other.enabled {
            all.push((on(self.enabled), on(other.enabled)));
        }
        if self.default != other.default {
            all.push((default(&self.default), default(&other.default)));
        }
        if self.share != other.share {
            all.push((share(self.share), share(other.share)));
        }
        all
    }
}

/// A share in words.
pub(crate) fn show(portion: Portion) -> String {
    match portion {
        Portion::Fixed(share) => show_share(share),
        Portion::Ramp { from, to, .. } => {
            format!("a ramp from {} to {}", show_share(from), show_share(to))
        }
    }
}

/// What of a flag is changed after `verb`, nothing if it is as in its file; and what that changes,
/// one line each. `written` is none if it is in no file now.
pub(crate) fn change(
    name: &str,
    written: Option<&Written<'_>>,
    present: Option<&Override>,
    verb: &Verb,
    stamp: &Stamp,
) -> Result<(Option<Override>, Vec<String>), Refused> {
    let Some(written) = written else {
        return match (verb, present) {
            (Verb::Reset, Some(_)) => {
                Ok((None, vec!["what was changed of it is forgotten".to_owned()]))
            }
            _ => Err(Refused::new(Kind::Unknown, format!("there is no flag `{name}`"))),
        };
    };
    let mut wanted = present.cloned().unwrap_or_default();
    match verb {
        Verb::Set(asked) => {
            written.check(name, asked)?;
            wanted.enabled = asked.enabled.or(wanted.enabled);
            wanted.default = asked.default.clone().or(wanted.default);
            wanted.share = asked.percent.map(parts).or(wanted.share);
        }
        Verb::Kill => wanted.enabled = Some(false),
        Verb::Revive => wanted.enabled = Some(true),
        Verb::Reset => wanted = Override::default(),
    }
    let wanted = written.without_same(&wanted);
    let (old, new) = (State::of(written, present), State::of(written, Some(&wanted)));
    let lines: Vec<String> =
        old.against(&new).into_iter().map(|(old, new)| format!("{old} → {new}")).collect();
    if lines.is_empty() {
        let kept = present.cloned().filter(|_| !is_nothing(&wanted));
        return Ok((kept, lines));
    }
    let Stamp { by, reason, at } = stamp.clone();
    let wanted = (!is_nothing(&wanted)).then_some(Override { by, reason, at, ..wanted });
    Ok((wanted, lines))
}

/// Drops what files say themselves by now; whose changes were dropped, wholly or in part.
pub(crate) fn settle(
    overrides: &Overrides,
    terms: &flag::Flags,
    foreign: &Definitions,
) -> (Overrides, Vec<String>) {
    let mut settled = overrides.clone();
    let mut dropped = Vec::new();
    for (name, change) in &overrides.0 {
        let Some(written) = Written::of(name, terms, foreign) else { continue };
        let left = written.without_same(change);
        if left == *change {
            continue;
        }
        dropped.push(name.clone());
        if is_nothing(&left) {
            settled.0.remove(name);
        } else {
            settled.0.insert(name.clone(), left);
        }
    }
    (settled, dropped)
}

/// What other files say of flags than these did: whose flag, and what of it, one line each.
pub(crate) fn differences(
    old: (&flag::Flags, &Definitions),
    new: (&flag::Flags, &Definitions),
) -> Vec<(String, Vec<String>)> {
    let (before, after) = (written(old), written(new));
    let mut all = Vec::new();
    for (name, (flag, rest)) in &after {
        let lines = match before.get(name) {
            None => vec!["new".to_owned()],
            Some((_, then)) if then == rest => continue,
            Some((then, _)) => {
                let (then, now) = (State::of(then, None), State::of(flag, None));
                let lines = then.against(&now).into_iter();
                let lines: Vec<String> = lines.map(|(old, new)| format!("{old} → {new}")).collect();
                if lines.is_empty() { vec!["its rules or variants".to_owned()] } else { lines }
            }
        };
        all.push(((*name).to_owned(), lines));
    }
    let gone = before.keys().filter(|name| !after.contains_key(**name));
    all.extend(gone.map(|name| ((*name).to_owned(), vec!["gone".to_owned()])));
    all
}

/// All that is said of a flag.
#[derive(PartialEq)]
enum Whole<'a> {
    Own(&'a flag::Flag),
    Foreign(&'a Definition),
}

type AllWritten<'a> = BTreeMap<&'a str, (Written<'a>, Whole<'a>)>;

fn written<'a>((terms, foreign): (&'a flag::Flags, &'a Definitions)) -> AllWritten<'a> {
    let own = terms.own.iter();
    let own = own.map(|flag| (&*flag.name, (Written::own(flag), Whole::Own(flag))));
    let foreign = foreign.flags.iter();
    let foreign =
        foreign.map(|flag| (flag.name.as_str(), (Written::foreign(flag), Whole::Foreign(flag))));
    foreign.chain(own).collect()
}

const fn is_nothing(change: &Override) -> bool {
    change.enabled.is_none() && change.default.is_none() && change.share.is_none()
}

/// Percent, which are from 0 to 100, in parts per 100,000.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and 100,000"
)]
fn parts(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use gnomon_config::model::flag::Flags;

    use super::*;
    use crate::control::flags::tests::{flag, rule};

    fn config(share: u32) -> Flags {
        let rules = vec![rule(&[], Some(Portion::Fixed(Share(share))), &[(0, 1)])];
        let own = vec![flag::Flag { rules, ..flag("f") }];
        Flags { own, ..Flags::default() }
    }

    fn asked(asked: ChangeAsked) -> Verb {
        Verb::Set(asked)
    }

    fn try_one(
        config: &Flags,
        present: Option<&Override>,
        verb: &Verb,
    ) -> Result<(Option<Override>, Vec<String>), Refused> {
        let none = Definitions::default();
        let stamp = Stamp { by: "uid 7".to_owned(), reason: "why".to_owned(), at: 5 };
        change("f", Written::of("f", config, &none).as_ref(), present, verb, &stamp)
    }

    #[test]
    fn a_change_is_what_is_other_than_in_the_file() {
        let config = config(5_000);
        let percent = |percent| asked(ChangeAsked { percent: Some(percent), ..Default::default() });
        let (change, lines) = try_one(&config, None, &percent(20.0)).unwrap();
        assert_eq!(lines, ["5% → 20%"]);
        let change = change.unwrap();
        assert_eq!((change.share, change.at, &*change.by), (Some(20_000), 5, "uid 7"));
        let (killed, lines) = try_one(&config, Some(&change), &Verb::Kill).unwrap();
        assert_eq!(lines, ["enabled → disabled"]);
        let killed = killed.unwrap();
        assert_eq!((killed.enabled, killed.share), (Some(false), Some(20_000)));
        let none = Definitions::default();
        let drift = Written::of("f", &config, &none).unwrap().drift(&killed);
        assert_eq!(drift, ["disabled (the file: enabled)", "20% (the file: 5%)"]);
        let (revived, _) = try_one(&config, Some(&killed), &Verb::Revive).unwrap();
        assert_eq!(revived.as_ref().map(|it| (it.enabled, it.share)), Some((None, Some(20_000))));
        // Back to the file's own, by saying so or by resetting it.
        let (back, lines) = try_one(&config, revived.as_ref(), &percent(5.0)).unwrap();
        assert_eq!((back, lines.len()), (None, 1));
        let (back, lines) = try_one(&config, Some(&killed), &Verb::Reset).unwrap();
        assert_eq!((back, lines.len()), (None, 2));
        let (same, lines) = try_one(&config, Some(&killed), &Verb::Kill).unwrap();
        assert_eq!((same.as_ref(), lines.len()), (Some(&killed), 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let config = config(5_000);
        let default = |name: &str| {
            asked(ChangeAsked { default: Some(name.to_owned()), ..Default::default() })
        };
        assert!(try_one(&config, None, &default("on")).is_ok());
        let refused = try_one(&config, None, &default("purple")).unwrap_err();
        assert_eq!(refused.help.as_deref(), Some("there are: on, off"));
        let percent = |percent| asked(ChangeAsked { percent: Some(percent), ..Default::default() });
        for bad in [-1.0, 100.1, f64::NAN] {
            assert!(try_one(&config, None, &percent(bad)).is_err(), "{bad}");
        }
        let bare = Flags { own: vec![flag("f")], ..Flags::default() };
        assert!(try_one(&bare, None, &percent(5.0)).is_err(), "it has no such rule");
        let nowhere = Flags::default();
        assert_eq!(try_one(&nowhere, None, &Verb::Kill).unwrap_err().kind, Kind::Unknown);
        let lost = Override::default();
        assert!(try_one(&nowhere, Some(&lost), &Verb::Reset).unwrap().0.is_none());
    }

    #[test]
    fn it_is_said_what_of_a_file_is_other() {
        let (none, old, new) = (Definitions::default(), config(5_000), config(20_000));
        let of = |old: &Flags, new: &Flags| differences((old, &none), (new, &none));
        assert!(of(&old, &old).is_empty());
        assert_eq!(of(&old, &new), [("f".to_owned(), vec!["5% → 20%".to_owned()])]);
        let bare = Flags::default();
        assert_eq!(of(&bare, &new), [("f".to_owned(), vec!["new".to_owned()])]);
        assert_eq!(of(&new, &bare), [("f".to_owned(), vec!["gone".to_owned()])]);
        let mut other = config(5_000);
        other.own[0].salt = "another".into();
        assert_eq!(of(&old, &other)[0].1, ["its rules or variants"]);
    }

    #[test]
    fn a_file_that_follows_ends_a_drift() {
        let change = Override { enabled: Some(false), share: Some(20_000), ..Override::default() };
        let mut overrides = Overrides::default();
        overrides.0.insert("f".to_owned(), change.clone());
        overrides.0.insert("gone".to_owned(), change);
        let none = Definitions::default();
        assert!(settle(&overrides, &config(5_000), &none).1.is_empty());
        let (settled, dropped) = settle(&overrides, &config(20_000), &none);
        assert_eq!(dropped, ["f"]);
        assert_eq!((settled.0["f"].share, settled.0["f"].enabled), (None, Some(false)));
        assert_eq!(settled.0.len(), 2, "what is nowhere now is not lost");
    }
}
