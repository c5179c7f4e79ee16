//! `--best-of`: from which distribution the number of repetitions is drawn.

use std::str::FromStr;

use dp_accounting::Repetitions;

/// A distribution by its name and its mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BestOf(pub(crate) Repetitions);

impl FromStr for BestOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, mean) = text.split_once(':').unwrap_or(("geometric", text));
        let mean: f64 = mean.trim().parse().map_err(|_| {
            format!("{mean:?} is not a number: give a mean, such as 20 or poisson:20")
        })?;
        let repetitions = match name {
            "geometric" => Repetitions::negative_binomial(1.0, mean),
            "logarithmic" => Repetitions::negative_binomial(0.0, mean),
            "poisson" => Repetitions::poisson(mean),
            _ => {
                return Err(format!("no distribution {name:?}: geometric, logarithmic or poisson"));
            }
        };
        repetitions.map(Self).map_err(|error| error.to_string())
    }
}
