//! `--curve`: ε against rounds, and against noise.
//!
//! Against rounds: the price of the first `t` releases of a ledger. Against noise: the price of the
//! whole ledger with all of its noise scaled by a factor. One case has a line for each accountant;
//! several have one line each, the least of their bounds.

use std::path::Path;

use dp_accounting::{DpEvent, Ledger, NoiseMultiplier};
use fed_sim::plan;

use super::answer::{relation, small};
use super::price::{Accountants, Prices};
use super::source::{Case, Question};
use crate::failure::Failure;
use crate::plot::{Figure, Panel, Point, Series, Unit};

/// Points of a line.
const POINTS: u32 = 48;

/// Width of the exact intervals: nobody sees less in a figure, and it is quicker.
const WIDTH: f64 = 1e-4;

/// How much noise is drawn, as factors of what there is.
const FACTORS: (f64, f64) = (0.6, 2.4);

/// Draws `epsilon.svg` and `epsilon.png` into `folder`, which is made if it is not there.
pub(super) fn draw(question: &Question, folder: &Path) -> Result<(), Failure> {
    let accountants = &Accountants::new(question, question.width.max(WIDTH))?;
    for name in ["epsilon.svg", "epsilon.png"] {
        let path = folder.join(name);
        if path.exists() {
            return Err(Failure::bad_input(format_args!(
                "{} exists, and nothing is overwritten: name another folder",
                path.display()
            )));
        }
    }
    let cases: Vec<&Case> = question.cases.iter().filter(|case| !case.together).collect();
    let noise = match cases.as_slice() {
        [one] => one.noise.filter(|&noise| noise > 0.0),
        _ => None,
    };
    let rounds = panel(&cases, |case| against_rounds(accountants, case))?;
    let scaled = panel(&cases, |case| against_noise(accountants, case, noise.unwrap_or(1.0)))?;
    // A line that cannot be drawn in one panel is left out of both, which share a legend.
    let drawn: Vec<bool> =
        rounds.iter().zip(&scaled).map(|(a, b)| a.is_drawn() && b.is_drawn()).collect();
    let keep = |lines: Vec<Series>| -> Vec<Series> {
        lines.into_iter().zip(&drawn).filter(|(_, drawn)| **drawn).map(|(line, _)| line).collect()
    };
    let (rounds, scaled) = (keep(rounds), keep(scaled));
    if rounds.is_empty() {
        return Err(Failure::bad_input(
            "there is no curve to draw: ε is infinite at every number of rounds",
        ));
    }
    let panel = |heading: &str, x_label: &str, series: Vec<Series>| Panel {
        heading: heading.to_owned(),
        x_label: x_label.to_owned(),
        unit: Unit::Plain,
        range: Some((0.0, top(&series))),
        series,
    };
    let noise_label = match noise {
        Some(_) => "noise multiplier",
        None => "all noise, as a multiple of what was named",
    };
    let several = cases.len() > 1;
    let figure = Figure {
        title: format!("Privacy cost at δ = {}: {}", small(question.delta), question.priced.name()),
        subtitle: format!(
            "{}; {}",
            mechanism(&question.mechanism, &question.source, &cases),
            relation(question.relation)
        ),
        badge: None,
        legend: if several { String::new() } else { "accountant".to_owned() },
        panels: vec![
            panel("ε against rounds", "round", rounds),
            panel("ε of the whole run against noise", noise_label, scaled),
        ],
    };
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::bad_input(format_args!("cannot make {}: {error}", folder.display()))
    })?;
    figure.write(folder, "epsilon").map_err(Failure::failed)?;
    tracing::info!("wrote epsilon.svg and epsilon.png to {}", folder.display());
    Ok(())
}

/// No ε without its mechanism: in few words, since a figure has one line for them.
fn mechanism(words: &str, source: &str, cases: &[&Case]) -> String {
    match cases {
        [one] if words.starts_with("as in") => {
            format!("{} releases of {source}", one.ledger.len())
        }
        [_] => words.split(':').next().unwrap_or_default().to_owned(),
        _ => "Gaussian noise of these multipliers; the least bound of each".to_owned(),
    }
}

/// The highest point, for axes that begin at zero.
fn top(series: &[Series]) -> f64 {
    let values = series.iter().flat_map(|line| &line.points).map(|point| point.mean);
    values.filter(|value| value.is_finite()).fold(0.0, f64::max).max(1e-6)
}

/// A place on the horizontal axis with what was found there.
type Found = (f64, Prices);

