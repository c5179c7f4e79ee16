//! The drawing itself, into SVG text.

use std::fmt::Display;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

use super::dash::dashes;
use super::render::FONT;
use super::scale::Axis;
use super::{Figure, Panel, PlotError, Point, Series, Unit};

/// Width of the canvas.
pub(super) const WIDTH: f64 = 1000.0;
/// Height of the canvas with one row of legend.
const HEIGHT: f64 = 430.0;
/// Height of each further row.
const ROW: f64 = 22.0;
/// The drawing library places things on whole numbers: this many of them make a unit.
const FINE: f64 = 8.0;

/// Room at the edges and between panels.
const MARGIN: f64 = 24.0;
const GAP: f64 = 44.0;
/// Room for the numbers left of an axis.
const NUMBERS: f64 = 38.0;
/// Where the axes begin with one row of legend, and how long they are.
const TOP: f64 = 128.0;
const RISE: f64 = HEIGHT - 52.0 - TOP;

const INK: RGBColor = RGBColor(33, 37, 41);
const QUIET: RGBColor = RGBColor(92, 99, 106);
const GRID: RGBColor = RGBColor(226, 229, 232);
const AXIS: RGBColor = RGBColor(134, 142, 150);
const BADGE_INK: RGBColor = RGBColor(122, 62, 0);
const BADGE_FILL: RGBColor = RGBColor(255, 236, 209);

/// Blue, orange, green, vermillion, purple, sky, black: the set of Okabe and Ito, the orange a
/// little darker for white paper.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(222, 143, 5),
    RGBColor(0, 158, 115),
    RGBColor(204, 61, 20),
    RGBColor(170, 80, 150),
    RGBColor(86, 180, 233),
    RGBColor(40, 40, 40),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a figure; the SVG has its text as text.
pub(super) fn figure(figure: &Figure) -> Result<String, PlotError> {
    let legend = Legend::new(figure)?;
    let further = legend.rows as f64 * ROW - ROW;
    let height = HEIGHT + further;
    let mut drawn = String::new();
    {
        let size = (fine(WIDTH) as u32, fine(height) as u32);
        let area = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        let pen = Pen { area };
        pen.rectangle((0.0, 0.0), (WIDTH, height), RGBColor(255, 255, 255))?;
        head(&pen, figure)?;
        legend.draw(&pen)?;
        let count = figure.panels.len() as f64;
        let width = (WIDTH - 2.0 * MARGIN - GAP * (count - 1.0)) / count;
        for (place, panel) in figure.panels.iter().enumerate() {
            let left = MARGIN + place as f64 * (width + GAP);
            Frame::new(panel, left + NUMBERS, left + width, TOP + further).draw(&pen, panel)?;
        }
        pen.area.present().map_err(failed)?;
    }
    // The canvas keeps its fine coordinates but is shown at its own size; lines end and turn
    // roundly.
    let large = format!("width=\"{}\" height=\"{}\"", fine(WIDTH), fine(height));
    let small = format!("width=\"{WIDTH}\" height=\"{height}\"");
    let round = "<polyline stroke-linejoin=\"round\" stroke-linecap=\"round\" ";
    Ok(drawn.replacen(&large, &small, 1).replace("<polyline ", round))
}

/// Title, subtitle and badge.
fn head(pen: &Pen<'_>, figure: &Figure) -> Result<(), PlotError> {
    pen.text(&figure.title, (MARGIN, 34.0), Type::bold(19.0, INK), HPos::Left)?;
    pen.text(&figure.subtitle, (MARGIN, 56.0), Type::plain(13.0, QUIET), HPos::Left)?;
    let Some(badge) = &figure.badge else { return Ok(()) };
    let style = Type::bold(13.0, BADGE_INK);
    let left = WIDTH - MARGIN - style.width(badge)? - 20.0;
    pen.rectangle((left, 17.0), (WIDTH - MARGIN, 41.0), BADGE_FILL)?;
    pen.text(badge, (left + 10.0, 33.5), style, HPos::Left)
}

/// The names of the lines, in as many rows as they need.
struct Legend<'a> {
    name: &'a str,
    /// Label and where its sample begins.
    entries: Vec<(&'a str, (f64, f64))>,
    rows: usize,
}

impl<'a> Legend<'a> {
    const NAME: Type = Type::plain(13.0, QUIET);
    const LABEL: Type = Type::plain(13.0, INK);
    /// From the beginning of a sample to its label.
    const SAMPLE: f64 = 29.0;
    const FIRST: f64 = 84.0;

