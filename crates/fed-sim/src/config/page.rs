//! `configs/README.md`: every key of a configuration, from the same table that checks files.

use std::fmt::Write;

use super::keys::EXPERIMENT;
use super::schema::{Absent, Key, Kind, Table};

const HEAD: &str = "\
# Configuration files

One TOML file is one experiment. Below stands every key that it may have. Any other is refused, and so is
a value out of range, with its line. What decides the privacy (noise, clients per round, rounds, δ) has
no default; everything else defaults to the value of the tutorial. The `config.toml` of a run's directory
spells all of them out.

The files here: [noise_sweep.toml](noise_sweep.toml) is the tutorial's sweep and [final.toml](final.toml) its
final model; [final_setting.toml](final_setting.toml) trains the setting that the latter finds, and
[final_three_seeds.toml](final_three_seeds.toml) repeats it with other seeds;
[real_writers.toml](real_writers.toml) is the sweep with more seeds; [smoke.toml](smoke.toml) takes seconds.

This page is written by `cargo xtask keys`, from the table that files are checked against; a test holds that
table against the types that they are read into.
";

/// The page, as Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "", "The head of the file, before the first section.", EXPERIMENT);
    page
}

/// A table of keys, then one for each value of the deciding key, then the sections inside.
fn section(page: &mut String, place: &str, meaning: &str, table: &Table) {
    let heading = if place.is_empty() { "Head".to_owned() } else { format!("`[{place}]`") };
    let _ = write!(page, "\n## {heading}\n\n{meaning}\n");
    if !table.keys.is_empty() {
        rows(page, table.keys);
    }
    if let Some(choice) = table.choice {
        let _ = write!(
            page,
            "\n`{}` must be there and decides which other keys there are:\n",
            choice.key
        );
        for variant in choice.of {
            let _ =
                write!(page, "\n- `{} = \"{}\"`: {}.", choice.key, variant.name, variant.meaning);
            if variant.keys.is_empty() {
                page.push_str(" No other keys.\n");
            } else {
                page.push('\n');
                rows(page, variant.keys);
            }
        }
    }
    let variants = table.choice.into_iter().flat_map(|choice| {
        choice.of.iter().map(|variant| (Some((choice.key, variant.name)), variant.keys))
    });
    let mut seen: Vec<*const Table> = Vec::new();
    for (variant, keys) in std::iter::once((None, table.keys)).chain(variants) {
        for key in keys {
            let Kind::Table(inner) = key.kind else { continue };
            // Two variants may share a section.
            if seen.contains(&std::ptr::from_ref(inner)) {
                continue;
            }
            seen.push(inner);
            let path = if place.is_empty() {
                key.name.to_owned()
            } else {
                format!("{place}.{}", key.name)
            };
            let with = variant.map_or_else(String::new, |(choice, name)| {
                format!(" With `{choice} = \"{name}\"`.")
            });
            let without = match key.absent {
                Absent::Refused => String::new(),
                Absent::Is("{}") => " May be left out.".to_owned(),
                Absent::Is(value) => format!(" If left out: `{value}`."),
                Absent::Means(words) => format!(" If left out: {words}."),
            };
            section(page, &path, &format!("{}{with}{without}", key.meaning), inner);
        }
    }
}

fn rows(page: &mut String, keys: &[Key]) {
    let plain = || keys.iter().filter(|key| !matches!(key.kind, Kind::Table(_)));
    if plain().next().is_none() {
        return;
    }
    page.push_str("\n| key | type and range | default | meaning |\n|---|---|---|---|\n");
    for key in plain() {
        let default = match key.absent {
            Absent::Refused => "must be there".to_owned(),
            Absent::Is(value) => format!("`{value}`"),
            Absent::Means(words) => words.to_owned(),
        };
        let mut meaning = key.meaning.to_owned();
        if let Kind::Word(words)
        | Kind::WordOr(words, _)
        | Kind::List { of: Kind::Word(words), .. } = &key.kind
        {
            let each: Vec<String> =
                words.iter().map(|(word, meaning)| format!("\"{word}\": {meaning}")).collect();
            let _ = write!(meaning, " {}.", each.join("; "));
        }
        let _ = writeln!(page, "| `{}` | {} | {default} | {meaning} |", key.name, key.kind);
    }
}
