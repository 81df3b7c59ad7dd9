//! Whether a way did what it is there for.

use std::time::Duration;

use crate::lab::boxes::catalogue::{Effect, Kind};
use crate::lab::boxes::measure::{Measured, Outcome};
use crate::lab::boxes::report::{percents, told_micros};
use crate::lab::report::Check;

/// A link that works carries at least so much of what comes; equally fast ones carry half each.
const CARRIES_PERCENT_MIN: u64 = 10;

/// A link that nothing joins carries no more than SYNs and what neighbours tell each other.
const IDLE_PERCENT_MAX: u64 = 1;

/// What a connection may take longer through mpgate than without any box; a lost SYN would cost 1 s.
const DELAY_MAX: Duration = Duration::from_millis(50);

/// Three SYNs, a second apart, go unheard before one without MP_CAPABLE.
const LATE_MIN: Duration = Duration::from_millis(2900);

/// Holds what was measured against what must come of a box; `undisturbed` is the longest that a connection took without
/// one, where that was measured too.
pub(super) fn judge(kind: &Kind, measured: &Measured, undisturbed: Option<u64>) -> Vec<Check> {
    let mut checks = match kind.effect {
        Effect::Works => vec![whole(measured), mptcp(measured), both_links(measured), unharmed(measured)],
        Effect::PlainTcp => vec![whole(measured), plain(measured), one_link(measured)],
        Effect::TurnedOff => vec![whole(measured), late(measured), turned_off(measured)],
        Effect::Refused => vec![refused(measured)],
        Effect::Breaks => vec![mptcp(measured), joined(measured), breaks(measured)],
        Effect::OneLink => vec![whole(measured), mptcp(measured), not_joined(measured), one_link(measured)],
        Effect::Corrupted => vec![mptcp(measured), noticed(measured)],
    };
    if kind.is_gate() {
        checks.extend(transparent(measured, undisturbed.unwrap_or(0)));
    }
    checks
}

fn whole(measured: &Measured) -> Check {
    Check::that("the download comes whole", measured.outcome.told(), measured.outcome == Outcome::Whole)
}

fn mptcp(measured: &Measured) -> Check {
    let expected = format!("{} connections are MPTCP to the server", measured.connects.tried);
    let connections = measured.mptcp.connections;
    Check::that(expected, connections, usize::try_from(connections) == Ok(measured.connects.tried))
}

fn joined(measured: &Measured) -> Check {
    Check::some("joins that the server took", measured.mptcp.joins)
}

fn both_links(measured: &Measured) -> Check {
    let percents = percents(measured.transfer.by_link);
    let passed = percents.iter().all(|percent| *percent >= CARRIES_PERCENT_MIN);
    Check::that(format!("each link carries ≥ {CARRIES_PERCENT_MIN} %"), told_percents(percents), passed)
}

fn one_link(measured: &Measured) -> Check {
    let percents @ [_, second] = percents(measured.transfer.by_link);
    let expected = format!("the second link carries ≤ {IDLE_PERCENT_MAX} %");
    Check::that(expected, told_percents(percents), second <= IDLE_PERCENT_MAX)
}

fn unharmed(measured: &Measured) -> Check {
    Check::exactly("fallbacks to TCP", 0, measured.mptcp.fallbacks)
}

fn plain(measured: &Measured) -> Check {
    Check::exactly("connections that are MPTCP to the server", 0, measured.mptcp.connections)
}

fn not_joined(measured: &Measured) -> Check {
    let (tried, joins) = (measured.mptcp.joins_tried, measured.mptcp.joins);
    Check::that("joins are tried, and none is taken", format!("{tried}, {joins}"), tried > 0 && joins == 0)
}

fn late(measured: &Measured) -> Check {
    let expected = format!("a connection takes ≥ {:.1} s", LATE_MIN.as_secs_f64());
    let worst = measured.connects.worst_micros.unwrap_or(0);
    Check::that(expected, told_micros(worst), Duration::from_micros(worst) >= LATE_MIN)
}

fn turned_off(measured: &Measured) -> Check {
    Check::some("times that the client's host turns MPTCP off", measured.mptcp.turned_off)
}

fn refused(measured: &Measured) -> Check {
    let all = measured.connects.failed == measured.connects.tried;
    let measured_words = format!("{} of {}", measured.connects.failed, measured.connects.tried);
    Check::that("every connection is refused", measured_words, all && measured.outcome == Outcome::Refused)
}

