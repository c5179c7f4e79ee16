//! Numbers on the command line, refused in a person's words.

/// Reads a whole number from `least` to `most`.
pub(crate) fn whole<T: TryFrom<u64>>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be a whole number from {least} to {most}, in digits"))
    }
}

/// Most worker threads, and most runs side by side.
pub(crate) const MOST_THREADS: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::whole;

    #[test]
    fn what_is_no_number_of_the_range_is_told_the_range() {
        let read = whole::<u64>(1, 4096);
        assert_eq!(read("4096"), Ok(4096));
        for wrong in ["", "0", "4097", "-1", "+1", "1.0", "1e3", "two", "99999999999999999999999"] {
            let message = read(wrong).expect_err("refused");
            assert_eq!(message, "must be a whole number from 1 to 4096, in digits");
        }
        let read = whole::<u32>(0, u64::from(u32::MAX));
        assert!(read("4294967295").is_ok() && read("4294967296").is_err());
        // What its type cannot hold is refused too.
        assert!(whole::<u8>(0, 1000)("300").is_err());
        let read = |text: &str| whole::<u32>(1, 9)(text).ok().and_then(NonZeroU32::new);
        assert_eq!(read("9").map(NonZeroU32::get), Some(9));
    }
}
