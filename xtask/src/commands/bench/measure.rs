//! What is measured, and how it is written down.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use fed_data::{Examples, FederatedData};
use fed_model::{Backend, CpuLearner, Learner, MlpSpec, VectorUnit};
use fed_sim::{Experiment, PhaseTimes, RunConfig, Simulation};
use serde::{Deserialize, Serialize};

use super::peak;
use crate::backend::BackendArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::provenance;

/// Everything that a measurement needs.
pub(super) struct Bench<'a> {
    pub(super) backend: Backend,
    /// What the back end cpu multiplies with.
    pub(super) unit: VectorUnit,
    /// Clients side by side on each worker, where that is asked for.
    pub(super) group: Option<NonZeroUsize>,
    pub(super) threads: Vec<NonZeroUsize>,
    pub(super) clients: Vec<NonZeroU32>,
    pub(super) rounds: NonZeroU32,
    pub(super) evaluations: u32,
    pub(super) experiment: &'a Experiment,
    pub(super) population: &'a dyn FederatedData,
    pub(super) test: Examples<'a>,
    pub(super) data: String,
    pub(super) opened: Duration,
}

/// The measurements of one call.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measured {
    pub(super) commit: Option<String>,
    pub(super) processor: String,
    pub(super) cores: usize,
    /// The first learner's description of itself.
    #[serde(default)]
    pub(super) learner: Option<String>,
    pub(super) data: String,
    /// Clients that cohorts are drawn from.
    pub(super) population: usize,
    /// Widths of the network's layers.
    pub(super) network: Vec<usize>,
    /// Seconds until the data were there.
    pub(super) data_seconds: f64,
    pub(super) peaks: Vec<Peak>,
    pub(super) rounds: Vec<Rounds>,
    pub(super) evaluations: Vec<Evaluations>,
    /// Largest resident size of the process so far, where the system tells.
    pub(super) peak_memory_bytes: Option<u64>,
}

/// The limit of the machine's arithmetic units.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Peak {
    pub(super) threads: usize,
    pub(super) gflops: f64,
}

/// Rounds with one learner and one expected number of clients. All times in seconds a round.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Rounds {
    pub(super) learner: String,
    pub(super) threads: usize,
    /// Expected clients a round.
    pub(super) clients: u32,
    pub(super) rounds: u32,
    /// Examples a round, on average.
    pub(super) examples: f64,
    pub(super) median: f64,
    pub(super) fastest: f64,
    /// Processor time of all threads, on average.
    pub(super) processor: f64,
    /// Medians.
    pub(super) phases: Phases,
    /// Median over rounds.
    pub(super) examples_per_second: f64,
    pub(super) gflops: f64,
}

/// Where the time of a round goes, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Phases {
    pub(super) sample: f64,
    pub(super) train: f64,
    pub(super) release: f64,
    pub(super) server: f64,
}

/// Evaluations of the whole test split. Times in seconds.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Evaluations {
    pub(super) learner: String,
    pub(super) threads: usize,
    pub(super) examples: usize,
    pub(super) median: f64,
    pub(super) fastest: f64,
    /// Processor time of all threads, on average.
    pub(super) processor: f64,
    pub(super) gflops: f64,
}

