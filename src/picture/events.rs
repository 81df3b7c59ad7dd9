//! Moments with names: lines across the plots, and labels above them that never meet.

use super::Event;
use super::font;
use super::palette::INK;
use super::scale::Scale;
use super::sheet::{MARGIN, RIGHT, Sheet, Type, WIDTH};

/// Beyond this many rows the labels would be higher than a plot.
const ROWS_MAX: usize = 10;

/// Lines nearer than that to each other are a wall.
const EVENTS_MAX: usize = 200;

const ROW: f64 = 18.0;
const LABEL_MAX: f64 = WIDTH / 2.0;

/// A label beside the upper end of its line.
struct Placed {
    /// Of the line.
    x: f64,
    left: f64,
    right: f64,
    /// Counted from the plot upwards; `None` where there was no room.
    row: Option<usize>,
    label: String,
}

/// The labels, from the sheet's height down.
pub(super) fn labels(sheet: &mut Sheet, events: &[Event], time: Scale) {
    let placed = place(events, time);
    let silent = events.len() - placed.iter().filter(|label| label.row.is_some()).count();
    if silent > 0 {
        sheet.paragraph(Type::QUIET, &format!("events without room for a label: {silent}"));
    }
    let rows = placed.iter().filter_map(|label| label.row).max().map_or(0, |row| row + 1);
    let bottom = sheet.y + font::count(rows) * ROW;
    let top = |row: usize| bottom - font::count(row + 1) * ROW;
    let seen = || placed.iter().filter_map(|label| Some((label, top(label.row?))));
    for (label, top) in seen() {
        sheet.line((label.x, top + 2.0), (label.x, bottom), INK);
    }
    for (Placed { left, right, label, .. }, top) in seen() {
        sheet.rectangle((left + 1.0, top + 1.0), (right - left - 2.0, ROW - 3.0), "#ffffff");
        sheet.text((left + 4.0, top + 13.0), Type::SMALL, label);
    }
    sheet.y = bottom;
}

/// The lines of events across one plot.
pub(super) fn lines(sheet: &mut Sheet, events: &[Event], time: Scale, (top, bottom): (f64, f64)) {
    for event in events.iter().take(EVENTS_MAX) {
        let x = time.at(event.at.as_secs_f64());
        sheet.dashed((x, top), (x, bottom), INK);
    }
}

/// From the last event to the first, each goes one row above all labels that it would meet, so that no line crosses a
/// label to the right of it. At the right edge labels end at their line's right.
fn place(events: &[Event], time: Scale) -> Vec<Placed> {
    let mut events: Vec<_> = events.iter().take(EVENTS_MAX).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    let mut placed: Vec<Placed> = Vec::new();
    for event in events {
        let label = font::shorten(&event.label, Type::SMALL.size, LABEL_MAX);
        let x = time.at(event.at.as_secs_f64());
        let width = font::width(&label, Type::SMALL.size) + 8.0;
        let right = (x + width).min(WIDTH - MARGIN).max(x.min(RIGHT));
        let left = right - width;
        let row = placed
            .iter()
            .filter(|other| other.left < right + 4.0 && left < other.right + 4.0)
            .filter_map(|other| other.row)
            .max()
            .map_or(0, |row| row + 1);
        let row = (row < ROWS_MAX && !label.is_empty()).then_some(row);
        placed.push(Placed { x, left, right, row, label });
    }
    placed
}
