//! Points, segments, lines and bands over time, one layer before the other.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use super::font::count;
use super::legend::{self, Entry, Look, SWATCH};
use super::palette::Colour;
use super::plot::{Plot, Timed};
use super::scale::{Axis, finite, range};
use super::sheet::{Sheet, Type, short};

/// A plot is 1084 units wide: with this many marks in each column of one unit, a layer keeps below 13 008 marks and,
/// with the largest symbol, 600 kB. The least and the greatest of a column are always among them.
const MARKS_PER_COLUMN_MAX: usize = 12;

/// Hollow symbols that are nearer to each other are a black heap, through which one sees nothing.
const HOLLOW_APART: f64 = 6.0;

/// More than a legend can explain.
const LAYERS_MAX: usize = 32;

/// Of segments, in units of the picture; series behind other series are so much broader, each and at most.
const LINE: f64 = 2.6;
const BROADER_ONE: f64 = 2.6;
const BROADER_ALL: f64 = 8.0;

/// Layers in one plot; later ones lie before earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// What the height is.
    pub y: Axis,
    /// From the rearmost; from the 33rd on they are counted, and not drawn.
    pub layers: Vec<Layer>,
}

/// What is drawn alike, and means the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// For the legend; an empty name has no entry there.
    pub name: String,
    /// Of all of it.
    pub colour: Colour,
    /// What is drawn.
    pub shape: Shape,
}

/// How a layer is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A short vertical bar each, from one value to another.
    Segments(Vec<Segment>),
    /// A symbol each.
    Symbols(Symbol, Vec<Point>),
    /// A line that keeps each value until the next, such as what was acknowledged.
    Steps(Vec<Point>),
    /// Shades from one moment to another, over the whole height.
    Bands(Vec<Range<Duration>>),
}

/// A value at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Since the start.
    pub at: Duration,
    /// In the axis' base unit.
    pub y: f64,
}

/// A range of values at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Since the start.
    pub at: Duration,
    /// One end, in the axis' base unit.
    pub from: f64,
    /// The other end.
    pub to: f64,
}

/// What stands for a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// Small and full.
    Dot,
    /// A hollow circle, through which one sees what it marks.
    Circle,
    /// Two crossing lines.
    Cross,
    /// A hollow square.
    Square,
    /// A hollow triangle.
    Triangle,
}

impl Traces {
    pub(super) fn end(&self) -> Duration {
        self.layers.iter().take(LAYERS_MAX).map(|layer| layer.shape.end()).max().unwrap_or_default()
    }

    pub(super) fn draw(&self, sheet: &mut Sheet, timed: &Timed<'_>) {
        let layers = self.layers.get(..LAYERS_MAX).unwrap_or(&self.layers);
        let widths = widths(layers);
        let entries: Vec<_> = layers
            .iter()
            .zip(&widths)
            .map(|(layer, width)| Entry { look: Look::Trace(layer, *width), name: &layer.name })
            .collect();
        legend::draw(sheet, &entries);
        let silent = self.layers.len() - layers.len();
        if silent > 0 {
            sheet.paragraph(Type::QUIET, &format!("and {silent} more, which are not drawn"));
        }
        let values = range(layers.iter().flat_map(|layer| layer.shape.values()));
        timed.plot(sheet, &self.y, values.unwrap_or((0.0, 0.0)), |sheet, plot| {
            for (layer, width) in layers.iter().zip(&widths) {
                layer.draw(sheet, plot, *width);
            }
        });
    }
}

/// Subflows take turns faster than a picture can show, so their segments fall on the same spots: of several series the
/// rear ones are broader, and stay visible at both sides of those before them.
fn widths(layers: &[Layer]) -> Vec<f64> {
    let is_series = |layer: &Layer| matches!((layer.colour, &layer.shape), (Colour::Series(_), Shape::Segments(segments)) if !segments.is_empty());
    let series = layers.iter().filter(|layer| is_series(layer)).count();
    let broader = (BROADER_ALL / count(series.max(2) - 1)).min(BROADER_ONE);
    let mut before = series;
    let width = |layer: &Layer| {
        if is_series(layer) {
            before -= 1;
            LINE + broader * count(before)
        } else {
            LINE
        }
    };
    layers.iter().map(width).collect()
}

