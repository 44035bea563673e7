//! How it went: what was promised, what the users saw, and the verdict.

use std::{fmt::Write as _, time::Duration};

use gnomon_policy::{
    judge::{Both, Report, bernoulli::Counts},
    rollout::{Cause, ITSELF, Phase},
};
use serde_json::{Value as Json, json};

use super::{
    super::{
        ledger::{Harm, Seen},
        traffic::Amount,
    },
    BREAKS_AT, BUDGET,
};
use crate::{
    cli::{DemoArguments, Paint, percent, ratio, rollout::shown},
    control::api::{
        VersionStatus,
        rollout::{Record, Rollout},
    },
};

/// What v2 is like, and so what is to happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    /// As good as v1: it is to take over.
    Good,
    /// Worse at the checkout: the judge is to roll it back.
    Worse,
    /// It breaks: the fuse is to cut it off.
    Broken,
}

impl Story {
    pub(super) const fn of(arguments: &DemoArguments) -> Self {
        if arguments.broken {
            Self::Broken
        } else if arguments.bad {
            Self::Worse
        } else {
            Self::Good
        }
    }

    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Good => "gnomon demo",
            Self::Worse => "gnomon demo --bad",
            Self::Broken => "gnomon demo --broken",
        }
    }

    /// What the demo does.
    pub(super) fn introduction(self, amount: &Amount) -> String {
        let [v1, v2] = amount.manners.map(|it| percent(it.errors(amount.checkouts) * 100.0));
        match self {
            Self::Good => format!(
                "v1 fails {v1} of its requests, and so does v2: it is as good. One user in {} is staff and has\n\
                 v2 from the start, by a flag.",
                self.staff_every()
            ),
            Self::Worse => format!(
                "v1 fails {v1} of its requests, v2 {v2}: its checkout is slow and fails. No shadow can see\n\
                 that, as checkouts are not copied: asked twice, they would be two orders."
            ),
            Self::Broken => format!(
                "v1 fails {v1} of its requests, and so does v2; but {} s into {} it breaks.",
                super::BREAKS_AFTER.as_secs(),
                percent(BREAKS_AT)
            ),
        }
    }

    /// One user in so many is staff; none if 0. A v2 that is worse is met by the canary's users alone,
    /// as their harm is what is counted.
    pub(super) const fn staff_every(self) -> usize {
        match self {
            Self::Good => 20,
            Self::Worse | Self::Broken => 0,
        }
    }

    /// What to look at next.
    pub(super) const fn next(self) -> &'static str {
        match self {
            Self::Good => "gnomon demo --bad: the same with a v2 that is worse",
            Self::Worse => "gnomon demo --broken: a v2 that breaks, and the fuse",
            Self::Broken => "gnomon demo --split: users who stay on their version, and a shadow",
        }
    }

    const fn is_kept_by(self, phase: Phase) -> bool {
        match self {
            Self::Good => matches!(phase, Phase::Promoted),
            Self::Worse => matches!(phase, Phase::RolledBack(Cause::Judge)),
            Self::Broken => matches!(phase, Phase::RolledBack(Cause::Fuse)),
        }
    }
}

/// Replies of one version, as somebody has counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) replies: u64,
    /// Of status 500 and above.
    pub(super) errors: u64,
}

impl Account {
    /// As the proxy has.
    pub(super) fn of(version: &VersionStatus) -> Self {
        Self { replies: version.classes.iter().sum(), errors: version.classes[4] }
    }

    /// As the users have.
    pub(super) const fn seen(seen: &Seen) -> Self {
        Self { replies: seen.requests, errors: seen.errors }
    }

    fn text(self) -> String {
        format!("{} replies, {} errors", self.replies, self.errors)
    }

    /// Somebody may have had a look with curl.
    const fn holds(self, other: Self) -> bool {
        self.replies >= other.replies && self.errors >= other.errors
    }
}

