//! Bytes of a packet that become others, with a checksum that says nothing of it.

use crate::wire::{Packet, checksum};

/// Overwrites what stands at `at` of an IP packet, and makes the TCP checksum right again. What is no TCP, and what would
/// reach beyond the packet, is left alone.
pub(super) fn patch(bytes: &mut [u8], at: usize, with: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return };
    let (src, dst, tcp_at) = (packet.flow.src.addr, packet.flow.dst.addr, packet.tcp_at);
    let end = tcp_at + packet.header_len() + packet.payload_len;
    let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..with.len())) else { return };
    place.copy_from_slice(with);
    let Some(tcp) = bytes.get_mut(tcp_at..end) else { return };
    checksum::write(tcp, 0);
    let sum = checksum::tcp(src, dst, tcp);
    checksum::write(tcp, sum);
}
