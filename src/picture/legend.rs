//! What each symbol of a panel stands for: the very symbol, and a sentence.

use super::font;
use super::palette::Colour;
use super::sheet::{MARGIN, Sheet, Type, WIDTH};
use super::traces::Layer;

/// How wide a symbol may be.
pub(super) const SWATCH: f64 = 28.0;
const BETWEEN: f64 = 28.0;
const ROOM: f64 = WIDTH - 2.0 * MARGIN;

/// One symbol and its sentence.
pub(super) struct Entry<'a> {
    pub(super) look: Look<'a>,
    pub(super) name: &'a str,
}

/// What is drawn before the sentence.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    Area(Colour),
    /// With the width of its lines.
    Trace(&'a Layer, f64),
}

/// Draws what has a name, in as many columns as fit.
pub(super) fn draw(sheet: &mut Sheet, entries: &[Entry<'_>]) {
    let named: Vec<_> = entries.iter().filter(|entry| !entry.name.trim().is_empty()).collect();
    let widths: Vec<_> = named.iter().map(|entry| font::width(entry.name, Type::SMALL.size)).collect();
    let columns = columns(&widths);
    for row in named.chunks(columns.len().max(1)) {
        let mut x = MARGIN;
        let mut lines = 1;
        for (entry, width) in row.iter().zip(&columns) {
            swatch(sheet, entry.look, x);
            let room = width.min(ROOM - SWATCH - 8.0) + 1.0;
            let text = font::wrap(entry.name, Type::SMALL.size, room);
            lines = lines.max(text.len());
            let mut y = sheet.y + 13.0;
            for line in text {
                sheet.text((x + SWATCH + 8.0, y), Type::SMALL, &line);
                y += Type::SMALL.leading();
            }
            x += SWATCH + 8.0 + width + BETWEEN;
        }
        sheet.y += Type::SMALL.leading() * font::count(lines);
    }
    sheet.y += 6.0;
}

/// The widths of columns, of the most that stand beside each other when entries fill row after row.
fn columns(widths: &[f64]) -> Vec<f64> {
    let of = |number: usize| -> Vec<f64> {
        (0..number)
            .map(|column| widths.iter().skip(column).step_by(number).copied().fold(0.0, f64::max))
            .collect()
    };
    let fits = |columns: &Vec<f64>| {
        let all: f64 = columns.iter().map(|width| SWATCH + 8.0 + width + BETWEEN).sum();
        all - BETWEEN <= ROOM
    };
    (2..=widths.len().min(4)).rev().map(of).find(fits).unwrap_or_else(|| of(1))
}

fn swatch(sheet: &mut Sheet, look: Look<'_>, x: f64) {
    let middle = sheet.y + 8.5;
    match look {
        Look::Area(colour) => {
            let (top, bottom) = (middle - 6.0, middle + 6.0);
            sheet.area(format!("M{x} {top}H{}V{bottom}H{x}Z", x + SWATCH), colour);
        }
        Look::Trace(layer, width) => layer.swatch(sheet, (x, middle), width),
    }
}