/// The lines of a panel: one for each accountant of the only case, or one for each case.
fn panel(
    cases: &[&Case],
    mut points: impl FnMut(&Case) -> Result<Vec<Found>, Failure>,
) -> Result<Vec<Series>, Failure> {
    if let [only] = cases {
        let found = points(only)?;
        let mut lines = vec![
            line("Rényi, classic", &found, |prices| prices.classic.epsilon.get()),
            line("Rényi, improved", &found, |prices| prices.improved.epsilon.get()),
        ];
        let exact = found.iter().all(|(_, prices)| prices.exact.is_ok());
        lines.push(line(if exact { "exact" } else { "exact, or on a grid" }, &found, |prices| {
            prices.interval().map_or(f64::NAN, |found| found.upper.get())
        }));
        return Ok(lines);
    }
    cases.iter().map(|case| Ok(line(&case.label, &points(case)?, Prices::least))).collect()
}

fn line(label: &str, found: &[Found], value: impl Fn(&Prices) -> f64) -> Series {
    let point = |(place, prices): &Found| {
        let epsilon = value(prices);
        Point { round: *place, mean: epsilon, low: epsilon, high: epsilon }
    };
    Series { label: label.to_owned(), points: found.iter().map(point).collect() }
}

/// The first `t` releases, for `t` from one to all.
fn against_rounds(accountants: &Accountants, case: &Case) -> Result<Vec<Found>, Failure> {
    let total = case.ledger.len();
    let mut places: Vec<u64> = (1..=POINTS)
        .map(|point| {
            // Denser at the beginning, where the curve bends.
            let share = f64::from(point) / f64::from(POINTS);
            #[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
            let place = (share * share * total as f64).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
            let place = place as u64;
            place.clamp(1, total)
        })
        .collect();
    places.dedup();
    let price = |place: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
        let x = place as f64;
        let prices =
            accountants.ledger(&plan::first(&case.ledger, place)).map_err(Failure::bad_input)?;
        Ok((x, prices))
    };
    places.into_iter().map(price).collect()
}

/// The whole ledger with its noise scaled; `unit` is what a factor of 1 is called on the axis.
fn against_noise(accountants: &Accountants, case: &Case, unit: f64) -> Result<Vec<Found>, Failure> {
    let (low, high) = FACTORS;
    (0..POINTS)
        .map(|point| {
            let factor = low + (high - low) * f64::from(point) / f64::from(POINTS - 1);
            let mut ledger = Ledger::new();
            for entry in case.ledger.entries() {
                ledger.record_many(scaled(&entry.event, factor), entry.count);
            }
            Ok((factor * unit, accountants.ledger(&ledger).map_err(Failure::bad_input)?))
        })
        .collect()
}

/// The event with all of its noise scaled.
fn scaled(event: &DpEvent, factor: f64) -> DpEvent {
    let mut event = event.clone();
    scale(&mut event, factor);
    event
}

fn scale(event: &mut DpEvent, factor: f64) {
    match event {
        DpEvent::Gaussian { noise_multiplier }
        | DpEvent::Laplace { noise_multiplier }
        | DpEvent::DiscreteGaussian { noise_multiplier }
        | DpEvent::DiscreteLaplace { noise_multiplier, .. }
        | DpEvent::TreeAggregation { noise_multiplier, .. }
        | DpEvent::TreeWithParticipations { noise_multiplier, .. } => {
            if let Ok(scaled) = NoiseMultiplier::new(noise_multiplier.get() * factor) {
                *noise_multiplier = scaled;
            }
        }
        DpEvent::PoissonSampled { event, .. }
        | DpEvent::FixedSizeSampled { event, .. }
        | DpEvent::SelfComposed { event, .. }
        | DpEvent::RepeatAndSelect { event, .. } => scale(event, factor),
        DpEvent::Composed { events } => events.iter_mut().for_each(|event| scale(event, factor)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text in a figure is outlines, so that this is where it can be read.
    #[test]
    fn a_figure_names_the_mechanism_in_few_words() {
        let mut ledger = Ledger::new();
        ledger.record(DpEvent::NonPrivate);
        let case = Case { label: String::new(), ledger, noise: None, together: false };
        let adaptive = "Gaussian noise of total multiplier 1.2: 1.206 on the sum and much more";
        assert_eq!(mechanism(adaptive, "", &[&case]), "Gaussian noise of total multiplier 1.2");
        let foreign = mechanism("as in the events below", "a.json", &[&case]);
        assert_eq!(foreign, "1 releases of a.json");
        assert!(mechanism(adaptive, "", &[&case, &case]).starts_with("Gaussian noise of these"));
    }
}
