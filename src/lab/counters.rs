//! What the kernel counted in a namespace: bytes of an interface, events of TCP and MPTCP, and what it tracks.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use crate::lab::netns::Netns;
use crate::lab::world::World;
use crate::lab::{LabError, doing};

/// Bytes that came by each of the client's links.
pub(super) type LinkBytes = [u64; 2];

/// The events of a namespace since it was made, by the kernel's names (`MPJoinAckRx`; nstat prefixes `MPTcpExt`, and
/// `TcpExt` to those of plain TCP).
#[derive(Clone, Debug)]
pub(super) struct Events {
    tcp: BTreeMap<String, u64>,
    mptcp: BTreeMap<String, u64>,
}

impl Events {
    /// The counts now.
    pub(super) fn read(namespace: &Netns) -> Result<Self, LabError> {
        read(namespace, "/proc/thread-self/net/netstat").map(|text| Self::parse(&text))
    }

    fn parse(netstat: &str) -> Self {
        Self { tcp: events(netstat, "TcpExt:"), mptcp: events(netstat, "MPTcpExt:") }
    }

    /// How often `event` happened; never, where the kernel does not know it.
    pub(super) fn of(&self, event: &str) -> u64 {
        self.mptcp.get(event).or_else(|| self.tcp.get(event)).copied().unwrap_or(0)
    }

    /// How often an MPTCP connection fell back to plain TCP, for whatever cause.
    pub(super) fn fallbacks(&self) -> u64 {
        let fell = |(name, _): &(&String, &u64)| name.contains("Fallback") && *name != "FallbackFailed";
        self.mptcp.iter().filter(fell).map(|(_, times)| times).sum()
    }
}

/// Bytes that the client got by each of its links.
pub(super) fn link_bytes(world: &World) -> Result<LinkBytes, LabError> {
    let text = read(&world.client, "/proc/thread-self/net/dev")?;
    Ok(world.links.map(|link| received(&text, link.name)))
}

/// The marks of the connections that the kernel tracks in `router` to that port, by who opened each.
pub(super) fn connection_marks(router: &Netns, port: u16) -> Result<Vec<(IpAddr, u32)>, LabError> {
    read(router, "/proc/thread-self/net/nf_conntrack").map(|text| marks(&text, port))
}

fn read(namespace: &Netns, path: &str) -> Result<String, LabError> {
    namespace.inside(|| fs::read_to_string(path).map_err(doing(format!("reading {path}"))))
}

/// Two lines belong together: names, then values.
fn events(netstat: &str, prefix: &str) -> BTreeMap<String, u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix(prefix));
    let names = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned);
    let values = lines.next().unwrap_or_default().split_whitespace().map(|value| value.parse().unwrap_or(0));
    names.zip(values).collect()
}

/// A line has a connection as its opener sent it, then as the answers go, then the mark.
fn marks(conntrack: &str, port: u16) -> Vec<(IpAddr, u32)> {
    let mark = |line: &str| {
        let word = |key| line.split_whitespace().find_map(|word| word.strip_prefix(key));
        let to: u16 = word("dport=")?.parse().ok()?;
        Some((word("src=")?.parse().ok()?, word("mark=")?.parse().ok()?)).filter(|_| to == port)
    };
    conntrack.lines().filter_map(mark).collect()
}

/// The first column behind an interface's name.
fn received(dev: &str, interface: &str) -> u64 {
    let columns = dev.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    columns.and_then(|columns| columns.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_whose_name_begins_like_anothers_is_not_taken_for_it() {
        let dev = "Inter-| Receive\n link100: 700 5 0 0\n  link50: 300 2 0 0\n";
        assert_eq!([received(dev, "link50"), received(dev, "link100"), received(dev, "link")], [300, 700, 0]);
    }

    #[test]
    fn names_and_values_of_events_are_paired() {
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX MPJoinAckRx\nMPTcpExt: 4 9\n";
        let events = Events::parse(netstat);
        assert_eq!(["MPCapableSYNRX", "MPJoinAckRx", "A", "C"].map(|event| events.of(event)), [4, 9, 1, 0]);
    }

    #[test]
    fn neither_failed_fallbacks_nor_those_of_plain_tcp_are_fallbacks_to_it() {
        let tcp = "TcpExt: TCPSackShiftFallback\nTcpExt: 8\n";
        let mptcp = "MPTcpExt: DssFallback MPCapableFallbackACK FallbackFailed\nMPTcpExt: 1 2 4\n";
        assert_eq!(Events::parse(&[tcp, mptcp].concat()).fallbacks(), 3);
    }

    #[test]
    fn a_tracked_connection_is_known_by_who_opened_it() {
        let v4 = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.1.2 dst=10.0.3.2 sport=40000 dport=5001 \
                  src=10.0.3.2 dst=10.0.1.2 sport=5001 dport=40000 [ASSURED] mark=268435498 zone=0 use=2";
        let v6 = "ipv6     10 tcp      6 9 CLOSE src=fd00:0000:0000:0001:0000:0000:0000:0002 \
                  dst=fd00:0000:0000:0003:0000:0000:0000:0002 sport=1 dport=5001 mark=0 zone=0 use=2";
        let other = v4.replace("dport=5001", "dport=443");
        let tracked = [("10.0.1.2", 0x1000_002a), ("fd00:0:0:1::2", 0)];
        let tracked = tracked.map(|(addr, mark)| (addr.parse().unwrap(), mark));
        assert_eq!(marks(&[v4, v6, &other].join("\n"), 5001), tracked);
    }
}
