//! Names of PEFT's `LoraConfig`, which `adapter_config.json` and the group `lora` have, and of
//! Unsloth's `get_peft_model`.

use super::inputs;
use super::reasons;
use super::row::Becomes::{Note, Refused, Value};
use super::row::{Peer, Row, row};
use super::values as read;

const OWN: &[Peer] = &[Peer::Peft];
const BOTH: &[Peer] = &[Peer::Peft, Peer::Unsloth];
const UNSLOTH: &[Peer] = &[Peer::Unsloth];

pub(super) const ROWS: &[Row] = &[
    row(
        BOTH,
        &["r"],
        Value("`lora.r`; an adapter is trained", |said, value| {
            said.adapt("r", value)
        }),
    ),
    row(
        BOTH,
        &["target_modules"],
        Value("`lora.target_modules`; an adapter is trained", |said, value| {
            said.adapt("target_modules", value)
        }),
    ),
    row(
        BOTH,
        &["bias"],
        Value("must be `none`", |_, value| read::only(value, &["none"])),
    ),
    row(
        OWN,
        &["peft_type"],
        Value("must be `LORA`; an adapter is trained", |said, value| {
            said.asks_for_adapter = true;
            read::only(value, &["lora"])
        }),
    ),
    row(
        OWN,
        &["base_model_name_or_path"],
        Value("the model, as --model", inputs::model),
    ),
    row(
        OWN,
        &["revision"],
        Value("the revision of the model: owner/name@revision", read::revision),
    ),
    row(
        OWN,
        &["init_lora_weights"],
        Value("must be true: A random and B zero", inputs::init_lora_weights),
    ),
    row(
        BOTH,
        &[
            "modules_to_save",
            "layers_to_transform",
            "layers_pattern",
            "layer_replication",
            "exclude_modules",
            "rank_pattern",
            "alpha_pattern",
            "target_parameters",
            "trainable_token_indices",
            "fan_in_fan_out",
            "lora_bias",
            "use_qalora",
            "eva_config",
            "corda_config",
            "alora_invocation_tokens",
            "arrow_config",
            "ensure_weight_tying",
        ],
        Refused(reasons::PLAIN_LORA),
    ),
    row(
        &[
            Peer::Peft,
            Peer::Trl,
            Peer::Axolotl,
            Peer::LlamaFactory,
            Peer::Unsloth,
        ],
        &["use_dora", "loftq_config"],
        Refused(reasons::PLAIN_LORA),
    ),
    row(
        OWN,
        &[
            "task_type",
            "auto_mapping",
            "inference_mode",
            "peft_version",
            "megatron_config",
            "megatron_core",
            "qalora_group_size",
            "runtime_config",
        ],
        Note("says nothing about the training"),
    ),
    row(
        UNSLOTH,
        &["model_name"],
        Value("the model, as --model", inputs::model),
    ),
    row(
        UNSLOTH,
        &["use_gradient_checkpointing"],
        Value("`recompute`: `block` if true, `norms` if false", read::recompute),
    ),
    row(
        UNSLOTH,
        &["random_state"],
        Note("the start of an adapter is drawn with `seed`"),
    ),
];
