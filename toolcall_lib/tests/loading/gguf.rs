//! GGUF files. The tests write them as llama.cpp's converter does.

use super::{assert_says, tiny};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use toolcall_lib::config::{Llama3RopeScaling, ModelConfig};
use toolcall_lib::weights::{Dtype, ModelSource, Parameters, RawModel, read, read_as};

/// Control tokens, then user-defined ones.
const ADDED: [&str; 4] = ["<|endoftext|>", "<|im_end|>", "<tool_call>", "</tool_call>"];
const FIRST_MERGE: u32 = 4 + 256;

/// A file that is about to be written.
struct Gguf {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, QTensor>,
}

impl Gguf {
    /// Weights in `dtype`, norms and biases in f32.
    fn new(config: &ModelConfig, parameters: &Parameters, dtype: GgmlDType) -> Self {
        let tensor = |slot: &toolcall_lib::weights::Slot| {
            let values = parameters.get(&slot.name).unwrap();
            let mut tensor = Tensor::from_slice(values, slot.shape.as_slice(), &Device::Cpu).unwrap();
            if config.model_type == "llama" && (slot.name.contains("q_proj") || slot.name.contains("k_proj"))
            {
                tensor = neighbours(&tensor, config.head_dim);
            }
            let dtype = if slot.shape.len() == 2 {
                dtype
            } else {
                GgmlDType::F32
            };
            (
                llama_cpp_name(&slot.name),
                QTensor::quantize(&tensor, dtype).unwrap(),
            )
        };
        let tensors = parameters.layout.slots().iter().map(tensor).collect();
        Self {
            metadata: metadata(config),
            tensors,
        }
    }

    fn tiny(model_type: &str) -> Self {
        let config = tiny(model_type);
        Self::new(&config, &Parameters::random(&config, 1), GgmlDType::F32)
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.insert(key.into(), value);
        self
    }

    fn write(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let metadata: Vec<_> = self
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
        (folder, path)
    }

    fn read(&self) -> toolcall_lib::Result<RawModel> {
        let (_folder, path) = self.write();
        read(&ModelSource::find(path.to_str().unwrap())?)
    }
}

/// Rows of each head in llama.cpp's order: those that rotate together are neighbours.
fn neighbours(weight: &Tensor, head_dim: usize) -> Tensor {
    let (rows, columns) = weight.dims2().unwrap();
    let heads = weight
        .reshape((rows / head_dim, 2, head_dim / 2, columns))
        .unwrap();
    heads
        .transpose(1, 2)
        .unwrap()
        .contiguous()
        .unwrap()
        .reshape((rows, columns))
        .unwrap()
}

fn llama_cpp_name(name: &str) -> String {
    let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ];
    names
        .iter()
        .fold(name.into(), |name: String, (from, to)| name.replace(from, to))
}

