//! What an audit found, to stand beside the ε that was proven.

use std::fmt;

use dp_accounting::Epsilon;
use serde::{Deserialize, Serialize};

use super::curve::Claim;
use super::one_run::{LowerBound, Ways};
use super::one_shot::{self, OneShot};
use super::running::CanaryRow;
use crate::text::item;

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Canaries there are.
    pub canaries: usize,
    /// Canaries that a fair coin let in.
    pub included: usize,
    /// Rounds that were looked at.
    pub rounds: u32,
    /// δ of the proven ε, of the estimates and of the bound.
    pub delta: f64,
    /// Confidence of the intervals and of the bound.
    pub confidence: f64,
    /// The ε that was proven.
    pub proven: Epsilon,
    /// Estimate of ε against whoever sees the final model alone; none with fewer than three
    /// canaries in.
    pub final_model: Option<OneShot>,
    /// Estimate of ε against whoever sees the mean of every round and goes by the largest cosine;
    /// none with fewer than three canaries in or out.
    pub all_rounds: Option<OneShot>,
    /// The ε that is refuted, by whoever sees every round and goes by the likelihood.
    pub lower_bound: LowerBound,
    /// The largest lower bound that this audit could have given, had every guess been right; none
    /// in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub could_refute: Option<f64>,
    /// Whether the audit would have refuted what was proven, had there been no noise at all; none
    /// where nothing was proven, and in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub could_refute_the_claim: Option<bool>,
    /// Whether the privacy curve that was proven is refuted, and with it the program: with the
    /// stated confidence, it does not do what was priced.
    pub refuted: bool,
    /// How this is to be read, a sentence each.
    pub notes: Vec<String>,
}

impl AuditReport {
    /// The report on canaries in `dim` dimensions, guessed in these ways, beside the claim that was
    /// proven.
    #[must_use]
    pub fn new(
        rows: &[CanaryRow],
        ways: &Ways,
        rounds: u32,
        dim: usize,
        delta: f64,
        confidence: f64,
        claim: &Claim,
    ) -> Self {
        let side = |included: bool, statistic: fn(&CanaryRow) -> f64| -> Vec<f64> {
            rows.iter().filter(|row| row.included == included).map(statistic).collect()
        };
        let finals = side(true, |row| row.final_cosine);
        let largest = |included| side(included, |row| row.largest_cosine);
        let scores: Vec<(f64, bool)> =
            rows.iter().map(|row| (row.evidence, row.included)).collect();
        let lower_bound = LowerBound::new(&scores, ways, delta);
        let some = rounds > 0;
        let final_model =
            some.then(|| one_shot::estimate(&finals, dim, delta, confidence)).flatten();
        let all_rounds = some
            .then(|| {
                one_shot::estimate_from_both(&largest(true), &largest(false), delta, confidence)
            })
            .flatten();
        let proven = claim.epsilon;
        let refuted = claim.is_refuted(&scores, ways) || lower_bound.epsilon > proven.get();
        Self {
            canaries: rows.len(),
            included: finals.len(),
            rounds,
            delta,
            confidence,
            proven,
            final_model,
            all_rounds,
            lower_bound,
            could_refute: Some(ways.most(delta)),
            could_refute_the_claim: proven.is_finite().then(|| ways.could_refute(claim)),
            refuted,
            notes: NOTES.map(str::to_owned).to_vec(),
        }
    }

