//! What replay says as JSON, one object a line: the segments, then the connections, then what is wrong with them.
//!
//! `mpgate replay --schema` prints the schema of it. A field may be added without a new number; when one goes or means
//! something else, [`SCHEMA`] counts on.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use crate::analysis::connection::{Announcement, Removal};
use crate::analysis::{self, Ending, SubflowEnding};
use crate::engine::Decision;
use crate::fields::Fields;
use crate::replay::{Seen, What, relative_secs};
use crate::time::Timestamp;
use crate::track::{Side, Sides};

/// Most lines are shorter.
const LINE_LEN: usize = 1024;

/// The number of the shapes.
pub const SCHEMA: u32 = 1;

/// A line of the output.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Line<'s> {
    Segment(&'s Segment<'s>),
    Connection(&'s Connection),
    Anomaly(&'s Anomaly),
}

/// What the gate says of one segment. A packet without a readable TCP header has neither ends nor kind.
#[derive(Debug, Serialize, JsonSchema)]
struct Segment<'s> {
    /// Counts all frames of the capture from 1.
    frame: u64,
    /// Seconds since the first frame.
    time: f64,
    /// Address and port of its sender.
    src: Option<String>,
    /// Address and port of its receiver.
    dst: Option<String>,
    /// `syn`, `syn_ack`, `ack`, `data`, `fin` or `rst`.
    segment: Option<&'static str>,
    /// Its MPTCP options, by the names of Wireshark's fields.
    options: Vec<Fields>,
    /// How it stands to the segments before it.
    standing: Option<&'static str>,
    /// Its connection, or the one that it asks to join.
    connection: Option<u64>,
    /// Its subflow in the connection's list; the first one is 0.
    subflow: Option<usize>,
    /// `accept`, `strip`, `reject` or `drop`.
    verdict: &'static str,
    /// Why.
    reason: &'static str,
    /// The rule that spoke.
    rule: Option<&'s str>,
}

/// Something of each host: the client is the one that opened the connection.
#[derive(Debug, Serialize, JsonSchema)]
struct Both<T> {
    client: T,
    server: T,
}

