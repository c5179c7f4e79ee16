//! What a configuration means for its guarantee, in sentences.

use dp_agg::{Clipping, NoiseMode, Zeroing};

use crate::config::{AggregationConfig, RunConfig, Uncovered};
use crate::plan;
use crate::standing::Standing;

/// Who is trusted with what.
pub(super) const SETTING: &str = "central: whoever sums the clipped updates is trusted with them, \
    and adds the noise before anything leaves";

/// Which looks at the data are covered, and which outputs.
pub(super) fn covered(config: &RunConfig) -> String {
    let mut outputs = vec!["the model after every round"];
    if let AggregationConfig::Private { clipping, zeroing } = config.aggregation {
        if matches!(clipping, Clipping::Adaptive(_)) {
            outputs.push("the clip norms");
        }
        if matches!(zeroing, Zeroing::Noised(_)) {
            outputs.push("the zeroing thresholds");
        }
    }
    format!("one run of training, and all that it releases: {}", outputs.join(", "))
}

/// What a simulated guarantee is worth.
pub(super) const SIMULATED: &str = "it is the guarantee of the mechanism that was simulated, and \
    protects nobody: noise and cohorts come from a seed";

/// What the price takes for granted.
pub(super) fn assumptions(noise: NoiseMode) -> String {
    let randomness = match noise {
        NoiseMode::Simulation => "seeded ChaCha20 is taken for true randomness",
        NoiseMode::Release => {
            "the noise, a discrete Gaussian in steps of at most 2^-30 clip norms and, on counts, of \
             2^-20 clients, is priced as the continuous one, which understates ε by less than 1e-500 \
             and δ by less than 1e-500 of itself; ChaCha20 under a key of the system is taken for \
             true randomness"
        }
    };
    format!(
        "the number of clients N, the clients per round m and the rate m/N are public, and the same \
         for both neighbours; cohorts are drawn as they are priced; {randomness}"
    )
}

/// Why several runs have no price together.
pub(super) const SHARED: &str = "some were made with random keys of version 1, under which simulated \
    runs of one seed share their noise, so they have no price together";

/// What makes the releases.
pub(super) fn program() -> String {
    format!("fed-dp {}, open source ({})", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_LICENSE"))
}

/// The mechanism of a round, in words.
pub(super) fn mechanism(config: &RunConfig) -> String {
    let z = config.noise_multiplier;
    match config.aggregation {
        AggregationConfig::Mean { .. } => "mean of the raw updates: no clipping, no noise".into(),
        AggregationConfig::Robust { .. } => {
            "mean of updates clipped at a quantile of the raw norms: no noise".into()
        }
        AggregationConfig::Private { clipping, zeroing } => {
            let Ok(split) = plan::noise_split(config) else {
                return format!("Gaussian noise of total multiplier {z}");
            };
            let clip = match clipping {
                Clipping::Fixed { clip_norm } => format!("L2 norm {clip_norm}"),
                Clipping::Adaptive(_) => "an adaptive L2 norm".to_owned(),
            };
            let mut text = if split.values().total_cmp(&z.get()).is_eq() {
                format!("Gaussian noise of multiplier {z} on the sum of updates clipped to {clip}")
            } else {
                format!(
                    "Gaussian noise of total multiplier {z}: {:.6} on the sum of updates clipped to \
                     {clip}",
                    split.values()
                )
            };
            if let Clipping::Adaptive(_) = clipping {
                text += &format!(
                    ", and a standard deviation of {} on the count that moves the norm",
                    tidy(split.count_stddev())
                );
            }
            if let Zeroing::Noised(_) = zeroing {
                text += &format!(
                    ", and a standard deviation of {} on the count that moves the zeroing threshold",
                    tidy(split.zeroing_stddev())
                );
            }
            if let Zeroing::Adaptive(_) = zeroing {
                text += "; updates above a threshold that follows raw data are zeroed before";
            }
            text
        }
    }
}

/// The choice of hyper-parameters, where no price is known for it.
pub(super) const CHOICE: &str =
    "the choice of hyper-parameters by looking at other runs on the same users";

/// The same where all runs of the experiment are priced together.
pub(super) const CHOICE_PRICED: &str = "the choice of hyper-parameters: among the runs of this \
    experiment it costs the ε under `tried`, by any other run on the same users more";

/// What stands outside the guarantee.
pub(super) fn not_covered(config: &RunConfig) -> Vec<String> {
    let mut list = Vec::new();
    let standing = Standing::of(config);
    if let Some(gap) = standing.gap {
        list.push(format!("the model, because of {gap}: {}", gap.why()));
    }
    let mut add = |text: &str| list.push(text.to_owned());
    if standing.is_simulated() || config.uncovered.contains(&Uncovered::Diagnostics) {
        add(
            "raw measurements, for simulations alone: training metrics, update norms, cohort sizes, \
             counts and times (`diagnostics` in metrics.jsonl, and timing.jsonl)",
        );
    }
    add("test metrics, where they are computed on the users' own held-out examples \
         (evaluations.csv, summary and figures)");
    if standing.is_simulated() {
        add("facts about the data: their digest and counts (provenance.json, resumes.jsonl), and \
             errors that name a client (status.json)");
    } else {
        add("whether the data are those of another run, for whoever has digest.key of the data \
             folder (`keyed_digest` in provenance.json and resumes.jsonl)");
        add("that a round failed or training diverged, where that depends on clients' data \
             (status.json, checkpoints, exit code): the round is paid for, but that it failed shows");
        add("what only the terminal shows, such as counts of the data and errors, and how long \
             rounds take (the times of files)");
    }
    add(CHOICE);
    if standing.is_simulated() {
        add("whoever knows the seed: cohorts and noise can be drawn again and subtracted");
    }
    list
}

/// What a reader should be warned of.
pub(super) fn warnings(config: &RunConfig, population: usize) -> Vec<String> {
    let mut list = Vec::new();
    let least = 1.0 / population.max(1) as f64;
    if config.delta.get() >= least {
        list.push(format!(
            "δ = {} is not below 1/population = {least:.2e}: it would allow the release of a whole \
             user's data",
            config.delta
        ));
    }
    if plan::noise_split(config).is_ok_and(|split| split.starves_values()) {
        list.push(
            "the noise on the clip count is so small that the updates need at least twice the \
             noise: raise clients_per_round or count_stddev"
                .to_owned(),
        );
    }
    list
}

/// A number without the last bits of a product: 4.35, not 4.3500000000000005.
fn tidy(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}
