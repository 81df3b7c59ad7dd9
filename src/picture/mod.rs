//! Closet: charts as pictures, SVG or PNG, which a newcomer can read without the manual.
//!
//! A picture is panels below each other. Those over time share one axis, from the start to the last thing drawn, and
//! the events of the picture cross them all. What is no finite number is not drawn.
//!
//! Both formats show the same: a PNG is the SVG, painted with the font that the program carries, since servers have
//! none. All text is measured with that font, which is wider than what most viewers put in its place, so it stays where
//! there is room for it.
//!
//! Pictures are bounded, however much they are given: what falls on one spot is drawn once, and the file of the fullest
//! panel keeps below some megabytes.

mod font;
mod palette;
mod scale;
mod sheet;
mod legend;
mod events;
mod plot;
mod areas;
mod traces;
mod bars;
mod raster;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use areas::{Area, Areas};
pub use bars::{Bar, Bars};
pub use palette::Colour;
pub use scale::{Axis, Unit, amount};
pub use traces::{Layer, Point, Segment, Shape, Symbol, Traces};

use plot::{TimeAxis, Timed};
use sheet::Sheet;

/// What is drawn, from top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What it shows, in a few words.
    pub title: String,
    /// Where it comes from: the capture, the connection, when.
    pub subtitle: String,
    /// The charts.
    pub panels: Vec<Panel>,
    /// What happened when, across all charts over time.
    pub events: Vec<Event>,
}

/// One chart with its title.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What one sees in it, best as a sentence.
    pub title: String,
    /// What is drawn.
    pub chart: Chart,
}

/// What a panel can show.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// Amounts over time, one upon the other.
    Areas(Areas),
    /// Points, segments, lines and bands over time, one before the other.
    Traces(Traces),
    /// Values beside each other, without time.
    Bars(Bars),
}

/// A moment with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the start.
    pub at: Duration,
    /// A few words; a label longer than half the picture is cut.
    pub label: String,
}

/// How a picture is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Vectors, small, with text that can be searched and copied.
    Svg,
    /// Pixels, for what shows no SVG.
    Png,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The name says neither format.
    #[error("{}: the name must end in .svg or .png, which says what is written", .0.display())]
    UnknownFormat(PathBuf),
    /// More panels or legends than a PNG can hold; SVG has no such limit.
    #[error("the picture is {0} pixels high, and a PNG holds {max}: write it as .svg", max = raster::HEIGHT_MAX)]
    TooHigh(u32),
    /// The painter did not read what was drawn, which is our defect.
    #[error("the picture could not be painted")]
    Unpainted(#[source] resvg::usvg::Error),
    /// The pixels could not be packed.
    #[error("the picture could not be packed as PNG: {0}")]
    Unpacked(String),
}

impl Format {
    /// What the end of a file's name asks for, in large or small letters.
    pub fn of(path: &Path) -> Result<Self, PictureError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(PictureError::UnknownFormat(path.to_owned())),
        }
    }
}

impl Picture {
    /// The bytes of the whole file.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, PictureError> {
        match format {
            Format::Svg => Ok(self.svg().into_bytes()),
            Format::Png => self.png(),
        }
    }

    /// A whole SVG document, 1200 units wide and as high as it needs.
    pub fn svg(&self) -> String {
        let mut sheet = Sheet::new(&self.title, &self.subtitle);
        let time = TimeAxis::of(self);
        let is_timed = |panel: &Panel| !matches!(panel.chart, Chart::Bars(_));
        let first = self.panels.iter().position(is_timed);
        let last = self.panels.iter().rposition(is_timed);
        for (at, panel) in self.panels.iter().enumerate() {
            let timed =
                Timed { time: &time, events: &self.events, first: first == Some(at), last: last == Some(at) };
            sheet.panel_title(&panel.title);
            match &panel.chart {
                Chart::Areas(areas) => areas.draw(&mut sheet, &timed),
                Chart::Traces(traces) => traces.draw(&mut sheet, &timed),
                Chart::Bars(bars) => bars.draw(&mut sheet),
            }
        }
        sheet.finish()
    }

    /// The same as pixels, two a unit (2400 wide), which is sharp on fine screens and on paper.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        raster::png(&self.svg())
    }
}

#[cfg(test)]
mod tests;
