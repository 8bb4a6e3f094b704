//! Targets of the fuzzer: everything that reads outside data.

use super::mutate::Kind;
use crate::common::golden::Golden;
use crate::common::tiny_config::tiny_config;
use crate::common::tiny_model::tiny_model;
use crate::common::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use serde_json::{Map, Value, from_slice, json};
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use toolcall_lib::config::ModelConfig;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::Tokenizer;
use toolcall_lib::train::TrainConfig;
use toolcall_lib::weights::{Dtype, Layout, Parameters, TextFiles, gguf, safetensors};
use toolcall_lib::{
    AugmentConfig, Error, GenerateConfig, Lists, Message, Model, ToolCall, ToolSchema, augment, generate,
    load, load_tools, reply,
};

/// Most bytes of an error message.
const LONGEST_MESSAGE: usize = 64 << 10;

/// A reader.
pub struct Target {
    pub name: &'static str,
    pub kind: Kind,
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input in its own folder; an error is an answer too.
    pub read: fn(&Path, &[u8]) -> Result<(), Error>,
    /// Number of inputs for this target among a million for all targets.
    pub of_a_million: u64,
}

pub const TARGETS: [Target; 10] = [
    Target {
        name: "dataset",
        kind: Kind::Json,
        seeds: rows,
        read: dataset,
        of_a_million: 150_000,
    },
    Target {
        name: "settings",
        kind: Kind::Json,
        seeds: settings_seeds,
        read: settings,
        of_a_million: 200_000,
    },
    Target {
        name: "configs",
        kind: Kind::Json,
        seeds: config_seeds,
        read: configs,
        of_a_million: 90_000,
    },
    Target {
        name: "template",
        kind: Kind::Text(JINJA),
        seeds: templates,
        read: template,
        of_a_million: 60_000,
    },
    Target {
        name: "tokenizer",
        kind: Kind::Json,
        seeds: tokenizers,
        read: tokenizer,
        of_a_million: 30_000,
    },
    Target {
        name: "safetensors",
        kind: Kind::Safetensors,
        seeds: tensors,
        read: weights,
        of_a_million: 120_000,
    },
    Target {
        name: "gguf",
        kind: Kind::Binary,
        seeds: ggufs,
        read: gguf_file,
        of_a_million: 50_000,
    },
    Target {
        name: "schema",
        kind: Kind::Json,
        seeds: schemas,
        read: schema,
        of_a_million: 50_000,
    },
    Target {
        name: "augment",
        kind: Kind::Json,
        seeds: own_tools,
        read: own_rows,
        of_a_million: 10_000,
    },
    Target {
        name: "reply",
        kind: Kind::Text(CALLS),
        seeds: replies,
        read: reply_text,
        of_a_million: 240_000,
    },
];

/// Fails if a message is too long or contains control characters.
pub fn check_message(error: &Error) {
    let text = error.to_string();
    assert!(text.len() <= LONGEST_MESSAGE, "a message of {} bytes", text.len());
    let command = text.chars().find(|&c| c.is_control() && c != '\n' && c != '\t');
    assert_eq!(command, None, "{text}");
}

fn bytes(seeds: &[Value]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.to_string().into_bytes()).collect()
}

pub fn timer_tool() -> Value {
    json!({"type": "function", "function": {"name": "start_timer", "description": "Starts a timer.", "parameters": {
        "type": "object",
        "properties": {
            "duration": {"type": "integer", "minimum": 1, "maximum": 86400, "multipleOf": 5},
            "unit": {"type": "string", "enum": ["s", "min"]},
            "label": {"type": ["string", "null"], "maxLength": 40, "pattern": "^[A-Z][a-z]+$"},
            "stops": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/stop"}},
            "mode": {"anyOf": [{"const": "loud"}, {"type": "object", "additionalProperties": {"type": "number"}}]}
        },
        "required": ["duration"],
        "$defs": {"stop": {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}}
    }}})
}

