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
