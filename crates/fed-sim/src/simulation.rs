//! The loop that reads like the paper: draw a cohort, train it, release the noisy mean, step.
//!
//! One round of DP-FedAvg with user-level privacy (McMahan, Ramage, Talwar, Zhang 2018, Algorithm
//! 1; adaptive clipping by Andrew, Thakkar, McMahan, Ramaswamy 2021). An empty cohort is a round
//! like any other: it is paid for, its noise is released, and momentum carries the model on.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dp_accounting::{Epsilon, Ledger};
use dp_agg::mistake::{Mistake, made};
use dp_agg::{Aggregator, Noise, NoiseMode, NoiseSource, NoiseSpec, SecretSum, Zeroing};
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{CohortJob, CohortSum, Learner, LocalWork, Metrics};
use rand::Rng;

use crate::audit::{Audit, AuditReport, Claim};
use crate::cohort::CohortSampler;
use crate::config::{AggregationConfig, Algorithm, RunConfig};
use crate::divergence::{Divergence, Health};
use crate::error::SimError;
use crate::keys::{self, Purpose, RoundKeys, RunKeys, secret_rng};
use crate::plan;
use crate::record::{
    Diagnostics, EvaluationRecord, Observer, PhaseTimes, Released, RoundRecord, Silent,
};
use crate::seed::Stream;
use crate::server::{Server, Step};
use crate::standing::Standing;
use crate::state::{Saved, Snapshot};

/// A training run between two rounds.
pub struct Simulation<'a> {
    config: RunConfig,
    population: &'a dyn FederatedData,
    learner: &'a dyn Learner,
    keys: RunKeys,
    sampler: CohortSampler,
    aggregator: Box<dyn Aggregator>,
    server: Server,
    /// Velocity that Mime Lite's clients use; empty for the other algorithms.
    mime_velocity: Vec<f32>,
    ledger: Ledger,
    /// Canaries, and what the releases told about them.
    audit: Option<Audit>,
    /// ε that no round may pass; none: as many rounds as the configuration says.
    budget: Option<Epsilon>,
    /// How the clients have fared.
    health: Health,
    /// Loss of the last evaluation.
    last_loss: Option<f64>,
    round: u32,
}

impl<'a> Simulation<'a> {
    /// A run before its first round, from seeded initial weights.
    ///
    /// # Errors
    /// [`SimError`] if the configuration does not fit the population or the network.
    pub fn new(
        config: RunConfig,
        population: &'a dyn FederatedData,
        learner: &'a dyn Learner,
    ) -> Result<Self, SimError> {
        let params = learner.init(&mut config.seed.rng(Stream::Init, 0));
        Self::with_params(config, population, learner, params)
    }

    /// A run before its first round, from given weights.
    ///
    /// # Errors
    /// [`SimError`] if the configuration does not fit the population or the network.
    ///
    /// # Panics
    /// If `params` does not fit the learner's network.
    pub fn with_params(
        config: RunConfig,
        population: &'a dyn FederatedData,
        learner: &'a dyn Learner,
        params: Vec<f32>,
    ) -> Result<Self, SimError> {
        config.check_uncovered("run")?;
        Self::before_its_first_round(config, population, learner, params)
    }

    fn before_its_first_round(
        config: RunConfig,
        population: &'a dyn FederatedData,
        learner: &'a dyn Learner,
        params: Vec<f32>,
    ) -> Result<Self, SimError> {
        assert_eq!(params.len(), learner.dim(), "initial weights fit the network");
        config.check("run")?;
        plan::check_learner(&config, learner)?;
        let sampler = plan::sampler(&config, population.num_clients())?;
        let aggregator = plan::aggregator(&config)?;
        let mime_velocity = match config.client.algorithm {
            Algorithm::MimeLite => vec![0.0; params.len()],
            Algorithm::Sgd | Algorithm::FedSgd => Vec::new(),
        };
        let keys = RunKeys::new(&config, population, learner);
        let audit = Audit::new(&config, &sampler, &params, &keys)?;
        let server = Server::new(config.server, params);
        Ok(Self {
            config,
            population,
            learner,
            keys,
            sampler,
            aggregator,
            server,
            mime_velocity,
            ledger: Ledger::new(),
            audit,
            budget: None,
            health: Health::default(),
            last_loss: None,
            round: 0,
        })
    }

