//! The numbers are PEFT's.

use super::{MODELS, gradients, load_adapter, pack, peft_decoder, peft_folder};
use crate::common::golden::{Golden, assert_close};
use toolcall_lib::Dtype;
use toolcall_lib::model::{Recompute, Workspace};
use toolcall_lib::optimizer::{AdamW, AdamWConfig, Schedule, clip_coefficient, norm};
use toolcall_lib::weights::Parameters;

#[test]
fn logits_match() {
    for name in MODELS {
        let (golden, decoder) = (Golden::adapter(name), peft_decoder(name));
        let ids = &Golden::model(name).sequences()[0].ids;
        let logits = decoder.logits(ids).unwrap();
        assert_close(name, &logits, &golden.tensor("logits.0"), 1e-5);
        let plain = Golden::model(name).decoder().logits(ids).unwrap();
        let changed = logits
            .iter()
            .zip(&plain)
            .filter(|(a, b)| (*a - *b).abs() > 1e-3)
            .count();
        assert!(2 * changed > logits.len(), "{name}: the adapter does little");
    }
}

#[test]
fn loss_and_gradients_of_a_and_b_match() {
    for name in MODELS {
        let (golden, decoder) = (Golden::adapter(name), peft_decoder(name));
        let batch = pack(&Golden::model(name).sequences());
        let tokens = batch.trained_tokens();
        let (loss, mut gradients) = gradients(&decoder, &[batch], Recompute::Norms, 0);
        gradients
            .buckets
            .iter_mut()
            .flatten()
            .for_each(|g| *g /= tokens as f32);
        let loss = loss / tokens;
        assert!((loss - golden.number("loss")).abs() < 1e-6, "{name}: loss {loss}");
        assert!((norm(&gradients) / golden.number("grad_norm") - 1.0).abs() < 1e-5);
        for slot in decoder.trainable().unwrap().layout.slots() {
            let want = golden.tensor(&format!("grad.{}", slot.name));
            assert_close(&slot.name, gradients.get(&slot.name).unwrap(), &want, 2e-5);
        }
    }
}

#[test]
fn ten_adamw_steps_match() {
    for name in MODELS {
        let (golden, mut decoder) = (Golden::adapter(name), peft_decoder(name));
        let batch = pack(&Golden::model(name).sequences());
        let (tokens, mut workspace) = (batch.trained_tokens(), Workspace::default());
        let settings = AdamWConfig {
            weight_decay: 0.1,
            ..AdamWConfig::default()
        };
        let mut optimizer = AdamW::new(settings, decoder.trainable().unwrap());
        let mut gradients = Parameters::zeros(decoder.trainable().unwrap().layout.clone());
        let peak = golden.training("learning_rates").into_iter().fold(0.0, f64::max);
        for step in 0..10 {
            let sum = decoder
                .loss_and_gradients(&batch, &mut gradients, &mut workspace)
                .unwrap();
            let grad_norm = norm(&gradients) / tokens;
            let near = |what: &str, got: f64, tolerance: f64| {
                let want = golden.training(what)[step];
                let close = (got - want).abs() <= tolerance * want.abs().max(1e-3);
                assert!(close, "{name} step {step} {what}: {got}, not {want}");
            };
            near("losses", sum.loss / tokens, 2e-5);
            near("correct", sum.correct, 0.0);
            near("grad_norms", grad_norm, 1e-4);
            let scale = clip_coefficient(grad_norm, 1.0) / tokens;
            let learning_rate = peak * Schedule::Linear.factor(step, 2, 10);
            let trained = decoder.trainable_mut().unwrap();
            optimizer.step(trained, &mut gradients.buckets, scale, learning_rate);
        }
        let trained = decoder.trainable().unwrap();
        for slot in trained.layout.slots() {
            let want = golden.tensor(&format!("final.{}", slot.name));
            let got = trained.get(&slot.name).unwrap();
            assert_close(&slot.name, got, &want, 1e-3);
        }
    }
}

#[test]
fn merged_weights_match_and_compute_the_same() {
    for name in MODELS {
        let golden = Golden::adapter(name);
        let mut model = load_adapter(&peft_folder(name), Dtype::F32);
        let ids = &Golden::model(name).sequences()[0].ids;
        model.merge();
        assert!(model.decoder.adapter.is_none());
        let weights = model.decoder.trainable().unwrap();
        for slot in weights
            .layout
            .slots()
            .iter()
            .filter(|s| s.name.contains("proj.weight"))
        {
            let want = golden.tensor(&format!("merged.{}", slot.name));
            assert_close(&slot.name, weights.get(&slot.name).unwrap(), &want, 1e-6);
        }
        let logits = model.decoder.logits(ids).unwrap();
        assert_close(name, &logits, &golden.tensor("logits.0"), 1e-5);
    }
}
