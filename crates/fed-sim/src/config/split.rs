//! Noise that cannot be split between the updates and the counts: which key, and what would do.

use dp_agg::{AggregateError, Clipping, Zeroing};

use super::{AggregationConfig, Refusal, RunConfig};
use crate::plan;

/// Why the aggregation of a run is refused, in the words of its file.
pub(super) fn refusal(run: &RunConfig, error: &AggregateError) -> Refusal {
    let counts_take_all = matches!(
        error,
        AggregateError::NothingLeftForValues { .. } | AggregateError::NothingLeftAfterCounts { .. }
    );
    if !counts_take_all {
        return Refusal { key: "aggregation", message: format!("[aggregation] {error}") };
    }
    let given = given_deviations(run);
    let key = given.first().copied().unwrap_or("sweep.clients_per_round");
    let remedy = match (least_clients(run), &*given) {
        (Some(least), _) => format!("clients_per_round must be at least {least}"),
        (None, []) => "the noise multiplier must be smaller".to_owned(),
        (None, given) => format!(
            "{} must be larger (at one half of the noise multiplier, {}, a count takes all of it), \
             or be left out",
            given.join(" and "),
            run.noise_multiplier.get() / 2.0
        ),
    };
    let message = format!(
        "noise multiplier {} with clients_per_round = {} leaves no noise for the updates: the \
         noised counts behind the adaptive clip norm{} take it all. For this noise multiplier \
         {remedy}; or take a fixed clip norm (aggregation.clipping = {{ kind = \"fixed\", ... }})",
        run.noise_multiplier,
        run.clients_per_round,
        if zeroing_is_noised(run) { " and the noised zeroing threshold" } else { "" },
    );
    Refusal { key, message }
}

/// The least whole number of clients per round with which the run's noise can be split; none if
/// the number does not matter.
fn least_clients(run: &RunConfig) -> Option<u64> {
    let works = |clients: u64| {
        plan::noise_split(&RunConfig { clients_per_round: clients as f64, ..run.clone() }).is_ok()
    };
    let mut enough = 1_u64;
    while !works(enough) {
        enough = enough.checked_mul(2).filter(|clients| *clients <= 1 << 31)?;
    }
    // More clients are never worse: the counts' deviations grow with them.
    let mut too_few = enough / 2;
    while enough - too_few > 1 {
        let middle = u64::midpoint(too_few, enough);
        if works(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough)
}

/// The keys that set the deviation of a count.
fn given_deviations(run: &RunConfig) -> Vec<&'static str> {
    let AggregationConfig::Private { zeroing, clipping } = run.aggregation else {
        return Vec::new();
    };
    let mut given = Vec::new();
    if matches!(clipping, Clipping::Adaptive(adaptive) if adaptive.count_stddev.is_some()) {
        given.push("aggregation.clipping.count_stddev");
    }
    if matches!(zeroing, Zeroing::Noised(noised) if noised.count_stddev.is_some()) {
        given.push("aggregation.zeroing.count_stddev");
    }
    given
}

fn zeroing_is_noised(run: &RunConfig) -> bool {
    matches!(run.aggregation, AggregationConfig::Private { zeroing: Zeroing::Noised(_), .. })
}
