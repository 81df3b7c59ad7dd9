//! How a download went: bytes by each link over time, what happened when, and what follows from it.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use crate::lab::counters::LinkBytes;
use crate::lab::proxy::difference;
use crate::lab::proxy::moment::{Moment, What, millis};
use crate::lab::report::Check;
use crate::lab::world::{Link, Links};

/// Looks that are kept: an hour and a half of them, which is longer than any download may take.
const LOOKS_MAX: usize = 100_000;

/// Moments that are kept; two cuts and three joins are usual.
const MOMENTS_MAX: usize = 100;

/// A link that works carries at least so much of what comes while both do; equally fast ones carry half each.
const CARRIES_PERCENT_MIN: u64 = 25;

/// A link that is back carries at least so much of what still comes: it begins slowly.
const BACK_PERCENT_MIN: u64 = 10;

/// SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Digests {
    /// Of the file that was served.
    pub file: String,
    /// Of what curl wrote, where it came to its end.
    pub received: Option<String>,
}

/// What was seen at one look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) at: Duration,
    /// Bytes of the file.
    pub(super) received: u64,
    /// Bytes by each link, headers and all.
    pub(super) links: LinkBytes,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub(super) struct Course {
    bytes: u64,
    pub(super) looks: Vec<Look>,
    pub(super) moments: Vec<Moment>,
    pub(super) sha256: Digests,
}

impl Course {
    /// Of a file of that many bytes; nothing happened yet.
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, looks: Vec::new(), moments: Vec::new(), sha256: Digests::default() }
    }

    /// So much came by then.
    pub(super) fn look(&mut self, at: Duration, received: u64, links: LinkBytes) {
        if self.looks.len() < LOOKS_MAX {
            self.looks.push(Look { at, received, links });
        }
    }

    /// Something happened at the last look.
    pub(super) fn happened(&mut self, what: What, link: Option<&'static str>) -> Moment {
        let Look { at, received, links } = self.last();
        let moment = Moment { millis: millis(at), what, link, received, links };
        if self.moments.len() < MOMENTS_MAX {
            self.moments.push(moment.clone());
        }
        moment
    }

    /// The last look.
    pub(super) fn last(&self) -> Look {
        self.looks.last().copied().unwrap_or_default()
    }

    /// When it happened first.
    pub(super) fn when(&self, what: What) -> Option<&Moment> {
        self.moments.iter().find(|moment| moment.what == what)
    }

    /// How many joins the gate accepted.
    pub(super) fn joins(&self) -> u64 {
        let joins = self.moments.iter().filter(|moment| moment.what == What::JoinAccepted);
        u64::try_from(joins.count()).unwrap_or(u64::MAX)
    }

    /// Bytes by each link while both were up.
    pub(super) fn both_up(&self) -> LinkBytes {
        let Some(cut) = self.when(What::LinkCut) else { return self.last().links };
        let after = self.after_cut().unwrap_or_default();
        let mut links = cut.links;
        links.iter_mut().zip(after).for_each(|(before, after)| *before += after);
        links
    }

    fn after_cut(&self) -> Option<LinkBytes> {
        self.when(What::LinkBack).map(|back| difference(self.last().links, back.links))
    }

    /// All of it came, as it is.
    pub(super) fn whole(&self) -> Check {
        let same = self.sha256.received.as_ref() == Some(&self.sha256.file);
        let expected = format!("{} arrive with their SHA-256", ByteSize(self.bytes).display().si());
        let received = self.last().received;
        let measured = format!("{received} bytes, {}", if same { "the same" } else { "another one" });
        Check::that(expected, measured, received == self.bytes && same)
    }

    /// Whether both links did their part, and the one that was cut did it again.
    pub(super) fn judge(&self, links: &Links, cut: Option<&Link>) -> Vec<Check> {
        let up = self.both_up();
        let mut checks: Vec<_> = links
            .iter()
            .zip(up)
            .map(|(link, bytes)| {
                let expected = format!("while both are up, {} carries ≥ {CARRIES_PERCENT_MIN} %", link.name);
                let percent = percent(bytes, up);
                Check::that(expected, format!("{percent} %"), percent >= CARRIES_PERCENT_MIN)
            })
            .collect();
        let joins = if cut.is_some() { 2 } else { 1 };
        let accepted = self.joins();
        checks.push(Check::that(
            format!("joins that the gate accepts: at least {joins}"),
            accepted,
            accepted >= joins,
        ));
        if let Some(cut) = cut {
            let while_cut = self.when(What::LinkBack).map(|back| back.received);
            let at_cut = self.when(What::LinkCut).map(|cut| cut.received);
            let went_on = while_cut.unwrap_or(0).saturating_sub(at_cut.unwrap_or(0));
            let expected = format!("the download goes on without {}", cut.name);
            checks.push(Check::that(expected, ByteSize(went_on).display().si(), went_on > 0));
            let after = self.after_cut().unwrap_or_default();
            let again = links.iter().zip(after).find(|(link, _)| link.name == cut.name);
            let again = percent(again.map_or(0, |(_, bytes)| bytes), after);
            let expected = format!("once it is back, {} carries ≥ {BACK_PERCENT_MIN} %", cut.name);
            checks.push(Check::that(expected, format!("{again} %"), again >= BACK_PERCENT_MIN));
        }
        checks
    }
}

