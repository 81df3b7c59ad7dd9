//! The plot of a panel over time: axes, gridlines, and the time that all of them share.

use super::palette::GRID;
use super::scale::{Axis, Ends, Place, Ruler, Scale, Unit};
use super::sheet::{Anchor, LEFT, RIGHT, SMALL, Sheet, Type};
use super::{Chart, Event, Picture, events};

const HEIGHT: f64 = 270.0;

/// From the start to the last thing drawn.
pub(super) struct TimeAxis {
    ruler: Ruler,
    heading: String,
}

/// What a panel over time needs to know of the others.
pub(super) struct Timed<'a> {
    pub(super) time: &'a TimeAxis,
    pub(super) events: &'a [Event],
    /// Labels of events stand above the first,
    pub(super) first: bool,
    /// and what the time is counted in below the last.
    pub(super) last: bool,
}

/// Where data goes.
#[derive(Clone, Copy)]
pub(super) struct Plot {
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl TimeAxis {
    pub(super) fn of(picture: &Picture) -> Self {
        let ends = picture.panels.iter().map(|panel| match &panel.chart {
            Chart::Areas(areas) => areas.end(),
            Chart::Traces(traces) => traces.end(),
            Chart::Bars(_) => std::time::Duration::ZERO,
        });
        let end = ends.chain(picture.events.iter().map(|event| event.at)).max().unwrap_or_default();
        let axis = Axis { label: "time since the start".to_owned(), unit: Unit::Seconds };
        let place = Place { start: LEFT, end: RIGHT, ticks: 12.0 };
        let range = (0.0, end.as_secs_f64());
        Self { ruler: Ruler::new(&axis.unit, range, Ends::Tight, place), heading: axis.heading(range) }
    }
}

impl Timed<'_> {
    /// Axes and grid; `draw` puts the data between grid and events.
    pub(super) fn plot(
        &self,
        sheet: &mut Sheet,
        axis: &Axis,
        range: (f64, f64),
        draw: impl FnOnce(&mut Sheet, Plot),
    ) {
        sheet.paragraph(Type::QUIET, &axis.heading(range));
        if self.first {
            events::labels(sheet, self.events, self.time.ruler.scale);
        }
        let (top, bottom) = (sheet.y + 8.0, sheet.y + 8.0 + HEIGHT);
        let y = Ruler::new(&axis.unit, range, Ends::Round, Place { start: bottom, end: top, ticks: 6.0 });
        let x = &self.time.ruler;
        for (place, text) in &y.ticks {
            sheet.line((LEFT, *place), (RIGHT, *place), GRID);
            let style = Type { anchor: Anchor::End, ..Type::QUIET };
            sheet.text((LEFT - 8.0, place + SMALL * 0.36), style, text);
        }
        for (place, text) in &x.ticks {
            sheet.line((*place, top), (*place, bottom + 5.0), GRID);
            let style = Type { anchor: Anchor::Middle, ..Type::QUIET };
            sheet.text((*place, bottom + 19.0), style, text);
        }
        draw(sheet, Plot { x: x.scale, y: y.scale, top, bottom });
        sheet.frame(top, bottom);
        // From the labels on, lines go through to the plot.
        let from = if self.first { top - 8.0 } else { top };
        events::lines(sheet, self.events, x.scale, (from, bottom));
        sheet.y = bottom + 26.0;
        if self.last {
            let style = Type { anchor: Anchor::Middle, ..Type::QUIET };
            sheet.text((f64::midpoint(LEFT, RIGHT), sheet.y + 12.0), style, &self.time.heading);
            sheet.y += 18.0;
        }
    }
}
