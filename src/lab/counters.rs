//! What the kernel counted in a namespace: bytes of an interface, and events of MPTCP.

use std::collections::BTreeMap;
use std::fs;

use crate::lab::netns::Netns;
use crate::lab::world::LINKS;
use crate::lab::{LabError, doing};

/// Bytes that came by each of [`LINKS`].
pub(super) type LinkBytes = [u64; LINKS.len()];

/// The MPTCP events of a namespace since it was made, by the kernel's names (`MPJoinAckRx`; nstat prefixes `MPTcpExt`).
#[derive(Clone, Debug)]
pub(super) struct Events(BTreeMap<String, u64>);

impl Events {
    /// The counts now.
    pub(super) fn read(namespace: &Netns) -> Result<Self, LabError> {
        read(namespace, "/proc/thread-self/net/netstat").map(|text| Self(events(&text)))
    }

    /// How often `event` happened; never, where the kernel does not know it.
    pub(super) fn of(&self, event: &str) -> u64 {
        self.0.get(event).copied().unwrap_or(0)
    }
}

/// Bytes that the client got by each of its links.
pub(super) fn link_bytes(client: &Netns) -> Result<LinkBytes, LabError> {
    let text = read(client, "/proc/thread-self/net/dev")?;
    Ok(LINKS.map(|link| received(&text, link.name)))
}

fn read(namespace: &Netns, path: &str) -> Result<String, LabError> {
    namespace.inside(|| fs::read_to_string(path).map_err(doing(format!("reading {path}"))))
}

/// Two lines belong together: names, then values.
fn events(netstat: &str) -> BTreeMap<String, u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("MPTcpExt:"));
    let names = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned);
    let values = lines.next().unwrap_or_default().split_whitespace().map(|value| value.parse().unwrap_or(0));
    names.zip(values).collect()
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
    fn names_and_values_of_mptcp_events_are_paired() {
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX MPJoinAckRx\nMPTcpExt: 4 9\n";
        let events = Events(events(netstat));
        assert_eq!([events.of("MPCapableSYNRX"), events.of("MPJoinAckRx"), events.of("A")], [4, 9, 0]);
    }
}
