//! `gnomon shadow`: what the version under test does differently, and what to think of it.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use gnomon_shadow::{
    accounting::Accounting,
    bundle::{Answer, Bundle, Content},
    finding::{Finding, MarkKind, Verdict},
    report::PathReport,
};
use serde_json::json;

use super::{
    Failure, Paint,
    live::{Door, named},
    percent, replay,
    status::span,
};
use crate::control::api::{FindingDetail, ForgetAsked, MarkAsked, NoisePage, Page, Shadow};

/// What to do with shadows.
#[derive(Subcommand, Debug)]
pub(crate) enum ShadowCommand {
    /// The shadows, and what became of the requests they could have had
    List,
    /// What a shadow does differently: real findings first
    Diffs {
        /// The shadow; may be left out if there is one alone
        name: Option<String>,
        #[command(flatten)]
        page: PageArguments,
    },
    /// One finding, with its newest example
    Show {
        /// The finding's id, or the beginning of it
        id: String,
    },
    /// Do not count differences at a path any more
    Ignore {
        /// The shadow
        name: String,
        #[command(flatten)]
        mark: MarkArguments,
    },
    /// What was learnt of the primary's noise; pin a path to it, or learn anew
    Noise {
        /// The shadow; may be left out if there is one alone
        name: Option<String>,
        /// Pin this path as noise
        #[arg(long, value_name = "PATH", conflicts_with_all = ["unpin", "clear"])]
        pin: Option<String>,
        /// Take the pin off this path
        #[arg(long, value_name = "PATH", conflicts_with = "clear")]
        unpin: Option<String>,
        /// Forget what was learnt of this path; `all` for everything
        #[arg(long, value_name = "PATH")]
        clear: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        why: String,
        #[command(flatten)]
        page: PageArguments,
    },
    /// A repro bundle: request, both replies and the difference, redacted, as one file
    Export {
        /// The finding, or one of its examples
        id: String,
        /// Where to
        #[arg(long, value_name = "FILE", default_value = "-")]
        to: PathBuf,
    },
    /// Send a bundle's request again, and compare the reply with the primary's; exit code 1 if they differ
    Replay {
        /// The bundle
        bundle: PathBuf,
        /// Where to, as HOST:PORT
        #[arg(long)]
        to: String,
        /// Another Host field than the request's
        #[arg(long)]
        host: Option<String>,
    },
}

/// Which path, and why.
#[derive(Args, Debug)]
pub(crate) struct MarkArguments {
    /// A path as a finding has it, or a pattern such as `$..served_at`
    path: String,
    /// Why
    #[arg(long, default_value = "")]
    why: String,
    /// Count them again
    #[arg(long)]
    undo: bool,
}

/// Which part of a list.
#[derive(Args, Debug)]
pub(crate) struct PageArguments {
    /// What is noise or ignored as well
    #[arg(long)]
    all: bool,
    /// So many at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Leave out so many at the beginning
    #[arg(long, default_value_t = 0)]
    offset: usize,
}

/// Does it.
pub(super) fn shadow(door: &Door, command: &ShadowCommand) -> Result<(), Failure> {
    match command {
        ShadowCommand::List => list(door),
        ShadowCommand::Diffs { name, page } => diffs(door, name.as_deref(), page),
        ShadowCommand::Show { id } => show(door, id),
        ShadowCommand::Ignore { name, mark } => {
            let MarkArguments { path, why, undo } = mark;
            pin(door, name, path, (!undo).then_some(MarkKind::Ignore), why)
        }
        ShadowCommand::Noise { name, pin: pinned, unpin, clear, why, page } => {
            let name = only(door, name.as_deref())?;
            match (pinned, unpin, clear) {
                (Some(path), _, _) => pin(door, &name, path, Some(MarkKind::Noise), why),
                (_, Some(path), _) => pin(door, &name, path, None, why),
                (_, _, Some(path)) => forget(door, &name, path),
                (None, None, None) => noise(door, &name, page),
            }
        }
        ShadowCommand::Export { id, to } => export(door, id, to),
        ShadowCommand::Replay { bundle, to, host } => {
            replay::bundle(bundle, to, host.as_deref(), door.json, door.console)
        }
    }
}

