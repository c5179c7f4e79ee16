//! Figures: panels side by side, a line for each setting, a band over seeds.
//!
//! A [`Figure`] is plain data and knows nothing of runs. It is drawn once, as SVG; the PNG is
//! that SVG rendered, so both show the same picture, with an embedded font (Noto Sans, SIL Open
//! Font License 1.1) and none of the machine's. In the SVG the text is outlines, so it looks
//! the same wherever it is opened.
//!
//! The PNG has two pixels to the unit of the SVG. Colours can be told apart with every common
//! kind of colour blindness; where there are more lines than colours, the rest are dashed.

mod dash;
mod draw;
mod render;
mod scale;

use std::path::Path;

use fed_sim::durable;

use crate::interrupt;

/// Panels side by side under one title.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What is shown, in a few words.
    pub(crate) title: String,
    /// What all panels share, in smaller type; may be empty.
    pub(crate) subtitle: String,
    /// A warning that must not be overlooked, such as "synthetic writers"; set off in a box.
    pub(crate) badge: Option<String>,
    /// What the legend's labels name, such as "noise multiplier"; may be empty.
    pub(crate) legend: String,
    /// The panels, from the left.
    pub(crate) panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// What the vertical axis shows.
    pub(crate) heading: String,
    /// What the horizontal axis shows.
    pub(crate) x_label: String,
    /// How values are written on the vertical axis.
    pub(crate) unit: Unit,
    /// Lowest and highest value that the vertical axis must show; `None`: from the data, see
    /// [`Panel::vertical_range`]. What lies outside is drawn at the edge.
    pub(crate) range: Option<(f64, f64)>,
    /// One line each; the same settings in the same order in every panel.
    pub(crate) series: Vec<Series>,
}

/// How values are written on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As they are.
    Plain,
    /// Shares, as per cent.
    Percent,
}

/// A line with its band.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// Its name in the legend.
    pub(crate) label: String,
    /// The points, from the left. Where the mean is not finite, the line is broken.
    pub(crate) points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Where on the horizontal axis.
    pub(crate) round: f64,
    /// The line.
    pub(crate) mean: f64,
    /// Lower edge of the band; the mean where there is none.
    pub(crate) low: f64,
    /// Upper edge of the band.
    pub(crate) high: f64,
}

/// Why a figure could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlotError {
    /// There is nothing to show.
    #[error("a figure needs panels, and each of them a line with a finite point")]
    Empty,
    /// The drawing failed.
    #[error("the figure could not be drawn: {0}")]
    Draw(String),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] fed_sim::SimError),
}

impl Figure {
    /// Writes `<folder>/<name>.svg` and `<folder>/<name>.png`.
    ///
    /// # Errors
    /// [`PlotError`] if there is nothing to show or a file cannot be written.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Result<(), PlotError> {
        let picture = self.picture()?;
        let svg = self.described(&picture.svg()).into_bytes();
        let files = [("svg", svg), ("png", picture.png()?)];
        Ok(interrupt::whole(|| {
            files.iter().try_for_each(|(extension, bytes)| {
                durable::replace(&folder.join(format!("{name}.{extension}")), bytes)
            })
        })?)
    }

    /// An SVG that also says in text what its outlines say: for whoever cannot see it, and for
    /// searching.
    fn described(&self, svg: &str) -> String {
        let escaped =
            |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let badge = self.badge.as_ref().map_or_else(String::new, |badge| format!(" ({badge})"));
        let title = escaped(&format!("{}{badge}", self.title));
        let subtitle = escaped(&self.subtitle);
        let end = svg.find('>').map_or(0, |at| at + 1);
        let (head, rest) = svg.split_at(end);
        format!("{head}<title>{title}</title><desc>{subtitle}</desc>{rest}")
    }

    fn picture(&self) -> Result<render::Picture, PlotError> {
        if self.panels.is_empty() || self.panels.iter().any(Panel::is_empty) {
            return Err(PlotError::Empty);
        }
        render::register_fonts();
        render::Picture::new(&draw::figure(self)?)
    }
}

impl Panel {
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points)
    }

    /// Whether there is nothing to draw.
    fn is_empty(&self) -> bool {
        !self.points().any(Point::is_finite)
    }

    /// What the vertical axis must show. Left to the data it begins at zero where nothing is
    /// negative, and ends at one and a half times the highest start at most: a line that runs
    /// away leaves at the top instead of flattening the others.
    fn vertical_range(&self) -> (f64, f64) {
        if let Some(range) = self.range {
            return range;
        }
        let values = self.points().filter(|point| point.is_finite());
        let values = values.flat_map(|point| [point.mean, point.low, point.high]);
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((0.0, f64::NEG_INFINITY), |(low, high): (f64, f64), value| {
                (low.min(value), high.max(value))
            });
        let starts = self.series.iter().filter_map(|series| series.points.first());
        let start = starts.map(|point| point.high).filter(|high| high.is_finite());
        let start = start.fold(0.0, f64::max);
        (low, if start > 0.0 { high.min(1.5 * start) } else { high })
    }
}

impl Series {
    /// Whether it has a point that can be drawn.
    pub(crate) fn is_drawn(&self) -> bool {
        self.points.iter().any(Point::is_finite)
    }
}

impl Point {
    fn is_finite(&self) -> bool {
        self.round.is_finite() && self.mean.is_finite()
    }
}

#[cfg(test)]
mod tests;
