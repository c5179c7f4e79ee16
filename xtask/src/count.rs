//! Counts on the command line, as people write them.

use std::num::NonZeroU64;

/// A whole number from 1 on: `1000000`, `1_000_000`, `1e6` and `1000000.0` are one and the same.
pub(crate) fn whole(text: &str) -> Result<NonZeroU64, String> {
    let plain = without_separators(text);
    plain.parse().ok().or_else(|| of_decimal(&plain)).ok_or_else(|| {
        let digits = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
        let large = digits && plain.bytes().any(|byte| byte != b'0');
        let why = if large { ", and below 2^64" } else { "" };
        format!("not a whole number from 1 upwards{why}")
    })
}

/// A number from 0 on, of which a mean may be made.
pub(crate) fn mean(text: &str) -> Result<f64, String> {
    without_separators(text).parse().map_err(|_| "not a number".to_owned())
}

/// Without the underscores that stand between two digits.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    text.char_indices()
        .filter(|&(at, letter)| {
            !(letter == '_' && is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)))
        })
        .map(|(_, letter)| letter)
        .collect()
}

/// A whole number in decimal or scientific notation, up to where a float holds every one.
fn of_decimal(text: &str) -> Option<NonZeroU64> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let sound = value.fract().abs() <= 0.0 && (1.0..=MOST).contains(&value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    sound.then_some(value as u64).and_then(NonZeroU64::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_in_every_spelling_and_nothing_else_is() {
        for text in ["1000000", "1_000_000", "1e6", "1E6", "1.0e6", "1000000.0", "1_000e3"] {
            assert_eq!(whole(text).map(NonZeroU64::get), Ok(1_000_000), "{text}");
        }
        assert_eq!(whole("18446744073709551615").map(NonZeroU64::get), Ok(u64::MAX));
        for text in
            ["0", "0.0", "1.5", "-3", "", "_1", "1_", "1__0", "inf", "NaN", "1e300", "1e-2", "many"]
        {
            assert!(whole(text).is_err(), "{text}");
        }
        assert!(whole("18446744073709551616").is_err_and(|error| error.contains("below 2^64")));
        assert_eq!(mean("1_000.5"), Ok(1000.5));
    }
}
