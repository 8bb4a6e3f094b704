//! An adapter: the low-rank matrices of every targeted layer, and their places in the buckets.

use super::config::LoraConfig;
use super::dropout::{Mask, PassId};
use crate::error::{Error, Result};
use crate::model::projection::{Projection, TargetModule, in_block};
use crate::ops::matmul::{Matrix, Output, Precision, matmul_into};
use crate::weights::{Layout, Parameters, Slot};
use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// A LoRA adapter of a decoder.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The adapter's settings.
    pub config: LoraConfig,
    /// The matrices `A` and `B` of every targeted layer, under the names that PEFT gives them in
    /// `adapter_model.safetensors`. Each bucket is one block of the model.
    pub parameters: Parameters,
    /// Name of the model that the adapter belongs to, as it was given when that model was loaded:
    /// PEFT's `base_model_name_or_path`.
    pub base: String,
    /// For each block, the matrices by [`Projection`].
    places: Vec<[Option<Place>; 4]>,
}

/// Lists the modules of a model that cannot be adapted, by their names: all but the linear layers
/// of its blocks.
fn other_modules(base: &Layout, layers: usize) -> Vec<String> {
    let blocks = || 0..layers;
    let without_weights = blocks().map(|layer| in_block(layer, "mlp.act_fn"));
    let without_weights = without_weights.chain(["lm_head", "model.rotary_emb"].map(String::from));
    let mut names: BTreeSet<String> = without_weights.collect();
    for slot in base.slots() {
        let outer = slot
            .name
            .match_indices('.')
            .map(|(end, _)| slot.name[..end].to_string());
        names.extend(outer);
    }
    for layer in blocks() {
        for module in TargetModule::ALL {
            names.remove(&module.full_name(layer));
        }
    }
    names.into_iter().collect()
}

/// Places of the matrices of one joint projection within the bucket of its block.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Elements of all `A`, stacked: `[targets · r, in]`.
    pub a: Range<usize>,
    /// The targeted layers of the projection.
    pub targets: Vec<Target>,
}

/// A targeted layer of a joint projection.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Columns of the joint output that belong to the layer.
    pub columns: Range<usize>,
    /// Elements of its `B`, `[columns, r]`.
    pub b: Range<usize>,
}

impl Adapter {
    /// Lays out the tensors of an adapter for a model with the layout `base`. The `A` of a joint
    /// projection are neighbours, so that one product serves all.
    ///
    /// # Errors
    /// Target modules that the model does not have, or a regular expression that does not compile.
    pub fn layout(config: &LoraConfig, base: &Layout) -> Result<Arc<Layout>> {
        let slot = |layer, target: TargetModule| base.slot(&weight_name(layer, target));
        let layers = layers_of(base);
        let config = &config.clone().of_layers(layers)?;
        config
            .target_modules
            .check(layers, &other_modules(base, layers))?;
        let selector = config.target_modules.selector()?;
        let mut layout = Layout::with_buckets(layers);
        for layer in 0..layers {
            for projection in Projection::ALL {
                let targets = projection.modules().iter().copied();
                let targets = targets.filter(|target| selector.selects(layer, *target));
                let slots: Vec<_> = targets
                    .filter_map(|target| Some((target, slot(layer, target)?)))
                    .collect();
                for (target, slot) in &slots {
                    layout.push(layer, &name(layer, *target, 'A'), &[config.r, slot.shape[1]]);
                }
                for (target, slot) in &slots {
                    layout.push(layer, &name(layer, *target, 'B'), &[slot.shape[0], config.r]);
                }
            }
        }
        Ok(Arc::new(layout))
    }

    /// Creates an adapter that changes nothing yet, initialised as PEFT does: `A` uniform in
    /// `±1/√in` (Kaiming uniform with `a = √5`), `B` zero.
    ///
    /// # Errors
    /// See [`LoraConfig::check`] and [`Adapter::layout`].
    pub fn new(config: LoraConfig, base: &Layout, base_name: &str, seed: u64) -> Result<Self> {
        let config = config.of_layers(layers_of(base))?;
        let mut parameters = Parameters::zeros(Self::layout(&config, base)?);
        let layout = parameters.layout.clone();
        for (index, slot) in layout.slots().iter().enumerate() {
            if slot.name.ends_with("lora_A.weight") {
                let bound = 1.0 / (slot.shape[1] as f32).sqrt();
                let uniform = Uniform::new(-bound, bound).map_err(Error::library("initialising lora_A"))?;
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(index as u64);
                parameters.buckets[slot.bucket][slot.range()].fill_with(|| uniform.sample(&mut random));
            }
        }
        Self::from_parameters(config, base, base_name, parameters)
    }

