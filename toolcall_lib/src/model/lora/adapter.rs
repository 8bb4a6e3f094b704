//! An adapter: the low-rank matrices of every targeted projection, and where they lie.

use super::config::{LoraConfig, TargetModule};
use crate::error::{Error, Result};
use crate::model::projection::Projection;
use crate::ops::matmul::{Matrix, Output, Precision, matmul_into};
use crate::weights::{Layout, Parameters, Slot};
use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::sync::Arc;

/// A LoRA adapter of a decoder.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its settings.
    pub config: LoraConfig,
    /// `A` and `B` of every targeted layer under the names that PEFT gives them in `adapter_model.safetensors`; a bucket is a
    /// block of the model.
    pub parameters: Parameters,
    /// The model that it belongs to, as it was named when that was loaded: PEFT's `base_model_name_or_path`.
    pub base: String,
    places: Vec<[Option<Place>; 4]>,
}

/// Where the matrices of one joint projection lie in the adapter's bucket.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// All `A` of it, one below the other: `[targets · r, in]`.
    pub a: Range<usize>,
    pub targets: Vec<Target>,
}

/// One targeted layer of a joint projection.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its part of the columns of the joint output.
    pub columns: Range<usize>,
    /// Its `B`, `[columns, r]`.
    pub b: Range<usize>,
}

impl Adapter {
    /// The tensors of an adapter for a model with this layout. The `A` of a joint projection are neighbours, one product.
    ///
    /// # Errors
    /// Target modules that the model does not have.
    pub fn layout(config: &LoraConfig, base: &Layout) -> Result<Arc<Layout>> {
        let slot = |layer, target: TargetModule| base.slot(&weight_name(layer, target));
        let layers = (0..)
            .take_while(|&layer| slot(layer, TargetModule::QProj).is_some())
            .count();
        config.target_modules.check(layers)?;
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

    /// An adapter that changes nothing yet, initialised as PEFT does: `A` uniform in `±1/√in` (Kaiming uniform with `a = √5`),
    /// `B` zero.
    pub fn new(config: LoraConfig, base: &Layout, base_name: &str, seed: u64) -> Result<Self> {
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

    /// An adapter with given matrices, whose layout is that of [`Adapter::layout`].
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
                "its matrices are not those of its settings",
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

    /// The matrices of a joint projection, if any of its layers is targeted.
    pub(crate) fn place(&self, layer: usize, projection: Projection) -> Option<&Place> {
        self.places[layer][projection as usize].as_ref()
    }

    /// The same without its matrices.
    #[cfg(feature = "cuda")]
    pub(crate) fn without_weights(&self) -> Self {
        Self {
            config: self.config.clone(),
            parameters: Parameters::default(),
            base: self.base.clone(),
            places: self.places.clone(),
        }
    }

    /// Adds `scale · B · A` to the weights of the model, as PEFT's `merge_and_unload`.
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

/// The Hugging Face name of a targeted weight.
fn weight_name(layer: usize, target: TargetModule) -> String {
    format!("model.layers.{layer}.{}.weight", target.path())
}

/// PEFT's name of `A` or `B`.
fn name(layer: usize, target: TargetModule, matrix: char) -> String {
    let path = target.path();
    format!("base_model.model.model.layers.{layer}.{path}.lora_{matrix}.weight")
}

/// Where the matrices of a block lie, by [`Projection`].
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
