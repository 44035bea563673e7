//! Pages to read: the keys, and all about one row.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};
use serde::Serialize;
use serde_json::Value;

use super::{frame::named, labelled, put};
use crate::cli::top::{
    order::offered,
    pane::Pane,
    picture::Picture,
    text::{flat, moment},
    tone::Tone,
    view::View,
};

/// Draws a page from the line that is scrolled to; its end stays in sight.
pub(super) fn draw(page: &[Line<'_>], view: &View, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.height);
    let first = usize::from(view.scroll).min(page.len().saturating_sub(room));
    for (nth, line) in (0..area.height).zip(page.iter().skip(first)) {
        put(line, area, nth, buffer);
    }
}

/// Every key.
pub(super) fn help(picture: &Picture, view: &View) -> Vec<Line<'static>> {
    let tints = view.tints;
    let title = |text: &str| Line::styled(format!(" {text}"), tints.style(Tone::Strong));
    let key = |key: &str, means: &str| {
        Line::from(vec![
            Span::styled(format!("   {key:<16}"), tints.style(Tone::Note)),
            Span::raw(means.to_owned()),
        ])
    };
    let mut page = vec![
        title("Look"),
        key("1 … 7", "a pane; Tab, h, l, ← and → go to the one beside"),
        key("j k ↓ ↑", "a row; PgDn, PgUp, g, G further"),
        key("↵", "all about the row"),
        key("/", "only rows that hold a text; Esc ends it"),
        key("s  S", "sort by the next column; the other way around"),
        key("Ctrl-L  Ctrl-Z", "draw anew; back to the shell until `fg`"),
        key("q  Ctrl-C", "enough"),
        Line::default(),
        title("Act (each asks first, and says what will happen)"),
    ];
    if view.may_act(picture) {
        for pane in Pane::ALL {
            for (letter, _, means) in offered(pane) {
                page.push(key(
                    &named(*letter),
                    &format!("{means}   ({} {})", pane.place() + 1, pane.title()),
                ));
            }
        }
    } else {
        let why = if view.is_read_only { "--read-only" } else { "your role, or no answer yet" };
        page.push(Line::raw(format!("   nothing: only looking is allowed ({why})")));
    }
    page.extend([
        Line::default(),
        title("Marks"),
        Line::raw("   ● as it should be   ▲ to be watched   ▼ wrong"),
        Line::raw("   Numbers are sums over all cores. Of times of several versions the slowest's"),
        Line::raw("   is shown; bands and ranges hold with 95 %, whenever one looks."),
    ]);
    page
}

/// All about the chosen row.
pub(super) fn details(picture: &Picture, view: &View) -> Vec<Line<'static>> {
    let Some(key) = view.chosen(picture) else { return Vec::new() };
    let title = format!(" {} {}", view.pane.title(), flat(&key));
    let mut page = vec![Line::styled(title, view.tints.style(Tone::Strong)), Line::default()];
    page.extend(match view.pane {
        Pane::Overview | Pane::Upstreams => version(picture, view, &key),
        Pane::Rollouts => rollout(picture, view, &key),
        Pane::Endpoints => endpoint(picture, view, &key),
        Pane::Cores => {
            let mut cores = picture.status.iter().flat_map(|status| &status.cores);
            fields(&cores.find(|core| core.core.to_string() == key), view)
        }
        Pane::Shadows => {
            let mut findings = picture.findings.values().flat_map(|page| &page.items);
            fields(&findings.find(|finding| *finding.id == *key), view)
        }
        Pane::Events => event(picture, view),
    });
    page
}

fn version(picture: &Picture, view: &View, key: &str) -> Vec<Line<'static>> {
    let Some((upstream, name)) = key.split_once('@') else { return Vec::new() };
    let mut all = picture.status.iter().flat_map(|status| &status.upstreams);
    let of = all.find(|it| it.name == upstream);
    let of = of.and_then(|it| it.versions.iter().find(|it| it.name == name));
    let golden = picture.golden.iter().filter(|it| it.upstream == upstream && it.version == name);
    let mut page = fields(&of, view);
    for one in golden {
        page.push(Line::default());
        let title =
            format!(" the last {:.0} seconds on the route {}", one.seconds, flat(&one.route));
        page.push(Line::styled(title, view.tints.style(Tone::Strong)));
        page.extend(fields(one, view));
    }
    page
}

fn endpoint(picture: &Picture, view: &View, key: &str) -> Vec<Line<'static>> {
    let upstreams = picture.status.iter().flat_map(|status| &status.upstreams);
    for upstream in upstreams {
        for version in &upstream.versions {
            for endpoint in &version.endpoints {
                if format!("{}@{}@{}", upstream.name, version.name, endpoint.address) == key {
                    return fields(endpoint, view);
                }
            }
        }
    }
    Vec::new()
}

fn rollout(picture: &Picture, view: &View, key: &str) -> Vec<Line<'static>> {
    let records = picture.records.get(key).map_or(&[][..], Vec::as_slice);
    let mut page = Vec::new();
    for record in records {
        let event = &record.event;
        let when = moment(event.at, picture.now / 1000);
        page.push(Line::styled(format!(" {when}"), view.tints.style(Tone::Strong)));
        let said = crate::control::rollouts::describe(&record.rollout, event);
        page.extend(labelled("what", &flat(&said), Tone::Plain, view.tints, view.columns));
        let by = format!("{} under configuration {}", event.by, record.config);
        page.extend(labelled("by", &flat(&by), Tone::Plain, view.tints, view.columns));
    }
    let mut all = picture.rollouts.rollouts.iter();
    page.push(Line::default());
    page.extend(fields(&all.find(|it| it.name == key), view));
    page
}

fn event(picture: &Picture, view: &View) -> Vec<Line<'static>> {
    let table = super::table(Pane::Events, picture, view);
    let row = table.chosen(view.look()).and_then(|place| table.rows.get(place));
    let cells = row.map_or(&[][..], |row| &row.cells);
    let named = table.columns.iter().zip(cells);
    let line =
        |(column, cell): (&crate::cli::top::table::Column, &crate::cli::top::table::Cell)| {
            let label = if column.title.is_empty() { "text" } else { &column.title };
            labelled(
                label.trim_end_matches(" (UTC)"),
                &cell.text,
                Tone::Plain,
                view.tints,
                view.columns,
            )
        };
    named.flat_map(line).collect()
}

/// Everything that the API says of something, one field a line.
fn fields(of: &impl Serialize, view: &View) -> Vec<Line<'static>> {
    let mut told = Vec::new();
    walk("", &serde_json::to_value(of).unwrap_or_default(), &mut told);
    told.truncate(FIELDS_MAX);
    let widest = told.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(40);
    let line = |(name, value): (String, String)| {
        Line::from(vec![
            Span::styled(format!("   {name:<widest$}  "), view.tints.style(Tone::Dim)),
            Span::raw(value),
        ])
    };
    told.into_iter().map(line).collect()
}

/// Fields that are shown of one thing.
const FIELDS_MAX: usize = 1000;

fn walk(path: &str, value: &Value, told: &mut Vec<(String, String)>) {
    if told.len() >= FIELDS_MAX {
        return;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                walk(&below(&flat(key)), value, told);
            }
        }
        Value::Array(items) if items.iter().any(|it| it.is_object() || it.is_array()) => {
            for (nth, value) in items.iter().enumerate() {
                walk(&below(&nth.to_string()), value, told);
            }
        }
        Value::String(text) => told.push((path.to_owned(), flat(text))),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            told.push((path.to_owned(), flat(&value.to_string())));
        }
    }
}
