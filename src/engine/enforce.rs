//! Carrying a decision out, on the packet's bytes.

use arrayvec::ArrayVec;

use crate::engine::{Decision, ResetPlan, Verdict};
use crate::mptcp::MptcpOption;
use crate::mptcp::option::Tcprst;
use crate::rules::Refusal;
use crate::wire::reset::Reset;
use crate::wire::{Packet, Segment, edit};

/// What the kernel is told, and what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// What becomes of the packet.
    pub fate: Fate,
    /// RSTs to send, at most one to each side.
    pub resets: ArrayVec<Reset, 2>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on; its bytes need not be given back.
    Unchanged,
    /// It goes on with the bytes as they are now.
    Rewritten,
    /// It does not go on.
    Lost,
}

/// Blanks option bytes in place, or builds the resets. A packet that was cut short on its way to the gate cannot be
/// rewritten: it is lost where it would have been stripped.
pub fn enforce(decision: &Decision, bytes: &mut [u8]) -> Egress {
    let fate = match decision.verdict {
        Verdict::Accept => Fate::Unchanged,
        Verdict::Drop | Verdict::Reject(_) => Fate::Lost,
        Verdict::Strip(_) if Packet::parse(bytes).is_ok_and(|packet| packet.cut) => Fate::Lost,
        Verdict::Strip(mask) => match edit::blank(bytes, mask, decision.checksum) {
            Ok(()) => Fate::Rewritten,
            Err(_unreadable) => Fate::Lost,
        },
    };
    let resets = match (decision.verdict, Packet::parse(bytes)) {
        (Verdict::Reject(plan), Ok(packet)) => resets(plan, &packet),
        _ => ArrayVec::new(),
    };
    Egress { fate, resets }
}

/// Nobody answers a RST (RFC 9293 3.10.7.1).
fn resets(plan: ResetPlan, packet: &Packet<'_>) -> ArrayVec<Reset, 2> {
    let option = tcprst(plan.refusal);
    let mut resets = ArrayVec::new();
    if packet.segment != Segment::Rst {
        resets.push(Reset::to_sender(packet, option));
        if plan.both_sides {
            resets.push(Reset::to_receiver(packet, option));
        }
    }
    resets
}

fn tcprst(refusal: Refusal) -> Option<[u8; 4]> {
    let Refusal { reason, transient } = refusal;
    let option = Tcprst { reserved: 0, transient, reason };
    MptcpOption::Tcprst(option).emit().as_slice().try_into().ok()
}
