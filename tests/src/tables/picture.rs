//! Rules as dots: how long each takes to find a bad canary, and how many good ones it rolls back.

use std::fmt::Write as _;

use e2e::sim::cases::{DEFAULT, Found, STRICT_05};

/// A kind of rule: its name and colour (Okabe and Ito's, which everybody can tell apart).
type Family = (&'static str, &'static str);

const OURS: Family = ("gnomon", "#D55E00");
const Z: Family = ("repeated z-test", "#0072B2");
const RANKS: Family = ("Mann–Whitney (as Kayenta)", "#009E73");
const CHECKS: Family = ("limits for the canary alone (as Flagger)", "#CC79A7");
const BANDS: Family = ("bands", "#999999");

/// The product's own dot.
const OWN: &str = "gnomon";

/// What is drawn.
struct Picture<'a> {
    title: &'a str,
    /// What the horizontal axis says.
    until: &'a str,
    bad: [&'a str; 2],
    rules: &'a [(&'a str, &'a str, Family)],
    all: &'a [Found],
}

/// Errors: three times as many.
pub(super) fn errors(all: &[Found]) -> String {
    Picture {
        title: "How soon ×3 errors are found, and how many good canaries are blamed",
        until: "median time until a canary with ×3 errors is rolled back",
        bad: ["×3", "×3, incidents"],
        rules: &[
            (DEFAULT, OWN, OURS),
            (STRICT_05, "without margin", OURS),
            ("z-test, each weight apart, every 60 s", "z, weights apart", Z),
            ("z-test, every 60 s", "z, every 60 s", Z),
            ("z-test, every 5 s", "z, every 5 s", Z),
            ("Mann–Whitney, every 5 min", "Mann–Whitney", RANKS),
            ("success < 99 %, once", "99 %, once", CHECKS),
            ("success < 99 %, 5 times", "99 %, 5 times", CHECKS),
            ("success < 99.8 %, 5 times", "99.8 %, 5 times", CHECKS),
            ("success < 99.8 %, once", "99.8 %, once", CHECKS),
        ],
        all,
    }
    .draw()
}

/// Latency: p99 is 20 % longer.
pub(super) fn times(all: &[Found]) -> String {
    Picture {
        title: "How soon p99 +20 % is found, and how many good canaries are blamed",
        until: "median time until a canary with p99 +20 % is rolled back",
        bad: ["tail +20 %", "tail +20 %, incidents"],
        rules: &[
            (DEFAULT, OWN, OURS),
            (STRICT_05, "without margin", OURS),
            ("z-test beyond p99, each weight apart, every 60 s", "z, weights apart", Z),
            ("z-test beyond p99, every 60 s", "z, every 60 s", Z),
            ("Mann–Whitney of p99, every 5 min", "Mann–Whitney", RANKS),
            ("bands around distributions, every 5 s", "bands", BANDS),
            ("p99 > 500 ms, 5 times", "500 ms, 5 times", CHECKS),
            ("p99 > 1.1 × before, 5 times", "110 %, 5 times", CHECKS),
            ("p99 > 1.1 × before, once", "110 %, once", CHECKS),
        ],
        all,
    }
    .draw()
}

/// Where a dot is: seconds or never, and a share.
type Dot = (Option<f64>, f64);

impl Picture<'_> {
    fn draw(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{STYLE}\n",
            self.title
        );
        text(&mut svg, "ink title", MARGIN, 30.0, self.title);
        text(
            &mut svg,
            "dim",
            MARGIN,
            51.0,
            "Simulated rollouts of 40 minutes, 1 → 5 → 25 → 50 %. Bottom left is best: bad canaries found soon, good ones left alone.",
        );
        self.legend(&mut svg);
        for (index, rate) in [50.0, 500.0].into_iter().enumerate() {
            self.panel(&mut svg, MARGIN + LEFT + index as f64 * PITCH, rate);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut families: Vec<Family> = Vec::new();
        for (_, _, family) in self.rules {
            if !families.contains(family) {
                families.push(*family);
            }
        }
        let mut x = MARGIN + 6.0;
        for (name, colour) in families {
            let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"72\" r=\"5\" fill=\"{colour}\"/>");
            text(svg, "ink", x + 11.0, 76.0, name);
            x += 37.0 + 6.6 * name.chars().count() as f64;
        }
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{}\" cy=\"94\" r=\"5\"/>\
             <path class=\"line\" d=\"M{} 94h34\"/>\
             <circle class=\"ring\" cx=\"{}\" cy=\"94\" r=\"5\"/>",
            MARGIN + 6.0,
            MARGIN + 11.0,
            MARGIN + 50.0
        );
        let what = "from quiet days to days with incidents that befall both versions alike";
        text(svg, "ink", MARGIN + 62.0, 98.0, what);
    }

    fn panel(&self, svg: &mut String, left: f64, rate: f64) {
        text(svg, "ink head", left, TOP - 14.0, &format!("{rate} requests/s"));
        axes(svg, left, self.until);
        let mut taken: Vec<Area> = Vec::new();
        let dots: Vec<_> = self.rules.iter().filter_map(|rule| self.dots(rule.0, rate)).collect();
        for dot in dots.iter().flatten() {
            let (x, y) = place(left, *dot);
            taken.push(Area { x: x - 5.0, y: y - 5.0, width: 10.0, height: 10.0 });
        }
        // The own ones last, so that nothing is drawn over them.
        for ((_, label, (_, colour)), [calm, rough]) in self.rules.iter().zip(&dots).rev() {
            let size = if *label == OWN { 6.5 } else { 5.0 };
            arrow(svg, place(left, *calm), place(left, *rough), colour, size);
        }
        for ((_, label, _), [_, rough]) in self.rules.iter().zip(&dots) {
            let class = if *label == OWN { "ink halo head" } else { "ink halo small" };
            let (x, y) = free(place(left, *rough), label, left, &mut taken);
            text(svg, class, x, y, label);
        }
    }

    /// On a quiet day, and on one with incidents.
    fn dots(&self, rule: &str, rate: f64) -> Option<[Dot; 2]> {
        let get = |kind: &str| {
            let is_it = |it: &&Found| {
                it.rule == rule && it.kind == kind && it.rate.to_bits() == f64::to_bits(rate)
            };
            self.all.iter().find(is_it)
        };
        let dot =
            |good: &str, bad: &str| Some((get(bad)?.spoken.median(), get(good)?.spoken.share()));
        Some([dot("healthy", self.bad[0])?, dot("healthy, incidents", self.bad[1])?])
    }
}

