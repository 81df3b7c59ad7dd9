//! The TCP checksum (RFC 9293 3.1, RFC 8200 8.1): computed whole, or updated for the words that changed (RFC 1624).

use std::net::IpAddr;

use etherparse::IpNumber;
use etherparse::checksum::Sum16BitWords;

/// Where the checksum stands in the TCP header.
pub const OFFSET: usize = 16;

/// The checksum over pseudo header and `tcp` (header and payload), whose checksum field is counted as it stands: zero
/// it to compute one; a correct segment gives 0.
///
/// `tcp` longer than 4 GiB is not possible in IP; its length is then counted modulo 2³².
pub fn tcp(src: IpAddr, dst: IpAddr, tcp: &[u8]) -> u16 {
    let mut sum = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Sum16BitWords::new().add_4bytes(src.octets()).add_4bytes(dst.octets())
        }
        (src, dst) => Sum16BitWords::new().add_16bytes(v6_octets(src)).add_16bytes(v6_octets(dst)),
    };
    let len = u32::try_from(tcp.len()).unwrap_or(u32::MAX);
    sum = sum.add_2bytes([0, IpNumber::TCP.0]);
    sum.add_4bytes(len.to_be_bytes()).add_slice(tcp).ones_complement().to_be()
}

/// Writes `sum` where the checksum of `tcp` stands; a header that is too short for one stays as it is.
pub fn write(tcp: &mut [u8], sum: u16) {
    if let Some(field) = tcp.get_mut(OFFSET..).and_then(|rest| rest.first_chunk_mut()) {
        *field = sum.to_be_bytes();
    }
}

/// The checksum of a header in which one 16-bit word went from `old` to `new` (RFC 1624, equation 3).
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

fn v6_octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
