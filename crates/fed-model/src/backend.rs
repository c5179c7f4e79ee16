//! Back ends by name: the one place that turns a name into a learner.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::learner::Learner;
use crate::spec::MlpSpec;

/// Who does the arithmetic. All back ends compute the same up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backend {
    /// Our own trainer for many small clients on a CPU (feature `cpu`).
    #[default]
    Cpu,
    /// Burn on its CPU back end `flex` (feature `burn`).
    Flex,
    /// Burn on its deprecated CPU back end `ndarray` (feature `burn`).
    Ndarray,
    /// Burn on a graphics card or a software adapter (feature `wgpu`).
    Wgpu,
}

impl Backend {
    /// Every back end, compiled in or not.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Flex, Self::Ndarray, Self::Wgpu];

    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
        }
    }

    /// The feature of this crate that it needs.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Flex | Self::Ndarray => "burn",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this build has it.
    #[must_use]
    pub const fn is_compiled_in(self) -> bool {
        match self {
            Self::Cpu => cfg!(feature = "cpu"),
            Self::Flex | Self::Ndarray => cfg!(feature = "burn"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no back end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no back end is called {name:?}; there are cpu, flex, ndarray and wgpu")]
pub struct UnknownBackend {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend { name: name.to_owned() })
    }
}

/// A learner for `spec` on `backend`, with `threads` workers where it runs on the CPU (a graphics
/// card takes its parallelism from the cohort). The number of workers never changes a result.
///
/// # Errors
/// [`LearnError::Device`] if the back end was not compiled in (the message names the feature) or
/// its device is not there (the message says what was looked for and what was found).
pub fn open(
    backend: Backend,
    spec: &MlpSpec,
    threads: NonZeroUsize,
) -> Result<Box<dyn Learner>, LearnError> {
    match backend {
        #[cfg(feature = "cpu")]
        Backend::Cpu => Ok(Box::new(crate::cpu::CpuLearner::new(spec.clone(), threads)?)),
        #[cfg(feature = "burn")]
        Backend::Flex => Ok(Box::new(crate::BurnLearner::flex(spec.clone(), threads))),
        #[cfg(feature = "burn")]
        Backend::Ndarray => Ok(Box::new(crate::BurnLearner::ndarray(spec.clone(), threads))),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Ok(Box::new(crate::BurnLearner::wgpu(spec.clone())?)),
        #[allow(unreachable_patterns, reason = "reachable when a feature is off")]
        missing => {
            let _ = (spec, threads);
            Err(LearnError::Device {
                backend: missing.name(),
                message: format!(
                    "this build does not have it; build with `--features {}`",
                    missing.feature()
                ),
            })
        }
    }
}

/// As [`open`], with up to `clients` clients at a time on each worker, for a back end that trains
/// through Burn: on a CPU to compare with one client at a time, which is faster there; on a
/// graphics card to take fewer at once than it would.
///
/// # Errors
/// [`LearnError::Device`] as [`open`], and for the back end `cpu`, which has one form.
pub fn open_in_groups(
    backend: Backend,
    spec: &MlpSpec,
    threads: NonZeroUsize,
    clients: NonZeroUsize,
) -> Result<Box<dyn Learner>, LearnError> {
    #[cfg(feature = "burn")]
    {
        use crate::BurnLearner;
        let learner = match backend {
            Backend::Flex => Some(BurnLearner::flex(spec.clone(), threads)),
            Backend::Ndarray => Some(BurnLearner::ndarray(spec.clone(), threads)),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => Some(BurnLearner::wgpu(spec.clone())?),
            _ => None,
        };
        if let Some(learner) = learner {
            return Ok(Box::new(learner.with_group(clients)));
        }
    }
    // Whatever is not compiled in says so itself.
    open(backend, spec, threads)?;
    Err(LearnError::Device {
        backend: backend.name(),
        message: format!("it trains one client at a time, not {clients}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        let error = "gpu".parse::<Backend>().expect_err("not a back end").to_string();
        assert!(error.contains("\"gpu\"") && error.contains("wgpu"), "{error}");
    }

    #[test]
    fn a_back_end_that_is_not_compiled_in_names_its_feature() {
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_compiled_in()) {
            let Err(error) = open(backend, &MlpSpec::new([2, 2]), NonZeroUsize::MIN) else {
                panic!("{backend} opened though it is not compiled in");
            };
            let error = error.to_string();
            assert!(error.contains(&format!("--features {}", backend.feature())), "{error}");
        }
    }

    #[test]
    fn groups_are_for_back_ends_that_have_them() {
        let (spec, one) = (MlpSpec::new([2, 2]), NonZeroUsize::MIN);
        let backends = [Backend::Cpu, Backend::Flex, Backend::Ndarray];
        for backend in backends.into_iter().filter(|backend| backend.is_compiled_in()) {
            let opened = open_in_groups(backend, &spec, one, NonZeroUsize::new(7).expect("seven"));
            match opened {
                Ok(learner) => {
                    assert!(backend != Backend::Cpu);
                    assert!(learner.describe().contains("up to 7"), "{}", learner.describe());
                }
                Err(error) => {
                    assert_eq!(backend, Backend::Cpu);
                    assert!(error.to_string().contains("one client at a time"), "{error}");
                }
            }
        }
    }
}
