//! The numbers are PEFT's.

use super::{MODELS, gradients, load_adapter, pack, peft_decoder, peft_folder};
use crate::common::golden::{Golden, assert_close};
use toolcall_lib::Dtype;
use toolcall_lib::model::Recompute;
use toolcall_lib::optimizer::norm;

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
        let batch = pack(&Golden::model(name).sequences());
        Golden::adapter(name).check_ten_steps(name, peft_decoder(name), &batch);
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
