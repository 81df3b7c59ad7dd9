//! How a conversation went, from the segments that were seen of it.

use crate::mptcp::option::{Capable, Proof};
use crate::mptcp::{Key, MptcpOption, Subtype};
use crate::probe::shot::Reply;
use crate::probe::tap::{Seen, Sight};
use crate::wire::{Flow, Segment};

/// Segments in a row without an option of MPTCP that mean a fallback: a stack may leave it out of one, for want of room.
const MUTE_MIN: usize = 2;

/// What was seen of a connection; no part of it is a guess.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// Our SYN had MP_CAPABLE.
    pub(super) offered: bool,
    /// The SYN/ACK.
    pub(super) answer: Option<Reply>,
    /// Our key, and theirs.
    pub(super) keys: Option<(Key, Key)>,
    /// Their segments behind the handshake that had an option of MPTCP.
    pub(super) heard: usize,
    /// Their segments since then that had none; at the end of a connection hosts leave it out.
    pub(super) mute: usize,
    /// Our kernel sends data without a mapping, or an infinite one: it gave MPTCP up.
    pub(super) given_up: bool,
    /// A MP_FAIL was seen, of either side.
    pub(super) failed: bool,
    /// Addresses that they announced.
    pub(super) announced: usize,
    /// They have no more to say.
    pub(super) ended: bool,
    /// Their RST.
    pub(super) reset: Option<Reply>,
}

impl Course {
    /// Of the connection that we opened as `ours`; what went fewer hops than `hops_min` was a question.
    pub(super) fn of(sights: &[Sight], ours: Flow, hops_min: u8) -> Self {
        let mut course = Self::default();
        let mut ended = false;
        for seen in sights.iter().filter_map(Sight::segment) {
            if seen.flow == ours && seen.hop_limit >= hops_min {
                course.sent(seen);
            } else if seen.flow == ours.reversed() {
                course.came(seen, ended);
            } else {
                continue;
            }
            ended |= matches!(seen.segment, Segment::Fin | Segment::Rst);
        }
        course
    }

    /// Whether the other side took our keys: else it says nothing of MPTCP behind the handshake.
    pub(super) const fn keys_arrived(&self) -> bool {
        self.heard > 0
    }

    /// Whether the other side is still there.
    pub(super) const fn is_alive(&self) -> bool {
        !self.ended && self.reset.is_none()
    }

    /// Whether MPTCP ended in the midst of it.
    pub(super) const fn fell_back(&self) -> bool {
        self.keys_arrived() && (self.mute >= MUTE_MIN || self.given_up)
    }

    fn sent(&mut self, seen: &Seen) {
        match seen.segment {
            Segment::Syn => self.offered |= seen.has(Subtype::MpCapable),
            Segment::Ack | Segment::Data | Segment::Fin => {
                self.keys = self.keys.or_else(|| keys(seen));
                self.failed |= seen.has(Subtype::MpFail);
                if seen.segment == Segment::Data {
                    self.given_up = !seen.speaks() || is_infinite(seen);
                }
            }
            Segment::SynAck | Segment::Rst => {}
        }
    }

    fn came(&mut self, seen: &Seen, ended: bool) {
        self.failed |= seen.has(Subtype::MpFail);
        match seen.segment {
            Segment::SynAck => self.answer = Some(Reply::of(seen)),
            Segment::Rst => self.reset = Some(Reply::of(seen)),
            Segment::Ack | Segment::Data | Segment::Fin => {
                self.ended |= seen.segment == Segment::Fin;
                if seen.speaks() && !is_infinite(seen) {
                    self.heard += 1;
                    self.mute = 0;
                    self.announced += usize::from(announces(seen));
                } else if !ended && seen.segment != Segment::Fin {
                    self.mute += 1;
                }
            }
            Segment::Syn => {}
        }
    }
}

fn options(seen: &Seen) -> impl Iterator<Item = &MptcpOption> {
    seen.signals.list.iter().filter_map(|signal| signal.option.as_ref().ok())
}

fn keys(seen: &Seen) -> Option<(Key, Key)> {
    options(seen).find_map(|option| {
        let MptcpOption::Capable(Capable { sender_key, receiver_key, .. }) = option else { return None };
        (*sender_key).zip(*receiver_key)
    })
}

/// RFC 8684 3.7: from here on plain TCP.
fn is_infinite(seen: &Seen) -> bool {
    options(seen).any(|option| {
        matches!(option, MptcpOption::Dss(dss) if dss.mapping.is_some_and(|mapping| mapping.len == 0 && !dss.data_fin))
    })
}

fn announces(seen: &Seen) -> bool {
    options(seen).any(|option| matches!(option, MptcpOption::AddAddr(add) if add.proof != Proof::Echo))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::mptcp::option::{DataNumber, Dss, Mapping};
    use crate::script::packet::Draft;

    fn ours() -> Flow {
        let [src, dst] =
            ["10.0.1.2:4000", "10.0.3.2:443"].map(|end| end.parse::<SocketAddr>().unwrap().into());
        Flow { src, dst }
    }

    fn seen(flow: Flow, segment: Segment, option: Option<MptcpOption>) -> Sight {
        let draft = Draft::new(flow, segment);
        let draft = if let Some(option) = option { draft.with(&option) } else { draft };
        Sight::Segment(Box::new(Seen::read(&draft.build().unwrap()).unwrap()))
    }

    fn dss(mapped: Option<u16>) -> Option<MptcpOption> {
        let mapping = |len| Mapping { dsn: DataNumber::Short(1), ssn: 1, len, checksum: None };
        let data_ack = Some(DataNumber::Short(7));
        Some(MptcpOption::Dss(Dss { data_fin: false, data_ack, mapping: mapped.map(mapping) }))
    }

    fn course(sights: &[Sight]) -> Course {
        Course::of(sights, ours(), 31)
    }

    #[test]
    fn a_fallback_is_two_segments_without_options_or_an_infinite_mapping() {
        let came = |option| seen(ours().reversed(), Segment::Ack, option);
        let sent = |option| seen(ours(), Segment::Data, option);
        assert!(!course(&[came(None), came(None)]).fell_back(), "it never was MPTCP");
        assert!(!course(&[came(dss(None)), came(None), came(dss(None)), came(None)]).fell_back());
        assert!(course(&[came(dss(None)), came(None), came(None)]).fell_back());
        assert!(course(&[came(dss(None)), sent(None)]).fell_back());
        assert!(course(&[came(dss(None)), sent(dss(Some(0)))]).fell_back());
        assert!(!course(&[came(dss(None)), sent(dss(Some(1)))]).fell_back());
    }

    #[test]
    fn the_end_of_a_connection_is_no_fallback() {
        let came = |segment, option| seen(ours().reversed(), segment, option);
        let sights = [
            came(Segment::Ack, dss(None)),
            came(Segment::Fin, None),
            came(Segment::Ack, None),
            came(Segment::Ack, None),
        ];
        let course = course(&sights);
        assert!(!course.fell_back() && course.ended);
    }

    #[test]
    fn questions_on_the_same_connection_are_not_the_kernels() {
        let Sight::Segment(mut question) = seen(ours(), Segment::Data, None) else { panic!("a segment") };
        question.hop_limit = 3;
        let sights = [seen(ours().reversed(), Segment::Ack, dss(None)), Sight::Segment(question)];
        assert!(!course(&sights).given_up);
    }
}
