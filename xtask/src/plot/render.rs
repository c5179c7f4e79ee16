//! From the drawn SVG to the two pictures that are kept.

use plotters::style::{FontStyle, register_font};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, WriteOptions, fontdb};

use super::PlotError;

/// The name under which the embedded font is known.
pub(super) const FONT: &str = "Noto Sans";

/// Pixels of the PNG to the unit of the canvas.
const PIXELS: f32 = 2.0;

/// Makes the embedded font known to the drawing code, which measures text with it.
pub(super) fn register_fonts() {
    for (style, bytes) in
        [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)]
    {
        // The fonts are embedded and sound; were they not, measuring would fail and say so.
        let _ = register_font(FONT, style, bytes);
    }
}

/// A drawn figure, its text turned into outlines.
pub(super) struct Picture {
    tree: Tree,
}

impl Picture {
    pub(super) fn new(svg: &str) -> Result<Self, PlotError> {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
        fonts.load_font_data(notosans::BOLD_TTF.to_vec());
        let options = Options {
            font_family: FONT.to_owned(),
            fontdb: std::sync::Arc::new(fonts),
            ..Options::default()
        };
        let tree =
            Tree::from_str(svg, &options).map_err(|error| PlotError::Draw(error.to_string()))?;
        Ok(Self { tree })
    }

    /// The SVG, without any text that would need a font.
    pub(super) fn svg(&self) -> String {
        let options = WriteOptions {
            preserve_text: false,
            coordinates_precision: 3,
            transforms_precision: 5,
            ..WriteOptions::default()
        };
        self.tree.to_string(&options)
    }

    /// The PNG, on white.
    pub(super) fn png(&self) -> Result<Vec<u8>, PlotError> {
        let size = self.tree.size();
        let pixels = |length: f32| (length * PIXELS).round() as u32;
        let mut canvas = Pixmap::new(pixels(size.width()), pixels(size.height()))
            .ok_or_else(|| PlotError::Draw("the canvas is empty".to_owned()))?;
        canvas.fill(resvg::tiny_skia::Color::WHITE);
        resvg::render(&self.tree, Transform::from_scale(PIXELS, PIXELS), &mut canvas.as_mut());
        canvas.encode_png().map_err(|error| PlotError::Draw(error.to_string()))
    }
}
