use dp_agg::UpdateRule;
use fed_data::*;
use fed_model::*;
use rand::{RngExt, SeedableRng};
use std::borrow::Cow;
use std::num::NonZeroUsize;
struct P(Vec<Examples<'static>>);
impl FederatedData for P {
    fn num_clients(&self) -> usize {
        self.0.len()
    }
    fn client_id(&self, i: usize) -> Cow<'_, str> {
        i.to_string().into()
    }
    fn num_examples(&self, i: usize) -> usize {
        self.0[i].len()
    }
    fn client(&self, i: usize) -> Examples<'_> {
        self.0[i].slice(0..self.0[i].len())
    }
    fn width(&self) -> usize {
        784
    }
    fn classes(&self) -> usize {
        10
    }
}
fn cpu() -> f64 {
    let mut t = 0.0;
    for e in std::fs::read_dir("/proc/self/task").unwrap() {
        let s = std::fs::read_to_string(e.unwrap().path().join("schedstat")).unwrap();
        t += s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6;
    }
    t
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let backend: Backend = a[1].parse().unwrap();
    let threads: usize = a[2].parse().unwrap();
    let n: usize = a[3].parse().unwrap();
    let rounds: usize = a[4].parse().unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let ex = |c: usize, rng: &mut rand_chacha::ChaCha8Rng| {
        let p: Vec<u8> = (0..c * 784).map(|_| rng.random()).collect();
        let l: Vec<u8> = (0..c).map(|_| rng.random_range(0..10)).collect();
        Examples::from_bytes(p, l, 784)
    };
    let sizes: Vec<usize> = (0..n)
        .map(|_| {
            let z: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            (101.0 + 25.0 * z).round().clamp(20.0, 200.0) as usize
        })
        .collect();
    println!("{} examples", sizes.iter().sum::<usize>());
    let pop = P(sizes.into_iter().map(|s| ex(s, &mut rng)).collect());
    let test = ex(40832, &mut rng);
    let spec = MlpSpec::emnist(10);
    let params = spec.glorot_uniform(&mut rng);
    let l = open(backend, &spec, NonZeroUsize::new(threads).unwrap()).unwrap();
    println!("{}", l.describe());
    let work = LocalWork::Sgd(LocalSgd {
        learning_rate: 0.01,
        momentum: 0.0,
        batch_size: NonZeroUsize::new(32).unwrap(),
        epochs: NonZeroUsize::MIN,
        proximal: 0.0,
    });
    let rule = UpdateRule {
        zeroing_threshold: Some(21.0),
        magnitude_estimate: Some(10.0),
        clip_norm: Some(0.1),
        ..UpdateRule::default()
    };
    let cohort: Vec<usize> = (0..n).collect();
    let go = |k: usize, f: &mut dyn FnMut(), name: &str| {
        let mut w = vec![];
        let mut c = vec![];
        for _ in 0..k {
            let (t, c0) = (std::time::Instant::now(), cpu());
            f();
            w.push(t.elapsed().as_secs_f64() * 1e3);
            c.push(cpu() - c0);
        }
        w.sort_by(f64::total_cmp);
        c.sort_by(f64::total_cmp);
        println!(
            "{name}: wall min {:.1} median {:.1} ms; cpu min {:.1} median {:.1} ms",
            w[0],
            w[k / 2],
            c[0],
            c[k / 2]
        );
    };
    go(
        rounds,
        &mut || {
            let j = CohortJob {
                params: &params,
                population: &pop,
                cohort: &cohort,
                rule: &rule,
                work: &work,
                shuffle: Some(ShuffleSeed::new([7; 32])),
            };
            l.train_cohort(&j).unwrap();
        },
        "round",
    );
    go(
        rounds / 4 + 1,
        &mut || {
            l.evaluate(&params, &test).unwrap();
        },
        "eval",
    );
}
