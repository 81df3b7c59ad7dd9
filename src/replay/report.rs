//! Connections for people: what each one is, its subflows, its addresses, and what is wrong.

use std::io::{self, Write};

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};

use crate::analysis::connection::Announcement;
use crate::analysis::{Analysis, Anomaly, Connection, Ending, Half, Subflow, SubflowEnding};
use crate::replay::objects::host;
use crate::replay::relative_secs;
use crate::time::Timestamp;
use crate::track::Side;

/// Writes a block for each of these connections, and what is wrong outside of all.
///
/// # Errors
/// When `out` cannot be written.
pub fn write<'a>(
    out: &mut impl Write,
    first: Timestamp,
    analysis: &'a Analysis,
    chosen: impl Iterator<Item = &'a Connection>,
) -> io::Result<()> {
    let anomalies = analysis.anomalies_by_connection();
    let of = |id| anomalies.get(&id).map_or(&[][..], Vec::as_slice);
    for connection in chosen {
        write_connection(out, first, connection)?;
        for anomaly in of(Some(connection.id)) {
            write_anomaly(out, first, anomaly)?;
        }
        writeln!(out)?;
    }
    if !of(None).is_empty() {
        writeln!(out, "outside of the connections that this capture shows from their beginning")?;
        for anomaly in of(None) {
            write_anomaly(out, first, anomaly)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_connection(out: &mut impl Write, first: Timestamp, connection: &Connection) -> io::Result<()> {
    let flow = connection.first().map(|flow| flow.to_string()).unwrap_or_default();
    writeln!(out, "connection {}: {flow}, {}", connection.id.0, ending(connection))?;
    writeln!(out, "  {}", protocol(connection))?;
    let data = |side| {
        let data = connection.data.at(side).bytes();
        size(if connection.fallback.is_some() { connection.bytes(side) } else { data })
    };
    let at = |time| relative_secs(first, time);
    writeln!(
        out,
        "  from frame {} at {:.3} s to {:.3} s, {} sent, {} back",
        connection.span.frame,
        at(connection.span.first),
        at(connection.span.last),
        data(Side::Opener),
        data(Side::Acceptor),
    )?;
    for line in subflows(connection).lines() {
        writeln!(out, "  {}", line.trim_end())?;
    }
    for announcement in &connection.announced {
        writeln!(out, "  {}", announced(announcement))?;
    }
    for removal in &connection.removed {
        writeln!(
            out,
            "  the {} withdrew id {} in frame {}",
            host(removal.by),
            removal.address_id,
            removal.frame
        )?;
    }
    Ok(())
}

fn protocol(connection: &Connection) -> String {
    let tokens = match (connection.tokens.opener, connection.tokens.acceptor) {
        (Some(client), Some(server)) => format!(", tokens {client} and {server}"),
        (Some(token), None) | (None, Some(token)) => format!(", token {token}"),
        (None, None) => String::new(),
    };
    match connection.fallback {
        Some(_) if !connection.established => {
            format!("MPTCP version {} was offered, plain TCP", connection.version)
        }
        fallback => format!(
            "MPTCP version {}{tokens}, checksums {}{}",
            connection.version,
            if connection.checksum { "on" } else { "off" },
            if fallback.is_some() { ", fell back to plain TCP" } else { "" }
        ),
    }
}

fn ending(connection: &Connection) -> String {
    match connection.ending() {
        Ending::Unanswered => "no answer was seen".to_owned(),
        Ending::Unestablished => "its handshake was not completed".to_owned(),
        Ending::Open => "still open at the end".to_owned(),
        Ending::DataFin => "ended by DATA_FIN of both".to_owned(),
        Ending::Fin => "ended by FIN".to_owned(),
        Ending::Fastclose(by) => format!("cut off by the {}'s MP_FASTCLOSE", host(by)),
        Ending::Reset(by) => format!("reset by the {}", host(by)),
    }
}

fn subflows(connection: &Connection) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["sub", "from > to", "ids", "join", "sent", "back", "again", "reinj.", "end"]);
    for (place, subflow) in connection.subflows.iter().enumerate() {
        let half = |side| {
            let bytes = subflow.halves.at(side).bytes;
            let share = connection.share(subflow, side) * 100.0;
            if bytes == 0 { "-".to_owned() } else { format!("{} {share:3.0} %", size(bytes)) }
        };
        let both = |of: fn(&Half) -> u64| match of(&subflow.halves.opener) + of(&subflow.halves.acceptor) {
            0 => "-".to_owned(),
            bytes => size(bytes),
        };
        table.add_row([
            place.to_string(),
            subflow.flow.to_string(),
            ids(subflow),
            join(subflow),
            half(Side::Opener),
            half(Side::Acceptor),
            both(|half| half.repeated_bytes),
            both(|half| half.reinjected_bytes),
            subflow_ending(subflow.ending()),
        ]);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if (4..8).contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn ids(subflow: &Subflow) -> String {
    let id = |side| subflow.address_ids.at(side).map_or_else(|| "?".to_owned(), |id| id.to_string());
    format!("{}/{}", id(Side::Opener), id(Side::Acceptor))
}

fn join(subflow: &Subflow) -> String {
    let by = if subflow.initiator == Side::Acceptor { ", by the server" } else { "" };
    let backup = if subflow.backup.opener || subflow.backup.acceptor { ", backup" } else { "" };
    format!("{}{by}{backup}", subflow.join.label())
}

fn subflow_ending(ending: SubflowEnding) -> String {
    match ending {
        SubflowEnding::Open => "open".to_owned(),
        SubflowEnding::Fin => "FIN".to_owned(),
        SubflowEnding::HalfClosed(by) => format!("FIN of the {}", host(by)),
        SubflowEnding::Reset(by, None) => format!("RST of the {}", host(by)),
        SubflowEnding::Reset(by, Some(reason)) => format!("RST of the {}, {reason}", host(by)),
    }
}

fn announced(announcement: &Announcement) -> String {
    let Announcement { frame, by, announced, proven, echoed } = announcement;
    let port = announced.port.map_or_else(String::new, |port| format!(" port {port}"));
    format!(
        "the {} announced {}{port} as id {} in frame {frame}, {}{}",
        host(*by),
        announced.addr,
        announced.address_id,
        if *proven { "proven" } else { "not proven" },
        if *echoed { ", echoed" } else { "" }
    )
}

fn write_anomaly(out: &mut impl Write, first: Timestamp, anomaly: &Anomaly) -> io::Result<()> {
    let place = match anomaly.frame {
        Some(frame) => format!("frame {frame} at {:.6} s", relative_secs(first, anomaly.at)),
        None => "at the end".to_owned(),
    };
    let who = match (anomaly.connection, anomaly.subflow) {
        (Some(_), Some(subflow)) => format!("subflow {subflow}, {}", anomaly.flow),
        (Some(_), None) | (None, _) => anomaly.flow.to_string(),
    };
    writeln!(out, "  ! {place}, {who}:\n      {}", anomaly.kind)
}
