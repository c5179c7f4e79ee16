//! Whether the index of a group still finds every name that the group has.
//!
//! Groups of the old style keep their names in a heap of their own and find them by a tree. Damage
//! in the tree leaves names out without an error; the heap still holds them. So what the heap holds,
//! free blocks aside, is held against what was found. Groups of the new style carry checksums.

use std::collections::HashSet;

use hdf5_reader::Hdf5File;
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;

/// A name in the heap of `group` that is not among `found`, the names that its index gave.
pub(super) fn lost_name(
    file: &Hdf5File,
    group: &Group,
    found: &HashSet<&str>,
) -> Result<Option<String>, Error> {
    let header = file.get_or_parse_header(group.address())?;
    let heap = header.messages.iter().find_map(|message| match message {
        HdfMessage::SymbolTable(table) => Some(table.heap_address),
        _ => None,
    });
    let Some(address) = heap else { return Ok(None) };
    let width = usize::from(group.length_size());
    let heap = LocalHeap::parse_at_storage(
        file.storage(),
        address,
        group.offset_size(),
        group.length_size(),
    )?;
    if heap.data_segment_size > file.storage().len() {
        return Err(Error::OffsetOutOfBounds(heap.data_segment_size));
    }
    let names =
        file.storage().read_range(heap.data_segment_address, heap.data_segment_size as usize)?;
    let names: &[u8] = names.as_ref();
    let free = free_blocks(names, heap.free_list_offset, width);
    Ok(strings(names, &free).find(|name| !name.contains('/') && !found.contains(&**name)))
}

/// The free blocks of a heap's data, by offset and size. Each begins with the offset of the next
/// (1: none) and its own size, `width` bytes each.
fn free_blocks(data: &[u8], first: u64, width: usize) -> Vec<(usize, usize)> {
    let number = |at: usize| {
        let bytes = data.get(at..at.checked_add(width)?)?;
        let value = bytes.iter().rev().fold(0_u64, |all, &byte| all << 8 | u64::from(byte));
        usize::try_from(value).ok()
    };
    let mut blocks = Vec::new();
    let mut at = usize::try_from(first).unwrap_or(usize::MAX);
    // A free block takes sixteen bytes at least: more of them than fit are a circle.
    while at != 1 && blocks.len() <= data.len() / 16 {
        let (Some(next), Some(size)) = (number(at), number(at.saturating_add(width))) else {
            break;
        };
        blocks.push((at, size));
        at = next;
    }
    blocks
}

/// The strings of a heap's data, each from a multiple of eight, without the free blocks.
fn strings(data: &[u8], free: &[(usize, usize)]) -> impl Iterator<Item = String> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        while at < data.len() {
            if let Some(&(_, size)) = free.iter().find(|(start, _)| *start == at) {
                at = at.saturating_add(size.max(8));
                continue;
            }
            let rest = &data[at..];
            let length = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
            at += (length + 1).next_multiple_of(8);
            if length > 0 {
                return Some(String::from_utf8_lossy(&rest[..length]).into_owned());
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_free_blocks() {
        let mut data = vec![0; 8];
        data.extend(b"f0001_00\0\0\0\0\0\0\0\0");
        let free = data.len();
        data.extend(1_u64.to_le_bytes());
        data.extend(24_u64.to_le_bytes());
        data.extend(b"deleted\0");
        data.extend(b"short\0\0\0");
        let blocks = free_blocks(&data, free as u64, 8);
        assert_eq!(blocks, [(free, 24)]);
        assert_eq!(strings(&data, &blocks).collect::<Vec<_>>(), ["f0001_00", "short"]);
        // No list, and one that goes in a circle.
        assert!(free_blocks(&data, u64::MAX, 8).is_empty());
        data[free..free + 8].copy_from_slice(&(free as u64).to_le_bytes());
        assert!(free_blocks(&data, free as u64, 8).len() < 10);
    }
}
