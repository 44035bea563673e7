//! What is of no use, and since when.

use super::*;
use crate::control::flags::tests::{flag, rule};

const DAY: u64 = 86_400;

fn ramp(end: u64) -> Portion {
    Portion::Ramp { from: Share::NONE, to: Share::WHOLE, start: 0, end }
}

#[test]
fn it_is_known_who_gives_everybody_the_same() {
    let with = |rules: Vec<Rule>| Flag { rules, ..flag("f") };
    let fixed = |share| Some(Portion::Fixed(Share(share)));
    let on = |share| rule(&[], fixed(share), &[(0, 1)]);
    let staff = |variant| rule(&[0], None, &[(variant, 1)]);
    let table: &[(Flag, Option<&str>)] = &[
        (with(vec![]), Some("off")),
        (Flag { enabled: false, ..flag("f") }, Some("")),
        (with(vec![on(20_000)]), None),
        (with(vec![on(100_000)]), Some("on")),
        (with(vec![on(0)]), Some("off")),
        (with(vec![staff(0)]), None),
        (with(vec![staff(1)]), Some("off")),
        (with(vec![staff(0), on(100_000)]), Some("on")),
        (with(vec![staff(1), on(100_000)]), None),
        (with(vec![rule(&[], None, &[(0, 1), (1, 1)])]), None),
        (with(vec![rule(&[], None, &[(0, 1), (1, 0)])]), Some("on")),
        (with(vec![rule(&[], Some(ramp(2 * DAY)), &[(0, 1)])]), None),
        (with(vec![rule(&[], Some(ramp(DAY)), &[(0, 1)])]), Some("on")),
        (Flag { end: Some(DAY), ..with(vec![on(20_000)]) }, Some("off")),
        (Flag { start: Some(2 * DAY), ..with(vec![on(100_000)]) }, None),
    ];
    for (flag, expected) in table {
        assert_eq!(same(flag, None, DAY).as_deref(), *expected, "{flag:?}");
    }
}

#[test]
fn what_people_have_changed_counts() {
    let flag = Flag {
        rules: vec![rule(&[], Some(Portion::Fixed(Share(20_000))), &[(0, 1)])],
        ..flag("f")
    };
    let change = |change: Override| same(&flag, Some(&change), 0);
    let whole = Override { share: Some(100_000), ..Override::default() };
    assert_eq!(change(whole).as_deref(), Some("on"));
    let off = Override { enabled: Some(false), ..Override::default() };
    assert_eq!(change(off).as_deref(), Some(""));
    let all_on = Override { default: Some("on".to_owned()), ..Override::default() };
    assert_eq!(change(all_on).as_deref(), Some("on"));
}

#[test]
fn use_and_sameness_are_dated() {
    let mut log = Log::default();
    let mut look = |count, same: Option<&str>, now| {
        log.look(Look { name: "f", same: same.map(str::to_owned), count }, now);
        log.of("f").cloned().unwrap()
    };
    assert_eq!(look(Some(0), None, 10), Seen { first: 10, evaluated: None, same: None });
    assert_eq!(look(Some(3), Some("on"), 20).evaluated, Some(20));
    let still = look(Some(3), Some("on"), 30);
    assert_eq!((still.evaluated, still.same), (Some(20), Some(("on".to_owned(), 20))));
    // Begun anew after a restart.
    assert_eq!(look(Some(0), Some("off"), 40).evaluated, Some(20));
    let used = look(Some(1), Some("off"), 50);
    assert_eq!((used.evaluated, used.same), (Some(50), Some(("off".to_owned(), 40))));
    assert_eq!(look(Some(1), None, 60).same, None);
    assert_eq!(log.take_unwritten().len(), 1);
    log.look(Look { name: "f", same: None, count: Some(1) }, 70);
    assert!(log.take_unwritten().is_empty());
}

#[test]
fn remarks_come_when_it_is_time() {
    let kinds = |seen: &Seen, expires, is_counted, now| {
        let remarks = remarks(seen, expires, is_counted, 30 * DAY, now);
        remarks.iter().map(|it| it.kind).collect::<Vec<_>>()
    };
    let fresh = Seen { first: DAY, ..Seen::default() };
    assert!(kinds(&fresh, None, true, 30 * DAY).is_empty());
    assert_eq!(kinds(&fresh, None, true, 31 * DAY), [RemarkKind::Unused]);
    assert!(kinds(&fresh, None, false, 31 * DAY).is_empty(), "nobody counts");
    assert_eq!(kinds(&fresh, Some(DAY), true, DAY), [RemarkKind::Expired]);
    let same = Some(("on".to_owned(), 0));
    let used = Seen { evaluated: Some(30 * DAY), same, ..fresh };
    assert_eq!(kinds(&used, None, true, 31 * DAY), [RemarkKind::Same]);
    let text = |seen: &Seen| remarks(seen, None, true, 30 * DAY, 31 * DAY)[0].text.clone();
    assert_eq!(text(&used), "everybody has been given on for 31 days");
    let off = Seen { same: Some((String::new(), 0)), ..used };
    assert_eq!(text(&off), "it has been off for 31 days");
}
