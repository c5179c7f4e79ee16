//! Which vector instructions the trainer uses.

use std::fmt;
use std::str::FromStr;

use pulp::Arch;

/// A set of vector instructions.
///
/// Wider is faster. All with fused multiply-add (every one but [`Portable`](Self::Portable)) give
/// the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VectorUnit {
    /// 512 bits on x86-64.
    Avx512,
    /// 256 bits on x86-64, with fused multiply-add.
    Avx2,
    /// 128 bits on 64-bit Arm.
    Neon,
    /// Whatever the compiler makes of plain code: slow, runs everywhere.
    Portable,
}

impl VectorUnit {
    /// Every unit, fastest first, there or not.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The fastest that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|unit| unit.arch().is_some()).unwrap_or(Self::Portable)
    }

    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// What dispatches to it; none where this machine does not have it.
    #[must_use]
    pub fn arch(self) -> Option<Arch> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().map(Arch::Neon),
            Self::Portable => Some(Arch::Scalar),
            #[allow(unreachable_patterns, reason = "units of other processors")]
            _ => None,
        }
    }
}

impl fmt::Display for VectorUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        })
    }
}

/// A name that is no vector unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no vector unit is called {name:?}; there are avx512, avx2, neon and portable")]
pub struct UnknownVectorUnit {
    /// What was asked for.
    pub name: String,
}

impl FromStr for VectorUnit {
    type Err = UnknownVectorUnit;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.name() == name)
            .ok_or_else(|| UnknownVectorUnit { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_portable_is_always_there() {
        for unit in VectorUnit::ALL {
            assert_eq!(unit.name().parse(), Ok(unit));
        }
        assert!("sse9".parse::<VectorUnit>().is_err());
        assert!(VectorUnit::Portable.arch().is_some());
        assert!(VectorUnit::best().arch().is_some());
    }
}
