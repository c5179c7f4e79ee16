//! The embedded writers: their numbers, and that nobody changes their pictures unawares.

use fed_data::{Features, FederatedData, Part, SyntheticWriters};
use rayon::ThreadPoolBuilder;

#[test]
fn the_default_population_has_the_real_numbers() {
    let data = SyntheticWriters::default().dataset().expect("the default");
    assert_eq!(data.train.num_clients(), 3_383);
    assert_eq!(data.test.num_clients(), 3_383);
    assert_eq!((data.train.len(), data.test.len()), (341_873, 40_832));
    assert!(data.train.client_sizes().chain(data.test.client_sizes()).all(|size| size >= 1));
    for counts in [data.train.class_counts(), data.test.class_counts()] {
        let all: usize = counts.iter().sum();
        assert!(counts.iter().all(|&count| (9..=11).contains(&(count * 100 / all))), "{counts:?}");
    }
    assert!(data.train.is_eight_bit());
    assert_eq!(
        data.source.to_string(),
        "synthetic writers (seed 0): 3383 clients, 341873 + 40832 examples"
    );
}

/// Value stability: a change of the pictures is allowed, and is announced by changing this test,
/// the version of the drawing in `synthetic.rs` and the change log together.
#[test]
fn the_pictures_are_what_they_were() {
    let digest = |seed, clients| {
        SyntheticWriters { seed, clients }.dataset().expect("in range").source.digest.to_string()
    };
    assert_eq!(digest(0, 20), "566a69d2593ed9875a7f3fdec3c5bc7bf8404de593607dbf36791211a7270ae4");
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let digest = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| SyntheticWriters { seed: 2, clients: 40 }.dataset())
            .expect("in range")
            .source
            .digest
    };
    assert_eq!(digest(1), digest(2));
    assert_eq!(digest(1), digest(3));
}

#[test]
fn ten_million_clients_fit() {
    let population = SyntheticWriters { seed: 0, clients: 10_000_000 }
        .population(Part::Train)
        .expect("in range");
    assert_eq!(population.num_clients(), 10_000_000);
    let last = population.client(9_999_999);
    assert_eq!(last.len(), population.num_examples(9_999_999));
    assert!(matches!(last.features(), Features::Bytes(_)));
    assert_eq!(population.client_id(42), "writer_0000042");
    let ids: Vec<_> = [0, 9, 10, 9_999_999].map(|index| population.client_id(index)).to_vec();
    assert!(ids.is_sorted(), "{ids:?}");
}

/// A hand is a writer's own: two pictures of one writer's digit are closer to each other than to
/// other writers' pictures of the same digit.
#[test]
fn writers_have_hands_of_their_own() {
    let data = SyntheticWriters { seed: 4, clients: 60 }.dataset().expect("in range");
    let picture = |client: usize, nth: usize| {
        let examples = data.train.client(client);
        let row = (0..examples.len()).filter(|&row| examples.labels()[row] == 2).nth(nth)?;
        let mut picture = [0.0; 784];
        examples.copy_row(row, &mut picture);
        Some(picture)
    };
    let distance = |a: &[f32; 784], b: &[f32; 784]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
    };
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for client in 0..59 {
        let (Some(first), Some(second)) = (picture(client, 0), picture(client, 1)) else {
            continue;
        };
        let Some(stranger) = picture(client + 1, 0) else { continue };
        own.push(distance(&first, &second));
        others.push(distance(&first, &stranger));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(own.len() > 40);
    assert!(mean(&own) < 0.8 * mean(&others), "{} against {}", mean(&own), mean(&others));
}
