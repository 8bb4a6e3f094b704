//! Broken inputs for everything that reads outside data: each gets an answer or an error, in
//! bounded time and memory.
//!
//! `scripts/dev/verify_fuzz.sh` feeds a million of them; `scripts/check` feeds some thousands, and
//! the known ones of [`corpus`].

mod corpus;
mod mutate;
mod run;
mod targets;

use run::{Counts, TASK, feed, work};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use targets::TARGETS;

/// Number of inputs of all targets together, and their seed.
const RUNS: &str = "TOOLCALL_FUZZ_RUNS";
const SEED: &str = "TOOLCALL_FUZZ_SEED";
/// Number of inputs in `scripts/check`.
const FEW: u64 = 12_000;

/// Runs in the processes that [`feed`] starts. It is not a test of its own.
#[test]
fn worker() {
    if let Ok(task) = std::env::var(TASK) {
        work(&task);
    }
}

#[test]
fn every_input_gets_an_answer_or_an_error() {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (runs, seed) = (number(RUNS, FEW), number(SEED, 1));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(target) = TARGETS.get(next.fetch_add(1, SeqCst)) {
                    let counts = feed(target, seed, (target.of_a_million * runs).div_ceil(1_000_000));
                    println!("{counts}");
                    done.lock().unwrap().push(counts);
                }
            });
        }
    });
    let all: Vec<Counts> = done.into_inner().unwrap();
    let sum = |count: fn(&Counts) -> u64| all.iter().map(count).sum::<u64>();
    println!("{} inputs of seed {seed}", sum(|counts| counts.inputs));
    let wrong = sum(|counts| counts.panics + counts.crashes + counts.hangs + counts.over_limit);
    assert_eq!(wrong, 0, "inputs without an answer");
    assert_eq!(
        sum(|counts| counts.ok + counts.refused),
        sum(|counts| counts.inputs)
    );
}
