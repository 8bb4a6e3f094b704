//! Fine-tunes a model on your conversations and shows its scores before and after.
//!
//! ```console
//! $ cargo run --release --example finetune -- MODEL rows.json heldout.json out/tuned
//! ```
//!
//! MODEL is a Hugging Face folder, a GGUF file or a hub id; the rows are conversations with tools,
//! as `toolcall_lib/docs/data_formats.md` describes them.

use toolcall_lib::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, rows, held_out, out] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL ROWS HELD_OUT OUT"));
    };
    // 1. The model and its rows.
    let mut model: Model = load(model)?;
    let (data, held_out) = (Dataset::load(rows)?, Dataset::load(held_out)?);
    println!("{data}");
    let before: Evaluation = evaluate(&model, &held_out.rows, &EvaluateConfig::default())?;
    // 2. Training, with a line every ten steps and the held-out rows answered after the last.
    let config = TrainConfig::default().for_rows(data.rows.len());
    let report: TrainReport = train(&mut model, (&data, &held_out), &config, |step| {
        if step.step % 10 == 0 {
            println!("{step}");
        }
    })?;
    println!("{report}");
    // 3. The scores after the training next to those before it.
    let after: Evaluation = evaluate(&model, &held_out.rows, &EvaluateConfig::default())?;
    println!("{}", compare(&[("base", &before), ("tuned", &after)]));
    // 4. A folder that other programs can load.
    report.save(&model, out)
}
