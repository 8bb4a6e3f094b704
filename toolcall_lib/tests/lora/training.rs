//! Rules for the training of an adapter.

use super::{MODELS, gradients, pack, peft_decoder, with};
use crate::common::golden::{Golden, assert_close};
use crate::common::tiny_model::tiny_model;
use crate::train::{config, losses, timers};
use serde_json::json;
use toolcall_lib::batch::TreeBatch;
use toolcall_lib::model::lora::{LoraConfig, TargetModule, TargetModules};
use toolcall_lib::model::{Recompute, Workspace};
use toolcall_lib::optimizer::norm;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::weights::Parameters;

fn lora(steps: usize) -> TrainConfig {
    TrainConfig {
        learning_rate: 1e-2,
        lora: Some(LoraConfig {
            r: 4,
            lora_alpha: 8.0,
            lora_dropout: 0.2,
            ..LoraConfig::default()
        }),
        ..config(steps)
    }
}

fn difference(a: &Parameters, b: &Parameters) -> f64 {
    let pairs = a.buckets.iter().flatten().zip(b.buckets.iter().flatten());
    let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    squares.sqrt() / norm(a)
}

#[test]
fn shared_equals_one_sequence_at_a_time() {
    for name in MODELS {
        let (decoder, sequences) = (peft_decoder(name), Golden::model(name).sequences());
        let alone: Vec<TreeBatch> = sequences.iter().map(|s| pack(std::slice::from_ref(s))).collect();
        let (loss, shared) = gradients(&decoder, &[pack(&sequences)], Recompute::Norms, 0);
        let (loss_alone, separate) = gradients(&decoder, &alone, Recompute::Norms, 0);
        assert!((loss / loss_alone - 1.0).abs() < 1e-6, "{name}");
        assert!(difference(&shared, &separate) < 1e-5, "{name}");
    }
}

#[test]
fn a_new_adapter_changes_nothing_and_is_that_of_its_seed() {
    let mut model = tiny_model();
    let ids: Vec<u32> = (0..20).collect();
    let plain = model.decoder.logits(&ids).unwrap();
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    assert_eq!(model.decoder.logits(&ids).unwrap(), plain);
    let adapter = model.decoder.trainable().unwrap().clone();
    for slot in adapter.layout.slots() {
        let values = adapter.get(&slot.name).unwrap();
        if slot.name.ends_with("lora_B.weight") {
            assert!(values.iter().all(|&b| b == 0.0));
            continue;
        }
        let bound = 1.0 / (slot.shape[1] as f32).sqrt();
        let largest = values.iter().fold(0.0f32, |m, a| m.max(a.abs()));
        assert!(
            (0.9 * bound..=bound).contains(&largest),
            "{}: {largest}",
            slot.name
        );
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.2 * bound, "{}: mean {mean}", slot.name);
    }
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    assert_eq!(model.decoder.trainable().unwrap().buckets, adapter.buckets);
    model.add_adapter(LoraConfig::default(), 2).unwrap();
    assert_ne!(model.decoder.trainable().unwrap().buckets, adapter.buckets);
}

/// The model is large enough for every matrix of the adapter to differ in size from every weight.
#[test]
fn only_the_adapter_of_the_named_layers_is_trained() {
    let mut model = tiny_model();
    let before = model.decoder.weights.to_f32().into_owned();
    let mut settings = lora(6);
    let targets = vec![TargetModule::VProj, TargetModule::UpProj];
    settings.lora.as_mut().unwrap().target_modules = targets.into();
    let report = train(&mut model, &timers(4), &settings, |_| {}).unwrap();
    assert!(report.steps[5].loss < report.steps[0].loss);
    assert_eq!(model.decoder.weights.to_f32().buckets, before.buckets);
    let trained = model.decoder.trainable().unwrap();
    // In each of 2 blocks, v is 32 x 64 and up is 128 x 64.
    assert_eq!(trained.len(), 2 * 4 * (32 + 64 + 128 + 64));
    for slot in trained.layout.slots() {
        let adapted = ["self_attn.v_proj.lora_", "mlp.up_proj.lora_"];
        assert!(
            adapted.iter().any(|part| slot.name.contains(part)),
            "{}",
            slot.name
        );
        let values = trained.get(&slot.name).unwrap();
        assert!(values.iter().any(|&x| x != 0.0), "{} was not trained", slot.name);
    }
}

