//! Tables of promotions, users, delays and forecasts.

use e2e::sim::{
    RATES,
    delays::{self, Order},
    errors::Case,
    forecasts::{self, Kind},
    promotion::{self, End, Margins, RISK},
    runs::{Spoken, repeat},
    users::{self, Count, Crowd, HARMED, HEAVY, UNEVEN},
};
use gnomon_policy::judge::bernoulli::Boundary;

use super::{
    page::{heading, line, percent, time, top},
    say,
};

/// All of them.
pub(super) fn page(runs: u64) -> String {
    let mut page = String::new();
    say("promotions");
    promotions(&mut page, runs);
    say("users and delays");
    dependence(&mut page, runs);
    say("forecasts");
    forecast(&mut page, runs);
    page
}

const CANARIES: [(&str, Boundary, Margins); 6] = [
    ("as stable", Boundary::EQUAL, Margins::Graduated),
    ("as stable, the last margin at every step", Boundary::EQUAL, Margins::Same),
    ("half of stable's errors", Boundary { ratio: 0.5, points: 0.0 }, Margins::Graduated),
    (
        "worse by the whole risk, 0.05 points (promotions are wrong)",
        Boundary { ratio: 1.0, points: RISK },
        Margins::Graduated,
    ),
    ("×3", Boundary { ratio: 3.0, points: 0.0 }, Margins::Graduated),
    ("×10", Boundary { ratio: 10.0, points: 0.0 }, Margins::Graduated),
];

fn promotions(page: &mut String, runs: u64) {
    heading(page, "Rollouts that advance by evidence, on errors alone");
    let columns = [
        "canary",
        "rate",
        "promoted",
        "rolled back",
        "to 100 %, median / p90",
        "to rollback, median",
    ];
    top(page, columns.map(str::to_owned));
    for (name, canary, margins) in CANARIES {
        for rate in RATES {
            let case = Case::times(rate, 1.0).with(canary);
            let ends = repeat(&format!("promotion {name} {rate}"), runs, |seed| {
                promotion::run(case, margins, seed)
            });
            let cells = [name.to_owned(), format!("{rate}/s")];
            line(page, cells.into_iter().chain(ended(&ends)));
        }
    }
    page.push_str("\nWatched for 6 hours at 50/s, 2 hours at 500/s, half an hour at 5000/s; steps last 30 s at least. Times are of those that ended so.\n");
}

fn ended(ends: &[End]) -> [String; 4] {
    let of = |of: fn(End) -> Option<f64>| {
        let times = Spoken::new(ends.iter().filter_map(|end| of(*end)).map(Some));
        (times.runs() as f64 / ends.len() as f64, times)
    };
    let (promoted, times) = of(End::promoted);
    let (rolled_back, backs) = of(End::rolled_back);
    [
        percent(promoted),
        percent(rolled_back),
        format!("{} / {}", time(times.median()), time(times.quantile(0.9))),
        time(backs.median()),
    ]
}

fn dependence(page: &mut String, runs: u64) {
    heading(page, "Users who stay, replies that come late (strict, α = .05): share rolled back");
    top(page, ["case", "counted", "share"].map(str::to_owned));
    let crowds: [(&str, Crowd); 3] = [
        ("some users fail often, with both versions", UNEVEN),
        ("few users ask most, some of them fail often", HEAVY),
        ("real harm: three times the errors", HARMED),
    ];
    let counts = [
        ("by request, users stay", Count::StickyRequests),
        ("by request, a coin each", Count::Requests),
        ("by user and step", Count::StickyUsers),
    ];
    for (name, crowd) in crowds {
        for (counted, count) in counts {
            let said = repeat(&format!("users {name} {count:?}"), runs, |seed| {
                users::run(crowd, count, seed)
            });
            let share = percent(Spoken::new(said).share());
            line(page, [name.to_owned(), counted.to_owned(), share]);
        }
    }
    for (rate, delay) in [(50.0, 5.0), (500.0, 5.0), (500.0, 30.0)] {
        for (counted, order) in
            [("when it ends", Order::Completion), ("when it was assigned", Order::Assignment)]
        {
            let said = repeat(&format!("delays {rate} {delay} {order:?}"), runs, |seed| {
                delays::run(rate, delay, order, seed)
            });
            let name =
                format!("{rate}/s, canary fails at once, stable after {delay} s, both 0.5 %");
            line(page, [name, counted.to_owned(), percent(Spoken::new(said).share())]);
        }
    }
    page.push_str("\n50/s, 20,000 users; delays are watched for ten minutes at even weights.\n");
}

fn forecast(page: &mut String, runs: u64) {
    heading(page, "Forecasts: the time in which four of five regressions should be found");
    top(page, ["rate", "errors", "evidence", "forecast", "found by then"].map(str::to_owned));
    for rate in RATES {
        for factor in [3.0, 10.0] {
            for (name, kind) in [
                ("default", Kind::Default),
                ("strict, α = .05", Kind::Strict(0.05)),
                ("strict, α = .01", Kind::Strict(0.01)),
            ] {
                let seconds = forecasts::seconds(rate, factor, kind);
                let met = seconds.map(|seconds| forecasts::met(rate, factor, kind, seconds, runs));
                let met = met.map_or_else(String::new, percent);
                let cells = [format!("{rate}/s"), format!("×{factor}"), name.to_owned()];
                line(page, cells.into_iter().chain([time(seconds), met]));
            }
        }
    }
}
