//! `[aggregation]` and what is in it.

use super::super::schema::{Absent, Choice, Key, Kind, Reals, Table, Variant};
use super::{RATE, SHARE};
use Absent::{Is, Means, Refused};

/// What a clip norm or a running quantile can be: what single precision holds.
const ESTIMATE: Kind = Kind::Real(Reals::new(0.0, false, f32::MAX as f64, true));
const FACTOR: Kind = Kind::Real(Reals::new(0.0, true, f32::MAX as f64, true));
const DEVIATION: Kind = Kind::Real(Reals::new(0.0, true, 134_217_728.0, true));

pub(super) const AGGREGATION: &Table = &Table {
    keys: &[],
    choice: Some(&Choice {
        key: "kind",
        of: &[
            Variant {
                name: "private",
                meaning: "zeroing, clipping, Gaussian noise, division by the expected number of \
                          clients",
                keys: &[
                    Key { absent: Is("{ kind = \"off\" }"), ..ZEROING },
                    Key {
                        name: "clipping",
                        kind: Kind::Table(CLIPPING),
                        absent: Is("{ kind = \"adaptive\" }"),
                        meaning: "How the clip norm is found.",
                    },
                ],
            },
            Variant {
                name: "mean",
                meaning: "the mean over the clients that took part: no clipping, no noise, no \
                          guarantee",
                keys: &[WEIGHTING],
            },
            Variant {
                name: "robust",
                meaning: "zeroing and clipping at quantiles of the raw norms, then the mean: no \
                          noise, no guarantee",
                keys: &[
                    ZEROING,
                    Key {
                        name: "clipping",
                        kind: Kind::Table(ROBUST_CLIPPING),
                        absent: Is("{}"),
                        meaning: "How the clip norm is found.",
                    },
                    WEIGHTING,
                ],
            },
        ],
    }),
};

const WEIGHTING: Key = Key {
    name: "weighting",
    kind: Kind::Word(&[
        ("uniform", "every client counts once"),
        ("examples", "a client counts as often as it has examples"),
    ]),
    absent: Is("\"uniform\""),
    meaning: "How much a client counts.",
};

const ZEROING: Key = Key {
    name: "zeroing",
    kind: Kind::Table(&Table {
        keys: &[],
        choice: Some(&Choice {
            key: "kind",
            of: &[
                Variant { name: "off", meaning: "no update becomes zeros", keys: &[] },
                Variant {
                    name: "constant",
                    meaning: "above a threshold that is fixed in advance; covered by the guarantee",
                    keys: &[
                        Key {
                            name: "threshold",
                            kind: RATE,
                            absent: Refused,
                            meaning: "The threshold, in the units of the updates.",
                        },
                        MAGNITUDE,
                    ],
                },
                Variant {
                    name: "adaptive",
                    meaning: "above `multiplier` times a running quantile plus `increment`, on \
                              exact counts; not covered by the guarantee",
                    keys: &[INITIAL, TARGET, ZEROING_RATE, MULTIPLIER, INCREMENT, MAGNITUDE],
                },
                Variant {
                    name: "noised",
                    meaning: "the same on noised counts; covered by the guarantee, and paid for; \
                              only with `kind = \"private\"`",
                    keys: &[
                        INITIAL,
                        TARGET,
                        Key { absent: Is("0.2"), ..ZEROING_RATE },
                        MULTIPLIER,
                        INCREMENT,
                        MAGNITUDE,
                        COUNT_STDDEV,
                    ],
                },
            ],
        }),
    }),
    absent: Is("{ kind = \"adaptive\" }"),
    meaning: "What becomes of updates of an outlandish magnitude: they become zeros.",
};

const INITIAL: Key = Key {
    name: "initial",
    kind: ESTIMATE,
    absent: Is("10.0"),
    meaning: "First estimate of the quantile.",
};

const TARGET: Key =
    Key { name: "target", kind: SHARE, absent: Is("0.98"), meaning: "Which quantile." };

const ZEROING_RATE: Key = Key {
    name: "learning_rate",
    kind: FACTOR,
    absent: Is("2.302585092994046"),
    meaning: "Rate of the geometric update: an estimate moves by at most e to this power a round.",
};

const MULTIPLIER: Key = Key {
    name: "multiplier",
    kind: FACTOR,
    absent: Is("2.0"),
    meaning: "Factor from quantile to threshold.",
};

const INCREMENT: Key = Key {
    name: "increment",
    kind: FACTOR,
    absent: Is("1.0"),
    meaning: "What is added to the threshold.",
};

const MAGNITUDE: Key = Key {
    name: "magnitude",
    kind: Kind::Word(&[
        ("largest_coordinate", "the largest absolute coordinate"),
        ("l2", "the joint L2 norm"),
    ]),
    absent: Is("\"largest_coordinate\""),
    meaning: "What is measured of an update.",
};

const COUNT_STDDEV: Key = Key {
    name: "count_stddev",
    kind: DEVIATION,
    absent: Means("a twentieth of the clients per round"),
    meaning: "Standard deviation of the noise on the count, in clients. It takes its share of the \
              noise multiplier: twice it must be above that.",
};

const CLIPPING: &Table = &Table {
    keys: &[],
    choice: Some(&Choice {
        key: "kind",
        of: &[
            Variant {
                name: "fixed",
                meaning: "the same in every round",
                keys: &[Key {
                    name: "clip_norm",
                    kind: ESTIMATE,
                    absent: Refused,
                    meaning: "The clip norm C: a joint L2 norm in the units of the updates.",
                }],
            },
            Variant {
                name: "adaptive",
                meaning: "follows a quantile of the updates' norms, on a noised count",
                keys: &[
                    Key { absent: Is("0.1"), meaning: "First clip norm.", ..INITIAL },
                    Key {
                        absent: Is("0.5"),
                        meaning: "Target share of clients that are not clipped.",
                        ..TARGET
                    },
                    Key { absent: Is("0.2"), meaning: "Rate of the update.", ..ZEROING_RATE },
                    Key {
                        name: "update",
                        kind: Kind::Word(&[
                            ("geometric", "by a factor"),
                            ("arithmetic", "by an amount, never below 0"),
                        ]),
                        absent: Is("\"geometric\""),
                        meaning: "How the clip norm moves.",
                    },
                    COUNT_STDDEV,
                ],
            },
        ],
    }),
};

const ROBUST_CLIPPING: &Table = &Table {
    keys: &[
        Key { absent: Is("1.0"), meaning: "First clip norm.", ..INITIAL },
        Key {
            absent: Is("0.8"),
            meaning: "Target share of clients that are not clipped.",
            ..TARGET
        },
        Key { absent: Is("0.2"), meaning: "Rate of the geometric update.", ..ZEROING_RATE },
    ],
    choice: None,
};
