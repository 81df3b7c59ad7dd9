//! Which segments make one subflow and one connection, which of its subflows is the first, and whose token a join bears.
//!
//! Of each segment Wireshark says its TCP stream, and of most their connection: not of a SYN of version 1 with MP_CAPABLE,
//! which has no key by which Wireshark could know one, and of none without an MPTCP option. Those two are compared by their TCP
//! streams alone; every other one that only one of the two programs groups is left out, which no capture may show.

use std::collections::{BTreeMap, BTreeSet};

use super::segment::Segment;

/// The grouping of one capture.
#[derive(Default)]
pub(super) struct Grouping {
    /// Segments that both give a subflow and a connection.
    pub(super) segments: usize,
    /// Segments that we give a subflow of a connection, and Wireshark a TCP stream alone.
    pub(super) by_stream: usize,
    /// Segments that neither gives a connection.
    pub(super) plain: usize,
    /// Where the others are.
    pub(super) left_out: Vec<String>,
    /// Joins whose token is the one that tshark computed.
    pub(super) joins: usize,
    /// Our connection and subflow, with tshark's TCP stream.
    pub(super) subflows: BTreeMap<(u64, u64), String>,
    /// Of tshark's `mptcp.stream`, our connection.
    connections: BTreeMap<String, u64>,
    /// The TCP streams of plain segments.
    plain_streams: BTreeSet<String>,
    /// By token: its connection, and the address of the host that it names.
    tokens: BTreeMap<u32, (u64, String)>,
}

impl Grouping {
    pub(super) fn add(&mut self, segment: &Segment<'_>) {
        let ours = ["connection", "subflow"].map(|name| segment.ours[name].as_u64());
        match (ours, segment.their("mptcp.stream")) {
            ([Some(connection), Some(subflow)], Some(stream)) => {
                self.segments += 1;
                self.add_subflow(segment, (connection, subflow));
                self.add_connection(segment, (connection, subflow), stream);
                self.add_tokens(segment, connection);
            }
            ([Some(connection), Some(subflow)], None) if has_no_key(segment) => {
                self.by_stream += 1;
                self.add_subflow(segment, (connection, subflow));
            }
            ([None, None], None) => {
                self.plain += 1;
                self.plain_streams.insert(tcp_stream(segment).to_owned());
            }
            (_, _) => self.left_out.push(segment.place()),
        }
    }

    fn add_subflow(&mut self, segment: &Segment<'_>, subflow: (u64, u64)) {
        let stream = tcp_stream(segment);
        let known = self.subflows.entry(subflow).or_insert_with(|| stream.to_owned());
        assert_eq!(known, stream, "{}: tshark's TCP stream of subflow {subflow:?}", segment.place());
    }

    fn add_connection(&mut self, segment: &Segment<'_>, (connection, subflow): (u64, u64), stream: &str) {
        let what = segment.place();
        let known = *self.connections.entry(stream.to_owned()).or_insert(connection);
        assert_eq!(known, connection, "{what}: tshark's connection {stream}");
        let is_master = segment.their("mptcp.master") == Some("1");
        assert_eq!(subflow == 0, is_master, "{what}: subflow {subflow} and tshark's master");
    }

    fn add_tokens(&mut self, segment: &Segment<'_>, connection: u64) {
        let what = segment.place();
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

    /// How many connections there are; each of theirs must be one of ours, and a stream is of one subflow or of none.
    pub(super) fn connections(&self, capture: &str) -> usize {
        let distinct: BTreeSet<_> = self.connections.values().collect();
        assert_eq!(distinct.len(), self.connections.len(), "{capture}: connections");
        let streams: BTreeSet<_> = self.subflows.values().collect();
        assert_eq!(streams.len(), self.subflows.len(), "{capture}: subflows");
        let torn = self.plain_streams.iter().find(|stream| streams.contains(stream));
        assert_eq!(torn, None, "{capture}: a TCP stream that is of a subflow in part");
        distinct.len()
    }
}

fn tcp_stream<'s>(segment: &Segment<'s>) -> &'s str {
    segment.their("tcp.stream").unwrap()
}

fn has_no_key(segment: &Segment<'_>) -> bool {
    let is_syn = segment.ours["segment"] == "syn";
    let options = segment.ours["options"].as_array().unwrap();
    options.iter().all(|option| is_syn && option["subtype"] == "mp_capable" && option["version"] == 1)
}
