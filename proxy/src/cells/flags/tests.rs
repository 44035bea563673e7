//! What a variant has counted stays with its name.

use gnomon_config::model::flag::{Flag, Flags, VariantValue};
use gnomon_flags::{Overrides, flagd::Definitions};

use super::*;

fn set(flags: &[&str]) -> Arc<FlagSet> {
    let options = gnomon_config::Options::default();
    let text = "listen = \"127.0.0.1:0\"";
    let mut config = gnomon_config::parse("test", text, &options).expect("it is one").config;
    let flag = |name: &&str| Flag {
        name: (*name).into(),
        enabled: true,
        variants: vec![
            ("off".into(), VariantValue::Bool(false)),
            ("on".into(), VariantValue::Bool(true)),
        ],
        default: 0,
        by: None,
        salt: (*name).into(),
        rules: vec![],
        start: None,
        end: None,
        owner: "".into(),
        description: "".into(),
        expires: None,
        judge: None,
    };
    config.flags = Flags { own: flags.iter().map(flag).collect(), ..Flags::default() };
    let set = FlagSet::compile(config.into(), &Definitions::default(), &Overrides::default());
    Arc::new(set.expect("it is one"))
}

fn read(book: &FlagBook, flag: &str) -> Vec<(u64, u64, u64)> {
    let of = |counted: Counted<'_>| {
        let ok = counted.sum(|cells| &cells.requests[0]);
        (counted.sum(|cells| &cells.exposures), counted.sum(|cells| &cells.asked), ok)
    };
    book.of(flag).map(|(_, counted)| of(counted)).collect()
}

#[test]
fn counts_stay_with_their_names() {
    let one = FlagBook::new(set(&["a", "b"]), 2, 2, None);
    for core in 0..2 {
        let cells = one.cells(core, FlagIx(1), 1).unwrap();
        cells.exposures.add(1);
        cells.requests[0].add(2);
        cells.record(5_000_000);
    }
    one.told(FlagIx(1), 1);
    one.told(FlagIx(0), 0);
    assert!(one.cells(0, FlagIx(0), 2).is_none(), "the next flag's");
    assert!(one.cells(0, FlagIx(1), 2).is_none() && one.cells(0, FlagIx(2), 0).is_none());
    let two = FlagBook::new(set(&["b"]), 2, 2, Some(&one));
    assert_eq!((read(&two, "b"), read(&two, "a")), (vec![(0, 0, 0), (2, 1, 4)], vec![]));
    let names: Vec<String> = two.all().map(|((flag, it), _)| format!("{flag}={it}")).collect();
    assert_eq!(names, ["b=on"]);
    let median = golden::quantile(&two.of("b").nth(1).unwrap().1.times(), 0.5).unwrap();
    assert!((4_700_000..5_300_000).contains(&median), "{median}");
}

#[test]
fn what_an_earlier_process_has_counted_is_added() {
    let one = FlagBook::new(set(&["a"]), 1, 1, None);
    let cells = one.cells(0, FlagIx(0), 1).unwrap();
    cells.requests[1].add(3);
    cells.record(1_000_000);
    one.told(FlagIx(0), 1);
    let left: Vec<((String, String), Totals)> = one
        .all()
        .map(|((flag, it), counted)| ((flag.to_string(), it.to_string()), Totals::of(counted.0)))
        .collect();
    let two = FlagBook::new(set(&["a"]), 1, 2, None);
    two.inherit(&left);
    two.told(FlagIx(0), 1);
    let (_, counted) = two.of("a").nth(1).unwrap();
    let sums = (counted.sum(|cells| &cells.asked), counted.sum(|cells| &cells.requests[1]));
    assert_eq!((sums, counted.times().iter().sum::<u64>()), ((2, 3), 1));
}
