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

    /// First and last number of each range, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (T, T)> {
        self.0.iter().copied()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// A number with neighbours.
pub(super) trait Number: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn after(self) -> Option<Self>;
    fn before(self) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Number for $number {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;
            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

number!(u16, u32, u128);

impl<T: Number> Ranges<T> {
    /// Every number.
    pub(super) fn all() -> Self {
        Self(Box::new([(T::MIN, T::MAX)]))
    }

    /// The numbers that both have. Costs a step for each range of both.
    pub(super) fn common(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        let mut common = Vec::new();
        while let (Some(&(first, last)), Some(&(their_first, their_last))) = (ours.peek(), theirs.peek()) {
            let (start, end) = (first.max(their_first), last.min(their_last));
            if start <= end {
                common.push((start, end));
            }
            if last <= their_last {
                ours.next()
            } else {
                theirs.next()
            };
        }
        Self(common.into())
    }

    /// The numbers that `other` does not have. Costs a step for each range of both.
    pub(super) fn without(&self, other: &Self) -> Self {
        self.common(&other.complement())
    }

    fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(T::MIN);
        for (first, last) in self.iter() {
            if let (Some(start), Some(end)) = (from, first.before())
                && start <= end
            {
                gaps.push((start, end));
            }
            from = last.after();
        }
        gaps.extend(from.map(|start| (start, T::MAX)));
        Self(gaps.into())
    }
}

/// Addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) v4: Ranges<u32>,
    pub(super) v6: Ranges<u128>,
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

    /// Every address.
    pub(super) fn all() -> Self {
        Self { v4: Ranges::all(), v6: Ranges::all() }
    }

    /// The addresses that both have.
    pub(super) fn common(&self, other: &Self) -> Self {
        Self { v4: self.v4.common(&other.v4), v6: self.v6.common(&other.v6) }
    }

    /// The addresses that `other` does not have.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self { v4: self.v4.without(&other.v4), v6: self.v6.without(&other.v6) }
    }

    /// How many ranges it has, which is what going through it costs.
    pub(super) const fn len(&self) -> usize {
        self.v4.0.len() + self.v6.0.len()
    }

    /// One of its addresses.
    pub(super) fn first(&self) -> Option<IpAddr> {
        let v4 = self.v4.iter().next().map(|(first, _)| IpAddr::V4(Ipv4Addr::from_bits(first)));
        v4.or_else(|| self.v6.iter().next().map(|(first, _)| IpAddr::V6(Ipv6Addr::from_bits(first))))
    }

    /// Pairs of `sets` that have an address in common, each with one; of a crowd that overlaps in one place not all pairs.
    pub(super) fn overlaps(sets: &[&Self]) -> Vec<(usize, usize, IpAddr)> {
        let v4 = overlaps(sets.iter().map(|set| &set.v4)).into_iter();
        let v6 = overlaps(sets.iter().map(|set| &set.v6)).into_iter();
        let v4 = v4.map(|(one, other, bits)| (one, other, IpAddr::V4(Ipv4Addr::from_bits(bits))));
        let v6 = v6.map(|(one, other, bits)| (one, other, IpAddr::V6(Ipv6Addr::from_bits(bits))));
        let mut found: Vec<_> = v4.chain(v6).collect();
        found.sort_unstable_by_key(|&(one, other, _)| (one, other));
        found.dedup_by_key(|&mut (one, other, _)| (one, other));
        found
    }

    pub(super) fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => self.v4.contains(Ipv4Addr::to_bits(addr)),
            IpAddr::V6(addr) => self.v6.contains(Ipv6Addr::to_bits(addr)),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.v4.covers(&other.v4) && self.v6.covers(&other.v6)
    }
}

/// Overlapping pairs among sets of ranges, the smaller number first, each with a number that both have.
fn overlaps<'r, T: Number + 'r>(sets: impl Iterator<Item = &'r Ranges<T>>) -> Vec<(usize, usize, T)> {
    let mut ranges: Vec<_> =
        sets.enumerate().flat_map(|(set, ranges)| ranges.iter().map(move |range| (range, set))).collect();
    ranges.sort_unstable_by_key(|&(range, set)| (range, set));
    let mut open: Vec<(T, usize)> = Vec::new();
    let mut found = Vec::new();
    for ((first, last), set) in ranges {
        open.retain(|&(open_last, _)| open_last >= first);
        found.extend(open.iter().map(|&(_, other)| (set.min(other), set.max(other), first)));
        open.push((last, set));
        found.sort_unstable_by_key(|&(one, other, _)| (one, other));
        found.dedup_by_key(|&mut (one, other, _)| (one, other));
    }
    found
}

/// What a rule says of an address: some prefixes of its own, and sets, which rules share because they can be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses(pub(super) Box<[Arc<Prefixes>]>);

impl Addresses {
    /// All of it in one; costs nothing where it is one already.
    pub(super) fn whole(&self) -> Arc<Prefixes> {
        match &*self.0 {
            [one] => Arc::clone(one),
            parts => Arc::new(Prefixes::union(&[], parts)),
        }
    }

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
