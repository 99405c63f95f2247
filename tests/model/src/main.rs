//! Runs the model: `cargo run --release -p berth-model -- COMMAND`, see `docs/storage.md`.

use std::process::ExitCode;
use std::time::Instant;

use berth_model::engine::Outcome;
use berth_model::scenario::Scenario;
use berth_model::{ablations, check, random, scenarios};

const USAGE: &str = "\
Model of Berth's storage protocol.

    berth-model hold [NAME…] [--limit STATES]     visit every state of the scenarios; each must hold
    berth-model ablate [NAME…] [--limit STATES]   remove one rule each; each must break. With names of scenarios: print the traces
    berth-model random CONFIGURATIONS [--seed N]  random configurations: half of them searched, half of them walked

The exit status is 1 if a scenario breaks or is cut by the limit, or an ablation does not break.";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let limit = take_option(&mut args, "--limit").unwrap_or(50_000_000);
    let seed = take_option(&mut args, "--seed").unwrap_or(1);
    let Some((command, names)) = args.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let wanted = |plan: &Scenario| names.is_empty() || names.iter().any(|name| name == plan.name);
    let fine = match (command.as_str(), names) {
        ("hold", _) => {
            let plans = scenarios::all().into_iter().chain(scenarios::traps()).filter(wanted);
            plans.map(|plan| hold(&plan, limit)).fold(true, |fine, holds| fine & holds)
        }
        ("ablate", _) => {
            let rows = ablations::all().into_iter().filter(|row| wanted(&row.plan));
            rows.map(|row| ablate(&row, limit, !names.is_empty())).fold(true, |fine, breaks| fine & breaks)
        }
        ("random", [count]) if count.parse::<u64>().is_ok() => {
            let report = random::run(count.parse().unwrap_or_default(), seed);
            println!("{report}");
            report.counterexample.is_none()
        }
        _ => {
            eprintln!("{USAGE}");
            false
        }
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hold(plan: &Scenario, limit: u64) -> bool {
    let (outcome, seconds) = timed(plan, limit);
    let verdict = match (&outcome.counterexample, outcome.exhausted) {
        (Some(_), _) => "BROKEN",
        (None, true) => "holds",
        (None, false) => "cut",
    };
    let (states, depth) = (outcome.states, outcome.depth);
    println!("{verdict:<7} {states:>9} states {depth:>3} steps {seconds:>6.1} s  {:<4} {}", plan.name, plan.about);
    if let Some(counterexample) = &outcome.counterexample {
        println!("{counterexample}");
    }
    verdict == "holds"
}

fn ablate(row: &ablations::Ablation, limit: u64, trace: bool) -> bool {
    let (outcome, seconds) = timed(&row.plan, limit);
    let Some(counterexample) = outcome.counterexample else {
        println!("UNNOTICED {:<4} {} ({})", row.plan.name, row.wrong, row.rule);
        return false;
    };
    let steps = counterexample.trace.len();
    println!(
        "{:<4} {steps:>2} steps {seconds:>5.1} s  {} ({}): {}",
        row.plan.name, row.wrong, row.rule, counterexample.broken
    );
    if trace {
        println!("{counterexample}");
    }
    true
}

fn timed(plan: &Scenario, limit: u64) -> (Outcome, f32) {
    let begin = Instant::now();
    let outcome = check(plan, limit);
    (outcome, begin.elapsed().as_secs_f32())
}

fn take_option(args: &mut Vec<String>, name: &str) -> Option<u64> {
    let at = args.iter().position(|arg| arg == name)?;
    let value = args.get(at + 1)?.parse().ok();
    args.drain(at..at + 2);
    value
}
