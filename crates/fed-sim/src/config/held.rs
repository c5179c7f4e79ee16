//! The page of keys, held against the code: each accepts and refuses what the other does.

use toml::{Table as Toml, Value};

use super::keys::EXPERIMENT;
use super::schema::{Absent, Choice, Key, Kind, Table};
use super::{Experiment, page};

/// What the types say, without the table of keys.
fn read(text: &str) -> Result<Experiment, String> {
    let experiment: Experiment =
        toml::from_str(text).map_err(|error| error.message().to_owned())?;
    experiment.check().map_err(|refusal| refusal.message)?;
    Ok(experiment)
}

fn toml(text: &str) -> Value {
    let table: Toml = toml::from_str(&format!("value = {text}")).expect("TOML");
    table["value"].clone()
}

/// A key in a file in which only it decides whether the file is accepted.
struct Case {
    file: Toml,
    /// The tables on the way to it.
    path: Vec<String>,
    key: &'static Key,
}

impl Case {
    fn with(&self, value: Option<Value>) -> String {
        let mut file = self.file.clone();
        let mut table = &mut file;
        for step in &self.path {
            table = table.get_mut(step).and_then(Value::as_table_mut).expect("a table");
        }
        match value {
            Some(value) => table.insert(self.key.name.to_owned(), value),
            None => table.remove(self.key.name),
        };
        toml::to_string(&file).expect("TOML")
    }

    /// The types and the table of keys both must say so.
    #[track_caller]
    fn expect(&self, value: Option<Value>, accepted: bool) {
        let text = self.with(value);
        let (types, table) = (read(&text), Experiment::parse(&text, "test"));
        let name = [&self.path.join("."), self.key.name].join(".");
        assert_eq!(types.is_ok(), accepted, "{name}: the types say {types:?} to\n{text}");
        assert_eq!(table.is_ok(), accepted, "{name}: the table says {table:?} to\n{text}");
    }

    /// The value must be refused, showing the line, naming the key and saying what it may be.
    #[track_caller]
    fn expect_words(&self, value: Value) {
        let text = self.with(Some(value));
        let message = Experiment::parse(&text, "test").expect_err(&text).to_string();
        assert!(message.contains(self.key.name), "{message}");
        assert!(message.contains(" must be "), "{message}");
        assert!(message.starts_with("test: line ") && message.contains(" | "), "{message}");
        let words = message.lines().next().expect("a line");
        assert!(!JARGON.iter().any(|jargon| words.contains(jargon)), "{message}");
    }
}

/// Words of the parser that mean nothing to whoever wrote the file.
const JARGON: [&str; 8] =
    ["invalid type", "expected", "nonzero", "tagged", "variant `", "sequence", "u32", "struct"];

/// A value that a key accepts.
fn sample(kind: &Kind) -> Value {
    match kind {
        Kind::Name => toml("\"a\""),
        Kind::Source => toml("\"synthetic\""),
        Kind::Flag => toml("true"),
        Kind::Word(words) | Kind::WordOr(words, _) => Value::String(words[0].0.to_owned()),
        Kind::Whole(least, _) => Value::Integer(i64::try_from(*least).expect("small")),
        Kind::Real(range) if range.with_least => Value::Float(range.least),
        Kind::Real(range) => Value::Float((range.least + range.most.min(range.least + 1.0)) / 2.0),
        Kind::List { of, .. } => Value::Array(vec![sample(of)]),
        Kind::Table(table) => Value::Table(filled(table, 0)),
    }
}

/// A table with every key that must be there, and its `variant`.
fn filled(table: &Table, variant: usize) -> Toml {
    let mut filled = Toml::new();
    let variant = table.choice.map(|choice| {
        let variant = &choice.of[variant];
        filled.insert(choice.key.to_owned(), Value::String(variant.name.to_owned()));
        variant
    });
    for key in table.keys_with(variant) {
        if matches!(key.absent, Absent::Refused) {
            filled.insert(key.name.to_owned(), sample(&key.kind));
        }
    }
    filled
}

fn base(path: &[String]) -> Toml {
    let mut file = filled(EXPERIMENT, 0);
    // What needs noise has some, and what bears none has none.
    let (noise, aggregation) = match path.first().map(String::as_str) {
        Some("client" | "aggregation") => ("0.0", "{ kind = \"mean\" }"),
        _ => (
            "1.0",
            "{ kind = \"private\", zeroing = { kind = \"off\" }, \
             clipping = { kind = \"fixed\", clip_norm = 1.0 } }",
        ),
    };
    let sweep = format!("{{ noise_multipliers = [{noise}], clients_per_round = [50.0] }}");
    file.insert("sweep".to_owned(), toml(&sweep));
    file.insert("aggregation".to_owned(), toml(aggregation));
    file
}

