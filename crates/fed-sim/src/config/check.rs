//! A file against what it may hold: the first key or value that is wrong, in a person's words.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::EXPERIMENT;
use super::parse::nearest;
use super::schema::{Absent, Choice, Key, Kind, Table, Variant, any_of};
use crate::text::shortened;

/// What is wrong, and where in the file.
pub(super) struct Fault {
    pub span: Range<usize>,
    pub message: String,
}

/// The first fault of a file, by its place.
pub(super) fn check(text: &str, file: &DeTable<'_>, schema: &Table) -> Option<Fault> {
    let mut found = Found { text, faults: Vec::new() };
    found.table(file, schema, &Place { key: String::new(), span: 0..0 });
    // What is missing stands nowhere: it comes last.
    found
        .faults
        .into_iter()
        .min_by_key(|(missing, fault)| (*missing, fault.span.start))
        .map(|f| f.1)
}

/// Which table is looked at.
struct Place {
    /// Its dotted key; empty for the whole file.
    key: String,
    span: Range<usize>,
}

impl Place {
    fn of(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// `[client]`, or words for the whole file.
    fn words(&self) -> String {
        match &*self.key {
            "" => "a configuration".to_owned(),
            key => format!("[{key}]"),
        }
    }
}

struct Found<'a> {
    text: &'a str,
    faults: Vec<(bool, Fault)>,
}

impl Found<'_> {
    fn fault(&mut self, span: Range<usize>, message: String) {
        self.faults.push((false, Fault { span, message }));
    }

    fn table(&mut self, table: &DeTable<'_>, schema: &Table, place: &Place) {
        let variant = match schema.choice {
            None => None,
            Some(choice) => match self.choice(table, choice, place) {
                Some(variant) => Some(variant),
                // Which other keys there may be is not known.
                None => return,
            },
        };
        let chooses = schema.choice.map(|choice| choice.key);
        for (name, value) in table {
            let known = schema.keys_with(variant).find(|key| key.name == name.get_ref());
            match known {
                Some(key) => {
                    let inner = Place { key: place.of(key.name), span: name.span() };
                    self.value(value, &key.kind, &inner);
                }
                None if chooses == Some(&**name.get_ref()) => {}
                None => {
                    let message = unknown(name.get_ref(), schema, variant, place);
                    self.fault(name.span(), message);
                }
            }
        }
        for key in schema.keys_with(variant) {
            let there = table.iter().any(|(name, _)| name.get_ref() == key.name);
            if matches!(key.absent, Absent::Refused) && !there {
                let message = format!("{} needs {}: {}", place.words(), key.name, key.kind);
                self.faults.push((true, Fault { span: place.span.clone(), message }));
            }
        }
    }

    /// The variant that a table's deciding key names.
    fn choice(
        &mut self,
        table: &DeTable<'_>,
        choice: &'static Choice,
        place: &Place,
    ) -> Option<&'static Variant> {
        let names = || choice.of.iter().map(|variant| variant.name);
        let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref() == choice.key) else {
            let message = format!("{} needs {}: {}", place.words(), choice.key, any_of(names()));
            self.fault(place.span.clone(), message);
            return None;
        };
        let word = value.get_ref().as_str();
        let variant = word.and_then(|word| choice.of.iter().find(|variant| variant.name == word));
        if variant.is_none() {
            let must = any_of(names());
            self.wrong(value, &place.of(choice.key), &must, word.map(|word| (word, names())));
        }
        variant
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, kind: &Kind, place: &Place) {
        let holds = match (kind, value.get_ref()) {
            (Kind::Table(schema), DeValue::Table(table)) => {
                return self.table(table, schema, place);
            }
            (Kind::List { of, may_be_empty }, DeValue::Array(list)) => {
                for item in list.iter() {
                    let inner = Place { key: place.key.clone(), span: item.span() };
                    self.value(item, of, &inner);
                }
                *may_be_empty || !list.is_empty()
            }
            (Kind::WordOr(_, other), list @ DeValue::Array(_))
                if matches!(other, Kind::List { .. }) =>
            {
                let _ = list;
                return self.value(value, other, place);
            }
            (Kind::Word(words) | Kind::WordOr(words, _), DeValue::String(text)) => {
                let known = || words.iter().map(|(word, _)| *word);
                if !known().any(|word| word == text) {
                    let candidates = Some((&**text, known()));
                    self.wrong(value, &place.key, &kind.to_string(), candidates);
                }
                return;
            }
            (Kind::Name, DeValue::String(text)) => is_name(text),
            (Kind::Source, DeValue::String(text)) => !text.is_empty() && !text.contains('\0'),
            (Kind::Flag, DeValue::Boolean(_)) => true,
            (Kind::Whole(least, most), DeValue::Integer(number)) => {
                i128::from_str_radix(number.as_str(), number.radix())
                    .is_ok_and(|number| (i128::from(*least)..=i128::from(*most)).contains(&number))
            }
            (Kind::Real(range), DeValue::Integer(number)) => {
                i128::from_str_radix(number.as_str(), number.radix())
                    .is_ok_and(|number| range.holds(number as f64))
            }
            (Kind::Real(range), DeValue::Float(number)) => {
                number.as_str().parse().is_ok_and(|number| range.holds(number))
            }
            _ => false,
        };
        if !holds {
            self.wrong(value, &place.key, &kind.to_string(), None::<(_, std::iter::Empty<_>)>);
        }
    }

    /// `rounds = "three": it must be ...`.
    fn wrong<'w>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        must: &str,
        meant: Option<(&str, impl Iterator<Item = &'w str>)>,
    ) {
        let shown = match value.get_ref() {
            DeValue::Table(_) => "a section or table".to_owned(),
            DeValue::Array(list) if list.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            _ => shortened(&self.text[value.span()], 40),
        };
        let mut message = format!("{key} must be {must}, not {shown}");
        if let Some(meant) = meant.and_then(|(word, known)| nearest(word, known)) {
            message.push_str(&format!("; did you mean \"{meant}\"?"));
        }
        self.fault(value.span(), message);
    }
}

