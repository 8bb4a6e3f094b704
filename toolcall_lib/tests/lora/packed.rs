//! Frozen weights that are packed: results are those of their unpacked values.

use super::{gradients, load_adapter, pack, peft_folder};
use crate::common::golden::{Golden, assert_close};
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use toolcall_lib::generate::Generator;
use toolcall_lib::model::{Decoder, KvStore, Recompute, Workspace};
use toolcall_lib::optimizer::norm;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::weights::Weights;
use toolcall_lib::{Dtype, GenerateConfig, LoraConfig, Model, generate, load, load_as, save};

/// The same decoder with its weights as f32.
fn unpacked(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    decoder.weights = decoder.weights.to_f32().into_owned().into();
    decoder
}

#[test]
fn every_dtype_computes_what_its_unpacked_weights_compute() {
    for (name, dtype) in [
        ("qwen3", Dtype::Bf16),
        ("qwen3", Dtype::Q8_0),
        ("qwen2", Dtype::Q4_0),
        ("llama_untied", Dtype::Q8_0),
        ("llama", Dtype::Auto),
    ] {
        let decoder = load_adapter(&peft_folder(name), dtype).decoder;
        assert!(matches!(decoder.weights, Weights::Frozen(_)));
        let dense = unpacked(&decoder);
        let sequences = Golden::model(name).sequences();
        // generation rounds the inputs of packed weights to bf16, or to integers of 16 bits
        let (logits, want) = [&decoder, &dense]
            .map(|decoder| decoder.logits(&sequences[0].ids).unwrap())
            .into();
        assert_close(&format!("{name} {dtype:?}"), &logits, &want, 3e-2);
        let batch = [pack(&sequences)];
        for recompute in [Recompute::Norms, Recompute::Block] {
            let (loss, packed) = gradients(&decoder, &batch, recompute, 0);
            let (want, full) = gradients(&dense, &batch, recompute, 0);
            assert_eq!((loss, packed.buckets), (want, full.buckets), "{name} {dtype:?}");
        }
    }
}

#[test]
fn packing_loses_what_its_bits_lose() {
    let golden = Golden::model("qwen3");
    let folder = peft_folder("qwen3");
    let exact = load_adapter(&folder, Dtype::F32).decoder;
    let full = exact.weights.to_f32();
    for (dtype, error, bytes) in [
        (Dtype::Bf16, 2e-3, 2.0),
        (Dtype::Q8_0, 5e-3, 1.2),
        (Dtype::Q4_0, 0.1, 1.0),
    ] {
        let decoder = load_adapter(&folder, dtype).decoder;
        let packed = decoder.weights.to_f32();
        let squares = packed.buckets.iter().flatten().zip(full.buckets.iter().flatten());
        let lost: f64 = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let lost = lost.sqrt() / norm(&full);
        assert!(lost > 0.0 && lost < error, "{dtype:?}: {lost}");
        let per_element = decoder.weights.bytes() as f64 / full.len() as f64;
        assert!(
            per_element < bytes + 0.2,
            "{dtype:?}: {per_element} bytes an element"
        );
        let logits = decoder.logits(&golden.sequences()[0].ids).unwrap();
        let want = exact.logits(&golden.sequences()[0].ids).unwrap();
        assert_close(&format!("{dtype:?}"), &logits, &want, 3e-2 + 10.0 * error as f32);
    }
}

