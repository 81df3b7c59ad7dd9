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

/// Round trips that take as long are rare, and Linux sends again after 0.2 s of silence.
const STALL: Duration = Duration::from_millis(300);

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
        let behind = [self.acknowledged(), self.stalls()].into_iter();
        let before = [self.reinjected(), self.holes()];
        let drawn = |layer: &Layer| match &layer.shape {
            Shape::Segments(segments) => !segments.is_empty(),
            Shape::Symbols(_, points) | Shape::Steps(points) => !points.is_empty(),
            Shape::Bands(bands) => !bands.is_empty(),
        };
        Panel {
            title: "Where in the data: each byte has one place, whichever subflow carries it".to_owned(),
            chart: Chart::Traces(Traces {
                y: Axis { label: "place in the data".to_owned(), unit: Unit::Bytes },
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
        format!("subflow {subflow}, {flow}: {share:.0} % of the bytes")
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

    /// Shades where data is on its way and no DATA_ACK says that more has come.
    fn stalls(&self) -> Layer {
        let courses = || self.series.subflows.iter().map(|course| course.data.at(self.sender));
        let bins = courses().map(Vec::len).max().unwrap_or(0);
        let end = |bin: usize| courses().filter_map(move |data| Some(data.get(bin)?.as_ref()?.end)).max();
        let sent: Vec<_> = (0..bins).map(|bin| end(bin).unwrap_or(0)).collect();
        let stalls = standstills(&sent, self.series.acked.at(self.sender));
        let bands = stalls.into_iter().map(|stall| self.at(stall.start)..self.at(stall.end));
        Layer {
            name: "nothing more came in order for 0.3 s or longer (stall)".to_owned(),
            colour: Colour::Alarm,
            shape: Shape::Bands(bands.filter(|band| band.end - band.start >= STALL).collect()),
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

/// The bins in which data is on its way and no more of it is acknowledged; 0 is nothing new.
fn standstills(sent: &[u64], acked: &[u64]) -> Vec<Range<usize>> {
    let bins = sent.len().max(acked.len());
    let of = |bins: &[u64], bin: usize| bins.get(bin).copied().unwrap_or(0);
    let (mut highest, mut upto, mut since) = (0, 0, None);
    let mut stalls = Vec::new();
    for bin in 0..bins {
        highest = highest.max(of(sent, bin));
        if of(acked, bin) > upto {
            upto = of(acked, bin);
            stalls.extend(since.take().map(|since| since..bin));
        }
        if upto < highest {
            since.get_or_insert(bin);
        }
    }
    stalls.extend(since.map(|since| since..bins));
    stalls
}

fn event(moment: &Moment) -> Event {
    let Moment { at, subflow, what } = *moment;
    let label = match what {
        What::Joined => format!("subflow {subflow} joined"),
        What::Fin => format!("subflow {subflow}: FIN"),
        What::Reset => format!("subflow {subflow}: RST"),
        What::Fallback => "fell back to plain TCP".to_owned(),
    };
    Event { at, label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stands_still_while_what_it_sent_is_not_acknowledged() {
        // Sent, acknowledged two bins later, idle, sent again, and acknowledged in part, then not at all.
        let sent = [10, 0, 0, 0, 0, 30, 0, 0, 0];
        let acked = [0, 0, 10, 10, 0, 0, 0, 20];
        assert_eq!(standstills(&sent, &acked), vec![0..2, 5..7, 7..9]);
        assert!(standstills(&[10, 20, 30], &[10, 20, 30]).is_empty());
        assert!(standstills(&[], &[5]).is_empty());
    }
}
