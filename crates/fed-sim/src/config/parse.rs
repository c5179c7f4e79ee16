//! TOML with messages that help: the line, the key, what it may be, and what was probably meant.
//!
//! A file is held against [`keys`](super::keys) before it is read into types, so that a wrong
//! value is answered in a person's words and shown where it stands.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::check::{Fault, check};
use super::keys::EXPERIMENT;
use crate::error::SimError;
use crate::text::escaped;

/// Most bytes of a configuration file.
pub const LARGEST_FILE: u64 = 16 << 20;

/// Columns of a line that is shown.
const COLUMNS: usize = 76;

/// A parsed file, for messages about what stands in it.
pub(super) struct Document<'a> {
    text: &'a str,
    place: &'a str,
}

impl<'a> Document<'a> {
    /// A file with this text; `place` names it in messages.
    pub(super) fn new(text: &'a str, place: &'a str) -> Self {
        // Some editors mark UTF-8 in a way that belongs to no line.
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text), place }
    }

    /// The experiment in it.
    pub(super) fn experiment<T: DeserializeOwned>(&self) -> Result<T, SimError> {
        let table = DeTable::parse(self.text)
            .map_err(|error| self.refuse(error.span(), &capital(error.message())))?;
        if let Some(Fault { span, message }) = check(self.text, table.get_ref(), EXPERIMENT) {
            return Err(self.refuse(Some(span), &message));
        }
        toml::from_str(self.text).map_err(|error| self.refuse(error.span(), error.message()))
    }

    /// An error about the value of `key`, such as `client.momentum`, or about the innermost table
    /// on the way to it that the file has.
    pub(super) fn refuse_key(&self, key: &str, message: &str) -> SimError {
        let table = DeTable::parse(self.text).ok();
        let span = table.and_then(|table| span_of(table.get_ref(), key));
        self.refuse(span, message)
    }

    fn refuse(&self, span: Option<Range<usize>>, message: &str) -> SimError {
        let text = match span {
            Some(span) => located(self.text, span, message),
            None => escaped(message),
        };
        SimError::config(escaped(self.place), text)
    }
}

fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (first, rest) =
        key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match (rest, value.get_ref()) {
        (Some(rest), DeValue::Table(inner)) => span_of(inner, rest).or_else(|| Some(name.span())),
        (None, DeValue::Table(_)) => Some(name.span()),
        _ => Some(value.span()),
    }
}

/// `line 3, column 10: message`, and the line with a marker below what is meant.
fn located(text: &str, span: Range<usize>, message: &str) -> String {
    let end = text.len();
    let (mut from, mut to) = (span.start.min(end), span.end.min(end));
    // At the end of a file the mark belongs to its last line, not to one that is not there.
    if from == end && text.ends_with('\n') {
        from = text.trim_end_matches(['\r', '\n']).len();
        to = from;
    }
    let start = text[..from].rfind('\n').map_or(0, |newline| newline + 1);
    let stop = text[from..].find(['\r', '\n']).map_or(end, |newline| from + newline);
    let line = &text[start..stop];
    let number = text[..start].matches('\n').count() + 1;
    let column = text[start..from].chars().count() + 1;
    let mark = from - start..to.clamp(from, stop.max(from)) - start;
    let snippet =
        Snippet::source(line).line_start(number).annotation(AnnotationKind::Primary.span(mark));
    let shown = Renderer::plain()
        .term_width(COLUMNS)
        .render(&[Group::with_level(Level::ERROR).element(snippet)]);
    let mut report = format!("line {number}, column {column}: {}", escaped(message));
    for line in shown.lines() {
        let _ = write!(report, "\n{}", escaped(line));
    }
    report
}

/// A sentence with its first letter in upper case.
fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Letters of the longest word that is compared: likeness costs the product of two lengths.
const LONGEST_WORD: usize = 64;

/// The candidate most like `word`, unless none is.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    // The one forgives endings, the other letters that changed places.
    let likeness = |candidate: &str| {
        let swapped = strsim::normalized_damerau_levenshtein(word, candidate);
        strsim::jaro_winkler(word, candidate).max(swapped + 0.05)
    };
    candidates
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
