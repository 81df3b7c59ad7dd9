//! Connections as CSV: a line for each subflow, with what its connection is.

use std::io::Write;

use serde::Serialize;

use crate::analysis::{Connection, Subflow};
use crate::replay::objects::host;
use crate::replay::relative_secs;
use crate::time::Timestamp;
use crate::track::Side;

/// A line; the columns bear the names of the JSON fields.
#[derive(Debug, Serialize)]
struct Row {
    connection: u64,
    subflow: usize,
    version: u8,
    checksum: bool,
    client_token: Option<String>,
    server_token: Option<String>,
    fallback: Option<&'static str>,
    connection_ending: &'static str,
    src: String,
    dst: String,
    opened_by: &'static str,
    join: &'static str,
    client_address_id: Option<u8>,
    server_address_id: Option<u8>,
    client_backup: bool,
    server_backup: bool,
    start: f64,
    end: f64,
    client_bytes: u64,
    server_bytes: u64,
    client_share: f64,
    server_share: f64,
    client_retransmitted_bytes: u64,
    server_retransmitted_bytes: u64,
    client_reinjected_bytes: u64,
    server_reinjected_bytes: u64,
    ending: &'static str,
}

/// Writes the table, its header first.
///
/// # Errors
/// When `out` cannot be written.
pub fn write<'c>(
    out: impl Write,
    first: Timestamp,
    connections: impl Iterator<Item = &'c Connection>,
) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    for connection in connections {
        for (place, subflow) in connection.subflows.iter().enumerate() {
            writer.serialize(row(first, connection, place, subflow))?;
        }
    }
    writer.flush()?;
    Ok(())
}

fn row(first: Timestamp, connection: &Connection, place: usize, subflow: &Subflow) -> Row {
    let token = |side| connection.tokens.at(side).map(|token| token.to_string());
    let (client, server) = (&subflow.halves.opener, &subflow.halves.acceptor);
    Row {
        connection: connection.id.0,
        subflow: place,
        version: connection.version,
        checksum: connection.checksum,
        client_token: token(Side::Opener),
        server_token: token(Side::Acceptor),
        fallback: connection.fallback.map(|cause| cause.label()),
        connection_ending: connection.ending().label(),
        src: subflow.flow.src.to_string(),
        dst: subflow.flow.dst.to_string(),
        opened_by: host(subflow.initiator),
        join: subflow.join.label(),
        client_address_id: subflow.address_ids.opener,
        server_address_id: subflow.address_ids.acceptor,
        client_backup: subflow.backup.opener,
        server_backup: subflow.backup.acceptor,
        start: relative_secs(first, subflow.span.first),
        end: relative_secs(first, subflow.span.last),
        client_bytes: client.bytes,
        server_bytes: server.bytes,
        client_share: connection.share(subflow, Side::Opener),
        server_share: connection.share(subflow, Side::Acceptor),
        client_retransmitted_bytes: client.repeated_bytes,
        server_retransmitted_bytes: server.repeated_bytes,
        client_reinjected_bytes: client.reinjected_bytes,
        server_reinjected_bytes: server.reinjected_bytes,
        ending: subflow.ending().label(),
    }
}
