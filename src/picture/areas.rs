//! Amounts over time, one upon the other, in bins of one width.

use std::fmt::Write as _;
use std::time::Duration;

use super::font::count;
use super::legend::{self, Entry, Look};
use super::palette::Colour;
use super::plot::{Plot, Timed};
use super::scale::{Axis, finite};
use super::sheet::{Sheet, short};

/// More bins than that are narrower than a unit of the picture; neighbours are drawn as their mean, which keeps the
/// area, so bytes stay bytes.
const BINS_MAX: usize = 1000;

/// Thrice the colours; what comes after is drawn as one.
const SERIES_MAX: usize = 24;

/// Series upon each other; the first is the lowest.
#[derive(Clone, Debug, PartialEq)]
pub struct Areas {
    /// What the height is.
    pub y: Axis,
    /// How long each bin lasts.
    pub bin: Duration,
    /// From the lowest; from the 25th on they are drawn together, as others.
    pub series: Vec<Area>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// For the legend; an empty name has no entry there.
    pub name: String,
    /// Usually [`Colour::Series`].
    pub colour: Colour,
    /// One height a bin, from the start; what is below zero counts as zero.
    pub heights: Vec<f64>,
}

impl Areas {
    pub(super) fn end(&self) -> Duration {
        let bins = self.series.iter().map(|area| area.heights.len()).max().unwrap_or(0);
        self.bin.saturating_mul(u32::try_from(bins).unwrap_or(u32::MAX))
    }

    pub(super) fn draw(&self, sheet: &mut Sheet, timed: &Timed<'_>) {
        let bins = self.series.iter().map(|area| area.heights.len()).max().unwrap_or(0);
        let merged = bins.div_ceil(BINS_MAX).max(1);
        let own = self.series.iter().take(SERIES_MAX);
        let mut layers: Vec<(Colour, Vec<f64>)> =
            own.clone().map(|area| (area.colour, means(&area.heights, merged))).collect();
        let mut entries: Vec<_> =
            own.map(|area| Entry { look: Look::Area(area.colour), name: &area.name }).collect();
        let others = self.series.get(SERIES_MAX..).unwrap_or_default();
        let others_name = format!("{} others together", others.len());
        if !others.is_empty() {
            let mut sum = Vec::new();
            others.iter().for_each(|area| add(&mut sum, &means(&area.heights, merged)));
            layers.push((Colour::Muted, sum));
            entries.push(Entry { look: Look::Area(Colour::Muted), name: &others_name });
        }
        let mut total = Vec::new();
        layers.iter().for_each(|(_, heights)| add(&mut total, heights));
        let highest = total.iter().copied().fold(0.0, f64::max);
        legend::draw(sheet, &entries);
        timed.plot(sheet, &self.y, (0.0, highest), |sheet, plot| {
            let width = self.bin.as_secs_f64() * count(merged);
            let mut below = Vec::new();
            for (colour, heights) in layers {
                let mut above = below.clone();
                add(&mut above, &heights);
                sheet.area(outline(plot, width, (&below, &above)), colour);
                below = above;
            }
        });
    }
}

fn means(heights: &[f64], merged: usize) -> Vec<f64> {
    let drawn = |height: &f64| finite(*height).unwrap_or(0.0).max(0.0);
    heights.chunks(merged).map(|bins| bins.iter().map(drawn).sum::<f64>() / count(merged)).collect()
}

fn add(sum: &mut Vec<f64>, heights: &[f64]) {
    if sum.len() < heights.len() {
        sum.resize(heights.len(), 0.0);
    }
    for (sum, height) in sum.iter_mut().zip(heights) {
        *sum += height;
    }
}

/// Forward along the upper edge, in steps, and back along the lower one.
fn outline(plot: Plot, width: f64, (below, above): (&[f64], &[f64])) -> String {
    let mut path = format!("M{} {}", short(plot.x.at(0.0)), short(plot.bottom));
    let x = |bin: usize| short(plot.x.at(count(bin) * width));
    // Writing into a String cannot fail.
    for (bin, height) in above.iter().enumerate() {
        let _always_ok = write!(path, "V{}H{}", short(plot.y.at(*height)), x(bin + 1));
    }
    for bin in (0..above.len()).rev() {
        let height = below.get(bin).copied().unwrap_or(0.0);
        let _always_ok = write!(path, "V{}H{}", short(plot.y.at(height)), x(bin));
    }
    path.push('Z');
    path
}
