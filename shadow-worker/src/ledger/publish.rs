//! What is known of a shadow, judged and written down; and read again after a restart.

use std::{cmp::Reverse, sync::Arc};

use super::book::{Book, Endpoint, FINDINGS_MAX, PATHS_MAX, Path, Question, mark_of};
use crate::{
    difference::Aspect,
    evidence::{self, ALPHA, Rates},
    finding::{Finding, Mark, Verdict},
    report::{EndpointReport, PathReport, ShadowReport},
    tally::Tally,
};

impl Book {
    /// What is known. The same report as before where nothing has changed.
    pub(super) fn report(&mut self, revision: u64) -> Arc<ShadowReport> {
        if let Some(report) = &self.report {
            return report.clone();
        }
        let mut endpoints: Vec<_> =
            self.endpoints.iter().map(|(key, one)| summary(key, one, self.share)).collect();
        let least = least_flagged(endpoints.iter().map(|one| one.log_e));
        for endpoint in &mut endpoints {
            endpoint.flagged = endpoint.log_e >= least;
        }
        let paths = self.judge(&mut endpoints, revision);
        let findings = self.findings(&paths, revision);
        let report = Arc::new(ShadowReport {
            name: self.name.clone(),
            totals: self.totals.clone(),
            share: self.share,
            endpoints,
            paths,
            findings,
            marks: self.marks.clone(),
            examples: self.examples.values().cloned().collect(),
        });
        self.report = Some(report.clone());
        report
    }

    /// Judges all paths together, and with them the paces.
    fn judge(&mut self, endpoints: &mut [EndpointReport], revision: u64) -> Vec<PathReport> {
        let share = self.share;
        let mut reports = Vec::with_capacity(self.paths);
        let mut hypotheses = Vec::with_capacity(2 * self.paths);
        for (key, endpoint) in &self.endpoints {
            let ties = Tally::of_ties(&endpoint.pairs).counts(&endpoint.pairs, share).log_e();
            for (name, path) in &endpoint.paths {
                let weighed =
                    path.questions().map(|question| weigh((key, name), question, endpoint, share));
                let before = reports.len();
                reports.extend(weighed);
                // What somebody has marked is no question any more.
                if path.mark.is_none() {
                    hypotheses.extend(reports[before..].iter().map(|report| report.log_e));
                    // It is asked of each path, and answered by ties where nothing was seen.
                    hypotheses.extend(path.structure.is_none().then_some(ties));
                }
            }
        }
        hypotheses
            .extend(endpoints.iter().filter(|one| one.pace.timed > 0).map(|one| one.pace_log_e));
        let least = least_flagged(hypotheses.into_iter());
        for endpoint in endpoints {
            endpoint.slower = endpoint.pace.timed > 0 && endpoint.pace_log_e >= least;
        }
        let known = self.endpoints.values_mut().flat_map(|endpoint| endpoint.paths.values_mut());
        let known = known.flat_map(|path| {
            let mark = path.mark.clone();
            path.questions_mut().map(move |question| (question, mark.clone()))
        });
        for (report, (question, mark)) in reports.iter_mut().zip(known) {
            report.verdict = verdict(report, mark.as_deref(), least);
            if report.verdict != question.verdict {
                (question.verdict, question.revision) = (report.verdict, revision);
            }
            report.revision = question.revision;
        }
        reports
    }

    fn findings(&mut self, paths: &[PathReport], revision: u64) -> Vec<Arc<Finding>> {
        for finding in self.findings.values_mut() {
            let key = (&finding.endpoint, &finding.path, Aspect::of(&finding.kind));
            let of = |path: &PathReport| (&path.endpoint, &path.path, path.aspect).cmp(&key);
            let Ok(at) = paths.binary_search_by(of) else { continue };
            let path = &paths[at];
            if finding.verdict != path.verdict {
                (finding.verdict, finding.revision) = (path.verdict, revision);
            }
            finding.rates = path.rates;
            finding.log_e = path.log_e;
            finding.plain_rule = path.plain_rule;
            let endpoint = self.endpoints.get(&finding.endpoint);
            let known = endpoint.and_then(|endpoint| endpoint.paths.get(&finding.path));
            finding.mark = known.and_then(|path| path.mark.clone());
        }
        let mut findings: Vec<_> = self.findings.values().cloned().map(Arc::new).collect();
        findings.sort_by_key(|one| (one.verdict, Reverse(one.count), one.id.clone()));
        findings
    }

