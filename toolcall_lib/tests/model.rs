//! The decoder, its gradients and AdamW against PyTorch (`scripts/dev/golden/models.py`), and the
//! ops against PyTorch's ops.

use crate::common::golden::{Golden, assert_close};
use toolcall_lib::batch::TreeBatch;
use toolcall_lib::model::{Decoder, KvSequence, KvStore, Recompute, Workspace};
use toolcall_lib::ops::matmul::Precision;
use toolcall_lib::optimizer::norm;
use toolcall_lib::tokens::Sequence;
use toolcall_lib::weights::Parameters;

const MODELS: [&str; 4] = ["qwen3", "qwen2", "llama", "llama_untied"];

fn pack(sequences: &[Sequence]) -> TreeBatch {
    TreeBatch::pack(&sequences.iter().collect::<Vec<_>>())
}

/// Gradient of the mean loss over `batches`.
fn gradients(decoder: &Decoder, batches: &[TreeBatch], recompute: Recompute) -> (f64, Parameters) {
    gradients_in(Precision::F32, decoder, batches, recompute)
}

fn gradients_in(
    precision: Precision,
    decoder: &Decoder,
    batches: &[TreeBatch],
    recompute: Recompute,
) -> (f64, Parameters) {
    let mut gradients = Parameters::zeros(decoder.trainable().unwrap().layout.clone());
    let mut workspace = Workspace::new(recompute, precision);
    let tokens: f64 = batches.iter().map(TreeBatch::trained_tokens).sum();
    let loss = |batch| {
        decoder
            .loss_and_gradients(batch, &mut gradients, &mut workspace)
            .unwrap()
            .loss
    };
    let sum: f64 = batches.iter().map(loss).sum();
    gradients
        .buckets
        .iter_mut()
        .flatten()
        .for_each(|g| *g /= tokens as f32);
    (sum / tokens, gradients)
}

fn assert_same_gradients(a: &Parameters, b: &Parameters) {
    let difference: f64 = a
        .buckets
        .iter()
        .flatten()
        .zip(b.buckets.iter().flatten())
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    assert!(
        difference.sqrt() <= 1e-5 * norm(a),
        "gradients differ by {} of {}",
        difference.sqrt(),
        norm(a)
    );
}

#[test]
fn logits_match_pytorch() {
    for name in MODELS {
        let golden = Golden::model(name);
        let decoder = golden.decoder();
        for i in 0..2 {
            let logits = decoder.logits(&golden.sequences()[i].ids).unwrap();
            assert_close(
                &format!("{name} logits.{i}"),
                &logits,
                &golden.tensor(&format!("logits.{i}")),
                1e-5,
            );
        }
    }
}

#[test]
fn loss_and_every_gradient_match_pytorch() {
    for name in MODELS {
        let golden = Golden::model(name);
        let decoder = golden.decoder();
        let batch = pack(&golden.sequences());
        assert!(
            batch.ids.len() < batch.sequence_tokens,
            "{name}: the reference shares prefixes"
        );
        let (loss, gradients) = gradients(&decoder, &[batch], Recompute::Norms);
        assert!((loss - golden.number("loss")).abs() < 1e-6, "{name}: loss {loss}");
        assert!(
            (norm(&gradients) / golden.number("grad_norm") - 1.0).abs() < 1e-5,
            "{name}: gradient norm"
        );
        for slot in decoder.trainable().unwrap().layout.slots() {
            let (got, want) = (
                gradients.get(&slot.name).unwrap(),
                golden.tensor(&format!("grad.{}", slot.name)),
            );
            assert!(
                got.iter().any(|&g| g != 0.0),
                "{name}: {} gets no gradient",
                slot.name
            );
            assert_close(&format!("{name} {}", slot.name), got, &want, 2e-5);
        }
    }
}

#[test]
fn shared_equals_unshared_equals_one_sequence_at_a_time() {
    for name in MODELS {
        let golden = Golden::model(name);
        let (decoder, sequences) = (golden.decoder(), golden.sequences());
        let (loss, shared) = gradients(&decoder, &[pack(&sequences)], Recompute::Norms);
        let alone: Vec<TreeBatch> = sequences.iter().map(|s| pack(std::slice::from_ref(s))).collect();
        let (loss_alone, separate) = gradients(&decoder, &alone, Recompute::Norms);
        assert!(
            (loss / loss_alone - 1.0).abs() < 1e-6,
            "{name}: {loss} and {loss_alone}"
        );
        assert_same_gradients(&shared, &separate);
        let halves: Vec<TreeBatch> = sequences.chunks(3).map(pack).collect();
        assert_same_gradients(&shared, &gradients(&decoder, &halves, Recompute::Norms).1);
        let mut reversed = sequences;
        reversed.reverse();
        assert_same_gradients(
            &shared,
            &gradients(&decoder, &[pack(&reversed)], Recompute::Norms).1,
        );
    }
}

