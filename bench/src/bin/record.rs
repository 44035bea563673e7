//! What it costs a core to record one request: `record` prints nanoseconds for each part.
//!
//! The parts are those that every request of a trial passes: its place in its second's cohort, what
//! became of it, and the cells of its route. In one thread, warm, in batches; the smallest of them
//! is what the code costs, the median what a busy machine makes of it.

use std::{hint::black_box, time::Duration};

use gnomon::{
    cells::routes::{RouteCells, Time},
    clock,
    trial::{Arm, CoreEvidence, Outcome},
};

fn main() {
    let evidence = CoreEvidence::default();
    let cells = RouteCells::default();
    let latency =
        |number: u64| Duration::from_nanos(150_000 + number.wrapping_mul(977) % 9_000_000);
    let judged = measure(|number| {
        let arm = if number % 20 == 0 { Arm::Canary } else { Arm::Stable };
        let second = u32::try_from(number / 20_000).unwrap_or(0);
        let ticket = evidence.assign(second, 1, arm);
        let time = Some(latency(number));
        let outcome = Outcome { class: None, refused: false, time, kpis: [None; 4] };
        evidence.resolve(ticket, black_box(&outcome));
    });
    let counted = measure(|number| {
        let nanos = u64::try_from(latency(number).as_nanos()).unwrap_or(0);
        cells.arms[0].add(1);
        cells.classes[1].add(1);
        cells.times.record(Time::FirstByte, black_box(nanos));
        cells.times.record(Time::Whole, black_box(nanos));
    });
    let (least, middle) = (judged.0 + counted.0, judged.1 + counted.1);
    #[expect(clippy::print_stdout, reason = "this is what it is run for")]
    {
        println!("part        least  median  (ns for one request)");
        println!("judged     {:6.1} {:7.1}", judged.0, judged.1);
        println!("counted    {:6.1} {:7.1}", counted.0, counted.1);
        println!("together   {least:6.1} {middle:7.1}");
    }
}

/// Nanoseconds that one call takes: in the quickest batch, and in the median one.
fn measure(mut body: impl FnMut(u64)) -> (f64, f64) {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|batch| {
            let begun = clock::now();
            (batch * BATCH..(batch + 1) * BATCH).for_each(&mut body);
            #[expect(clippy::cast_precision_loss, reason = "a batch takes milliseconds")]
            let each = begun.elapsed().as_nanos() as f64 / BATCH as f64;
            each
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    (batches[0], batches[batches.len() / 2])
}

/// Requests in a batch: some milliseconds.
const BATCH: u64 = 100_000;
const BATCHES: u64 = 50;