fn list(door: &Door) -> Result<(), Failure> {
    let shadows: Vec<Shadow> = door.read("/v1/shadows")?;
    if door.json {
        return door.console.json(&shadows);
    }
    if shadows.is_empty() {
        door.console.hint("there are none: `gnomon config` and config/sample/shadow.toml");
    }
    let paint = door.console.paint();
    let texts: Vec<String> = shadows.iter().map(|shadow| render(shadow, paint)).collect();
    door.console.data(texts.join("\n"))
}

/// One shadow, for eyes.
pub(crate) fn render(shadow: &Shadow, paint: Paint) -> String {
    let Shadow { name, from, to, sample, accounting } = shadow;
    let mut text = format!(
        "{}   {from} → {to}   {} of what is eligible\n",
        paint.bold(name),
        percent(*sample)
    );
    let a = accounting;
    let _ = writeln!(
        text,
        "  eligible {} · sampled {} · copied {} · under way {} · compared {}   {}",
        a.eligible,
        a.sampled,
        a.copied,
        a.in_flight,
        a.compared,
        paint.bold(&format!("coverage {}", part(a.coverage)))
    );
    let _ = writeln!(text, "  {}", rates(a, paint));
    for (what, why) in [
        ("dropped", &a.dropped),
        ("failed", &a.failed),
        ("unpaired", &a.unpaired),
        ("uncomparable", &a.uncomparable),
    ] {
        if !why.is_empty() {
            let reasons: Vec<String> = why.iter().map(|(why, n)| format!("{why} {n}")).collect();
            let _ = writeln!(text, "  {} {}", paint.yellow(what), reasons.join(" · "));
        }
    }
    text
}

/// How many pairs differ, and how far that can be believed.
fn rates(a: &Accounting, paint: Paint) -> String {
    let rate = format!("different {} ({})", a.different, part(a.difference_rate));
    let rate = if a.different > 0 { paint.yellow(&rate) } else { rate };
    if a.again == 0 {
        return format!("{rate} · noise not learnt (noise = false)");
    }
    let answered = a.again - a.again_failed.min(a.again);
    format!("{rate} · of {answered} asked twice, the primary differs from itself in {}", a.noisy)
}

fn diffs(door: &Door, name: Option<&str>, page: &PageArguments) -> Result<(), Failure> {
    let name = only(door, name)?;
    let findings: Page<Finding> = door.read(&paged(&name, "findings", page)?)?;
    if door.json {
        return door.console.json(&findings);
    }
    let paint = door.console.paint();
    let shadows: Vec<Shadow> = door.read("/v1/shadows")?;
    if let Some(shadow) = shadows.iter().find(|shadow| shadow.name == name) {
        let a = &shadow.accounting;
        door.console.line(format_args!(
            "{}   compared {} of {} eligible ({}) · {}",
            paint.bold(&name),
            a.compared,
            a.eligible,
            paint.bold(&format!("coverage {}", part(a.coverage))),
            rates(a, paint)
        ))?;
    }
    door.console.data(table(&findings.items, paint))?;
    let shown = findings.offset + findings.items.len();
    if shown < findings.total {
        door.console.hint(format_args!("{} more: --offset {shown}", findings.total - shown));
    } else if !page.all {
        door.console.hint("--all shows noise too; gnomon shadow show ID");
    }
    Ok(())
}

