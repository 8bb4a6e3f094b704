//! The weights of a model on the device.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Element, Operand};
use super::ops::Device;
use super::ranks::{DeviceRanks, Ticket};
use crate::collective::Shard;
use crate::error::Result;
use crate::weights::{Layout, Parameters, Span};
use std::ops::Range;
use std::sync::Arc;

/// f32 weights, and where activations are bf16 a rounded copy of them, which is what products take.
///
/// With ZeRO, where there is a rounded copy, a rank has only its shard of the f32 weights: matrices travel rounded, and vectors by
/// themselves. The embedding stays whole, because its rows are read in f32.
#[derive(Debug)]
pub(super) struct DeviceWeights {
    pub layout: Arc<Layout>,
    /// Elements of the buckets.
    pub sizes: Vec<usize>,
    /// What this rank changes.
    shard: Shard,
    /// Of whole buckets with room for the parts of all ranks.
    masters: Vec<DeviceBuffer>,
    /// With room for the parts of all ranks.
    rounded: Vec<DeviceBuffer>,
    /// Of a bucket of which this rank has a shard, where its vectors stand in it, and where they begin in `vectors`.
    places: Vec<Option<(Range<usize>, usize)>>,
    vectors: DeviceBuffer,
}

impl DeviceWeights {
    /// A copy on the device, which this rank changes in its shard.
    pub fn new(device: &Device, weights: &Parameters, shard: Shard) -> Result<Self> {
        let driver = &device.driver;
        let rounds = device.element == Element::Bf16;
        let (mut masters, mut rounded, mut places, mut vectors) = (vec![], vec![], vec![], vec![]);
        for (bucket, values) in weights.buckets.iter().enumerate() {
            let whole = DeviceBuffer::new(driver, Element::F32, shard.room(values.len()))?;
            whole.all().upload(&**driver, values)?;
            if rounds {
                let copy = DeviceBuffer::new(driver, Element::Bf16, whole.len())?;
                device.round(whole.all().slice(0..values.len()), copy.all())?;
                rounded.push(copy);
            }
            if rounds && shard.size > 1 && bucket > 0 {
                let range = vectors_of(&weights.layout, bucket);
                places.push(Some((range.clone(), vectors.len())));
                vectors.extend_from_slice(&values[range]);
                drop(whole); // before there is memory for another
                let own = &values[shard.range(values.len())];
                masters.push(DeviceBuffer::from_host(driver, Element::F32, own)?);
            } else {
                places.push(None);
                masters.push(whole);
            }
        }
        vectors.resize(shard.room(vectors.len()), 0.0);
        Ok(Self {
            layout: weights.layout.clone(),
            sizes: weights.layout.bucket_sizes(),
            shard,
            masters,
            rounded,
            places,
            vectors: DeviceBuffer::from_host(driver, Element::F32, &vectors)?,
        })
    }