/// Whether a name can become a folder.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// What to say about a key that its table does not have.
fn unknown(name: &str, table: &Table, variant: Option<&Variant>, place: &Place) -> String {
    let shown = shortened(name, 40);
    let here = match (table.choice, variant) {
        (Some(choice), Some(variant)) => {
            format!("{} with {} = \"{}\"", place.words(), choice.key, variant.name)
        }
        _ => place.words(),
    };
    let mut known: Vec<&str> = table.choice.iter().map(|choice| choice.key).collect();
    known.extend(table.keys_with(variant).map(|key| key.name));
    let complaint = format!("{here} has no key `{shown}`");
    let elsewhere = homes(name);
    let likely = nearest(name, known.iter().copied());
    match (likely, &*elsewhere) {
        (_, [home, others @ ..]) => {
            let others = others.iter().take(2);
            let or: Vec<String> = others.map(|other| format!(", or in {other}")).collect();
            let like =
                likely.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            format!("{complaint}{like}; `{shown}` has its place in {home}{}", or.concat())
        }
        (Some(meant), []) => format!("{complaint}; did you mean `{meant}`?"),
        (None, []) if known.is_empty() => format!("{complaint}: it has none"),
        (None, []) => format!("{complaint}: it has {}", known.join(", ")),
    }
}

/// The tables that have a key of this name.
fn homes(name: &str) -> Vec<String> {
    fn visit(table: &Table, place: &str, name: &str, homes: &mut Vec<String>) {
        let inner = |key: &Key| {
            if place.is_empty() { key.name.to_owned() } else { format!("{place}.{}", key.name) }
        };
        let mut look = |keys: &[Key], here: String| {
            for key in keys {
                if key.name == name {
                    homes.push(here.clone());
                }
                if let Kind::Table(table) = key.kind {
                    visit(table, &inner(key), name, homes);
                }
            }
        };
        let here = match place {
            "" => "the part before the first [section]".to_owned(),
            place => format!("[{place}]"),
        };
        look(table.keys, here.clone());
        if let Some(choice) = table.choice {
            for variant in choice.of {
                look(variant.keys, format!("{here} with {} = \"{}\"", choice.key, variant.name));
            }
        }
    }
    let mut list = Vec::new();
    visit(EXPERIMENT, "", name, &mut list);
    list.dedup();
    list
}