#[test]
fn a_packed_model_is_trained_with_lora_and_only_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    save(&tiny_model(), &base).unwrap();
    let mut model = load_as(base.to_str().unwrap(), Dtype::Q8_0).unwrap();
    let refusal = train(&mut model, &timers(2), &config(1), |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("packed and cannot be trained; set `lora`"),
        "{refusal}"
    );
    let settings = TrainConfig {
        learning_rate: 1e-2,
        lora: Some(LoraConfig::default()),
        ..config(20)
    };
    let report = train(&mut model, &timers(2), &settings, |_| {}).unwrap();
    assert!(report.steps[19].loss < 0.9 * report.steps[0].loss);

    let data = timers(2);
    let (messages, tools) = (&data.rows[0].messages[..1], &data.rows[0].tools[..]);
    let short = GenerateConfig {
        max_new_tokens: 6,
        ..GenerateConfig::default()
    };
    let ask = |model: &Model| generate(model, messages, tools, &short).unwrap().ids;
    let reply = ask(&model);
    assert_eq!(
        Generator::new(&model, short.clone())
            .replies(&[(messages, tools)])
            .unwrap()[0]
            .ids,
        reply
    );
    let out = folder.path().join("adapter");
    save(&model, &out).unwrap();
    let again = load_as(out.to_str().unwrap(), Dtype::Q8_0).unwrap();
    assert_eq!(ask(&again), reply);

    // merged it is a model like any other
    model.merge();
    assert!(matches!(model.decoder.weights, Weights::Full(_)));
    assert_eq!(ask(&model), reply);
    save(&model, folder.path().join("merged")).unwrap();
    let merged = load(folder.path().join("merged").to_str().unwrap()).unwrap();
    assert_eq!(ask(&merged), reply);
}

/// The embedding is larger than one unpacked tile, and its last tile is not full.
#[test]
fn a_large_vocabulary_is_unpacked_in_tiles() {
    let tiny = tiny_model().decoder.config;
    let wide = toolcall_lib::config::ModelConfig {
        vocab_size: (5 << 22) / 2 / tiny.hidden_size + 7,
        num_hidden_layers: 1,
        ..tiny
    };
    let folder = tempfile::tempdir().unwrap();
    let parameters = toolcall_lib::weights::Parameters::random(&wide, 3);
    let file = folder.path().join("model.safetensors");
    toolcall_lib::weights::safetensors::save(&parameters, &file, Dtype::F32).unwrap();
    let weights = toolcall_lib::weights::safetensors::read(folder.path(), &wide, Dtype::Bf16).unwrap();
    let decoder = Decoder::new(wide.clone(), weights).unwrap();
    let last = wide.vocab_size as u32 - 1;
    let ids: Vec<u32> = vec![0, 5, last / 2, last - 1, last];
    let dense = unpacked(&decoder);
    for (few, decoder) in [&decoder, &dense].into_iter().enumerate() {
        assert_eq!(matches!(decoder.weights, Weights::Full(_)), few == 1);
    }
    assert_close(
        "logits",
        &decoder.logits(&ids).unwrap(),
        &dense.logits(&ids).unwrap(),
        3e-2,
    );
    let next = |decoder: &Decoder| {
        let mut cache = KvStore::new(&decoder.config, 1 << 20);
        let sequence = cache.begin(&ids);
        decoder
            .next_logits(&[(&sequence, &[])], &mut cache, &mut Workspace::default())
            .unwrap()
    };
    assert_close("next", &next(&decoder), &next(&dense), 3e-2);
    let batch = pack(&[toolcall_lib::tokens::Sequence {
        trained: vec![false, true, true, true, true],
        ids: ids.clone(),
    }]);
    let with_adapter = |decoder: &Decoder| {
        let mut model = tiny_model();
        model.decoder = decoder.clone();
        model.add_adapter(LoraConfig::default(), 1).unwrap();
        gradients(&model.decoder, std::slice::from_ref(&batch), Recompute::Norms, 0)
    };
    let ((loss, packed), (want, full)) = (with_adapter(&decoder), with_adapter(&dense));
    assert!((loss / want - 1.0).abs() < 1e-6);
    assert_close("gradient", &packed.buckets[0], &full.buckets[0], 1e-4);
}

#[test]
fn an_unknown_dtype_names_the_known_ones() {
    let refusal = "int4".parse::<Dtype>().unwrap_err().to_string();
    assert_eq!(
        refusal,
        "dtype: `int4` is not known; expected one of f32, bf16, f16, q8_0, q4_0, q4_k_m, auto"
    );
}
