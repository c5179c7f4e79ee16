//! Figures of a run: accuracy and loss against rounds, a line for each setting, a band over seeds.
//!
//! A [`Figure`] is plain data and knows nothing of records. It is drawn once, as SVG; the PNG is
//! that SVG rendered, so both show the same picture, with an embedded font (Noto Sans, SIL Open
//! Font License 1.1) and none of the machine's. In the SVG the text is outlines, so it looks
//! the same wherever it is opened.
//!
//! The PNG has two pixels to the unit of the SVG. Colours can be told apart with every common
//! kind of colour blindness; where there are more lines than colours, the rest are dashed.

mod dash;
mod draw;
mod panel;
mod render;
mod scale;

use panel::{Head, Line, Panel, Point, Unit};

/// Learning curves: test accuracy on the left, test loss on the right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What is shown, in a few words.
    pub(crate) title: String,
    /// The data that the model was trained and tested on.
    pub(crate) data: String,
    /// Whether the data are made up: then the figure says so where nobody can overlook it.
    pub(crate) synthetic: bool,
    /// One setting each.
    pub(crate) series: Vec<Series>,
}

/// One setting over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// Its name in the legend.
    pub(crate) label: String,
    /// Rounds of training, ascending.
    pub(crate) rounds: Vec<f64>,
    /// Accuracy at each of `rounds` as a share: mean, least, greatest over the seeds.
    pub(crate) accuracy: Vec<[f64; 3]>,
    /// Loss at each of `rounds`: mean, least, greatest over the seeds.
    pub(crate) loss: Vec<[f64; 3]>,
}

/// Why a figure could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlotError {
    /// There is nothing to show.
    #[error("a figure needs a setting with at least one finite point")]
    Empty,
    /// The drawing failed.
    #[error("the figure could not be drawn: {0}")]
    Draw(String),
}

impl Figure {
    /// The figure as SVG, its text as outlines.
    ///
    /// # Errors
    /// [`PlotError::Empty`] if there is nothing to show.
    pub(crate) fn svg(&self) -> Result<String, PlotError> {
        Ok(self.picture()?.svg())
    }

    /// The same as PNG, on white.
    ///
    /// # Errors
    /// [`PlotError::Empty`] if there is nothing to show.
    pub(crate) fn png(&self) -> Result<Vec<u8>, PlotError> {
        self.picture()?.png()
    }

    fn picture(&self) -> Result<render::Picture, PlotError> {
        let (head, panels) = (self.head(), self.panels());
        if panels.iter().any(Panel::is_empty) {
            return Err(PlotError::Empty);
        }
        render::register_fonts();
        render::Picture::new(&draw::figure(&head, &panels)?)
    }

    fn head(&self) -> Head {
        let spread = |values: &[f64; 3]| values[2] > values[1];
        let bands = self.series.iter().any(|series| series.accuracy.iter().any(spread));
        let reading =
            if bands { " · lines: mean over seeds, bands: least to greatest" } else { "" };
        Head {
            title: self.title.clone(),
            subtitle: format!("{}{reading}", self.data),
            badge: self.synthetic.then(|| "synthetic writers".to_owned()),
            legend: "noise multiplier".to_owned(),
        }
    }

    fn panels(&self) -> [Panel; 2] {
        let panel = |heading: &str, unit, range, values: fn(&Series) -> &[[f64; 3]]| Panel {
            heading: heading.to_owned(),
            x_label: "round".to_owned(),
            unit,
            range,
            lines: self.series.iter().map(|series| line(series, values(series))).collect(),
        };
        [
            panel("Test accuracy", Unit::Percent, Some((0.0, 1.0)), |series| &series.accuracy),
            panel("Test loss", Unit::Plain, self.loss_range(), |series| &series.loss),
        ]
    }

    /// From zero to a little above the highest start; a diverged run leaves at the top instead of
    /// flattening the others.
    fn loss_range(&self) -> Option<(f64, f64)> {
        let starts = self.series.iter().filter_map(|series| series.loss.first());
        let highest = starts.map(|loss| loss[2]).filter(|loss| loss.is_finite());
        let highest = highest.fold(0.0, f64::max);
        let all = self.series.iter().flat_map(|series| &series.loss);
        let most = all.map(|loss| loss[2]).fold(0.0, f64::max);
        (highest > 0.0).then(|| (0.0, most.min(1.5 * highest)))
    }
}

fn line(series: &Series, values: &[[f64; 3]]) -> Line {
    let points = series.rounds.iter().zip(values);
    Line {
        label: series.label.clone(),
        points: points
            .map(|(&round, &[mean, low, high])| Point { round, mean, low, high })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
