//! SIGKILL at every moment that matters: what was decided stays, and nobody gets more than that.

use std::time::Duration;

use e2e::{Door, Fickle, Load, eventually};
use gnomon::control::api::rollout::{Record, Rollout};
use gnomon_policy::rollout::{Block, Phase};

use super::{
    guest::Guest,
    rollout::{oldest_first, plan, version, way},
};

const STEPS: &str = "\"10% for 1s\", \"50% for 1s\", \"100% for 1s\"";

struct Shop {
    guest: Guest,
    _versions: [Fickle; 2],
}

impl Shop {
    fn begun() -> Self {
        let versions = [version("v1"), version("v2")];
        let [stable, canary] = &versions;
        let guest = Guest::start(&plan(stable, canary, STEPS, "timeouts.grace = \"0s\"\n"));
        let shop = Self { guest, _versions: versions };
        assert_eq!(shop.order("start").0, 200);
        shop
    }

    fn order(&self, verb: &str) -> (u16, String) {
        self.guest.call("POST", &format!("/v1/rollouts/shop/{verb}"))
    }

    fn load(&self) -> Load {
        Load::start(&Door::Unix(self.guest.socket()), 8, Duration::from_millis(15))
    }

    fn now(&self) -> Rollout {
        let (_, text) = self.guest.get("/v1/rollouts/shop");
        serde_json::from_str(&text).expect("it is what the API says")
    }

    fn record(&self) -> Vec<Record> {
        oldest_first(&self.guest.get("/v1/rollouts/shop/history?limit=100").1)
    }

    /// Waits for a step, or the end, seen at once and not when it is on the disk.
    #[track_caller]
    fn enters(&self, step: usize, phase: Phase) {
        eventually(&format!("step {step}"), || {
            let state = self.now().state;
            state.step >= step && (phase != Phase::Promoted || state.phase == phase)
        });
    }

    /// Killed and started again; where it is then, once it has looked around.
    #[track_caller]
    fn die_and_come_back(&mut self) -> Rollout {
        self.guest.kill();
        self.guest.revive();
        eventually("it has looked around", || self.now().report.is_object());
        self.now()
    }
}

/// Canary requests that the judge has seen.
fn judged(report: &serde_json::Value) -> u64 {
    report["signals"][0]["overall"]["canary"]["all"].as_u64().unwrap_or(0)
}

#[test]
fn nothing_is_lost_at_any_transition() {
    let mut shop = Shop::begun();
    let load = shop.load();
    let weights = [0.0, 10.0, 50.0, 100.0];
    let ends = [Phase::Running, Phase::Running, Phase::Running, Phase::Promoted];
    for (step, phase) in [1, 2, 3, 3].into_iter().zip(ends) {
        shop.enters(step, phase);
        // Seen, but it may not be on the disk: it comes back here, or one step before.
        let now = shop.die_and_come_back();
        assert!((step - 1..=step).contains(&now.state.step), "{step}: {:?}", now.state);
        assert!(now.in_force <= weights[now.state.step], "{now:?}");
        shop.enters(step, phase);
        eventually("it is on the disk", || shop.now().saved);
        let before = shop.record();
        let now = shop.die_and_come_back();
        assert!(now.state.step == step && now.in_force <= weights[step], "{now:?}");
        let after = shop.record();
        assert_eq!(after[..before.len()], before);
        let known = before.last().map_or(0, |last| judged(&last.report));
        assert!(judged(&now.report) >= known, "{known}: {}", now.report);
    }
    eventually("all are the canary's", || shop.now().in_force == 100.0);
    let record = shop.record();
    let raised = record.iter().find(|record| record.event.step == 2).expect("it has come to 100 %");
    assert!(judged(&raised.report) >= 50, "{raised:?}");
    assert_eq!(
        way(&record),
        [
            (0, 0.0, "running"),
            (1, 10.0, "running"),
            (2, 50.0, "running"),
            (3, 100.0, "running"),
            (3, 100.0, "promoted"),
        ]
    );
    let ids: Vec<u64> = record.iter().map(|record| record.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(load.end().0, 0, "whoever was answered was answered well");
}

#[test]
fn in_the_middle_of_a_step_it_goes_on_where_it_was() {
    let mut shop = Shop::begun();
    let load = shop.load();
    shop.enters(1, Phase::Running);
    eventually("the step is under way", || shop.now().requests.canary >= 20);
    shop.order("pause");
    let before = (shop.now().state.step, shop.record());
    let now = shop.die_and_come_back();
    assert_eq!((now.state.step, now.state.phase), (before.0, Phase::Paused));
    assert!(now.in_force <= 10.0 && judged(&now.report) > 0, "{now:?}");
    assert_eq!(shop.record(), before.1);
    shop.order("resume");
    shop.enters(3, Phase::Promoted);
    assert_eq!(load.end().0, 0);
}

#[test]
fn a_file_that_is_damaged_is_put_aside_and_nobody_meets_the_canary() {
    let mut shop = Shop::begun();
    shop.enters(1, Phase::Running);
    eventually("it is on the disk", || shop.now().saved);
    shop.guest.kill();
    let state = shop.guest.folder().join("state");
    let files: Vec<_> = std::fs::read_dir(&state).expect("it is there").flatten().collect();
    for file in files.iter().filter(|it| it.file_name().to_string_lossy().starts_with("rollout.db"))
    {
        std::fs::write(file.path(), [0x5a; 8192]).expect("it can be written");
    }
    shop.guest.revive();
    let now = shop.now();
    assert_eq!((now.state.phase, now.in_force), (Phase::Holding(Block::Lost), 0.0));
    assert!(now.state.why.contains("history lost"), "{:?}", now.state);
    let aside = std::fs::read_dir(&state).expect("it is there").flatten();
    let mut names = aside.map(|file| file.file_name().to_string_lossy().into_owned());
    assert!(names.any(|name| name.starts_with("rollout.db.corrupt-")));
    assert_eq!(shop.order("promote").0, 409);
    assert_eq!(shop.order("resume").0, 200);
    shop.enters(1, Phase::Running);
    eventually("it is written again", || shop.now().saved);
    assert_eq!(way(&shop.record()), [(0, 0.0, "running"), (1, 10.0, "running")]);
}
