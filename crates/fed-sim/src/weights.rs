//! Weights as safetensors: readable from Python and by anything else that reads the format.
//!
//! The metadata of the file say how the tensors are meant (`layout`) and which release they are:
//! the number of the run (`run_number`), the rounds of training (`rounds`) and the hash that its
//! ledger ended in (`ledger_head`). Two models with one run number, neither of whose heads stands
//! in the other's ledger, are two releases.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use dp_accounting::ledger::Bits128;
use fed_model::MlpSpec;
use safetensors::tensor::{Dtype, TensorView};

use crate::durable;
use crate::error::SimError;

/// Which release a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The number of the run; none in a run of an older version.
    pub run_number: Option<Bits128>,
    /// Rounds of training.
    pub rounds: u32,
    /// Hash of the last line of the ledger that paid for it.
    pub ledger_head: String,
}

/// Writes `params` as tensors `dense_0.kernel [in, out]`, `dense_0.bias [out]`, `dense_1.kernel`
/// and so on, in single precision; whole or not at all, and durably.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be written.
///
/// # Panics
/// If `params` does not fit `spec`.
pub fn save(path: &Path, spec: &MlpSpec, params: &[f32], origin: &Origin) -> Result<(), SimError> {
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
    let mut metadata = HashMap::from([
        ("layout".to_owned(), "y = x kernel + bias".to_owned()),
        ("rounds".to_owned(), origin.rounds.to_string()),
        ("ledger_head".to_owned(), origin.ledger_head.clone()),
    ]);
    if let Some(number) = origin.run_number {
        metadata.insert("run_number".to_owned(), number.to_string());
    }
    let file = safetensors::serialize(tensors, Some(metadata)).map_err(refused)?;
    let file = with_sorted_header(&file)
        .ok_or_else(|| SimError::io(path)(std::io::Error::other("a header that is no JSON")))?;
    durable::replace(path, &file)
}

/// The same file with its metadata in the order of their names: equal models are equal bytes.
///
/// The format is eight bytes with the length of a header, the header in JSON, padded with spaces
/// to a multiple of eight, and the tensors.
fn with_sorted_header(file: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (header, tensors) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
        serde_json::from_slice(header).ok()?;
    let mut header = serde_json::to_vec(&header).ok()?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = u64::try_from(header.len()).ok()?.to_le_bytes();
    Some([&length[..], &header, tensors].concat())
}

/// Which release a model says that it is; none in one of an older version.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be read, [`SimError::Config`] if it holds no model.
pub fn origin(path: &Path) -> Result<Option<Origin>, SimError> {
    let refused = |message: String| SimError::config(path.display().to_string(), message);
    let bytes = std::fs::read(path).map_err(SimError::io(path))?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
        .map_err(|error| refused(error.to_string()))?;
    let value = |name: &str| header.metadata().as_ref().and_then(|map| map.get(name).cloned());
    let (Some(ledger_head), Some(rounds)) = (value("ledger_head"), value("rounds")) else {
        return Ok(None);
    };
    let rounds = rounds.parse().map_err(|_| refused(format!("rounds = {rounds:?}")))?;
    let run_number = value("run_number").map(Bits128::try_from).transpose().map_err(refused)?;
    Ok(Some(Origin { run_number, rounds, ledger_head }))
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
        let origin = Origin {
            run_number: Some(Bits128::new([3; 16])),
            rounds: 12,
            ledger_head: "a".repeat(64),
        };
        save(&path, &spec, &params, &origin).expect("written");
        assert_eq!(super::origin(&path).expect("readable"), Some(origin.clone()));
        // The order of the metadata is not left to chance.
        let bytes = std::fs::read(&path).expect("there");
        for _ in 0..8 {
            save(&path, &spec, &params, &origin).expect("written");
            assert_eq!(std::fs::read(&path).expect("there"), bytes);
        }
        let back = load(&path, &spec).expect("read");
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&params));
        let other = load(&path, &MlpSpec::new([3, 5, 2])).expect_err("another network");
        assert!(other.to_string().contains("dense_0.kernel"), "{other}");
    }
}
