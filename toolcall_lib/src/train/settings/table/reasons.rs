//! Reasons that several rows share. A note lists all names with the same one, so they are the same
//! text.

/// Names of kernels, compilers and loaders.
pub(super) const KERNELS: &str = "is about the kernels of the other engine";
/// Names of how rows are loaded and kept.
pub(super) const ROWS_IN_MEMORY: &str =
    "rows are read into memory once, and every row of an epoch is trained";
/// Names of what is logged.
pub(super) const EVERY_STEP: &str = "every step is reported as it is";
/// Names of how ranks are started, and of what they divide.
pub(super) const RANKS: &str =
    "`zero_stage` says what ranks divide, and how they were started how many they are";
/// Names that switch on a tracker that is not supported.
pub(super) const OTHER_TRACKER: &str =
    "a run is sent to TensorBoard and Weights & Biases only; leave it out, and set `report_to`";
/// Settings of a tracker that is not switched on by them.
pub(super) const OF_OTHER_TRACKER: &str = "belongs to a tracker that is not supported";
/// Names of parts of an adapter that are not supported.
pub(super) const PLAIN_LORA: &str =
    "an adapter is plain LoRA of linear layers, A random and B zero; leave it out";
/// Names of experts.
pub(super) const NO_EXPERTS: &str = "models have no experts here; leave it out";
/// Names of a tokenizer or a template, where they can only be the model's.
pub(super) const OWN_TOKENIZER: &str = "the model's own tokenizer, template and configuration count";
/// Names of another tokenizer, template or configuration.
pub(super) const IN_MODEL_FOLDER: &str =
    "tokenizer, template and configuration are those of the model; put them into its folder";
/// Names of methods that are not here.
pub(super) const NOT_SUPPORTED: &str = "is not supported; leave it out";
/// Names of a measurement after the training.
pub(super) const MEASURED_LATER: &str = "`toolcall eval` measures a model that is trained";