impl Shape {
    fn end(&self) -> Duration {
        let end = match self {
            Self::Segments(segments) => segments.iter().map(|segment| segment.at).max(),
            Self::Symbols(_, points) | Self::Steps(points) => points.iter().map(|point| point.at).max(),
            Self::Bands(bands) => bands.iter().map(|band| band.end).max(),
        };
        end.unwrap_or_default()
    }

    fn values(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::Segments(segments) => {
                Box::new(segments.iter().flat_map(|segment| [segment.from, segment.to]))
            }
            Self::Symbols(_, points) | Self::Steps(points) => Box::new(points.iter().map(|point| point.y)),
            Self::Bands(_) => Box::new(std::iter::empty()),
        }
    }
}

impl Layer {
    fn draw(&self, sheet: &mut Sheet, plot: Plot, width: f64) {
        let colour = self.colour;
        match &self.shape {
            Shape::Segments(segments) => {
                let spots = segments.iter().filter_map(|segment| {
                    let (from, to) = (plot.y.at(finite(segment.from)?), plot.y.at(finite(segment.to)?));
                    Some(Spot::new(plot.x.at(segment.at.as_secs_f64()), from.min(to), from.max(to)))
                });
                sheet.stroke(bars(&thinned(joined(spots.collect()))), width, colour);
            }
            Shape::Symbols(symbol, points) => {
                let mut spots = thinned(distinct(spots(points, plot)));
                if *symbol != Symbol::Dot {
                    spots = apart(&spots);
                }
                let path =
                    spots.iter().fold(String::new(), |path, spot| path + &symbol.path((spot.x, spot.top)));
                sheet.stroke(path, symbol.width(), colour);
            }
            Shape::Steps(points) => sheet.curve(steps(&spots(points, plot), plot), colour),
            Shape::Bands(bands) => {
                for (left, right) in bands_apart(bands, plot) {
                    sheet.shade((left, plot.top), (right - left, plot.bottom - plot.top), colour);
                }
            }
        }
    }

    /// The shape beside its sentence.
    pub(super) fn swatch(&self, sheet: &mut Sheet, (x, middle): (f64, f64), width: f64) {
        let colour = self.colour;
        let centre = x + SWATCH / 2.0;
        match &self.shape {
            Shape::Segments(_) => {
                let spot = |x: f64| Spot { x, top: middle - 4.0, bottom: middle + 4.0 };
                let path = bars(&[spot(centre - 9.0), spot(centre), spot(centre + 9.0)]);
                sheet.stroke(path, width, colour);
            }
            Shape::Symbols(symbol, _) => sheet.stroke(symbol.path((centre, middle)), symbol.width(), colour),
            Shape::Steps(_) => {
                let (low, high, end) = (middle + 4.0, middle - 4.0, x + SWATCH);
                sheet.curve(format!("M{x} {low}H{centre}V{high}H{end}"), colour);
            }
            Shape::Bands(_) => sheet.shade((x, middle - 6.0), (SWATCH, 12.0), colour),
        }
    }
}

impl Symbol {
    fn width(self) -> f64 {
        match self {
            Self::Dot => 4.0,
            Self::Circle | Self::Cross | Self::Square | Self::Triangle => 1.5,
        }
    }

    fn path(self, (x, y): (f64, f64)) -> String {
        let (x, y) = (short(x), short(y));
        match self {
            // A line of no length is left out by some painters.
            Self::Dot => format!("M{x} {y}h.1"),
            Self::Circle => format!("M{x} {y}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0"),
            Self::Cross => format!("M{x} {y}m-4-4l8 8m0-8l-8 8"),
            Self::Square => format!("M{x} {y}m-4-4h8v8h-8z"),
            Self::Triangle => format!("M{x} {y}m0-5l5 8.5h-10z"),
        }
    }
}

/// Where something is drawn, to half a unit, which is one pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spot {
    x: f64,
    top: f64,
    bottom: f64,
}

impl Spot {
    fn new(x: f64, top: f64, bottom: f64) -> Self {
        let half = |place: f64| (place * 2.0).round() / 2.0;
        Self { x: half(x), top: half(top), bottom: half(bottom) }
    }
}

fn spots(points: &[Point], plot: Plot) -> Vec<Spot> {
    points
        .iter()
        .filter_map(|point| {
            let y = plot.y.at(finite(point.y)?);
            Some(Spot::new(plot.x.at(point.at.as_secs_f64()), y, y))
        })
        .collect()
}

