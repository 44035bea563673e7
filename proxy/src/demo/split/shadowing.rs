//! What the demo's shadow has found, and whether that is what was planted.

use std::{path::Path, thread, time::Duration};

use gnomon_shadow::finding::{Finding, Verdict};
use serde_json::{Value as Json, json};

use crate::{
    cli::{Failure, Paint, shadow},
    clock,
    control::{
        api::{Page, Shadow},
        ctl,
    },
};

/// What version 2 does differently, as the comparer calls it.
const PLANTED: [&str; 3] = ["$.total", "header.cache-control", "status"];
/// What is different in every reply, whoever sends it.
const NOISE: &str = "$.request";
/// Pairs after which what always differs must have been found.
const ENOUGH: u64 = 100;

/// What the shadow has seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    shadow: Shadow,
    findings: Vec<Finding>,
    /// Whether the shadow is slower than a second answer of the primary's version.
    slower: bool,
}

impl Seen {
    /// Asks for it, once every copy is done with.
    pub(super) fn read(socket: &Path) -> Result<Self, Failure> {
        let begun = clock::now();
        loop {
            let seen = Self::read_once(socket)?;
            let waited = clock::now().duration_since(begun);
            let is_settled = seen.shadow.accounting.in_flight == 0 && waited >= REPORTED;
            if is_settled || waited >= PATIENCE {
                return Ok(seen);
            }
            thread::park_timeout(LOOK);
        }
    }

    fn read_once(socket: &Path) -> Result<Self, Failure> {
        let failed = |failure| Failure::call(failure, socket);
        let shadows: Vec<Shadow> = ctl::read(socket, "/v1/shadows").map_err(failed)?;
        let findings: Page<Finding> =
            ctl::read(socket, "/v1/shadows/v2/findings?all=true&limit=100").map_err(failed)?;
        let report: Json = ctl::read(socket, "/v1/shadows/v2").map_err(failed)?;
        let slower = report["endpoints"].as_array().is_some_and(|endpoints| {
            endpoints.iter().any(|endpoint| endpoint["slower"] == Json::Bool(true))
        });
        let shadow = shadows.into_iter().next().ok_or_else(|| {
            Failure::new(
                crate::cli::FAILED,
                "the demo's shadow is gone; please report this as a bug",
            )
        })?;
        Ok(Self { shadow, findings: findings.items, slower })
    }

    /// Each promise, and whether it was kept.
    pub(super) fn promises(&self) -> Vec<(bool, String)> {
        let real = |path: &str| self.is_real(path);
        let invented: Vec<&str> = self
            .findings
            .iter()
            .filter(|one| one.verdict == Verdict::Real && !PLANTED.contains(&&*one.path))
            .map(|one| &*one.path)
            .collect();
        let said = if invented.is_empty() {
            format!("the shadow blames v2 for nothing that is noise ({NOISE} is random)")
        } else {
            format!("the shadow blames v2 for {}", invented.join(", "))
        };
        let mut all = vec![(invented.is_empty(), said)];
        if self.shadow.accounting.compared >= ENOUGH {
            let found: Vec<&str> = PLANTED.into_iter().filter(|path| real(path)).collect();
            let is_kept = real(PLANTED[0]) && real(PLANTED[1]);
            all.push((is_kept, format!("and finds what v2 changed: {}", found.join(", "))));
        }
        all
    }

    fn is_real(&self, path: &str) -> bool {
        self.findings.iter().any(|one| *one.path == *path && one.verdict == Verdict::Real)
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = shadow::render(&self.shadow, paint);
        for line in shadow::table(&self.findings, paint).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        if self.slower {
            text.push_str("  ● v2 is slower than a second answer of v1\n");
        }
        text
    }

    pub(super) fn json(&self) -> Json {
        json!({ "shadow": self.shadow, "findings": self.findings, "slower": self.slower })
    }
}

/// A report is made twice a second: after so long it holds everything.
const REPORTED: Duration = Duration::from_millis(700);
/// How long copies may take to come back.
const PATIENCE: Duration = Duration::from_secs(6);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
