//! TOML with messages that help: the line, the key, and the key that was probably meant.

use serde::de::DeserializeOwned;

use crate::error::SimError;

/// Parses `text`; `place` names the file in messages.
pub(super) fn toml<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, SimError> {
    toml::from_str(text).map_err(|error| {
        // toml shows the line with a marker under the key or value at fault.
        let mut message = error.to_string().trim_end().to_owned();
        if let Some(meant) = suggestion(error.message()) {
            message.push_str(&format!("\ndid you mean `{meant}`?"));
        }
        SimError::config(place, message)
    })
}

/// The known name nearest to the unknown one that serde complains about, if any is near.
fn suggestion(message: &str) -> Option<&str> {
    let (complaint, known) = message.split_once(", expected ")?;
    if !complaint.starts_with("unknown ") {
        return None;
    }
    let unknown = complaint.split('`').nth(1)?;
    nearest(unknown, known.split('`').skip(1).step_by(2))
}

/// The candidate most like `word`, unless none is.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
