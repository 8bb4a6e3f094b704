//! Reasons that several rows share. A note lists all names with the same one, so they are the same
//! string.

/// Names of kernels, compilers and loaders.
pub(super) const KERNELS: &str = "only affects the kernels of the other engine";
/// Names of how rows are loaded and kept.
pub(super) const ROWS_IN_MEMORY: &str = "rows are read into memory once, and an epoch trains on every row";
/// Names of what is logged.
pub(super) const EVERY_STEP: &str = "every step is reported anyway";
/// Names about ranks and what they shard.
pub(super) const RANKS: &str = "`zero_stage` sets what ranks shard; the launcher sets the number of ranks";
/// Names that switch on a tracker that is not supported.
pub(super) const OTHER_TRACKER: &str =
    "a run is sent to TensorBoard and Weights & Biases only; leave it out, and set `report_to`";
/// Settings of trackers that are not supported; they switch none on.
pub(super) const OF_OTHER_TRACKER: &str = "belongs to a tracker that is not supported";
/// Names of parts of an adapter that are not supported.
pub(super) const PLAIN_LORA: &str =
    "an adapter is plain LoRA of linear layers, A random and B zero; leave it out";
/// Settings of models with experts.
pub(super) const NO_EXPERTS: &str = "models have no experts here; leave it out";
/// Names of a tokenizer or a template, where they can only be the model's.
pub(super) const OWN_TOKENIZER: &str = "the model's own tokenizer, template and configuration are used";
/// Names of another tokenizer, template or configuration.
pub(super) const IN_MODEL_FOLDER: &str =
    "the model's own tokenizer, template and configuration are used; change them in its folder";
/// Settings of methods that are not supported.
pub(super) const NOT_SUPPORTED: &str = "is not supported; leave it out";
/// Names of a measurement after the training.
pub(super) const MEASURED_LATER: &str = "`toolcall eval` scores a trained model";