/// Findings, one a line.
pub(crate) fn table(findings: &[Finding], paint: Paint) -> String {
    let head = [
        "", "id", "endpoint", "path", "kind", "shape", "seen", "differs", "noise", "ln E", "Diffy",
        "last",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(findings.iter().map(row));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for (nth, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let gap = width - cell.chars().count();
            format!("{cell}{}", " ".repeat(gap))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let verdict = nth.checked_sub(1).and_then(|nth| findings.get(nth)).map(|one| one.verdict);
        text.push_str(&match verdict {
            None => paint.dim(line),
            Some(Verdict::Real) => paint.red(line),
            Some(Verdict::Undecided) => line.to_owned(),
            Some(Verdict::Noise | Verdict::Ignored) => paint.dim(line),
        });
        text.push('\n');
    }
    text
}

fn row(one: &Finding) -> [String; 12] {
    [
        mark(one.verdict).to_owned(),
        one.id.to_string(),
        one.endpoint.to_string(),
        one.path.to_string(),
        one.kind.to_string(),
        one.shape.to_string(),
        one.count.to_string(),
        part(one.rates.shadow()),
        if one.rates.asked == 0 { "?".to_owned() } else { part(one.rates.noise()) },
        format!("{:.1}", one.log_e),
        if one.plain_rule { "yes" } else { "no" }.to_owned(),
        ago(one.last_seen),
    ]
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Real => "● real",
        Verdict::Undecided => "○ undecided",
        Verdict::Noise => "~ noise",
        Verdict::Ignored => "- ignored",
    }
}

fn ago(at: u64) -> String {
    let now = u64::try_from(crate::clock::wall().as_millis()).unwrap_or(u64::MAX);
    format!("{} ago", span(Duration::from_millis(now.saturating_sub(at))))
}

fn show(door: &Door, id: &str) -> Result<(), Failure> {
    let detail: FindingDetail = door.read(&format!("/v1/findings/{}", named(id, "finding")?))?;
    if door.json {
        return door.console.json(&detail);
    }
    let paint = door.console.paint();
    let FindingDetail { shadow, finding, example } = &detail;
    let mut text = format!("{} of {shadow}\n", paint.bold(&format!("finding {}", finding.id)));
    text.push_str(&table(std::slice::from_ref(&**finding), paint));
    let rates = finding.rates;
    let _ = writeln!(
        text,
        "\n  the shadow differs in {} of {} pairs; the primary from itself in {} of {}",
        rates.different, rates.compared, rates.noisy, rates.asked
    );
    if let Some(mark) = &finding.mark {
        let _ = writeln!(text, "  pinned as {} by {}: {}", mark.kind.name(), mark.by, mark.why);
    }
    let _ = writeln!(text, "  {} examples: {}", finding.examples.len(), finding.examples.join(" "));
    if let Some(example) = example {
        text.push('\n');
        text.push_str(&bundle(example, paint));
    }
    door.console.data(text)?;
    door.console.hint(format_args!("gnomon shadow export {} --to FILE", finding.id));
    Ok(())
}

/// A bundle, for eyes.
fn bundle(bundle: &Bundle, paint: Paint) -> String {
    let request = &bundle.request;
    let mut text = format!("{} {}\n", paint.bold(&request.method), request.target);
    for field in &request.fields {
        let _ = writeln!(text, "  {}: {}", field.name, field.value);
    }
    text.push_str(&content(&request.body));
    for (who, answer) in [("primary", &bundle.primary), ("shadow", &bundle.shadow)] {
        let _ = write!(text, "{}", reply(who, answer, paint));
    }
    for one in &bundle.differences {
        let _ = writeln!(text, "{} {} {}", paint.yellow(&one.path), one.kind, one.shape);
        for (sign, value) in [("-", &one.primary), ("+", &one.shadow)] {
            if let Some(value) = value {
                let _ = writeln!(text, "  {sign} {value}");
            }
        }
    }
    text
}

fn reply(who: &str, answer: &Answer, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.bold(who), answer.status);
    for field in &answer.fields {
        let _ = writeln!(text, "  {}: {}", field.name, field.value);
    }
    text + &content(&answer.body)
}

fn content(content: &Content) -> String {
    if content.data.is_empty() {
        return match content.length {
            0 => String::new(),
            length => format!("  ({length} bytes, not kept)\n"),
        };
    }
    let shown: String = content.data.chars().take(SHOWN_MAX).collect();
    let rest = if shown.len() < content.data.len() || content.cut { " …" } else { "" };
    format!("  {shown}{rest}\n")
}

