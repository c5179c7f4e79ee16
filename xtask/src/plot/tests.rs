//! Figures from made-up data.

use super::*;

fn series(label: &str, level: f64, spread: f64) -> Series {
    let points = (0..=20)
        .map(|index| {
            let round = f64::from(index) * 5.0;
            let mean = level * (1.0 - (-round / 30.0).exp()) + 0.1;
            Point { round, mean, low: mean - spread, high: mean + spread }
        })
        .collect();
    Series { label: label.to_owned(), points }
}

fn figure() -> Figure {
    let panel = |heading: &str, unit, range| Panel {
        heading: heading.to_owned(),
        x_label: "round".to_owned(),
        unit,
        range,
        series: vec![series("0", 0.8, 0.02), series("1", 0.4, 0.1)],
    };
    Figure {
        title: "Noise sweep".to_owned(),
        subtitle: "made-up writers".to_owned(),
        badge: Some("synthetic writers".to_owned()),
        legend: "noise multiplier".to_owned(),
        panels: vec![
            panel("accuracy", Unit::Percent, Some((0.0, 1.0))),
            panel("loss", Unit::Plain, None),
        ],
    }
}

fn svg(figure: &Figure) -> String {
    figure.picture().expect("there is something to show").svg()
}

#[test]
fn both_pictures_are_written_and_need_no_font() {
    let folder = tempfile::tempdir().expect("a folder of our own");
    figure().write(folder.path(), "curves").expect("there is something to show");
    let svg = std::fs::read_to_string(folder.path().join("curves.svg")).expect("it was written");
    assert!(svg.starts_with("<svg") && !svg.contains("<text"), "text must be outlines");
    let words = "<title>Noise sweep (synthetic writers)</title><desc>made-up writers</desc>";
    assert!(svg.contains(words), "no words in {}", &svg[..300]);
    let png = std::fs::read(folder.path().join("curves.png")).expect("it was written");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder of our own");
    let error = figure().write(&folder.path().join("nowhere"), "curves").expect_err("not there");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_figure_is_the_same_every_time() {
    assert_eq!(svg(&figure()), svg(&figure()));
}

#[test]
fn a_badge_shows() {
    assert_ne!(svg(&Figure { badge: None, ..figure() }), svg(&figure()));
}

#[test]
fn labels_are_escaped() {
    let figure = Figure { title: "a < b & c \"d\"".to_owned(), ..figure() };
    assert!(figure.picture().is_ok());
    let words = figure.described("<svg a=\"b\"><g/></svg>");
    assert!(words.starts_with("<svg a=\"b\"><title>a &lt; b &amp; c \"d\""), "{words}");
}

#[test]
fn a_diverged_run_neither_breaks_nor_flattens_the_figure() {
    let mut figure = figure();
    let points = &mut figure.panels[1].series[1].points;
    points[0].high = 2.0;
    points[9] = Point { mean: 1e30, high: 1e35, ..points[9] };
    for point in &mut points[10..] {
        (point.mean, point.low, point.high) = (f64::NAN, f64::NAN, f64::INFINITY);
    }
    assert!(figure.picture().is_ok());
    let (low, high) = figure.panels[1].vertical_range();
    assert!(low.abs() < 1e-12 && (high - 3.0).abs() < 1e-12, "{low} to {high}");
}

#[test]
fn nothing_to_show_is_an_error() {
    let mut diverged = figure();
    for series in &mut diverged.panels[1].series {
        series.points.iter_mut().for_each(|point| point.mean = f64::NAN);
    }
    assert!(matches!(diverged.picture(), Err(PlotError::Empty)));
    diverged.panels.clear();
    assert!(matches!(diverged.picture(), Err(PlotError::Empty)));
}

#[test]
fn a_long_legend_takes_another_row() {
    let height = |figure: &Figure| {
        let png = figure.picture().expect("something").png().expect("a canvas");
        u32::from_be_bytes(png[20..24].try_into().expect("four bytes of the header"))
    };
    let mut long = figure();
    long.panels[0].series =
        (0..12).map(|z| series(&format!("{z} (120 clients)"), 0.5, 0.0)).collect();
    assert!(height(&long) > height(&figure()));
}