fn breaks(measured: &Measured) -> Check {
    let passed = matches!(measured.outcome, Outcome::Reset | Outcome::Closed | Outcome::Stalled);
    Check::that("the connection is reset, or stands still", measured.outcome.told(), passed)
}

fn noticed(measured: &Measured) -> Check {
    let (errors, fails) = (measured.mptcp.checksum_errors, measured.mptcp.fails);
    let words = format!("{errors}, {fails}");
    Check::that("wrong checksums are noticed, and MP_FAIL is sent", words, errors > 0 && fails > 0)
}

/// mpgate keeps nobody from anything.
fn transparent(measured: &Measured, undisturbed: u64) -> [Check; 3] {
    let delay = measured.connects.worst_micros.unwrap_or(0).saturating_sub(undisturbed);
    let expected = format!("no connection takes > {} ms longer", DELAY_MAX.as_millis());
    [
        Check::exactly(
            "connections that fail",
            0,
            u64::try_from(measured.connects.failed).unwrap_or(u64::MAX),
        ),
        Check::that(expected, told_micros(delay), Duration::from_micros(delay) <= DELAY_MAX),
        Check::exactly("times that the client's host turns MPTCP off", 0, measured.mptcp.turned_off),
    ]
}

fn told_percents([first, second]: [u64; 2]) -> String {
    format!("{first} %, {second} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::boxes::catalogue::KINDS;
    use crate::lab::boxes::measure::{Connects, Counts, Transfer};

    /// As without a box: six connections, one join, a whole download over both links.
    fn works() -> Measured {
        Measured {
            connects: Connects { tried: 6, failed: 0, median_micros: Some(300), worst_micros: Some(900) },
            outcome: Outcome::Whole,
            transfer: Transfer { received: 1000, millis: 1, by_link: [500, 500] },
            mptcp: Counts { connections: 6, joins_tried: 1, joins: 1, ..Counts::default() },
        }
    }

    fn plain() -> Measured {
        let transfer = Transfer { by_link: [1000, 0], ..works().transfer };
        Measured { transfer, mptcp: Counts::default(), ..works() }
    }

    fn late() -> Measured {
        let connects = Connects { worst_micros: Some(3_050_000), ..works().connects };
        Measured { connects, mptcp: Counts { turned_off: 1, ..Counts::default() }, ..plain() }
    }

    fn refused() -> Measured {
        let connects = Connects { failed: 6, median_micros: None, worst_micros: None, ..works().connects };
        let transfer = Transfer::default();
        Measured { connects, outcome: Outcome::Refused, transfer, mptcp: Counts::default() }
    }

    fn stalled() -> Measured {
        Measured { outcome: Outcome::Stalled, ..works() }
    }

    fn not_joined() -> Measured {
        let mptcp = Counts { joins: 0, ..works().mptcp };
        Measured { mptcp, transfer: plain().transfer, ..works() }
    }

    fn corrupted() -> Measured {
        let mptcp = Counts { checksum_errors: 2, fails: 2, ..works().mptcp };
        Measured { mptcp, ..stalled() }
    }

    /// Which of those pass for the box of that name.
    fn passing(name: &str) -> Vec<usize> {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let all = [works(), plain(), late(), refused(), stalled(), not_joined(), corrupted()];
        let passes = |measured: &Measured| judge(kind, measured, Some(300)).iter().all(|check| check.passed);
        (0..).zip(&all).filter(|(_, measured)| passes(measured)).map(|(at, _)| at).collect()
    }

    #[test]
    fn each_box_must_show_its_own_harm() {
        assert_eq!(passing("none"), [0]);
        assert_eq!(passing("strips-all"), [1, 2]);
        assert_eq!(passing("drops-syn"), [2]);
        assert_eq!(passing("resets-syn"), [3]);
        assert_eq!(passing("strips-later"), [4, 6]);
        assert_eq!(passing("drops-joins"), [5]);
        assert_eq!(passing("rewrites-payload"), [6]);
    }

    #[test]
    fn mpgate_may_neither_delay_nor_turn_anything_off() {
        assert_eq!(passing("mpgate-default"), [0]);
        assert_eq!(passing("mpgate-strip-all"), [1]);
        let gate = KINDS.iter().find(|kind| kind.name == "mpgate-default").unwrap();
        for (worst, passed) in [(50_300, true), (50_301, false)] {
            let connects = Connects { worst_micros: Some(worst), ..works().connects };
            let checks = judge(gate, &Measured { connects, ..works() }, Some(300));
            assert_eq!(checks.iter().all(|check| check.passed), passed, "{checks:?}");
        }
    }
}