#[test]
fn dropped_inputs_have_the_gradient_of_what_was_computed() {
    let decoder = with(peft_decoder("qwen3"), |lora| lora.lora_dropout = 0.3);
    let batch = [pack(&Golden::model("qwen3").sequences())];
    let (_, gradient) = gradients(&decoder, &batch, Recompute::Norms, 0);
    for name in [
        "0.self_attn.k_proj.lora_A",
        "0.self_attn.q_proj.lora_B",
        "0.self_attn.o_proj.lora_A",
        "0.mlp.up_proj.lora_B",
        "0.mlp.down_proj.lora_A",
        "1.self_attn.o_proj.lora_A", // the last block's MLP has fewer rows
        "1.mlp.up_proj.lora_A",
        "1.mlp.down_proj.lora_B",
    ] {
        let name = format!("base_model.model.model.layers.{name}.weight");
        let analytic = gradient.get(&name).unwrap();
        let steepest = (0..analytic.len())
            .max_by(|&i, &j| analytic[i].abs().total_cmp(&analytic[j].abs()))
            .unwrap();
        let loss = |by: f32| {
            let mut moved = decoder.clone();
            moved.trainable_mut().unwrap().get_mut(&name).unwrap()[steepest] += by;
            gradients(&moved, &batch, Recompute::Norms, 0).0
        };
        let numeric = ((loss(1e-3) - loss(-1e-3)) / 2e-3) as f32;
        let analytic = analytic[steepest];
        assert!(
            (numeric - analytic).abs() < 0.02 * analytic.abs(),
            "{name}: {analytic}, numerically {numeric}"
        );
    }
}

#[test]
fn masks_come_from_the_pass_and_are_the_same_when_a_block_is_computed_again() {
    let decoder = with(peft_decoder("llama"), |lora| lora.lora_dropout = 0.3);
    let batch = [pack(&Golden::model("llama").sequences())];
    let run = |recompute, pass| {
        let (loss, gradients) = gradients(&decoder, &batch, recompute, pass);
        (loss, gradients.buckets)
    };
    assert_eq!(run(Recompute::Norms, 1), run(Recompute::Block, 1));
    assert_ne!(run(Recompute::Norms, 1).0, run(Recompute::Norms, 2).0);
    let evaluated = decoder.loss(&batch[0], &mut Workspace::default()).unwrap().loss;
    let undropped = with(decoder.clone(), |lora| lora.lora_dropout = 0.0);
    let (loss, _) = gradients(&undropped, &batch, Recompute::Norms, 1);
    assert_eq!(evaluated, loss, "evaluation drops nothing");
}

#[test]
fn a_tree_without_a_target_has_no_loss_and_no_gradient() {
    let mut sequences = Golden::model("qwen3").sequences();
    sequences
        .iter_mut()
        .for_each(|sequence| sequence.trained.fill(false));
    let adapted = with(peft_decoder("qwen3"), |lora| lora.lora_dropout = 0.3);
    for decoder in [adapted, Golden::model("qwen3").decoder()] {
        let mut gradients = Parameters::zeros(decoder.trainable().unwrap().layout.clone());
        let sum = decoder
            .loss_and_gradients(&pack(&sequences), &mut gradients, &mut Workspace::default())
            .unwrap();
        assert_eq!((sum.loss, norm(&gradients)), (0.0, 0.0));
    }
}

#[test]
fn dropout_keeps_the_mean_of_the_loss() {
    let decoder = with(peft_decoder("llama"), |lora| lora.lora_dropout = 0.02);
    let batch = [pack(&Golden::model("llama").sequences())];
    let runs: Vec<f64> = (0..40)
        .map(|pass| gradients(&decoder, &batch, Recompute::Norms, pass).0)
        .collect();
    let mean = runs.iter().sum::<f64>() / runs.len() as f64;
    let evaluated = decoder.loss(&batch[0], &mut Workspace::default()).unwrap().loss;
    assert!((mean / evaluated - 1.0).abs() < 0.02, "{mean} and {evaluated}");
}