/// The share of one link in what came by both, rounded.
pub(super) fn percent(bytes: u64, of: LinkBytes) -> u64 {
    let all = of.iter().sum::<u64>().max(1);
    (bytes.saturating_mul(100) + all / 2) / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::laptop_links;

    fn course(looks: &[(u64, u64, LinkBytes)]) -> Course {
        let mut course = Course::new(1000);
        for (at, received, links) in looks {
            course.look(Duration::from_secs(*at), *received, *links);
            match at {
                2 => drop(course.happened(What::LinkCut, Some("wlan0"))),
                3 => drop(course.happened(What::LinkBack, Some("wlan0"))),
                _ => drop(course.happened(What::JoinAccepted, None)),
            }
        }
        course
    }

    fn failed(course: &Course) -> Vec<String> {
        let links = laptop_links(100);
        let checks = course.judge(&links, links.last());
        checks.into_iter().filter(|check| !check.passed).map(|check| check.expected).collect()
    }

    #[test]
    fn what_comes_while_a_link_is_cut_is_nobodys_share() {
        let course = course(&[
            (1, 200, [100, 100]),
            (2, 400, [200, 200]),
            (3, 600, [400, 200]),
            (4, 1000, [600, 400]),
        ]);
        assert_eq!(course.both_up(), [400, 400]);
        assert_eq!(failed(&course), [""; 0]);
    }

    #[test]
    fn a_link_that_never_comes_back_is_noticed() {
        let course = course(&[
            (1, 200, [100, 100]),
            (2, 400, [200, 200]),
            (3, 600, [400, 200]),
            (4, 1000, [800, 200]),
        ]);
        assert_eq!(failed(&course), ["once it is back, wlan0 carries ≥ 10 %"]);
    }

    #[test]
    fn a_link_that_carries_little_is_noticed() {
        let course =
            course(&[(1, 200, [180, 20]), (2, 400, [360, 40]), (3, 600, [560, 40]), (4, 1000, [900, 100])]);
        assert_eq!(failed(&course), ["while both are up, wlan0 carries ≥ 25 %"]);
    }

    #[test]
    fn another_digest_is_another_file() {
        let mut course = course(&[(1, 1000, [500, 500])]);
        for (came, passed) in [("ab", true), ("ac", false)] {
            course.sha256 = Digests { file: "ab".to_owned(), received: Some(came.to_owned()) };
            assert_eq!(course.whole().passed, passed);
        }
    }
}
