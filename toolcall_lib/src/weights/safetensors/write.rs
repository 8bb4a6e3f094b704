//! Writing safetensors.

use crate::error::{Error, Result};
use crate::files;
use crate::weights::{Dtype, Layout, Parameters};
use half::bf16;
use safetensors::Dtype as StoredDtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// Writes all tensors as f32 or bf16 to `path`. The file appears when it is complete, so that
/// `path` never holds half a model.
///
/// # Errors
/// Another `dtype`, or a file that cannot be written.
pub fn save(parameters: &Parameters, path: &Path, dtype: Dtype) -> Result<()> {
    files::replace(path, |out| write(out, path, parameters, dtype))
}

/// Writes the bytes of a safetensors file to `out`; messages name it `path`.
pub(crate) fn write(out: &mut impl Write, path: &Path, parameters: &Parameters, dtype: Dtype) -> Result<()> {
    let bucket = |bucket: usize| Ok(Cow::Borrowed(parameters.buckets[bucket].as_slice()));
    write_buckets(out, path, &parameters.layout, dtype, bucket)
}

/// Writes like [`write`], but fetches the elements of each `bucket` of `layout` when they are
/// written, the first bucket first.
pub(crate) fn write_buckets<'a>(
    out: &mut impl Write,
    path: &Path,
    layout: &Layout,
    dtype: Dtype,
    mut bucket: impl FnMut(usize) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    let dtype = match dtype {
        Dtype::F32 => StoredDtype::F32,
        Dtype::Bf16 => StoredDtype::BF16,
        other => {
            let problem = format!("{other:?} cannot be written to safetensors; expected f32 or bf16");
            return Err(Error::invalid("dtype", problem));
        }
    };
    let failed = |e| Error::io(path)(e);
    // Length of the header, header, tensors.
    let header = header(layout, dtype).map_err(Error::library(format!("writing {}", path.display())))?;
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(failed)?;
    out.write_all(&header).map_err(failed)?;
    for slots in layout.slots().chunk_by(|a, b| a.bucket == b.bucket) {
        let values = bucket(slots[0].bucket)?;
        for slot in slots {
            write_values(out, &values[slot.range()], dtype).map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes the JSON in front of the tensors, padded so that they start at a multiple of 8 bytes.
fn header(
    layout: &Layout,
    dtype: StoredDtype,
) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut end = 0;
    let tensor = |slot: &crate::weights::Slot| {
        let start = end;
        end += slot.len() * dtype.bitsize() / 8;
        let info = TensorInfo {
            dtype,
            shape: slot.shape.clone(),
            data_offsets: (start, end),
        };
        (slot.name.clone(), info)
    };
    let tensors = layout.slots().iter().map(tensor).collect();
    // `format: pt` is what transformers expects.
    let metadata = Metadata::new(Some(HashMap::from([("format".into(), "pt".into())])), tensors)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn write_values(out: &mut impl Write, values: &[f32], dtype: StoredDtype) -> std::io::Result<()> {
    if dtype == StoredDtype::F32 {
        return out.write_all(bytemuck::cast_slice(values));
    }
    values
        .iter()
        .try_for_each(|value| out.write_all(&bf16::from_f32(*value).to_le_bytes()))
}
