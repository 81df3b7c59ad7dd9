//! How many connections each source has, open or under way.

use std::net::IpAddr;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// Who counts as one source: an IPv4 address, or an IPv6 /64, the least that a site is given (RFC 6177 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u128);

impl From<IpAddr> for Source {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// Connections by the source that opened them; bounded by the tables of handshakes and connections, each entry of which
/// holds one.
#[derive(Debug, Default)]
pub(super) struct Sources(DashMap<Source, u32>);

impl Sources {
    pub(super) fn count(&self, source: Source) -> u32 {
        self.0.get(&source).map_or(0, |count| *count)
    }

    pub(super) fn hold(&self, source: Source) {
        let mut count = self.0.entry(source).or_insert(0);
        *count = count.saturating_add(1);
    }

    pub(super) fn release(&self, source: Source) {
        if let Entry::Occupied(mut entry) = self.0.entry(source) {
            match entry.get().checked_sub(1) {
                Some(left @ 1..) => *entry.get_mut() = left,
                Some(0) | None => drop(entry.remove()),
            }
        }
    }
}
