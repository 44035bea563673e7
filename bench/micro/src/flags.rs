//! What the flags of a request cost.

use std::{
    fmt::Write as _,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use gnomon_config::Options;
use gnomon_flags::{Evaluation, FlagSet, Overrides, RequestContext, flagd::Definitions};
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};

use crate::{Case, Run, texts::BROWSER_REQUEST};

pub(crate) const CASES: [Case; 3] = [
    Case { name: "flags/evaluate_20_flags", runs: 1, prepare: own },
    Case { name: "flags/evaluate_20_flags_of_flagd", runs: 1, prepare: foreign },
    Case { name: "flags/read_1000_flags_of_flagd", runs: 1, prepare: read },
];

const FLAGS: usize = 20;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A request whose flags are all evaluated. The browser asks.
fn evaluate(text: &str, definitions: &Definitions) -> Run {
    let config = match gnomon_config::parse("micro", text, &Options::default()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", problems.render(false)),
    };
    let set = FlagSet::compile(Arc::new(config), definitions, &Overrides::default());
    let set = set.expect("it is right");
    assert_eq!(set.watched().len(), FLAGS);
    let mut head = RequestHead::default();
    let progress = head.read(BROWSER_REQUEST, &HeadLimits::REQUEST);
    assert_eq!(progress, Ok(Progress::Done(BROWSER_REQUEST.len())));
    Box::new(move || {
        let request = Request { head: &head, bytes: black_box(BROWSER_REQUEST) };
        let context =
            RequestContext { terms: set.terms(), request, client: black_box(CLIENT), claims: None };
        let evaluation = Evaluation::new(&set, context, black_box(1_800_000_000));
        for place in 0..FLAGS {
            assert!(black_box(evaluation.resolve(place)).variant.is_some(), "flag {place}");
        }
    })
}

/// Flags with five rules each; groups are told by a field.
fn own() -> Run {
    let mut text = String::from(TERMS);
    for group in ["alpha", "gamma", "staff", "press", "beta"] {
        let _ = writeln!(text, "[group.{group}]\nheader.x-group = \"{group}\"");
    }
    for flag in 0..FLAGS {
        let _ = writeln!(
            text,
            r#"
            [flag.flag{flag}]
            rules = [
                {{ group = "alpha", serve = "on" }},
                {{ group = ["gamma", "staff"], percent = 50, serve = "on" }},
                {{ group = "press", not = "staff", serve = "on" }},
                {{ group = "beta", percent = {flag}, serve = "on" }},
                {{ percent = 10, serve = "on" }},
            ]
            "#
        );
    }
    evaluate(&text, &Definitions::default())
}

/// The same in JSONLogic.
fn foreign() -> Run {
    let text = format!("{TERMS}source = \"/flags.json\"\ncontext.group = \"header:x-group\"\n");
    evaluate(&text, &Definitions::parse(&file(FLAGS)).expect("it is right"))
}

fn read() -> Run {
    let file = file(1000);
    Box::new(move || drop(black_box(Definitions::parse(black_box(&file)))))
}

/// So many flags as flagd writes them.
fn file(flags: usize) -> String {
    let mut text = String::from("{\"flags\": {");
    for flag in 0..flags {
        let comma = if flag == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}"flag{flag}": {{
                "state": "ENABLED", "variants": {{"on": true, "off": false}},
                "defaultVariant": "off",
                "targeting": {{"if": [
                    {{"==": [{{"var": "group"}}, "alpha"]}}, "on",
                    {{"in": [{{"var": "group"}}, ["gamma", "staff"]]}}, "on",
                    {{"starts_with": [{{"var": "group"}}, "press"]}}, "on",
                    {{"==": [{{"var": "group"}}, "gold"]}}, {{"fractional": [["on", 50], ["off", 50]]}},
                    {{"fractional": [["on", 10], ["off", 90]]}}
                ]}}
            }}"#
        );
    }
    text.push_str("}}");
    text
}

const TERMS: &str = r#"
    listen = "127.0.0.1:8080"
    route.a.respond.status = 204
    [flags]
    by = "cookie:session"
    send = "all"
"#;