/// What is told of a table: the file, the way to it, what it holds, and which variant.
type SeeTable<'a> = &'a mut dyn FnMut(&Toml, &[String], &'static Table, usize);

/// Calls `see_table` for every table in every variant (with the file, the way to it and what it
/// holds), and `see_key` for every key.
fn visit(see_table: SeeTable<'_>, see_key: &mut dyn FnMut(Case)) {
    fn descend(
        set: &dyn Fn(&mut Toml),
        path: &[String],
        table: &'static Table,
        see_table: SeeTable<'_>,
        see_key: &mut dyn FnMut(Case),
    ) {
        for number in 0..table.choice.map_or(1, |choice| choice.of.len()) {
            let variant = table.choice.map(|choice| &choice.of[number]);
            let fill = |file: &mut Toml| {
                set(file);
                let mut inner = file;
                for step in path {
                    let entry =
                        inner.entry(step.clone()).or_insert_with(|| Value::Table(Toml::new()));
                    inner = entry.as_table_mut().expect("a table");
                }
                if !path.is_empty() {
                    let keep = inner.clone();
                    *inner = filled(table, number);
                    // Numbers of the grid that suit each other.
                    if path == ["sweep"] {
                        *inner = keep;
                    }
                }
            };
            let mut file = base(path);
            fill(&mut file);
            see_table(&file, path, table, number);
            for key in table.keys_with(variant) {
                see_key(Case { file: file.clone(), path: path.to_vec(), key });
                if let Kind::Table(inner) = key.kind {
                    let path = [path, &[key.name.to_owned()]].concat();
                    descend(&fill, &path, inner, see_table, see_key);
                }
            }
        }
    }
    descend(&|_| {}, &[], EXPERIMENT, see_table, see_key);
}

#[test]
fn the_page_is_the_one_that_is_written() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/README.md");
    let written = std::fs::read_to_string(path).expect("the page is there");
    assert!(
        written == page(),
        "configs/README.md is not what the keys say: cargo xtask keys > configs/README.md"
    );
}

/// Whether a file with this noised threshold and no noise is meant: refused for that alone.
fn is_noised_without_noise(file: &Toml) -> bool {
    let aggregation = file["aggregation"].as_table().expect("a table");
    aggregation["kind"].as_str() == Some("robust")
        && aggregation
            .get("zeroing")
            .is_some_and(|zeroing| zeroing["kind"].as_str() == Some("noised"))
}

#[test]
fn every_key_is_accepted_and_refused_as_the_page_says() {
    let mut keys = 0;
    visit(&mut |_, _, _, _| {}, &mut |mut case| {
        keys += 1;
        if is_noised_without_noise(&case.file) {
            return case.expect(Some(sample(&case.key.kind)), false);
        }
        if case.key.name == "nesterov" {
            case.file["server"]["optimizer"].as_str().expect("named");
            case.file["server"]
                .as_table_mut()
                .expect("a table")
                .insert("momentum".to_owned(), toml("0.5"));
        }
        let required = matches!(case.key.absent, Absent::Refused);
        // One of the two must be there.
        if !["sweep", "calibrate"].contains(&case.key.name) {
            case.expect(None, !required);
        }
        values(&case);
    });
    assert!(keys > 80, "only {keys} keys were looked at");
}

fn values(case: &Case) {
    let accept = |value| case.expect(Some(value), true);
    let refuse = |value| case.expect(Some(value), false);
    let mut wrong_types = vec!["1979-05-27", "[[]]"];
    match &case.key.kind {
        Kind::Table(_) => {
            if case.key.name != "audit" {
                accept(sample(&case.key.kind));
            }
            wrong_types.extend(["1", "1.5", "true", "\"text\""]);
        }
        Kind::Name => {
            accept(Value::String("a".repeat(100)));
            for wrong in ["", "a/b", ".a", "a b", "ä", &"a".repeat(101)] {
                refuse(Value::String(wrong.to_owned()));
            }
            wrong_types.extend(["1", "1.5", "true", "{}"]);
        }
        Kind::Source => {
            accept(toml("\"some/where\""));
            wrong_types.extend(["\"\"", "1", "1.5", "true", "{}"]);
        }
        Kind::Flag => {
            accept(toml("true"));
            accept(toml("false"));
            wrong_types.extend(["1", "\"true\"", "{}"]);
        }
        Kind::Word(words) => {
            for (word, _) in *words {
                if *word != "fixed_size" || case.path.is_empty() {
                    accept(Value::String((*word).to_owned()));
                }
            }
            wrong_types.extend(["\"other\"", "\"\"", "1", "true"]);
        }
        Kind::WordOr(words, other) => {
            for (word, _) in *words {
                accept(Value::String((*word).to_owned()));
            }
            wrong_types.extend(["\"other\"", "1", "true"]);
            list(case, other);
        }
        kind @ Kind::List { .. } => {
            list(case, kind);
            wrong_types.extend(["1", "1.5", "true", "\"text\"", "{}"]);
        }
        kind => {
            bounds(kind, &accept, &refuse);
            wrong_types.extend(["true", "\"1\"", "[1]", "{}"]);
        }
    }
    wrong_types.into_iter().for_each(|wrong| case.expect_words(toml(wrong)));
}

