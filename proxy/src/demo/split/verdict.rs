//! How it went: the promises, each kept or broken.

use serde_json::{Value as Json, json};

use super::{super::CANARY, screen::View, shadowing::Seen};
use crate::cli::{Paint, percent, ratio, shown};

/// Who was where under one weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// The canary's share, in percent.
    pub(super) share: f64,
    /// Users on each version.
    pub(super) on: [u64; 2],
}

impl Placed {
    /// Percent of users on the canary.
    fn seen(&self) -> f64 {
        ratio(self.on[CANARY], self.users()) * 100.0
    }

    fn users(&self) -> u64 {
        self.on.iter().sum()
    }

    /// Four standard errors of the share, in percent: chance alone goes further once in 16,000
    /// times.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn margin(&self) -> f64 {
        let share = self.share / 100.0;
        4.0 * (share * (1.0 - share) / self.users().max(1) as f64).sqrt() * 100.0
    }

    fn is_fair(&self) -> bool {
        self.users() == 0 || (self.seen() - self.share).abs() <= self.margin()
    }

    fn text(&self) -> String {
        format!(
            "{:.1}% of {} users on v2; {} ± {:.1} expected (four standard errors)",
            self.seen(),
            self.users(),
            percent(self.share),
            self.margin()
        )
    }

    fn json(&self) -> Json {
        json!({
            "share_configured": self.share,
            "share_seen": self.seen(),
            "users": self.users(),
            "margin": self.margin(),
            "fair": self.is_fair(),
        })
    }
}

/// How it went.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) before: Option<Placed>,
    pub(super) now: Placed,
    pub(super) moved: u64,
    pub(super) flipped: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    /// Somebody else has changed the weight: who is where is not ours to judge.
    pub(super) meddled: bool,
    /// The users were not let finish: the two accounts need not agree.
    pub(super) interrupted: bool,
    /// What the shadow has found.
    pub(super) shadow: Option<Seen>,
    pub(super) view: View,
}

impl Verdict {
    /// Whether every promise was kept.
    pub(super) fn is_sound(&self) -> bool {
        self.promises().iter().all(|(is_kept, _)| *is_kept)
    }

    fn promises(&self) -> Vec<(bool, String)> {
        let mut all = Vec::new();
        if self.meddled {
            let said = "somebody else changed the weight: who went where is not judged";
            all.push((true, said.to_owned()));
        } else {
            let moved = match self.moved {
                0 => String::new(),
                moved => format!(" ({moved} moved on to v2 with its weight, nobody moved back)"),
            };
            all.push((self.flipped == 0, format!("{} users flipped{moved}", self.flipped)));
            if let Some(before) = self.before {
                all.push((before.is_fair(), format!("before: {}", before.text())));
                all.push((self.now.is_fair(), format!("after:  {}", self.now.text())));
            } else {
                all.push((self.now.is_fair(), self.now.text()));
            }
        }
        let why = self.first_failure.as_ref().map(|why| format!(", first: {why}"));
        let said =
            format!("{} requests failed by the proxy{}", self.failed, why.unwrap_or_default());
        all.push((self.failed == 0 && self.view.panics == 0, said));
        all.extend(self.shadow.iter().flat_map(Seen::promises));
        if !self.interrupted {
            let counted: u64 = self.view.rows.iter().map(|row| row.requests).sum();
            let seen: u64 = self.view.rows.iter().map(|row| row.seen).sum();
            let said = format!("the proxy counted {counted} replies, the users saw {seen}");
            // Somebody may have had a look with curl; but nothing at all proves nothing.
            all.push((counted >= seen && seen > 0, said));
        }
        all
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let view = &self.view;
        let seconds = view.elapsed.as_secs_f64();
        let requests: u64 = view.rows.iter().map(|row| row.seen).sum();
        let mut text = format!(
            "\n{} after {seconds:.1} s, {requests} requests of {} users\n",
            paint.bold("verdict"),
            view.users()
        );
        let title = format!(
            "  {:<9} {:>6} {:>9} {:>7}  {:>8} {:>8}  {:>8} {:>8}",
            "version", "users", "requests", "errors", "p50", "p99", "seen p50", "seen p99"
        );
        text.push_str(&format!("{}\n", paint.dim(&title)));
        for (row, arm) in view.rows.iter().zip(["stable", "canary"]) {
            text.push_str(&format!(
                "  {:<9} {:>6} {:>9} {:>6.2}%  {:>8} {:>8}  {:>8} {:>8}\n",
                format!("{} {arm}", row.name),
                row.users,
                row.requests,
                ratio(row.errors, row.requests) * 100.0,
                shown(row.p50),
                shown(row.p99),
                shown(row.seen_p50),
                shown(row.seen_p99),
            ));
        }
        if let Some(shadow) = &self.shadow {
            text.push_str(&format!("\n{} ", paint.bold("shadow")));
            text.push_str(&shadow.text(paint));
            text.push('\n');
        }
        for (is_kept, said) in self.promises() {
            let mark = if is_kept { paint.green("✓") } else { paint.red("✗ BROKEN:") };
            text.push_str(&format!("  {mark} {said}\n"));
        }
        text
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "event": "verdict",
            "sound": self.is_sound(),
            "before": self.before.map(|placed| placed.json()),
            "now": self.now.json(),
            "meddled": self.meddled,
            "interrupted": self.interrupted,
            "first_failure": self.first_failure,
            "shadow": self.shadow.as_ref().map(Seen::json),
            "view": self.view.json(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::screen::Row, *};

    #[test]
    fn chance_is_forgiven_and_bias_is_not() {
        let placed = |on| Placed { share: 10.0, on };
        assert!(placed([360, 40]).is_fair());
        assert!(placed([340, 60]).is_fair(), "15 % is within 10 ± 6");
        assert!(!placed([330, 70]).is_fair());
        assert!(!placed([400, 0]).is_fair());
        assert!(placed([0, 0]).is_fair(), "nobody came");
    }

    #[test]
    fn one_broken_promise_breaks_the_verdict() {
        let row = |seen| Row { requests: 10, seen, ..Row::default() };
        let view = View {
            elapsed: Duration::from_secs(1),
            rows: [row(10), row(10)],
            moved: 0,
            flipped: 0,
            failed: 0,
            panics: 0,
        };
        let sound = Verdict {
            before: None,
            now: Placed { share: 10.0, on: [90, 10] },
            moved: 0,
            flipped: 0,
            failed: 0,
            first_failure: None,
            meddled: false,
            interrupted: false,
            shadow: None,
            view: view.clone(),
        };
        assert!(sound.is_sound());
        let unfair = Placed { share: 10.0, on: [50, 50] };
        let lost = View { rows: [row(11), row(10)], ..view };
        let troubled = View { panics: 1, ..view.clone() };
        let idle = View { rows: [row(0), row(0)], ..view };
        for broken in [
            Verdict { flipped: 1, ..sound.clone() },
            Verdict { failed: 1, ..sound.clone() },
            Verdict { now: unfair, ..sound.clone() },
            Verdict { before: Some(unfair), ..sound.clone() },
            Verdict { view: lost, ..sound.clone() },
            Verdict { view: troubled, ..sound.clone() },
            Verdict { view: idle, ..sound.clone() },
        ] {
            assert!(!broken.is_sound(), "{broken:#?}");
        }
        // Whoever changed the weight by hand answers for who went where.
        assert!(Verdict { flipped: 1, now: unfair, meddled: true, ..sound }.is_sound());
    }
}