fn sorted(mut spots: Vec<Spot>) -> Vec<Spot> {
    spots.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.top.total_cmp(&b.top)));
    spots
}

fn distinct(spots: Vec<Spot>) -> Vec<Spot> {
    let mut spots = sorted(spots);
    spots.dedup();
    spots
}

/// Segments that touch on the picture are one.
fn joined(spots: Vec<Spot>) -> Vec<Spot> {
    let mut joined: Vec<Spot> = Vec::new();
    for spot in sorted(spots) {
        match joined.last_mut() {
            Some(last) if last.x == spot.x && spot.top <= last.bottom + 0.5 => {
                last.bottom = last.bottom.max(spot.bottom);
            }
            Some(_) | None => joined.push(spot),
        }
    }
    joined
}

/// Of columns that are fuller than [`MARKS_PER_COLUMN_MAX`], the outermost and some between.
fn thinned(spots: Vec<Spot>) -> Vec<Spot> {
    let mut spots = spots;
    spots.sort_by(|a, b| a.x.floor().total_cmp(&b.x.floor()).then(a.top.total_cmp(&b.top)));
    let thin = |column: &[Spot]| -> Vec<Spot> {
        if column.len() <= MARKS_PER_COLUMN_MAX {
            return column.to_vec();
        }
        let lowest = column.iter().max_by(|a, b| a.bottom.total_cmp(&b.bottom)).copied();
        let each = column.len().div_ceil(MARKS_PER_COLUMN_MAX - 1);
        column.iter().step_by(each).copied().chain(lowest).collect()
    };
    spots.chunk_by(|a, b| a.x.floor() == b.x.floor()).flat_map(thin).collect()
}

/// Of spots in the order of their columns, those that are not too near to one before them.
fn apart(spots: &[Spot]) -> Vec<Spot> {
    let mut apart: Vec<Spot> = Vec::new();
    for spot in spots {
        // A column is a unit wide, and not in order itself.
        let near = apart.iter().rev().take_while(|one| spot.x - one.x < HOLLOW_APART + 1.0);
        let mut near = near.filter(|one| (spot.x - one.x).hypot(spot.top - one.top) < HOLLOW_APART);
        if near.next().is_none() {
            apart.push(*spot);
        }
    }
    apart
}

fn bars(spots: &[Spot]) -> String {
    let mut path = String::new();
    for spot in spots {
        let length = (spot.bottom - spot.top).max(0.1);
        // Writing into a String cannot fail.
        let _always_ok = write!(path, "M{} {}v{}", short(spot.x), short(spot.top), short(length));
    }
    path
}

/// A line in the order of time; in each column of half a unit its first, least, greatest and last value.
fn steps(spots: &[Spot], plot: Plot) -> String {
    let mut spots = spots.to_vec();
    spots.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut path = String::new();
    for column in spots.chunk_by(|a, b| a.x == b.x) {
        let tops = || column.iter().map(|spot| spot.top);
        let (Some(first), Some(last)) = (column.first(), column.last()) else { continue };
        let (high, low) = range(tops()).unwrap_or((first.top, first.top));
        // Writing into a String cannot fail.
        let _always_ok = if path.is_empty() {
            write!(path, "M{} {}", short(first.x), short(first.top))
        } else {
            write!(path, "H{}V{}", short(first.x), short(first.top))
        };
        for y in [high, low, last.top] {
            if column.len() > 1 {
                let _always_ok = write!(path, "V{}", short(y));
            }
        }
    }
    // The last value holds to the end.
    if !path.is_empty() {
        let _always_ok = write!(path, "H{}", short(plot.x.at(f64::MAX)));
    }
    path
}

/// Left and right edges; bands that touch on the picture are one, and none is too narrow to be seen.
fn bands_apart(bands: &[Range<Duration>], plot: Plot) -> Vec<(f64, f64)> {
    let mut edges: Vec<_> = bands
        .iter()
        .map(|band| {
            let left = plot.x.at(band.start.as_secs_f64());
            (left, plot.x.at(band.end.as_secs_f64()).max(left + 1.5))
        })
        .collect();
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut apart: Vec<(f64, f64)> = Vec::new();
    for (left, right) in edges {
        match apart.last_mut() {
            Some(last) if left <= last.1 => last.1 = last.1.max(right),
            Some(_) | None => apart.push((left, right)),
        }
    }
    apart
}
