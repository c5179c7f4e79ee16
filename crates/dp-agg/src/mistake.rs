//! Known mistakes in private aggregation, to be made on purpose.
//!
//! A test suite that guards a privacy guarantee must itself be tested: does it notice when the
//! guarantee is broken? Each [`Mistake`] is one that somebody has made, or could. Built with the
//! feature `mistakes`, the crates of this workspace make the one that `FED_DP_MISTAKE` names, and
//! `xtask/tests/mistakes.rs` checks that some everyday test fails for every one of them.
//!
//! Without the feature [`made`] is the constant `false`, and the compiler removes what it guards.
//! With it, a build without debug assertions is refused: no release can contain a mistake.

#[cfg(all(feature = "mistakes", not(debug_assertions)))]
compile_error!("the feature `mistakes` breaks privacy on purpose: it is for tests alone");

macro_rules! mistakes {
    ($($(#[$what:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Something that breaks a guarantee.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[$what])* $variant,)+
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value of `FED_DP_MISTAKE` that makes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

mistakes! {
    /// The noise is scaled by the clip norm that comes out of the round.
    NoiseScaledByNextClip = "noise-scaled-by-next-clip",
    /// The clip norm follows the clipped clients, not the unclipped ones.
    CountOfClipped = "count-of-clipped",
    /// The sum is divided by the number of clients that were drawn.
    RealisedDivisor = "realised-divisor",
    /// The count behind the clip norm is divided by the number of clients that were drawn.
    RealisedCountDivisor = "realised-count-divisor",
    /// Noise of the sum's scale is divided by the number of clients twice.
    NoiseDividedTwice = "noise-divided-twice",
    /// Noise of the sum's scale is added to the mean.
    NoiseOnMean = "noise-on-mean",
    /// The updates get noise of the total multiplier, as if the count cost nothing.
    TotalNoiseOnValues = "total-noise-on-values",
    /// The count's multiplier is taken for its deviation, without the factor two.
    CountSensitivityOne = "count-sensitivity-one",
    /// The count behind the clip norm gets no noise.
    NoNoiseOnCount = "no-noise-on-count",
    /// The count behind the clip norm is released but not priced.
    CountNotPriced = "count-not-priced",
    /// The count behind a noised zeroing threshold is released but not priced.
    ZeroingNotPriced = "zeroing-not-priced",
    /// Each half of an update is clipped by itself.
    ClippedByParts = "clipped-by-parts",
    /// An update is scaled before anybody looks whether it is finite.
    ClippedBeforeFiniteCheck = "clipped-before-finite-check",
    /// Clients weigh as much as they have examples.
    WeightedByExamples = "weighted-by-examples",
    /// Nobody leaves room for the rounding to the grid.
    RoundingForgotten = "rounding-forgotten",
    /// The count and the first coordinates share a stream of noise.
    CountSharesStream = "count-shares-stream",
    /// Release noise comes from a fixed key.
    ReleaseKeyFixed = "release-key-fixed",
    /// The scale of the discrete Gaussian is rounded down.
    ScaleRoundedDown = "scale-rounded-down",
    /// The same noise in every round.
    SameNoiseEveryRound = "same-noise-every-round",
    /// Cohorts of fixed size, at the price of Poisson samples.
    FixedSizeAtPoissonPrice = "fixed-size-at-poisson-price",
    /// Cohorts that are priced as Poisson samples have a fixed size.
    PoissonDrawnFixed = "poisson-drawn-fixed",
    /// A release's cohorts are drawn from the seed, and the coins of its audit.
    ReleaseCohortSeeded = "release-cohort-seeded",
    /// A round without clients is not paid for.
    EmptyRoundFree = "empty-round-free",
    /// The ledger is charged after the model has moved.
    LedgerAfterModel = "ledger-after-model",
    /// A resumed release forgets the rounds that were lost.
    LostRoundsForgotten = "lost-rounds-forgotten",
}

/// Whether this mistake is to be made.
///
/// # Panics
/// If `FED_DP_MISTAKE` names no mistake.
#[cfg(feature = "mistakes")]
#[must_use]
pub fn made(mistake: Mistake) -> bool {
    static MADE: std::sync::LazyLock<Option<Mistake>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("FED_DP_MISTAKE").ok()?;
        let known = Mistake::ALL.iter().find(|mistake| mistake.name() == name);
        Some(*known.unwrap_or_else(|| panic!("FED_DP_MISTAKE={name} is no known mistake")))
    });
    *MADE == Some(mistake)
}

/// Whether this mistake is to be made: never, in this build.
#[cfg(not(feature = "mistakes"))]
#[must_use]
#[inline(always)]
pub const fn made(_: Mistake) -> bool {
    false
}