fn metadata(config: &ModelConfig) -> BTreeMap<String, Value> {
    let key = |name: &str| format!("{}.{name}", config.model_type);
    let size = |n: usize| Value::U32(n as u32);
    let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    let mut alphabet: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    alphabet.sort();
    let merged = ["12", "Ġa", "23", "ab"].map(String::from);
    let merges = ["1 2", "Ġ a", "2 3", "a b"].map(String::from);
    let padding = (FIRST_MERGE as usize + merged.len()..config.vocab_size).map(|id| format!("[PAD{id}]"));
    let tokens: Vec<String> = ADDED
        .map(String::from)
        .into_iter()
        .chain(alphabet)
        .chain(merged)
        .chain(padding)
        .collect();
    let kind = |token: &String| match ADDED.iter().position(|added| added == token) {
        Some(0 | 1) => 3,
        Some(_) => 4,
        None if token.starts_with("[PAD") => 5,
        None => 1,
    };
    let kinds = tokens.iter().map(|token| Value::I32(kind(token))).collect();
    BTreeMap::from([
        (
            "general.architecture".into(),
            Value::String(config.model_type.clone()),
        ),
        (key("block_count"), size(config.num_hidden_layers)),
        (key("context_length"), size(config.max_position_embeddings)),
        (key("embedding_length"), size(config.hidden_size)),
        (key("feed_forward_length"), size(config.intermediate_size)),
        (key("attention.head_count"), size(config.num_attention_heads)),
        (key("attention.head_count_kv"), size(config.num_key_value_heads)),
        (key("attention.key_length"), size(config.head_dim)),
        (
            key("attention.layer_norm_rms_epsilon"),
            Value::F32(config.rms_norm_eps as f32),
        ),
        (key("rope.freq_base"), Value::F32(config.rope_theta as f32)),
        ("tokenizer.ggml.model".into(), Value::String("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Value::String("qwen2".into())),
        ("tokenizer.ggml.tokens".into(), texts(tokens)),
        ("tokenizer.ggml.token_type".into(), Value::Array(kinds)),
        ("tokenizer.ggml.merges".into(), texts(merges.into())),
        ("tokenizer.ggml.bos_token_id".into(), Value::U32(0)),
        ("tokenizer.ggml.eos_token_id".into(), Value::U32(1)),
        (
            "tokenizer.chat_template".into(),
            Value::String("{{ messages }}".into()),
        ),
    ])
}

fn ids(model: &RawModel, text: &str) -> Vec<u32> {
    model.tokenizer.encode(text, false).unwrap().get_ids().to_vec()
}

#[test]
fn config_and_weights_are_those_of_the_original() {
    for model_type in ["llama", "qwen2", "qwen3"] {
        for tied in [true, false] {
            let config = ModelConfig {
                tie_word_embeddings: tied,
                ..tiny(model_type)
            };
            let parameters = Parameters::random(&config, 4);
            let model = Gguf::new(&config, &parameters, GgmlDType::F32).read().unwrap();
            assert_eq!(model.config, config);
            assert_eq!(model.weights.to_f32().buckets, parameters.buckets, "{model_type}");
            assert_eq!(model.chat_template.as_deref(), Some("{{ messages }}"));
            assert_eq!(model.eos_token_ids, [1]);
            assert_eq!(model.tokenizer_config["eos_token"], "<|im_end|>");
        }
    }
}

#[test]
fn quantized_weights_are_dequantized_block_by_block() {
    let config = tiny("llama");
    let parameters = Parameters::random(&config, 4);
    for dtype in [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q8_0,
        GgmlDType::F16,
        GgmlDType::BF16,
    ] {
        let model = Gguf::new(&config, &parameters, dtype).read().unwrap();
        for slot in parameters
            .layout
            .slots()
            .iter()
            .filter(|slot| slot.shape.len() == 2)
        {
            let original = Tensor::from_slice(
                parameters.get(&slot.name).unwrap(),
                slot.shape.as_slice(),
                &Device::Cpu,
            );
            let expected = QTensor::quantize(&original.unwrap(), dtype)
                .unwrap()
                .dequantize(&Device::Cpu)
                .unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(
                model.weights.to_f32().get(&slot.name).unwrap(),
                expected,
                "{dtype:?} {}",
                slot.name
            );
        }
    }
}

#[test]
fn packed_weights_keep_the_blocks_of_the_file() {
    for model_type in ["llama", "qwen3"] {
        let config = tiny(model_type);
        for (dtype, bytes) in [(GgmlDType::Q4_0, 18.0 / 32.0), (GgmlDType::Q4_1, 20.0 / 32.0)] {
            let gguf = Gguf::new(&config, &Parameters::random(&config, 4), dtype);
            let (_folder, path) = gguf.write();
            let packed = read_as(&ModelSource::Gguf(path), Dtype::Auto).unwrap().weights;
            let unpacked = gguf.read().unwrap().weights.to_f32().buckets.clone();
            assert_eq!(packed.to_f32().buckets, unpacked, "{model_type} {dtype:?}");
            let per_element = packed.bytes() as f64 / packed.len() as f64;
            assert!((bytes..bytes + 0.05).contains(&per_element), "{per_element}");
        }
    }
}

#[test]
fn the_rotary_scaling_of_llama_3_is_found_in_its_factors() {
    let mut gguf = Gguf::tiny("llama");
    // transformers' inverse frequencies for theta 5e5, head_dim 32: unscaled over scaled by factor
    // 32, 1, 4, 8192.
    let factors: [f32; 16] = [
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
        3.292_262_8,
        32.0,
        32.0,
        32.0,
        32.0,
        32.0,
        32.0,
        32.0,
    ];
    let tensor = |factors: &[f32]| {
        QTensor::quantize(
            &Tensor::from_slice(factors, factors.len(), &Device::Cpu).unwrap(),
            GgmlDType::F32,
        )
        .unwrap()
    };
    gguf.tensors.insert("rope_freqs.weight".into(), tensor(&factors));
    let scaling = Llama3RopeScaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    assert_eq!(gguf.read().unwrap().config.rope_scaling, Some(scaling));
    gguf.tensors
        .insert("rope_freqs.weight".into(), tensor(&[2.0; 16]));
    assert_says(
        gguf.read().unwrap_err(),
        &["rope_freqs.weight", "differ from Llama 3's"],
    );
}

#[test]
fn added_tokens_have_one_id_and_only_control_tokens_are_special() {
    let model = Gguf::tiny("qwen3").read().unwrap();
    let text = "<tool_call>ab<|im_end|>";
    assert_eq!(ids(&model, text), [2, FIRST_MERGE + 3, 1]);
    assert_eq!(model.tokenizer.decode(&ids(&model, text), false).unwrap(), text);
    assert_eq!(
        model.tokenizer.decode(&ids(&model, text), true).unwrap(),
        "<tool_call>ab"
    );
    assert_eq!(model.tokenizer.token_to_id("[PAD300]"), None);
}

#[test]
fn any_text_survives_and_qwen_composes_accents() {
    let model = Gguf::tiny("qwen3").read().unwrap();
    let again = |text| model.tokenizer.decode(&ids(&model, text), false).unwrap();
    assert_eq!(again("naïve 日本語 🕐\r\n\t"), "naïve 日本語 🕐\r\n\t");
    assert_eq!(again("a\u{301}"), "á");
}

#[test]
fn digits_are_split_as_each_kind_of_tokenizer_does() {
    let pieces = |pre: &str| {
        let model = Gguf::tiny("qwen3")
            .with("tokenizer.ggml.pre", Value::String(pre.into()))
            .read()
            .unwrap();
        model
            .tokenizer
            .encode("x 1223 ab", false)
            .unwrap()
            .get_tokens()
            .join("|")
    };
    assert_eq!(pieces("qwen2"), "x|Ġ|1|2|2|3|Ġa|b");
    assert_eq!(pieces("smollm"), "x|Ġ|1|2|2|3|Ġa|b");
    assert_eq!(pieces("llama-bpe"), "x|Ġ|12|2|3|Ġa|b");
    assert_eq!(pieces("gpt-2"), "x|Ġ|12|23|Ġa|b");
    assert_eq!(pieces("tekken"), "x|Ġ|1|2|2|3|Ġa|b");
    for (name, same) in [
        ("default", "gpt-2"),
        ("deepseek-r1-qwen", "qwen2"),
        ("llama3", "llama-bpe"),
        ("llama-v3", "llama-bpe"),
        ("falcon3", "llama-bpe"),
        ("refact", "smollm"),
        ("llama4", "gpt-4o"),
    ] {
        assert_eq!(pieces(name), pieces(same));
    }
}

#[test]
fn a_file_that_does_not_say_how_text_is_cut_is_read_with_a_note() {
    let mut gguf = Gguf::tiny("qwen3");
    gguf.metadata.remove("tokenizer.ggml.pre");
    let model = gguf.read().unwrap();
    let [note] = &model.notes[..] else {
        panic!("{:?}", model.notes)
    };
    assert!(
        note.starts_with("tokenizer.ggml.pre is missing in ") && note.contains("as `gpt-2` does"),
        "{note}"
    );
    assert_eq!(Gguf::tiny("qwen3").read().unwrap().notes, [] as [String; 0]);
}

#[test]
fn the_begin_of_text_token_is_added_where_the_model_wants_it() {
    let gguf = Gguf::tiny("qwen3").with("tokenizer.ggml.add_bos_token", Value::Bool(true));
    let encoded = gguf.read().unwrap().tokenizer.encode("ab", true).unwrap();
    assert_eq!(encoded.get_ids(), [0, FIRST_MERGE + 3]);
}

#[test]
fn what_we_do_not_have_is_refused_by_name() {
    let text = |text: &str| Value::String(text.into());
    for (key, value, says) in [
        (
            "general.architecture",
            text("gemma3"),
            "`gemma3` is not supported; supported are llama",
        ),
        ("qwen3.expert_count", Value::U32(8), "a mixture of 8 experts"),
        ("qwen3.rope.scaling.type", text("yarn"), "`yarn` is not supported"),
        (
            "qwen3.rope.dimension_count",
            Value::U32(16),
            "supported is the width of a head, 32",
        ),
        ("tokenizer.ggml.model", text("llama"), "only gpt2"),
        ("tokenizer.ggml.pre", text("bloom"), "`bloom` is not supported"),
        (
            "tokenizer.ggml.eos_token_id",
            Value::U32(1000),
            "1000 is not in the vocabulary",
        ),
        (
            "qwen3.block_count",
            Value::U32(3),
            "these tensors are missing: blk.2.attn_k.weight",
        ),
        (
            "qwen3.embedding_length",
            Value::String("64".into()),
            "is not a count",
        ),
    ] {
        assert_says(
            Gguf::tiny("qwen3").with(key, value).read().unwrap_err(),
            &["tiny.gguf", says],
        );
    }
}

#[test]
fn a_file_that_was_cut_off_is_an_error_at_any_length() {
    let (_folder, path) = Gguf::tiny("qwen3").write();
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(bytes.len() / 40) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert_says(
            read(&ModelSource::Gguf(path.clone())).unwrap_err(),
            &["tiny.gguf"],
        );
    }
}
