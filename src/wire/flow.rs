//! Who talks to whom: the two ends of a TCP segment, and the pair without its direction.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One end of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host's address.
    pub addr: IpAddr,
    /// The TCP port.
    pub port: u16,
}

/// The two ends of one segment, in the direction that it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Who sent the segment.
    pub src: Endpoint,
    /// Who gets it.
    pub dst: Endpoint,
}

/// A four-tuple without direction: both directions of a TCP connection have the same one. It takes 36 bytes, of either
/// family, since tables hold millions.
///
/// Invariant: of IPv6, `low` is no larger than `high`; of IPv4, `low` begins with ones and `high` with zeros, which is the
/// other way round, so that no pair of one family equals one of the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    low: [u8; 16],
    high: [u8; 16],
    low_port: u16,
    high_port: u16,
}

const _: () = assert!(size_of::<Pair>() <= 36);

/// Which end of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The smaller endpoint.
    Low,
    /// The larger endpoint.
    High,
}

impl Flow {
    /// The direction of the answer.
    pub const fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src }
    }

    /// The pair, and at which of its ends the sender of this segment sits.
    pub fn pair(self) -> (Pair, End) {
        if self.src <= self.dst {
            (Pair::of(self.src, self.dst), End::Low)
        } else {
            (Pair::of(self.dst, self.src), End::High)
        }
    }
}

impl Pair {
    /// The endpoint at `end`.
    pub fn at(self, end: End) -> Endpoint {
        let (addr, port) = match end {
            End::Low => (self.low, self.low_port),
            End::High => (self.high, self.high_port),
        };
        let [.., a, b, c, d] = addr;
        let addr = if self.is_v4() { [a, b, c, d].into() } else { addr.into() };
        Endpoint { addr, port }
    }

    fn of(low: Endpoint, high: Endpoint) -> Self {
        let (low_addr, high_addr) = match (low.addr, high.addr) {
            (IpAddr::V4(low), IpAddr::V4(high)) => (padded(0xff, low), padded(0, high)),
            // No packet has ends of two families.
            (low, high) => (v6(low), v6(high)),
        };
        Self { low: low_addr, high: high_addr, low_port: low.port, high_port: high.port }
    }

    fn is_v4(&self) -> bool {
        u128::from_be_bytes(self.low) > u128::from_be_bytes(self.high)
    }
}

fn padded(padding: u8, addr: Ipv4Addr) -> [u8; 16] {
    let [a, b, c, d] = addr.octets();
    let p = padding;
    [p, p, p, p, p, p, p, p, p, p, p, p, a, b, c, d]
}

fn v6(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.at(End::Low), self.at(End::High))
    }
}

/// As few pieces as can be: derived, a keyed hasher is called eight times, which costs more than the hash itself.
impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u32::from(self.low_port) << 16 | u32::from(self.high_port);
        let (low, high) = (u128::from_be_bytes(self.low), u128::from_be_bytes(self.high));
        if self.is_v4() {
            let hosts = low << 32 | high;
            state.write_u128(hosts << 32 | u128::from(ports));
        } else {
            state.write_u128(low);
            state.write_u128(high);
            state.write_u32(ports);
        }
    }
}

impl End {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self { addr: addr.ip(), port: addr.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        Self::new(end.addr, end.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.src, self.dst)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends() -> impl Strategy<Value = Flow> {
        let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(src, dst)| (src.into(), dst.into()));
        let v6 = (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(src, dst)| (src.into(), dst.into()));
        let near = (0_u8..3, 0_u8..3).prop_map(|(src, dst)| ([10, 0, 0, src].into(), [10, 0, 0, dst].into()));
        (prop_oneof![v4, v6, near], 0_u16..3, 0_u16..3).prop_map(|((src, dst), from, to)| Flow {
            src: Endpoint { addr: src, port: from },
            dst: Endpoint { addr: dst, port: to },
        })
    }

    proptest! {
        #[test]
        fn a_pair_is_the_flow_without_its_direction(flow in ends(), other in ends()) {
            let (pair, end) = flow.pair();
            prop_assert_eq!(Flow { src: pair.at(end), dst: pair.at(end.other()) }, flow);
            prop_assert_eq!(flow.reversed().pair().0, pair);
            prop_assert_eq!(other.pair().0 == pair, other == flow || other == flow.reversed());
        }
    }

    #[test]
    fn no_ipv6_pair_is_taken_for_one_of_ipv4() {
        let flow = |src: [u8; 16], dst: [u8; 16]| Flow {
            src: Endpoint { addr: src.into(), port: 1 },
            dst: Endpoint { addr: dst.into(), port: 2 },
        };
        let (ones, zeros) = (padded(0xff, [10, 0, 0, 1].into()), padded(0, [10, 0, 0, 2].into()));
        let v4 = Flow {
            src: Endpoint { addr: [10, 0, 0, 1].into(), port: 1 },
            dst: Endpoint { addr: [10, 0, 0, 2].into(), port: 2 },
        };
        for v6 in [flow(ones, zeros), flow(zeros, ones)] {
            assert_ne!(v6.pair().0, v4.pair().0);
            assert_eq!(v6.pair().0.at(v6.pair().1), v6.src);
        }
    }
}