    /// What was kept of a shadow in an earlier run.
    pub(super) fn restore(saved: ShadowReport, revision: u64) -> Self {
        let mut book = Self::new(&saved.name);
        book.totals = saved.totals;
        if saved.share > 0.0 && saved.share <= 1.0 {
            book.share = saved.share;
        }
        book.marks = saved.marks;
        for one in saved.endpoints {
            let endpoint = Endpoint {
                compared: one.compared,
                different: one.different,
                uncomparable: one.uncomparable,
                pace: one.pace,
                pairs: one.pairs,
                any: one.any,
                revision,
                ..Endpoint::default()
            };
            book.endpoints.insert(one.endpoint, endpoint);
        }
        for one in saved.paths.into_iter().take(2 * PATHS_MAX) {
            if let Some(endpoint) = book.endpoints.get_mut(&one.endpoint) {
                book.paths += usize::from(!endpoint.paths.contains_key(&one.path));
                let question = Question { tally: one.tally, verdict: one.verdict, revision };
                let pairs = &endpoint.pairs;
                let path = endpoint.paths.entry(one.path.clone()).or_insert_with(|| Path {
                    value: Question::new(Tally::of_ties(pairs), revision),
                    structure: None,
                    mark: mark_of(&book.marks, &one.path),
                });
                match one.aspect {
                    Aspect::Value => path.value = question,
                    Aspect::Structure => path.structure = Some(question),
                }
            }
        }
        for finding in saved.findings.into_iter().take(FINDINGS_MAX) {
            let finding =
                Finding { revision, examples: Vec::new(), ..Arc::unwrap_or_clone(finding) };
            book.findings.insert(finding.id.clone(), finding);
        }
        for example in saved.examples {
            if let Some(finding) = book.findings.get_mut(&example.finding) {
                finding.examples.push(example.id.clone());
                book.bytes += example.json.len() as u64;
                book.next_example = book.next_example.max(example.nth + 1);
                book.examples.insert(example.nth, example);
            }
        }
        book
    }
}

fn summary(key: &Arc<str>, one: &Endpoint, share: f64) -> EndpointReport {
    EndpointReport {
        endpoint: key.clone(),
        compared: one.compared,
        different: one.different,
        uncomparable: one.uncomparable,
        rates: one.any.rates(&one.pairs),
        log_e: one.any.counts(&one.pairs, share).log_e(),
        flagged: false,
        pace: one.pace,
        pace_log_e: one.pace.log_e(),
        slower: false,
        pairs: one.pairs,
        any: one.any,
        revision: one.revision,
    }
}

fn weigh(
    (key, name): (&Arc<str>, &Arc<str>),
    (aspect, question): (Aspect, &Question),
    endpoint: &Endpoint,
    share: f64,
) -> PathReport {
    let rates = question.tally.rates(&endpoint.pairs);
    PathReport {
        endpoint: key.clone(),
        path: name.clone(),
        aspect,
        rates,
        log_e: question.tally.counts(&endpoint.pairs, share).log_e(),
        plain_rule: evidence::plain_rule(rates),
        verdict: question.verdict,
        tally: question.tally,
        revision: question.revision,
    }
}

fn verdict(path: &PathReport, mark: Option<&Mark>, least: f64) -> Verdict {
    let Rates { noisy, .. } = path.rates;
    match mark {
        Some(mark) => mark.kind.verdict(),
        None if path.log_e >= least => Verdict::Real,
        // Rates that are far apart are not explained by noise, only not yet proven.
        None if noisy > 0 && !path.plain_rule => Verdict::Noise,
        None => Verdict::Undecided,
    }
}

/// The smallest logarithm of evidence that is flagged; infinite where none is.
fn least_flagged(log_e: impl Iterator<Item = f64>) -> f64 {
    evidence::threshold(&log_e.collect::<Vec<_>>(), ALPHA).unwrap_or(f64::INFINITY)
}
