//! What a configuration may hold, as data: the words of messages and of `configs/README.md`.
//!
//! [`keys`](super::keys) fills it in. It stands beside the types that a configuration is read into,
//! and a test holds the two together: each accepts and refuses what the other does.

use std::fmt;

/// A section, or a table in one.
pub(super) struct Table {
    /// The keys that it always has.
    pub keys: &'static [Key],
    /// The key that decides which others there are.
    pub choice: Option<&'static Choice>,
}

/// A key that decides which other keys its table has.
pub(super) struct Choice {
    /// The deciding key.
    pub key: &'static str,
    /// Its values.
    pub of: &'static [Variant],
}

/// A value of a deciding key, and the keys that come with it.
pub(super) struct Variant {
    pub name: &'static str,
    pub meaning: &'static str,
    pub keys: &'static [Key],
}

/// A key.
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub absent: Absent,
    pub meaning: &'static str,
}

/// What it means that a key is not there.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// It must be there.
    Refused,
    /// The same as this value, in TOML.
    Is(&'static str),
    /// What no value says.
    Means(&'static str),
}

/// What a value may be.
pub(super) enum Kind {
    /// A name that becomes a folder.
    Name,
    /// Where data come from.
    Source,
    Flag,
    /// One of these words, each with its meaning.
    Word(&'static [(&'static str, &'static str)]),
    /// A whole number between these two, inclusive.
    Whole(u64, u64),
    Real(Reals),
    List {
        of: &'static Kind,
        may_be_empty: bool,
    },
    /// One of these words, or what follows.
    WordOr(&'static [(&'static str, &'static str)], &'static Kind),
    Table(&'static Table),
}

/// A range of numbers. All that are not finite lie outside.
#[derive(Clone, Copy)]
pub(super) struct Reals {
    pub least: f64,
    /// Whether `least` itself lies inside.
    pub with_least: bool,
    pub most: f64,
    /// Whether `most` itself lies inside.
    pub with_most: bool,
}

impl Reals {
    pub(super) const fn new(least: f64, with_least: bool, most: f64, with_most: bool) -> Self {
        Self { least, with_least, most, with_most }
    }

    pub(super) fn holds(&self, value: f64) -> bool {
        value.is_finite()
            && (value > self.least || self.with_least && value >= self.least)
            && (value < self.most || self.with_most && value <= self.most)
    }
}

impl fmt::Display for Reals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| match value {
            value if value.abs() < 1e15 => value.to_string(),
            value => format!("{value:.1e}"),
        };
        let (least, most) = (number(self.least), number(self.most));
        match (self.with_least, self.with_most, self.most < f64::MAX) {
            (true, true, true) => write!(f, "a number from {least} to {most}"),
            (true, false, true) => write!(f, "a number from {least} to below {most}"),
            (false, true, true) => write!(f, "a number above {least}, at most {most}"),
            (false, false, true) => write!(f, "a number between {least} and {most}, without these"),
            (true, _, false) => write!(f, "a finite number of at least {least}"),
            (false, _, false) => write!(f, "a finite number above {least}"),
        }
    }
}

/// `"a", "b" or "c"`.
pub(super) fn any_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl fmt::Display for Kind {
    /// In a person's words, as in "must be ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str(
                "a name of 1 to 100 letters, digits, '-', '_' and '.', in quotes, that does not \
                 begin with '.'",
            ),
            Self::Source => f.write_str("\"auto\", \"synthetic\" or a path, in quotes"),
            Self::Flag => f.write_str("true or false"),
            Self::Word(words) => f.write_str(&any_of(words.iter().map(|(word, _)| *word))),
            Self::Whole(least, u64::MAX) => write!(f, "a whole number from {least} to 2^64 - 1"),
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Real(range) => range.fmt(f),
            Self::List { of, may_be_empty } => {
                let empty = if *may_be_empty { ", or an empty one" } else { "" };
                write!(f, "a list [...] of which each is {of}{empty}")
            }
            Self::WordOr(words, other) => {
                let words: Vec<String> =
                    words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                write!(f, "{} or {other}", words.join(", "))
            }
            Self::Table(_) => f.write_str("a section, or a table { ... }"),
        }
    }
}

impl Table {
    /// The keys of this table where its deciding key has this value.
    pub(super) fn keys_with(&self, choice: Option<&Variant>) -> impl Iterator<Item = &Key> {
        self.keys.iter().chain(choice.into_iter().flat_map(|variant| variant.keys))
    }
}