    fn new(figure: &'a Figure) -> Result<Self, PlotError> {
        let lines = figure.panels.first().map_or(&[][..], |panel| &panel.series);
        let indent =
            if figure.legend.is_empty() { 0.0 } else { Self::NAME.width(&figure.legend)? };
        let start = MARGIN + if indent > 0.0 { indent + 16.0 } else { 0.0 };
        let (mut x, mut rows) = (start, 1);
        let mut entries = Vec::new();
        for line in lines {
            let width = Self::SAMPLE + Self::LABEL.width(&line.label)?;
            if x > start && x + width > WIDTH - MARGIN {
                (x, rows) = (start, rows + 1);
            }
            let y = Self::FIRST + ROW * (rows as f64 - 1.0);
            entries.push((line.label.as_str(), (x, y)));
            x += width + 20.0;
        }
        Ok(Self { name: &figure.legend, entries, rows })
    }

    fn draw(&self, pen: &Pen<'_>) -> Result<(), PlotError> {
        pen.text(self.name, (MARGIN, Self::FIRST), Self::NAME, HPos::Left)?;
        for (place, &(label, (x, y))) in self.entries.iter().enumerate() {
            let middle = y - 4.5;
            pen.curve(&[(x, middle), (x + 22.0, middle)], place, 2.6)?;
            pen.text(label, (x + Self::SAMPLE, y), Self::LABEL, HPos::Left)?;
        }
        Ok(())
    }
}

/// A panel's axes on the canvas.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn new(panel: &Panel, left: f64, right: f64, top: f64) -> Self {
        let rounds = panel.points().filter(|point| point.is_finite()).map(|point| point.round);
        let (first, last) = rounds
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(first, last), round| {
                (first.min(round), last.max(round))
            });
        let (low, high) = panel.vertical_range();
        Self {
            left,
            right,
            top,
            x: Axis::new(first, last, 5, false),
            y: Axis::new(low, high, 6, true),
        }
    }

    fn at(&self, round: f64, value: f64) -> (f64, f64) {
        let x = self.left + self.x.place(round) * (self.right - self.left);
        (x, self.height(value))
    }

    fn bottom(&self) -> f64 {
        self.top + RISE
    }

    fn height(&self, value: f64) -> f64 {
        self.bottom() - self.y.place(value) * RISE
    }

    fn draw(&self, pen: &Pen<'_>, panel: &Panel) -> Result<(), PlotError> {
        self.axes(pen, panel)?;
        // All bands lie under all lines.
        for (place, line) in panel.series.iter().enumerate() {
            self.band(pen, line, place)?;
        }
        // The first line, the one without noise, lies on top.
        for (place, line) in panel.series.iter().enumerate().rev() {
            self.line(pen, line, place)?;
        }
        Ok(())
    }

    fn axes(&self, pen: &Pen<'_>, panel: &Panel) -> Result<(), PlotError> {
        let heading = Type::bold(14.0, INK);
        pen.text(&panel.heading, (self.left - NUMBERS, self.top - 14.0), heading, HPos::Left)?;
        let numbers = Type::plain(12.0, QUIET);
        let (factor, sign) = match panel.unit {
            Unit::Plain => (1.0, ""),
            Unit::Percent => (100.0, "%"),
        };
        let decimals = self.y.decimals(factor);
        for tick in self.y.ticks() {
            let y = self.height(tick);
            pen.line(&[(self.left, y), (self.right, y)], GRID, 1.0)?;
            let number = format!("{:.decimals$}{sign}", tick * factor);
            pen.text(&number, (self.left - 8.0, y + 4.3), numbers, HPos::Right)?;
        }
        pen.line(&[(self.left, self.bottom()), (self.right, self.bottom())], AXIS, 1.2)?;
        let decimals = self.x.decimals(1.0);
        for tick in self.x.ticks() {
            let (x, _) = self.at(tick, 0.0);
            pen.line(&[(x, self.bottom()), (x, self.bottom() + 5.0)], AXIS, 1.2)?;
            let number = format!("{tick:.decimals$}");
            pen.text(&number, (x, self.bottom() + 19.0), numbers, HPos::Center)?;
        }
        let middle = (self.left + self.right) / 2.0;
        pen.text(&panel.x_label, (middle, self.bottom() + 38.0), numbers, HPos::Center)
    }

    /// The band of a line, where it has one.
    fn band(&self, pen: &Pen<'_>, line: &Series, place: usize) -> Result<(), PlotError> {
        let edges = |point: &Point| point.low.is_finite() && point.high.is_finite();
        for run in line.points.chunk_by(|a, b| edges(a) && edges(b)) {
            if run.len() < 2 || run.iter().all(|point| point.high <= point.low) {
                continue;
            }
            let lower = run.iter().map(|point| self.at(point.round, point.low));
            let upper = run.iter().rev().map(|point| self.at(point.round, point.high));
            pen.polygon(&lower.chain(upper).collect::<Vec<_>>(), color(place), 0.16)?;
        }
        Ok(())
    }

    /// A line, broken where it is not finite, with a dot where it ends.
    fn line(&self, pen: &Pen<'_>, line: &Series, place: usize) -> Result<(), PlotError> {
        for run in line.points.chunk_by(|a, b| a.is_finite() && b.is_finite()) {
            if !run.iter().all(Point::is_finite) {
                continue;
            }
            let path: Vec<_> = run.iter().map(|point| self.at(point.round, point.mean)).collect();
            pen.curve(&path, place, 2.2)?;
            if let Some(&end) = path.last() {
                pen.dot(end, 3.4, color(place))?;
            }
        }
        Ok(())
    }
}

