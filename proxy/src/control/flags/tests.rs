//! What flags are made from, and what stays when a source is wrong.

use gnomon_config::model::{
    Share,
    flag::{Flag, Portion, Rule, Source, VariantValue},
};
use gnomon_flags::Override;

use super::*;

/// `on` or, for whom no rule holds, `off`.
pub(super) fn flag(name: &str) -> Flag {
    let bool = |name: &str, value| (name.into(), VariantValue::Bool(value));
    Flag {
        name: name.into(),
        enabled: true,
        variants: vec![bool("on", true), bool("off", false)],
        default: 1,
        by: None,
        salt: name.into(),
        rules: Vec::new(),
        start: None,
        end: None,
        owner: "".into(),
        description: "".into(),
        expires: None,
        judge: None,
    }
}

pub(super) fn rule(groups: &[usize], portion: Option<Portion>, serve: &[(usize, u32)]) -> Rule {
    let groups = groups.to_vec();
    Rule { groups, not: Vec::new(), users: Vec::new(), portion, serve: serve.to_vec() }
}

/// Flags `own`, and others from a file.
fn config(own: &[Flag]) -> Arc<Config> {
    let options = gnomon_config::Options::default();
    let text = "listen = \"127.0.0.1:0\"";
    let mut config = gnomon_config::parse("test", text, &options).unwrap().config;
    config.flags.own = own.to_vec();
    config.flags.source = Some(Source::File("/nowhere/flags.json".into()));
    Arc::new(config)
}

fn text(names: &[&str]) -> String {
    let flags: serde_json::Map<_, _> = names
        .iter()
        .map(|name| {
            let flag = serde_json::json!({
                "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
            });
            ((*name).to_owned(), flag)
        })
        .collect();
    serde_json::json!({ "flags": flags }).to_string()
}

fn said(names: &[&str]) -> Look {
    let text = text(names);
    let mark = Mark::of(&text);
    Look::New(mark, Box::new(source::read(text.into_bytes()).unwrap()))
}

fn opened(saved: Saved, look: Option<Look>) -> (Arc<Config>, Flags) {
    let config = config(&[flag("own")]);
    let mut flags = Flags::new(&config).unwrap();
    flags.open(&config, Opened { saved, look }, None, 10);
    (config, flags)
}

fn names(flags: &Flags) -> Vec<String> {
    flags.set().flags().iter().map(|flag| flag.name.to_string()).collect()
}

fn stamp() -> Stamp {
    Stamp { by: "uid 7".to_owned(), reason: "why".to_owned(), at: 20 }
}

#[test]
fn a_wrong_source_changes_nothing_and_is_told_once() {
    let (config, mut flags) = opened(Saved::default(), Some(said(&["a"])));
    assert_eq!(names(&flags), ["own", "a"]);
    let bad = |mark| Look::Bad(mark, vec!["no".to_owned()]);
    assert_eq!(
        flags.hear(&config, bad(Mark::default()), 20),
        Heard::Refused(vec!["no".to_owned()])
    );
    assert_eq!(flags.hear(&config, bad(Mark::default()), 30), Heard::Nothing);
    assert_eq!(names(&flags), ["own", "a"]);
    let told = flags.tell_source().unwrap();
    assert_eq!((told.ok, told.last_success, told.last_asked), (false, Some(10), Some(30)));
    // The name is taken by the configuration.
    let Heard::Refused(faults) = flags.hear(&config, said(&["own"]), 40) else { panic!() };
    assert!(faults[0].contains("`own` is declared twice"), "{faults:?}");
    assert_eq!(flags.hear(&config, said(&["a"]), 50), Heard::Well);
    assert!(flags.tell_source().unwrap().ok);
    let Heard::Taken(lines) = flags.hear(&config, said(&["b"]), 60) else { panic!() };
    assert_eq!(lines, ["flag b: new", "flag a: gone"]);
    let same = Look::Same(flags.following.mark.clone());
    assert_eq!(flags.hear(&config, same, 70), Heard::Nothing);
    assert_eq!(flags.tell_source().unwrap().last_success, Some(70));
}

