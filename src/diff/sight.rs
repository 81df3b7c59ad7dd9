//! One segment as one capture saw it: all that it is recognized by, and its options.

use crate::mptcp::{Subtype, SubtypeSet};
use crate::time::Timestamp;
use crate::wire::options::{MPTCP, Options};
use crate::wire::{Packet, Segment};

/// TCP timestamps (RFC 7323 3).
const TIMESTAMPS: u8 = 8;

/// A segment in a capture.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The frame's number.
    pub frame: u64,
    /// When it was captured.
    pub at: Timestamp,
    /// Its kind.
    pub segment: Segment,
    /// Sequence number.
    pub seq: u32,
    /// The sequence number behind it; SYN and FIN count.
    pub seq_end: u32,
    /// Acknowledgment number.
    pub ack: Option<u32>,
    /// Bytes of payload.
    pub len: usize,
    /// What the payload is; `None` where the capture cut it.
    pub payload: Option<Digest>,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The identification of IPv4; 0 in IPv6.
    pub ip_id: u16,
    /// TSval and TSecr.
    pub stamps: Option<(u32, u32)>,
    /// The option area.
    pub options: Box<[u8]>,
}

/// A hash of bytes that can be made from those of its parts, so that segments compare with what they were split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    hash: u64,
    len: usize,
}

impl Sight {
    /// What is kept of a packet.
    pub fn of(frame: u64, at: Timestamp, packet: &Packet<'_>) -> Self {
        let options = packet.bytes.get(packet.options_at()..).unwrap_or_default();
        let options = options.get(..packet.options_len()).unwrap_or_default();
        let payload = packet.bytes.get(packet.options_at() + packet.options_len()..).unwrap_or_default();
        let (hop_limit, ip_id) = ip_fields(packet.bytes);
        Self {
            frame,
            at,
            segment: packet.segment,
            seq: packet.seq,
            seq_end: packet.seq_end(),
            ack: packet.ack,
            len: packet.payload_len,
            payload: payload.get(..packet.payload_len).map(Digest::of),
            hop_limit,
            ip_id,
            stamps: stamps(options),
            options: options.into(),
        }
    }

    /// All options.
    pub fn options(&self) -> Options<'_> {
        Options::new(&self.options)
    }

    /// The subtypes of its MPTCP options.
    pub fn subtypes(&self) -> SubtypeSet {
        let third = |bytes: &[u8]| bytes.get(2).map_or(Subtype::Unassigned, |b| Subtype::from_number(b >> 4));
        let mptcp = self.options().filter(|option| option.kind == MPTCP);
        mptcp.fold(SubtypeSet::EMPTY, |set, option| set.and(SubtypeSet::only(third(option.bytes))))
    }
}

fn ip_fields(bytes: &[u8]) -> (u8, u16) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    match byte(0) >> 4 {
        4 => (byte(8), u16::from_be_bytes([byte(4), byte(5)])),
        _ => (byte(7), 0),
    }
}

fn stamps(options: &[u8]) -> Option<(u32, u32)> {
    let option = Options::new(options).find(|option| option.kind == TIMESTAMPS && !option.broken)?;
    let (value, echo) = option.bytes.get(2..10)?.split_at_checked(4)?;
    Some((u32::from_be_bytes(*value.first_chunk()?), u32::from_be_bytes(*echo.first_chunk()?)))
}

/// A prime (Mersenne), so that a product is reduced by a shift.
const PRIME: u64 = (1 << 61) - 1;

/// A number below it, taken at random.
const BASE: u64 = 0x0f3a_91c7_5d2e_8b69;

impl Digest {
    /// That of no bytes.
    pub const EMPTY: Self = Self { hash: 0, len: 0 };

    /// That of some bytes: a polynomial in them.
    pub fn of(bytes: &[u8]) -> Self {
        // Eight at once do not wait for each other.
        let powers: [u64; 8] = [7, 6, 5, 4, 3, 2, 1, 0].map(power);
        let (eights, rest) = bytes.as_chunks::<8>();
        let whole = power(8);
        let hash = eights.iter().fold(0, |hash, eight| {
            let terms = eight.iter().zip(powers).map(|(&byte, power)| counted(byte) * u128::from(power));
            folded(u128::from(hash) * u128::from(whole) + terms.sum::<u128>())
        });
        let step = |hash, &byte: &u8| folded(u128::from(hash) * u128::from(BASE) + counted(byte));
        Self { hash: rest.iter().fold(hash, step), len: bytes.len() }
    }

    /// That of these bytes, and `next` behind them.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let hash = reduced(product(self.hash, power(next.len)) + next.hash);
        Self { hash, len: self.len + next.len }
    }

    /// How many bytes it is of.
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether it is of none.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

const fn reduced(number: u64) -> u64 {
    let folded = (number & PRIME) + (number >> 61);
    if folded >= PRIME { folded - PRIME } else { folded }
}

/// Zeros count too.
fn counted(byte: u8) -> u128 {
    u128::from(byte) + 1
}

fn product(one: u64, other: u64) -> u64 {
    folded(u128::from(one) * u128::from(other))
}

/// Modulo the prime, of a number below 2^123.
fn folded(number: u128) -> u64 {
    let low = u64::try_from(number & u128::from(PRIME)).unwrap_or(0);
    let high = u64::try_from(number >> 61).unwrap_or(0);
    reduced(low + high)
}

fn power(mut exponent: usize) -> u64 {
    let (mut result, mut base) = (1, BASE);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = product(result, base);
        }
        base = product(base, base);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for at in [0, 1, 1460, 4999, 5000] {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(Digest::of(head).then(Digest::of(tail)), Digest::of(&bytes), "split at {at}");
        }
        assert_ne!(Digest::of(&[0]), Digest::of(&[0, 0]));
        let mut other = bytes.clone();
        other[77] ^= 1;
        assert_ne!(Digest::of(&other), Digest::of(&bytes));
    }
}