#[test]
fn a_resumed_run_is_bit_identical() {
    let data = timers(6);
    let folder = tempfile::tempdir().unwrap();
    let settings = |steps| TrainConfig {
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..lora(steps)
    };
    let whole = TrainConfig {
        save_steps: Some(3),
        output_dir: Some(folder.path().into()),
        ..settings(7)
    };
    let mut straight = tiny_model();
    let report = train(&mut straight, &data, &whole, |_| {}).unwrap();
    let checkpoint = folder.path().join("checkpoint-3");
    let rest = TrainConfig {
        resume_from_checkpoint: Some(checkpoint.clone()),
        ..settings(7)
    };
    let mut resumed = tiny_model();
    let again = train(&mut resumed, &data, &rest, |_| {}).unwrap();
    assert_eq!(losses(&report), losses(&again));
    let trained = [&straight, &resumed].map(|model| &model.decoder.trainable().unwrap().buckets);
    assert!(trained[0] == trained[1]);

    let mut other = rest.clone();
    other.lora.as_mut().unwrap().lora_alpha = 9.0;
    for other in [other, TrainConfig { lora: None, ..rest }] {
        let refusal = train(&mut tiny_model(), &data, &other, |_| {}).unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains("was saved by a run with other `lora` settings")
        );
    }
}

#[test]
fn an_adapter_that_is_there_is_trained_on_and_not_replaced_by_another() {
    let mut model = tiny_model();
    let data = timers(4);
    train(&mut model, &data, &lora(2), |_| {}).unwrap();
    let first = model.decoder.trainable().unwrap().clone();
    let goes_on = TrainConfig {
        lora: None,
        ..lora(2)
    };
    train(&mut model, &data, &goes_on, |_| {}).unwrap();
    assert_eq!(model.decoder.trainable().unwrap().layout, first.layout);
    assert_ne!(model.decoder.trainable().unwrap().buckets, first.buckets);
    let mut other = lora(2);
    other.lora.as_mut().unwrap().r = 2;
    let refusal = train(&mut model, &data, &other, |_| {}).unwrap_err().to_string();
    assert!(
        refusal.starts_with("lora: the model has an adapter with other settings; call merge() first"),
        "{refusal}"
    );
}

#[test]
fn settings_that_make_no_adapter_are_refused_by_name() {
    let changed = |change: serde_json::Value| {
        let changes = json!({"lora": change}).as_object().unwrap().clone();
        let config = TrainConfig::lora().with(changes)?;
        train(&mut tiny_model(), &timers(1), &config, |_| {}).map(|_| config)
    };
    for (change, says) in [
        (json!({"r": 0}), "lora.r: 0 is not a rank"),
        (
            json!({"lora_dropout": 1.0}),
            "lora.lora_dropout: 1 is not in [0, 1)",
        ),
        (
            json!({"lora_alpha": -1.0}),
            "lora.lora_alpha: -1 is not a positive number",
        ),
        (
            json!({"target_modules": []}),
            "lora.target_modules: is empty; expected \"all-linear\" or some of q_proj",
        ),
        (
            json!({"target_modules": ["c_attn"]}),
            "target_modules: `c_attn` is not known; expected \"all-linear\" or some of q_proj",
        ),
        (json!({"rank": 4}), "unknown field `rank`"),
    ] {
        let refusal = changed(change).unwrap_err().to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
    let changes = json!({"lora": {"r": 4, "target_modules": ["v_proj", "q_proj"]}});
    let config = TrainConfig::lora()
        .with(changes.as_object().unwrap().clone())
        .unwrap();
    let settings = config.lora.unwrap();
    assert_eq!(
        settings.target_modules,
        vec![TargetModule::QProj, TargetModule::VProj].into()
    );
    assert_eq!(
        (settings.r, settings.lora_alpha),
        (4, 32.0),
        "settings that are not named are the recipe's"
    );
    let changes = json!({"lora": {"target_modules": "all-linear"}});
    let config = TrainConfig::lora()
        .with(changes.as_object().unwrap().clone())
        .unwrap();
    assert_eq!(config.lora.unwrap().target_modules, TargetModules::all());
}

#[test]
fn the_scale_is_that_of_peft() {
    let config = LoraConfig {
        r: 16,
        lora_alpha: 32.0,
        ..LoraConfig::default()
    };
    assert_close("scale", &[config.scale()], &[2.0], 0.0);
    let stable = LoraConfig {
        use_rslora: true,
        ..config
    };
    assert_close("scale", &[stable.scale()], &[8.0], 0.0);
}