#[test]
fn bf16_is_near_f32_and_shared_equals_unshared_in_it() {
    for name in MODELS {
        let golden = Golden::model(name);
        let (decoder, sequences) = (golden.decoder(), golden.sequences());
        let all = [pack(&sequences)];
        let alone: Vec<TreeBatch> = sequences.iter().map(|s| pack(std::slice::from_ref(s))).collect();
        let run = |precision, batches: &[TreeBatch]| {
            let (loss, gradients) = gradients_in(precision, &decoder, batches, Recompute::Norms);
            (loss, norm(&gradients))
        };
        let (loss, size) = run(Precision::F32, &all);
        for (loss_bf16, size_bf16) in [run(Precision::Bf16, &all), run(Precision::Bf16, &alone)] {
            assert!(
                (loss_bf16 / loss - 1.0).abs() < 1e-2,
                "{name}: {loss_bf16} and {loss}"
            );
            assert!(
                (size_bf16 / size - 1.0).abs() < 2e-2,
                "{name}: {size_bf16} and {size}"
            );
        }
    }
}

#[test]
fn recomputed_blocks_give_bit_identical_gradients() {
    let golden = Golden::model("qwen3");
    let (decoder, batch) = (golden.decoder(), [pack(&golden.sequences())]);
    let kept = gradients(&decoder, &batch, Recompute::Norms);
    let recomputed = gradients(&decoder, &batch, Recompute::Block);
    assert_eq!((kept.0, kept.1.buckets), (recomputed.0, recomputed.1.buckets));
}

#[test]
fn ten_adamw_steps_match_pytorch() {
    for name in MODELS {
        let golden = Golden::model(name);
        golden.check_ten_steps(name, golden.decoder(), &pack(&golden.sequences()));
    }
}

#[test]
fn greedy_tokens_match_pytorch_with_and_without_cache() {
    for name in MODELS {
        let golden = Golden::model(name);
        let decoder = golden.decoder();
        for (prompt, tokens) in golden.generations() {
            let (mut cache, mut workspace) = (KvStore::new(&decoder.config, 1 << 20), Workspace::default());
            let sequence = cache.begin(&prompt);
            let (mut cached, mut new) = (Vec::new(), Vec::new());
            for _ in 0..tokens.len() {
                let logits = decoder
                    .next_logits(&[(&sequence, &new)], &mut cache, &mut workspace)
                    .unwrap();
                let whole = decoder.logits(&[&prompt[..], &cached[..]].concat()).unwrap();
                assert_close(
                    "cached logits",
                    &logits,
                    &whole[whole.len() - logits.len()..],
                    1e-5,
                );
                let best = logits
                    .iter()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(b.1))
                    .unwrap()
                    .0 as u32;
                cached.push(best);
                new = vec![best];
            }
            assert_eq!(cached, tokens, "{name}");
        }
    }
}

#[test]
fn ids_outside_the_vocabulary_and_too_long_sequences_are_refused() {
    let decoder = Golden::model("llama").decoder();
    let error = decoder.logits(&[1, 64]).unwrap_err().to_string();
    assert_eq!(
        error,
        "token id: 64 is not in the model's vocabulary of 64; use the tokenizer of this model"
    );
    let error = decoder.logits(&[0; 257]).unwrap_err().to_string();
    assert_eq!(
        error,
        "max_position_embeddings: 257 tokens are too many; the model takes at most 256"
    );
}

/// Sequences share prompts, and one of them ends where another continues. They grow by more than a
/// page and by several tokens at once. Some end early, others come later and find cached results,
/// and there is less room than all of them need.
#[test]
fn sequences_that_grow_together_are_as_each_alone() {
    for name in MODELS {
        let decoder = Golden::model(name).decoder();
        let prompts: [&[u32]; 6] = [
            &[1, 2, 3, 4, 5],
            &[1, 2, 3],
            &[9, 8],
            &[1, 2, 3, 7],
            &[1, 2, 3, 4, 5],
            &[1, 2, 3, 4, 5, 0, 7, 10],
        ];
        let row = 2
            * 4
            * decoder.config.num_hidden_layers
            * decoder.config.num_key_value_heads
            * decoder.config.head_dim;
        let (mut cache, mut workspace) = (KvStore::new(&decoder.config, 300 * row), Workspace::default());
        let mut texts: Vec<Vec<u32>> = prompts.map(<[u32]>::to_vec).to_vec();
        let mut speaking: Vec<(usize, KvSequence, Vec<u32>)> = Vec::new();
        for step in 0..90 {
            for (i, text) in texts.iter().enumerate() {
                if step == i / 4 * 30 {
                    let found = cache.stored(text);
                    assert!(step == 0 || found == text.len() - 1, "{found}");
                    speaking.push((i, cache.begin(text), Vec::new()));
                }
            }
            let new: Vec<(&KvSequence, &[u32])> = speaking.iter().map(|(_, s, new)| (s, &new[..])).collect();
            let logits = decoder.next_logits(&new, &mut cache, &mut workspace).unwrap();
            for ((i, _, new), logits) in speaking
                .iter_mut()
                .zip(logits.chunks_exact(decoder.config.vocab_size))
            {
                let whole = decoder.logits(&texts[*i]).unwrap();
                assert_close("logits", logits, &whole[whole.len() - logits.len()..], 1e-5);
                *new = (0..1 + step as u32 % 3)
                    .map(|k| (step as u32 * 7 + k * 3 + *i as u32 * 5) % 64)
                    .collect();
                texts[*i].extend(&*new);
            }
            for (_, over, _) in
                speaking.extract_if(.., |(i, ..)| *i == 2 && step == 10 || *i < 2 && step == 60)
            {
                cache.end(over);
            }
        }
        assert!(
            cache.tokens_in_use() > 300,
            "the room is too large to test anything"
        );
    }
}