    /// Creates an adapter from given matrices, whose layout must be that of [`Adapter::layout`].
    ///
    /// # Errors
    /// See [`LoraConfig::check`] and [`Adapter::layout`]; also matrices of another layout.
    pub fn from_parameters(
        config: LoraConfig,
        base: &Layout,
        base_name: &str,
        parameters: Parameters,
    ) -> Result<Self> {
        config.check()?;
        if *parameters.layout != *Self::layout(&config, base)? {
            return Err(Error::invalid(
                "adapter",
                "its matrices do not fit its settings; use the settings that it was trained with",
            ));
        }
        let layers = 0..parameters.buckets.len();
        Ok(Self {
            places: layers
                .map(|layer| places(layer, base, &parameters.layout))
                .collect(),
            config,
            parameters,
            base: base_name.to_string(),
        })
    }

    /// Returns the places of a joint projection's matrices, or `None` if none of its layers is
    /// targeted.
    pub(crate) fn place(&self, layer: usize, projection: Projection) -> Option<&Place> {
        self.places[layer][projection as usize].as_ref()
    }

    /// Returns the dropout mask of a projection's input, if the pass drops anything; `pass` is
    /// `None` outside training.
    pub(crate) fn mask(&self, layer: usize, projection: Projection, pass: Option<PassId>) -> Option<Mask> {
        let p = self.config.lora_dropout;
        pass.filter(|_| p > 0.0).map(|pass| Mask {
            pass,
            layer,
            projection,
            p,
        })
    }

    /// Copies the settings and places without the matrices.
    #[cfg(feature = "cuda")]
    pub(crate) fn without_weights(&self) -> Self {
        Self {
            config: self.config.clone(),
            parameters: Parameters::default(),
            base: self.base.clone(),
            places: self.places.clone(),
        }
    }

    /// Adds `scale · B · A` to the weights of the model, as PEFT's `merge_and_unload` does.
    pub(in crate::model) fn merge_into(&self, weights: &mut Parameters) {
        let r = self.config.r;
        for layer in 0..self.places.len() {
            for target in TargetModule::ALL {
                let [a, b] = ['A', 'B'].map(|matrix| self.parameters.get(&name(layer, target, matrix)));
                let weight = weights.get_mut(&weight_name(layer, target));
                let (Some(a), Some(b), Some(weight)) = (a, b, weight) else {
                    continue; // not targeted
                };
                let (input, output) = (a.len() / r, b.len() / r);
                let (a, b) = (Matrix::new(a, r, input), Matrix::new(b, output, r));
                let scale = self.config.scale();
                matmul_into(weight, input, Output::Add, scale, b, a, Precision::F32, true);
            }
        }
    }
}

/// Returns the number of layers of a model with this layout.
fn layers_of(base: &Layout) -> usize {
    let has = |layer: &usize| base.slot(&weight_name(*layer, TargetModule::QProj)).is_some();
    (0..).take_while(has).count()
}

/// Returns the Hugging Face name of a targeted weight.
fn weight_name(layer: usize, target: TargetModule) -> String {
    format!("{}.weight", target.full_name(layer))
}

/// Returns PEFT's name of `A` or `B`.
fn name(layer: usize, target: TargetModule, matrix: char) -> String {
    format!(
        "base_model.model.{}.lora_{matrix}.weight",
        target.full_name(layer)
    )
}

/// Finds the matrices of a block, by [`Projection`].
fn places(layer: usize, base: &Layout, layout: &Layout) -> [Option<Place>; 4] {
    Projection::ALL.map(|projection| {
        let (mut targets, mut a, mut column): (Vec<Target>, Option<Range<usize>>, usize) = Default::default();
        for target in projection.modules() {
            let outputs = base
                .slot(&weight_name(layer, *target))
                .map_or(0, |slot| slot.shape[0]);
            let columns = column..column + outputs;
            column = columns.end;
            let [slot_a, slot_b] = ['A', 'B'].map(|matrix| layout.slot(&name(layer, *target, matrix)));
            if let (Some(slot_a), Some(b)) = (slot_a, slot_b.map(Slot::range)) {
                a = Some(a.map_or(slot_a.offset, |a| a.start)..slot_a.range().end);
                targets.push(Target { columns, b });
            }
        }
        a.map(|a| Place { a, targets })
    })
}