fn rows() -> Vec<Vec<u8>> {
    let call = json!([{"id": "a", "type": "function", "function": {"name": "start_timer", "arguments": {"duration": 60}}}]);
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Set a timer for a minute."},
        {"role": "assistant", "content": "", "tool_calls": call},
        {"role": "tool", "name": "start_timer", "content": "60"},
        {"role": "assistant", "content": "Done.", "reasoning_content": "It is set."}
    ]);
    let text = json!([{"function": {"name": "start_timer", "arguments": "{\"duration\": 60}"}}]);
    let short = json!([
        {"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": text}, {"role": "tool", "content": "ok"}
    ]);
    let shared = json!({"conversations": [
        {"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"},
    ], "system": "x", "tools": json!([timer_tool()]).to_string()});
    let mut seeds = bytes(&[
        json!([{"messages": messages, "tools": [timer_tool()]}, {"messages": short, "tools": [timer_tool()]}]),
        json!({"messages": [messages, short], "tools": [[timer_tool()], [timer_tool()]]}),
        shared.clone(),
    ]);
    let line = json!({"messages": short, "tools": [timer_tool()]});
    seeds.push(format!("{line}\n{shared}\n\n{line}\n").into_bytes());
    seeds
}

fn dataset(folder: &Path, input: &[u8]) -> Result<(), Error> {
    let name = if input.len().is_multiple_of(2) {
        "data.json"
    } else {
        "data.jsonl"
    };
    let file = folder.join(name);
    fs::write(&file, input).unwrap();
    let data = Dataset::load(&file)?;
    data.describe().to_string();
    data.split(0.5, 1).map(drop)
}

fn settings_seeds() -> Vec<Vec<u8>> {
    let ours = serde_json::to_value(TrainConfig::lora()).unwrap();
    bytes(&[
        ours,
        json!({"max_steps": 5, "learning_rate": 1e-4, "loss": "assistant", "lora": {"r": 8, "target_modules": ["q_proj"]}}),
        json!({
            "base_model": "a", "datasets": [{"path": "a.json", "type": "chat_template"}], "adapter": "qlora", "lora_r": "8",
            "eval_strategy": "steps", "eval_steps": 5, "warmup_steps": 0.1, "max_steps": -1, "optim": "adamw_8bit"
        }),
        json!({
            "lora_parameters": {"rank": 8, "scale": 20.0, "keys": ["self_attn.q_proj"]}, "iters": 10, "mask_prompt": true,
            "lr_schedule": {"name": "cosine_decay", "arguments": [1e-5, 10, 1e-7], "warmup": 2}, "lora_target": "all"
        }),
        json!({
            "train_batch_size": "auto", "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
            "gradient_clipping": 1.0, "bf16": {"enabled": true}, "fp16": {"enabled": false},
            "optimizer": {"type": "AdamW", "params": {"lr": 2e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}},
            "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 30, "warmup_num_steps": 3}},
            "zero_optimization": {"stage": 2, "overlap_comm": true, "offload_optimizer": {"device": "cpu"}}
        }),
    ])
}

fn settings(_: &Path, input: &[u8]) -> Result<(), Error> {
    let map: Map<String, Value> = from_slice(input).map_err(|e| Error::invalid("settings", e))?;
    for ranks in [1, 3] {
        TrainConfig::default().with_file(map.clone(), ranks)?;
    }
    Ok(())
}

fn config_seeds() -> Vec<Vec<u8>> {
    let mut seeds = bytes(&[
        Value::from(tiny_config().to_json(&[1])),
        json!({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05, "eos_token_id": [1, 2]}),
    ]);
    let golden = Golden::adapter("llama").folder.join("adapter_config.json");
    seeds.push(fs::read(golden).unwrap());
    seeds
}

/// Reads `config.json`, `generation_config.json` and `adapter_config.json`.
fn configs(folder: &Path, input: &[u8]) -> Result<(), Error> {
    let map: Map<String, Value> = from_slice(input).map_err(|e| Error::invalid("config", e))?;
    if map.contains_key("peft_type") {
        fs::write(folder.join("adapter_config.json"), input).unwrap();
        return load(folder.to_str().unwrap()).map(drop);
    }
    let model = Model {
        generation_config: map.clone(),
        ..model()
    };
    let generation = GenerateConfig::of(&model).map(drop);
    let config = ModelConfig::from_json(&map, Path::new("config.json"))?;
    Layout::new(&config);
    config.inverse_frequencies();
    generation
}