fn noise(door: &Door, name: &str, page: &PageArguments) -> Result<(), Failure> {
    let NoisePage { paths, marks } = door.read(&paged(name, "noise", page)?)?;
    if door.json {
        return door.console.json(&NoisePage { paths, marks });
    }
    let paint = door.console.paint();
    door.console.line(paint.dim("noise     differs   asked     verdict      endpoint and path"))?;
    for path in &paths.items {
        door.console.line(noisy(path))?;
    }
    for mark in &marks {
        door.console.line(format_args!(
            "pinned as {}: {}   by {}, {}   {}",
            mark.kind.name(),
            mark.pattern,
            mark.by,
            ago(mark.at),
            mark.why
        ))?;
    }
    if paths.total == 0 && marks.is_empty() {
        door.console
            .hint("nothing is known to be noise; `noise = true` has the primary asked twice");
    }
    Ok(())
}

fn noisy(path: &PathReport) -> String {
    let aspect = if path.aspect.is_value() { "" } else { "  (whether it is there)" };
    format!(
        "{:<9} {:<9} {:<9} {:<12} {} {}{aspect}",
        part(path.rates.noise()),
        part(path.rates.shadow()),
        path.rates.asked,
        path.verdict.name(),
        path.endpoint,
        path.path
    )
}

fn pin(
    door: &Door,
    name: &str,
    path: &str,
    kind: Option<MarkKind>,
    why: &str,
) -> Result<(), Failure> {
    let body = MarkAsked { pattern: path.to_owned(), kind, why: why.to_owned() };
    let url = format!("/v1/shadows/{}/mark", named(name, "shadow")?);
    let done = door.act(&url, &body)?;
    door.tell(&done, &format!("gnomon shadow diffs {name}"))
}

fn forget(door: &Door, name: &str, path: &str) -> Result<(), Failure> {
    let body = ForgetAsked { path: (path != "all").then(|| path.to_owned()) };
    let url = format!("/v1/shadows/{}/forget", named(name, "shadow")?);
    let done = door.act(&url, &body)?;
    door.tell(&done, &format!("gnomon shadow diffs {name}"))
}

fn export(door: &Door, id: &str, to: &PathBuf) -> Result<(), Failure> {
    let (status, text) = door.text(&format!("/v1/examples/{}", named(id, "example")?))?;
    if status != 200 {
        return Err(Failure::new(super::FAILED, format!("there is no example `{id}`"))
            .help("`gnomon shadow show FINDING` names them"));
    }
    if to.as_os_str() == "-" {
        return door.console.line(text);
    }
    let failed = |error| Failure::new(super::FAILED, format!("{}: {error}", to.display()));
    std::fs::write(to, text + "\n").map_err(failed)?;
    if door.json {
        return door.console.json(&json!({ "written": to }));
    }
    door.console.say(format_args!("written to {}", to.display()));
    Ok(())
}

/// The shadow of this name, or the only one there is.
fn only(door: &Door, name: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let mut shadows: Vec<Shadow> = door.read("/v1/shadows")?;
    match (shadows.pop(), shadows.is_empty()) {
        (Some(shadow), true) => Ok(shadow.name),
        (Some(_), false) => Err(Failure::usage("which shadow?").help("`gnomon shadow list`")),
        (None, _) => {
            Err(Failure::usage("there is no shadow").help("see config/sample/shadow.toml"))
        }
    }
}

fn paged(name: &str, list: &str, page: &PageArguments) -> Result<String, Failure> {
    let PageArguments { all, limit, offset } = page;
    let name = named(name, "shadow")?;
    Ok(format!("/v1/shadows/{name}/{list}?all={all}&limit={limit}&offset={offset}"))
}

/// A share, 0 to 1, for eyes.
fn part(share: f64) -> String {
    percent(share * 100.0)
}

/// Characters of a body that are shown.
const SHOWN_MAX: usize = 2000;
