//! Every key of a configuration file: type, range, default, meaning.
//!
//! `configs/README.md` is written from this, messages about wrong values speak from it, and tests
//! compare it with the types that a configuration is read into.

mod aggregation;

use super::schema::{Absent, Choice, Key, Kind, Reals, Table, Variant};
use Absent::{Is, Means, Refused};
use aggregation::AGGREGATION;

/// The whole file.
pub(super) const EXPERIMENT: &Table = &Table {
    keys: &[
        Key {
            name: "name",
            kind: Kind::Name,
            absent: Refused,
            meaning: "Names folders and titles.",
        },
        Key {
            name: "seeds",
            kind: Kind::List { of: &Kind::Whole(0, LARGEST_SEED), may_be_empty: false },
            absent: Refused,
            meaning: "Roots of all random draws: every setting is run once with each. None twice.",
        },
        Key { name: "rounds", kind: COUNT, absent: Refused, meaning: "Rounds of training." },
        Key {
            name: "delta",
            kind: SHARE,
            absent: Refused,
            meaning: "Failure probability δ of the guarantee.",
        },
        Key {
            name: "evaluate_every",
            kind: COUNT,
            absent: Is("5"),
            meaning: "Rounds between evaluations. The last round is always evaluated.",
        },
        Key {
            name: "sampling",
            kind: Kind::Word(&[
                ("poisson", "every client on its own, with probability m/N"),
                ("fixed_size", "exactly m clients; another neighbouring relation, a larger price"),
            ]),
            absent: Is("\"poisson\""),
            meaning: "How the cohort of a round is drawn.",
        },
        Key {
            name: "noise",
            kind: Kind::Word(&[
                ("simulation", "seeded and repeatable: not a release"),
                ("release", "exact discrete Gaussian from the system's entropy"),
            ]),
            absent: Is("\"simulation\""),
            meaning: "Where noise and cohorts come from.",
        },
        Key {
            name: "uncovered",
            kind: Kind::List {
                of: &Kind::Word(&[
                    (
                        "adaptive_zeroing",
                        "adaptive zeroing on raw counts: no guarantee covers the model then",
                    ),
                    ("diagnostics", "raw measurements of every round in the records"),
                ]),
                may_be_empty: true,
            },
            absent: Is("[]"),
            meaning: "What a release may use or write down although no noise hides it; simulation \
                      noise, which is no release, needs none of it.",
        },
        Key {
            name: "sweep",
            kind: Kind::Table(SWEEP),
            absent: Means("no grid; then `[calibrate]` must be there"),
            meaning: "A grid of settings: every noise multiplier with every number of clients \
                      (`cargo xtask sweep`).",
        },
        Key {
            name: "calibrate",
            kind: Kind::Table(CALIBRATE),
            absent: Means("no target; then `[sweep]` must be there"),
            meaning: "A target to meet: clients and noise grow together until it is met \
                      (`cargo xtask calibrate`, `cargo xtask final`).",
        },
        Key {
            name: "data",
            kind: Kind::Table(DATA),
            absent: Is("{}"),
            meaning: "Where the clients come from.",
        },
        Key {
            name: "model",
            kind: Kind::Table(MODEL),
            absent: Is("{}"),
            meaning: "The network between the pixels and the classes: dense layers, ReLU between.",
        },
        Key {
            name: "client",
            kind: Kind::Table(CLIENT),
            absent: Is("{}"),
            meaning: "What a client does with the parameters it is sent.",
        },
        Key {
            name: "aggregation",
            kind: Kind::Table(AGGREGATION),
            absent: Is("{ kind = \"private\" }"),
            meaning: "What happens to the clients' updates.",
        },
        Key {
            name: "server",
            kind: Kind::Table(SERVER),
            absent: Is("{ optimizer = \"sgd\", learning_rate = 1.0, momentum = 0.9 }"),
            meaning: "What the server does with the aggregate.",
        },
        Key {
            name: "accounting",
            kind: Kind::Table(ACCOUNTING),
            absent: Is("{}"),
            meaning: "How ε is computed.",
        },
        Key {
            name: "audit",
            kind: Kind::Table(AUDIT),
            absent: Means("no audit"),
            meaning: "Canaries that take part in the runs, to see how well the releases give them \
                      away. `[audit]` alone audits with the defaults.",
        },
    ],
    choice: None,
};

/// The largest integer that a TOML file can be relied upon to keep.
const LARGEST_SEED: u64 = i64::MAX as u64;

