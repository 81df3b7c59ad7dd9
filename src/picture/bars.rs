//! Values beside each other as horizontal bars, for what is measured rather than watched.

use super::font;
use super::palette::{Colour, FRAME, GRID, QUIET};
use super::scale::{self, Axis, Ends, Place, Ruler, finite};
use super::sheet::{Anchor, MARGIN, SMALL, Sheet, Type, WIDTH};

const ROW: f64 = 26.0;

/// More are a table.
const BARS_MAX: usize = 100;

const NAME_MAX: f64 = 420.0;

/// Values of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// What is measured.
    pub x: Axis,
    /// From the top; from the 101st on they are counted, and not drawn.
    pub bars: Vec<Bar>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What was measured; longer than a third of the picture it is cut.
    pub name: String,
    /// In the axis' base unit; below zero the bar has no length.
    pub value: f64,
    /// Of the bar.
    pub colour: Colour,
}

impl Bars {
    pub(super) fn draw(&self, sheet: &mut Sheet) {
        let bars = self.bars.get(..BARS_MAX).unwrap_or(&self.bars);
        let silent = self.bars.len() - bars.len();
        let width = |name: &str| font::width(name, SMALL);
        let names = bars.iter().map(|bar| width(&bar.name)).fold(0.0, f64::max).min(NAME_MAX);
        let said = |bar: &Bar| {
            finite(bar.value).map_or_else(|| "no value".to_owned(), |value| self.x.unit.value(value))
        };
        let values = bars.iter().map(|bar| width(&said(bar))).fold(0.0, f64::max);
        let (start, end) = (MARGIN + names + 12.0, WIDTH - MARGIN - values - 12.0);
        let (_, highest) = scale::range(bars.iter().map(|bar| bar.value)).unwrap_or_default();
        let range = (0.0, highest.max(0.0));
        let ruler = Ruler::new(&self.x.unit, range, Ends::Tight, Place { start, end, ticks: 8.0 });
        let top = sheet.y + 4.0;
        let bottom = top + ROW * font::count(bars.len().max(1));
        for (place, text) in &ruler.ticks {
            sheet.line((*place, top), (*place, bottom + 5.0), GRID);
            let style = Type { anchor: Anchor::Middle, ..Type::QUIET };
            sheet.text((*place, bottom + 19.0), style, text);
        }
        let mut middle = top + ROW / 2.0;
        for bar in bars {
            let style = Type { anchor: Anchor::End, ..Type::SMALL };
            let name = font::shorten(&bar.name, SMALL, NAME_MAX);
            sheet.text((start - 10.0, middle + SMALL * 0.36), style, &name);
            let length = ruler.scale.at(finite(bar.value).unwrap_or(0.0)) - start;
            sheet.rectangle((start, middle - 8.0), (length, 16.0), bar.colour.hex());
            let style = Type { colour: QUIET, ..Type::SMALL };
            sheet.text((start + length + 8.0, middle + SMALL * 0.36), style, &said(bar));
            middle += ROW;
        }
        sheet.line((start, top), (start, bottom), FRAME);
        sheet.y = bottom + 26.0;
        let style = Type { anchor: Anchor::Middle, ..Type::QUIET };
        sheet.text((f64::midpoint(start, end), sheet.y + 12.0), style, &self.x.heading(range));
        sheet.y += 18.0;
        if silent > 0 {
            sheet.paragraph(Type::QUIET, &format!("and {silent} more, which are not drawn"));
        }
    }
}
