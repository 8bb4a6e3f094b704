//! Finds the number from a call's probabilities that best separates right calls from wrong ones.
//!
//! ```text
//! cargo run --release --example confidence -- MODEL DATA...
//! ```
//!
//! Asks for the first assistant turn of all rows, unconstrained, and ranks the calls by each
//! candidate. Shows the chance that a right call ranks above a wrong one (AUROC), and how many
//! calls are exact among the most confident 90, 80 and 60 %. `Generation::confidences` is the first
//! candidate.

use std::ops::Range;
use toolcall_lib::evaluate::{Answerer, EvaluateConfig, evaluate};
use toolcall_lib::generate::{Generator, Prompt};
use toolcall_lib::reply::call_spans;
use toolcall_lib::{Dataset, Error, Generation, Model, Result, load};

/// The log probabilities of the tokens of a call, and which of its tokens overlap its JSON object.
struct Call {
    logprobs: Vec<(f64, bool)>,
    exact: bool,
}

type Candidate = (&'static str, fn(&Call) -> f64);

const CANDIDATES: [Candidate; 6] = [
    ("product, tags included", |call| all(call).sum()),
    ("product, JSON alone", |call| json(call).sum()),
    ("least token, tags included", |call| all(call).fold(0.0, f64::min)),
    ("least token, JSON alone", |call| json(call).fold(0.0, f64::min)),
    ("geometric mean, tags included", |call| {
        all(call).sum::<f64>() / all(call).count() as f64
    }),
    ("tokens below 0.9", |call| {
        -(all(call).filter(|p| p.exp() < 0.9).count() as f64)
    }),
];

fn all(call: &Call) -> impl Iterator<Item = f64> {
    call.logprobs.iter().map(|p| p.0)
}

fn json(call: &Call) -> impl Iterator<Item = f64> {
    call.logprobs.iter().filter(|p| p.1).map(|p| p.0)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, files @ ..] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL DATA..."));
    };
    let model = load(model)?;
    for file in files {
        let calls = calls(&model, &Dataset::load(file)?)?;
        let right = calls.iter().filter(|call| call.exact).count();
        println!("{file}: {right} of {} calls are exact", calls.len());
        for (name, of) in CANDIDATES {
            let mut ranked: Vec<(f64, bool)> = calls.iter().map(|call| (of(call), call.exact)).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            let among = |percent: usize| {
                let kept = &ranked[..(ranked.len() * percent).div_ceil(100)];
                let exact = kept.iter().filter(|call| call.1).count();
                format!("{percent} %: {exact}/{}", kept.len())
            };
            let shares = [90, 80, 60].map(among).join("  ");
            println!("  {name:<30} AUROC {:.3}  {shares}", auroc(&ranked));
        }
    }
    Ok(())
}

/// Returns the calls of the first assistant turns.
fn calls(model: &Model, data: &Dataset) -> Result<Vec<Call>> {
    let config = EvaluateConfig {
        whole_dialogue: false,
        ..EvaluateConfig::default()
    };
    let mut generator = Generator::new(model, config.generate.clone());
    let mut replies: Vec<Generation> = Vec::new();
    let mut answer = |prompts: &[Prompt<'_>]| {
        let new = generator.replies(prompts)?;
        replies.extend(new.iter().cloned());
        Ok(Some(new))
    };
    let evaluation = evaluate(Answerer::Anyone(&mut answer), &data.rows, &config)?;
    let mut exact = evaluation.calls.iter().map(|call| call.exact);
    let mut calls = Vec::new();
    for reply in &replies {
        let pieces = model.tokenizer.pieces(&reply.ids)?;
        for span in call_spans(&reply.text) {
            calls.push(Call {
                logprobs: tokens(reply, &pieces, span),
                exact: exact.next().unwrap_or(false),
            });
        }
    }
    Ok(calls)
}

fn tokens(reply: &Generation, pieces: &[String], span: Range<usize>) -> Vec<(f64, bool)> {
    let json = span.start + "<tool_call>".len()..span.end - "</tool_call>".len();
    let mut start = 0;
    let mut kept = Vec::new();
    for (piece, own) in pieces.iter().zip(&reply.model_logprobs) {
        let end = start + piece.len();
        let overlaps = |span: &Range<usize>| start < span.end && end > span.start;
        if let Some(own) = own.filter(|_| overlaps(&span)) {
            kept.push((f64::from(own), overlaps(&json)));
        }
        start = end;
    }
    kept
}

/// Returns the chance that a right call ranks above a wrong one; a tie counts half.
fn auroc(ranked: &[(f64, bool)]) -> f64 {
    let (right, wrong): (Vec<_>, Vec<_>) = ranked.iter().partition(|call| call.1);
    let above = |a: f64| -> f64 {
        let of = |b: &&(f64, bool)| match a.total_cmp(&b.0) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        wrong.iter().map(of).sum()
    };
    let total: f64 = right.iter().map(|call| above(call.0)).sum();
    total / (right.len() * wrong.len()).max(1) as f64
}
