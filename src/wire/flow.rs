//! Who talks to whom: the two ends of a TCP segment, and the pair without its direction.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

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

/// A four-tuple without direction: both directions of a TCP connection have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    low: Endpoint,
    high: Endpoint,
}

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
            (Pair { low: self.src, high: self.dst }, End::Low)
        } else {
            (Pair { low: self.dst, high: self.src }, End::High)
        }
    }
}

impl Pair {
    /// The endpoint at `end`.
    pub const fn at(self, end: End) -> Endpoint {
        match end {
            End::Low => self.low,
            End::High => self.high,
        }
    }
}

/// As few pieces as can be: derived, a keyed hasher is called eight times, which costs more than the hash itself.
impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u32::from(self.low.port) << 16 | u32::from(self.high.port);
        match (self.low.addr, self.high.addr) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                let hosts = u64::from(low.to_bits()) << 32 | u64::from(high.to_bits());
                state.write_u128(u128::from(hosts) << 32 | u128::from(ports));
            }
            (low, high) => {
                state.write_u128(bits(low));
                state.write_u128(bits(high));
                state.write_u32(ports);
            }
        }
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
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
