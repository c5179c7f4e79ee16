//! TFF's HDF5 layout: one file a split, `examples/<client>/{label,pixels}`.
//!
//! Labels may be whole numbers of any width, pixels of single or double precision, the tables
//! packed by deflate or LZF or not at all. Sizes are compared with the length of the file before
//! memory is taken for them; what a damaged index does not find is an error, not a zero.

mod index;
mod lzf;
mod table;

use std::collections::HashSet;
use std::path::Path;

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{FilterRegistry, Hdf5File, OpenOptions};
use rayon::prelude::*;

use super::fill::Filling;
use super::{Ask, PIXELS};
use crate::error::{DataError, shown};
use crate::open::Progress;
use crate::split::Split;
use table::{Labels, Pixels, Refusal};

const FORMAT: &str = "HDF5 file of client data";
/// Most examples of a client; beyond it a shape is taken for damage.
const MOST_EXAMPLES: u64 = 1_000_000;
/// Most clients, and most examples, that are read together, in parallel.
const BATCH: (usize, u64) = (64, 8_192);
/// Deflate makes nothing smaller than a 1,032nd.
const STRONGEST_PACKING: u64 = 1_032;

const LAYOUT: &str = "the layout that is read is examples/CLIENT/pixels and examples/CLIENT/label, one \
                      file for training and one for testing";

/// The tables of one client.
struct Client {
    labels: Labels,
    pixels: Pixels,
    count: u64,
}

