//! Figures from made-up data.

use super::*;

fn series(label: &str, level: f64, spread: f64) -> Series {
    let rounds: Vec<f64> = (0..=20).map(|index| f64::from(index) * 5.0).collect();
    let curve = |sign: f64, start: f64| {
        let value = |round: &f64| start + sign * level * (1.0 - (-round / 30.0).exp());
        rounds
            .iter()
            .map(|round| [value(round), value(round) - spread, value(round) + spread])
            .collect()
    };
    let (accuracy, loss) = (curve(1.0, 0.1), curve(-2.0, 2.3));
    Series { label: label.to_owned(), rounds, accuracy, loss }
}

fn figure() -> Figure {
    Figure {
        title: "Noise sweep".to_owned(),
        data: "made-up writers".to_owned(),
        synthetic: true,
        series: vec![series("z = 0", 0.8, 0.02), series("z = 1", 0.4, 0.1)],
    }
}

#[test]
fn both_pictures_are_made_and_need_no_font() {
    let svg = figure().svg().expect("there is something to show");
    assert!(svg.contains("<svg") && !svg.contains("<text"), "text must be outlines");
    let png = figure().png().expect("there is something to show");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
}

#[test]
fn a_figure_is_the_same_every_time() {
    assert_eq!(figure().svg().ok(), figure().svg().ok());
    assert_eq!(figure().png().ok(), figure().png().ok());
}

#[test]
fn made_up_data_are_named_so() {
    assert_eq!(figure().head().badge.as_deref(), Some("synthetic writers"));
    let real = Figure { synthetic: false, ..figure() };
    assert_eq!(real.head().badge, None);
    assert_ne!(real.svg().ok(), figure().svg().ok());
}

#[test]
fn bands_are_explained_where_there_are_any() {
    assert!(figure().head().subtitle.contains("bands"));
    let one_seed = Figure { series: vec![series("z = 0", 0.8, 0.0)], ..figure() };
    assert!(!one_seed.head().subtitle.contains("bands"));
}

#[test]
fn labels_are_escaped() {
    let figure = Figure { title: "a < b & c \"d\"".to_owned(), ..figure() };
    assert!(figure.svg().is_ok());
}

#[test]
fn a_diverged_run_neither_breaks_nor_flattens_the_figure() {
    let mut figure = figure();
    figure.series[1].loss[9] = [1e30, 2.0, 1e35];
    for loss in &mut figure.series[1].loss[10..] {
        *loss = [f64::NAN, f64::NAN, f64::INFINITY];
    }
    assert!(figure.svg().is_ok());
    let (low, high) = figure.loss_range().expect("the start is finite");
    assert!(low <= 0.0 && high < 4.0, "{high}");
}

#[test]
fn nothing_to_show_is_an_error() {
    let nothing = Figure { series: vec![], ..figure() };
    assert!(matches!(nothing.svg(), Err(PlotError::Empty)));
    let mut diverged = figure();
    for series in &mut diverged.series {
        series.loss.fill([f64::NAN; 3]);
    }
    assert!(matches!(diverged.png(), Err(PlotError::Empty)));
}

#[test]
fn a_long_legend_takes_another_row() {
    let height = |figure: &Figure| {
        let png = figure.png().expect("there is something to show");
        u32::from_be_bytes(png[20..24].try_into().expect("four bytes of the header"))
    };
    let series = (0..12).map(|z| series(&format!("z = {z}, 120 clients"), 0.5, 0.0)).collect();
    assert!(height(&Figure { series, ..figure() }) > height(&figure()));
}
