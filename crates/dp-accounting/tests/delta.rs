//! `δ` at the tables' true `ε`, by every accountant.
//!
//! The tables give `ε` at `δ`, to about 1e-12. Since `δ(ε)` falls, the `δ` of a row is at most what
//! is proven a little below its `ε`, and at least what is proven a little above.

use dp_accounting::{
    Accountant, Delta, DeltaInterval, DpEvent, Epsilon, ExactAccountant, Neighboring,
    NoiseMultiplier, PldAccountant, RdpAccountant, SamplingProbability,
};

/// A row of one of the tables.
struct Row {
    relation: Neighboring,
    event: DpEvent,
    steps: u64,
    delta: f64,
    epsilon: f64,
}

fn rows() -> Vec<Row> {
    let tables = [
        (include_str!("reference/epsilon.csv"), Neighboring::AddOrRemoveOne),
        (include_str!("reference/replaced.csv"), Neighboring::ReplaceOne),
    ];
    let mut rows = Vec::new();
    for (table, relation) in tables {
        for line in table.lines().skip(1) {
            let row: Vec<f64> =
                line.split(',').map(|field| field.parse().expect("a number")).collect();
            let replaced = relation == Neighboring::ReplaceOne;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole")]
            rows.push(Row {
                relation,
                event: DpEvent::gaussian(NoiseMultiplier::new(row[1]).expect("in range"))
                    .poisson_sampled(SamplingProbability::new(row[0]).expect("in range")),
                steps: row[2] as u64,
                delta: row[3],
                epsilon: if replaced { row[4] } else { row[4].max(row[5]) },
            });
        }
    }
    assert_eq!(rows.len(), 55, "an empty table proves nothing");
    rows
}

impl Row {
    /// The intervals for `δ` just below and just above the row's `ε`.
    fn around<A: Accountant>(&self, mut accountant: A) -> (DeltaInterval, DeltaInterval) {
        accountant.compose(&self.event, self.steps).expect("supported");
        let slack = 2e-12 * (1.0 + self.epsilon);
        let at = |epsilon: f64| {
            let epsilon = Epsilon::new(epsilon.max(0.0)).expect("in range");
            accountant.delta_interval(epsilon).unwrap_or_else(|e| panic!("{}: {e}", self.event))
        };
        (at(self.epsilon - slack), at(self.epsilon + slack))
    }

    /// Whether the row's `ε` is where `δ(ε)` passes through its `δ`, and not zero for want of less.
    fn is_crossing(&self) -> bool {
        self.epsilon > 1e-9
    }

    #[track_caller]
    fn check(&self, name: &str, (below, above): (DeltaInterval, DeltaInterval)) {
        let what = format!("{name}: {} of {}: {below:?} {above:?}", self.steps, self.event);
        assert!(
            below.lower_or_zero() <= below.upper && above.lower_or_zero() <= above.upper,
            "{what}"
        );
        assert!(
            above.lower_or_zero().get() <= self.delta,
            "above the truth {:e}, {what}",
            self.delta
        );
        if self.is_crossing() {
            assert!(below.upper.get() >= self.delta, "below the truth {:e}, {what}", self.delta);
        }
    }
}

#[test]
fn exactly() {
    let (mut narrow, mut wide) = (0, 0);
    for row in rows() {
        // Relative to a small δ not every width is within reach of double precision.
        let exact = ExactAccountant::new(row.relation).with_widest(1e-4).expect("in range");
        let (below, above) = row.around(exact);
        row.check("exact", (below, above));
        let width = (above.upper.get() - above.lower_or_zero().get()) / above.upper.get();
        wide += u32::from(width > 1e-9);
        // To the digits that the table has: δ changes by a factor e^(slack · slope) between the two.
        if row.is_crossing() {
            let change = below.upper.get() / above.lower_or_zero().get() - 1.0;
            assert!(change < 1e-6, "{}: {below:?} {above:?}", row.event);
            narrow += 1;
        }
    }
    assert!(narrow > 50, "{narrow} of the rows have an ε above zero");
    assert!(wide <= 2, "{wide} of the rows are wider than 1e-9");
}

#[test]
fn by_renyi_divergence() {
    for row in rows() {
        let found = row.around(RdpAccountant::new(row.relation));
        row.check("RDP", found);
        // And the ε of the row's δ is an upper bound too.
        let mut accountant = RdpAccountant::new(row.relation);
        accountant.compose(&row.event, row.steps).expect("supported");
        let epsilon =
            accountant.epsilon(Delta::new(row.delta).expect("in range")).expect("no limits").get();
        let slack = 1e-12 * (1.0 + row.epsilon);
        assert!(epsilon >= row.epsilon - slack, "{}: {epsilon} for {}", row.event, row.epsilon);
    }
}

#[test]
fn on_a_grid() {
    for row in rows() {
        let grid = PldAccountant::new(row.relation).with_step(1e-3).expect("in range");
        let grid = grid.with_truncation((row.delta * 1e-6).max(1e-290)).expect("in range");
        row.check("PLD", row.around(grid.with_points(1 << 17)));
    }
}