fn color(place: usize) -> RGBColor {
    PALETTE[place % PALETTE.len()]
}

/// A size, weight and colour of type.
#[derive(Clone, Copy)]
struct Type {
    size: f64,
    style: FontStyle,
    color: RGBColor,
}

impl Type {
    const fn plain(size: f64, color: RGBColor) -> Self {
        Self { size, style: FontStyle::Normal, color }
    }

    const fn bold(size: f64, color: RGBColor) -> Self {
        Self { size, style: FontStyle::Bold, color }
    }

    /// The library divides sizes by this when it writes SVG.
    fn font(self) -> FontDesc<'static> {
        FontDesc::new(FontFamily::Name(FONT), self.size * FINE * 1.24, self.style)
    }

    /// Width of `text` on the canvas.
    fn width(self, text: &str) -> Result<f64, PlotError> {
        let font = FontDesc::new(FontFamily::Name(FONT), self.size * FINE, self.style);
        let (width, _) = font.box_size(text).map_err(failed)?;
        // Its measure is of the line's height where SVG's is of the em: 1.362 for this font.
        Ok(f64::from(width) / FINE * 1.362)
    }
}

/// Draws in canvas units.
struct Pen<'a> {
    area: Area<'a>,
}

impl Pen<'_> {
    fn line(&self, path: &[(f64, f64)], color: RGBColor, width: f64) -> Result<(), PlotError> {
        let style = ShapeStyle::from(&color).stroke_width(fine(width) as u32);
        let path: Vec<_> = path.iter().map(|&point| fine_point(point)).collect();
        self.area.draw(&PathElement::new(path, style)).map_err(failed)
    }

    /// A line in the colour of its place; dashed where the colours have come round again.
    fn curve(&self, path: &[(f64, f64)], place: usize, width: f64) -> Result<(), PlotError> {
        if place < PALETTE.len() {
            return self.line(path, color(place), width);
        }
        dashes(path, 4.0, 5.0).iter().try_for_each(|dash| self.line(dash, color(place), width))
    }

    fn polygon(&self, path: &[(f64, f64)], color: RGBColor, alpha: f64) -> Result<(), PlotError> {
        let path: Vec<_> = path.iter().map(|&point| fine_point(point)).collect();
        self.area.draw(&Polygon::new(path, color.mix(alpha).filled())).map_err(failed)
    }

    fn rectangle(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        color: RGBColor,
    ) -> Result<(), PlotError> {
        let corners = [fine_point(from), fine_point(to)];
        self.area.draw(&Rectangle::new(corners, color.filled())).map_err(failed)
    }

    /// A dot with a white rim, so that it stands off the lines that it lies on.
    fn dot(&self, at: (f64, f64), radius: f64, color: RGBColor) -> Result<(), PlotError> {
        let white = RGBColor(255, 255, 255);
        for (radius, color) in [(radius + 1.2, white), (radius, color)] {
            let dot = Circle::new(fine_point(at), fine(radius), color.filled());
            self.area.draw(&dot).map_err(failed)?;
        }
        Ok(())
    }

    /// `text` with its base line at `at`.
    fn text(&self, text: &str, at: (f64, f64), kind: Type, side: HPos) -> Result<(), PlotError> {
        if text.is_empty() {
            return Ok(());
        }
        // The library lifts text by half an x-height (0.268 em for this font).
        let (x, y) = (at.0, at.1 + 0.268 * kind.size);
        let style =
            TextStyle::from(kind.font()).color(&kind.color).pos(Pos::new(side, VPos::Bottom));
        self.area.draw(&Text::new(text.to_owned(), fine_point((x, y)), style)).map_err(failed)
    }
}

fn fine(length: f64) -> i32 {
    (length * FINE).round() as i32
}

fn fine_point((x, y): (f64, f64)) -> (i32, i32) {
    (fine(x), fine(y))
}

fn failed(error: impl Display) -> PlotError {
    PlotError::Draw(error.to_string())
}