#[test]
fn what_it_said_last_stays_over_a_restart() {
    let good = |what: &str| Some(Good { what: what.to_owned(), text: text(&["a"]), at: 5 });
    let saved = |what| Saved { good: good(what), ..Saved::default() };
    let bad = || Some(Look::Bad(Mark::default(), vec!["no".to_owned()]));
    let (_, flags) = opened(saved("/nowhere/flags.json"), bad());
    assert_eq!(names(&flags), ["own", "a"]);
    let told = flags.tell_source().unwrap();
    assert_eq!((told.ok, told.is_kept, told.last_success), (false, true, Some(5)));
    let (_, flags) = opened(saved("/another"), bad());
    assert_eq!(names(&flags), ["own"]);
    let (_, flags) = opened(saved("/nowhere/flags.json"), Some(said(&["a"])));
    assert!(flags.tell_source().unwrap().ok, "it says the same");
}

#[test]
fn people_change_flags_of_either_until_files_say_the_same() {
    let (config, mut flags) = opened(Saved::default(), Some(said(&["a"])));
    for name in ["own", "a"] {
        let (lines, number) = flags.change(&config, name, &Verb::Kill, &stamp()).unwrap();
        assert_eq!((lines, number > 0), (vec!["enabled → disabled".to_owned()], true));
        let set = flags.set();
        assert!(!set.flag(set.find(name).unwrap()).enabled);
    }
    let refused = flags.change(&config, "none", &Verb::Kill, &stamp()).unwrap_err();
    assert_eq!(refused.help.as_deref(), Some("there are: own, a"));
    assert_eq!(flags.drift().len(), 2);
    // The source goes away and comes back: what was changed is without effect, but not lost.
    flags.hear(&config, said(&[]), 30);
    assert_eq!(flags.drift().len(), 1);
    flags.hear(&config, said(&["a"]), 40);
    assert_eq!(flags.drift().len(), 2);
    let off = config_with_own_off();
    let made = flags.make(&off, None).unwrap();
    assert_eq!(made.dropped, ["own"]);
    flags.take(made, &off, 50);
    assert_eq!(flags.drift().len(), 1);
    assert!(flags.drift()[0].starts_with("flag a: disabled (the file: enabled), by uid 7: why"));
}

fn config_with_own_off() -> Arc<Config> {
    config(&[Flag { enabled: false, ..flag("own") }])
}

#[test]
fn what_people_have_changed_is_kept() {
    let change = Override { enabled: Some(false), ..Override::default() };
    let saved = || Saved {
        overrides: Overrides(BTreeMap::from([("own".to_owned(), change.clone())])),
        ..Saved::default()
    };
    let (config, flags) = opened(saved(), None);
    let set = flags.set();
    assert!(!set.flag(set.find("own").unwrap()).enabled);
    // What another process leaves is newer.
    let mut heir = Flags::new(&config).unwrap();
    let left = FlagsLeft::default();
    heir.open(&config, Opened { saved: saved(), look: None }, Some(left), 10);
    assert!(heir.drift().is_empty());
    heir.open(&config, Opened::default(), Some(flags.leave()), 10);
    assert_eq!(heir.drift().len(), 1);
}

#[test]
fn another_source_is_another_matter() {
    let (config, mut flags) = opened(Saved::default(), Some(said(&["a"])));
    let mut none = (*config).clone();
    none.flags.source = None;
    let none = Arc::new(none);
    let made = flags.make(&none, None).unwrap();
    flags.take(made, &none, 20);
    assert_eq!(names(&flags), ["own"]);
    assert_eq!(flags.tell_source(), None);
    let Look::New(mark, content) = said(&["b"]) else { panic!() };
    let made = flags.make(&config, Some((mark, content))).unwrap();
    flags.take(made, &config, 30);
    assert_eq!(names(&flags), ["own", "b"]);
    assert!(flags.tell_source().unwrap().ok);
    let share = Portion::Fixed(Share(7));
    assert_eq!(changes::show(share), "0.007%");
}
