//! What a request costs: `cargo bench --bench request_path`.
//!
//! The contenders take turns in one process, A B C A B C ..., so that whatever else the machine does meets all of them; a figure
//! is only good beside its floor of the same run. Allocations are counted in `tests/allocations.rs`, because counting costs time.
//!
//! Instructions do not depend on the machine's mood: run `BINARY --only cached --count N` under
//! `valgrind --tool=callgrind --instr-atstart=yes` for two values of N and divide the difference.

#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::time::Instant;

use clap::Parser;
use tokio::runtime;

mod contenders;

use contenders::contenders;

/// The first request looks its key up.
const WARM_UP: u32 = 20;

#[derive(Parser)]
struct Arguments {
    /// Said by `cargo bench`; without it, as under `cargo test --benches`, each contender runs once.
    #[arg(long)]
    bench: bool,
    /// Runs this contender alone, without a clock.
    #[arg(long)]
    only: Option<String>,
    /// How many requests that is.
    #[arg(long, default_value_t = 1000)]
    count: u32,
    /// How many turns each contender has.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// How many requests make a turn.
    #[arg(long, default_value_t = 2000)]
    batch: u32,
}

fn main() {
    let mut arguments = Arguments::parse();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut contenders = runtime.block_on(contenders());
    if let Some(only) = &arguments.only {
        let mut named = contenders.iter_mut().filter(|contender| contender.name == only);
        let chosen = named.next().expect("the name of a contender");
        runtime.block_on(chosen.run(WARM_UP + arguments.count));
        return;
    }
    if !arguments.bench {
        (arguments.rounds, arguments.batch) = (1, 1);
    }

    for contender in &mut contenders {
        runtime.block_on(contender.run(WARM_UP));
    }
    let mut turns: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..arguments.rounds {
        for (contender, turns) in contenders.iter_mut().zip(&mut turns) {
            let begin = Instant::now();
            runtime.block_on(contender.run(arguments.batch));
            turns.push(begin.elapsed().as_nanos() as f64 / f64::from(arguments.batch));
        }
    }

    let turns_of = |name| {
        let index = contenders.iter().position(|contender| contender.name == name);
        &turns[index.expect("the name of a contender")]
    };
    println!(
        "{:24}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}  ns a request, {} rounds of {}",
        "contender",
        "min",
        "median",
        "max",
        "-floor",
        "/floor",
        "-against",
        arguments.rounds,
        arguments.batch
    );
    for (contender, turns) in contenders.iter().zip(&turns) {
        let ([min, middle, max], floor) = (spread(turns), turns_of("floor"));
        println!(
            "{:24}{min:8.0}{middle:8.0}{max:8.0}{:8.0}{:8.2}{:9.0}  {}",
            contender.name,
            median_of(turns, floor, |one, other| one - other),
            median_of(turns, floor, |one, other| one / other),
            median_of(turns, turns_of(contender.against), |one, other| one - other),
            contender.against,
        );
    }
}

fn spread(turns: &[f64]) -> [f64; 3] {
    let mut turns = turns.to_vec();
    turns.sort_by(f64::total_cmp);
    [turns[0], turns[turns.len() / 2], turns[turns.len() - 1]]
}

/// Compares turn by turn: two contenders of the same round met the same noise.
fn median_of(turns: &[f64], others: &[f64], compare: impl Fn(f64, f64) -> f64) -> f64 {
    let compared: Vec<f64> = turns
        .iter()
        .zip(others)
        .map(|(one, other)| compare(*one, *other))
        .collect();
    spread(&compared)[1]
}