fn list(case: &Case, kind: &Kind) {
    let Kind::List { of, may_be_empty } = kind else { panic!("no list") };
    case.expect(Some(Value::Array(Vec::new())), *may_be_empty);
    let item = |accepted: bool| move |value| case.expect(Some(Value::Array(vec![value])), accepted);
    if let Kind::Word(words) = of {
        words.iter().for_each(|(word, _)| item(true)(Value::String((*word).to_owned())));
    } else {
        bounds(of, &item(true), &item(false));
    }
    for wrong in ["true", "\"1\"", "[1]", "{}"] {
        case.expect_words(Value::Array(vec![toml(wrong)]));
    }
}

fn bounds(kind: &Kind, accept: &dyn Fn(Value), refuse: &dyn Fn(Value)) {
    match kind {
        Kind::Whole(least, most) => {
            let number = |value: u64| i64::try_from(value).ok().map(Value::Integer);
            accept(number(*least).expect("small"));
            accept(number(*most).expect("TOML can say it"));
            refuse(Value::Integer(i64::try_from(*least).expect("small") - 1));
            if let Some(beyond) = most.checked_add(1).and_then(number) {
                refuse(beyond);
            }
            refuse(Value::Float(1.5));
        }
        Kind::Real(range) => {
            let inside = |end: f64, with: bool, up: bool| match (with, up) {
                (true, _) => end,
                (false, true) => end.next_up(),
                (false, false) => end.next_down(),
            };
            let outside = |end: f64, with: bool, up: bool| match (with, up) {
                (false, _) => end,
                (true, true) => end.next_up(),
                (true, false) => end.next_down(),
            };
            accept(Value::Float(inside(range.least, range.with_least, true)));
            accept(Value::Float(inside(range.most, range.with_most, false)));
            refuse(Value::Float(outside(range.least, range.with_least, false)));
            refuse(Value::Float(outside(range.most, range.with_most, true)));
            for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                refuse(Value::Float(none));
            }
        }
        _ => panic!("no number"),
    }
}

#[test]
fn a_default_is_what_a_missing_key_means() {
    let mut defaults = 0;
    visit(&mut |_, _, _, _| {}, &mut |case| {
        let Absent::Is(value) = case.key.absent else { return };
        if is_noised_without_noise(&case.file) {
            return;
        }
        defaults += 1;
        let with = read(&case.with(Some(toml(value)))).expect("a default is in range");
        let without = read(&case.with(None)).expect("it may be left out");
        assert_eq!(with, without, "{}.{} = {value}", case.path.join("."), case.key.name);
    });
    assert!(defaults > 50, "only {defaults} defaults were looked at");
}

/// The names in backticks of a message such as "unknown field `a`, expected one of `b`, `c`".
fn expected(message: &str) -> Vec<&str> {
    let (_, list) = message.split_once(", expected ").unwrap_or_default();
    let mut names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    names.sort_unstable();
    names
}

/// What the types say about `value` in place of a table or key.
fn complaint(file: &Toml, path: &[String], change: impl FnOnce(&mut Toml)) -> String {
    let mut file = file.clone();
    let mut table = &mut file;
    for step in path {
        table = table.get_mut(step).and_then(Value::as_table_mut).expect("a table");
    }
    change(table);
    read(&toml::to_string(&file).expect("TOML")).expect_err("refused")
}

#[test]
fn every_key_and_word_of_the_code_is_on_the_page() {
    let mut tables = 0;
    visit(
        &mut |file, path, table, number| {
            tables += 1;
            let variant = table.choice.map(|choice| &choice.of[number]);
            let message = complaint(file, path, |table| {
                table.insert("nobody".to_owned(), toml("1"));
            });
            let mut keys: Vec<&str> = table.keys_with(variant).map(|key| key.name).collect();
            keys.sort_unstable();
            assert!(message.contains("nobody"), "{path:?}: {message}");
            assert_eq!(expected(&message), keys, "{path:?}: {message}");
            if let Some(Choice { key, of }) = table.choice {
                let message = complaint(file, path, |table| {
                    table.insert((*key).to_owned(), toml("\"nothing\""));
                });
                let mut names: Vec<&str> = of.iter().map(|variant| variant.name).collect();
                names.sort_unstable();
                assert_eq!(expected(&message), names, "{path:?}: {message}");
            }
            for key in table.keys_with(variant) {
                let (words, nothing) = match key.kind {
                    Kind::Word(words) => (words, "\"nothing\""),
                    Kind::List { of: Kind::Word(words), .. } => (*words, "[\"nothing\"]"),
                    _ => continue,
                };
                let message = complaint(file, path, |table| {
                    table.insert(key.name.to_owned(), toml(nothing));
                });
                let mut names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                names.sort_unstable();
                assert_eq!(expected(&message), names, "{path:?}: {message}");
            }
        },
        &mut |_| {},
    );
    assert!(tables > 20, "only {tables} tables were looked at");
}