impl Bench<'_> {
    /// Measures everything, with a bar.
    pub(super) fn run(&self) -> Result<Measured, Failure> {
        let spec = self.experiment.model.spec(self.population.width(), self.population.classes());
        let steps = self.threads.len()
            * (self.clients.len() * (self.rounds.get() + self.warm_up()) as usize
                + self.evaluations as usize);
        let progress = Progress::steps(steps as u64);
        let measured = self.measure(&spec, &progress);
        progress.clear();
        measured
    }

    fn measure(&self, spec: &MlpSpec, progress: &Progress) -> Result<Measured, Failure> {
        let on_cpu = self.backend != Backend::Wgpu;
        let peaks = self.threads.iter().filter(|_| on_cpu);
        let peaks = peaks
            .map(|&threads| {
                let gflops = peak::gflops(self.unit, threads)?;
                Ok(Peak { threads: threads.get(), gflops })
            })
            .collect::<Result<_, Failure>>()?;
        let (mut rounds, mut evaluations) = (Vec::new(), Vec::new());
        let mut learned_by = None;
        for &threads in &self.threads {
            let learner = self.learner(spec, threads)?;
            learned_by.get_or_insert_with(|| learner.describe());
            for &clients in &self.clients {
                progress.message(format_args!("{clients} clients, {threads} threads"));
                rounds.push(self.rounds(&*learner, threads, clients, progress)?);
            }
            if self.evaluations > 0 {
                progress.message(format_args!("evaluation, {threads} threads"));
                evaluations.push(self.evaluations(&*learner, threads, progress)?);
            }
        }
        let machine = provenance::Machine::here();
        Ok(Measured {
            commit: provenance::commit(),
            processor: machine.processor,
            cores: machine.cores,
            learner: learned_by,
            data: self.data.clone(),
            population: self.population.num_clients(),
            network: spec.widths().to_vec(),
            data_seconds: self.opened.as_secs_f64(),
            peaks,
            rounds,
            evaluations,
            peak_memory_bytes: peak_memory(),
        })
    }

    fn learner(&self, spec: &MlpSpec, threads: NonZeroUsize) -> Result<Box<dyn Learner>, Failure> {
        if let Some(group) = self.group {
            return Ok(fed_model::open_in_groups(self.backend, spec, threads, group)?);
        }
        match self.backend {
            Backend::Cpu => Ok(Box::new(CpuLearner::on(self.unit, spec.clone(), threads)?)),
            backend => BackendArgs { backend, threads: Some(threads) }.open(spec),
        }
    }

    fn warm_up(&self) -> u32 {
        (self.rounds.get() / 10).max(2)
    }

    fn config(&self, clients: NonZeroU32) -> RunConfig {
        let mut config = self.experiment.runs().swap_remove(0);
        config.clients_per_round = f64::from(clients.get());
        config.rounds = self.rounds.saturating_add(self.warm_up());
        config
    }

    fn rounds(
        &self,
        learner: &dyn Learner,
        threads: NonZeroUsize,
        clients: NonZeroU32,
        progress: &Progress,
    ) -> Result<Rounds, Failure> {
        let mut simulation = Simulation::new(self.config(clients), self.population, learner)?;
        for _ in 0..self.warm_up() {
            simulation.step()?;
            progress.advance();
        }
        let operations = learner.spec().training_flops();
        let (mut times, mut walls, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        let mut examples = 0;
        let processor = ProcessTime::now();
        for _ in 0..self.rounds.get() {
            let start = Instant::now();
            let (record, phases) = simulation.step()?;
            let wall = start.elapsed().as_secs_f64();
            examples += record.diagnostics.examples;
            rates.push(record.diagnostics.examples as f64 / wall);
            walls.push(wall);
            times.push(phases);
            progress.advance();
        }
        let processor = processor.elapsed().as_secs_f64() / f64::from(self.rounds.get());
        let phase = |phase: fn(&PhaseTimes) -> Duration| {
            median(times.iter().map(|times| phase(times).as_secs_f64()).collect())
        };
        let examples_per_second = median(rates);
        Ok(Rounds {
            learner: learner.describe(),
            threads: threads.get(),
            clients: clients.get(),
            rounds: self.rounds.get(),
            examples: examples as f64 / f64::from(self.rounds.get()),
            fastest: walls.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(walls),
            processor,
            phases: Phases {
                sample: phase(|times| times.sample),
                train: phase(|times| times.train),
                release: phase(|times| times.release),
                server: phase(|times| times.server),
            },
            examples_per_second,
            gflops: examples_per_second * operations as f64 / 1e9,
        })
    }

    fn evaluations(
        &self,
        learner: &dyn Learner,
        threads: NonZeroUsize,
        progress: &Progress,
    ) -> Result<Evaluations, Failure> {
        let params =
            learner.init(&mut self.config(NonZeroU32::MIN).seed.rng(fed_sim::Stream::Init, 0));
        learner.evaluate(&params, &self.test)?;
        let processor = ProcessTime::now();
        let mut walls = Vec::new();
        for _ in 0..self.evaluations {
            let start = Instant::now();
            learner.evaluate(&params, &self.test)?;
            walls.push(start.elapsed().as_secs_f64());
            progress.advance();
        }
        let processor = processor.elapsed().as_secs_f64() / f64::from(self.evaluations);
        let fastest = walls.iter().copied().fold(f64::INFINITY, f64::min);
        let median = median(walls);
        let operations = learner.spec().evaluation_flops() * self.test.len() as u64;
        Ok(Evaluations {
            learner: learner.describe(),
            threads: threads.get(),
            examples: self.test.len(),
            median,
            fastest,
            processor,
            gflops: operations as f64 / median / 1e9,
        })
    }
}

impl Measured {
    /// The limit for this number of threads.
    pub(super) fn peak(&self, threads: usize) -> Option<f64> {
        self.peaks.iter().find(|peak| peak.threads == threads).map(|peak| peak.gflops)
    }
}

/// The middle value; of an even number the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

/// The largest resident size of this process so far. Linux alone tells it without a special call.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }
}
