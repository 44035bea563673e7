//! Against simulated services.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

fn near(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-8 * want.abs().max(1.0), "{got} is not {want}");
}

#[test]
fn phases_multiply_bet_by_bet() {
    let cells = Cells { equal: 500, shadow: 4, ..Cells::default() };
    let doubled = Cells { equal: 1000, shadow: 8, ..Cells::default() };
    let split = Counts { first: cells, later: cells, share: 1.0, ..Counts::default() };
    let whole = Counts { first: doubled, share: 0.2, ..Counts::default() };
    near(split.log_e(), whole.log_e());
    let mut settled = Logs::default();
    cells.add_logs(1.0, MARGIN, &mut settled);
    near(Counts { settled, first: cells, share: 0.2, ..Counts::default() }.log_e(), whole.log_e());
}

#[test]
fn eight_one_sided_differences_are_enough_and_seven_are_not() {
    let after = |shadow| {
        Counts { first: Cells { shadow, ..Cells::default() }, share: 0.2, ..Counts::default() }
            .log_e()
    };
    assert!(after(8) > 20_f64.ln());
    assert!(after(7) < 20_f64.ln());
}

#[test]
fn nothing_compared_is_no_evidence() {
    near(Counts { share: 0.2, ..Counts::default() }.log_e(), 0.0);
    assert_eq!(threshold(&[], ALPHA), None);
    assert!(!plain_rule(Rates::default()));
}

#[test]
fn a_slower_shadow_is_seen_and_one_as_slow_is_not() {
    let mut luck = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut same, mut slow) = (Pace::default(), Pace::default());
    for _ in 0..2000 {
        let mut time = || std::time::Duration::from_micros(1000 + luck.next_u64() % 1000);
        let (a, b) = (time(), time());
        same.count(a, b);
        slow.count(a.mul_f64(1.3), b);
    }
    assert!(same.log_e() < 0.0);
    assert!(slow.log_e() > 20.0);
}

/// A path of a service: how often its noise shows, and how often the shadow differs besides.
struct Path {
    noise: f64,
    real: f64,
    counts: Counts,
    fired: bool,
}

impl Path {
    fn new(noise: f64, real: f64) -> Self {
        let counts = Counts { share: 0.2, ..Counts::default() };
        Self { noise, real, counts, fired: false }
    }

    fn pair(&mut self, nth: u64, asked: bool, luck: &mut Xoshiro256PlusPlus) {
        let mut chance = |share| draw(luck) < share;
        let shadow = chance(self.noise) || chance(self.real);
        let noise = chance(self.noise);
        let cells = if nth < LEARNING { &mut self.counts.first } else { &mut self.counts.later };
        let cell = match (asked, shadow, noise) {
            (false, false, _) => &mut cells.alone_equal,
            (false, true, _) => &mut cells.alone_shadow,
            (true, false, false) => &mut cells.equal,
            (true, false, true) => &mut cells.noise,
            (true, true, false) => &mut cells.shadow,
            (true, true, true) => &mut cells.both,
        };
        *cell += 1;
    }

    fn rates(&self) -> Rates {
        let sum = |of: fn(&Cells) -> u64| of(&self.counts.first) + of(&self.counts.later);
        Rates {
            compared: sum(|c| {
                c.alone_equal + c.alone_shadow + c.equal + c.noise + c.shadow + c.both
            }),
            different: sum(|c| c.alone_shadow + c.shadow + c.both),
            asked: sum(|c| c.equal + c.noise + c.shadow + c.both),
            noisy: sum(|c| c.noise + c.both),
        }
    }
}

fn draw(luck: &mut Xoshiro256PlusPlus) -> f64 {
    f64::from(luck.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// Runs `paths` over so many pairs and looks every hundred; gives which were ever flagged.
fn watch(paths: &mut [Path], pairs: u64, seed: u64) -> Vec<bool> {
    let mut luck = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut ever = vec![false; paths.len()];
    for nth in 0..pairs {
        let asked = nth < LEARNING || draw(&mut luck) < 0.2;
        for path in &mut *paths {
            path.pair(nth, asked, &mut luck);
        }
        if nth % 100 == 99 {
            let logs: Vec<f64> = paths.iter().map(|path| path.counts.log_e()).collect();
            let least = threshold(&logs, ALPHA).unwrap_or(f64::INFINITY);
            for ((path, log), ever) in paths.iter_mut().zip(&logs).zip(&mut ever) {
                *ever |= *log >= least;
                path.fired |= plain_rule(path.rates());
            }
        }
    }
    ever
}

#[test]
fn a_version_against_itself_is_not_flagged_while_the_plain_rule_fires() {
    let runs = 20;
    let (mut ever, mut at_end, mut fired) = (0, 0, 0);
    for seed in 0..runs {
        let mut paths: Vec<Path> =
            [0.0, 0.001, 0.01, 0.1, 0.5].map(|noise| Path::new(noise, 0.0)).into();
        ever += usize::from(watch(&mut paths, 100_000, seed).contains(&true));
        let logs: Vec<f64> = paths.iter().map(|path| path.counts.log_e()).collect();
        at_end += usize::from(threshold(&logs, ALPHA).is_some());
        fired += usize::from(paths.iter().any(|path| path.fired));
        assert!(!paths[0].fired);
    }
    // One run in twenty may flag something at one of its thousand looks, for a while.
    assert!(ever <= 1);
    assert_eq!(at_end, 0);
    // The plain rule has no sampling error.
    assert!(fired >= 15);
}

#[test]
fn real_differences_are_found_among_noisy_paths() {
    let rates = [(0.0, 0.0), (0.5, 0.0), (0.001, 0.0), (0.0, 0.02), (0.01, 0.05), (0.5, 0.3)];
    let mut paths: Vec<Path> = rates.map(|(noise, real)| Path::new(noise, real)).into();
    let ever = watch(&mut paths, 10_000, 2);
    assert_eq!(ever, [false, false, false, true, true, true]);
    assert!(!plain_rule(paths[5].rates()), "too noisy for the plain rule");
}