    /// A run as it was saved, with the ledger that it goes on with. The ledger may know of more
    /// rounds than the saved state: rounds that were paid for and lost.
    ///
    /// # Errors
    /// [`SimError`] if the configuration does not fit the population or the network, or if the
    /// state is not one of such a run.
    pub fn resume(
        config: RunConfig,
        population: &'a dyn FederatedData,
        learner: &'a dyn Learner,
        saved: Saved,
        ledger: Ledger,
    ) -> Result<Self, SimError> {
        let refuse = |message: &str| Err(SimError::config("saved state", message));
        if saved.server.params().len() != learner.dim() {
            return refuse("its parameters do not fit the network");
        }
        if ledger.len() < u64::from(saved.round) {
            return refuse("the ledger has fewer rounds than the model has seen");
        }
        if let Err(message) = keys::expect_version(saved.keys, &config) {
            return refuse(&message);
        }
        let params = saved.server.params().to_vec();
        // A run that was begun before its gaps had to be named goes on: it states no guarantee.
        let mut run = Self::before_its_first_round(config, population, learner, params)?;
        if saved.mime_velocity.len() != run.mime_velocity.len() {
            return refuse("its client velocity does not fit the network");
        }
        match (&mut run.audit, saved.audit) {
            (Some(audit), Some(trail)) => {
                audit.restore(trail).map_err(|what| SimError::config("saved state", what))?;
            }
            (None, None) => {}
            (Some(_), None) => return refuse("it holds no audit"),
            (None, Some(_)) => return refuse("it holds an audit"),
        }
        run.aggregator.restore(&saved.aggregator)?;
        run.server = saved.server;
        run.mime_velocity = saved.mime_velocity;
        run.ledger = ledger;
        run.health = saved.health;
        run.round = saved.round;
        Ok(run)
    }

    /// The same run with a budget: a round that would make ε larger than `most` is not begun.
    #[must_use]
    pub fn with_budget(mut self, most: Option<Epsilon>) -> Self {
        self.budget = most;
        self
    }

