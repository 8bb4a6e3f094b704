//! The weights of a model, in the form that it holds.

use super::dtype::Dtype;
use super::frozen::Frozen;
use super::layout::{Layout, Slot, Span};
use super::parameters::Parameters;
use super::stored::Stored;
use super::tensor::Tensor;
use crate::error::Result;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// The weights of a model, in the form that it holds.
#[derive(Clone, Debug)]
pub enum Weights {
    /// f32 weights, which can be trained and saved.
    Full(Parameters),
    /// Packed weights, which are only read.
    Frozen(Frozen),
}

impl Default for Weights {
    fn default() -> Self {
        Self::Full(Parameters::default())
    }
}

impl From<Parameters> for Weights {
    fn from(parameters: Parameters) -> Self {
        Self::Full(parameters)
    }
}

impl Weights {
    /// Reads every tensor of `layout`, as f32 or packed as `dtype`, from the file or folder
    /// `place`.
    ///
    /// # Errors
    /// An element is infinite or NaN there, or too large for `dtype`.
    pub(super) fn read(
        layout: Arc<Layout>,
        stored: &impl Stored,
        dtype: Dtype,
        place: &Path,
    ) -> Result<Self> {
        let weights = match dtype {
            Dtype::F32 => Self::Full(Parameters::read(layout, stored)?),
            _ => Self::Frozen(Frozen::read(layout, stored, dtype)?),
        };
        weights.refuse_not_finite(stored, dtype, place)?;
        Ok(weights)
    }

    /// Packs these weights.
    #[cfg(test)]
    pub(crate) fn packed_for_test(parameters: &Parameters, dtype: Dtype) -> Self {
        Self::read(parameters.layout.clone(), parameters, dtype, Path::new("memory")).unwrap()
    }

    /// Returns the place of each tensor.
    pub fn layout(&self) -> &Arc<Layout> {
        match self {
            Self::Full(parameters) => &parameters.layout,
            Self::Frozen(frozen) => &frozen.layout,
        }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.layout().slots().iter().map(Slot::len).sum()
    }

    /// Returns true for a model without weights, which does not exist.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of memory that the weights take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Full(parameters) => parameters.len() * size_of::<f32>(),
            Self::Frozen(frozen) => frozen.bytes(),
        }
    }

    /// Returns matrices that lie side by side, one below the other.
    pub fn matrix(&self, span: &Span) -> Tensor<'_> {
        match self {
            Self::Full(parameters) => {
                let elements = &parameters.buckets[span.bucket][span.elements.clone()];
                Tensor::new(elements, span.columns)
            }
            Self::Frozen(frozen) => frozen.matrix(span),
        }
    }

    /// Returns vectors that lie side by side.
    pub fn vector(&self, span: &Span) -> &[f32] {
        match self {
            Self::Full(parameters) => &parameters.buckets[span.bucket][span.elements.clone()],
            Self::Frozen(frozen) => frozen.vector(span),
        }
    }

    /// Returns true if no matrix is more precise than bf16 or f16.
    pub fn is_rounded(&self) -> bool {
        match self {
            Self::Full(_) => false,
            Self::Frozen(frozen) => frozen.is_rounded(),
        }
    }

    /// Turns the weights into f32; unpacks them if they are packed.
    pub fn into_f32(self) -> Parameters {
        match self {
            Self::Full(parameters) => parameters,
            Self::Frozen(frozen) => frozen.to_f32(),
        }
    }

    /// Returns all weights as f32, unpacked if they are packed.
    pub fn to_f32(&self) -> Cow<'_, Parameters> {
        match self {
            Self::Full(parameters) => Cow::Borrowed(parameters),
            Self::Frozen(frozen) => Cow::Owned(frozen.to_f32()),
        }
    }
}
