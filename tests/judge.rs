//! Every formula of the judge against vectors that were computed to sixty digits elsewhere.
//!
//! `JUDGE_VECTORS` may name a second file of the same form.

use e2e::comparators::{self, Stitch, Stratum};
use gnomon_policy::judge::{
    bernoulli::{self, Block, Boundary, Counts, Restarting, Side, Wealth},
    concentration, events, fixed,
    forecast::{self, Assumption},
    kpi, margin, merge, paired, range,
};
use serde_json::{Value, json};

#[test]
fn every_formula_agrees_with_the_vectors() {
    check(include_str!("judge/vectors.json"));
    #[expect(clippy::disallowed_methods, reason = "names a file of more vectors, for tests alone")]
    let more = std::env::var("JUDGE_VECTORS");
    if let Ok(path) = more {
        check(&std::fs::read_to_string(path).expect("the file of vectors can be read"));
    }
}

#[test]
fn all_formulas_are_there() {
    let text: Value = serde_json::from_str(include_str!("judge/vectors.json")).expect("JSON");
    assert_eq!(text["formulas"].as_object().map(serde_json::Map::len), Some(23));
}

fn check(text: &str) {
    let vectors: Value = serde_json::from_str(text).expect("vectors are JSON");
    let mut wrong = Vec::new();
    for (name, formula) in vectors["formulas"].as_object().expect("formulas") {
        let tolerance = formula["tol"].as_f64().expect("a tolerance");
        let cases = formula["cases"].as_array().expect("cases");
        assert!(!cases.is_empty(), "{name} has no case");
        for (index, case) in cases.iter().enumerate() {
            let got = evaluate(name, &Inputs(&case["i"]));
            if !agrees(&got, &case["o"], tolerance) {
                wrong.push(format!("{name}, case {index}: {got} is not {}", case["o"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether all that is expected is there, and nothing else.
fn agrees(got: &Value, want: &Value, tolerance: f64) -> bool {
    match (got, want) {
        (Value::Number(_), Value::Number(_)) => {
            let (got, want) = (real(got), real(want));
            (got - want).abs() <= tolerance * want.abs().max(1.0)
        }
        (Value::Array(got), Value::Array(want)) => {
            got.len() == want.len()
                && got.iter().zip(want).all(|(got, want)| agrees(got, want, tolerance))
        }
        (Value::Object(got), Value::Object(want)) => {
            got.len() == want.len()
                && want
                    .iter()
                    .all(|(key, want)| got.get(key).is_some_and(|got| agrees(got, want, tolerance)))
        }
        _ => got == want,
    }
}

fn evaluate(formula: &str, i: &Inputs<'_>) -> Value {
    match formula {
        "F1_ripr" => f1(i),
        "F2_plugin_alt" => f2(i),
        "F3_bernoulli_log_e" => f3(i),
        "F4_restart_log_e" => f4(i),
        "F5_ratio_log_e" => f5(i),
        "F6_ratio_cs" => f6(i),
        "F7_bernoulli_cs" => f7(i),
        "F8_quantile_cs" => f8(i),
        "F9_beta_mixture_log_e" => f9(i),
        "F10_dkw_lil" => f10(i),
        "F11_poly_stitch" => f11(i),
        "F12_kpi_betting" => f12(i),
        "F13_fixed_bound_log_e" => f13(i),
        "F14_forecast" => f14(i),
        "F15_multiplicity" => f15(i),
        "F16_shadow_diff_log_e" => f16(i),
        "F17_inverse_normal" => json!({ "z": comparators::inverse_normal(i.real("p")) }),
        "F18_msprt_normal" => f18(i),
        "F19_margins_sticky" => f19(i),
        "F20_latency_edges" => f20(i),
        "F21_z_comparators" => f21(i),
        "F22_kayenta_mw" => f22(i),
        "F23_concentration" => f23(i),
        other => panic!("{other} is not known"),
    }
}

/// A number of a case.
fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A count of a case.
fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

struct Inputs<'a>(&'a Value);

impl Inputs<'_> {
    fn real(&self, key: &str) -> f64 {
        real(&self.0[key])
    }

    fn whole(&self, key: &str) -> u64 {
        whole(&self.0[key])
    }

    fn all(&self, key: &str) -> &Vec<Value> {
        self.0[key].as_array().unwrap_or_else(|| panic!("{key} of {}", self.0))
    }

    fn reals(&self, key: &str) -> Vec<f64> {
        self.all(key).iter().map(real).collect()
    }

    fn wholes(&self, key: &str) -> Vec<u64> {
        self.all(key).iter().map(whole).collect()
    }

    fn boundary(&self) -> Boundary {
        Boundary { ratio: self.real("rho"), points: self.real("delta") }
    }

    fn side(&self) -> Side {
        match self.0["direction"].as_str() {
            Some("up") => Side::Worse,
            Some("down") => Side::NotWorse,
            other => panic!("direction {other:?}"),
        }
    }

    fn counts(&self) -> Counts {
        Counts { bad: self.whole("k"), all: self.whole("n") }
    }

    fn epochs(&self) -> Vec<events::Epoch> {
        let one = |epoch: &Value| events::Epoch {
            weight: real(&epoch[0]),
            canary: whole(&epoch[1]),
            all: whole(&epoch[2]),
        };
        self.all("epochs").iter().map(one).collect()
    }
}

fn block(value: &Value) -> Block {
    let i = Inputs(value);
    Block {
        weight: i.real("w"),
        level: value["kq"].as_i64().and_then(|level| i32::try_from(level).ok()).expect("a level"),
        canary: Counts { bad: i.whole("kC"), all: i.whole("nC") },
        stable: Counts { bad: i.whole("kB"), all: i.whole("nB") },
    }
}

fn f1(i: &Inputs<'_>) -> Value {
    let (weight, b, c) = (i.real("w"), i.real("b"), i.real("c"));
    let (p_star, q_star) = bernoulli::projection(weight, i.boundary(), b, c);
    let gains = bernoulli::gains(weight, i.boundary(), b, c);
    json!({
        "p_star": p_star, "q_star": q_star, "l_C1": gains.canary_bad, "l_C0": gains.canary_good,
        "l_B1": gains.stable_bad, "l_B0": gains.stable_good,
    })
}

fn f2(i: &Inputs<'_>) -> Value {
    let level = bernoulli::level(i.real("k"), i.real("n"));
    let b = bernoulli::chance(level);
    json!({ "kq": level, "b": b, "c": bernoulli::alternative(i.boundary(), b, i.real("g")) })
}

fn f3(i: &Inputs<'_>) -> Value {
    let mut wealth = Wealth::new(i.boundary(), i.side());
    let each: Vec<f64> = i
        .all("blocks")
        .iter()
        .map(|it| {
            wealth.take(&block(it));
            wealth.log_e()
        })
        .collect();
    let most = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    json!({ "log_e": wealth.log_e(), "log_e_after_each": each, "p_value": (-most).exp().min(1.0) })
}

fn f4(i: &Inputs<'_>) -> Value {
    let mut wealth = Restarting::new(i.boundary(), Side::Worse);
    let each: Vec<f64> = i
        .all("blocks")
        .iter()
        .map(|it| {
            if it["restart_before"] == true {
                wealth.restart();
            }
            wealth.take(&block(it));
            wealth.log_e()
        })
        .collect();
    json!({
        "log_e": wealth.log_e(), "log_e_after_each": each, "restarts": wealth.restarts(),
    })
}

fn f5(i: &Inputs<'_>) -> Value {
    let mut ratio = events::Ratio::new(i.real("rho0"));
    for epoch in i.epochs() {
        ratio.take(epoch);
    }
    json!({
        "log_e_up": ratio.log_more(), "log_e_down": ratio.log_fewer(),
        "log_e_two_sided": ratio.log_other(),
    })
}

fn f6(i: &Inputs<'_>) -> Value {
    let range = events::range(&i.epochs(), i.real("alpha"));
    json!({
        "lo": range.low, "hi": range.high, "mle": range.likely, "log_L_mix": range.log_mixed,
    })
}

fn f7(i: &Inputs<'_>) -> Value {
    let (low, high) = range::rate(i.counts(), i.real("alpha"));
    json!({ "lo": low, "hi": high })
}

fn f8(i: &Inputs<'_>) -> Value {
    let edges = i.reals("upper_edges");
    let (low, high) = range::quantile(&i.wholes("counts"), i.real("p"), i.real("alpha"));
    json!({
        "lo_index": low.map_or_else(|| json!(-1), |it| json!(it)), "hi_index": high,
        "lo": low.map(|it| edges[it]), "hi": high.map(|it| edges[it]),
    })
}

fn f9(i: &Inputs<'_>) -> Value {
    json!({ "log_e": range::beta_mixture(i.counts(), i.real("p"), i.real("a"), i.real("b")) })
}

fn f10(i: &Inputs<'_>) -> Value {
    let alpha = i.real("alpha");
    let bound = |constant| comparators::dkw_lil(i.real("t"), i.real("t_min"), constant);
    let constant = comparators::dkw_constant(alpha);
    json!({
        "C": constant, "bound": bound(constant),
        "bound_closed_form": bound(comparators::dkw_constant_closed(alpha)),
    })
}

fn f11(i: &Inputs<'_>) -> Value {
    let with = Stitch {
        alpha: i.real("alpha"),
        v_min: i.real("v_min"),
        c: i.real("c"),
        s: i.real("s"),
        eta: i.real("eta"),
    };
    json!({ "bound": comparators::stitched(i.real("v"), with) })
}

fn f12(i: &Inputs<'_>) -> Value {
    let toward = match i.0["direction"].as_str() {
        Some("lower_is_worse") => kpi::Toward::Lower,
        Some("higher_is_worse") => kpi::Toward::Higher,
        other => panic!("direction {other:?}"),
    };
    let stake = kpi::Stake { weight: i.real("w"), mean: i.real("m") };
    let mut betting = kpi::Betting::new(i.boundary(), toward);
    for event in i.all("events") {
        betting.take(stake, event[0] == 1, real(&event[1]), 1);
    }
    json!({ "lambda_max": betting.largest(stake), "log_e": betting.log_e() })
}

fn f13(i: &Inputs<'_>) -> Value {
    let log_e = |side| fixed::log_e(i.counts(), i.real("p0"), side);
    json!({ "log_e_up": log_e(Side::Worse), "log_e_down": log_e(Side::NotWorse) })
}

fn f14(i: &Inputs<'_>) -> Value {
    let steps = i.all("steps").iter();
    let steps: Vec<(f64, f64)> = steps.map(|it| (real(&it[0]), real(&it[1]))).collect();
    let assumed = Assumption {
        rate: i.real("rate"),
        stable: i.real("p_B"),
        canary: i.real("p_C"),
        boundary: i.boundary(),
        side: i.side(),
        alpha: i.real("alpha"),
        luck: i.real("z"),
        stake: i.real("prior_mass"),
    };
    json!({ "seconds": forecast::seconds(&steps, &assumed) })
}

fn f15(i: &Inputs<'_>) -> Value {
    let (e, weights) = (i.reals("e"), i.reals("weights"));
    let logs: Vec<f64> = e.iter().map(|e| e.ln()).collect();
    let least = merge::threshold(&logs, i.real("alpha")).unwrap_or(f64::INFINITY);
    let named: Vec<usize> = (0..e.len()).filter(|&index| logs[index] >= least).collect();
    json!({
        "weighted_mean": merge::weighted_mean(e.iter().copied().zip(weights)),
        "closed_adjusted": merge::closed(&e), "ebh_rejected": named,
    })
}

fn f16(i: &Inputs<'_>) -> Value {
    let counts = Inputs(&i.0["counts"]);
    let cells = paired::Cells {
        alone_equal: counts.whole("r0d0"),
        alone_shadow: counts.whole("r0d1"),
        equal: counts.whole("d0n0"),
        noise: counts.whole("d0n1"),
        shadow: counts.whole("d1n0"),
        both: counts.whole("d1n1"),
    };
    let mut logs = paired::Logs::default();
    cells.add_logs(i.real("s"), i.real("delta"), &mut logs);
    json!({ "log_e": paired::mix(&logs) })
}

fn f18(i: &Inputs<'_>) -> Value {
    let log = comparators::msprt(i.real("n"), i.real("mean"), i.real("sigma"), i.real("tau"));
    json!({ "log_lambda": log, "p_value": (-log).exp().min(1.0) })
}

fn f19(i: &Inputs<'_>) -> Value {
    let weights = i.reals("weights");
    let before = [0.0].iter().chain(&weights);
    let sticky = weights.iter().zip(before);
    let sticky: Vec<f64> =
        sticky.map(|(now, before)| margin::first_exposure(*before, *now)).collect();
    json!({ "delta": margin::graduated(i.real("risk_budget"), &weights), "sticky_w": sticky })
}

fn f20(i: &Inputs<'_>) -> Value {
    let edge = margin::edge(i.real("x_ms") / 1000.0);
    let worse = margin::shift(i.real("margin"), Side::Worse);
    let ms = |edge: i32| (f64::from(edge) / 16.0).exp2();
    json!({
        "edge_index": edge, "edge_ms": ms(edge), "shift_regress": worse,
        "shift_promote": margin::shift(i.real("margin"), Side::NotWorse),
        "canary_edge_regress": ms(edge + i32::from(worse)),
    })
}

fn f21(i: &Inputs<'_>) -> Value {
    let one = |it: &Value| {
        let at = |index: usize| real(&it[index]);
        Stratum { canary: at(0), canary_bad: at(1), stable: at(2), stable_bad: at(3) }
    };
    let strata: Vec<Stratum> = i.all("strata").iter().map(one).collect();
    json!({
        "z_pooled": comparators::pooled_z(&strata), "z_cmh": comparators::stratified_z(&strata),
    })
}

fn f22(i: &Inputs<'_>) -> Value {
    let shift = comparators::shift(&i.reals("canary"), &i.reals("baseline"));
    json!({
        "hodges_lehmann": shift.median, "U_shifted": shift.u, "z_shifted": shift.z,
        "mean_ratio": shift.mean_ratio, "is_high": shift.is_high,
    })
}

fn f23(i: &Inputs<'_>) -> Value {
    let found = concentration::concentration(&i.wholes("errors_per_unit")).expect("events");
    json!({
        "size_biased_mean": found.size_biased_mean, "top_share": found.top_share,
        "effective_units": found.effective_units,
    })
}
