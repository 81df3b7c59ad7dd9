//! Sets of numbers as ranges: of ports, and of addresses, which prefixes are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// Numbers, as ranges with both ends included.
///
/// Invariant: sorted; neither overlapping nor adjacent, so that what one range does not cover, no two do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges<T>(Box<[(T, T)]>);

impl<T: Copy + Ord> Ranges<T> {
    /// The union of `ranges`; `after` is the next number, if there is one.
    pub(super) fn union(mut ranges: Vec<(T, T)>, after: impl Fn(T) -> Option<T>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if after(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged.into())
    }

    /// Costs a binary search.
    pub(super) fn contains(&self, number: T) -> bool {
        self.covers_range(number, number)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|&(first, last)| self.covers_range(first, last))
    }

    fn covers_range(&self, first: T, last: T) -> bool {
        let behind = self.0.partition_point(|&(start, _)| start <= first);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|&(_, end)| last <= end)
    }
}

/// Addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefixes {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Prefixes {
    /// The union of `nets` and of whole `sets`.
    pub(super) fn union(nets: &[IpNet], sets: &[Arc<Self>]) -> Self {
        let mut v4: Vec<_> = sets.iter().flat_map(|set| set.v4.0.iter().copied()).collect();
        let mut v6: Vec<_> = sets.iter().flat_map(|set| set.v6.0.iter().copied()).collect();
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self {
            v4: Ranges::union(v4, |last| last.checked_add(1)),
            v6: Ranges::union(v6, |last| last.checked_add(1)),
        }
    }

    fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => self.v4.contains(Ipv4Addr::to_bits(addr)),
            IpAddr::V6(addr) => self.v6.contains(Ipv6Addr::to_bits(addr)),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.v4.covers(&other.v4) && self.v6.covers(&other.v6)
    }
}

/// What a rule says of an address: some prefixes of its own, and sets, which rules share because they can be large.
#[derive(Clone, Debug)]
pub(super) struct Addresses(pub(super) Box<[Arc<Prefixes>]>);

impl Addresses {
    pub(super) fn contains(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|part| part.contains(addr))
    }

    /// Whether each part of `other` lies in one part of this; `false` where only several parts together cover it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|theirs| self.0.iter().any(|ours| Arc::ptr_eq(ours, theirs) || ours.covers(theirs)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(ranges: Vec<(u16, u16)>) -> Ranges<u16> {
        Ranges::union(ranges, |last| last.checked_add(1))
    }

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(
            *ports(vec![(5, 9), (1, 3), (4, 4), (8, 12), (20, 65535), (65535, 65535)]).0,
            [(1, 12), (20, 65535)]
        );
    }

    #[test]
    fn two_halves_cover_the_whole() {
        let nets = |list: &[&str]| {
            Prefixes::union(&list.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>(), &[])
        };
        let halves = nets(&["10.0.0.0/9", "10.128.0.0/9", "::/1", "8000::/1"]);
        assert!(halves.covers(&nets(&["10.0.0.0/8", "::/0"])));
        assert!(!halves.covers(&nets(&["10.0.0.0/7"])));
        assert!(!halves.contains("0.0.0.0".parse().unwrap()), "::/0 is no IPv4 prefix");
    }

    proptest! {
        #[test]
        fn a_union_holds_what_its_ranges_hold(
            list in proptest::collection::vec((0_u16..40, 0_u16..8), 0..8),
            probe in 0_u16..60,
        ) {
            let list: Vec<_> = list.into_iter().map(|(first, len)| (first, first + len)).collect();
            let within = list.iter().any(|&(first, last)| (first..=last).contains(&probe));
            prop_assert_eq!(ports(list).contains(probe), within);
        }
    }
}
