//! The bytes of headers, with what changed in them marked. Keys are secrets: they are not shown.

use std::fmt::Write as _;
use std::ops::Range;

use crate::mptcp::Subtype;
use crate::wire::Packet;
use crate::wire::options::MPTCP;

/// Bytes on a line: the IPv4 header, half of the IPv6 header, the TCP header without options.
const ROW: usize = 20;

/// Stands for a byte of a key.
const HIDDEN: &str = "··";

/// The headers of a packet as they came, and as they go on.
pub(super) fn changed(packet: &Packet<'_>, after: &[u8]) -> Vec<String> {
    let before = packet.bytes;
    let end = packet.tcp_at + packet.header_len();
    let keys = keys(packet);
    let (kept, gone): (Vec<_>, Vec<_>) =
        keys.iter().cloned().partition(|key| before.get(key.clone()) == after.get(key.clone()));
    let mut lines: Vec<_> = rows(end).map(|row| line("before", before, &row, &keys)).collect();
    for row in rows(end).filter(|row| before.get(row.clone()) != after.get(row.clone())) {
        lines.push(line("after", after, &row, &kept));
        let changed = |at| before.get(at) != after.get(at) || gone.iter().any(|key| key.contains(&at));
        let marks: Vec<_> = row.map(|at| if changed(at) { "^^" } else { "  " }).collect();
        lines.push(format!("{:13}{}", "", marks.join(" ").trim_end()));
    }
    lines
}

/// All of a packet that has no key in it.
pub(super) fn whole(word: &str, bytes: &[u8]) -> Vec<String> {
    rows(bytes.len()).map(|row| line(word, bytes, &row, &[])).collect()
}

/// Bytes in hexadecimal, one behind the other.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}

fn rows(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(ROW).map(move |at| at..len.min(at + ROW))
}

/// The first row bears the word.
fn line(word: &str, bytes: &[u8], row: &Range<usize>, keys: &[Range<usize>]) -> String {
    let word = if row.start == 0 || word == "after" { word } else { "" };
    let shown = bytes.get(row.clone()).unwrap_or_default().iter().zip(row.start..);
    let shown = shown.map(|(byte, at)| match keys.iter().any(|key| key.contains(&at)) {
        true => HIDDEN.to_owned(),
        false => format!("{byte:02x}"),
    });
    format!("{word:<8}{:>3}  {}", row.start, shown.collect::<Vec<_>>().join(" "))
}

/// Where keys stand: behind the flags of MP_CAPABLE (RFC 8684 3.1) and of MP_FASTCLOSE (3.5), whatever their length says.
fn keys(packet: &Packet<'_>) -> Vec<Range<usize>> {
    let mptcp = packet.options().filter(|option| option.kind == MPTCP);
    let keys = mptcp.filter_map(|option| {
        let subtype = Subtype::from_number(option.bytes.get(2)? >> 4);
        let at = packet.options_at() + option.at;
        let secret = matches!(subtype, Subtype::MpCapable | Subtype::MpFastclose);
        secret.then_some(at + 4..at + option.bytes.len().clamp(4, 20))
    });
    keys.collect()
}
