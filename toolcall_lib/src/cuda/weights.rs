//! The weights of a model, or of an adapter, on the device.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Driver, Element, Operand, Rounding};
use super::ops::Device;
use super::ranks::{DeviceRanks, Ticket};
use crate::collective::Shard;
use crate::error::Result;
use crate::weights::{Layout, Parameters, Span, Weights};
use std::ops::Range;
use std::sync::Arc;

/// Weights in the layout that they have on the host. Trained weights are f32; if activations are
/// bf16, there is a rounded copy of the matrices, which products read.
///
/// With ZeRO and a rounded copy, a rank keeps only its shard of the f32 weights: matrices travel
/// rounded, and vectors separately. The first bucket, the embedding, stays whole, because its rows
/// are read in f32.
#[derive(Debug)]
pub(super) struct DeviceWeights {
    pub layout: Arc<Layout>,
    /// Rounding of the copy.
    pub rounding: Rounding,
    /// Number of elements of each bucket.
    pub sizes: Vec<usize>,
    /// Part of the weights that this rank updates.
    shard: Shard,
    /// f32 weights: whole buckets with room for the parts of all ranks, or this rank's shard; empty
    /// if the weights are frozen.
    masters: Vec<DeviceBuffer>,
    /// Matrices in the type that products read, with room for the parts of all ranks; empty if
    /// products read the masters.
    rounded: Vec<DeviceBuffer>,
    /// For a bucket whose f32 weights are missing or divided: the range of its vectors, and where
    /// they begin in `vectors`.
    places: Vec<Option<(Range<usize>, usize)>>,
    vectors: DeviceBuffer,
}

impl DeviceWeights {
    /// Makes a copy that can be trained; this rank updates its shard.
    pub fn trained(device: &Device, weights: &Parameters, rounding: Rounding, shard: Shard) -> Result<Self> {
        let driver = &device.driver;
        let rounds = device.element == Element::Bf16;
        let (mut masters, mut rounded, mut places, mut vectors) = (vec![], vec![], vec![], vec![]);
        for (bucket, values) in weights.buckets.iter().enumerate() {
            // 1. The whole bucket, and its rounded copy.
            let whole = DeviceBuffer::new(driver, Element::F32, shard.room(values.len()))?;
            whole.all().upload(&**driver, values)?;
            if rounds {
                let copy = DeviceBuffer::new(driver, Element::Bf16, whole.len())?;
                device.round(whole.all().slice(0..values.len()), copy.all(), rounding)?;
                rounded.push(copy);
            }
            // 2. Keep only the shard of the f32 bucket, and its vectors apart.
            if rounds && shard.size > 1 && bucket > 0 {
                let range = vectors_of(&weights.layout, bucket);
                places.push(Some((range.clone(), vectors.len())));
                vectors.extend_from_slice(&values[range]);
                drop(whole); // before the next buffer is allocated
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
            rounding,
            sizes: weights.layout.bucket_sizes(),
            shard,
            masters,
            rounded,
            places,
            vectors: DeviceBuffer::from_host(driver, Element::F32, &vectors)?,
        })
    }

    /// Makes a read-only copy: matrices in the type of activations, unpacked if they are packed.
    pub fn frozen(device: &Device, weights: &Weights) -> Result<Self> {
        let (driver, layout) = (&device.driver, weights.layout().clone());
        let sizes = layout.bucket_sizes();
        let (mut rounded, mut places, mut vectors) = (vec![], vec![], vec![]);
        for (bucket, &size) in sizes.iter().enumerate() {
            // Matrices go to one buffer per bucket, vectors of all buckets to one list.
            let matrices = DeviceBuffer::new(driver, device.element, size)?;
            places.push(Some((vectors_of(&layout, bucket), vectors.len())));
            let slots = layout.slots().iter().enumerate();
            for (index, slot) in slots.filter(|(_, slot)| slot.bucket == bucket) {
                let span = slot.span(index);
                match slot.is_matrix() {
                    true => upload_matrix(device, weights, &span, matrices.all())?,
                    false => vectors.extend_from_slice(weights.vector(&span)),
                }
            }
            rounded.push(matrices);
        }
        Ok(Self {
            layout,
            rounding: Rounding::Nearest,
            sizes,
            shard: Shard::WHOLE,
            masters: Vec::new(),
            rounded,
            places,
            vectors: DeviceBuffer::from_host(driver, Element::F32, &vectors)?,
        })
    }

