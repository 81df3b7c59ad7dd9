//! A connection as a picture: the rate of each subflow, and where in the data each one was.

use std::ops::Range;
use std::time::Duration;

use crate::analysis::series::{Course, Moment, What};
use crate::analysis::{Connection, Series};
use crate::picture::{
    Area, Areas, Axis, Chart, Colour, Event, Layer, Panel, Picture, Point, Segment, Shape, Symbol, Traces,
    Unit, amount,
};
use crate::replay::objects::host;
use crate::track::Side;

/// Rates over less than this part of the time show how a queue sends in bursts, and not how fast a subflow is.
const RATES_MAX: usize = 120;

/// What a picture shows of `connection`: the direction in which more data went. `source` names the capture.
pub fn picture(source: &str, connection: &Connection, series: &Series) -> Picture {
    let sender = [Side::Opener, Side::Acceptor].into_iter().max_by_key(|side| connection.bytes(*side));
    let plot = Plot { connection, series, sender: sender.unwrap_or(Side::Opener) };
    let from_to = connection.first().map(|flow| flow.to_string()).unwrap_or_default();
    Picture {
        title: format!("MPTCP connection {}: what the {} sent", connection.id.0, host(plot.sender)),
        subtitle: format!("{from_to}, {} subflows, from {source}", connection.joined().count()),
        panels: vec![plot.rates(), plot.data()],
        events: series.moments.iter().map(event).collect(),
    }
}

#[derive(Clone, Copy)]
struct Plot<'c> {
    connection: &'c Connection,
    series: &'c Series,
    sender: Side,
}

impl Plot<'_> {
    fn rates(&self) -> Panel {
        let bins = self.courses().map(|(_, course)| course.bytes.at(self.sender).len()).max().unwrap_or(0);
        let merged = bins.div_ceil(RATES_MAX).max(1);
        let bin = self.at(merged);
        let rate = |bytes: &[u64]| amount(bytes.iter().sum::<u64>() * 8) / bin.as_secs_f64();
        let area = |(subflow, course): (usize, &Course)| Area {
            name: self.name(subflow),
            colour: Colour::Series(subflow),
            heights: course.bytes.at(self.sender).chunks(merged).map(rate).collect(),
        };
        Panel {
            title: "How fast: the rate of each subflow, one upon the other".to_owned(),
            chart: Chart::Areas(Areas {
                y: Axis { label: "sent".to_owned(), unit: Unit::BitsPerSecond },
                bin,
                series: self.courses().map(area).collect(),
            }),
        }
    }

    fn data(&self) -> Panel {
        let subflows = self.courses().map(|(subflow, course)| self.of_subflow(subflow, course));
        let behind = std::iter::once(self.acknowledged());
        let before = [self.reinjected(), self.holes()];
        let drawn = |layer: &Layer| match &layer.shape {
            Shape::Segments(segments) => !segments.is_empty(),
            Shape::Symbols(_, points) | Shape::Steps(points) => !points.is_empty(),
            Shape::Bands(bands) => !bands.is_empty(),
        };
        Panel {
            title: "Where in the data: each byte has one place, whichever subflow carries it".to_owned(),
            chart: Chart::Traces(Traces {
                y: Axis { label: "data sent before".to_owned(), unit: Unit::Bytes },
                layers: behind.chain(subflows).chain(before).filter(drawn).collect(),
            }),
        }
    }

    /// The subflows that sent anything.
    fn courses(&self) -> impl Iterator<Item = (usize, &Course)> {
        let sent = |course: &Course| course.bytes.at(self.sender).iter().any(|bytes| *bytes > 0);
        self.series.subflows.iter().enumerate().filter(move |(_, course)| sent(course))
    }

    fn name(&self, subflow: usize) -> String {
        let known = self.connection.subflows.get(subflow);
        let flow = known.map(|known| known.flow.to_string()).unwrap_or_default();
        let share = known.map_or(0.0, |known| self.connection.share(known, self.sender) * 100.0);
        format!("subflow {subflow}, {flow}: {share:.0} %")
    }

    fn at(&self, bin: usize) -> Duration {
        self.series.bin.saturating_mul(u32::try_from(bin).unwrap_or(u32::MAX))
    }

    fn of_subflow(&self, subflow: usize, course: &Course) -> Layer {
        let bins = course.data.at(self.sender).iter().enumerate();
        let segment = |(bin, data): (usize, &Option<Range<u64>>)| {
            let data = data.as_ref()?;
            Some(Segment { at: self.at(bin), from: amount(data.start), to: amount(data.end) })
        };
        Layer {
            name: self.name(subflow),
            colour: Colour::Series(subflow),
            shape: Shape::Segments(bins.filter_map(segment).collect()),
        }
    }

    fn acknowledged(&self) -> Layer {
        let bins = self.series.acked.at(self.sender).iter().enumerate().filter(|(_, upto)| **upto > 0);
        let points = bins.map(|(bin, upto)| Point { at: self.at(bin), y: amount(*upto) });
        Layer {
            name: "received in order, as DATA_ACK says".to_owned(),
            colour: Colour::Ink,
            shape: Shape::Steps(points.collect()),
        }
    }

    fn reinjected(&self) -> Layer {
        let ours = self.series.reinjections.iter().filter(|again| again.by == self.sender);
        let points = ours.map(|again| Point { at: again.at, y: amount(again.data.start) });
        Layer {
            name: "sent again in other segments (reinjection)".to_owned(),
            colour: Colour::Ink,
            shape: Shape::Symbols(Symbol::Circle, points.collect()),
        }
    }

    /// A bar at the end for each stretch that never came.
    fn holes(&self) -> Layer {
        let at = self.connection.span.last.since(self.series.start);
        let holes = self.connection.data.at(self.sender).holes();
        let bars = holes.map(|hole| Segment { at, from: amount(hole.start), to: amount(hole.end) });
        Layer {
            name: "never seen in this capture".to_owned(),
            colour: Colour::Alarm,
            shape: Shape::Segments(bars.collect()),
        }
    }
}

fn event(moment: &Moment) -> Event {
    let Moment { at, subflow, what } = *moment;
    let label = match what {
        What::Joined => format!("{subflow} joined"),
        What::Fin => format!("{subflow} FIN"),
        What::Reset => format!("{subflow} RST"),
        What::Fallback => "plain TCP".to_owned(),
    };
    Event { at, label }
}
