//! Stripping: option bytes become NOPs, and nothing moves.

use crate::wire::checksum;
use crate::wire::options::{AREA_MAX, NOP};
use crate::wire::{OptionMask, Packet, Unparsed};

/// What the kernel says of the checksum of a packet that it queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumState {
    /// It stands in the packet.
    #[default]
    Complete,
    /// Hardware or a later layer would have filled it in; only the sum of the pseudo header stands there.
    Partial,
}

/// Overwrites the option bytes in `mask` with NOPs and leaves a right checksum: updated where it was complete (a
/// checksum that was wrong stays wrong), computed whole where it was not.
///
/// No length, sequence number or GSO size changes. Bytes of the mask that lie outside the option area are ignored.
///
/// # Errors
/// When `bytes` has no readable TCP header; then nothing is changed.
pub fn blank(bytes: &mut [u8], mask: OptionMask, state: ChecksumState) -> Result<(), Unparsed> {
    let packet = Packet::parse(bytes)?;
    let (src, dst) = (packet.flow.src.addr, packet.flow.dst.addr);
    let (tcp_at, options_at) = (packet.tcp_at, packet.options_at());
    let options_len = packet.options_len();
    let tcp_len = packet.header_len() + packet.payload_len;
    let mut sum = packet.checksum();

    for word_at in (0..options_len.min(AREA_MAX)).step_by(2) {
        let Some([high, low]) = bytes.get_mut(options_at + word_at..).and_then(|rest| rest.first_chunk_mut())
        else {
            break;
        };
        let old = u16::from_be_bytes([*high, *low]);
        if mask.contains(word_at) {
            *high = NOP;
        }
        if mask.contains(word_at + 1) {
            *low = NOP;
        }
        sum = checksum::update(sum, old, u16::from_be_bytes([*high, *low]));
    }

    let Some(tcp) = bytes.get_mut(tcp_at..) else { return Ok(()) };
    let tcp_len = tcp_len.min(tcp.len());
    let Some(tcp) = tcp.get_mut(..tcp_len) else { return Ok(()) };
    if state == ChecksumState::Partial {
        checksum::write(tcp, 0);
        sum = checksum::tcp(src, dst, tcp);
    }
    checksum::write(tcp, sum);
    Ok(())
}