const JINJA: &[&str] = &[
    "{% for x in range(99999) %}",
    "{% endfor %}",
    "{% if x %}",
    "{% else %}",
    "{% elif y %}",
    "{% endif %}",
    "{% set x = [x, x] %}",
    "{% set ns.x = [ns.x, ns.x] %}",
    "{% set ns = namespace(x=[]) %}",
    "{{ ns.x }}",
    "{{ x|tojson(indent=9999999999) }}",
    "{{ 'a'*9999999999 }}",
    "{% macro m(x) %}{{ m(x) }}{% endmacro %}",
    "{{ m(1) }}",
    "{{ messages }}",
    "{{ tools|tojson }}",
    "{{ x.replace('a', x) }}",
    "{{ x.join(range(9999)) }}",
    "{{ x|join(x) }}",
    "{% generation %}",
    "{% endgeneration %}",
    "{{ raise_exception('no') }}",
    "{{ strftime_now('%Y') }}",
    "{% set x = x ~ x %}",
    "{% set x = x + x %}",
    "{% break %}",
    "{% continue %}",
    "{% include 'chat template' %}",
    "{% call m() %}",
    "{% endcall %}",
    "{% filter upper %}",
    "{% endfilter %}",
    "{% raw %}",
    "{% endraw %}",
    "{#",
    "#}",
    "{{",
    "}}",
    "{%-",
    "-%}",
    "|",
    "(",
    "[",
    "not ",
    "- ",
    ".a",
    "['a']",
    " if ",
    " else ",
    " in ",
    "namespace()",
    "loop(x)",
    " recursive",
    "is defined",
    "none",
    "\u{1b}[2J",
    "{{ '%99999999999s'|format(x) }}",
    "{{ '{:>9999999999}'.format(x) }}",
    "{{ x[::-1] }}",
    "{{ x|sort }}",
    "{{ x|unique|list }}",
    "{{ x == x }}",
];

fn templates() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let mut seeds: Vec<Vec<u8>> = walk(&folder).iter().map(|file| fs::read(file).unwrap()).collect();
    seeds.push(ChatTemplate::hermes(END_OF_TURN).unwrap().source().into());
    seeds
}

/// Returns the Jinja files in a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (folders, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| path.is_dir());
    let jinja = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "jinja"));
    jinja
        .chain(folders.iter().flat_map(|folder| walk(folder)))
        .collect()
}

fn template(_: &Path, input: &[u8]) -> Result<(), Error> {
    let template = ChatTemplate::new(&String::from_utf8_lossy(input), &Map::new())?;
    let call = ToolCall::new("start_timer", json!({"duration": 60, "label": "ä"})).unwrap();
    let messages = [
        Message::user("Set a timer."),
        Message::assistant_calls(vec![call]),
        Message::tool("start_timer", "60"),
        Message::assistant("Done."),
    ];
    let tools = [ToolSchema::new(timer_tool()).unwrap()];
    template.supports_tools();
    template.render_prompt(&messages, &tools).map(drop)
}

