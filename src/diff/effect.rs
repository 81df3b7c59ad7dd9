//! What matters for what a change does to MPTCP: when subflows joined, and when data was acknowledged at the data level.

use std::collections::HashMap;

use crate::diff::sight::Sight;
use crate::diff::taken::{Conversation, Taken};
use crate::diff::{Direction, Side};
use crate::mptcp::option::{Capable, Dss, Join};
use crate::mptcp::refusal::{Circumstances, Consequence, Deed, consequence};
use crate::mptcp::{MptcpOption, Subtype, SubtypeSet, Token, Version, codec};
use crate::time::Timestamp;
use crate::wire::Segment;
use crate::wire::options::MPTCP;

/// Handshakes are over by then: so many segments of a direction are searched for keys, tokens and DATA_ACKs.
const SEARCHED_MAX: usize = 256;

/// When the connections of a capture got their further subflows.
#[derive(Debug, Default)]
pub struct Joins(HashMap<Token, Timestamp>);

/// When it was that things changed for a flow, by the clock of one capture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    joined: Option<Timestamp>,
    both_acked: Option<Timestamp>,
}

impl Joins {
    /// Those of a capture.
    pub fn of(taken: &Taken) -> Self {
        let mut joins = HashMap::new();
        for conversation in &taken.conversations {
            let mut token = None;
            for (sight, option) in said(conversation, Direction::ToServer) {
                match (option, token) {
                    (MptcpOption::Join(Join::Syn { token: named, .. }), _) => token = Some(named),
                    (MptcpOption::Join(Join::Ack { .. }), Some(token)) => {
                        joins.entry(token).or_insert(sight.at);
                        break;
                    }
                    _ => {}
                }
            }
        }
        Self(joins)
    }

    /// What is known of a conversation of that capture.
    pub fn times(&self, conversation: &Conversation) -> Times {
        let mut joined = None;
        let mut acked = Direction::BOTH.map(|_| None);
        for (direction, acked) in Direction::BOTH.into_iter().zip(&mut acked) {
            for (sight, option) in said(conversation, direction) {
                if let MptcpOption::Dss(dss) = option {
                    *acked = acked.or(dss.data_ack.map(|_| sight.at));
                }
                let tokens = tokens(&option);
                joined = tokens.iter().filter_map(|token| self.0.get(token)).chain(&joined).min().copied();
            }
        }
        let [there, back] = acked;
        Times { joined, both_acked: there.zip(back).map(|(there, back)| there.max(back)) }
    }
}

/// The tokens of the hosts that an option names; of MP_CAPABLE with both keys the sender's comes first.
pub(super) fn tokens(option: &MptcpOption) -> Vec<Token> {
    if let MptcpOption::Join(Join::Syn { token, .. }) = option {
        return vec![*token];
    }
    let MptcpOption::Capable(Capable { version, sender_key, receiver_key, .. }) = option else {
        return Vec::new();
    };
    let Some(version) = Version::from_number(*version) else { return Vec::new() };
    [sender_key, receiver_key].into_iter().flatten().map(|key| key.token(version)).collect()
}

/// The MPTCP options of the first segments.
pub(super) fn said(
    conversation: &Conversation,
    direction: Direction,
) -> impl Iterator<Item = (&Sight, MptcpOption)> {
    let sights = conversation.sights.at(direction.sender()).iter().take(SEARCHED_MAX);
    sights.flat_map(|sight| {
        let mptcp = sight.options().filter(|option| option.kind == MPTCP && !option.broken);
        mptcp.filter_map(move |option| Some((sight, codec::parse(option.bytes, sight.segment).ok()?)))
    })
}

/// The DSS of a segment.
pub(super) fn dss(sight: &Sight) -> Option<Dss> {
    let mptcp = sight.options().filter(|option| option.kind == MPTCP && !option.broken);
    let mut options = mptcp.filter_map(|option| codec::parse(option.bytes, sight.segment).ok());
    options.find_map(|option| if let MptcpOption::Dss(dss) = option { Some(dss) } else { None })
}

impl Times {
    /// In what circumstances `option` of that segment is refused; what is heard elsewhere is not known here.
    pub fn circumstances(&self, option: Subtype, sight: &Sight) -> Circumstances {
        let since = |time: Option<Timestamp>| time.is_some_and(|time| time <= sight.at);
        Circumstances {
            segment: sight.segment,
            joined: since(self.joined),
            both_acked: since(self.both_acked),
            beside_dss: option != Subtype::Dss && sight.subtypes().contains(Subtype::Dss),
            data_fin: dss(sight).is_some_and(|dss| dss.data_fin),
            heard_elsewhere: false,
        }
    }

    /// What both hosts do when that segment is lost: its weightiest option decides.
    pub fn lost(&self, deed: Deed, sight: &Sight) -> Option<Consequence> {
        let option = weightiest(sight.subtypes(), sight.segment)?;
        Some(consequence(deed, option, self.circumstances(option, sight)))
    }
}

/// For whose sake a lost segment matters to MPTCP.
fn weightiest(subtypes: SubtypeSet, segment: Segment) -> Option<Subtype> {
    let is_alone = segment == Segment::Ack && !subtypes.contains(Subtype::Dss);
    let by_weight = [
        Subtype::MpCapable,
        Subtype::MpJoin,
        Subtype::MpFastclose,
        Subtype::MpFail,
        Subtype::AddAddr,
        Subtype::RemoveAddr,
        Subtype::MpPrio,
        Subtype::Dss,
        Subtype::MpTcprst,
        Subtype::Unassigned,
    ];
    by_weight.into_iter().find(|&subtype| {
        let counts = subtype != Subtype::AddAddr || is_alone || !subtypes.contains(Subtype::Dss);
        counts && subtypes.contains(subtype)
    })
}

/// The clock of a capture, as the other's.
pub fn on_other_clock(at: Timestamp, from: Side, clock: i128) -> i128 {
    let nanos = i128::from(at.nanos());
    match from {
        Side::Before => nanos + clock,
        Side::After => nanos - clock,
    }
}
