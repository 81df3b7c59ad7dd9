//! A box that means well: it rewrites addresses in the data, as gateways do for FTP, and knows nothing of the checksum of
//! MPTCP that covers them.

use crate::lab::boxes::patch::patch;
use crate::lab::traffic::ADDRESS_LINE;
use crate::wire::Packet;

/// What comes in its place, equally long.
const REWRITTEN: [u8; ADDRESS_LINE.len()] = *b"PORT 10,0,1,9,4,1\r\n";

/// Addresses in one packet that are rewritten; more fit into none that a wire carries.
const ADDRESSES_MAX: usize = 128;

/// Rewrites each address in the payload.
pub(super) fn pass(bytes: &mut [u8]) {
    for _ in 0..ADDRESSES_MAX {
        let Some(at) = find(bytes) else { return };
        patch(bytes, at, &REWRITTEN);
    }
}

/// Where in an IP packet the first address is.
fn find(bytes: &[u8]) -> Option<usize> {
    let packet = Packet::parse(bytes).ok()?;
    let begin = packet.tcp_at + packet.header_len();
    let mut at = begin;
    let [first, ..] = *ADDRESS_LINE;
    // To look for one byte is what a machine does fast.
    while let Some(next) = bytes.get(at..)?.iter().position(|byte| *byte == first) {
        at += next;
        if bytes.get(at..)?.starts_with(ADDRESS_LINE) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::script::packet::Draft;
    use crate::wire::{Flow, Segment, checksum};

    fn data(ends: [&str; 2], payload: &[u8]) -> Vec<u8> {
        let [src, dst] = ends.map(|end| end.parse::<SocketAddr>().unwrap().into());
        let draft = Draft::new(Flow { src, dst }, Segment::Data);
        Draft { payload: payload.to_vec(), ..draft }.build().unwrap()
    }

    #[test]
    fn each_address_is_another_one_afterwards_and_the_checksum_is_right() {
        for ends in [["10.0.1.2:4000", "192.0.2.10:21"], ["[fd00::2]:4000", "[2001:db8::10]:21"]] {
            let mut bytes = data(ends, b"PASV\r\nPORT 10,0,1,2,4,1\r\nPORT 10,0,1,2,4,1\r\n");
            pass(&mut bytes);
            let packet = Packet::parse(&bytes).unwrap();
            let Flow { src, dst } = packet.flow;
            assert_eq!(checksum::tcp(src.addr, dst.addr, &bytes[packet.tcp_at..]), 0);
            assert!(bytes.ends_with(b"PASV\r\nPORT 10,0,1,9,4,1\r\nPORT 10,0,1,9,4,1\r\n"));
        }
    }

    #[test]
    fn other_data_is_left_alone() {
        let bytes = data(["10.0.1.2:4000", "192.0.2.10:21"], b"PORT 10,0,1,3,4,1\r\n");
        let mut passed = bytes.clone();
        pass(&mut passed);
        assert_eq!(passed, bytes);
    }
}
