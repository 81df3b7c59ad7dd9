//! Which segments make one connection, which of its subflows is the first, and whose token a join bears.
//!
//! Wireshark ties segments to a connection only from some segment on, and has none for segments without an option: what is
//! compared is what both speak of.

use std::collections::{BTreeMap, BTreeSet};

use super::segment::Segment;

/// The grouping of one capture.
#[derive(Default)]
pub(super) struct Grouping {
    /// Segments that both group.
    pub(super) segments: usize,
    /// Joins whose token is the one that tshark computed.
    pub(super) joins: usize,
    /// Our connection and subflow, with tshark's TCP stream.
    pub(super) subflows: BTreeMap<(u64, u64), String>,
    /// The TCP streams whose SYN is in the capture.
    opened: BTreeSet<String>,
    /// Of tshark's `mptcp.stream`, our connection.
    connections: BTreeMap<String, u64>,
    /// By token: its connection, and the address of the host that it names.
    tokens: BTreeMap<u32, (u64, String)>,
}

impl Grouping {
    pub(super) fn add(&mut self, segment: &Segment<'_>) {
        let what = segment.place();
        if segment.ours["segment"] == "syn" {
            self.opened.extend(segment.their("tcp.stream").map(str::to_owned));
        }
        let Some(stream) = segment.their("mptcp.stream") else { return };
        let Some(connection) = segment.ours["connection"].as_u64() else {
            // Where the capture lacks a join's SYN, Wireshark has other ways to tie the subflow; we say that it is unknown.
            let opened = segment.their("tcp.stream").is_some_and(|stream| self.opened.contains(stream));
            assert!(!opened, "{what}: no connection");
            return;
        };
        let known = *self.connections.entry(stream.to_owned()).or_insert(connection);
        assert_eq!(known, connection, "{what}: tshark's connection {stream}");
        if let Some(subflow) = segment.ours["subflow"].as_u64() {
            let is_master = segment.their("mptcp.master") == Some("1");
            assert_eq!(subflow == 0, is_master, "{what}: subflow {subflow} and tshark's master");
            let stream = segment.their("tcp.stream").unwrap();
            let known = self.subflows.entry((connection, subflow)).or_insert_with(|| stream.to_owned());
            assert_eq!(known, stream, "{what}: tshark's TCP stream of subflow {subflow}");
        }
        self.segments += 1;
        if let Some(token) = segment.their("mptcp.expected_token") {
            self.tokens.insert(token.parse().unwrap(), (connection, segment.address("src")));
        }
        if let Some(token) = segment.their("tcp.options.mptcp.recvtok") {
            let (known, owner) =
                self.tokens.get(&token.parse().unwrap()).unwrap_or_else(|| panic!("{what}: token"));
            assert_eq!(*known, connection, "{what}: the connection of the token");
            assert_ne!(*owner, segment.address("src"), "{what}: a host joins itself");
            self.joins += 1;
        }
    }

    /// How many connections there are; each of theirs must be one of ours.
    pub(super) fn connections(&self, capture: &str) -> usize {
        let distinct: BTreeSet<_> = self.connections.values().collect();
        assert_eq!(distinct.len(), self.connections.len(), "{capture}: connections");
        let streams: BTreeSet<_> = self.subflows.values().collect();
        assert_eq!(streams.len(), self.subflows.len(), "{capture}: subflows");
        distinct.len()
    }
}