/// An object of these has `"type":"connection"`.
#[derive(Debug, Serialize, JsonSchema)]
struct Connection {
    r#type: ConnectionType,
    /// The number of these shapes.
    schema: u32,
    /// Counts the connections of a capture from 1.
    connection: u64,
    /// What was agreed, or else offered.
    version: u8,
    /// DSS checksums are on.
    checksum: bool,
    /// Both keys were seen.
    established: bool,
    /// The tokens; `null` for a host whose key was not seen.
    tokens: Both<Option<String>>,
    /// The client's address and port on the first subflow.
    src: String,
    /// The server's.
    dst: String,
    /// The frame of its first SYN.
    frame: u64,
    /// Seconds from the first frame of the capture to its first segment.
    start: f64,
    /// And to its last.
    end: f64,
    /// Bytes of data that each host sent, each byte once.
    data_bytes: Both<u64>,
    /// Bytes that were acknowledged at the data level, and are not in the capture.
    unseen_bytes: Both<u64>,
    /// Bytes that are missing below the highest one, and were not acknowledged.
    missing_bytes: Both<u64>,
    /// Why it is plain TCP, where it is.
    fallback: Option<&'static str>,
    /// How it ended.
    ending: &'static str,
    /// Who ended it by RST or MP_FASTCLOSE.
    ended_by: Option<&'static str>,
    /// The subflows, and the attempts to join.
    subflows: Vec<Subflow>,
    /// The addresses that were announced.
    announced: Vec<Announced>,
    /// The address ids that were withdrawn.
    removed: Vec<Removed>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ConnectionType {
    Connection,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Subflow {
    /// Its place in the list; the first one is 0.
    subflow: usize,
    /// Who opened it, address and port.
    src: String,
    /// Who answered.
    dst: String,
    /// `client` or `server`.
    opened_by: &'static str,
    /// `first`, `verified`, `unverified`, `unanswered`, `forged`, `plain_answer` or `refused`.
    join: &'static str,
    /// The address ids.
    address_ids: Both<Option<u8>>,
    /// Whether each host asked to use it only when the others are gone.
    backup: Both<bool>,
    /// Seconds from the first frame of the capture to its first segment.
    start: f64,
    /// And to its last.
    end: f64,
    /// What each host sent on it.
    sent: Both<Half>,
    /// `open`, `fin`, `half_closed` or `reset`.
    ending: &'static str,
    /// Who sent the RST, or the only FIN.
    ended_by: Option<&'static str>,
    /// The reason that MP_TCPRST gives.
    reset_reason: Option<u8>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Half {
    segments: u64,
    /// Bytes of payload, each as often as it was sent.
    bytes: u64,
    /// The part of what this host sent on all subflows, from 0 to 1.
    share: f64,
    /// Segments that repeat payload of this subflow.
    retransmitted_segments: u64,
    /// Bytes that repeat payload of this subflow.
    retransmitted_bytes: u64,
    /// Bytes of data that were sent before, on another subflow or in other segments of this one.
    reinjected_bytes: u64,
    /// Bytes of payload that no mapping covers.
    unmapped_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Announced {
    frame: u64,
    /// `client` or `server`.
    by: &'static str,
    address_id: u8,
    address: String,
    port: Option<u16>,
    /// The HMAC is right.
    proven: bool,
    /// The other host said that it has read it.
    echoed: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Removed {
    frame: u64,
    /// `client` or `server`.
    by: &'static str,
    address_id: u8,
}

/// An object of these has `"type":"anomaly"`.
#[derive(Debug, Serialize, JsonSchema)]
struct Anomaly {
    r#type: AnomalyType,
    /// The number of these shapes.
    schema: u32,
    /// The segment that shows it; `null` where only the end of the capture does.
    frame: Option<u64>,
    /// Seconds since the first frame.
    time: f64,
    /// Address and port of its sender.
    src: String,
    /// Address and port of its receiver.
    dst: String,
    connection: Option<u64>,
    subflow: Option<usize>,
    /// Its kind, in one word.
    anomaly: &'static str,
    /// The bytes that it is about.
    bytes: Option<u64>,
    /// What it means.
    text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AnomalyType {
    Anomaly,
}

/// The schema of a line.
pub fn schema() -> Schema {
    schema_for!(Line<'_>)
}

/// Writes the line of `seen`; frames that hold nothing for the gate have none.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_segment(out: &mut impl Write, seen: &Seen) -> io::Result<()> {
    let line = match &seen.what {
        What::Segment(segment) => {
            let Some(decision) = &segment.decision else { return Ok(()) };
            Segment {
                src: Some(segment.flow.src.to_string()),
                dst: Some(segment.flow.dst.to_string()),
                segment: Some(segment.segment.label()),
                options: segment.signals.list.iter().map(Fields::of).collect(),
                standing: Some(segment.observed.standing.label()),
                connection: segment.observed.connection.map(|id| id.0),
                subflow: segment.observed.subflow,
                ..Segment::of(seen, decision)
            }
        }
        What::Unreadable { decision: Some(decision), .. } => Segment::of(seen, decision),
        What::Unreadable { decision: None, .. } | What::Other(_) => return Ok(()),
    };
    write_line(out, &Line::Segment(&line))
}

/// Writes a line for each of these connections, and for each of these anomalies.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_analysis<'a>(
    out: &mut impl Write,
    first: Timestamp,
    connections: impl Iterator<Item = &'a analysis::Connection>,
    anomalies: impl Iterator<Item = &'a analysis::Anomaly>,
) -> io::Result<()> {
    for connection in connections {
        write_line(out, &Line::Connection(&Connection::of(first, connection)))?;
    }
    for anomaly in anomalies {
        write_line(out, &Line::Anomaly(&Anomaly::of(first, anomaly)))?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    // Whole, since `out` may be one that passes on each piece that it is given.
    let mut text = Vec::with_capacity(LINE_LEN);
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// What users call the hosts.
pub(super) const fn host(side: Side) -> &'static str {
    match side {
        Side::Opener => "client",
        Side::Acceptor => "server",
    }
}

impl<'s> Segment<'s> {
    fn of(seen: &Seen, decision: &'s Decision) -> Self {
        Self {
            frame: seen.frame,
            time: seen.secs,
            src: None,
            dst: None,
            segment: None,
            options: Vec::new(),
            standing: None,
            connection: None,
            subflow: None,
            verdict: decision.verdict.label(),
            reason: decision.reason.label(),
            rule: decision.rule.as_ref().map(|rule| rule.name.as_str()),
        }
    }
}

impl<T> Both<T> {
    fn of(of: impl Fn(Side) -> T) -> Self {
        Self { client: of(Side::Opener), server: of(Side::Acceptor) }
    }
}

impl<T: Copy> From<Sides<T>> for Both<T> {
    fn from(sides: Sides<T>) -> Self {
        Self { client: sides.opener, server: sides.acceptor }
    }
}

impl Connection {
    fn of(first: Timestamp, connection: &analysis::Connection) -> Self {
        let ending = connection.ending();
        let flow = connection.first();
        let at = |time| relative_secs(first, time);
        let subflows = connection.subflows.iter().enumerate();
        Self {
            r#type: ConnectionType::Connection,
            schema: SCHEMA,
            connection: connection.id.0,
            version: connection.version,
            checksum: connection.checksum,
            established: connection.established,
            tokens: Both::of(|side| connection.tokens.at(side).map(|token| token.to_string())),
            src: flow.map(|flow| flow.src.to_string()).unwrap_or_default(),
            dst: flow.map(|flow| flow.dst.to_string()).unwrap_or_default(),
            frame: connection.span.frame,
            start: at(connection.span.first),
            end: at(connection.span.last),
            data_bytes: Both::of(|side| connection.data.at(side).bytes()),
            unseen_bytes: Both::of(|side| connection.data.at(side).unseen()),
            missing_bytes: Both::of(|side| connection.data.at(side).gap()),
            fallback: connection.fallback.map(|cause| cause.label()),
            ending: ending.label(),
            ended_by: match ending {
                Ending::Fastclose(by) | Ending::Reset(by) => Some(host(by)),
                Ending::Unanswered | Ending::Unestablished | Ending::Open | Ending::DataFin | Ending::Fin => {
                    None
                }
            },
            subflows: subflows
                .map(|(place, subflow)| Subflow::of(first, connection, place, subflow))
                .collect(),
            announced: connection.announced.iter().map(Announced::of).collect(),
            removed: connection.removed.iter().map(Removed::of).collect(),
        }
    }
}

impl Subflow {
    fn of(
        first: Timestamp,
        connection: &analysis::Connection,
        place: usize,
        subflow: &analysis::Subflow,
    ) -> Self {
        let ending = subflow.ending();
        let (ended_by, reason) = match ending {
            SubflowEnding::Reset(by, reason) => (Some(host(by)), reason),
            SubflowEnding::HalfClosed(by) => (Some(host(by)), None),
            SubflowEnding::Open | SubflowEnding::Fin => (None, None),
        };
        Self {
            subflow: place,
            src: subflow.flow.src.to_string(),
            dst: subflow.flow.dst.to_string(),
            opened_by: host(subflow.initiator),
            join: subflow.join.label(),
            address_ids: subflow.address_ids.into(),
            backup: subflow.backup.into(),
            start: relative_secs(first, subflow.span.first),
            end: relative_secs(first, subflow.span.last),
            sent: Both::of(|side| Half::of(subflow.halves.at(side), connection.share(subflow, side))),
            ending: ending.label(),
            ended_by,
            reset_reason: reason.map(|reason| reason.0),
        }
    }
}

impl Half {
    const fn of(half: &analysis::Half, share: f64) -> Self {
        Self {
            segments: half.segments,
            bytes: half.bytes,
            share,
            retransmitted_segments: half.repeated_segments,
            retransmitted_bytes: half.repeated_bytes,
            reinjected_bytes: half.reinjected_bytes,
            unmapped_bytes: half.unmapped_bytes,
        }
    }
}

impl Announced {
    fn of(announcement: &Announcement) -> Self {
        let Announcement { frame, by, announced, proven, echoed } = *announcement;
        Self {
            frame,
            by: host(by),
            address_id: announced.address_id,
            address: announced.addr.to_string(),
            port: announced.port,
            proven,
            echoed,
        }
    }
}

impl Removed {
    const fn of(removal: &Removal) -> Self {
        Self { frame: removal.frame, by: host(removal.by), address_id: removal.address_id }
    }
}

impl Anomaly {
    fn of(first: Timestamp, anomaly: &analysis::Anomaly) -> Self {
        Self {
            r#type: AnomalyType::Anomaly,
            schema: SCHEMA,
            frame: anomaly.frame,
            time: relative_secs(first, anomaly.at),
            src: anomaly.flow.src.to_string(),
            dst: anomaly.flow.dst.to_string(),
            connection: anomaly.connection.map(|id| id.0),
            subflow: anomaly.subflow,
            anomaly: anomaly.kind.label(),
            bytes: anomaly.kind.bytes(),
            text: anomaly.kind.to_string(),
        }
    }
}