/// Something that no label may cover.
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

/// The nearest place beside a dot where a label covers nothing, as its left end and base line.
fn free((x, y): (f64, f64), label: &str, left: f64, taken: &mut Vec<Area>) -> (f64, f64) {
    let width = label.chars().count() as f64 * 6.3 + 2.0;
    let at = |dx: f64, dy: f64| Area { x: x + dx, y: y + dy - 9.0, width, height: 12.0 };
    let mut places = Vec::new();
    if label == OWN {
        // Beside its dot are others of those at the bottom.
        places.extend((0..5).map(|step| at(-0.5 * width, -11.0 - 13.0 * f64::from(step))));
    }
    for step in 0..14 {
        let down = f64::from(step) * 6.0;
        for dy in [4.0 - down, 4.0 + down] {
            places.push(at(9.0, dy));
            places.push(at(-9.0 - width, dy));
        }
    }
    let fits = |place: &Area| {
        place.x > left + 2.0
            && place.x + place.width < left + SPAN + NEVER + 14.0
            && place.y > TOP - 10.0
            && place.y + place.height < TOP + RISE - 1.0
            && !taken.iter().any(|area| area.meets(place))
    };
    let best = places.iter().position(fits).unwrap_or(0);
    let place = places.swap_remove(best);
    let found = (place.x, place.y + 9.0);
    taken.push(place);
    found
}

/// Lines and words around a panel.
fn axes(svg: &mut String, left: f64, until: &str) {
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let (_, y) = place(left, (None, percent / 100.0));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {y}h{}\"/>", SPAN + NEVER + 12.0);
        text(svg, "dim end", left - 8.0, y + 4.0, &format!("{percent} %"));
    }
    let bottom = TOP + RISE;
    for (seconds, name) in [(60.0, "1 min"), (180.0, "3"), (600.0, "10"), (1800.0, "30 min")] {
        let (x, _) = place(left, (Some(seconds), 0.0));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
        text(svg, "dim mid", x, bottom + 17.0, name);
    }
    let (x, _) = place(left, (None, 0.0));
    text(svg, "dim mid", x, bottom + 17.0, "never");
    text(svg, "ink mid", left + SPAN / 2.0 + 16.0, bottom + 38.0, until);
    let middle = TOP + RISE / 2.0;
    let x = left - 48.0;
    let _ = writeln!(
        svg,
        "<text class=\"ink mid\" x=\"{x}\" y=\"{middle}\" transform=\"rotate(-90 {x} {middle})\">\
         good canaries rolled back</text>"
    );
}

fn place(left: f64, (seconds, share): Dot) -> (f64, f64) {
    let x = seconds.map_or(SPAN + NEVER, |seconds| {
        ((seconds / SOONEST).ln() / (LATEST / SOONEST).ln()).clamp(0.0, 1.0) * SPAN
    });
    (left + x, TOP + RISE * (1.0 - share))
}

fn arrow(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, size: f64) {
    let ((x, y), (u, v)) = (from, to);
    let length = (u - x).hypot(v - y);
    if length > 10.0 {
        let (a, b) = (u - size * (u - x) / length, v - size * (v - y) / length);
        let _ = writeln!(
            svg,
            "<path class=\"way\" stroke=\"{colour}\" d=\"M{x:.1} {y:.1}L{a:.1} {b:.1}\"/>"
        );
    }
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size}\" fill=\"{colour}\"/>\
         <circle class=\"hole\" cx=\"{u:.1}\" cy=\"{v:.1}\" r=\"{}\" stroke=\"{colour}\"/>",
        size - 0.8
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = text.replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

const STYLE: &str = "<style>\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}\
.title{font-size:18px;font-weight:600}.head{font-weight:600;font-size:13px}.small{font-size:11px}\
.mid{text-anchor:middle}.end{text-anchor:end}\
.halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}.ink{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#59636e;stroke-opacity:.2}\
.dot{fill:#59636e}.ring{fill:none;stroke:#59636e;stroke-width:2}.line{stroke:#59636e;stroke-opacity:.6;stroke-width:1.5}\
.way{stroke-width:1.5;stroke-opacity:.55}.hole{fill:#fff;stroke-width:2}\
@media(prefers-color-scheme:dark){.ink{fill:#f0f6fc}.dim{fill:#9198a1}.grid,.ring,.line{stroke:#9198a1}.dot{fill:#9198a1}.hole{fill:#0d1117}.halo{stroke:#0d1117}}\
</style>";

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const MARGIN: f64 = 16.0;
/// Room for the words beside a panel.
const LEFT: f64 = 62.0;
const TOP: f64 = 146.0;
const RISE: f64 = 310.0;
/// Between the left edges of two panels.
const PITCH: f64 = 424.0;
/// Width of the times, and the way from there to "never".
const SPAN: f64 = 290.0;
const NEVER: f64 = 36.0;
/// Seconds at the ends of the axis.
const SOONEST: f64 = 30.0;
const LATEST: f64 = 2400.0;