/// Reads one split, called `split` in messages.
pub(crate) fn read(path: &Path, split: &str, ask: &mut Ask<'_>) -> Result<Split, DataError> {
    let wrong = |detail: String| DataError::corrupt(path, FORMAT, detail);
    let failed = |place: &str, error| refused(path, place, Refusal::Reader(error));
    let length = std::fs::metadata(path).map_err(|error| DataError::io("read", path, error))?.len();
    let file = open(path)?;
    let mut groups = clients(path, &file)?;
    groups.sort_by(|a, b| a.name().cmp(b.name()));
    if groups.is_empty() {
        return Err(DataError::NoSplit {
            path: path.to_owned(),
            split: split.to_owned(),
            found: "no client at all".to_owned(),
        });
    }

    let mut ids = Vec::with_capacity(groups.len());
    let mut clients = Vec::with_capacity(groups.len());
    let mut promised = 0_u64;
    for group in &groups {
        let place = format!("client `{}`: ", shown(group.name()));
        let (_, tables) = group.members().map_err(|error| failed(&place, error))?;
        let client = client(tables).map_err(|refusal| refused(path, &place, refusal))?;
        let bytes = client.count * PIXELS as u64 * client.pixels.number_bytes();
        promised = promised.saturating_add(bytes);
        ids.push((Box::<str>::from(group.name()), client.count as usize));
        clients.push(client);
    }
    drop(groups);
    if promised / STRONGEST_PACKING > length {
        return Err(wrong(format!(
            "its tables promise {promised} bytes, more than can be packed into {length}"
        )));
    }

    let classes = ask.variant.classes();
    let total = clients.len() as u64;
    let mut filling = Filling::new(path, split, classes, ids, ask.allow_empty_clients)?;
    // A batch at a time, so that little lies beside the split itself.
    let mut rest = &clients[..];
    let mut start = 0;
    while !rest.is_empty() {
        let mut examples = 0;
        let fits = |client: &&Client| {
            examples += client.count;
            examples <= BATCH.1
        };
        let size = rest.iter().take(BATCH.0).take_while(fits).count().max(1);
        let (batch, others) = rest.split_at(size);
        rest = others;
        let read: Vec<_> = batch.par_iter().map(read_client).collect();
        for (index, read) in (start..).zip(read) {
            let (labels, pixels) = read.map_err(|refusal| {
                refused(path, &format!("client `{}`: ", filling.ids()[index]), refusal)
            })?;
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

fn open(path: &Path) -> Result<Hdf5File, DataError> {
    let mut filters = FilterRegistry::new();
    let lzf = |filter: &hdf5_reader::messages::filter_pipeline::FilterDescription,
               packed: &[u8],
               _: usize| {
        // Its third parameter is the size of a chunk.
        let most = filter.client_data.get(2).map_or(1 << 32, |&bytes| bytes as usize);
        lzf::unpack(packed, most)
    };
    filters.register(lzf::ID, Box::new(lzf));
    // Each table is read once: a cache of chunks would only take memory.
    let options = OpenOptions {
        chunk_cache_bytes: 0,
        filter_registry: Some(filters),
        ..OpenOptions::default()
    }
    .with_max_chunk_bytes(1 << 32)
    .with_max_read_bytes(1 << 32);
    Hdf5File::open_with_options(path, options)
        .map_err(|error| refused(path, "", Refusal::Reader(error)))
}

/// The groups of the clients, in any order.
fn clients(path: &Path, file: &Hdf5File) -> Result<Vec<Group>, DataError> {
    let failed = |error| refused(path, "group `examples`: ", Refusal::Reader(error));
    let root = file.root_group().map_err(failed)?;
    let (groups, tables) = root.member_names().map_err(failed)?;
    if !groups.iter().any(|group| group == "examples") {
        let found: Vec<_> = groups.iter().chain(&tables).take(10).map(|name| shown(name)).collect();
        return Err(DataError::Unsupported {
            path: path.to_owned(),
            what: match found.is_empty() {
                true => "it is an HDF5 file without any group".to_owned(),
                false => format!("it has no group `examples`, but {}", found.join(", ")),
            },
            instead: LAYOUT.to_owned(),
        });
    }
    let examples = root.group("examples").map_err(failed)?;
    let (groups, tables) = examples.members().map_err(failed)?;
    let found: HashSet<&str> =
        groups.iter().map(Group::name).chain(tables.iter().map(|table| table.name())).collect();
    if let Some(lost) = index::lost_name(file, &examples, &found).map_err(failed)? {
        return Err(DataError::corrupt(
            path,
            FORMAT,
            format!(
                "the group `examples` names `{}`, but its index does not find it (if it was \
                 deleted, write the file anew: `h5repack OLD NEW`)",
                shown(&lost)
            ),
        ));
    }
    match tables.first() {
        Some(table) => Err(DataError::Unsupported {
            path: path.to_owned(),
            what: format!("its group `examples` holds the table `{}`", shown(table.name())),
            instead: "it should hold one group for each client, with `pixels` and `label`"
                .to_owned(),
        }),
        None => Ok(groups),
    }
}

/// The two tables of a client.
fn client(tables: Vec<hdf5_reader::Dataset>) -> Result<Client, Refusal> {
    let names: Vec<_> = tables.iter().take(10).map(|table| shown(table.name())).collect();
    let (mut labels, mut pixels) = (None, None);
    for table in tables {
        match table.name() {
            "label" => labels = Some(Labels::new(table)?),
            "pixels" => pixels = Some(Pixels::new(table)?),
            _ => {}
        }
    }
    let lacks = |what: &str| {
        let found = if names.is_empty() { "no table".to_owned() } else { names.join(", ") };
        Refusal::Unsupported(format!("it has no `{what}`, but {found}"), LAYOUT.to_owned())
    };
    let (labels, count) = labels.ok_or_else(|| lacks("label"))?;
    let (pixels, pictures) = pixels.ok_or_else(|| lacks("pixels"))?;
    if count != pictures || count > MOST_EXAMPLES {
        return Err(Refusal::Damaged(format!("it has {count} labels for {pictures} pictures")));
    }
    Ok(Client { labels, pixels, count })
}

fn read_client(client: &Client) -> Result<(Vec<i64>, Vec<f32>), Refusal> {
    if client.count == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    Ok((client.labels.read()?, client.pixels.read()?))
}

/// What a refusal means to whoever has the file.
fn refused(path: &Path, place: &str, refusal: Refusal) -> DataError {
    let unsupported = |what: String, instead: String| DataError::Unsupported {
        path: path.to_owned(),
        what: format!("{place}{what}"),
        instead,
    };
    let mut error = match refusal {
        Refusal::Damaged(detail) => {
            return DataError::corrupt(path, FORMAT, format!("{place}{detail}"));
        }
        Refusal::Unsupported(what, instead) => return unsupported(what, instead),
        Refusal::Reader(error) => error,
    };
    while let Error::Context { source, .. } = error {
        error = *source;
    }
    match error {
        Error::Io(error) => DataError::io("read", path, error),
        Error::UnsupportedFilter(filter) => unsupported(
            format!("it is packed in a way that is not known here ({filter})"),
            "pack it with deflate: `h5repack -f GZIP=6 OLD NEW`, or in h5py compression=\"gzip\""
                .to_owned(),
        ),
        Error::UnsupportedSuperblockVersion(_)
        | Error::UnsupportedLayoutClass(_)
        | Error::UnsupportedLinkType(_) => unsupported(
            error.to_string(),
            "if it is whole, write it anew: `h5repack OLD NEW`, or with h5py".to_owned(),
        ),
        Error::UnsupportedEncoding(_) | Error::UnsupportedDatatypeClass(_) => unsupported(
            error.to_string(),
            "write `pixels` in single precision and `label` in whole numbers".to_owned(),
        ),
        error => DataError::corrupt(path, FORMAT, format!("{place}{}", shown(&error.to_string()))),
    }
}