    /// Whether the f32 weights are not whole.
    pub fn divided(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// Some f32 weights of this rank's shard, by their elements in the bucket; and the place of their rounded copy, if there is one.
    pub fn own(&self, bucket: usize, elements: Range<usize>) -> (View, View) {
        let master = self.masters[bucket].all();
        let rounded = self.rounded.get(bucket);
        let rounded = rounded.map_or(View::EMPTY, |copy| copy.all().slice(elements.clone()));
        let first = self.places[bucket]
            .as_ref()
            .map_or(0, |_| self.shard.range(self.sizes[bucket]).start);
        (
            master.slice(elements.start - first..elements.end - first),
            rounded,
        )
    }

    /// Starts bringing the shards of a bucket that all ranks have changed to all of them.
    pub fn start_gather(&self, bucket: usize, ranks: &dyn DeviceRanks) -> Result<Ticket> {
        match self.places[bucket] {
            Some(_) => ranks.start_all_gather(self.rounded[bucket].all()),
            None => ranks.start_all_gather(self.masters[bucket].all()),
        }
    }

    /// Ends what [`DeviceWeights::start_gather`] has started for the buckets, in their order.
    pub fn finish_gather(
        &self,
        device: &Device,
        ranks: &dyn DeviceRanks,
        tickets: Vec<Ticket>,
    ) -> Result<()> {
        for (bucket, ticket) in tickets.into_iter().enumerate() {
            ranks.join(ticket)?;
            if let (None, Some(rounded)) = (&self.places[bucket], self.rounded.get(bucket)) {
                let master = self.masters[bucket].all().slice(0..self.sizes[bucket]);
                device.round(master, rounded.all())?;
            }
        }
        match self.divided() {
            true => self.gather_vectors(device, ranks),
            false => Ok(()),
        }
    }

    /// Each rank adds what it has of the vectors to zeros, and the sum over the ranks is all.
    fn gather_vectors(&self, device: &Device, ranks: &dyn DeviceRanks) -> Result<()> {
        let all = self.vectors.all();
        all.zero(&*device.driver)?;
        for (bucket, place) in self.places.iter().enumerate() {
            let Some((range, first)) = place else { continue };
            let own = self.shard.range(self.sizes[bucket]);
            let here = range.start.max(own.start)..range.end.min(own.end);
            if !here.is_empty() {
                let to = first + here.start - range.start..first + here.end - range.start;
                device.add(self.own(bucket, here).0, all.slice(to))?;
            }
        }
        let sums = ranks.start_reduce_scatter(all)?;
        let whole = ranks.start_all_gather(all)?;
        ranks.join(sums)?;
        ranks.join(whole)
    }

    /// A copy on the host: of the whole buckets, and of this rank's shard of the others.
    pub fn download(&self, device: &Device, weights: &mut Parameters) -> Result<()> {
        for (bucket, values) in weights.buckets.iter_mut().enumerate() {
            let part = match self.places[bucket] {
                Some(_) => self.shard.range(values.len()),
                None => 0..values.len(),
            };
            self.masters[bucket]
                .all()
                .download(&*device.driver, &mut values[part])?;
        }
        Ok(())
    }

    /// Vectors, or matrices as they are trained: the embedding.
    pub fn vector(&self, span: &Span) -> View {
        match &self.places[span.bucket] {
            Some((range, first)) => {
                let start = first + span.elements.start - range.start;
                self.vectors.all().slice(start..start + span.elements.len())
            }
            None => self.masters[span.bucket].all().slice(span.elements.clone()),
        }
    }

    /// Matrices as products take them.
    pub fn matrix(&self, span: &Span) -> Operand {
        let buckets = if self.rounded.is_empty() {
            &self.masters
        } else {
            &self.rounded
        };
        buckets[span.bucket]
            .all()
            .slice(span.elements.clone())
            .matrix(span.columns)
    }
}

/// Where the vectors of a bucket stand, which are neighbours.
fn vectors_of(layout: &Layout, bucket: usize) -> Range<usize> {
    let slots = layout.slots().iter();
    let vectors = slots.filter(|slot| slot.bucket == bucket && slot.shape.len() == 1);
    let ranges: Vec<Range<usize>> = vectors.map(|slot| slot.range()).collect();
    let start = ranges.first().map_or(0, |range| range.start);
    start..ranges.last().map_or(start, |range| range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::cuda::emulate::emulated;

    #[test]
    fn a_rank_has_its_shard_of_the_masters_and_all_vectors() {
        let config = ModelConfig {
            model_type: "qwen2".into(),
            vocab_size: 40,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 1,
            num_key_value_heads: 1,
            head_dim: 64,
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            rope_scaling: None,
            max_position_embeddings: 64,
            tie_word_embeddings: false,
            attention_bias: true,
            qk_norm: true,
        };
        let parameters = Parameters::random(&config, 1);
        let layout = &parameters.layout;
        let shard = Shard { rank: 1, size: 4 };
        for (element, divided) in [(Element::F32, false), (Element::Bf16, true)] {
            let device = Device::new(emulated(), element, 64).unwrap();
            let weights = DeviceWeights::new(&device, &parameters, shard).unwrap();
            assert_eq!(weights.divided(), divided);
            for (bucket, &size) in weights.sizes.iter().enumerate() {
                let part = if divided && bucket > 0 {
                    shard.range(size).len()
                } else {
                    shard.room(size)
                };
                assert_eq!(
                    weights.masters[bucket].len(),
                    part,
                    "bucket {bucket} in {element:?}"
                );
            }
            for slot in layout.slots().iter().filter(|slot| slot.shape.len() == 1) {
                let mut got = vec![0.0f32; slot.len()];
                let span = layout.span(&slot.name, &slot.name).unwrap();
                weights.vector(&span).download(&*device.driver, &mut got).unwrap();
                assert_eq!(
                    got,
                    parameters.buckets[slot.bucket][slot.range()],
                    "{}",
                    slot.name
                );
            }
        }
    }
}