fn tokenizers() -> Vec<Vec<u8>> {
    let byte_level: Value = serde_json::from_str(&tiny_tokenizer().to_json().unwrap()).unwrap();
    let vocabulary = |words: &[&str]| -> Map<String, Value> {
        (0..)
            .zip(words)
            .map(|(i, word)| (word.to_string(), json!(i)))
            .collect()
    };
    let added = json!([{"id": 0, "content": "<|im_end|>", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false}]);
    let pieces = vocabulary(&["<|im_end|>", "<0x0A>", "▁", "a", "b", "▁a", "ab"]);
    let sentence_piece = json!({
        "version": "1.0", "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "NFKC"},
            {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Lowercase"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\p{L}+|\\d"}, "behavior": "Isolated", "invert": false},
            {"type": "Digits", "individual_digits": true}, {"type": "Punctuation", "behavior": "Contiguous"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|im_end|>": {"id": "<|im_end|>", "ids": [0], "tokens": ["<|im_end|>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        ]},
        "truncation": null, "padding": null,
        "model": {"type": "BPE", "vocab": pieces, "merges": [["a", "b"], ["▁", "a"]], "unk_token": "a", "byte_fallback": true, "fuse_unk": true,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "dropout": null, "ignore_merges": false}
    });
    let mut unigram = sentence_piece.clone();
    unigram["model"] = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<|im_end|>", 0.0], ["a", -1.5], ["b", -2.0], ["ab", -0.5]]});
    unigram["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhAGIA"});
    let mut word_piece = sentence_piece.clone();
    word_piece["model"] = json!({"type": "WordPiece", "vocab": vocabulary(&["<|im_end|>", "a", "##b", "[UNK]"]), "unk_token": "[UNK]",
        "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
    word_piece["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    word_piece["normalizer"] = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
    let mut words = sentence_piece.clone();
    words["model"] = json!({"type": "WordLevel", "vocab": vocabulary(&["<|im_end|>", "a", "[UNK]"]), "unk_token": "[UNK]"});
    words["pre_tokenizer"] = json!({"type": "FixedLength", "length": 5});
    bytes(&[byte_level, sentence_piece, unigram, word_piece, words])
}

fn tokenizer(folder: &Path, input: &[u8]) -> Result<(), Error> {
    fs::write(folder.join("tokenizer.json"), input).unwrap();
    let files = TextFiles::read(folder)?;
    let tokenizer = Tokenizer::new(files.tokenizer, vec![0]);
    for text in [
        "Set a timer for 10 minutes, ä漢👍🏽.\n\n  <|im_end|>",
        "",
        "\u{0}\u{1}",
        &"ab ".repeat(300),
    ] {
        let ids = tokenizer.encode(text)?;
        tokenizer.decode(&ids)?;
        tokenizer.pieces(&ids)?;
    }
    tokenizer.decode(&[0, 1, 2, 3, u32::MAX])?;
    tokenizer.to_json().map(drop)
}

/// Returns the smallest possible model configuration.
fn smallest() -> ModelConfig {
    ModelConfig {
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 11,
        ..tiny_config()
    }
}

fn tensors() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    [Dtype::F32, Dtype::Bf16]
        .map(|dtype| {
            safetensors::save(&Parameters::random(&smallest(), 1), &file, dtype).unwrap();
            fs::read(&file).unwrap()
        })
        .into()
}

fn weights(folder: &Path, input: &[u8]) -> Result<(), Error> {
    static LAYOUT: LazyLock<Arc<Layout>> = LazyLock::new(|| Arc::new(Layout::new(&smallest())));
    let file = folder.join("model.safetensors");
    fs::write(&file, input).unwrap();
    safetensors::read_file(&file, LAYOUT.clone()).map(drop)
}

fn ggufs() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    let tokenizer = tiny_tokenizer();
    ["qwen3", "llama"]
        .map(|model_type| {
            let config = ModelConfig {
                model_type: model_type.to_string(),
                vocab_size: tokenizer.vocab_size(),
                qk_norm: model_type == "qwen3",
                ..smallest()
            };
            let export = gguf::Export {
                name: "tiny",
                config: &config,
                parameters: &Parameters::random(&config, 1),
                tokenizer: &tokenizer,
                chat_template: "{{ messages }}",
                additional_chat_templates: &[],
                tools: &[],
            };
            gguf::save(&export, &file, Dtype::F32).unwrap();
            fs::read(&file).unwrap()
        })
        .into()
}

fn gguf_file(folder: &Path, input: &[u8]) -> Result<(), Error> {
    let file = folder.join("model.gguf");
    fs::write(&file, input).unwrap();
    gguf::read(&file, Dtype::F32).map(drop)
}

fn schemas() -> Vec<Vec<u8>> {
    let tool = |parameters: Value| json!({"name": "f", "description": "Does it.", "parameters": parameters});
    bytes(&[
        timer_tool(),
        tool(json!({"type": "object", "properties": {
            "a": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": ["string", "null"]}]},
            "b": {"allOf": [{"type": "number", "minimum": -1.5, "exclusiveMaximum": 7}]},
            "c": {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "boolean"}]},
            "d": {"type": "object", "properties": {"e": {"type": "string", "nullable": true}}, "additionalProperties": false, "minProperties": 1}
        }, "required": ["a", "d"]})),
        tool(
            json!({"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}},
            "$defs": {"t": {"type": "object", "properties": {"of": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}}}),
        ),
    ])
}

/// Returns a model of the smallest shape whose vocabulary is that of the tiny tokenizer.
fn model() -> Model {
    static MODEL: LazyLock<Model> = LazyLock::new(tiny_model);
    MODEL.clone()
}

