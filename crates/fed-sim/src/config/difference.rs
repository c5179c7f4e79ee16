//! In what two configurations differ, in the words of their files.

use serde::Serialize;
use toml::Value;

/// The keys whose values differ, a phrase each: `client.batch_size = 32, not 16`.
///
/// The first value named is that of `ours`.
///
/// # Errors
/// A sentence, if one of them cannot be written as TOML.
pub fn differences(ours: &impl Serialize, theirs: &impl Serialize) -> Result<Vec<String>, String> {
    let tree = |error: toml::ser::Error| error.to_string();
    let ours = Value::try_from(ours).map_err(tree)?;
    let theirs = Value::try_from(theirs).map_err(tree)?;
    let mut list = Vec::new();
    compare(String::new(), Some(&ours), Some(&theirs), &mut list);
    Ok(list)
}

fn compare(key: String, ours: Option<&Value>, theirs: Option<&Value>, list: &mut Vec<String>) {
    if ours == theirs {
        return;
    }
    if let (Some(Value::Table(ours)), Some(Value::Table(theirs))) = (ours, theirs) {
        let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            compare(inner, ours.get(name), theirs.get(name), list);
        }
        return;
    }
    let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    list.push(format!("{key} = {}, not {}", show(ours), show(theirs)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

    const TEXT: &str = "name = \"a\"\nseeds = [1]\nrounds = 3\ndelta = 1e-3\n\
                        [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n";

    fn experiment(text: &str) -> Experiment {
        Experiment::parse(text, "test").expect("sound")
    }

    #[test]
    fn a_changed_value_is_named_with_its_section() {
        let ours = experiment(TEXT);
        assert!(differences(&ours, &ours).expect("TOML").is_empty());
        let theirs =
            experiment(&(TEXT.replace("rounds = 3", "rounds = 4") + "[client]\nbatch_size = 8\n"));
        let list = differences(&ours, &theirs).expect("TOML");
        assert_eq!(list, ["client.batch_size = 32, not 8", "rounds = 3, not 4"]);
    }

    #[test]
    fn a_section_that_only_one_has_is_named() {
        let ours = experiment(TEXT);
        let calibrate = "[calibrate]\ntarget_epsilon = 2.0\nbase_noise_multiplier = 0.5\n\
                         base_clients_per_round = 50\n";
        let list = differences(&ours, &experiment(&(TEXT.to_owned() + calibrate))).expect("TOML");
        assert!(list.len() == 1 && list[0].starts_with("calibrate = absent"), "{list:?}");
    }
}
