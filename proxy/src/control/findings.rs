//! What shadows have found, page by page, and what people say to it.

use std::sync::Arc;

use gnomon_shadow::{
    finding::{Example, Finding, MarkKind, Verdict},
    ledger::{Command, Refusal},
    report::{EndpointReport, PathReport, ShadowReport},
    run::Order,
};

use super::{
    Control,
    api::{Done, FindingDetail, Kind, NoisePage, Page, PageAsked, Refused},
};

impl Control {
    /// What is known of one shadow.
    pub(crate) fn shadow_report(&self, name: &str) -> Result<Arc<ShadowReport>, Refused> {
        let report = self.shadow.report();
        let found = report.shadows.iter().find(|shadow| *shadow.name == *name).cloned();
        let configured = self.state().config.shadows.iter().any(|shadow| *shadow.name == *name);
        match found {
            Some(found) => Ok(found),
            // Nothing has been compared yet.
            None if configured => {
                Ok(Arc::new(ShadowReport { name: name.into(), ..ShadowReport::default() }))
            }
            None => Err(self.no_shadow(name)),
        }
    }

    fn no_shadow(&self, name: &str) -> Refused {
        let config = self.state().config.clone();
        let names: Vec<&str> = config.shadows.iter().map(|shadow| &*shadow.name).collect();
        let help = if names.is_empty() {
            "there are none: see config/sample/shadow.toml".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Refused::new(Kind::Unknown, format!("there is no shadow `{name}`")).help(help)
    }

    /// A page of a shadow's findings: real ones first; without those that are noise or ignored,
    /// unless all are asked for.
    pub(crate) fn findings(
        &self,
        name: &str,
        asked: &PageAsked,
    ) -> Result<Page<Arc<Finding>>, Refused> {
        let report = self.shadow_report(name)?;
        let is_wanted = |finding: &&Arc<Finding>| {
            asked.all || matches!(finding.verdict, Verdict::Real | Verdict::Undecided)
        };
        Ok(page(report.findings.iter().filter(is_wanted).cloned(), asked))
    }

    /// A page of the endpoints that a shadow was compared at, by name.
    pub(crate) fn shadow_endpoints(
        &self,
        name: &str,
        asked: &PageAsked,
    ) -> Result<Page<EndpointReport>, Refused> {
        let report = self.shadow_report(name)?;
        let Page { total, offset, items } = page(report.endpoints.iter(), asked);
        Ok(Page { total, offset, items: items.into_iter().cloned().collect() })
    }

    /// A page of what a shadow has learnt of its primary's noise, and what is pinned.
    pub(crate) fn noise(&self, name: &str, asked: &PageAsked) -> Result<NoisePage, Refused> {
        let report = self.shadow_report(name)?;
        let is_noisy =
            |path: &&PathReport| path.rates.noisy > 0 || (asked.all && path.rates.different > 0);
        let mut noisy: Vec<_> = report.paths.iter().filter(is_noisy).cloned().collect();
        noisy.sort_by(|a, b| {
            let rate = |path: &PathReport| path.rates.noisy * b.rates.asked.max(1);
            rate(b).cmp(&rate(a)).then_with(|| a.path.cmp(&b.path))
        });
        let marks = report.marks.iter().map(|mark| (**mark).clone()).collect();
        Ok(NoisePage { paths: page(noisy.into_iter(), asked), marks })
    }

    /// A finding by its id, or by the beginning of it, and whose it is.
    pub(crate) fn finding(&self, id: &str) -> Result<FindingDetail, Refused> {
        let report = self.shadow.report();
        let all = report.shadows.iter().flat_map(|shadow| {
            shadow.findings.iter().map(move |finding| (shadow.name.clone(), finding.clone()))
        });
        let mut fitting = all.filter(|(_, finding)| finding.id.starts_with(id));
        match (fitting.next(), fitting.next()) {
            (Some((shadow, finding)), None) if !id.is_empty() => {
                let newest = finding.examples.last();
                let example = newest.and_then(|id| self.example(id).ok());
                let example = example.and_then(|it| serde_json::from_str(&it.json).ok());
                Ok(FindingDetail { shadow: shadow.to_string(), finding, example })
            }
            (Some(_), Some(_)) => Err(Refused::new(
                Kind::Request,
                format!("`{id}` is not the id of one finding alone"),
            )
            .help("say more of it")),
            _ => Err(Refused::new(Kind::Unknown, format!("there is no finding `{id}`"))
                .help("`gnomon shadow diffs` lists them")),
        }
    }

    /// An example by its id; the newest of a finding by that one's.
    pub(crate) fn example(&self, id: &str) -> Result<Arc<Example>, Refused> {
        let report = self.shadow.report();
        let mut all = report.shadows.iter().flat_map(|shadow| &shadow.examples).rev();
        let found = all.find(|example| *example.id == *id || *example.finding == *id);
        found.cloned().ok_or_else(|| {
            Refused::new(Kind::Unknown, format!("there is no example `{id}`"))
                .help("`gnomon shadow show FINDING` names them")
        })
    }

    /// Has the shadow thread do what a person says.
    pub(crate) async fn order(&self, name: &str, command: Command) -> Result<Done, Refused> {
        self.shadow_report(name)?;
        let change = describe(name, &command);
        let asked = command.clone();
        let (sender, answered) = tokio::sync::oneshot::channel();
        let answer = Box::new(move |done| {
            // Who asked may have left.
            let _ = sender.send(done);
        });
        let order = Order { shadow: name.to_owned(), command, answer };
        self.shadow.order(order).map_err(|_| busy())?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(Ok(()))) => Ok(Done { ok: true, changes: vec![change], ..Done::default() }),
            Ok(Ok(Err(refusal))) => Err(explain(name, &asked, refusal)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

fn busy() -> Refused {
    Refused::new(Kind::State, "the shadow thread does not answer")
        .help("it may be starved of processor time; clients do not notice, see `gnomon status`")
}

/// Why the shadow thread would not, and what would help.
fn explain(name: &str, asked: &Command, refusal: Refusal) -> Refused {
    match (refusal, asked) {
        (Refusal::Pattern, Command::Mark { pattern, .. }) => {
            let error = format!("`{pattern}` is not a place in a reply");
            Refused::new(Kind::Request, error).help(
                "say `status`, `body`, `header.NAME`, or a JSON path such as `$.price`, \
                 `$.items[*].id` or `$..served_at`",
            )
        }
        (Refusal::Nothing, Command::Unmark { pattern }) => {
            Refused::new(Kind::Unknown, format!("nothing is pinned to `{pattern}`"))
                .help(format!("`gnomon shadow noise {name}` lists what is"))
        }
        (Refusal::Nothing, Command::Forget { path }) => {
            let path = path.as_deref().unwrap_or_default();
            Refused::new(Kind::Unknown, format!("there is no path `{path}` to forget"))
                .help(format!("`gnomon shadow diffs {name} --all` lists those that differ"))
        }
        (Refusal::TooMuch, _) => Refused::new(Kind::State, refusal.to_string())
            .help("take pins away, use patterns, or shorten why"),
        (Refusal::NoShadow, _) => Refused::new(Kind::State, refusal.to_string())
            .help("it has not begun yet, or is about to end: ask again"),
        (Refusal::Pattern | Refusal::Nothing, _) => {
            Refused::new(Kind::Request, refusal.to_string())
        }
    }
}

fn describe(name: &str, command: &Command) -> String {
    match command {
        Command::Mark { pattern, kind: MarkKind::Noise, .. } => {
            format!("{name}: {pattern} counts as noise")
        }
        Command::Mark { pattern, kind: MarkKind::Ignore, .. } => {
            format!("{name}: {pattern} is ignored")
        }
        Command::Unmark { pattern } => format!("{name}: {pattern} counts again"),
        Command::Forget { path: Some(path) } => format!("{name}: {path} is learnt anew"),
        Command::Forget { path: None } => format!("{name}: everything is learnt anew"),
    }
}

/// The part of a list that is asked for.
pub(super) fn page<T>(all: impl Iterator<Item = T>, asked: &PageAsked) -> Page<T> {
    let (offset, limit) = (asked.offset, asked.limit.clamp(1, PAGE_MAX));
    let mut total = 0;
    let mut items = Vec::new();
    for item in all {
        if total >= offset && items.len() < limit {
            items.push(item);
        }
        total += 1;
    }
    Page { total, offset, items }
}

/// How long the shadow thread may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Items of a page at most.
const PAGE_MAX: usize = 1000;
