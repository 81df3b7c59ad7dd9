//! The pixels of an SVG.

use std::sync::Arc;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{Options, Tree};

use super::{PictureError, font};

/// Pixels a unit.
const SCALE: f32 = 2.0;

/// 2400 pixels wide, this takes 150 MB while it is painted.
pub(super) const HEIGHT_MAX: u32 = 16_000;

pub(super) fn png(svg: &str) -> Result<Vec<u8>, PictureError> {
    let tree = tree(svg)?;
    let whole = tree.size().to_int_size();
    let size = whole.scale_by(SCALE).unwrap_or(whole);
    let too_high = || PictureError::TooHigh(size.height());
    if size.height() > HEIGHT_MAX {
        return Err(too_high());
    }
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(too_high)?;
    pixels.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PictureError::Unpacked(error.to_string()))
}

/// Text is set in the font that we carry, whatever the machine has.
pub(super) fn tree(svg: &str) -> Result<Tree, PictureError> {
    let mut fonts = Database::new();
    fonts.load_font_source(Source::Binary(Arc::new(font::bytes())));
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    Tree::from_str(svg, &options).map_err(PictureError::Unpainted)
}