    /// What must be kept to go on from here.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            round: self.round,
            server: &self.server,
            mime_velocity: &self.mime_velocity,
            aggregator: self.aggregator.state(),
            audit: self.audit.as_ref().map(Audit::trail),
            health: self.health,
        }
    }

    /// Why the run has come to nothing, by its model, its clients and the last evaluation of
    /// [`run`](Self::run); none if it has not.
    #[must_use]
    pub fn divergence(&self) -> Option<Divergence> {
        Divergence::of(self.server.params(), self.last_loss, self.health)
    }

    /// The audit of the run so far; `None` if it is not audited.
    #[must_use]
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// What the audit of the run has found so far, beside what is proven of its releases; `None` if
    /// it is not audited.
    ///
    /// # Errors
    /// [`SimError::Accounting`] if the accountant has no proof for what was released.
    pub fn audit_report(&self) -> Result<Option<AuditReport>, SimError> {
        let Some(audit) = &self.audit else { return Ok(None) };
        let claim = Claim::of(&self.config, self.sampler.relation(), &self.ledger)?;
        Ok(Some(audit.report(self.params(), &claim)))
    }

    /// Everything that decides the run's numbers.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The model's parameters.
    #[must_use]
    pub fn params(&self) -> &[f32] {
        self.server.params()
    }

    /// What was released so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Rounds finished.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Clip norm that the next round will use; none without clipping.
    #[must_use]
    pub fn clip_norm(&self) -> Option<f64> {
        self.aggregator.rule().clip_norm
    }

    /// ε of everything released so far, at the run's δ.
    ///
    /// # Errors
    /// [`SimError::Accounting`] if the accountant has no proof for what was released.
    pub fn epsilon(&self) -> Result<Epsilon, SimError> {
        plan::epsilon(&self.config, self.sampler.relation(), &self.ledger)
    }

    /// Whether the budget has room for another round.
    ///
    /// # Errors
    /// [`SimError::Budget`] if it has not, [`SimError::Accounting`] if there is no price.
    pub fn admit(&self) -> Result<(), SimError> {
        let Some(most) = self.budget else { return Ok(()) };
        let mut after = self.ledger.clone();
        after.record(self.sampler.amplify(self.aggregator.event()));
        let next = plan::epsilon(&self.config, self.sampler.relation(), &after)?;
        if next <= most {
            return Ok(());
        }
        let (rounds, standing) = (self.round, Standing::of(&self.config));
        Err(SimError::Budget { rounds, standing, spent: self.epsilon()?, next, most })
    }

    /// One round.
    ///
    /// # Errors
    /// [`SimError::Budget`] if the budget has no room for it; the round then counts as not begun.
    /// [`SimError::Learn`] if the learner fails; the round is then paid for, and lost.
    pub fn step(&mut self) -> Result<(RoundRecord, PhaseTimes), SimError> {
        self.admit()?;
        self.step_observed(&mut Silent)
    }

    #[tracing::instrument(level = "debug", skip_all, fields(round = self.round, cohort))]
    fn step_observed(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(RoundRecord, PhaseTimes), SimError> {
        let start = Instant::now();
        let keys = self.round_keys();
        let mut rng = secret_rng(self.config.noise, keys.key(Purpose::Cohort))?;
        let cohort = self.sampler.sample(&mut rng);
        self.step_with(&cohort, &keys, start, observer)
    }

    /// One round with a cohort from elsewhere.
    ///
    /// The ledger is charged as if the run's sampler had drawn it, so the guarantee holds only if
    /// it was drawn that way: for tests and for replaying recorded cohorts.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn step_with_cohort(
        &mut self,
        cohort: &[usize],
    ) -> Result<(RoundRecord, PhaseTimes), SimError> {
        self.admit()?;
        let start = Instant::now();
        self.step_with(cohort, &self.round_keys(), start, &mut Silent)
    }

    fn step_with(
        &mut self,
        cohort: &[usize],
        keys: &RoundKeys,
        start: Instant,
        observer: &mut dyn Observer,
    ) -> Result<(RoundRecord, PhaseTimes), SimError> {
        tracing::Span::current().record("cohort", cohort.len());
        let round = self.round;
        let rule = self.aggregator.rule();
        let drawn = Instant::now();

        // What noise the round needs is known before it: that of a release is drawn while the
        // clients train. Simulated noise is keyed by the sum, so that no other sum has it.
        let spec = self.aggregator.noise(self.learner.dim());
        let ahead = self.config.noise == NoiseMode::Release;
        let canary_key = keys.key(Purpose::CanaryCohort);
        let shuffle = self.shuffle()?;
        let canary_rng = match &self.audit {
            Some(_) => Some(Mutex::new(secret_rng(self.config.noise, canary_key)?)),
            None => None,
        };
        let draw = || {
            let canaries = self.audit.as_ref().zip(canary_rng.as_ref()).map(|(audit, rng)| {
                audit.sum(&rule, &mut rng.lock().unwrap_or_else(PoisonError::into_inner))
            });
            (ahead.then(|| spec.draw(&NoiseSource::Release)), canaries)
        };
        let (trained, velocity, (noise, canaries)) = std::thread::scope(|scope| {
            let meanwhile = std::thread::Builder::new().spawn_scoped(scope, draw);
            let trained = self.train(cohort, shuffle);
            let velocity = self.mime_step(cohort, shuffle);
            let drawn = match meanwhile {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
                }
                // The system gives no more threads: after the clients, then.
                Err(_) => draw(),
            };
            (trained, velocity, drawn)
        });
        let event = self.sampler.amplify(self.aggregator.event());
        let parts = trained.and_then(|trained| Ok((trained, velocity?)));
        let (CohortSum { mut sum, reports }, velocity) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                // That it failed may tell who was there, and a round that is tried again may draw
                // others: it is paid for.
                observer.charge(round, &event)?;
                self.ledger.record(event);
                return Err(error);
            }
        };
        if let Some(canaries) = canaries {
            sum.merge(canaries);
        }
        let noise = match noise {
            Some(noise) => noise?,
            None => spec.draw(&self.simulated(&spec, keys, &sum))?,
        };
        let trained_at = Instant::now();

        let stddev = spec.stddev();
        // Paid before it is released: a failure in between charges too much, never too little.
        let late = made(Mistake::LedgerAfterModel).then(|| event.clone());
        if late.is_none() && !(made(Mistake::EmptyRoundFree) && cohort.is_empty()) {
            observer.charge(round, &event)?;
            self.ledger.record(event);
        }
        let release = self.aggregator.release(sum, noise)?;
        let released_at = Instant::now();

        if let (Some(audit), Some(clip_norm)) = (&mut self.audit, rule.clip_norm) {
            audit.observe(&release.mean, clip_norm);
        }
        let step = self.server.apply(&release.mean);
        if let Some(velocity) = velocity {
            self.mime_velocity = velocity;
        }
        self.round += 1;
        if let Some(event) = late {
            observer.charge(round, &event)?;
            self.ledger.record(event);
        }

        let mut metrics = Metrics::default();
        let mut diagnostics = Diagnostics {
            clients: reports.len(),
            examples: 0,
            batches: 0,
            unclipped: 0,
            zeroed: 0,
            zeroing_threshold: rule.zeroing_threshold,
            non_finite: 0,
            mean_update_norm: 0.0,
            max_update_norm: 0.0,
            train_accuracy: 0.0,
            train_loss: 0.0,
        };
        for report in &reports {
            metrics += report.metrics;
            diagnostics.batches += report.batches;
            diagnostics.unclipped += usize::from(report.verdict.unclipped);
            diagnostics.zeroed += usize::from(report.verdict.zeroed);
            diagnostics.non_finite += usize::from(!report.verdict.finite);
            diagnostics.mean_update_norm += report.verdict.norm / reports.len() as f64;
            diagnostics.max_update_norm = diagnostics.max_update_norm.max(report.verdict.norm);
        }
        if self.health.enter(diagnostics.clients, diagnostics.non_finite) {
            tracing::warn!(
                round,
                "most clients of the round sent updates that are not finite, and that add nothing: \
                 training may have diverged (a smaller client learning rate may help)"
            );
        }
        diagnostics.examples = metrics.examples;
        diagnostics.train_accuracy = metrics.accuracy();
        diagnostics.train_loss = metrics.loss();
        let squares: f64 = release.mean.iter().map(|&value| f64::from(value).powi(2)).sum();
        let released = Released {
            clip_norm: rule.clip_norm,
            next_clip_norm: self.aggregator.rule().clip_norm,
            zeroing_threshold: match self.config.aggregation {
                AggregationConfig::Private {
                    zeroing: Zeroing::Constant { .. } | Zeroing::Noised(_),
                    ..
                } => rule.zeroing_threshold,
                _ => None,
            },
            noise_stddev: stddev / self.config.clients_per_round,
            aggregate_norm: squares.sqrt(),
            step,
        };
        let times = PhaseTimes {
            sample: drawn - start,
            train: trained_at - drawn,
            release: released_at - trained_at,
            server: released_at.elapsed(),
        };
        Ok((RoundRecord { round, released, diagnostics }, times))
    }

    /// Where the noise of a simulated round comes from: a key that only this sum has.
    fn simulated(&self, spec: &NoiseSpec, keys: &RoundKeys, sum: &SecretSum) -> NoiseSource {
        let key = keys.key(Purpose::Noise);
        let key = match spec.is_none() {
            // Nothing is drawn from it.
            true => key,
            false if made(Mistake::SameNoiseEveryRound) => [0; 32],
            false => sum.noise_key(&key),
        };
        NoiseSource::Simulation { key }
    }

    /// The keys of the round that comes next.
    fn round_keys(&self) -> RoundKeys {
        self.keys.round(self.round, self.server.params())
    }

    /// The streams in which the clients of the round that comes next visit their examples;
    /// `None`: as they lie. Kept nowhere but in the round. The key may not be one of the run's,
    /// which change with the data: no client moves another's order.
    fn shuffle(&self) -> Result<Option<ShuffleSeed>, SimError> {
        if !self.config.client.shuffle {
            return Ok(None);
        }
        let seeded = self.config.seed.key(Stream::Shuffle, u64::from(self.round));
        let mut key = [0; 32];
        secret_rng(self.config.noise, seeded)?.fill_bytes(&mut key);
        Ok(Some(ShuffleSeed::new(key)))
    }

    /// Trains a cohort from the current parameters.
    fn train(&self, cohort: &[usize], shuffle: Option<ShuffleSeed>) -> Result<CohortSum, SimError> {
        let client = &self.config.client;
        let work = match client.algorithm {
            Algorithm::Sgd => LocalWork::Sgd(client.local_sgd()),
            Algorithm::FedSgd => LocalWork::Gradient { batch_size: client.batch_size },
            Algorithm::MimeLite => {
                let mut sgd = client.local_sgd();
                sgd.momentum = 0.0;
                LocalWork::Mime { sgd, momentum: client.momentum, velocity: &self.mime_velocity }
            }
        };
        self.train_cohort(cohort, &work, &self.aggregator.rule(), shuffle)
    }

    fn train_cohort(
        &self,
        cohort: &[usize],
        work: &LocalWork<'_>,
        rule: &dp_agg::UpdateRule,
        shuffle: Option<ShuffleSeed>,
    ) -> Result<CohortSum, SimError> {
        let job = CohortJob {
            params: self.server.params(),
            population: self.population,
            cohort,
            rule,
            work,
            shuffle,
        };
        self.learner
            .train_cohort(&job)
            .map_err(|source| SimError::Learn { round: self.round, source })
    }

    /// Mime Lite's second pass: the mean gradient at the broadcast parameters (weighted as the
    /// updates are) moves the velocity that the next round's clients use. `None` for the other algorithms.
    fn mime_step(
        &self,
        cohort: &[usize],
        shuffle: Option<ShuffleSeed>,
    ) -> Result<Option<Vec<f32>>, SimError> {
        if self.config.client.algorithm != Algorithm::MimeLite {
            return Ok(None);
        }
        let mut mean = dp_agg::PlainMean::new(self.aggregator.rule().weighting);
        let work = LocalWork::Gradient { batch_size: self.config.client.batch_size };
        let gradients = self.train_cohort(cohort, &work, &mean.rule(), shuffle)?;
        let none = Noise::none(gradients.sum.dim(), mean.rule().grid());
        let gradient = mean.release(gradients.sum, none)?.mean;
        if !gradient.iter().all(|value| value.is_finite()) {
            return Ok(None);
        }
        let momentum = self.config.client.momentum as f32;
        let step = |(velocity, gradient): (&f32, f32)| momentum * velocity + gradient;
        Ok(Some(self.mime_velocity.iter().zip(gradient).map(step).collect()))
    }

    /// The model as it is now, on `test`.
    ///
    /// # Errors
    /// [`SimError::Learn`] if the learner fails, [`SimError::Accounting`] if there is no price.
    pub fn evaluate(&self, test: &Examples<'_>) -> Result<EvaluationRecord, SimError> {
        let metrics = self
            .learner
            .evaluate(self.server.params(), test)
            .map_err(|source| SimError::Learn { round: self.round, source })?;
        let (round, clip_norm) = (self.round, self.clip_norm());
        Ok(EvaluationRecord { round, metrics, clip_norm, epsilon: self.epsilon()? })
    }

    /// All rounds that are left, with evaluations before every `evaluate_every`-th round and
    /// after the last that was trained.
    ///
    /// # Errors
    /// Those of a round and of the observer; [`SimError::Interrupted`] if the observer asked to
    /// stop, [`SimError::Budget`] (after an evaluation) if another round would cost too much.
    pub fn run(
        &mut self,
        test: &Examples<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), SimError> {
        let rounds = self.config.rounds.get();
        let outcome = loop {
            let done = self.round >= rounds;
            let interrupted = !done && observer.stop();
            let refused = if done || observer.is_paid() { Ok(()) } else { self.admit() };
            let leaving = done || interrupted || refused.is_err();
            observer.between(&self.snapshot(), leaving)?;
            if interrupted {
                return Err(SimError::Interrupted { rounds: self.round });
            }
            if leaving {
                break refused;
            }
            if self.round.is_multiple_of(self.config.evaluate_every.get()) {
                observer.evaluation(&self.look(test)?)?;
            }
            let (record, times) = self.step_observed(observer)?;
            if record.released.step == Step::RejectedNonFinite {
                tracing::warn!(
                    round = record.round,
                    "the aggregate was not finite: the server kept its parameters"
                );
            }
            observer.round(&record, &times)?;
        };
        observer.evaluation(&self.look(test)?)?;
        outcome
    }

    /// An evaluation whose loss is kept in mind; the first that is not finite is warned of.
    fn look(&mut self, test: &Examples<'_>) -> Result<EvaluationRecord, SimError> {
        let record = self.evaluate(test)?;
        let loss = record.metrics.loss();
        if !loss.is_finite() && self.last_loss.is_none_or(f64::is_finite) {
            tracing::warn!(
                round = record.round,
                "the loss on the test set is {loss}: training may have diverged"
            );
        }
        self.last_loss = Some(loss);
        Ok(record)
    }
}
