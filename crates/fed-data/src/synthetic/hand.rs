//! What one writer's hand looks like, and how it writes a digit.
//!
//! A hand is drawn once a writer: which way of writing each digit, how far its control points lie
//! from the textbook's, slant, turn, size, place on the paper, pen and pressure. Every digit then
//! varies a little around the hand. The spreads below are tuned so that the tutorial's network
//! learns these writers about as slowly as it learns real ones; see the crate's README.

use super::draws::Draws;
use super::glyphs::{ALLOGRAPHS, Allograph, MOST_POINTS};
use super::raster::Canvas;

/// Spreads (standard deviations) between writers, and within one writer's digits.
struct Spread {
    /// Control points, as a fraction of the box.
    points: f32,
    /// Sideways shift for each pixel of height.
    slant: f32,
    /// Tangent of the turn.
    turn: f32,
    /// Size, as a fraction.
    size: f32,
    /// Width over height, as a fraction.
    aspect: f32,
    /// Place, in pixels.
    place: f32,
    /// Radius of the pen, as a fraction.
    pen: f32,
}

const BETWEEN: Spread = Spread {
    points: 0.055,
    slant: 0.22,
    turn: 0.07,
    size: 0.11,
    aspect: 0.14,
    place: 0.9,
    pen: 0.26,
};

const WITHIN: Spread = Spread {
    points: 0.032,
    slant: 0.08,
    turn: 0.05,
    size: 0.07,
    aspect: 0.09,
    place: 0.8,
    pen: 0.08,
};

/// Mean height of a digit, in pixels.
const HEIGHT: f32 = 18.5;
/// Mean radius of the pen, in pixels.
const PEN: f32 = 1.15;
/// Mean slant: most people lean to the right.
const SLANT: f32 = 0.12;
/// Where the middle of the picture lies.
const MIDDLE: f32 = 13.5;

/// How one writer writes one digit.
#[derive(Clone, Copy)]
struct Habit {
    way: &'static Allograph,
    points: [[f32; 2]; MOST_POINTS],
    size: f32,
    aspect: f32,
}

/// How one writer writes.
pub(super) struct Hand {
    habits: [Habit; 10],
    slant: f32,
    turn: f32,
    size: f32,
    aspect: f32,
    place: [f32; 2],
    pen: f32,
    edge: f32,
    ink: f32,
    roundness: f32,
}

impl Hand {
    /// Draws a hand.
    pub(super) fn new(draws: &mut Draws) -> Self {
        let habits = std::array::from_fn(|digit| {
            let way = choose(ALLOGRAPHS[digit], draws);
            let mut points = [[0.0; 2]; MOST_POINTS];
            for (point, &(x, y)) in points.iter_mut().zip(way.strokes.iter().copied().flatten()) {
                *point = [x + BETWEEN.points * draws.normal(), y + BETWEEN.points * draws.normal()];
            }
            Habit {
                way,
                points,
                size: 1.0 + 0.05 * draws.normal(),
                aspect: 1.0 + 0.10 * draws.normal(),
            }
        });
        Self {
            habits,
            slant: SLANT + BETWEEN.slant * draws.normal(),
            turn: BETWEEN.turn * draws.normal(),
            size: 1.0 + BETWEEN.size * draws.normal(),
            aspect: 1.0 + BETWEEN.aspect * draws.normal(),
            place: [BETWEEN.place * draws.normal(), BETWEEN.place * draws.normal()],
            pen: PEN * (1.0 + BETWEEN.pen * draws.normal()),
            edge: 0.9 + 0.5 * draws.uniform(),
            ink: 0.88 + 0.12 * draws.uniform(),
            roundness: 0.44 + 0.14 * draws.uniform(),
        }
    }

    /// Writes `digit` once, into a picture of 28 by 28 bytes: 255 paper, 0 ink.
    pub(super) fn write(&self, digit: u8, draws: &mut Draws, canvas: &mut Canvas, out: &mut [u8]) {
        let habit = &self.habits[usize::from(digit)];
        let slant = self.slant + WITHIN.slant * draws.normal();
        let turn = self.turn + WITHIN.turn * draws.normal();
        let height = HEIGHT * self.size * habit.size * (1.0 + WITHIN.size * draws.normal());
        let aspect = self.aspect * habit.aspect * (1.0 + WITHIN.aspect * draws.normal());
        let width = height * habit.way.aspect * aspect;
        let place = self.place.map(|place| MIDDLE + place + WITHIN.place * draws.normal());
        let pen = (self.pen * (1.0 + WITHIN.pen * draws.normal())).max(0.45);
        // Cosine and sine of the turn, from its tangent.
        let cosine = 1.0 / (1.0 + turn * turn).sqrt();
        let sine = turn * cosine;

        let reach = pen + 0.5 * self.edge;
        canvas.clear();
        let mut next = 0;
        for stroke in habit.way.strokes {
            let mut points = [[0.0; 2]; MOST_POINTS];
            for point in &mut points[..stroke.len()] {
                let [x, y] = habit.points[next];
                next += 1;
                let x = (x + WITHIN.points * draws.normal() - 0.5) * width;
                let y = (y + WITHIN.points * draws.normal() - 0.5) * height;
                let x = x - slant * y;
                *point = [place[0] + cosine * x - sine * y, place[1] + sine * x + cosine * y];
            }
            canvas.stroke(&points[..stroke.len()], self.roundness, reach);
        }
        canvas.develop(pen, self.edge, self.ink, out);
    }
}

/// Picks a way by weight.
fn choose(ways: &'static [Allograph], draws: &mut Draws) -> &'static Allograph {
    let mut ticket = draws.below(ways.iter().map(|way| way.weight).sum());
    for way in ways {
        if ticket < way.weight {
            return way;
        }
        ticket -= way.weight;
    }
    &ways[0]
}
