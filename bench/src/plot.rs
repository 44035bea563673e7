//! Rows to pictures: grouped bars, relative to one proxy, as SVG.
//!
//! Workloads differ a hundredfold in cost, so bars show ratios and carry the figure itself as a
//! label. A thin line spans the least and the most of the rounds.

use std::fmt::Write;

use crate::{
    figure::{Figure, Row},
    peer::RELAY,
    report::{self, Spread},
    scenario::{self, How},
};

/// Some bars under one heading.
#[derive(Debug)]
struct Group {
    title: String,
    bars: Vec<Bar>,
}

/// One proxy's bar: ratios, and the label that says the figure itself.
#[derive(Debug)]
struct Bar {
    peer: String,
    ratio: Spread,
    label: String,
}

/// CPU time per request in every scenario where the peers took part.
#[must_use]
pub fn cpu(rows: &[Row]) -> Option<String> {
    let scenarios = scenario::ALL.iter();
    let groups = scenarios
        .filter(|it| it.how == How::Saturated && !it.ours && it.shadow.is_none())
        .filter_map(|it| {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.scenario == it.name).collect();
            group(it.what, &rows, Figure::CpuUs)
        });
    draw(
        "CPU time per request",
        "of the proxy, saturated on one core; medians, thin lines from least to most; shorter is better",
        groups,
    )
}

/// Latencies at a fixed rate.
#[must_use]
pub fn latency(rows: &[Row]) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.scenario == "rate").collect();
    let asked = rows.first()?.get(Figure::Asked).unwrap_or(0.0);
    let figures = [(Figure::P50Us, "p50"), (Figure::P99Us, "p99"), (Figure::P999Us, "p99.9")];
    let groups = figures.into_iter().filter_map(|(figure, title)| group(title, &rows, figure));
    let what = format!(
        "GET 150 B at {asked:.0} requests/s on 64 connections, from the intended time; medians, thin lines from least to most"
    );
    draw("Latency at a fixed rate", &what, groups)
}

/// The bars of one group; none where nobody is to be compared.
fn group(title: &str, rows: &[&Row], figure: Figure) -> Option<Group> {
    let one = Spread::of(rows, REFERENCE, figure)?.median;
    let bars = report::peers(rows).into_iter().filter_map(|peer| {
        let Spread { median, least, most } = Spread::of(rows, &peer, figure)?;
        let label = micros(median);
        let ratio = Spread { median: median / one, least: least / one, most: most / one };
        Some(Bar { peer, ratio, label })
    });
    let bars: Vec<_> = bars.collect();
    (bars.len() > 1).then(|| Group { title: title.to_owned(), bars })
}

fn micros(value: f64) -> String {
    match value {
        ..100.0 => format!("{value:.1} µs"),
        ..10_000.0 => format!("{value:.0} µs"),
        _ => format!("{:.1} ms", value / 1e3),
    }
}

fn draw(title: &str, what: &str, groups: impl Iterator<Item = Group>) -> Option<String> {
    let groups: Vec<Group> = groups.collect();
    let bars = groups.iter().map(|group| group.bars.len()).sum::<usize>() as f64;
    let rows = bars * BAR + groups.len() as f64 * (HEADING + GAP);
    if groups.is_empty() {
        return None;
    }
    let height = TOP + rows + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n{STYLE}\n\
         <text class=\"ink title\" x=\"{MARGIN}\" y=\"30\">{title}</text>\n\
         <text class=\"dim\" x=\"{MARGIN}\" y=\"51\">{what}</text>\n"
    );
    let mut y = TOP;
    for group in &groups {
        text(&mut svg, "ink head", MARGIN, y + 15.0, &group.title);
        y += HEADING;
        grid(&mut svg, y, y + group.bars.len() as f64 * BAR);
        for bar in &group.bars {
            draw_bar(&mut svg, bar, y);
            y += BAR;
        }
        y += GAP;
    }
    axis(&mut svg, y);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Lines at halves, a stronger one at the reference.
fn grid(svg: &mut String, top: f64, bottom: f64) {
    for half in 0..=HALVES {
        let (x, class) =
            (LEFT + f64::from(half) / 2.0 * UNIT, if half == 2 { "one" } else { "grid" });
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>"
        );
    }
}