/// Uses a schema in both ways: arguments are checked against it, and replies are constrained to it.
fn schema(_: &Path, input: &[u8]) -> Result<(), Error> {
    static MODEL: LazyLock<Model> = LazyLock::new(tiny_model);
    let schema: Value = from_slice(input).map_err(|e| Error::invalid("schema", e))?;
    let tool = ToolSchema::new(schema)?;
    let arguments = json!({"duration": 60, "label": null, "stops": [{"at": 1}], "a": [1, "x"], "b": 3.5, "d": {"e": 1}, "t": {"of": [{}]}});
    tool.check(arguments.as_object().unwrap());
    let config = GenerateConfig {
        tool_choice: ToolChoice::Required,
        max_new_tokens: 3,
        ..GenerateConfig::default()
    };
    generate(&MODEL, &[Message::user("Go.")], &[tool], &config).map(drop)
}

fn own_tools() -> Vec<Vec<u8>> {
    let rent = json!({"name": "rent_boat", "description": "Rents a boat.", "parameters": {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["row_boat", "SB2"], "description": "SB2 is the sailing boat."},
            "hours": {"type": ["integer", "null"], "minimum": 1, "maximum": 8},
            "price_value": {"type": "number", "exclusiveMinimum": 0},
            "guest": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "days": {"type": "array", "items": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}
        },
        "required": ["kind", "guest"]
    }});
    let said = json!([
        {"role": "user", "content": "A row boat for Ann Lee, 2 hours, $30."},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "rent_boat", "arguments":
            {"kind": "row_boat", "hours": 2, "price_value": 30, "guest": {"name": "Ann Lee"}, "days": ["2025-03-14"]}}}]},
        {"role": "tool", "name": "rent_boat", "content": "boat 7"},
        {"role": "assistant", "content": "Ann Lee has boat 7."}
    ]);
    bytes(&[
        json!({"tools": [rent, timer_tool()], "rows": [{"messages": said}]}),
        json!({"tools": [rent], "rows": []}),
        json!({"tools": [from_slice::<Value>(&schemas()[2]).unwrap()], "rows": []}), // refers to itself
    ])
}

/// Makes rows from tools and rows of a user.
fn own_rows(folder: &Path, input: &[u8]) -> Result<(), Error> {
    static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::embedded().unwrap());
    let input: Value = from_slice(input).map_err(|e| Error::invalid("input", e))?;
    let [tools, rows] = ["tools", "rows"].map(|name| {
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, input[name].to_string()).unwrap();
        file
    });
    let tools = load_tools(tools)?;
    let rows = match input["rows"].as_array().is_some_and(Vec::is_empty) {
        true => Dataset::default(),
        false => Dataset::load_with_tools(rows, &tools)?,
    };
    let config = AugmentConfig {
        rows: 24 + rows.rows.len(),
        ..AugmentConfig::default()
    };
    augment(&LISTS, &tools, &rows, &config).map(drop)
}

const CALLS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "<|im_end|>",
    "{\"name\": ",
    "\"arguments\": ",
    "{",
    "}",
    "[",
    "\\\"",
    "\"",
    ",",
    ":",
    "null",
    "\\u0000",
    "\\ud800",
    "1e999",
    "\n",
    "ä漢👍🏽",
    "\u{1b}[2J",
    "{\"name\": \"f\", \"arguments\": {}}",
    "\"{\\\"a\\\": 1}\"",
    "\u{feff}",
];

fn replies() -> Vec<Vec<u8>> {
    [
        "<think>\nA minute.\n</think>\n\nNow:\n<tool_call>\n{\"name\": \"start_timer\", \"arguments\": {\"duration\": 60}}\n</tool_call><|im_end|>",
        "<tool_call>{\"name\": \"a\", \"arguments\": \"{\\\"b\\\": [1, null]}\"}</tool_call>\n<tool_call>{\"name\": \"c\"}</tool_call>",
        "Just text, with <tags> and {\"json\": true}.",
    ]
    .map(Vec::from)
    .into()
}

fn reply_text(_: &Path, input: &[u8]) -> Result<(), Error> {
    let reply = reply::parse(&String::from_utf8_lossy(input));
    let again = reply::parse(&reply.to_string());
    assert!(!reply.malformed || reply.tool_calls.is_empty());
    drop(again);
    match reply.malformed {
        true => Err(Error::invalid("reply", "malformed")),
        false => {
            reply.into_message().to_string();
            Ok(())
        }
    }
}
