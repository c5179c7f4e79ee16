//! The machine's own limit: multiply-adds from registers, fused where the machine can, on every
//! core at once.
//!
//! A rate of training says little by itself. Divided by this one it says how much of what the
//! arithmetic units can do is used.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::time::Instant;

use fed_model::VectorUnit;
use pulp::{Simd, WithSimd};

use crate::failure::Failure;

/// Independent sums: enough to hide the latency of a multiply-add on two units, few enough for
/// sixteen registers.
const SUMS: usize = 12;

/// Steps of one measurement: a few hundredths of a second.
const STEPS: usize = 1_000_000;

/// Measurements, of which the fastest counts.
const REPEATS: usize = 15;

/// The most single-precision operations a second that `threads` cores do together, in GFLOP/s.
///
/// A multiply-add counts as two.
pub(super) fn gflops(unit: VectorUnit, threads: NonZeroUsize) -> Result<f64, Failure> {
    let Some(arch) = unit.arch() else {
        return Err(Failure::bad_input(format_args!("this processor has no {unit}")));
    };
    let together = Barrier::new(threads.get());
    let measure = || {
        let mut fastest = f64::INFINITY;
        let mut operations = 0;
        for _ in 0..REPEATS {
            together.wait();
            let start = Instant::now();
            operations = arch.dispatch(MultiplyAdd);
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        operations as f64 / fastest / 1e9
    };
    std::thread::scope(|scope| {
        let workers = (0..threads.get())
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, measure))
            .collect::<Result<Vec<_>, _>>();
        let workers = workers.map_err(|error| {
            Failure::failed(format_args!("could not start {threads} threads: {error}"))
        })?;
        Ok(workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum())
    })
}

/// Returns the number of operations that it did.
struct MultiplyAdd;

impl WithSimd for MultiplyAdd {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        simd.vectorize(
            #[inline(always)]
            || {
                let factor = simd.splat_f32s(black_box(0.999));
                let summand = simd.splat_f32s(black_box(0.001));
                let mut sums = [simd.splat_f32s(1.0); SUMS];
                for _ in 0..STEPS {
                    for sum in &mut sums {
                        *sum = simd.mul_add_e_f32s(*sum, factor, summand);
                    }
                }
                for sum in sums {
                    black_box(simd.reduce_sum_f32s(sum));
                }
                2 * S::F32_LANES * SUMS * STEPS
            },
        )
    }
}