/// How it went.
pub(super) struct End {
    pub(super) story: Story,
    pub(super) elapsed: Duration,
    /// Somebody was in a hurry: nothing need be over, and the accounts need not agree.
    pub(super) is_interrupted: bool,
    pub(super) panics: u64,
    /// By the proxy.
    pub(super) counted: Both<Account>,
    /// By the users.
    pub(super) seen: Both<Account>,
    /// Requests that the proxy failed.
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) harm: Harm,
    /// For how long users met v2.
    pub(super) met: Option<Duration>,
    /// Requests that met v2 after the rollback.
    pub(super) strays: u64,
    /// Replies with a field that is not for users.
    pub(super) leaks: u64,
    /// Replies that the staff had, by version.
    pub(super) staff: [u64; 2],
    /// The newest report of the judge that knows of v2.
    pub(super) report: Option<Report>,
    pub(super) orders: Option<Both<Counts>>,
    pub(super) rollout: Rollout,
    /// Oldest first.
    pub(super) history: Vec<Record>,
}

impl End {
    /// Whether every promise was kept.
    pub(super) fn is_sound(&self) -> bool {
        self.promises().iter().all(|(is_kept, _)| *is_kept)
    }

    fn promises(&self) -> Vec<(bool, String)> {
        let mut all = vec![self.outcome()];
        match self.story {
            _ if self.is_by_hand() => {}
            Story::Good => all.push(self.flagged()),
            Story::Worse => all.push(self.harmed()),
            Story::Broken => all.extend(self.cut()),
        }
        if self.story != Story::Good && !self.is_by_hand() {
            let said = format!("{} requests met v2 after that", self.strays);
            all.push((self.strays == 0, said));
        }
        let why = self.first_failure.as_ref().map(|why| format!(", first: {why}"));
        let said =
            format!("{} requests failed by the proxy{}", self.failed, why.unwrap_or_default());
        all.push((self.failed == 0 && self.panics == 0, said));
        let said = format!("{} replies showed a user which requests are orders", self.leaks);
        all.push((self.leaks == 0, said));
        if !self.is_interrupted {
            all.extend(self.accounts());
        }
        all
    }

    /// Whether a person has acted meanwhile: it need not end as the story does then.
    fn is_by_hand(&self) -> bool {
        self.history.iter().skip(1).any(|record| record.event.by != ITSELF)
    }

    /// Whether the rollout has ended as it should.
    fn outcome(&self) -> (bool, String) {
        let phase = self.rollout.state.phase;
        let is_kept = self.story.is_kept_by(phase);
        if self.is_by_hand() {
            let name = phase.name().replace('_', " ");
            return (true, format!("somebody has acted; the rollout is {name}"));
        }
        let name = phase.name().replace('_', " ");
        let met = self.met.unwrap_or_default().as_secs_f64();
        let said = match (is_kept, self.story) {
            (true, Story::Good) => "v2 has taken over, step by step, by itself".to_owned(),
            (true, Story::Worse) => {
                format!("v2 was rolled back by the judge: users met it for {met:.1} s")
            }
            (true, Story::Broken) => {
                format!("v2 was cut off by the fuse: users met it for {met:.1} s")
            }
            (false, _) if self.is_interrupted => format!("interrupted: the rollout is {name}"),
            (false, _) => format!("the rollout is {name}: {}", self.rollout.state.why),
        };
        (is_kept, said)
    }

    fn flagged(&self) -> (bool, String) {
        let [by_v1, by_v2] = self.staff;
        let said = format!("{by_v2} requests of the staff had v2 by its flag, {by_v1} did not");
        (by_v1 == 0 && by_v2 > 0, said)
    }

    fn harmed(&self) -> (bool, String) {
        let Harm { errors, users, .. } = self.harm;
        let canary = self.seen.canary.replies;
        (true, format!("{users} users met an error of v2: {errors} of its {canary} replies"))
    }

