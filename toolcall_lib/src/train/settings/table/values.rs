//! Reads values that other tools write in their own way, as our settings.

use super::super::inputs::{Evaluated, Resume};
use super::super::read::{Read, boolean, is_off, list, number, object, text, whole, word, wrong};
use super::super::said::{Said, Strategy};
use super::reasons;
use crate::track::TrackerName;
use serde_json::Value;

/// Optimizers that are AdamW, and those that differ from it only in the way that they hold their
/// state.
const ADAMW: [&str; 8] = [
    "adamw",
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_xla",
    "adamw_torch_npu_fused",
    "adamw_apex_fused",
    "adamw_hf",
    "adamw_anyprecision",
];
const ADAMW_PACKED: [&str; 8] = [
    "adamw_8bit",
    "adamw_bnb_8bit",
    "adamw_torch_8bit",
    "adamw_torch_4bit",
    "paged_adamw",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "adamw_fp8",
];

pub(super) fn max_steps(said: &mut Said, value: &Value) -> Read<()> {
    match number(value) {
        Ok(-1.0) => said.put("max_steps", Value::Null),
        _ => said.set("max_steps", value),
    }
}

/// Reads a number of steps, or a share of all steps below 1.
pub(super) fn steps_or_share(said: &mut Said, value: &Value, [steps, share]: [&str; 2]) -> Read<()> {
    match number(value) {
        Ok(part) if part > 0.0 && part < 1.0 => said.put(share, part),
        _ => said.set(steps, value),
    }
}

/// Reads a number of mlx-lm's iterations, which are batches.
pub(super) fn iterations(said: &mut Said, value: &Value, setting: &'static str) -> Read<()> {
    let key = said.key.clone();
    said.iterations.push((setting, key, whole(value)?));
    Ok(())
}

/// A project of Weights & Biases, which switches it on.
pub(super) fn wandb_project(said: &mut Said, value: &Value) -> Read<()> {
    if is_off(value) {
        return Ok(());
    }
    said.track(TrackerName::Wandb, true);
    said.set("wandb_project", value)
}

pub(super) fn packing(said: &mut Said, value: &Value) -> Read<()> {
    let key = said.key.clone();
    let name = |key: &str| key.trim_start_matches('-').replace('-', "_");
    match boolean(value)? {
        true => said.open.packed = Some(key),
        false => drop(said.open.packed.take_if(|before| name(before) == name(&key))),
    }
    Ok(())
}

pub(super) fn past_index(_: &mut Said, value: &Value) -> Read<()> {
    match number(value)? {
        below if below < 0.0 => Ok(()),
        _ => Err(wrong(value, "-1: no state goes from one batch to the next")),
    }
}

/// transformers does not read it; its scripts do.
pub(super) fn do_train(said: &mut Said, value: &Value) -> Read<()> {
    if !boolean(value)? {
        said.note("this command trains");
    }
    Ok(())
}

/// A dump of settings has `<HUB_TOKEN>` in place of a token.
pub(super) fn token(said: &mut Said, value: &Value) -> Read<()> {
    match text(value)?.as_str() {
        hidden if is_hidden(hidden) => {
            said.note("a token does not belong among settings");
            Ok(())
        }
        "" => Ok(()),
        _ => Err("a token does not belong among settings; set HF_TOKEN, or run `hf auth login`".to_string()),
    }
}

/// Returns true for what transformers writes in place of a string whose key ends with `_token`.
pub(super) fn is_hidden(text: &str) -> bool {
    text.starts_with('<') && text.ends_with("_TOKEN>")
}

/// Settings of accelerate. Most say how rows are loaded, which changes nothing here.
pub(super) fn accelerator_config(said: &mut Said, value: &Value) -> Read<()> {
    let settings = object(value)?;
    let is_wanted = |name: &&str| settings.get(*name).is_some_and(|value| !is_off(value));
    let of_a_step = ["split_batches", "gradient_accumulation_kwargs"];
    if let Some(name) = of_a_step.into_iter().find(is_wanted) {
        let advice = "set `per_device_train_batch_size` and `gradient_accumulation_steps`";
        return Err(format!("`{name}` changes the rows of a step; {advice}"));
    }
    said.ignore(reasons::ROWS_IN_MEMORY);
    Ok(())
}

