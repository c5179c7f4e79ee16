//! A part of the sum that was taken elsewhere, in whole steps.
//!
//! A graphics card trains many clients at once and can add up what they send where it lies. It
//! has no double precision and nothing here has seen its updates, so this door asks for more than
//! a sum: for every client what the rule said of it, and how long its rounded update is at most.
//! What cannot be shown to keep the rule is refused, and then nothing is added.

use super::SecretSum;
use crate::error::AggregateError;
use crate::rule::{UpdateRule, Verdict, Weighting};

/// What must be known of a client whose update was rounded and added elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SummedClient {
    /// What the rule said of its update.
    pub verdict: Verdict,
    /// An upper bound of the squared joint L2 norm of the whole steps that stand for it in the
    /// sum, in squared steps.
    ///
    /// Whoever computes it must have rounded every operation upwards or allowed for its error,
    /// and must have measured the very steps that were added.
    pub squared_length: f64,
}

impl SummedClient {
    /// Whether this client's steps are shown to be no longer than `rule` allows: the clip norm,
    /// or nothing where the update became zeros. Never without a clip norm.
    #[must_use]
    pub fn keeps(&self, rule: &UpdateRule) -> bool {
        let Some(clip) = rule.clip_norm else { return false };
        let most = if self.verdict.scale > 0.0 {
            // Dividing by a power of two is exact; squaring rounds once.
            (clip / rule.grid().step()).powi(2) * (1.0 - f64::EPSILON)
        } else {
            0.0
        };
        // Written so that NaN does not keep it.
        (0.0..=most).contains(&self.squared_length)
    }
}

