//! How wide text is, and how it is broken or cut to fit.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// The family inside [`bytes`]; Verdana is as wide, the others are narrower.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

/// Titles have some lines; more is no title.
const LINES_MAX: usize = 6;

/// Free to embed (Bitstream Vera licence).
pub(super) fn bytes() -> &'static [u8] {
    dejavu::sans::regular()
}

/// In units of the picture, at this font size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    // What the font lacks is drawn by another one, up to a square wide.
    let Ok(font) = FontRef::new(bytes()) else { return size * count(text.chars().count()) };
    let metrics = font.glyph_metrics(Size::new(1000.0), LocationRef::default());
    let charmap = font.charmap();
    let thousandths: f64 = text
        .chars()
        .map(|c| charmap.map(c).and_then(|glyph| metrics.advance_width(glyph)).map_or(1000.0, f64::from))
        .sum();
    thousandths / 1000.0 * size
}

/// The text in lines no wider than this, broken between words, and within words that are wider; at most six lines.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size) <= room {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if lines.len() > LINES_MAX {
            break;
        }
        line = break_word(word, size, room, &mut lines);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        if let Some(last) = lines.last_mut() {
            *last = shorten(&format!("{last} …"), size, room);
        }
    }
    lines
}

/// Full lines go to `lines`; what is left begins the next one.
fn break_word(word: &str, size: f64, room: f64, lines: &mut Vec<String>) -> String {
    let mut line = String::new();
    for c in word.chars() {
        if lines.len() > LINES_MAX {
            break;
        }
        line.push(c);
        if width(&line, size) > room && line.chars().count() > 1 {
            line.pop();
            lines.push(std::mem::replace(&mut line, c.to_string()));
        }
    }
    line
}

/// The text, or as much of its beginning as there is room for.
pub(super) fn shorten(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.trim_end_matches('…').chars() {
        if width(&format!("{cut}{c}…"), size) > room {
            break;
        }
        cut.push(c);
    }
    format!("{}…", cut.trim_end())
}

/// A number of things, to calculate with.
pub(super) fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::from(u32::MAX), f64::from)
}