/// Variables of the environment that TRL sets, and the settings that say the same here.
const VARIABLES: [(&str, &str); 6] = [
    ("WANDB_PROJECT", "wandb_project"),
    ("WANDB_ENTITY", "wandb_entity"),
    ("WANDB_MODE", "wandb_mode"),
    ("WANDB_RUN_ID", "wandb_run_id"),
    ("WANDB_NAME", "run_name"),
    ("TENSORBOARD_LOGGING_DIR", "logging_dir"),
];

/// Beginnings of the variables that have a meaning here, too.
const READ_HERE: [&str; 8] = [
    "HF_",
    "WANDB_",
    "CUDA_",
    "NCCL_",
    "RAYON_",
    "TOOLCALL_",
    "XDG_",
    "HOME",
];

pub(super) fn environment(said: &mut Said, value: &Value) -> Read<()> {
    for (name, value) in &object(value)? {
        let setting = VARIABLES.into_iter().find(|(variable, _)| variable == name);
        let read = match setting {
            Some((_, setting)) => said.set(setting, value),
            None if READ_HERE.iter().any(|beginning| name.starts_with(beginning)) => {
                Err("set it in the environment of the command".to_string())
            }
            None => {
                said.note(&format!("`{name}` is a variable of the other program"));
                Ok(())
            }
        };
        read.map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

/// Plugins of Axolotl that only change kernels.
const KERNEL_PLUGINS: [&str; 3] = ["liger.", "cut_cross_entropy.", "kernels."];
const PLUGINS: &str = "axolotl.integrations.";

pub(super) fn plugins(said: &mut Said, value: &Value) -> Read<()> {
    for plugin in list(value)? {
        let name = text(&plugin)?;
        let of_kernels = |name: &str| KERNEL_PLUGINS.iter().any(|kernels| name.starts_with(kernels));
        if !name.strip_prefix(PLUGINS).is_some_and(of_kernels) {
            return Err(format!("`{name}` is not supported; leave it out"));
        }
    }
    said.ignore(reasons::KERNELS);
    Ok(())
}

pub(super) fn optimizer(said: &mut Said, value: &Value) -> Read<()> {
    let name = word(value)?;
    match name.as_str() {
        known if ADAMW.contains(&known) => Ok(()),
        known if ADAMW_PACKED.contains(&known) => {
            said.note("AdamW's state is f32, and in memory");
            Ok(())
        }
        "adam" => said.put("weight_decay", 0.0),
        other => Err(format!(
            "`{other}` is not supported; expected `adamw` or `adamw_torch`"
        )),
    }
}

pub(super) fn bf16(said: &mut Said, value: &Value) -> Read<()> {
    match word(value).as_deref() {
        Ok("auto" | "full") => said.put("bf16", true),
        _ => said.set("bf16", value),
    }
}

pub(super) fn recompute(said: &mut Said, value: &Value) -> Read<()> {
    // Axolotl's `offload` and `unsloth` recompute too.
    let wanted = boolean(value).or_else(|problem| match word(value)?.as_str() {
        "offload" | "unsloth" | "offload_disk" => Ok(true),
        _ => Err(problem),
    })?;
    said.put("recompute", if wanted { "block" } else { "norms" })
}

fn strategy(value: &Value) -> Read<Strategy> {
    match word(value)?.as_str() {
        "no" => Ok(Strategy::No),
        "steps" => Ok(Strategy::Steps),
        "epoch" => Ok(Strategy::Epoch),
        _ => Err(wrong(value, "no, steps or epoch")),
    }
}

pub(super) fn eval_strategy(said: &mut Said, value: &Value) -> Read<()> {
    let strategy = strategy(value)?;
    said.eval = Some(strategy);
    if strategy == Strategy::No {
        said.open.no_evaluation = Some(said.key.clone());
    }
    said.inputs.evaluated = Some(match strategy {
        Strategy::No => Evaluated::No,
        Strategy::Steps | Strategy::Epoch => Evaluated::ByStrategy,
    });
    Ok(())
}

pub(super) fn evals_per_epoch(said: &mut Said, value: &Value) -> Read<()> {
    let evals = whole(value)?;
    if evals > 0 {
        said.inputs.evaluated.get_or_insert(Evaluated::PerEpoch);
    }
    said.put("evals_per_epoch", evals.max(1))
}

pub(super) fn logging_strategy(said: &mut Said, value: &Value) -> Read<()> {
    if strategy(value)? != Strategy::Steps {
        said.note("the log still has an entry every `logging_steps` steps");
    }
    Ok(())
}

pub(super) fn save_strategy(said: &mut Said, value: &Value) -> Read<()> {
    let best = "`best` is not supported; `load_best_model_at_end` keeps the best model in every checkpoint";
    if word(value)? == "best" {
        return Err(best.to_string());
    }
    said.save = Some(strategy(value)?);
    Ok(())
}

pub(super) fn metric(said: &mut Said, value: &Value) -> Read<()> {
    let name = word(value)?;
    let name = match name.starts_with("eval_") {
        true => name,
        false => format!("eval_{name}"),
    };
    said.set("metric_for_best_model", &name.into())
}

pub(super) fn resume(said: &mut Said, value: &Value) -> Read<()> {
    let Ok(latest) = boolean(value) else {
        return said.set("resume_from_checkpoint", value);
    };
    if latest {
        said.inputs.resume = Some(Resume::Latest);
    }
    said.set("resume_from_checkpoint", &Value::Null)
}

pub(super) fn auto_resume(said: &mut Said, value: &Value) -> Read<()> {
    said.inputs.auto_resume = Some(boolean(value)?);
    Ok(())
}

pub(super) fn ddp_timeout(said: &mut Said, value: &Value) -> Read<()> {
    let longest = crate::train::config::LONGEST_TIMEOUT;
    let seconds = whole(value)?;
    if seconds > longest {
        said.note("is a year, which is the longest");
    }
    said.put("ddp_timeout", seconds.min(longest))
}

pub(super) fn use_cpu(said: &mut Said, value: &Value) -> Read<()> {
    match boolean(value)? {
        true => said.put("device", "cpu"),
        false => {
            said.not_on_cpu = true;
            Ok(())
        }
    }
}

pub(super) fn sampling(said: &mut Said, value: &Value) -> Read<()> {
    match word(value)?.as_str() {
        "random" => said.put("shuffle", true),
        "sequential" => said.put("shuffle", false),
        "group_by_length" => {
            said.ignore(reasons::ROWS_IN_MEMORY);
            Ok(())
        }
        _ => Err(wrong(value, "random, sequential or group_by_length")),
    }
}

/// Refuses a value that is not one of these.
pub(super) fn only(value: &Value, words: &[&str]) -> Read<()> {
    match words.contains(&word(value)?.as_str()) {
        true => Ok(()),
        false => Err(wrong(value, words.join(" or "))),
    }
}

pub(super) fn must_be_true(_: &mut Said, value: &Value) -> Read<()> {
    match boolean(value)? {
        true => Ok(()),
        false => Err("found false, expected true: this command trains".to_string()),
    }
}

pub(super) fn revision(said: &mut Said, value: &Value) -> Read<()> {
    match text(value)?.as_str() {
        "main" | "" => Ok(()),
        other => match said.revision.replace(other.to_string()) {
            Some(before) if before != other => Err(format!(
                "`{other}` is not the revision `{before}` that another setting names; leave one of them out"
            )),
            _ => Ok(()),
        },
    }
}

pub(super) fn num_layers(said: &mut Said, value: &Value) -> Read<()> {
    said.asks_for_adapter = true;
    match number(value)? {
        -1.0 => Ok(()), // all
        _ => match whole(value) {
            Ok(layers) if layers > 0 => said.put("lora.last_layers", layers),
            _ => Err(wrong(
                value,
                "a number of layers at the end of the model, or -1 for all",
            )),
        },
    }
}

pub(super) fn mask_prompt(said: &mut Said, value: &Value) -> Read<()> {
    let masked = boolean(value)?;
    (said.trained.last, said.trained.all) = (Some(masked), Some(!masked));
    Ok(())
}

pub(super) fn truncation(said: &mut Said, value: &Value) -> Read<()> {
    match word(value)?.as_str() {
        "keep_start" => said.put("overlong", "truncate"),
        _ => Err(wrong(
            value,
            "keep_start; set `overlong` to error, drop or truncate",
        )),
    }
}

pub(super) fn excess_length(said: &mut Said, value: &Value) -> Read<()> {
    match word(value)?.as_str() {
        "raise" => said.put("overlong", "error"),
        "drop" | "truncate" => said.set("overlong", value),
        _ => Err(wrong(value, "drop, truncate or raise")),
    }
}

pub(super) fn shuffle_dataset(said: &mut Said, value: &Value) -> Read<()> {
    match boolean(value)? {
        true => said.put("shuffle", true),
        false => {
            said.note("rows are mixed in every epoch, as there; `shuffle` false keeps their order");
            Ok(())
        }
    }
}