impl SecretSum {
    /// Adds the whole steps `Σᵢ tᵢ` of the clients in `clients`, summed elsewhere without any
    /// rounding.
    ///
    /// The caller answers for two things: that the sum is exact, and that every
    /// [`squared_length`](SummedClient::squared_length) bounds what that client added. Everything
    /// that can be checked from here is: no client is longer than the clip norm, one whose update
    /// became zeros has no length, the steps are whole, and no coordinate is larger than the
    /// lengths of the clients together allow. Together they say that no client moves the sum by
    /// more than the clip norm, whatever rounding, factors or broken values came before.
    ///
    /// # Errors
    /// [`AggregateError::PartRefused`] if the rule does not clip or weighs by examples, or
    /// something of the above does not hold, a NaN anywhere included; nothing was added then.
    ///
    /// # Panics
    /// If `steps` does not have the length that the sum was opened with.
    pub fn add_steps(
        &mut self,
        steps: &[f64],
        clients: &[SummedClient],
    ) -> Result<(), AggregateError> {
        assert_eq!(steps.len(), self.steps.len(), "a sum has one number a parameter");
        let refused = |what: String| Err(AggregateError::PartRefused { what });
        if self.rule.clip_norm.is_none() || self.rule.weighting != Weighting::Uniform {
            return refused(
                "without a clip norm, or weighted by examples, nothing bounds it".into(),
            );
        }
        let mut together = 0.0;
        for (place, client) in clients.iter().enumerate() {
            if !client.keeps(&self.rule) {
                return refused(format!(
                    "client {place} of {} may be longer than the rule allows",
                    clients.len()
                ));
            }
            together += client.squared_length.sqrt();
        }
        let largest = together * (1.0 + (clients.len() + 2) as f64 * f64::EPSILON);
        let fits = |steps: &f64| steps.abs() <= largest && steps.fract().abs() <= 0.0;
        if let Some(place) = steps.iter().position(|steps| !fits(steps)) {
            return refused(format!(
                "coordinate {place} is no whole number of steps that these clients can add up to"
            ));
        }
        for client in clients {
            self.count(&client.verdict, 1);
        }
        for (sum, steps) in self.steps.iter_mut().zip(steps) {
            *sum += steps;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> UpdateRule {
        UpdateRule { clip_norm: Some(1.5), ..UpdateRule::default() }
    }

    /// What the sum's own path makes of these updates: steps, and what is known of the clients.
    fn taken_elsewhere(updates: &[[f32; 3]]) -> (Vec<f64>, Vec<SummedClient>) {
        let mut whole = vec![0.0; 3];
        let mut clients = Vec::new();
        for update in updates {
            let mut one = SecretSum::open(&rule(), 3);
            let verdict = one.add(update, 1);
            whole.iter_mut().zip(&one.steps).for_each(|(sum, steps)| *sum += steps);
            let squared_length = one.steps.iter().map(|steps| steps * steps).sum::<f64>();
            let squared_length = squared_length * (1.0 + 4.0 * f64::EPSILON);
            clients.push(SummedClient { verdict, squared_length });
        }
        (whole, clients)
    }

    const UPDATES: [[f32; 3]; 5] =
        [[0.1, -0.7, 3.0], [1e-3, 0.0, 0.0], [f32::NAN, 0.0, 1.0], [0.0; 3], [-9e9, 0.0, 1.0]];

    #[test]
    fn a_part_taken_elsewhere_is_the_same_as_each_client_added_here() {
        let (steps, clients) = taken_elsewhere(&UPDATES);
        let mut part = SecretSum::open(&rule(), 3);
        part.add_steps(&steps, &clients).expect("it keeps the rule");
        let mut each = SecretSum::open(&rule(), 3);
        UPDATES.iter().for_each(|update| {
            each.add(update, 1);
        });
        assert_eq!(part.steps, each.steps);
        let counts = |sum: &SecretSum| {
            let tally = &sum.tally;
            [tally.clients, tally.unclipped, tally.zeroed, tally.non_finite]
        };
        assert_eq!(counts(&part), counts(&each));
        assert_eq!(counts(&part), [5, 3, 0, 1]);
    }

    #[test]
    fn what_cannot_be_shown_to_keep_the_rule_is_refused_and_changes_nothing() {
        let (steps, clients) = taken_elsewhere(&UPDATES);
        let most = (1.5 / rule().grid().step()).powi(2);
        type Change = fn(&mut Vec<f64>, &mut Vec<SummedClient>, f64);
        let changes: [Change; 9] = [
            |_, clients, most| clients[0].squared_length = most * (1.0 + 1e-15),
            |_, clients, _| clients[0].squared_length = f64::NAN,
            |_, clients, _| clients[0].squared_length = f64::INFINITY,
            |_, clients, _| clients[1].squared_length = -1.0,
            // Not finite, so nothing of it may be in the sum.
            |_, clients, _| clients[2].squared_length = 1.0,
            |steps, _, _| steps[1] += 0.5,
            |steps, _, _| steps[1] = f64::NAN,
            |steps, _, _| steps[1] = f64::NEG_INFINITY,
            |steps, _, most| steps[2] = (5.0 * most.sqrt()).ceil(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let (mut steps, mut clients) = (steps.clone(), clients.clone());
            change(&mut steps, &mut clients, most);
            let mut sum = SecretSum::open(&rule(), 3);
            let error = sum.add_steps(&steps, &clients).expect_err("it breaks the rule");
            assert!(matches!(error, AggregateError::PartRefused { .. }), "change {index}: {error}");
            assert!(sum.steps.iter().all(|steps| steps.abs() <= 0.0), "change {index}");
            assert_eq!(sum.tally.clients, 0, "change {index}");
        }
    }

    /// Squaring the clip norm rounds once, so that a length may come to the last but one float below
    /// the square and no further.
    #[test]
    fn a_length_keeps_the_rule_up_to_a_unit_below_the_clip_norm() {
        let verdict = SecretSum::open(&rule(), 1).add(&[9.0], 1);
        let keeps = |squared_length: f64| SummedClient { verdict, squared_length }.keeps(&rule());
        // 1.5 clip norms of 2^30 steps: the square is exact.
        let square = (1.5 * 2.0_f64.powi(30)).powi(2);
        assert!(keeps(0.0) && keeps(square * (1.0 - f64::EPSILON)));
        assert!(!keeps(square) && !keeps(f64::NAN));
        // What became zeros has no length at all.
        let zeros = Verdict { scale: 0.0, ..verdict };
        let keeps =
            |squared_length: f64| SummedClient { verdict: zeros, squared_length }.keeps(&rule());
        assert!(keeps(0.0) && !keeps(1.0));
    }

    /// One client with all of its length in one coordinate: exactly that much fits, and no step more.
    #[test]
    fn a_coordinate_is_as_large_as_the_lengths_allow_and_no_larger() {
        let verdict = SecretSum::open(&rule(), 1).add(&[9.0], 1);
        let length = 2.0_f64.powi(30);
        let client = SummedClient { verdict, squared_length: length * length };
        for (steps, fits) in
            [(length, true), (-length, true), (length + 1.0, false), (-1.5 * length, false)]
        {
            let mut sum = SecretSum::open(&rule(), 1);
            assert_eq!(sum.add_steps(&[steps], &[client]).is_ok(), fits, "{steps}");
            let kept = if fits { steps } else { 0.0 };
            assert_eq!(sum.steps[0].to_bits(), kept.to_bits());
        }
        let mut sum = SecretSum::open(&rule(), 1);
        assert!(sum.add_steps(&[2.0 * length], &[client; 2]).is_ok());
        assert!(sum.add_steps(&[2.0 * length + 1.0], &[client; 2]).is_err());
    }

    #[test]
    fn a_rule_that_bounds_nothing_takes_no_part_from_elsewhere() {
        let weighted = UpdateRule { weighting: Weighting::Examples, ..rule() };
        for rule in [UpdateRule::default(), weighted] {
            let error = SecretSum::open(&rule, 3).add_steps(&[0.0; 3], &[]);
            assert!(matches!(error, Err(AggregateError::PartRefused { .. })));
        }
    }
}
