//! What a segment means in the handshakes of MP_CAPABLE and MP_JOIN.

use crate::mptcp::option::{Capable, Join};
use crate::mptcp::{MptcpOption, Nonce, Signals, Token};
use crate::wire::Segment;

/// A segment as a step of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// MP_CAPABLE in the SYN.
    Offer(Capable),
    /// MP_CAPABLE in the SYN/ACK.
    Answer(Capable),
    /// MP_CAPABLE with both keys: the third ACK, or the first data.
    Keys(Capable),
    /// MP_JOIN in the SYN.
    JoinOffer {
        /// Names the connection, at the host that the SYN goes to.
        token: Token,
        /// The initiator's nonce.
        nonce: Nonce,
    },
    /// MP_JOIN in the SYN/ACK.
    JoinAnswer {
        /// 64 bits of the acceptor's proof.
        hmac: [u8; 8],
        /// The acceptor's nonce.
        nonce: Nonce,
    },
    /// MP_JOIN in the third ACK.
    JoinProof {
        /// 160 bits of the initiator's proof.
        hmac: [u8; 20],
    },
    /// Other MPTCP options.
    Other,
    /// None.
    Plain,
}

impl Signals {
    /// What the segment that carried these options means in a handshake. Malformed options mean nothing.
    pub fn step(&self, segment: Segment) -> Step {
        let opening = self.list.iter().find_map(|signal| match &signal.option {
            Ok(MptcpOption::Capable(capable)) => Some(match segment {
                Segment::Syn => Step::Offer(*capable),
                Segment::SynAck => Step::Answer(*capable),
                Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => Step::Keys(*capable),
            }),
            Ok(MptcpOption::Join(join)) => Some(match *join {
                Join::Syn { token, nonce, .. } => Step::JoinOffer { token, nonce },
                Join::SynAck { hmac, nonce, .. } => Step::JoinAnswer { hmac, nonce },
                Join::Ack { hmac } => Step::JoinProof { hmac },
            }),
            _ => None,
        });
        match opening {
            Some(step) => step,
            None if self.list.is_empty() => Step::Plain,
            None => Step::Other,
        }
    }
}
