//! Where on the way something happens: between two hops, from what became of the same segment at each of them.

use crate::probe::echo::Echoes;
use crate::probe::questions::Trace;
use crate::probe::quote::Why;
use crate::probe::shot::{Fate, Kept, Quoted};
use crate::wire::Segment;

/// Behind one hop, and at the latest at another; hop 0 is this host. What is absent is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) after_hop: Option<u8>,
    pub(super) by_hop: Option<u8>,
}

/// Something that is left of a segment, as a router quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Options,
    Payload,
}

impl Part {
    const fn of(self, quoted: &Quoted) -> Kept {
        match self {
            Self::Options => quoted.options,
            Self::Payload => quoted.payload,
        }
    }
}

impl Place {
    /// Somewhere.
    pub(super) const UNKNOWN: Self = Self { after_hop: None, by_hop: None };
}

/// Where that part of the segments is first not as it was sent, and what is left of it; `None` where that is not seen.
pub(super) fn changed(trace: &Trace, part: Part) -> Option<(Place, Kept)> {
    let mut after = 0;
    for (&hop, fate) in trace {
        let Fate::Quoted(quoted) = fate else { continue };
        match part.of(quoted) {
            Kept::Whole => after = hop,
            Kept::Untold => {}
            kept @ (Kept::FirstGone | Kept::Changed | Kept::Gone) => {
                return Some((Place { after_hop: Some(after), by_hop: Some(hop) }, kept));
            }
        }
    }
    None
}

/// The last hop that quotes that part as it was sent.
pub(super) fn whole_until(trace: &Trace, part: Part) -> Option<u8> {
    let whole = |fate: &Fate| matches!(fate, Fate::Quoted(quoted) if part.of(quoted) == Kept::Whole);
    trace.iter().rev().find(|(_, fate)| whole(fate)).map(|(&hop, _)| hop)
}

/// Where segments vanish that others, of `plain`, are not lost to.
pub(super) fn lost(trace: &Trace, plain: &Trace) -> Place {
    if trace.is_empty() {
        return Place::UNKNOWN;
    }
    let after = trace.iter().rev().find(|(_, fate)| **fate != Fate::Silent).map_or(0, |(&hop, _)| hop);
    let by = plain.iter().find(|(hop, fate)| **hop > after && **fate != Fate::Silent).map(|(&hop, _)| hop);
    Place { after_hop: Some(after), by_hop: by }
}

/// Where a segment is answered by a RST; `distance` is where the target is, which sends one too.
pub(super) fn reset(trace: &Trace, distance: Option<u8>) -> Place {
    let resets = |fate: &Fate| matches!(fate, Fate::Answered(reply) if reply.segment == Segment::Rst);
    if trace.is_empty() {
        return Place::UNKNOWN;
    }
    let by = trace.iter().find(|(_, fate)| resets(fate)).map(|(&hop, _)| hop).or(distance);
    let after = trace
        .iter()
        .rev()
        .find(|(hop, fate)| matches!(fate, Fate::Quoted(_)) && by.is_none_or(|by| **hop < by));
    Place { after_hop: Some(after.map_or(0, |(&hop, _)| hop)), by_hop: by }
}

/// Which hop brings back what it remembers: the first one that a SYN has to reach to be brought back.
pub(super) fn echoed(echoes: &Echoes) -> Place {
    let Some((&by, _)) = echoes.iter().find(|(_, echoed)| **echoed) else { return Place::UNKNOWN };
    let after = echoes.range(..by).next_back().map_or(0, |(&hop, _)| hop);
    Place { after_hop: Some(after), by_hop: Some(by) }
}

/// At which hop the router is that says so.
pub(super) fn refused_by(quoted: &Quoted, plain: &Trace) -> Place {
    let at = plain.iter().find(|(_, fate)| matches!(fate, Fate::Quoted(other) if other.router == quoted.router && other.why == Why::HopLimit));
    let by = at.map(|(&hop, _)| hop);
    Place { after_hop: by.map(|hop| hop.saturating_sub(1)), by_hop: by }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judge::samples::{answered, quoted, trace};
    use crate::probe::shot::Fate::Silent;

    const fn place(after: u8, by: u8) -> Place {
        Place { after_hop: Some(after), by_hop: Some(by) }
    }

    #[test]
    fn a_change_lies_between_the_last_whole_quote_and_the_first_other_one() {
        use Kept::{Gone, Untold, Whole};
        for (kept, at) in [
            (vec![Whole, Whole, Gone], Some(place(2, 3))),
            (vec![Whole, Untold, Gone, Gone], Some(place(1, 3))),
            (vec![Gone, Gone], Some(place(0, 1))),
            (vec![Whole, Whole, Whole], None),
            (vec![Untold, Untold], None),
        ] {
            let trace = trace(kept.iter().map(|kept| quoted(*kept)));
            assert_eq!(changed(&trace, Part::Options).map(|(place, _)| place), at, "{kept:?}");
        }
        let mute = trace([quoted(Whole), Silent, quoted(Gone)]);
        assert_eq!(changed(&mute, Part::Options), Some((place(1, 3), Gone)));
    }

    #[test]
    fn a_loss_lies_before_the_first_hop_that_plain_segments_reach() {
        let whole = || quoted(Kept::Whole);
        let plain = trace([whole(), whole(), Silent, whole(), answered(Segment::SynAck)]);
        assert_eq!(lost(&trace([whole(), whole()]), &plain), place(2, 4));
        assert_eq!(lost(&trace([whole(), whole(), Silent, Silent]), &plain), place(2, 4));
        assert_eq!(lost(&trace([Silent, Silent]), &plain), place(0, 1));
        assert_eq!(lost(&Trace::new(), &plain), Place::UNKNOWN, "nothing was sent");
        assert_eq!(lost(&trace([whole(), whole(), Silent, whole()]), &plain), place(4, 5));
    }

    #[test]
    fn a_reset_comes_from_before_the_first_hop_that_it_comes_in_place_of() {
        let whole = || quoted(Kept::Whole);
        let reset_at = |fates: Vec<Fate>| reset(&trace(fates), Some(5));
        assert_eq!(
            reset_at(vec![whole(), whole(), answered(Segment::Rst), answered(Segment::Rst)]),
            place(2, 3)
        );
        assert_eq!(reset_at(vec![answered(Segment::Rst)]), place(0, 1));
        assert_eq!(reset_at(vec![whole(), whole(), whole(), whole()]), place(4, 5));
    }

    #[test]
    fn who_echoes_is_before_the_first_hop_that_has_to_be_reached() {
        assert_eq!(echoed(&Echoes::from([(1, false), (2, false), (3, true), (4, true)])), place(2, 3));
        assert_eq!(echoed(&Echoes::from([(1, true)])), place(0, 1));
        assert_eq!(echoed(&Echoes::from([(1, false), (2, false)])), Place::UNKNOWN);
    }
}
