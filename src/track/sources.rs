//! How many connections each source has, open or under way.

use std::net::IpAddr;

use crate::track::keyed::{HashKey, Keyed};
use crate::track::table::Table;

/// Who counts as one source: an IPv4 address, or an IPv6 /64, the least that a site is given (RFC 6177 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(Prefix);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Source {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self(Prefix::V4(v4.octets())),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self(Prefix::V6([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// Connections by the source that opened them; bounded by the tables of handshakes and connections, each entry of which
/// holds one.
#[derive(Debug)]
pub(super) struct Sources(Table<Held>);

/// What a source has.
#[derive(Debug)]
struct Held {
    source: Source,
    connections: u32,
}

const _: () = assert!(size_of::<Option<Held>>() <= 16);

impl Keyed for Held {
    type Key = Source;

    fn key(&self) -> Source {
        self.source
    }
}

impl Sources {
    /// For so many connections, open or under way.
    pub(super) fn new(max: usize) -> Self {
        Self(Table::new(max, HashKey::default()))
    }

    pub(super) fn count(&self, source: Source) -> u32 {
        self.0.read(self.0.hash(&source), source, |held| held.connections).unwrap_or(0)
    }

    pub(super) fn hold(&self, source: Source) {
        let one_more = |held: &mut Held| held.connections = held.connections.saturating_add(1);
        self.0.change_or_add(self.0.hash(&source), Held { source, connections: 0 }, one_more);
    }

    pub(super) fn release(&self, source: Source) {
        self.0.remove_if(self.0.hash(&source), source, |held| {
            held.connections = held.connections.saturating_sub(1);
            held.connections == 0
        });
    }
}
