//! Weights in safetensors.

use super::{assert_says, golden, read_json, tiny, write_json};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use toolcall_lib::Dtype;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::weights::Parameters;
use toolcall_lib::weights::safetensors::save;
use toolcall_lib::{Result, weights};

fn read(folder: &Path, config: &ModelConfig) -> Result<Parameters> {
    let weights = weights::safetensors::read(folder, config, Dtype::F32)?;
    Ok(weights.to_f32().into_owned())
}

fn tensors(parameters: &Parameters) -> HashMap<String, Tensor> {
    let tensor = |slot: &toolcall_lib::weights::Slot| {
        let values = parameters.get(&slot.name).unwrap();
        (
            slot.name.clone(),
            Tensor::from_slice(values, slot.shape.as_slice(), &Device::Cpu).unwrap(),
        )
    };
    parameters.layout.slots().iter().map(tensor).collect()
}

fn write(folder: &Path, file: &str, tensors: &HashMap<String, Tensor>) {
    candle_core::safetensors::save(tensors, folder.join(file)).unwrap();
}

#[test]
fn a_folder_of_transformers_is_read_as_candle_reads_it() {
    for name in ["llama", "llama_untied", "qwen2", "qwen3"] {
        let config_file = golden(name).join("config.json");
        let config = ModelConfig::from_json(&read_json(&config_file), &config_file).unwrap();
        let parameters = read(&golden(name), &config).unwrap();
        let expected =
            candle_core::safetensors::load(golden(name).join("model.safetensors"), &Device::Cpu).unwrap();
        assert_eq!(expected.len(), parameters.layout.slots().len());
        for (name, tensor) in expected {
            let expected: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(parameters.get(&name).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn shards_of_half_precision_become_f32() {
    let config = tiny("qwen3");
    let original = Parameters::random(&config, 3);
    for dtype in [DType::F16, DType::BF16] {
        let folder = tempfile::tempdir().unwrap();
        let half = tensors(&original)
            .into_iter()
            .map(|(name, t)| (name, t.to_dtype(dtype).unwrap()));
        let (first, second): (HashMap<_, _>, HashMap<_, _>) =
            half.partition(|(name, _)| name.contains("layers.0"));
        write(folder.path(), "model-00001-of-00002.safetensors", &first);
        write(folder.path(), "model-00002-of-00002.safetensors", &second);
        let file = |name: &String| (name.clone(), if first.contains_key(name) { 1 } else { 2 });
        let map: HashMap<_, _> = first.keys().chain(second.keys()).map(file).collect();
        let map: HashMap<_, _> = map
            .into_iter()
            .map(|(name, n)| (name, format!("model-0000{n}-of-00002.safetensors")))
            .collect();
        write_json(
            folder.path(),
            "model.safetensors.index.json",
            json!({"metadata": {}, "weight_map": map}),
        );
        let parameters = read(folder.path(), &config).unwrap();
        for (name, tensor) in first.iter().chain(&second) {
            let expected: Vec<f32> = tensor
                .to_dtype(DType::F32)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            assert_eq!(parameters.get(name).unwrap(), expected, "{name}");
        }
        std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
        let error = read(folder.path(), &config).unwrap_err();
        assert_says(
            error,
            &["these files are missing: model-00002-of-00002.safetensors"],
        );
    }
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let map = json!({"lm_head.weight": "../secret.safetensors"});
    write_json(
        folder.path(),
        "model.safetensors.index.json",
        json!({"weight_map": map}),
    );
    assert_says(
        read(folder.path(), &tiny("llama")).unwrap_err(),
        &["weight_map", "is not a file name"],
    );
}

#[test]
fn all_tensors_that_do_not_fit_are_named() {
    let (config, folder) = (tiny("qwen3"), tempfile::tempdir().unwrap());
    let mut tensors = tensors(&Parameters::random(&config, 0));
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    tensors.remove("model.norm.weight");
    tensors.remove("model.layers.1.mlp.up_proj.weight");
    tensors.insert("score.weight".into(), zeros(&[2], DType::F32));
    tensors.insert(
        "model.layers.0.input_layernorm.weight".into(),
        zeros(&[65], DType::F32),
    );
    tensors.insert(
        "model.layers.1.input_layernorm.weight".into(),
        zeros(&[64], DType::F64),
    );
    write(folder.path(), "model.safetensors", &tensors);
    let says = [
        "missing: model.layers.1.mlp.up_proj.weight, model.norm.weight",
        "unknown to the config: score.weight",
        "model.layers.0.input_layernorm.weight has shape [65], but the config expects [64]",
        "model.layers.1.input_layernorm.weight is stored as F64",
    ];
    assert_says(read(folder.path(), &config).unwrap_err(), &says);
}

#[test]
fn rotary_tables_and_a_head_that_repeats_the_embedding_are_harmless() {
    let (config, folder) = (tiny("llama"), tempfile::tempdir().unwrap());
    let mut tensors = tensors(&Parameters::random(&config, 0));
    let table = Tensor::zeros(&[16], DType::F32, &Device::Cpu).unwrap();
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), table);
    let embedding = tensors["model.embed_tokens.weight"].clone();
    tensors.insert("lm_head.weight".into(), embedding.clone());
    write(folder.path(), "model.safetensors", &tensors);
    assert!(read(folder.path(), &config).is_ok());
    tensors.insert("lm_head.weight".into(), (embedding * 2.0).unwrap());
    write(folder.path(), "model.safetensors", &tensors);
    assert_says(
        read(folder.path(), &config).unwrap_err(),
        &["unknown to the config: lm_head.weight"],
    );
}

#[test]
fn what_is_saved_is_read_back_and_says_that_it_is_for_pytorch() {
    let (config, folder) = (tiny("mistral"), tempfile::tempdir().unwrap());
    let parameters = Parameters::random(&config, 5);
    let file = folder.path().join("model.safetensors");
    save(&parameters, &file, Dtype::F32).unwrap();
    assert_eq!(read(folder.path(), &config).unwrap().buckets, parameters.buckets);
    let bytes = std::fs::read(&file).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_save_that_fails_leaves_the_old_file_alone() {
    let (config, folder) = (tiny("llama"), tempfile::tempdir().unwrap());
    let file = folder.path().join("model.safetensors");
    let old = Parameters::random(&config, 1);
    save(&old, &file, Dtype::F32).unwrap();
    std::fs::create_dir(folder.path().join(".model.safetensors.saving")).unwrap(); // so that nothing can be written
    assert_says(
        save(&Parameters::random(&config, 2), &file, Dtype::F32).unwrap_err(),
        &["model.safetensors: Is a directory"],
    );
    assert_eq!(read(folder.path(), &config).unwrap().buckets, old.buckets);
}

#[test]
fn a_file_that_was_cut_off_is_refused_as_damaged() {
    let (config, folder) = (tiny("llama"), tempfile::tempdir().unwrap());
    let file = folder.path().join("model.safetensors");
    save(&Parameters::random(&config, 1), &file, Dtype::F32).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        assert_says(
            read(folder.path(), &config).unwrap_err(),
            &["model.safetensors", "damaged or not complete"],
        );
    }
}
