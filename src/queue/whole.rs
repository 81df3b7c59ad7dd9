//! Packets that are wanted whole.
//!
//! The kernel hands over the first bytes of each packet: with segmentation offload most are tens of kilobytes long, and copying
//! them would cost ten times what deciding them does. A packet that is to be rewritten, or whose headers do not
//! end within these bytes, is sent on to a second queue, which hands over all of it.

use std::collections::VecDeque;

use crate::engine::Decision;

/// What is looked at of each packet: an IPv6 header, the longest TCP header and 28 bytes of extension headers. With 256 bytes the
/// worker took 7 % more of a processor for bulk MPTCP (four laps of two gates that raced), for bulk TCP the same.
pub(super) const HEAD_BYTES: u16 = 128;

/// Whole packets: the most that a queue can hand over.
pub(super) const WHOLE_BYTES: u16 = u16::MAX;

/// Packets on their way from one queue to the other: as many as wait for verdicts in one.
const AWAITED_MAX: usize = 1024;

/// The number of the queue to which a queue's packets are sent to be seen whole. It lies half of all numbers away, where
/// nobody who counts up from 0 comes.
pub const fn whole_queue(number: u16) -> u16 {
    number ^ 0x8000
}

/// Decisions that wait for their packets.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// With the first bytes of each, by which it is known again.
    packets: VecDeque<(Box<[u8]>, Decision)>,
}

impl Awaited {
    /// Remembers what was decided of a packet. When there is no room the oldest is forgotten, and decided anew if it comes.
    pub(super) fn push(&mut self, bytes: &[u8], decision: Decision) {
        if self.packets.len() >= AWAITED_MAX {
            self.packets.pop_front();
        }
        self.packets.push_back((bytes.get(..HEAD_BYTES.into()).unwrap_or(bytes).into(), decision));
    }

    /// What was decided of that packet. They come in their order; those before it were lost on the way.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Decision> {
        let place = self.packets.iter().position(|(head, _)| bytes.starts_with(head.as_ref()))?;
        self.packets.drain(..place);
        self.packets.pop_front().map(|(_, decision)| decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Ingress, Mode, Verdict};
    use crate::rules::RuleSet;
    use crate::time::Timestamp;
    use crate::track::Limits;

    fn decision(bytes: &[u8]) -> Decision {
        let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
        engine.decide(Timestamp::ZERO, &Ingress::default(), bytes)
    }

    #[test]
    fn a_packet_finds_its_own_decision_and_those_that_were_lost_are_forgotten() {
        let mut awaited = Awaited::default();
        let packet = |number: u8| [vec![number; 300], vec![0; 5000]].concat();
        for number in 1..=4 {
            awaited.push(&packet(number)[..300], decision(b"?"));
        }
        assert!(awaited.take(&packet(9)).is_none());
        assert_eq!(awaited.take(&packet(3)).map(|decision| decision.verdict), Some(Verdict::Drop));
        assert!(awaited.take(&packet(1)).is_none());
        assert!(awaited.take(&packet(4)).is_some());
        assert!(awaited.packets.is_empty());
    }

    #[test]
    fn no_more_are_awaited_than_the_limit() {
        let mut awaited = Awaited::default();
        for number in 0..=u16::try_from(AWAITED_MAX).unwrap() {
            awaited.push(&number.to_be_bytes(), decision(b"?"));
        }
        assert_eq!(awaited.packets.len(), AWAITED_MAX);
        assert!(awaited.take(&[0, 0]).is_none());
        assert!(awaited.take(&[0, 1]).is_some());
    }

    #[test]
    fn a_queue_and_its_second_one_are_two() {
        for number in [0, 1, 63, 0x7fff, 0x8000, u16::MAX] {
            assert_ne!(whole_queue(number), number);
            assert_eq!(whole_queue(whole_queue(number)), number);
        }
    }
}