    fn cut(&self) -> Vec<(bool, String)> {
        let Harm { broke, errors, users, last } = self.harm;
        let Some(broke) = broke else {
            return vec![(false, "v2 never had the share at which it was to break".to_owned())];
        };
        let lasted = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(broke));
        let millis = lasted.as_millis();
        vec![
            (
                lasted <= Duration::from_secs(1),
                format!("the last bad answer was asked for {millis} ms after v2 had broken"),
            ),
            (
                errors > 0 && errors <= BUDGET,
                format!("{users} users met {errors} bad answers; the fuse allows {BUDGET}"),
            ),
        ]
    }

    /// What the users saw, what the proxy counted, and what the judge went by.
    fn accounts(&self) -> Vec<(bool, String)> {
        let pair = |version: &str, counted: Account, seen: Account| {
            let said = if counted == seen {
                format!("{version}: the proxy counted {}; so did the users", counted.text())
            } else {
                format!(
                    "{version}: the proxy counted {}, the users {}",
                    counted.text(),
                    seen.text()
                )
            };
            (counted.holds(seen) && seen.replies > 0, said)
        };
        let mut all = vec![
            pair("v1", self.counted.stable, self.seen.stable),
            pair("v2", self.counted.canary, self.seen.canary),
        ];
        if let Some(judged) = self.judged() {
            let Counts { bad, all: requests } = judged;
            let said =
                format!("the judge went by {requests} of v2's requests, {bad} of them errors");
            let is_kept =
                requests <= self.counted.canary.replies && bad <= self.counted.canary.errors;
            all.push((is_kept, said));
        }
        all
    }

    /// Requests of the canary that were evidence.
    fn judged(&self) -> Option<Counts> {
        let report = self.report.as_ref()?;
        report.signals.iter().find(|it| it.name == "errors").map(|signal| signal.overall.canary)
    }

    /// What was decided, in the words of whoever has decided it: all the steps up, or the fall.
    fn verdict(&self) -> Vec<&str> {
        let is_up = self.rollout.state.phase == Phase::Promoted;
        let steps =
            self.history.iter().filter(|it| is_up && it.event.weight > it.event.weight_from);
        let judged = steps.filter(|it| it.event.step > self.first_step());
        judged.chain(self.history.last()).map(|record| &*record.event.why).collect()
    }

    /// The first step with users.
    fn first_step(&self) -> usize {
        self.history.iter().find(|it| it.event.weight > 0).map_or(0, |it| it.event.step)
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let requests = self.seen.stable.replies + self.seen.canary.replies;
        let mut text =
            format!("\n{} after {seconds:.0} s and {requests} requests\n\n", paint.bold("verdict"));
        for said in self.verdict() {
            let _ = writeln!(text, "  {said}");
        }
        if let Some(Both { canary, stable }) = self.orders {
            let of = |counts: Counts| {
                let share = format!("{:.1}%", ratio(counts.bad, counts.all) * 100.0);
                format!("{share} ({} of {})", counts.bad, counts.all)
            };
            let _ =
                writeln!(text, "  Orders: v1 {}, v2 {} of the requests.", of(stable), of(canary));
        }
        let _ = writeln!(text, "\n{} (gnomon rollout history)\n", paint.bold("decision record"));
        for line in shown::history(&self.history, paint).lines() {
            let _ = writeln!(text, "  {line}");
        }
        text.push('\n');
        for (is_kept, said) in self.promises() {
            let mark = if is_kept { paint.green("✓") } else { paint.red("✗ BROKEN:") };
            let _ = writeln!(text, "  {mark} {said}");
        }
        text
    }

    pub(super) fn json(&self) -> Json {
        let promises: Vec<Json> = self
            .promises()
            .into_iter()
            .map(|(is_kept, said)| json!({ "kept": is_kept, "said": said }))
            .collect();
        let account =
            |account: Account| json!({ "replies": account.replies, "errors": account.errors });
        let both =
            |both: Both<Account>| json!({ "v1": account(both.stable), "v2": account(both.canary) });
        json!({
            "event": "verdict",
            "sound": self.is_sound(),
            "interrupted": self.is_interrupted,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "phase": self.rollout.state.phase.name(),
            "cause": self.rollout.state.phase.reason(),
            "verdict": self.verdict(),
            "promises": promises,
            "counted": both(self.counted),
            "seen": both(self.seen),
            "failed_by_proxy": self.failed,
            "bad_answers": self.harm.errors,
            "users_hurt": self.harm.users,
            "orders": self.orders,
            "staff": { "v1": self.staff[0], "v2": self.staff[1] },
            "history": self.history,
        })
    }
}
