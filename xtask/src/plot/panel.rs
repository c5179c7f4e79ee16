//! What is drawn, as plain data: a head and panels side by side.

/// What stands above the panels.
pub(super) struct Head {
    /// What is shown, in a few words.
    pub(super) title: String,
    /// What all panels share, in smaller type; may be empty.
    pub(super) subtitle: String,
    /// A warning that must not be overlooked; set off in a box.
    pub(super) badge: Option<String>,
    /// What the legend's labels name; may be empty.
    pub(super) legend: String,
}

/// One pair of axes.
pub(super) struct Panel {
    /// What the vertical axis shows.
    pub(super) heading: String,
    /// What the horizontal axis shows.
    pub(super) x_label: String,
    /// How values are written on the vertical axis.
    pub(super) unit: Unit,
    /// Lowest and highest value that the vertical axis must show; `None`: from the data. What
    /// lies outside is drawn at the edge.
    pub(super) range: Option<(f64, f64)>,
    /// The same settings in the same order in every panel.
    pub(super) lines: Vec<Line>,
}

/// How values are written on an axis.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// As they are.
    Plain,
    /// Shares, as per cent.
    Percent,
}

/// A line with its band.
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) label: String,
    /// The points, from the left. Where the mean is not finite, the line is broken.
    pub(super) points: Vec<Point>,
}

/// A point of a line, with the edges of the band.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) round: f64,
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Point {
    pub(super) fn is_finite(&self) -> bool {
        self.round.is_finite() && self.mean.is_finite()
    }
}

impl Panel {
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        !self.points().any(Point::is_finite)
    }
}
