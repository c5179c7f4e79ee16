//! Weights as safetensors: readable from Python and by anything else that reads the format.

use std::collections::HashMap;
use std::path::Path;

use fed_model::MlpSpec;
use safetensors::tensor::{Dtype, TensorView};

use crate::durable;
use crate::error::SimError;

/// Writes `params` as tensors `dense_0.kernel [in, out]`, `dense_0.bias [out]`, `dense_1.kernel`
/// and so on, in single precision; whole or not at all, and durably.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be written.
///
/// # Panics
/// If `params` does not fit `spec`.
pub fn save(path: &Path, spec: &MlpSpec, params: &[f32]) -> Result<(), SimError> {
    assert_eq!(params.len(), spec.dim(), "the parameters fit the network");
    let bytes: Vec<u8> = params.iter().flat_map(|value| value.to_le_bytes()).collect();
    let refused = |error: safetensors::SafeTensorError| {
        SimError::io(path)(std::io::Error::other(error.to_string()))
    };
    let mut tensors = Vec::new();
    let mut start = 0;
    for (layer, (inputs, outputs)) in spec.layers().enumerate() {
        for (name, shape) in [("kernel", vec![inputs, outputs]), ("bias", vec![outputs])] {
            let end = start + 4 * shape.iter().product::<usize>();
            let view = TensorView::new(Dtype::F32, shape, &bytes[start..end]).map_err(refused)?;
            tensors.push((format!("dense_{layer}.{name}"), view));
            start = end;
        }
    }
    let metadata = HashMap::from([("layout".to_owned(), "y = x kernel + bias".to_owned())]);
    let file = safetensors::serialize(tensors, Some(metadata)).map_err(refused)?;
    durable::replace(path, &file)
}

/// Reads weights that [`save`] wrote.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be read, [`SimError::Config`] if it holds something else.
pub fn load(path: &Path, spec: &MlpSpec) -> Result<Vec<f32>, SimError> {
    let refused = |message: String| SimError::config(path.display().to_string(), message);
    let bytes = std::fs::read(path).map_err(SimError::io(path))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|error| refused(error.to_string()))?;
    let mut params = Vec::with_capacity(spec.dim());
    for (layer, (inputs, outputs)) in spec.layers().enumerate() {
        for (name, shape) in [("kernel", vec![inputs, outputs]), ("bias", vec![outputs])] {
            let name = format!("dense_{layer}.{name}");
            let tensor = file.tensor(&name).map_err(|error| refused(error.to_string()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(refused(format!(
                    "{name} is {:?} {:?}, but the network needs F32 {shape:?}",
                    tensor.dtype(),
                    tensor.shape()
                )));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            params.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_bit_for_bit() {
        let spec = MlpSpec::new([3, 4, 2]);
        let params: Vec<f32> = (0..spec.dim()).map(|i| (i as f32).sin()).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        save(&path, &spec, &params).expect("written");
        let back = load(&path, &spec).expect("read");
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&params));
        let other = load(&path, &MlpSpec::new([3, 5, 2])).expect_err("another network");
        assert!(other.to_string().contains("dense_0.kernel"), "{other}");
    }
}