fn axis(svg: &mut String, y: f64) {
    for half in 0..=HALVES {
        let ratio = f64::from(half) / 2.0;
        text(svg, "dim mid", LEFT + ratio * UNIT, y + 4.0, &ratio.to_string());
    }
    text(svg, "dim mid", LEFT + SPAN / 2.0, y + 22.0, &format!("relative to {REFERENCE}"));
}

fn draw_bar(svg: &mut String, bar: &Bar, y: f64) {
    let most = f64::from(HALVES) / 2.0;
    let at = |ratio: f64| LEFT + ratio.min(most) * UNIT;
    let (end, middle) = (at(bar.ratio.median), y + BAR / 2.0);
    let ink = if bar.peer == "gnomon" { "ink" } else { "dim" };
    text(svg, &format!("{ink} end"), LEFT - 8.0, middle + 4.0, &bar.peer);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>",
        y + 2.0,
        end - LEFT,
        BAR - 4.0,
        colour(&bar.peer),
    );
    let (least, far) = (at(bar.ratio.least), at(bar.ratio.most));
    if far - least > 1.0 {
        let _ = writeln!(svg, "<path class=\"span\" d=\"M{least:.1} {middle}H{far:.1}\"/>");
    }
    if bar.ratio.median > most {
        // It does not fit: an arrow says that it goes on.
        let (x, top, half) = (end - 9.0, y + 4.0, BAR / 2.0 - 4.0);
        let _ = writeln!(svg, "<path class=\"cut\" d=\"M{x} {top}l5 {half}l-5 {half}\"/>");
    }
    text(svg, &format!("{ink} end"), LABELS, middle + 4.0, &bar.label);
    let ratio = format!("{:.2} ×", bar.ratio.median);
    text(svg, &format!("{ink} end"), RATIOS, middle + 4.0, &ratio);
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
}

/// Okabe and Ito's colours, which everybody can tell apart.
fn colour(peer: &str) -> &'static str {
    match peer {
        "gnomon" => "#D55E00",
        "nginx" => "#009E73",
        "haproxy" => "#0072B2",
        "envoy" => "#CC79A7",
        RELAY => "#999999",
        "before" => "#E69F00",
        _ => "#56B4E9",
    }
}

const STYLE: &str = "<style>\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}\
.title{font-size:18px;font-weight:600}.head{font-weight:600}.mid{text-anchor:middle}.end{text-anchor:end}\
.ink{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#59636e;stroke-opacity:.2}.one{stroke:#59636e}\
.span{stroke:#1f2328;stroke-width:1.4;stroke-opacity:.75}.cut{stroke:#fff;stroke-width:2;fill:none}\
@media(prefers-color-scheme:dark){.ink{fill:#f0f6fc}.dim{fill:#9198a1}.grid,.one{stroke:#9198a1}.span{stroke:#f0f6fc}}\
</style>";

const REFERENCE: &str = "nginx";
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 16.0;
/// Where the columns of figures end.
const LABELS: f64 = 786.0;
const RATIOS: f64 = 844.0;
/// Above, below and beside the bars.
const TOP: f64 = 72.0;
const BOTTOM: f64 = 36.0;
const LEFT: f64 = 96.0;
/// The axis ends at three times the reference: who costs more gets an arrow.
const HALVES: u32 = 6;
const SPAN: f64 = 600.0;
const UNIT: f64 = SPAN / 3.0;
const BAR: f64 = 20.0;
const HEADING: f64 = 24.0;
const GAP: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: &str, peer: &str, cpu_us: f64) -> Row {
        let mut row = Row::new(scenario, peer, 1);
        row.set(Figure::CpuUs, cpu_us);
        row
    }

    #[test]
    fn a_picture_shows_ratios_and_figures() {
        let rows = [
            row("get-150", "gnomon", 7.0),
            row("get-150", "gnomon", 9.0),
            row("get-150", "nginx", 16.0),
            row("get-150", "envoy", 64.0),
        ];
        let svg = cpu(&rows).unwrap();
        for text in [">8.0 µs<", ">0.50 ×<", ">64.0 µs<", ">4.00 ×<", "class=\"cut\"", "#D55E00"]
        {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 3);
    }

    #[test]
    fn nothing_to_compare_is_no_picture() {
        assert!(cpu(&[row("get-150", "gnomon", 7.0), row("workers", "gnomon 1", 7.0)]).is_none());
        assert!(latency(&[]).is_none());
    }
}
