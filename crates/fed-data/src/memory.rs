//! Memory for data sets: asked for before it is taken, so that a size that is not to be had is an
//! error and neither an abort nor the end of the process by the system's hand.

use crate::error::DataError;

/// Room for `len` zeroed values; `what` says in a message what they are for.
pub(crate) fn zeroed<T: bytemuck::Zeroable + Clone>(
    len: usize,
    what: impl FnOnce() -> String,
) -> Result<Vec<T>, DataError> {
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    let mut probe: Vec<T> = Vec::new();
    // Systems promise more than they have; small things are given without asking.
    let there = bytes < 1 << 28 || available().is_none_or(|available| bytes <= available);
    if !there || probe.try_reserve_exact(len).is_err() {
        return Err(DataError::Memory { what: what(), bytes });
    }
    drop(probe);
    // Zeroed memory comes from the system without being written.
    Ok(vec![T::zeroed(); len])
}

/// Bytes that programs can still take, where the system says so.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_an_error() {
        assert_eq!(zeroed::<u8>(3, || "a test".to_owned()).expect("three bytes"), [0; 3]);
        for len in [1 << 50, usize::MAX / 2] {
            let error = zeroed::<f32>(len, || "a test".to_owned()).expect_err("too much");
            assert!(error.to_string().contains("memory for a test"), "{error}");
        }
    }
}