const COUNT: Kind = Kind::Whole(1, u32::MAX as u64);
const SHARE: Kind = Kind::Real(Reals::new(0.0, true, 1.0, true));
const BELOW_ONE: Kind = Kind::Real(Reals::new(0.0, true, 1.0, false));
const RATE: Kind = Kind::Real(Reals::new(0.0, true, f64::MAX, true));
const POSITIVE: Kind = Kind::Real(Reals::new(0.0, false, f64::MAX, true));

const SWEEP: &Table = &Table {
    keys: &[
        Key {
            name: "noise_multipliers",
            kind: Kind::List {
                of: &Kind::Real(Reals::new(0.0, true, 65_536.0, true)),
                may_be_empty: false,
            },
            absent: Refused,
            meaning: "Noise multipliers z: standard deviation of the noise over the clip norm, the \
                      noise on counts included. 0 is no noise, and no guarantee. None twice.",
        },
        Key {
            name: "clients_per_round",
            kind: Kind::List {
                of: &Kind::Real(Reals::new(0.0, false, 2_147_483_648.0, true)),
                may_be_empty: false,
            },
            absent: Refused,
            meaning: "Expected clients per round m, at most as many as there are; a whole number \
                      where `sampling` is \"fixed_size\". None twice.",
        },
    ],
    choice: None,
};

const CALIBRATE: &Table = &Table {
    keys: &[
        Key {
            name: "target_epsilon",
            kind: POSITIVE,
            absent: Refused,
            meaning: "The ε to stay at or below.",
        },
        Key {
            name: "base_noise_multiplier",
            kind: POSITIVE,
            absent: Refused,
            meaning: "A noise multiplier that still trained well ...",
        },
        Key {
            name: "base_clients_per_round",
            kind: COUNT,
            absent: Refused,
            meaning: "... with this many clients per round. The noise multiplier is scaled in \
                      proportion to the clients.",
        },
    ],
    choice: None,
};

const DATA: &Table = &Table {
    keys: &[
        Key {
            name: "source",
            kind: Kind::Source,
            absent: Is("\"auto\""),
            meaning: "\"auto\": real data if they lie in the data folder, else the synthetic \
                      writers; \"synthetic\": these; else the path of a file or folder.",
        },
        Key {
            name: "variant",
            kind: Kind::Word(&[
                ("digits_only", "the ten digits"),
                ("all", "digits and letters, 62 classes"),
            ]),
            absent: Is("\"digits_only\""),
            meaning: "Which of EMNIST's characters.",
        },
        Key {
            name: "allow_empty_clients",
            kind: Kind::Flag,
            absent: Is("false"),
            meaning: "Whether clients of a file may have no examples; if not, such a file is taken \
                      for damaged.",
        },
        Key {
            name: "synthetic",
            kind: Kind::Table(SYNTHETIC),
            absent: Is("{}"),
            meaning: "Which synthetic writers, should it be those.",
        },
    ],
    choice: None,
};

const SYNTHETIC: &Table = &Table {
    keys: &[
        Key {
            name: "seed",
            kind: Kind::Whole(0, LARGEST_SEED),
            absent: Is("0"),
            meaning: "Decides who the writers are; the runs' own draws come from `seeds`.",
        },
        Key {
            name: "clients",
            kind: Kind::Whole(1, 100_000),
            absent: Is("3383"),
            meaning: "Number of writers: by default that of the real federated EMNIST.",
        },
    ],
    choice: None,
};

const MODEL: &Table = &Table {
    keys: &[Key {
        name: "hidden",
        kind: Kind::List { of: &Kind::Whole(1, 1 << 20), may_be_empty: true },
        absent: Is("[200, 200]"),
        meaning: "Widths of the hidden layers; an empty list is a linear model.",
    }],
    choice: None,
};

