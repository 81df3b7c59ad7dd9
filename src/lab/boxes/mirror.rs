//! A box that answers with what it was asked: option 30 of a SYN comes back in the SYN/ACK.

use std::collections::VecDeque;

use crate::lab::boxes::patch::patch;
use crate::wire::options::{AREA_MAX, MPTCP, NOP};
use crate::wire::{Flow, Packet, Segment};

/// SYNs of which the answer may still come; the lab opens few connections at once.
const ASKED_MAX: usize = 64;

/// Remembers what SYNs carried.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    asked: VecDeque<(Flow, Vec<u8>)>,
}

impl Mirror {
    /// Looks at a packet, and changes it where it answers one that was seen: its option 30 becomes the one of the SYN,
    /// with NOPs in place of what it was longer.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let Some(option) = packet.options().find(|option| option.kind == MPTCP) else { return };
        let (flow, at) = (packet.flow, packet.options_at() + option.at);
        match packet.segment {
            Segment::Syn => {
                let asked = option.bytes.to_vec();
                self.asked.truncate(ASKED_MAX - 1);
                self.asked.push_front((flow, asked));
            }
            Segment::SynAck => {
                let asked = self.asked.iter().find(|(asked, _)| *asked == flow.reversed());
                let Some((_, asked)) = asked.filter(|(_, asked)| asked.len() <= option.bytes.len()) else {
                    return;
                };
                let mut mirrored = [NOP; AREA_MAX];
                mirrored.iter_mut().zip(asked).for_each(|(byte, asked)| *byte = *asked);
                let len = option.bytes.len();
                patch(bytes, at, mirrored.get(..len).unwrap_or_default());
            }
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::script::packet::Draft;
    use crate::wire::checksum;

    fn flow(family: usize) -> Flow {
        let ends = [["10.0.1.2:4000", "192.0.2.10:5001"], ["[fd00::2]:4000", "[2001:db8::10]:5001"]];
        let [src, dst] = ends[family].map(|end| end.parse::<SocketAddr>().unwrap().into());
        Flow { src, dst }
    }

    fn passed(mirror: &mut Mirror, draft: &Draft) -> (Vec<u8>, u16) {
        let mut bytes = draft.build().unwrap();
        mirror.pass(&mut bytes);
        let packet = Packet::parse(&bytes).unwrap();
        let options = bytes[packet.options_at()..packet.options_at() + packet.options_len()].to_vec();
        let Flow { src, dst } = packet.flow;
        (options, checksum::tcp(src.addr, dst.addr, &bytes[packet.tcp_at..]))
    }

    #[test]
    fn the_answer_has_the_option_of_the_question() {
        for family in [0, 1] {
            let mut mirror = Mirror::default();
            let syn = Draft::new(flow(family), Segment::Syn).with_raw(&[30, 4, 1, 0x81]);
            assert_eq!(passed(&mut mirror, &syn).0, [30, 4, 1, 0x81], "the question goes on as it is");
            let answer = [30, 12, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9];
            let syn_ack = Draft::new(flow(family).reversed(), Segment::SynAck).with_raw(&answer);
            let mirrored = [30, 4, 1, 0x81, 1, 1, 1, 1, 1, 1, 1, 1];
            assert_eq!(passed(&mut mirror, &syn_ack), (mirrored.to_vec(), 0));
        }
    }

    #[test]
    fn answers_of_others_stay_as_they_are() {
        let mut mirror = Mirror::default();
        let answer = [30, 12, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9];
        let syn_ack = Draft::new(flow(0).reversed(), Segment::SynAck).with_raw(&answer);
        assert_eq!(passed(&mut mirror, &syn_ack).0, answer);
    }
}
