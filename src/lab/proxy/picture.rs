//! The download as a picture: the rate of each interface over time, and what happened.

use std::time::Duration;

use bytesize::ByteSize;

use crate::lab::counters::LinkBytes;
use crate::lab::proxy::Report;
use crate::lab::proxy::course::Look;
use crate::lab::proxy::moment::{Moment, seconds};
use crate::picture::{Area, Areas, Axis, Chart, Colour, Event, Panel, Picture, Unit, amount};

/// Rates over less than this part of the time show how a queue sends in bursts.
const BINS_MAX: u64 = 120;
/// Two looks, so that none falls between two bins.
const BIN_MIN: Duration = Duration::from_millis(100);

/// What each interface received over time.
pub fn picture(report: &Report) -> Picture {
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    let (size, took) = (ByteSize(report.received).display().si(), seconds(report.millis));
    let names: Vec<_> = report.links.iter().map(|link| link.name).collect();
    let bin = (Duration::from_millis(report.millis / BINS_MAX)).max(BIN_MIN);
    let areas = |(at, link): (usize, &&'static str)| Area {
        name: (*link).to_owned(),
        colour: Colour::Series(at),
        heights: rates(&report.looks, bin, |links| links.get(at).copied().unwrap_or(0)),
    };
    let event = |moment: &Moment| Event { at: Duration::from_millis(moment.millis), label: moment.label() };
    Picture {
        title: format!("One download over {}", names.join(" and ")),
        subtitle: format!(
            "{size} in {took} over {}: curl, mpgate, HAProxy, nginx; Linux {kernel}",
            report.family.name()
        ),
        panels: vec![Panel {
            title: "How fast: the rate of each interface, one upon the other".to_owned(),
            chart: Chart::Areas(Areas {
                y: Axis { label: "received".to_owned(), unit: Unit::BitsPerSecond },
                bin,
                series: names.iter().enumerate().map(areas).collect(),
            }),
        }],
        events: report.events.iter().map(event).collect(),
    }
}

/// Bits a second in each bin; between two looks bytes came evenly.
fn rates(looks: &[Look], bin: Duration, of: impl Fn(LinkBytes) -> u64) -> Vec<f64> {
    let end = looks.last().map(|look| look.at).unwrap_or_default();
    let bins = u32::try_from(end.as_nanos().div_ceil(bin.as_nanos().max(1))).unwrap_or(0);
    let came = |at: Duration| {
        let next = looks.partition_point(|look| look.at <= at);
        let before = next.checked_sub(1).and_then(|before| looks.get(before)).copied().unwrap_or_default();
        let Some(after) = looks.get(next) else { return amount(of(before.links)) };
        let part = (at - before.at).as_secs_f64() / (after.at - before.at).as_secs_f64();
        let [low, high] = [before, *after].map(|look| amount(of(look.links)));
        low + (high - low) * part
    };
    let rate = |number: u32| {
        let (from, to) = (bin * number, (bin * (number + 1)).min(end));
        (came(to) - came(from)) * 8.0 / (to - from).as_secs_f64()
    };
    (0..bins).map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_between_looks_have_their_part_of_the_bytes() {
        let look =
            |millis, bytes| Look { at: Duration::from_millis(millis), received: bytes, links: [bytes, 0] };
        let looks = [look(0, 0), look(200, 2000), look(300, 2000), look(350, 3000)];
        let rates = rates(&looks, Duration::from_millis(100), |[first, _]| first);
        let rounded: Vec<_> = rates.iter().map(|rate| rate.round()).collect();
        assert_eq!(rounded, [80_000.0, 80_000.0, 0.0, 160_000.0]);
    }
}