    /// The findings in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let estimate = |estimate: &Option<OneShot>| match estimate {
            Some(found) => format!(
                "{} ({} to {})",
                short(found.epsilon),
                short(found.interval[0]),
                short(found.interval[1])
            ),
            None => "unknown".to_owned(),
        };
        format!(
            "Audit: ε looks like {} from the final model, {} from all rounds; at least {:.2}{}",
            estimate(&self.final_model),
            estimate(&self.all_rounds),
            self.lower_bound.epsilon,
            self.reach().map_or_else(String::new, |reach| format!("; {reach}"))
        )
    }

    /// What the audit could have refuted, in words; none in reports of older versions.
    fn reach(&self) -> Option<String> {
        let most = format!("could have refuted at most ε = {}", rounded_down(self.could_refute?));
        Some(match self.could_refute_the_claim {
            None => format!("{most}, and nothing was proven"),
            Some(true) => format!(
                "{most} as a bound, and the claim by its whole curve, had there been no noise"
            ),
            Some(false) => format!(
                "{most}: can refute nothing here, for not even a run without any noise would \
                 contradict {}",
                short(self.proven)
            ),
        })
    }

    /// What to shout if the proven ε is refuted; `None` if it is not.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        self.refuted.then(|| {
            format!(
                "THE GUARANTEE IS REFUTED: the privacy curve of ε = {} does not hold, with a confidence of {} (as a \
                 bound: ε is at least {}). The program does not do what was priced: release \
                 nothing of this run, and look for the mistake",
                short(self.proven),
                percent(self.confidence),
                rounded_down(self.lower_bound.epsilon),
            )
        })
    }
}

const NOTES: [&str; 5] = [
    "an estimate is no bound: it tells how well these canaries can be told from others, and a \
     better attack may tell more",
    "an estimate above the proven ε proves nothing, since the laws behind it are fitted; a lower \
     bound above it shows a mistake in the program",
    "the estimate from all rounds goes by the largest cosine over the rounds, the lower bound by \
     the likelihood of all of them",
    "the canaries changed the run: to the model their updates are noise, and they count for a \
     moving clip norm and zeroing threshold",
    "the users' guarantee is what it would be without canaries, which depend on nobody's data: \
     each user is drawn, clipped and hidden as before",
];

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Audit: {} canaries, {} of them in, {} rounds, δ = {:e}",
            self.canaries, self.included, self.rounds, self.delta
        )?;
        let confidence = percent(self.confidence);
        let mut estimate = |name: &str, found: &Option<OneShot>| match found {
            Some(found) => item(
                f,
                name,
                &format!(
                    "looks like ε = {} ({confidence} interval: {} to {})",
                    short(found.epsilon),
                    short(found.interval[0]),
                    short(found.interval[1]),
                ),
            ),
            None => item(f, name, "no estimate: too few canaries, or no rounds"),
        };
        estimate("final model", &self.final_model)?;
        estimate("all rounds", &self.all_rounds)?;
        let LowerBound { epsilon, guesses } = self.lower_bound;
        let (right, made) = (guesses.right, guesses.made);
        item(
            f,
            "at least",
            &format!(
                "ε ≥ {}, {confidence} confidence ({right} of {made} guesses right)",
                rounded_down(epsilon)
            ),
        )?;
        if let Some(reach) = self.reach() {
            item(f, "its reach", &reach)?;
        }
        let proven = if self.proven.is_finite() {
            format!("ε ≤ {}", self.proven.rounded_up(4))
        } else {
            "nothing".to_owned()
        };
        item(f, "proven", &proven)?;
        if let Some(alarm) = self.alarm() {
            item(f, "ALARM", &alarm)?;
        }
        for (position, note) in self.notes.iter().enumerate() {
            item(f, if position == 0 { "read it so" } else { "" }, &format!("- {note}"))?;
        }
        Ok(())
    }
}

/// ε to two digits.
fn short(epsilon: Epsilon) -> String {
    if epsilon.is_finite() { format!("{:.2}", epsilon.get()) } else { "infinity".to_owned() }
}

/// A confidence as a person says it.
fn percent(confidence: f64) -> String {
    format!("{} %", (confidence * 1e8).round() / 1e6)
}

/// A lower bound to four decimals and never above it.
fn rounded_down(bound: f64) -> String {
    format!("{:.4}", (bound * 1e4).floor() / 1e4)
}