const CLIENT: &Table = &Table {
    keys: &[
        Key {
            name: "algorithm",
            kind: Kind::Word(&[
                ("sgd", "local SGD: FedAvg, or FedProx with `proximal`"),
                (
                    "fed_sgd",
                    "one gradient over the client's examples; the four keys of the local \
                 steps have no meaning",
                ),
                (
                    "mime_lite",
                    "local SGD with the server's velocity held fixed; not with a private \
                 aggregation",
                ),
            ]),
            absent: Is("\"sgd\""),
            meaning: "The local work.",
        },
        Key {
            name: "learning_rate",
            kind: RATE,
            absent: Is("0.01"),
            meaning: "Step size of the local steps.",
        },
        Key {
            name: "momentum",
            kind: BELOW_ONE,
            absent: Is("0.0"),
            meaning: "Momentum of the local steps, from rest in every round (with \"mime_lite\" \
                      that of the server).",
        },
        Key {
            name: "batch_size",
            kind: COUNT,
            absent: Is("32"),
            meaning: "Examples a batch; the last partial batch is kept.",
        },
        Key {
            name: "epochs",
            kind: COUNT,
            absent: Is("1"),
            meaning: "Passes over the client's examples, one stream that is cut into batches: a batch may hold \
                      the end of one and the beginning of the next.",
        },
        Key {
            name: "proximal",
            kind: RATE,
            absent: Is("0.0"),
            meaning: "Strength of FedProx's proximal term; 0: none.",
        },
        Key {
            name: "shuffle",
            kind: Kind::Flag,
            absent: Is("true"),
            meaning: "Whether a client visits its examples in a new order each time.",
        },
    ],
    choice: None,
};

const SERVER: &Table = &Table {
    keys: &[Key { name: "learning_rate", kind: RATE, absent: Refused, meaning: "Step size." }],
    choice: Some(&Choice {
        key: "optimizer",
        of: &[
            Variant {
                name: "sgd",
                meaning: "SGD with momentum",
                keys: &[
                    Key {
                        name: "momentum",
                        kind: SHARE,
                        absent: Is("0.0"),
                        meaning: "Momentum; 0 keeps no velocity.",
                    },
                    Key {
                        name: "nesterov",
                        kind: Kind::Flag,
                        absent: Is("false"),
                        meaning: "Look ahead by one step; needs a momentum above 0.",
                    },
                ],
            },
            Variant {
                name: "adam",
                meaning: "Kingma and Ba 2015, with bias correction",
                keys: &[BETA1, BETA2, SMALL],
            },
            Variant {
                name: "yogi",
                meaning: "Zaheer et al. 2018",
                keys: &[BETA1, BETA2, Key { absent: Is("0.001"), ..SMALL }],
            },
            Variant { name: "adagrad", meaning: "Duchi et al. 2011", keys: &[SMALL] },
            Variant {
                name: "rms_prop",
                meaning: "Hinton 2012",
                keys: &[
                    Key { name: "decay", meaning: "Decay of the second moment.", ..BETA1 },
                    SMALL,
                ],
            },
        ],
    }),
};

const BETA1: Key = Key {
    name: "beta1",
    kind: BELOW_ONE,
    absent: Is("0.9"),
    meaning: "Decay of the first moment.",
};

const BETA2: Key =
    Key { name: "beta2", absent: Is("0.999"), meaning: "Decay of the second moment.", ..BETA1 };

const SMALL: Key = Key {
    name: "epsilon",
    kind: POSITIVE,
    absent: Is("1e-7"),
    meaning: "Keeps the step finite where the second moment is small.",
};

const ACCOUNTING: &Table = &Table {
    keys: &[
        Key {
            name: "conversion",
            kind: Kind::Word(&[
                ("classic", "Mironov 2017"),
                ("improved", "Canonne, Kamath, Steinke 2020"),
            ]),
            absent: Is("\"improved\""),
            meaning: "How a Rényi curve becomes (ε, δ).",
        },
        Key {
            name: "orders",
            kind: Kind::WordOr(
                &[("tutorial", "the tutorial's list"), ("best", "the best real order")],
                &Kind::List {
                    of: &Kind::Real(Reals::new(1.0, false, f64::MAX, true)),
                    may_be_empty: false,
                },
            ),
            absent: Is("\"tutorial\""),
            meaning: "At which Rényi orders; each alone gives a valid bound.",
        },
    ],
    choice: None,
};

const AUDIT: &Table = &Table {
    keys: &[
        Key {
            name: "canaries",
            kind: Kind::Whole(20, 100_000),
            absent: Means("as many as it takes to refute the claim, from 1000 to 20000"),
            meaning: "Canaries, of which a fair coin each decides whether it is in at all.",
        },
        Key {
            name: "confidence",
            kind: Kind::Real(Reals::new(0.0, false, 1.0, false)),
            absent: Is("0.95"),
            meaning: "Confidence of the intervals and of the lower bound.",
        },
    ],
    choice: None,
};
