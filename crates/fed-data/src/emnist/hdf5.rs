//! TFF's HDF5 layout: one file a split, `examples/<client>/{label,pixels}`.

use std::path::Path;

use hdf5_reader::{Dataset as Table, Hdf5File, OpenOptions};
use rayon::prelude::*;

use super::Ask;
use super::fill::Filling;
use crate::error::DataError;
use crate::open::Progress;
use crate::split::Split;

const FORMAT: &str = "HDF5 file of client data";
/// Most examples of a client; beyond it a shape is taken for damage.
const MOST_EXAMPLES: u64 = 1_000_000;
/// Clients that are read together, in parallel.
const BATCH: usize = 64;

/// The tables of one client.
struct Client {
    label: Table,
    pixels: Table,
    count: usize,
}

/// Reads one split, called `split` in messages.
pub(crate) fn read(path: &Path, split: &str, ask: &mut Ask<'_>) -> Result<Split, DataError> {
    let wrong = |detail: String| DataError::corrupt(path, FORMAT, detail);
    // Each table is read once: a cache of chunks would only take memory.
    let options = OpenOptions { chunk_cache_bytes: 0, ..OpenOptions::default() }
        .with_max_chunk_bytes(1 << 32)
        .with_max_read_bytes(1 << 32);
    let file = Hdf5File::open_with_options(path, options).map_err(|error| match error {
        hdf5_reader::error::Error::Io(error) => DataError::io("open", path, error),
        other => wrong(other.to_string()),
    })?;
    let examples =
        file.group("examples").map_err(|error| wrong(format!("group `examples`: {error}")))?;
    let mut groups = examples
        .groups()
        .map_err(|error| wrong(format!("the clients in group `examples`: {error}")))?;
    groups.sort_by(|a, b| a.name().cmp(b.name()));

    let mut ids = Vec::with_capacity(groups.len());
    let mut clients = Vec::with_capacity(groups.len());
    for group in &groups {
        let id = group.name();
        let wrong = |detail: String| wrong(format!("client `{id}`: {detail}"));
        let (_, tables) = group.members().map_err(|error| wrong(error.to_string()))?;
        let (mut label, mut pixels) = (None, None);
        for table in tables {
            match table.name() {
                "label" => label = Some(table),
                "pixels" => pixels = Some(table),
                _ => {}
            }
        }
        let label = label.ok_or_else(|| wrong("it has no `label`".to_owned()))?;
        let pixels = pixels.ok_or_else(|| wrong("it has no `pixels`".to_owned()))?;
        let &[count] = label.shape() else {
            return Err(wrong(format!("`label` has shape {:?} instead of [n]", label.shape())));
        };
        if pixels.shape() != [count, 28, 28] || count > MOST_EXAMPLES {
            let shape = pixels.shape();
            return Err(wrong(format!("`pixels` has shape {shape:?}, but `label` has [{count}]")));
        }
        let count = count as usize;
        ids.push((Box::<str>::from(id), count));
        clients.push(Client { label, pixels, count });
    }
    if clients.is_empty() {
        return Err(DataError::NoSplit {
            path: path.to_owned(),
            split: split.to_owned(),
            found: "no client at all".to_owned(),
        });
    }

    let classes = ask.variant.classes();
    let total = clients.len() as u64;
    let mut filling = Filling::new(path, split, classes, ids, ask.allow_empty_clients)?;
    // A batch at a time, so that little lies beside the split itself.
    let mut clients = clients.into_iter();
    let mut start = 0;
    while clients.len() > 0 {
        let batch: Vec<Client> = clients.by_ref().take(BATCH).collect();
        let read: Vec<_> = batch.par_iter().map(read_client).collect();
        for (index, read) in (start..).zip(read) {
            let (labels, pixels) =
                read.map_err(|error| wrong(format!("client `{}`: {error}", filling.ids()[index])))?;
            filling.push(index, &labels, &pixels)?;
        }
        start += batch.len();
        (ask.progress)(Progress {
            step: "reading clients",
            done: start as u64,
            total: Some(total),
        });
    }
    filling.finish()
}

fn read_client(client: &Client) -> Result<(Vec<i64>, Vec<f32>), hdf5_reader::error::Error> {
    if client.count == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    // Uncached: the file would otherwise keep a copy of all that was ever read of it.
    let labels = client.label.read_array_uncached::<i32>()?;
    let pixels = client.pixels.read_array_uncached::<f32>()?;
    Ok((labels.iter().map(|&label| i64::from(label)).collect(), pixels.iter().copied().collect()))
}
