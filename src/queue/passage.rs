//! How a packet that is let through leaves the queue, and what the rules save of its connection.

use crate::engine::{Decision, Findings};
use crate::marks;
use crate::mptcp::{Subtype, SubtypeSet};
use crate::queue::verdicts::Answer;
use crate::wire::Segment;

/// By which answer the packet passes, and the mark that it gets where it is another than it has. It goes back to the rules where
/// they asked and are to save something else on its connection than what they told.
pub(super) fn passage(decision: &Decision, before: u32) -> (Answer, Option<u32>) {
    const BACK: u32 = marks::ASKED | marks::ANSWERED;
    let told = before & marks::SAVED;
    let to_save = decision.findings.map_or(told, |findings| to_save(findings, told));
    let (answer, mark) = if before & BACK == marks::ASKED && to_save != told {
        (Answer::Repeat, before & !marks::OWN | to_save | BACK)
    } else {
        (Answer::Accept, before & !BACK)
    };
    let mark = decision.mark.map_or(mark, |by_rule| by_rule.set(mark));
    (answer, (mark != before).then_some(mark))
}

/// What is to be saved on a connection that has what is `told`. Going by the rules again costs nearly as much as coming to the
/// queue, so [`marks::DECIDED`] is saved only by a packet of those that it spares.
fn to_save(findings: Findings, told: u32) -> u32 {
    let Findings { segment, subtypes, watched, decided, .. } = findings;
    let spared = matches!(segment, Segment::Ack | Segment::Data)
        && [SubtypeSet::EMPTY, SubtypeSet::only(Subtype::Dss)].contains(&subtypes);
    match (watched, decided) {
        // The flow is over, and its marks go with it.
        _ if segment == Segment::Rst => told,
        (false, true) => 0,
        (false, false) => told,
        (true, true) if spared => marks::WATCHED | marks::DECIDED,
        (true, _) => told | marks::WATCHED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Ingress, Mode};
    use crate::rules::RuleSet;
    use crate::time::Timestamp;
    use crate::track::{Limits, Standing};
    use crate::wire::{Endpoint, Flow};

    const WATCHED: u32 = marks::WATCHED;
    const BOTH: u32 = marks::WATCHED | marks::DECIDED;

    fn findings(segment: Segment, subtypes: SubtypeSet, watched: bool, decided: bool) -> Findings {
        let end = Endpoint { addr: [192, 0, 2, 1].into(), port: 443 };
        Findings {
            flow: Flow { src: end, dst: end },
            segment,
            subtypes,
            version: None,
            standing: Standing::KnownConnection,
            connection: None,
            subflow: None,
            watched,
            decided,
        }
    }

    #[test]
    fn a_handshake_and_the_end_of_its_connection_change_nothing_that_the_rules_saved_at_the_syn() {
        let capable = SubtypeSet::only(Subtype::MpCapable);
        for (segment, subtypes, decided) in [
            (Segment::Syn, capable, false),
            (Segment::SynAck, capable, false),
            (Segment::Ack, capable, true),
            (Segment::Data, capable, true),
            (Segment::Fin, SubtypeSet::only(Subtype::Dss), true),
            (Segment::Rst, SubtypeSet::EMPTY, true),
        ] {
            let found = findings(segment, subtypes, true, decided);
            assert_eq!(to_save(found, WATCHED), WATCHED, "{segment:?}");
            assert_eq!(to_save(found, BOTH), BOTH, "{segment:?}");
        }
    }

    #[test]
    fn what_would_come_again_and_again_for_its_flow_comes_once() {
        for subtypes in [SubtypeSet::EMPTY, SubtypeSet::only(Subtype::Dss)] {
            assert_eq!(to_save(findings(Segment::Ack, subtypes, true, true), WATCHED), BOTH);
            assert_eq!(to_save(findings(Segment::Ack, subtypes, true, false), WATCHED), WATCHED);
        }
    }

    #[test]
    fn a_flow_that_is_nobodys_is_let_go_once_no_handshake_is_under_way() {
        for segment in [Segment::Syn, Segment::SynAck, Segment::Ack, Segment::Data, Segment::Fin] {
            let of = |decided| findings(segment, SubtypeSet::EMPTY, false, decided);
            assert_eq!((to_save(of(true), BOTH), to_save(of(false), WATCHED)), (0, WATCHED), "{segment:?}");
        }
    }

    #[test]
    fn packets_go_by_the_rules_again_only_where_these_asked_and_have_something_to_save() {
        let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
        let unread = engine.decide(Timestamp::ZERO, &Ingress::default(), &[]);
        let unknown = Decision {
            findings: Some(findings(Segment::Ack, SubtypeSet::EMPTY, false, true)),
            ..unread.clone()
        };
        let asked = marks::ASKED | 7;
        let back = marks::ASKED | marks::ANSWERED | 7;
        assert_eq!(passage(&unknown, asked | WATCHED), (Answer::Repeat, Some(back)));
        assert_eq!(passage(&unknown, asked), (Answer::Accept, Some(7)));
        assert_eq!(passage(&unknown, WATCHED | 7), (Answer::Accept, None), "rules that do not ask");
        assert_eq!(passage(&unknown, back | WATCHED), (Answer::Accept, Some(WATCHED | 7)), "twice is enough");
        assert_eq!(passage(&unread, asked | WATCHED), (Answer::Accept, Some(WATCHED | 7)));
    }
}