    /// Returns true if this rank has only its shard of some trained f32 weights.
    pub fn divided(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// Returns f32 weights of this rank's shard, by their elements in the bucket, and the elements
    /// of their rounded copy, empty if there is none.
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

    /// Starts gathering a bucket of which every rank has updated its shard.
    pub fn start_gather(&self, bucket: usize, ranks: &dyn DeviceRanks) -> Result<Ticket> {
        match self.places[bucket] {
            Some(_) => ranks.start_all_gather(self.rounded[bucket].all()),
            None => ranks.start_all_gather(self.masters[bucket].all()),
        }
    }

    /// Ends the gathering that [`DeviceWeights::start_gather`] has started for the buckets, in
    /// their order.
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
                device.round(master, rounded.all(), self.rounding)?;
            }
        }
        match self.vectors.len() {
            0 => Ok(()), // all masters are whole, or these are an adapter's weights
            _ => self.gather_vectors(device, ranks),
        }
    }

    /// Gathers the vectors: each rank adds its own elements to zeros, and the sum over the ranks is
    /// complete.
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

    /// Copies trained weights to the host: whole buckets, and this rank's shard of the divided
    /// ones.
    pub fn download(&self, driver: &dyn Driver, weights: &mut Parameters) -> Result<()> {
        for (bucket, values) in weights.buckets.iter_mut().enumerate() {
            let part = match self.places[bucket] {
                Some(_) => self.shard.range(values.len()),
                None => 0..values.len(),
            };
            self.masters[bucket].all().download(driver, &mut values[part])?;
        }
        Ok(())
    }

    /// Returns vectors that lie side by side, in f32.
    pub fn vector(&self, span: &Span) -> View {
        match &self.places[span.bucket] {
            Some((range, first)) => {
                let start = first + span.elements.start - range.start;
                self.vectors.all().slice(start..start + span.elements.len())
            }
            None => self.masters[span.bucket].all().slice(span.elements.clone()),
        }
    }

    /// Returns matrices in the type that products read.
    pub fn matrix(&self, span: &Span) -> Operand {
        self.elements(span.bucket, span.elements.clone())
            .matrix(span.columns)
    }

    /// Returns elements of a bucket in the type that products read.
    pub fn elements(&self, bucket: usize, elements: Range<usize>) -> View {
        let buckets = if self.rounded.is_empty() {
            &self.masters
        } else {
            &self.rounded
        };
        buckets[bucket].all().slice(elements)
    }

    /// Returns the embedding in the most precise form that there is, to look up rows.
    pub fn table(&self, span: &Span) -> View {
        let buckets = if self.masters.is_empty() {
            &self.rounded
        } else {
            &self.masters
        };
        buckets[span.bucket].all().slice(span.elements.clone())
    }
}

/// Returns the range of the vectors of a bucket, which lie side by side.
fn vectors_of(layout: &Layout, bucket: usize) -> Range<usize> {
    let slots = layout.slots().iter();
    let vectors = slots.filter(|slot| slot.bucket == bucket && !slot.is_matrix());
    let ranges: Vec<Range<usize>> = vectors.map(|slot| slot.range()).collect();
    let start = ranges.first().map_or(0, |range| range.start);
    start..ranges.last().map_or(start, |range| range.end)
}

/// Copies a matrix to its elements in a bucket of activations, some matrix rows at a time.
fn upload_matrix(device: &Device, weights: &Weights, span: &Span, bucket: View) -> Result<()> {
    let driver = &device.driver;
    let place = bucket.slice(span.elements.clone());
    let mut result = Ok(());
    weights.matrix(span).for_each_tile(|first, values| {
        let start = first * span.columns;
        let place = place.slice(start..start + values.len());
        let upload = || match device.element {
            Element::Bf16 => {
                let exact = DeviceBuffer::from_host(driver, Element::F32, values)?;
                device.round(exact.all(), place, Rounding::Nearest)
            }
            _ => place.upload(&**driver, values),
        };
        if result.is_ok() {
            result = upload();
        }
    });
    result
}

#[cfg(test)]
mod tests;
